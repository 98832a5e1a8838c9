"""Tries a device with real batches, in a process of its own: ``python -m … SETUP DEVICE``.

A driver that crashes or hangs does so here, and the generator goes on writing.  What is measured is
what the planner asks for: the next bars and fills of all styles, each after four bars of its own.
Prints one :class:`~drumigen_daemon.generator.verdicts.Verdict` as JSON.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from drumigen.catalogue import load_catalogue
from drumigen.model.checkpoint import load_model
from drumigen.model.devices import FAULTS
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen.units import TEMPO_DEFAULT, Bpm
from drumigen_daemon.generator.messages import BarRequest, GeneratorSetup, Item, WrittenBar
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.generator.verdicts import Verdict, verdict_key
from drumigen_daemon.generator.writers import BarWriter
from drumigen_daemon.process.parent import PARENT, end_with_parent
from drumigen_daemon.process.realtime import ONE_THREAD

TRIAL_CONTEXT_BARS: Final = 4
ROUNDS: Final = 5
TRIAL_SECONDS_MAX: Final = 120.0
"""Loading torch from a slow disk, and recording graphs, included."""


def model_path(setup: GeneratorSetup) -> Path:
    """Return the path of the checkpoint that ``setup`` names."""
    return load_model(Path(setup.model) if setup.model else None, "cpu").path


def tried(setup: GeneratorSetup, device: str) -> Verdict:
    """Return what a process of its own finds out about ``device``.

    It takes seconds; whatever happens to that process is in the verdict.

    Raises:
        ModelLoadError: the model cannot be used, on whatever device.
    """
    key = verdict_key(model_path(setup), device)
    command = [sys.executable, "-m", __name__, msgspec.json.encode(setup).decode(), device]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=TRIAL_SECONDS_MAX,
            env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ, PARENT: str(os.getpid())},
        )
    except subprocess.TimeoutExpired:
        return Verdict(key, device, fault=f"{device} hangs: no answer in {TRIAL_SECONDS_MAX:g} s")
    except OSError as error:
        return Verdict(key, device, fault=f"{device} cannot be tried: {error}")
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Verdict)
    except (IndexError, msgspec.MsgspecError):
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Verdict(key, device, fault=f"{device} crashed when it was tried: {said:.200}")


def measured(setup: GeneratorSetup, device: str) -> Verdict:
    """Return what CPU and ``device`` take, measured here and now."""
    model = Path(setup.model) if setup.model else None
    styles = load_catalogue(Path(setup.styles) if setup.styles else None, model)
    key = verdict_key(model_path(setup), device)
    cpu = ModelWriter(model, "cpu", styles)
    items = real_batch(cpu, [style.name for style in styles])
    cpu_seconds = seconds_of(cpu, items)
    there = ModelWriter(model, device, styles)
    device_seconds = seconds_of(there, items)
    return Verdict(key, device, cpu_seconds, device_seconds, FAULTS.of(device))


def real_batch(
    writer: BarWriter, styles: Sequence[str], context: int = TRIAL_CONTEXT_BARS
) -> list[Item]:
    """Return the next bar and fill of each style, after ``context`` bars by ``writer``."""
    histories: dict[str, tuple[WrittenBar, ...]] = dict.fromkeys(styles, ())
    for number in range(context):
        asked = [Item(BarRequest(style, number, Meter(), 1), histories[style]) for style in styles]
        for item, bar in zip(asked, _written(writer, asked), strict=True):
            histories[item.request.style] += (WrittenBar(item.request, bar),)
    return [
        Item(BarRequest(style, context, Meter(), 1, fill=fill), histories[style])
        for style in styles
        for fill in (False, True)
    ]


def seconds_of(writer: BarWriter, items: Sequence[Item]) -> float:
    """Return the median seconds that ``writer`` takes for ``items``, but for the first time."""
    _written(writer, items)
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        _written(writer, items)
        found.append(time.perf_counter() - begun)
    return median(found)


def _written(writer: BarWriter, items: Sequence[Item], tempo: Bpm = TEMPO_DEFAULT) -> list[Bar]:
    return writer.write(items, tempo)


def main() -> int:
    """Print the verdict."""
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(5)  # as the generator: the beat first
    setup = msgspec.json.decode(sys.argv[1], type=GeneratorSetup)
    sys.stdout.write(f"{msgspec.json.encode(measured(setup, sys.argv[2])).decode()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
