"""Writers of bars: what runs in the generator's process."""

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from drumigen.bank.bank import load_bank
from drumigen.errors import ModelLoadError
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar
from drumigen.styles import load_styles
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import GeneratorSetup, Item, from_bank

log = logging.getLogger(__name__)


class BarWriter(Protocol):
    """Writes bars on request; a row's result does not depend on the rest of its batch."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for; ``tempo`` is the song's now."""


class BankWriter:
    """Walks through the phrases of each style's bar bank."""

    def __init__(self) -> None:
        """Know the shipped styles."""
        self._styles = load_styles()

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        """Return a bar for each item; a bank knows neither context nor tempo."""
        return [
            from_bank(load_bank(self._styles.find(item.request.style).bank), item.request)
            for item in items
        ]


class MockWriter:
    """Always writes the same bar: kick on 1 and 3, snare on 2 and 4, eighth-note hats."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        """Return the bar in the metre of each item."""
        return [mock_bar(item.request.meter) for item in items]


def make_writer(setup: GeneratorSetup) -> BarWriter:
    """Return the writer that is asked for; the bank, with a warning, where the model fails."""
    return WRITERS[setup.writer](setup)


def _model(setup: GeneratorSetup) -> BarWriter:
    # not imported above: the control plane knows this module, and needs neither numpy nor torch
    module = importlib.import_module("drumigen_daemon.generator.model_writer")
    try:
        made: BarWriter = module.ModelWriter(
            Path(setup.model) if setup.model else None, setup.device
        )
    except ModelLoadError as error:
        log.warning("%s; the bar bank plays instead", error)
        return BankWriter()
    return made


WRITERS: Final[Mapping[str, Callable[[GeneratorSetup], BarWriter]]] = {
    "model": _model,
    "bank": lambda _: BankWriter(),
    "mock": lambda _: MockWriter(),
}
"""By the name used in settings (``generator.writer``)."""
