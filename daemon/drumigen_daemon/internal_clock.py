"""Our own clock: the line of pulses that is used, and sent out, while nobody else gives one."""

import math

from drumigen.timeline import Timeline
from drumigen.units import TICKS_PER_PULSE, Bpm, Seconds


class InternalClock:
    """An endless, even line of pulses, sans I/O; its tempo changes without a jump."""

    def __init__(self, tempo: Bpm, now: Seconds) -> None:
        """Put pulse 0 at ``now``."""
        self.timeline = Timeline(tempo, 0.0, now)
        """Ticks of the clock (80 per pulse) against seconds."""

    def set_tempo(self, tempo: Bpm, at: Seconds) -> None:
        """Go on at ``tempo`` from ``at``."""
        if tempo != self.timeline.tempo:
            self.timeline = self.timeline.with_tempo(tempo, at)

    def next_pulse(self, at: Seconds) -> int:
        """Return the number of the first pulse at or after ``at``."""
        return math.ceil(self.timeline.tick_at(at) / TICKS_PER_PULSE - 1e-9)

    def time_of(self, pulse: int) -> Seconds:
        """Return when ``pulse`` is due."""
        return self.timeline.time_of(pulse * TICKS_PER_PULSE)
