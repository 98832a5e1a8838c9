"""The first pulses of a clock, judged together: while few are known, one late pulse misleads.

A pulse says what number it has only by when it comes.  As long as the tempo is hardly known that
is a guess: a pulse that a USB stall delivers together with the next one looks like a slow tempo
and a doubled pulse; a clock that comes twice, a few milliseconds apart, looks like a fast one.
Once some pulses of a steady tempo are there, all of them can be numbered anew, by time.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from drumigen_daemon.clock.tempo_filter import PERIOD_MAX, PERIOD_MIN

MOST: Final = 48
"""Stamps that are kept."""
LOOKS: Final = (8, 11, 14, 18, 24)
"""Numbers of stamps at which they are judged together."""
LOOKS_FOR_TWO: Final = (3, 4, 6, 8, 10, 12, 16, 24, 36, MOST)
"""The same, for whether they are two clocks."""
LATER: Final = 12
"""Stamps from which on these tell them apart however close they are."""

# costs: negative logarithms of chances
_LATE = 3.0  # a pulse is an outlier, late: 5 %...
_LATE_SCALE = 0.010  # ...and how far, in seconds
_EARLY = 9.0  # or early, which no queue makes it
_LOST = 7.0  # one is lost...
_LOST_ON = 0.1  # ...and each one after it
_TWICE = 8.0  # one comes twice
_TWICE_AGAIN = 1.0  # and does so all the time
_MARGIN = 2.0  # by which another count must be likelier
_REACH = 0.030  # seconds by which a pulse may be late

_TOGETHER: Final = 0.002
"""Seconds within which two pulses look like one that was doubled."""
_LOPSIDED: Final = {4: 0.4, 6: 0.25, 8: 0.2}
"""Share of a period by which every second pulse must be off to be another clock's, by how many
stamps tell so: of jitter as bad as we follow, one start of 3,000 looks like that..."""
_LOPSIDED_LATER: Final = 0.15
_LOPSIDED_FAST: Final = 0.05
"""...and where the alternative is a tempo beyond 240 BPM."""
_FAST: Final = 60.0 / 240 / 24
_APART: Final = {4: 28.0, 6: 14.0, 8: 14.0, 10: 14.0}
"""Standard errors by which it must be off, too..."""
_APART_LATER: Final = 7.0
_FAR: Final = 4.0
"""How many times as far the third pulse must be where two came faster than 240 BPM."""
_FINEST: Final = 0.0003
"""...where a few pulses may be this even by luck, in seconds."""


class FirstPulses:
    """The stamps of the first pulses since a clock began."""

    def __init__(self, number: int) -> None:
        """Begin before pulse ``number``."""
        self.number = number
        self.stamps: list[float] = []
        self._open = True
        self.count_is_due = False
        """Whether to ask for :meth:`span` now."""
        self.two_are_due = False
        """Whether to ask for :meth:`of_two` now."""

    def are_known(self) -> None:
        """Judge none: another one has done so."""
        self._open = False

    def add(self, at: float) -> None:
        """Take the stamp of a pulse, whether it counts or not."""
        if self._open and len(self.stamps) <= MOST:
            self.stamps.append(at)
            self.count_is_due |= len(self.stamps) in LOOKS
            self.two_are_due |= len(self.stamps) in LOOKS_FOR_TWO

    def span(self, x: float, period: float, noise: float, counted: int) -> int:
        """Return how many pulses after the first one the pulse at ``x`` is.

        ``period`` holds since the first (seconds), with a variance of ``noise``; ``counted`` is
        what has been counted so far, and stands unless another count is clearly likelier.
        """
        self.count_is_due = False
        stamps = self.stamps
        together = sum(b - a < _TOGETHER for a, b in itertools.pairwise(stamps))
        noise, twice = max(noise, 1e-8), _TWICE if together <= 2 else _TWICE_AGAIN
        best = min(_numberings(stamps, x, period, noise, twice).values(), default=None)
        if best is None or best.span == counted or best.span < 1 or counted < 1:
            return counted
        # each count is judged by the even clock that suits it best
        costs = {best.span: math.inf, counted: math.inf}
        for span, begin in itertools.product(costs, ((x, period), (x, (x - stamps[0]) / counted))):
            line = begin
            for _ in range(2):
                found = _numberings(stamps, *line, noise, twice).get(span)
                if found is None:
                    break
                costs[span] = min(costs[span], found.cost)
                line = _line_through(stamps, found.numbers)
        # a tempo that moves fits no even count: then what was counted stands
        likely = costs[best.span] < 1.5 * len(stamps) + 12.0
        clearly = costs[best.span] + _MARGIN < costs[counted]
        return best.span if likely and clearly else counted

    def of_two(self) -> Sequence[float] | None:
        """Return the stamps of the first clock, if every second pulse is another's.

        The two have one tempo and stand a few milliseconds apart.  A second clock just half-way
        cannot be told from a doubled tempo.
        """
        self.two_are_due = False
        stamps = self.stamps
        if len(stamps) == 3:
            gap, following = stamps[1] - stamps[0], stamps[2] - stamps[1]
            return stamps[0::2] if gap < _FAST and following > _FAR * gap else None
        pairs = len(stamps) // 2
        first, second = stamps[0 : 2 * pairs : 2], stamps[1 : 2 * pairs : 2]
        own = (_period(first) + _period(second)) / 2
        if not PERIOD_MIN < own < PERIOD_MAX:
            return None
        apart = sum(b - a for a, b in zip(first, second, strict=True)) / pairs
        enough = len(stamps) >= LATER
        if not enough and not _TOGETHER <= apart < 0.5 * own:
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


class _Numbering(NamedTuple):
    """A number for each stamp; 0 is the pulse that the last ones are counted by."""

    cost: float
    numbers: tuple[int, ...]

    @property
    def span(self) -> int:
        """Pulses from the first stamp to pulse 0."""
        return -self.numbers[0]


def _numberings(
    stamps: Sequence[float], x: float, period: float, noise: float, twice: float
) -> dict[int, _Numbering]:
    """Return the likeliest numbering for each span; pulse 0 is at ``x``.

    Dynamic programming, from the last stamp back.
    """
    after: dict[int, _Numbering] = {}
    for at in reversed(stamps):
        nearest = (at - x) / period
        here = {}
        for number in range(math.floor(nearest - _REACH / period), math.ceil(nearest) + 1):
            cost = _cost_of_being(at - x - number * period, noise)
            rest = min(
                (
                    _Numbering(n.cost + _cost_between(number, k, twice), n.numbers)
                    for k, n in after.items()
                ),
                default=_Numbering(0.0, ()),
            )
            if rest.cost < math.inf:
                here[number] = _Numbering(cost + rest.cost, (number, *rest.numbers))
        if not here:  # the stamps are in no order
            return {}
        after = here
    return {-number: numbering for number, numbering in after.items()}


def _line_through(stamps: Sequence[float], numbers: Sequence[int]) -> tuple[float, float]:
    """Return when pulse 0 is and the period, by the straight line that most stamps lie on."""
    line = _least_squares(stamps, numbers)
    x, period = line
    rests = [abs(at - x - n * period) for at, n in zip(stamps, numbers, strict=True)]
    limit = 3.0 * sorted(rests)[len(rests) // 2] + 1e-6
    good = [i for i, rest in enumerate(rests) if rest < limit]
    if len({numbers[i] for i in good}) < 3:
        return line
    return _least_squares([stamps[i] for i in good], [numbers[i] for i in good])


def _least_squares(stamps: Sequence[float], numbers: Sequence[int]) -> tuple[float, float]:
    n = len(stamps)
    centre, mean = sum(numbers) / n, sum(stamps) / n
    square = sum((k - centre) ** 2 for k in numbers)
    slope = sum((k - centre) * (at - mean) for k, at in zip(numbers, stamps, strict=True))
    period = max(slope / square if square else 0.0, 1e-3)
    return mean - centre * period, period


def _cost_of_being(late: float, noise: float) -> float:
    on_time = 0.5 * late * late / noise
    if late > 0.0:
        return min(on_time, _LATE + 2.0 * math.log1p(late / _LATE_SCALE))
    return min(on_time, _EARLY - 1e3 * late)


def _cost_between(number: int, following: int, twice: float) -> float:
    gap = following - number
    if gap == 1:
        return 0.0
    if gap == 0:
        return twice
    return _LOST + _LOST_ON * (gap - 2) if gap > 1 else math.inf
