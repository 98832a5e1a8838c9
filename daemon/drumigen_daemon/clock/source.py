"""What the conductor needs of a clock, whoever gives it: ours, a MIDI clock, or another kind.

A clock is an endless train of pulses, 24 to the quarter note, numbered from 0; the conductor says
which place of the song each one is.  A new kind of clock is a module with one class like these.
"""

from typing import Protocol

from drumigen.timeline import Timeline
from drumigen.units import Bpm, Seconds


class Clock(Protocol):
    """A train of pulses against time; sans I/O, all times are monotonic seconds."""

    @property
    def ours(self) -> bool:
        """Whether we make its pulses: then nothing has to be waited for, and they are sent out."""

    @property
    def timeline(self) -> Timeline | None:
        """Ticks of the clock, 80 a pulse, against seconds.  None before it has a pulse."""

    @property
    def tempo(self) -> Bpm:
        """The tempo to show."""

    @property
    def lock(self) -> str:
        """How well it is known, in one word; shown to the user."""

    @property
    def master(self) -> str:
        """Who gives it; empty for ourselves, and while nobody does."""

    @property
    def steady(self) -> bool:
        """Whether its timeline is hardly about to change."""

    def next_pulse(self, at: Seconds) -> int:
        """Return the number of the next pulse, as seen at ``at``."""

    def set_tempo(self, tempo: Bpm, at: Seconds) -> bool:
        """Take the tempo that the user sets; tell whether the timeline has changed."""

    def nudge(self, by: Seconds, at: Seconds) -> bool:
        """Be ``by`` later than now; tell whether it can: who follows cannot."""
