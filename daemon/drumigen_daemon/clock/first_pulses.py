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

from drumigen_daemon.clock.second_master import DOUBLED_WITHIN, first_of_two

MOST: Final = 48
"""Stamps that are kept."""
LOOKS: Final = (8, 11, 14, 18, 24)
"""Numbers of stamps at which they are judged together."""
LOOKS_FOR_TWO: Final = (3, 4, 6, 8, 10, 12, 16, 24, 36, MOST)
"""The same, for whether they are two clocks."""

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
        together = sum(b - a < DOUBLED_WITHIN for a, b in itertools.pairwise(stamps))
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
        """Return the stamps of the first clock, if every second pulse is another's."""
        self.two_are_due = False
        return first_of_two(self.stamps)


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
