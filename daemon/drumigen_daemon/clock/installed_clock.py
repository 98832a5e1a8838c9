"""A clock from an installed package: asked where the beat is, and never trusted further than that.

Sans I/O, but for what the package does.  If it fails, the clock goes on at its last tempo.
"""

import math
from collections.abc import Callable
from typing import Final

from drumigen.timeline import Timeline
from drumigen.units import CLOCK_PPQN, TEMPO_MAX, TEMPO_MIN, TICKS_PER_PULSE, Bpm, Seconds
from drumigen_daemon.clock.source import BeatSource

PERIOD: Final = 0.02
"""Seconds between two questions to the source."""
AHEAD: Final = 0.5
"""Seconds ahead for which a timeline must hold..."""
MOVED_MAX: Final = 0.0001
"""...within so many seconds: less is no change of it."""


class InstalledClock:
    """Follows a :class:`.BeatSource`; its pulses are known beforehand."""

    foretold: Final = True
    steady: Final = True

    def __init__(
        self,
        name: str,
        source: BeatSource,
        tempo: Bpm,
        now: Seconds,
        complain: Callable[[str], None],
    ) -> None:
        """Ask ``source``, which settings call ``name``; ``complain`` once if it fails."""
        self.master = name
        self.timeline = Timeline(tempo, 0.0, now)
        """Ticks of the clock (80 per pulse) against seconds."""
        self._source = source
        self._tempo = tempo
        self._complain = complain
        self._failed = False
        self.due = float(now)
        """When to ask again; infinity once the source has failed."""
        self.advance(now)

    @property
    def lock(self) -> str:
        """``locked``; ``coasting`` once the source has failed."""
        return "coasting" if self._failed else "locked"

    @property
    def tempo(self) -> Bpm:
        """The source's tempo."""
        return self.timeline.tempo

    def advance(self, now: Seconds) -> bool:
        """Ask the source, if it is time to; tell whether the timeline has changed."""
        if now < self.due:
            return False
        self.due = now + PERIOD
        try:
            timeline = self._source.timeline(now, self._tempo)
            then = timeline.time_of(self.timeline.tick_at(now + AHEAD))
            if not (TEMPO_MIN <= timeline.tempo <= TEMPO_MAX and math.isfinite(then)):
                self._fail(f"a tempo of {timeline.tempo:g} BPM is outside 20 to 400")
                return False
        except Exception as error:  # noqa: BLE001 - of others: it may fail as it likes
            self._fail(f"{type(error).__name__}: {error}")
            return False
        if abs(then - now - AHEAD) < MOVED_MAX:
            return False
        self.timeline = timeline
        return True

    def next_pulse(self, at: Seconds) -> int:
        """Return the number of the first pulse at or after ``at``."""
        return math.ceil(self.timeline.tick_at(at) / TICKS_PER_PULSE - 1e-9)

    def start_pulse(self, at: Seconds) -> int:
        """Return the number of the first beat at or after ``at``, in pulses."""
        return math.ceil(self.next_pulse(at) / CLOCK_PPQN) * CLOCK_PPQN

    def set_tempo(self, tempo: Bpm, at: Seconds) -> bool:
        """Have the source told of ``tempo`` when it is asked next."""
        self._tempo = tempo
        self.due = min(self.due, float(at)) if not self._failed else self.due
        return False

    def nudge(self, by: Seconds, at: Seconds) -> bool:  # noqa: ARG002 - of the protocol
        """Refuse: it is somebody else's beat."""
        return False

    def _fail(self, why: str) -> None:
        self._failed = True
        self.due = math.inf
        self._complain(f"the clock {self.master} failed ({why}); going on at its last tempo")
