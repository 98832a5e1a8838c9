"""What the engine needs of whatever sends its MIDI, and the names of the ports it sends to."""

from typing import Final, Protocol

from drumigen.units import Seconds

NOTES_PORT: Final = "out"
CLOCK_PORT: Final = "clock"


class Output(Protocol):
    """What is needed of a MIDI backend; see :class:`~drumigen_daemon.ports.Backend`."""

    @property
    def lead(self) -> Seconds:
        """How long before its time an event must be handed over."""

    @property
    def dropped(self) -> int:
        """Note-ons that were long overdue when they could have left, and did not."""

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Have ``data`` leave ``port`` at ``at``."""

    def withdraw(self) -> Seconds:
        """Take back what has not left; return the time from which on nothing will leave."""
