"""Two masters: whose pulses count, and how two clocks on one port are told from a fast one.

Masters with names of their own (ports, devices) are told apart by name.  Those that arrive as one
source are told apart by phase: by the first pulses together (:func:`first_of_two`), and later by
the share of pulses that are off the train which is followed.
"""

import math
from collections.abc import Sequence
from typing import Final

from drumigen.units import CLOCK_PPQN
from drumigen_daemon.clock.tempo_filter import PERIOD_MAX, PERIOD_MIN

TWO_BEATS: Final = 2 * CLOCK_PPQN
"""Periods without a pulse after which a master has left."""
COASTS_AFTER: Final = 2.25
"""Periods since the last pulse after which it is missed: one lost pulse (2) is no drop-out."""
DOUBLED_WITHIN: Final = 0.002
"""Seconds within which two pulses look like one that was doubled."""

_CONFLICT = 0.25  # share of pulses that are not the followed clock's, or come twice, in...
_CONFLICT_MEMORY = 24.0  # ...about so many pulses of late; a few in a row tell of late pulses
_CONFLICT_OVER = 0.1  # share at which it is over

_LATER: Final = 12
"""Stamps from which on these tell two clocks apart however close they are."""
_LOPSIDED: Final = {4: 0.4, 6: 0.25, 8: 0.2}
"""Share of a period by which every second pulse must be off to be another clock's, by how many
stamps tell so: of jitter as bad as we follow, one start of 3,000 looks like that..."""
_LOPSIDED_LATER: Final = 0.15
_LOPSIDED_FAST: Final = 0.05
"""...and where the alternative is a tempo beyond 240 BPM."""
_APART: Final = {4: 28.0, 6: 14.0, 8: 14.0, 10: 14.0}
"""Standard errors by which it must be off, too..."""
_APART_LATER: Final = 7.0
_FINEST: Final = 0.0003
"""...where a few pulses may be this even by luck, in seconds."""
_FAST: Final = 60.0 / 240 / CLOCK_PPQN
_FAR: Final = 4.0
"""How many times as far the third pulse must be where two came faster than 240 BPM."""


class Masters:
    """Who sends a clock.  The first heard is followed until it has been silent for two beats."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.now = 0.0
        """Seconds: the latest moment told."""
        self._heard: dict[str, float] = {}
        self._followed = ""
        self._odd = 0.0  # share of pulses of late that were foreign or doubled
        self._conflict = self._counted = False

    def pass_to(self, now: float) -> None:
        """Let time pass, to ``now`` (seconds)."""
        self.now = max(now, self.now)

    def hear(self, at: float, source: str, period: float) -> bool:
        """Note a pulse of ``source``; tell whether it is the followed master, or has become it."""
        heard = self._heard
        self.now = max(at, self.now) if heard else at
        if heard and source != self._followed:
            heard[source] = at
            if abs(at - heard.get(self._followed, at)) <= TWO_BEATS * period:
                return False
        self._followed = source
        heard[source] = at
        return True

    def started_by(self, source: str, period: float) -> None:
        """Follow ``source``, which has sent Start, if it is heard or the one followed has left."""
        if source == self._followed or not self._heard:
            return
        silent = self.now - self._heard.get(self._followed, -math.inf)
        if source in self.of_late(period) or silent > COASTS_AFTER * period:
            self._followed = source

    def count(self, *, counted: bool) -> None:
        """Learn whether a pulse of the followed source was one of its clock's.

        Several in a row that were not were late, and came in a bunch.
        """
        odd = self._counted and not counted
        self._counted = counted
        self._odd += (odd - self._odd) / _CONFLICT_MEMORY
        self._conflict = self._odd > (_CONFLICT_OVER if self._conflict else _CONFLICT)

    def are_two(self) -> None:
        """Learn that the source followed has a second clock in it."""
        self._odd = max(self._odd, 2.0 * _CONFLICT)

    def of_late(self, period: float) -> tuple[str, ...]:
        """Return the sources heard in the last two beats, the followed one first."""
        limit = self.now - TWO_BEATS * period
        followed = self._followed
        others = [s for s, at in self._heard.items() if at >= limit and s != followed]
        return (followed, *others) if self._heard.get(followed, -math.inf) >= limit else (*others,)

    def conflict(self, period: float) -> bool:
        """Tell whether two are heard; the first of :meth:`of_late` is followed."""
        return self._conflict or len(self.of_late(period)) > 1


def first_of_two(stamps: Sequence[float]) -> Sequence[float] | None:
    """Return the stamps of the first clock, if every second one of ``stamps`` is another's.

    The two have one tempo and stand a few milliseconds apart.  A second clock just half-way
    cannot be told from a doubled tempo.  Stamps are in seconds, three at least.
    """
    if len(stamps) == 3:
        gap, following = stamps[1] - stamps[0], stamps[2] - stamps[1]
        return stamps[0::2] if gap < _FAST and following > _FAR * gap else None
    pairs = len(stamps) // 2
    first, second = stamps[0 : 2 * pairs : 2], stamps[1 : 2 * pairs : 2]
    own = (_period(first) + _period(second)) / 2
    if not PERIOD_MIN < own < PERIOD_MAX:
        return None
    apart = sum(b - a for a, b in zip(first, second, strict=True)) / pairs
    enough = len(stamps) >= _LATER
    if not enough and not DOUBLED_WITHIN <= apart < 0.5 * own:
        return None  # copies begin with a short gap, late pulses with a long one
    rest = _rest(first, own) + _rest(second, own)
    variance = max(rest / (2 * pairs - 3), _FINEST**2)
    lopsided = _LOPSIDED.get(len(stamps), _LOPSIDED_LATER)
    if enough and 0.5 * own < _FAST:
        lopsided = _LOPSIDED_FAST
    errors = _APART.get(len(stamps), _APART_LATER) * math.sqrt(2.0 * variance / pairs)
    return stamps[0::2] if abs(apart - 0.5 * own) >= max(lopsided * 0.5 * own, errors) else None


def _period(stamps: Sequence[float]) -> float:
    """Return the period of an even train of stamps."""
    n = len(stamps)
    centre = (n - 1) / 2
    return sum((i - centre) * at for i, at in enumerate(stamps)) * 12 / (n * (n * n - 1))


def _rest(stamps: Sequence[float], period: float) -> float:
    """Return the sum of squares by which stamps are off an even train of ``period``."""
    n = len(stamps)
    centre, mean = (n - 1) / 2, sum(stamps) / n
    return sum((at - mean - (i - centre) * period) ** 2 for i, at in enumerate(stamps))
