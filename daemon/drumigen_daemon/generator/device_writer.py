"""The network on the CPU until a device has proved itself, and again once that fails.

A device may be missing, slow, full, broken or hung, and none of that may be heard.  So the CPU
writes from the first moment on.  Beside it, a device is found, tried in a process of its own unless
its verdict is kept, loaded and warmed up; from the next start of a song on it writes.  It does so
in a thread that is waited for no longer than :data:`HANG_SECONDS`; one that is not loaded within
:data:`LOAD_SECONDS_MAX` counts as hung too.  After its first fault the CPU writes, and the device
is left alone until the next start of drumigen.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Protocol

import msgspec

from drumigen.errors import DrumigenError, ModelLoadError
from drumigen.model.devices import (
    FAULTS,
    INSTALL_TORCH,
    detect_device,
    gpu_may_be_here,
    torch_is_installed,
)
from drumigen.pattern import Bar
from drumigen.units import TEMPO_DEFAULT, Bpm
from drumigen_daemon.generator.messages import DeviceReport, GeneratorSetup, Item
from drumigen_daemon.generator.trial import model_path, real_batch, tried
from drumigen_daemon.generator.verdicts import Verdict, find, keep, verdict_key
from drumigen_daemon.generator.writers import BarWriter

log = logging.getLogger(__name__)

HANG_SECONDS: Final = 0.75
"""After which a device hangs: half a bar at 160 BPM, so that the CPU can still write it."""
LOAD_SECONDS_MAX: Final = 120.0
"""After which a device that is loaded hangs: torch from a slow disk, and graphs, included."""
FULL_CONTEXT: Final = 8
"""Bars of context that a batch has which warms up; those are written there too."""
INSTALL_GPU: Final = f"{INSTALL_TORCH}, or make play GPU=1"


def _nothing() -> None:
    """Do nothing."""


class CpuWriter(BarWriter, Protocol):
    """A writer that knows which of its bars the bank wrote."""

    @property
    def by_bank(self) -> Sequence[bool]:
        """Of each bar of the last call of ``write``, whether the bank wrote it."""


def found_device(asked: str) -> tuple[str, str]:
    """Return the device to use where ``asked`` is wanted, or nothing, and what is missing.

    Torch is loaded only where there is a GPU.
    """
    if asked == "cpu":
        return "", ""
    if not gpu_may_be_here():
        return "", "" if asked == "auto" else f"{asked} is asked for, and no GPU is seen"
    if not torch_is_installed():
        return "", f"there is a GPU, but torch is not installed: {INSTALL_GPU}"
    if asked != "auto":
        return asked, ""  # whether it is there is found out where it is loaded
    try:
        device = detect_device("auto")
    except ModelLoadError as error:
        return "", str(error)
    return ("", "torch can use no GPU here") if device == "cpu" else (device, "")


def device_choice(setup: GeneratorSetup) -> tuple[str, str, str]:
    """Return what ``setup`` will play on, why, and what fault there is; a trial takes seconds.

    Raises:
        ModelLoadError: the model cannot be used, on whatever device.
        OSError: it cannot be read.
    """
    device, missing = found_device(setup.device)
    if not device:
        return "cpu", missing, ""
    if setup.device != "auto":
        # it plays even if it is slower
        verdict = verdict_of(setup, device)
        return ("cpu" if verdict.fault else device), str(verdict), verdict.fault
    verdict = verdict_of(setup, device)
    return (device if verdict.is_quicker else "cpu"), str(verdict), verdict.fault


def verdict_of(setup: GeneratorSetup, device: str, begin: Callable[[], None] = _nothing) -> Verdict:
    """Return the verdict that is kept, or that of a trial now, before which ``begin`` is called."""
    file = Path(setup.verdicts) if setup.verdicts else None
    verdict = find(file, verdict_key(model_path(setup), device))
    if verdict is None or verdict.fault:
        begin()
        verdict = tried(setup, device)
        keep(file, verdict)
    return verdict


class DeviceWriter:
    """Writes on the CPU, and from some start of a song on upon a device."""

    def __init__(  # noqa: PLR0913 - what it writes by, and two bounds
        self,
        setup: GeneratorSetup,
        cpu: CpuWriter,
        load: Callable[[str], CpuWriter],
        styles: Sequence[str],
        *,
        hang_seconds: float = HANG_SECONDS,
        load_seconds: float = LOAD_SECONDS_MAX,
    ) -> None:
        """Write by ``cpu``; ``load`` makes the writer of a device."""
        self._setup = setup
        self._cpu = cpu
        self._load = load
        self._styles = styles
        self._hang_seconds = hang_seconds
        self._load_seconds = load_seconds
        self._failing = threading.Lock()
        self._file = Path(setup.verdicts) if setup.verdicts else None
        self._device = ""
        self._there: CpuWriter | None = None
        self._uses_device = False
        self._song = 0
        self._by: CpuWriter = cpu
        self._changed: Callable[[], None] = lambda: None
        self.report = DeviceReport()

    @property
    def by_bank(self) -> Sequence[bool]:
        """Of each bar of the last call of ``write``, whether the bank wrote it."""
        return self._by.by_bank

    def start(self, changed: Callable[[], None]) -> None:
        """Look for a device, beside what is written; ``changed`` is called at each new report.

        It is called from a thread of this writer.
        """
        self._changed = changed
        threading.Thread(target=self._prepare, name="device", daemon=True).start()

    def song(self, number: int) -> None:
        """Take note of which song the next bars are of; 0 is none that rolls."""
        new = number == 0 or number != self._song
        self._song = number
        if new and self._there is not None and not self._uses_device and not self._fault():
            self._uses_device = True
            log.info("the network writes on %s from here on", self._device)
            self._tell(state="playing", device=self._device)

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for."""
        if self._uses_device and self._there is not None:
            bars = self._written_there(self._there, items, tempo)
            if bars is not None:
                return bars
        self._by = self._cpu
        return self._cpu.write(items, tempo)

    # --- beside ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Find, try, load and warm up a device."""
        try:
            self._device, missing = found_device(self._setup.device)
            if not self._device:
                self._is_absent(missing)
                return
            if self._setup.device == "auto" and not self._is_worth_it():
                return
            self._tell(state="loading")
            there = self._loaded()
            if not self._fault():
                self._there = there
                self._tell(state="waiting")
                return
        except Exception as error:
            log.debug("a device cannot be used", exc_info=True)
            FAULTS.add(self._device or self._setup.device, _line(error))
        self._failed()

    def _loaded(self) -> CpuWriter:
        """Return the writer of the device, warmed up; who hangs meanwhile is given up."""
        watch = threading.Timer(self._load_seconds, self._hangs_while_it_loads)
        watch.daemon = True
        watch.start()
        try:
            there = self._load(self._device)
            if not self._fault():
                # libraries load, and graphs are recorded, for batches from first to full contexts
                there.write(real_batch(there, self._styles, FULL_CONTEXT), TEMPO_DEFAULT)
        finally:
            watch.cancel()
        return there

    def _hangs_while_it_loads(self) -> None:
        said = f"{self._device} hangs: not loaded in {self._load_seconds:g} s"
        FAULTS.add(self._device, said)
        self._failed()

    def _is_absent(self, missing: str) -> None:
        faults = int(bool(missing) and self._setup.device != "auto")
        state = "absent" if missing else "cpu"
        if missing:
            log.warning("%s; the network runs on the CPU", missing)
        self._tell(state=state, said=missing, faults=faults)

    def _is_worth_it(self) -> bool:
        """Whether the device is quicker, by the verdict that is kept, or by a trial now."""
        verdict = verdict_of(self._setup, self._device, lambda: self._tell(state="trying"))
        log.info("%s", verdict)
        self._tell(cpu_seconds=verdict.cpu_seconds, device_seconds=verdict.device_seconds)
        if verdict.fault:
            FAULTS.add(self._device, verdict.fault)
            self._failed()
        elif not verdict.is_quicker:
            self._tell(state="slower")
        return verdict.is_quicker

    # --- with it ---------------------------------------------------------------------------------

    def _written_there(
        self, there: CpuWriter, items: Sequence[Item], tempo: Bpm
    ) -> list[Bar] | None:
        """Return what the device writes; None if it does not answer."""
        future: Future[list[Bar]] = Future()

        def write() -> None:
            try:
                future.set_result(there.write(items, tempo))
            except Exception as error:  # noqa: BLE001 - told below
                future.set_exception(error)

        # one that hangs is never joined, so no pool, which would wait for it at the end
        threading.Thread(target=write, name="writes", daemon=True).start()
        try:
            bars = future.result(self._hang_seconds)
            self._by = there
        except TimeoutError:
            said = f"{self._device} hangs: no answer in {self._hang_seconds:g} s"
            FAULTS.add(self._device, said)
            bars = None
        except DrumigenError:
            raise  # what is asked for is wrong, whatever writes it
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            FAULTS.add(self._device, f"{self._device} failed: {_line(error)}")
            bars = None
        if self._fault():
            self._failed()
        return bars

    def _fault(self) -> str:
        return FAULTS.of(self._device)

    def _failed(self) -> None:
        """Use the CPU from here on; the device is to be tried again at the next start."""
        with self._failing:
            if self.report.state == "failed":
                return
            self._fail()

    def _fail(self) -> None:
        self._uses_device = False
        self._there = None
        said = self._fault() or FAULTS.of(self._setup.device)
        if self._device:
            key = verdict_key(model_path(self._setup), self._device)
            keep(self._file, Verdict(key, self._device, fault=said))
        self._tell(state="failed", device="cpu", faults=self.report.faults + 1, said=said)

    def _tell(self, **changes: object) -> None:
        self.report = msgspec.structs.replace(self.report, **changes)
        self._changed()


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
