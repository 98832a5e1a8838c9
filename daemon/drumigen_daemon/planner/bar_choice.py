"""What a bar of the song is going to be, and what it is joined from."""

from collections.abc import Sequence
from dataclasses import dataclass

from drumigen.kit import Voice
from drumigen.pattern import Bar, spliced
from drumigen.units import Tick
from drumigen.variation import with_crash
from drumigen_daemon.engine.messages import Origin, PlannedBar
from drumigen_daemon.generator.messages import BarRequest
from drumigen_daemon.planner.shape import Shape


@dataclass(frozen=True, slots=True)
class BarPart:
    """What a bar is from ``tick`` of the song on: a bar of some source, made for ``request``."""

    tick: Tick
    request: BarRequest
    bar: Bar
    origin: Origin
    exact: bool = True
    """Whether it is the very bar that was asked for."""
    made_for: BarRequest | None = None
    """What it was written for, if that is not what was asked."""
    used: BarRequest | None = None
    """What was used up for it."""
    given: bool = False
    """Whether the form says what it is: nobody has to write it."""
    kept: bool = True
    """Whether it is worth remembering once it has sounded."""


@dataclass(frozen=True, slots=True)
class BarChoice:
    """A planned bar with its parts, each as it was written and as it sounds."""

    planned: PlannedBar
    parts: tuple[BarPart, ...]
    shapes: tuple[Shape, ...]
    shaped: tuple[Bar, ...]

    @property
    def known(self) -> dict[tuple[Bar, Shape], Bar]:
        """What has been shaped, by what it was shaped from."""
        written = [part.bar for part in self.parts]
        return dict(zip(zip(written, self.shapes, strict=True), self.shaped, strict=True))

    @property
    def written(self) -> Bar:
        """The bar before anything was done to it."""
        return joined(self.planned.start, self.parts, [part.bar for part in self.parts])

    def part_of(self, style: str) -> BarPart | None:
        """Return the last part in that style that is worth remembering."""
        mine = (p for p in reversed(self.parts) if p.request.style == style and p.kept)
        return next(mine, None)


def joined(start: Tick, parts: Sequence[BarPart], bars: Sequence[Bar]) -> Bar:
    """Return the bar at ``start`` that is, from each part's tick on, that part's of ``bars``."""
    last = bars[-1]
    if len(parts) == 1:
        return last
    whole = bars[0]
    for bar, part in zip(bars[1:], parts[1:], strict=True):
        whole = spliced(whole, bar, part.tick - start)
    return whole


def continued(old: Bar, new: Bar, tick: int) -> Bar:
    """Return ``old`` up to ``tick``, and ``new`` from there: what the engine makes of a plan."""
    if not 0 < tick < new.meter.ticks or old.meter != new.meter:
        return new
    return spliced(old, new, tick)


def landed(request: BarRequest, bar: Bar) -> Bar:
    """Return ``bar`` with a crash on the one, if something leads to it."""
    if not request.after_fill or any(hit.voice is Voice.CRASH for hit in bar.at(0)):
        return bar
    return with_crash(bar)
