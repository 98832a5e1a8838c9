"""Time across machines, and how much a worker can write in it.  Sans I/O.

Deadlines travel in the broker's time, so clocks of machines need not agree.
"""

import math
from collections import deque
from typing import Final

BATCH_TIME: Final = 0.1
"""Seconds that a batch may take: a longer one makes everybody wait and hardly writes more."""
BATCH_MAX: Final = 1024
"""Bars in a batch, however quick the worker is."""
MARGIN: Final = 0.01
"""Seconds that an answer takes on its way back."""
REACTION: Final = 0.1
"""Weight of the last batch in what batches take."""
EVEN: Final = 0.01
"""Spread of sizes, as a share of their mean squared, below which all batches are of one size."""
FORGIVEN: Final = 0.1
"""Share by which the worker is taken for quicker when it has refused: it may have become so."""
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
    """How long batches take, as a line through those that were written, later ones weighing more.

    A batch costs something, and each of its bars; who knows only the mean would refuse a batch of
    eighteen after a few batches of one.
    """

    def __init__(self) -> None:
        """Take the worker for as quick as can be until the first batch."""
        self._sums = [0.0] * 5  # of weights, bars, seconds, bars squared, bars times seconds

    def measured(self, bars: int, seconds: float) -> None:
        """Take note that a batch of so many bars took so long."""
        new = (1.0, bars, seconds, bars * bars, bars * seconds)
        self._sums = [
            (1 - REACTION) * old + each for old, each in zip(self._sums, new, strict=True)
        ]

    def forgive(self) -> None:
        """Take note that something was refused: it will be tried again when that goes on."""
        self._sums[2] *= 1 - FORGIVEN
        self._sums[4] *= 1 - FORGIVEN

    def seconds(self, bars: int) -> float:
        """Return how long a batch of so many bars will take."""
        weight, mean, time = self._means
        if not weight:
            return 0.0
        line = self._line
        if line is None:
            # all were of one size: between as long for any, and as long for each bar
            return time * math.sqrt(bars / mean)
        base, slope = line
        return base + slope * bars

    @property
    def batch_bars(self) -> int:
        """How many bars make a batch; one request may be larger."""
        weight, mean, time = self._means
        line = self._line
        if not weight or not time:
            return BATCH_MAX
        if line is None:
            most = mean * (BATCH_TIME / time) ** 2
        else:
            # half of the time at least is for the bars
            base, slope = line
            most = max(BATCH_TIME - base, base) / slope if slope else float(BATCH_MAX)
        return max(1, min(BATCH_MAX, math.floor(most)))

    @property
    def _means(self) -> tuple[float, float, float]:
        """How much is known, and the mean bars and seconds of a batch."""
        weight, bars, seconds, _, _ = self._sums
        return (weight, bars / weight, seconds / weight) if weight else (0.0, 0.0, 0.0)

    @property
    def _line(self) -> tuple[float, float] | None:
        """Seconds of a batch without its bars, and of each bar; None if sizes tell nothing."""
        weight, mean, time = self._means
        _, _, _, squares, products = self._sums
        spread = squares / weight - mean * mean if weight else 0.0
        if spread <= EVEN * mean * mean:
            return None
        slope = (products / weight - mean * time) / spread
        slope = min(max(slope, 0.0), time / mean)
        return time - slope * mean, slope

    def in_time(self, bars: int, left: float) -> bool:
        """Tell whether ``bars`` bars from now on would be there within ``left`` seconds."""
        return self.seconds(bars) + MARGIN <= left
