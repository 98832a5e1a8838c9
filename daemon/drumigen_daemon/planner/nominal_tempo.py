"""The tempo that bars are written and felt for: a number that jitter does not change.  Sans I/O.

What is measured of a master moves by hundredths of a BPM from pulse to pulse, and differs from one
life of the daemon to the next.  A bar must not: it is told a tempo in whole BPM.
"""

from typing import Final

from drumigen.units import TEMPO_MAX, TEMPO_MIN, Bpm

EDGE: Final = 0.75
"""Where one whole tempo ends and the next begins.  Masters are most often set to whole or half
BPM, and both are a quarter away from it."""
HYSTERESIS: Final = 0.1
"""BPM beyond an edge that a tempo must be measured before it counts as the next one."""


class NominalTempo:
    """Whole BPM for what is measured of a master."""

    def __init__(self) -> None:
        """Follow nobody yet."""
        self._now: int | None = None

    def of(self, measured: float) -> Bpm:
        """Return the tempo that ``measured``, in BPM, stands for."""
        now = self._now
        if now is None or not now + EDGE - 1 - HYSTERESIS <= measured < now + EDGE + HYSTERESIS:
            now = int(measured + 1.0 - EDGE)
        self._now = now
        return Bpm(max(TEMPO_MIN, min(TEMPO_MAX, float(now))))
