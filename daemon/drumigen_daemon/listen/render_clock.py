"""When what is rendered sounds: a synthesizer's milliseconds in monotonic seconds.  Sans I/O.

An audio system asks for a period of sound at a time, so the milliseconds rendered are a staircase.
What it asks for last before a step is late by chance, never early: the line runs along the upper
edges of the steps.
"""

from collections import deque
from typing import Final

from drumigen.units import Seconds

READINGS_SECONDS: Final = 2.0
"""Seconds of readings of which the most advanced counts."""
LATELY: Final = 0.3
"""Seconds of readings that tell that the system lost time..."""
LOST: Final = 0.025
"""...when they are all behind by so many seconds, and by half the height of a step."""
SLEW: Final = 0.001
"""Seconds that the line moves in a second: two crystals differ by less, and nobody hears it."""
SETTLED_SECONDS: Final = 0.4
"""Seconds of readings after which the line holds."""


class RenderClock:
    """The line from monotonic seconds to milliseconds of rendered sound."""

    def __init__(self) -> None:
        """Have seen nothing."""
        self._readings: deque[tuple[float, float]] = deque()
        self._ahead = 0.0
        self._first: float | None = None

    @property
    def settled(self) -> bool:
        """Whether enough was seen to go by."""
        return bool(self._readings) and self._readings[-1][0] - self._begun >= SETTLED_SECONDS

    def observe(self, millisecond: int, now: Seconds) -> bool:
        """Take a reading; tell whether the line jumped, as after a gap in the sound."""
        ahead = millisecond / 1000 - now
        readings = self._readings
        passed = now - readings[-1][0] if readings else 0.0
        if self._first is None:
            self._first = float(now)
            self._ahead = ahead
        readings.append((float(now), ahead))
        while readings[0][0] < now - READINGS_SECONDS:
            readings.popleft()
        best = max(each for _, each in readings)
        lately = [each for at, each in readings if at >= now - LATELY]
        step = max(lately) - min(lately)
        if best - max(lately) > max(LOST, step / 2) and self.settled:
            readings.clear()
            readings.append((float(now), max(lately)))
            self._ahead = max(lately)
            return True
        gap = best - self._ahead
        if abs(gap) > LOST or not self.settled:
            self._ahead = best
            return abs(gap) > LOST
        self._ahead += max(-SLEW * passed, min(SLEW * passed, gap))
        return False

    def millisecond_at(self, at: Seconds) -> int:
        """Return the millisecond of sound that is rendered at ``at``."""
        return round(1000 * (at + self._ahead))

    def time_of(self, millisecond: int) -> Seconds:
        """Return when ``millisecond`` is rendered."""
        return Seconds(millisecond / 1000 - self._ahead)

    @property
    def _begun(self) -> float:
        return self._first if self._first is not None else 0.0
