"""The form of the song as the performer calls it: fills, takes, repeats, builds, stutters.

A value: what was called, and for when.  ``Planner.call`` takes one, :mod:`.arrangement` obeys it.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Final

from drumigen.pattern import Bar, Hit
from drumigen.units import Tick
from drumigen_daemon.generator.messages import BarRequest

TAKES_MAX: Final = 256
"""Changes of take that are remembered; the oldest give way."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a bar that comes again and again from tick ``begin`` of the song on."""

    begin: Tick
    length: int
    hits: tuple[Hit, ...]
    """Their ticks count from the beginning of the piece."""

    def in_bar(self, start: Tick) -> "Piece":
        """Return the piece for the bar at ``start``: it begins less than its length before it."""
        begin = self.begin - start
        if begin < 0:
            begin = -(-begin % self.length)
        return Piece(Tick(begin), self.length, self.hits)


@dataclass(frozen=True, slots=True)
class Held:
    """A bar that is played again, for as long as its style is."""

    number: int
    request: BarRequest
    bar: Bar


@dataclass(frozen=True, slots=True)
class Build:
    """A build over ``bars`` bars from bar ``first`` on."""

    first: int
    bars: int

    def part(self, number: int) -> tuple[float, float] | None:
        """Return from where to where in the build (0-1) a bar goes; None outside it."""
        if not self.first <= number < self.first + self.bars:
            return None
        return (number - self.first) / self.bars, (number - self.first + 1) / self.bars


class Calls:
    """What was called for, by place in the song; all but the takes is over with a relocate."""

    def __init__(self) -> None:
        """Nothing was called for."""
        self.fills: dict[int, Tick] = {}
        """Bars that a fill was called for, and the tick it begins at."""
        self.repeats: dict[int, Held] = {}
        """Bars that are another one again."""
        self.held: Held | None = None
        self.build: Build | None = None
        self.piece: Piece | None = None
        self._takes: list[tuple[Tick, int]] = [(Tick(0), 0)]

    def relocated(self) -> None:
        """Forget what was called for at a place that was left."""
        self.fills.clear()
        self.repeats.clear()
        self.held = None
        self.build = None
        if self.piece is not None:
            self.piece = replace(self.piece, begin=Tick(0))

    def held_in(self, number: int) -> Held | None:
        """Return what bar ``number`` is to be again, if it is."""
        if self.held is not None and number > self.held.number:
            return self.held
        return self.repeats.get(number)

    def passed(self, number: int) -> None:
        """Forget what is over when bar ``number`` begins."""
        for calls in (self.fills, self.repeats):
            for bar in [bar for bar in calls if bar < number - 1]:
                del calls[bar]
        if self.build is not None and number > self.build.first + self.build.bars:
            self.build = None

    def take_at(self, tick: float) -> int:
        """Return which take is played at ``tick``."""
        index = bisect_right([change[0] for change in self._takes], tick) - 1
        return self._takes[max(0, index)][1]

    def takes_within(self, start: Tick, end: Tick) -> list[Tick]:
        """Return where after ``start`` and before ``end`` the take changes."""
        return [tick for tick, _ in self._takes if start < tick < end]

    def reroll(self, tick: Tick) -> None:
        """Play a take that was never heard from ``tick`` on."""
        self._take(tick, max(take for _, take in self._takes) + 1)

    def back(self, tick: Tick) -> None:
        """Play the take before the present one from ``tick`` on, if there is one."""
        if self.take_at(tick) > 0:
            self._take(tick, self.take_at(tick) - 1)

    def _take(self, tick: Tick, take: int) -> None:
        kept = [change for change in self._takes if change[0] < tick]
        self._takes = [*kept, (tick, take)]
        if len(self._takes) > TAKES_MAX:
            self._takes[:2] = [(Tick(0), self._takes[1][1])]
