"""Writers of bars: what runs in the generator's process."""

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from drumigen.bank.bank import load_bank
from drumigen.catalogue import load_catalogue
from drumigen.errors import DrumigenError, ModelError, ModelLoadError
from drumigen.model.devices import FAULTS
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, repaired
from drumigen.styles import StyleCatalogue, load_styles
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import (
    BarRequest,
    DeviceReport,
    GeneratorSetup,
    Item,
    WorkersReport,
    from_bank,
)
from drumigen_daemon.process.plugins import installed

log = logging.getLogger(__name__)

WRITERS_GROUP: Final = "drumigen.writers"
"""Entry points of this group, called with a :class:`GeneratorSetup`, return a writer."""


class BarWriter(Protocol):
    """Writes bars on request; a row's result does not depend on the rest of its batch."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for; ``tempo`` is the song's now."""


@runtime_checkable
class AsksWorkers(Protocol):
    """A writer that has others write, and tells how that goes."""

    @property
    def by_worker(self) -> Sequence[bool]:
        """Of each bar of the last call of ``write``, whether a worker wrote it."""

    @property
    def report(self) -> WorkersReport:
        """How it goes with the workers."""


@runtime_checkable
class MayUseBank(Protocol):
    """A writer that has the bank write what it cannot, and tells which bars those are."""

    @property
    def by_bank(self) -> Sequence[bool]:
        """Of each bar of the last call of ``write``, whether the bank wrote it."""


@runtime_checkable
class UsesDevices(Protocol):
    """A writer that looks for a device to write on, and tells how that goes."""

    report: DeviceReport

    def start(self, changed: Callable[[], None]) -> None:
        """Look for one, beside what is written; ``changed``, at each new report, from anywhere."""

    def song(self, number: int) -> None:
        """Take note of which song the next bars are of; 0 is none that rolls."""


class BankWriter:
    """Walks through the phrases of each style's bar bank."""

    def __init__(self, styles: StyleCatalogue | None = None) -> None:
        """Know ``styles``, by default the shipped ones."""
        self._styles = styles or load_styles()
        self._failed: set[str] = set()

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        """Return a bar for each item; a bank knows neither context nor tempo."""
        return [self._bar(item.request) for item in items]

    def _bar(self, request: BarRequest) -> Bar:
        try:
            return from_bank(load_bank(self._styles.find(request.style).bank), request)
        except DrumigenError as error:
            # of this style there is nothing else; the others go on as they were
            if request.style not in self._failed:
                self._failed.add(request.style)
                log.warning("%s: %s; a plain beat plays", request.style, error)
            return mock_bar(request.meter, request.style)


class StandIn:
    """The bank, in place of a writer that cannot be loaded: what it writes is said to be its."""

    def __init__(self, bank: BankWriter, why: str) -> None:
        """Let ``bank`` write; ``why`` nobody else does, in one line."""
        self._bank = bank
        self.why = why
        self.by_bank: Sequence[bool] = ()

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item."""
        self.by_bank = [True] * len(items)
        return self._bank.write(items, tempo)


class MockWriter:
    """Always writes the same bar: kick on 1 and 3, snare on 2 and 4, eighth-note hats."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        """Return the bar in the metre of each item, as loud as its style is."""
        return [mock_bar(item.request.meter, item.request.style) for item in items]


class GuardedWriter:
    """A writer of somebody else's: whatever it does wrong, the bank plays and the log says so."""

    def __init__(self, name: str, writer: BarWriter, bank: BankWriter) -> None:
        """Let ``writer`` write, and ``bank`` what it cannot."""
        self._name = name
        self._writer = writer
        self._bank = bank
        self._failed = False
        self.by_bank: Sequence[bool] = ()

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for."""
        self.by_bank = [False] * len(items)
        try:
            bars = list(self._writer.write(items, tempo))
            found = [bar.meter for bar in bars]
            if found != [item.request.meter for item in items]:
                message = "it must return one bar for each item, in the metre asked for"
                raise ModelError(message)  # noqa: TRY301 - it is told as its own errors are
        except Exception:
            if not self._failed:
                log.exception("the writer %s failed; the bar bank plays instead", self._name)
            self._failed = True
            self.by_bank = [True] * len(items)
            return self._bank.write(items, tempo)
        return [repaired(bar) for bar in bars]


def make_writer(setup: GeneratorSetup) -> BarWriter:
    """Return the writer that is asked for; the bank, with a warning, where the model fails."""
    styles = load_catalogue(
        Path(setup.styles) if setup.styles else None, Path(setup.model) if setup.model else None
    )
    if setup.writer in WRITERS:
        return WRITERS[setup.writer](setup, styles)
    bank = BankWriter(styles)
    for point in installed(WRITERS_GROUP, setup.writer):
        try:
            return GuardedWriter(setup.writer, point.load()(setup), bank)
        except Exception:  # a package that is not ours may fail as it likes
            log.exception("the writer %s cannot be used; the bar bank plays", setup.writer)
            return StandIn(bank, f"the writer {setup.writer} cannot be used")
    log.warning("no writer is called %s; the bar bank plays", setup.writer)
    return StandIn(bank, f"no writer is called {setup.writer}")


def _model(setup: GeneratorSetup, styles: StyleCatalogue) -> BarWriter:
    """Return the network on the device that is asked for by name, else on the CPU."""
    # not imported above: the control plane knows this module, and needs neither numpy nor torch
    module = importlib.import_module("drumigen_daemon.generator.model_writer")
    model = Path(setup.model) if setup.model else None
    device = "cpu" if setup.device == "auto" else setup.device
    try:
        made: BarWriter = module.ModelWriter(
            model, device, styles, top_k=setup.top_k, top_p=setup.top_p
        )
    except ModelLoadError as error:
        if device != "cpu":
            FAULTS.add(device, str(error))
            return _model(msgspec.structs.replace(setup, device="cpu"), styles)
        log.warning("%s; the bar bank plays instead", error)
        return StandIn(BankWriter(styles), str(error))
    return made


def _celery(setup: GeneratorSetup, styles: StyleCatalogue) -> BarWriter:
    if setup.workers is None:
        log.warning('generator.writer = "celery" needs workers.broker: the CPU here writes')
        return _model(setup, styles)
    try:
        module = importlib.import_module("drumigen_daemon.workers.writer")
    except ModuleNotFoundError as error:
        needed = "pip install 'drumigen[workers]'"
        log.warning("workers need %s: %s; the CPU here writes", error.name, needed)
        return _model(setup, styles)
    made: BarWriter = module.made_writer(setup, styles, _model(setup, styles))
    return made


def make_live_writer(setup: GeneratorSetup) -> BarWriter:
    """Return the writer that is asked for, for who plays live: a device is used once it is ready.

    Until then, and where it fails, the network runs on the CPU.
    """
    cpu = make_writer(msgspec.structs.replace(setup, device="cpu"))
    if setup.writer != "model" or setup.device == "cpu" or isinstance(cpu, StandIn):
        return cpu
    module = importlib.import_module("drumigen_daemon.generator.device_writer")
    model = Path(setup.model) if setup.model else None
    styles = load_catalogue(Path(setup.styles) if setup.styles else None, model)
    writers = importlib.import_module("drumigen_daemon.generator.model_writer")

    def load(device: str) -> BarWriter:
        made: BarWriter = writers.ModelWriter(
            model, device, styles, top_k=setup.top_k, top_p=setup.top_p
        )
        return made

    live: BarWriter = module.DeviceWriter(setup, cpu, load, [style.name for style in styles])
    return live


WRITERS: Final[Mapping[str, Callable[[GeneratorSetup, StyleCatalogue], BarWriter]]] = {
    "model": _model,
    "celery": _celery,
    "bank": lambda _, styles: BankWriter(styles),
    "mock": lambda _, _styles: MockWriter(),
}
"""By the name used in settings (``generator.writer``)."""
