"""Writers of bars: what runs in the generator's process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from drumigen.bank import load_bank
from drumigen.mock import mock_bar
from drumigen.pattern import Bar
from drumigen.styles import load_styles
from drumigen_daemon.planner import BarRequest, from_bank


class BarWriter(Protocol):
    """Writes bars on request; a row's result does not depend on the rest of its batch."""

    def write(self, requests: Sequence[BarRequest]) -> list[Bar]:
        """Return a bar for each request, in its metre."""


class BankWriter:
    """Walks through the phrases of each style's bar bank."""

    def __init__(self) -> None:
        """Know the shipped styles."""
        self._styles = load_styles()

    def write(self, requests: Sequence[BarRequest]) -> list[Bar]:
        """Return a bar for each request, in its metre."""
        return [from_bank(load_bank(self._styles.find(r.style).bank), r) for r in requests]


class MockWriter:
    """Always writes the same bar: kick on 1 and 3, snare on 2 and 4, eighth-note hats."""

    def write(self, requests: Sequence[BarRequest]) -> list[Bar]:
        """Return a bar for each request, in its metre."""
        return [mock_bar(r.meter) for r in requests]


WRITERS: Final[Mapping[str, Callable[[], BarWriter]]] = {"bank": BankWriter, "mock": MockWriter}
"""By the name used in settings (``generator.writer``)."""
