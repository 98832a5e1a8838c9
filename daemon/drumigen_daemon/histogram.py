"""How often a time was how long: counts in fixed buckets, cheap to keep and to send."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

MICRO, MILLI = 1e-6, 1e-3

LATENESS_BOUNDS: Final = tuple(
    MICRO * us for us in (10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 5e4, 2e5)
)
CLOCK_BOUNDS: Final = tuple(
    MICRO * us for us in (20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4)
)
WRITING_BOUNDS: Final = tuple(
    MILLI * ms for ms in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 4e3)
)
"""Upper bounds of the buckets, in seconds."""
COUNT_BOUNDS: Final = tuple(map(float, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)))
"""The same for how many there are of something."""
BAR_TIME_BOUNDS: Final = tuple(
    MILLI * ms for ms in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
)
"""Of the time that one bar of a batch takes."""


class Histogram(msgspec.Struct, frozen=True):
    """A count for each bucket, and one for what lies beyond the last bound."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    sum: float = 0.0
    """Of all values, in seconds."""
    most: float = 0.0
    """The largest value, in seconds."""

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return a bound that so great a share of the values does not exceed; 0 without values.

        Infinite where only the bucket beyond the last bound holds enough.
        """
        wanted = share * self.count
        reached = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            reached += count
            if reached >= wanted:
                return bound if self.count else 0.0
        return 0.0


class Tally:
    """Counts values as they come."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count none, in buckets up to each of ``bounds``, ascending."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = self._most = 0.0

    def add(self, seconds: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds
        self._most = max(self._most, seconds)

    @property
    def histogram(self) -> Histogram:
        """The counts so far."""
        return Histogram(self._bounds, tuple(self._counts), self._sum, self._most)
