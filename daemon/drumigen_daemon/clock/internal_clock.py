"""Our own clock: the train of pulses that is used, and sent out, while nobody else gives one."""

import math
from typing import Final

from drumigen.timeline import Timeline
from drumigen.units import TICKS_PER_PULSE, Bpm, Seconds

BEND: Final = 0.025
"""Share of the tempo by which a nudge bends it: 20 ms are made up in 0.8 s, unheard."""


class InternalClock:
    """An endless, even train of pulses, sans I/O; its tempo changes without a jump."""

    def __init__(self, tempo: Bpm, now: Seconds) -> None:
        """Put pulse 0 at ``now``."""
        self.timeline = Timeline(tempo, 0.0, now)
        """Ticks of the clock (80 per pulse) against seconds."""
        self._after_bend: tuple[Seconds, Timeline] | None = None

    foretold: Final = True
    lock: Final = "internal"
    master: Final = ""
    steady: Final = True

    @property
    def tempo(self) -> Bpm:
        """The tempo; while a nudge bends it, as it is bent."""
        return self.timeline.tempo

    def start_pulse(self, at: Seconds) -> int:
        """Return :meth:`next_pulse`: it is our own beat, and it may begin at any time."""
        return self.next_pulse(at)

    def set_tempo(self, tempo: Bpm, at: Seconds) -> bool:
        """Go on at ``tempo`` from ``at``."""
        if tempo == self.timeline.tempo:
            return False
        self.timeline = self.timeline.with_tempo(tempo, at)
        self._after_bend = None
        return True

    def nudge(self, by: Seconds, at: Seconds) -> bool:
        """Be ``by`` later than now (negative: earlier), and get there by bending the tempo."""
        goal = self._after_bend[1] if self._after_bend is not None else self.timeline
        goal = Timeline(goal.tempo, goal.tick_origin, Seconds(goal.time_origin + by))
        behind = (self.timeline.tick_at(at) - goal.tick_at(at)) * goal.seconds_per_tick
        if behind == 0.0:
            self.timeline, self._after_bend = goal, None
            return True
        bent = Bpm(goal.tempo * (1 - math.copysign(BEND, behind)))
        self.timeline = self.timeline.with_tempo(bent, at)
        self._after_bend = Seconds(at + abs(behind) / BEND), goal
        return True

    @property
    def due(self) -> float:
        """When a bend ends; infinity if no tempo is bent."""
        return math.inf if self._after_bend is None else self._after_bend[0]

    def advance(self, now: Seconds) -> bool:
        """End a bend that has done its work by ``now``; tell whether the timeline has changed."""
        if self._after_bend is None or now < self._after_bend[0]:
            return False
        self.timeline, self._after_bend = self._after_bend[1], None
        return True

    def next_pulse(self, at: Seconds) -> int:
        """Return the number of the first pulse at or after ``at``."""
        return math.ceil(self.timeline.tick_at(at) / TICKS_PER_PULSE - 1e-9)
