"""Tempo by tapping."""

import itertools
from collections import deque
from statistics import fmean
from typing import Final

from drumigen.units import TEMPO_MAX, TEMPO_MIN, Bpm, Seconds

TAPS_MAX: Final = 8
"""Taps that count: the tempo follows whoever speeds up within a few of them."""
SHORTEST: Final = 60.0 / TEMPO_MAX
"""Seconds; a tap that comes sooner is a bounce and does not count."""
LONGEST: Final = 60.0 / TEMPO_MIN
"""Seconds; after a longer pause tapping begins anew."""


class TapTempo:
    """Finds the tempo of taps on the beat."""

    def __init__(self) -> None:
        """Begin with no tap."""
        self._taps: deque[float] = deque(maxlen=TAPS_MAX)

    def tap(self, at: Seconds) -> Bpm | None:
        """Take a tap at ``at``; return the tempo, 20 to 400 BPM, from the second tap on."""
        if self._taps:
            since = at - self._taps[-1]
            if since < SHORTEST:
                return None
            before = fmean(_intervals(self._taps)) if len(self._taps) > 1 else since
            # nobody taps half or double by accident: another tempo is meant
            if since > LONGEST:
                self._taps.clear()
            elif not 0.6 < since / before < 1.6:
                self._keep_last()
        self._taps.append(at)
        if len(self._taps) < 2:
            return None
        tempo = 60.0 / fmean(_intervals(self._taps))
        return Bpm(round(max(TEMPO_MIN, min(TEMPO_MAX, tempo)), 1))

    def _keep_last(self) -> None:
        last = self._taps[-1]
        self._taps.clear()
        self._taps.append(last)


def _intervals(taps: deque[float]) -> list[float]:
    moments = list(taps)
    return [later - earlier for earlier, later in itertools.pairwise(moments)]
