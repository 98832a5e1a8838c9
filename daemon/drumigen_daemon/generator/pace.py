"""How fast the generator writes, and so how much may be asked of it at once.  Sans I/O.

A generator that keeps up is asked for all that is missing.  One that is slower is asked for what
it can write within a bar, so that the song does not wait for bars of other styles; and one that
takes longer for a bar than a bar lasts is not asked at all but for a trial now and then, while the
fallbacks play: it would be late with every bar, and keep a core busy for nothing.
"""

import math
from typing import Final

from drumigen.units import Seconds
from drumigen_daemon.generator.messages import EVERYTHING

SLOW_BATCHES: Final = 2
"""Batches in a row that took longer than their bars last, after which it counts as too slow."""
TRIAL_FIRST: Final = 4.0
TRIAL_LAST: Final = 300.0
"""Seconds until one too slow is tried again: from the first to the last, doubled each time."""


class Pace:
    """Measures batches, one at a time."""

    def __init__(self) -> None:
        """Take it for quick until it was seen to be slow."""
        self._asked: tuple[int, float, float] | None = None
        self.seconds_a_bar = 0.0
        """What the last batch took for each of its bars."""
        self._slow = 0
        self._trial_at = -math.inf

    @property
    def too_slow(self) -> bool:
        """Whether it cannot keep up with the song."""
        return self._slow >= SLOW_BATCHES

    def asked(self, bars: int, bar_seconds: float, now: Seconds) -> None:
        """Take note that so many bars were asked for, in a song whose bars last so long."""
        self._asked = (bars, bar_seconds, now)

    def over(self, now: Seconds) -> None:
        """Take note that the batch was answered, or will never be."""
        if self._asked is None:
            return
        bars, bar_seconds, begun = self._asked
        self._asked = None
        self.seconds_a_bar = (now - begun) / max(1, bars)
        self._slow = self._slow + 1 if self.seconds_a_bar > bar_seconds else 0
        if self.too_slow:
            doubled = TRIAL_FIRST * 2.0 ** min(self._slow - SLOW_BATCHES, 30)
            self._trial_at = now + min(TRIAL_LAST, doubled)

    def forget(self) -> None:
        """Forget the batch that was asked for: whoever was asked is gone."""
        self._asked = None

    def room(self, bar_seconds: float, now: Seconds) -> int:
        """Return how many bars may be asked for now, in a song whose bars last so long."""
        if self.too_slow:
            return 1 if now >= self._trial_at else 0
        if not self.seconds_a_bar:
            return EVERYTHING
        return max(1, min(EVERYTHING, int(bar_seconds / self.seconds_a_bar)))
