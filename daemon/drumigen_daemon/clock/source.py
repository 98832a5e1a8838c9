"""What the conductor needs of a clock, whoever gives it: ours, a MIDI clock, or another kind.

A clock is an endless train of pulses, 24 to the quarter note, numbered from 0; the conductor says
which place of the song each one is.  What an installed package brings need only be a
:class:`BeatSource`: :mod:`drumigen_daemon.clock.installed_clock` makes a clock of it.
"""

from typing import Protocol

from drumigen.timeline import Timeline
from drumigen.units import Bpm, Seconds


class Clock(Protocol):
    """A train of pulses against time; sans I/O, all times are monotonic seconds."""

    @property
    def foretold(self) -> bool:
        """Whether its pulses are known beforehand: nothing is waited for, and they are sent out."""

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

    @property
    def due(self) -> float:
        """When :meth:`advance` wants to be called; infinity for never."""

    def advance(self, now: Seconds) -> bool:
        """Let time pass; tell whether the timeline has changed other than by a pulse."""

    def next_pulse(self, at: Seconds) -> int:
        """Return the number of the next pulse, as seen at ``at``."""

    def start_pulse(self, at: Seconds) -> int:
        """Return the number of the first pulse from ``at`` on that a song may begin on."""

    def set_tempo(self, tempo: Bpm, at: Seconds) -> bool:
        """Take the tempo that the user sets; tell whether the timeline has changed."""

    def nudge(self, by: Seconds, at: Seconds) -> bool:
        """Be ``by`` later than now; tell whether it can: who follows cannot."""


class BeatSource(Protocol):
    """What an installed package brings: somebody who knows at any time where the beat is."""

    def timeline(self, now: Seconds, tempo: Bpm) -> Timeline:
        """Return ticks, 1920 to the quarter note, against monotonic seconds, as known at ``now``.

        ``tempo`` is what the user has set, for a source whose tempo can be set.  It is called some
        50 times a second, by the engine's one thread: it must not wait.
        """
