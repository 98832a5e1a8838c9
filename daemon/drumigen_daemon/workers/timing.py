"""Time across machines, and how much a worker can write in it.  Sans I/O.

Deadlines travel in the broker's time, so clocks of machines need not agree.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final

BATCH_TIME: Final = 0.1
"""Seconds that a batch may take: a longer one makes everybody wait and hardly writes more."""
BATCH_BARS_MAX: Final = 1024
"""Bars in a batch, however quick the worker is."""
MARGIN: Final = 0.02
"""Seconds that an answer takes on its way back."""
PRUDENCE: Final = 1.25
"""Times what a batch takes on average, for it to be there in time: in a flood those come first that
have waited longest, and so each has just as much time left as is asked for here."""
REACTION: Final = 0.2
"""Weight of the last batch in what batches of about its size take."""
STALL_RATIO: Final = 2.0
"""Times what it took before, beyond which it is not believed that the worker is so slow: it was
stopped, or its machine was."""
FORGIVEN: Final = 0.05
"""Share by which the worker is taken for quicker when it has refused what it could not have done
even at once: it may have become so."""
TRIALS: Final = 8
"""Readings of the broker's clock from which the one with the shortest way is taken."""


class BrokerClock:
    """The broker's clock, read now and then, between which ours goes on."""

    def __init__(self) -> None:
        """Know nothing of it; until the first reading it stands at our own."""
        self._readings: deque[tuple[float, float]] = deque(maxlen=TRIALS)
        self._offset = 0.0

    def read(self, asked: float, told: float, answered: float) -> None:
        """Take a reading ``told``, that was asked for and answered then; all in seconds."""
        middle = (asked + answered) / 2
        self._readings.append((answered - asked, told - middle))
        self._offset = min(self._readings)[1]

    def forget(self) -> None:
        """Forget all readings: it may be another broker."""
        self._readings.clear()

    def of(self, now: float) -> float:
        """Return the broker's time at ``now`` of ours, in seconds."""
        return now + self._offset


class ServiceTime:
    """How long batches take, by their size: measured, and between two sizes interpolated.

    A batch costs something, and each of its bars; who knew only the mean would refuse a batch of
    eighteen after a few batches of one.  What is larger than any that was measured is taken to need
    as long for each bar: so it grows into large batches, and never promises what it has not seen.
    """

    def __init__(self) -> None:
        """Take the worker for as quick as can be until the first batch."""
        # sizes up to 1, 3, 7, 15 ...: how many bars they have and how long they take, on average
        self._sizes: dict[int, tuple[float, float]] = {}
        self._points: list[tuple[float, float]] = []
        self._guessed: set[int] = set()
        """Sizes of which it was forgotten how long they took."""

    def measured(self, bars: int, seconds: float) -> None:
        """Take note that a batch of so many bars took so long."""
        size = bars.bit_length()
        known = self._sizes.get(size, (bars, seconds))
        seconds = min(seconds, STALL_RATIO * known[1])
        old_bars, old_seconds = (bars, seconds) if size in self._guessed else known
        self._guessed.discard(size)
        self._sizes[size] = (
            old_bars + REACTION * (bars - old_bars),
            old_seconds + REACTION * (seconds - old_seconds),
        )
        self._draw()

    def forgive(self) -> None:
        """Take it for a bit quicker than it was measured: so it will be tried again."""
        self._guessed |= self._sizes.keys()
        self._sizes = {
            size: (bars, seconds * (1 - FORGIVEN)) for size, (bars, seconds) in self._sizes.items()
        }
        self._draw()

    def _draw(self) -> None:
        """Find the points of the curve: a batch takes no less than any smaller one."""
        self._points = []
        longest = 0.0
        for _, (bars, seconds) in sorted(self._sizes.items()):
            longest = max(longest, seconds)
            self._points.append((bars, longest))

    def seconds(self, bars: int) -> float:
        """Return how long a batch of so many bars will take."""
        if not self._points:
            return 0.0
        place = bisect_left(self._points, (bars, 0.0))
        if not place:
            return self._points[0][1]
        below, shorter = self._points[place - 1]
        if place == len(self._points):
            return shorter * bars / below
        above, longer = self._points[place]
        return shorter + (longer - shorter) * (bars - below) / (above - below)

    @property
    def batch_bars(self) -> int:
        """How many bars make a batch; one request may be larger."""
        # where even one bar takes long, half of the time at least is for the others
        longest = max(BATCH_TIME, 2 * self.seconds(1))
        return max(1, bisect_right(range(1, BATCH_BARS_MAX + 1), longest, key=self.seconds))

    def in_time(self, bars: int, left: float) -> bool:
        """Tell whether ``bars`` bars from now on would be there within ``left`` seconds."""
        return PRUDENCE * self.seconds(bars) + MARGIN <= left
