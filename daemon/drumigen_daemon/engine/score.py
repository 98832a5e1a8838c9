"""The score: the bars that the engine holds, by their place in the song."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from drumigen.pattern import spliced
from drumigen.units import Tick
from drumigen_daemon.engine.messages import Origin, PlannedBar

_KEPT_BARS = 4  # what is repeated, in turn, when nothing new comes


class Score:
    """Planned bars, and what to play where none was planned."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._bars: dict[int, PlannedBar] = {}
        self.plans = 0
        """Counts what was planned: until it grows, the same bars are held or fewer."""
        self._recent: deque[PlannedBar] = deque(maxlen=_KEPT_BARS)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the bars that are held."""
        return tuple(self._bars)

    def plan(self, bars: Iterable[PlannedBar], from_tick: Tick) -> None:
        """Take new bars; see :class:`~drumigen_daemon.engine.messages.Plan`."""
        self.plans += 1
        for new in bars:
            old = self._bars.get(new.number)
            for number, other in list(self._bars.items()):
                if number != new.number and other.start < new.end and new.start < other.end:
                    del self._bars[number]
            self._bars[new.number] = _joined(old, new, from_tick)

    def at(self, tick: float) -> PlannedBar | None:
        """Return the planned bar that holds ``tick``."""
        for bar in self._bars.values():
            if bar.start <= tick < bar.end:
                return bar
        return None

    def entered(self, bar: PlannedBar) -> None:
        """Remember that ``bar`` is sounding, and forget what lies well behind it."""
        if all(kept.bar != bar.bar for kept in self._recent):
            self._recent.append(bar)
        for number in [n for n in self._bars if 1 < n < bar.number - 2]:
            del self._bars[number]

    def repeat_recent(self, tick: float, before: PlannedBar | None) -> PlannedBar | None:
        """Plan a bar that holds ``tick`` from bars played lately; None if there are none.

        ``before`` is the bar that ends where this one is to start, if any.
        """
        if not self._recent or tick < 0:
            return None
        self._recent.rotate(-1)
        like = self._recent[0]
        if before is not None and before.end <= tick < before.end + like.bar.meter.ticks:
            number, start = before.number + 1, before.end
        else:
            number = int(tick // like.bar.meter.ticks)
            start = Tick(number * like.bar.meter.ticks)
        bar = replace(like, number=number, start=start, origin=Origin.REPEATED)
        self.plan([bar], Tick(0))
        return bar


def _joined(old: PlannedBar | None, new: PlannedBar, from_tick: Tick) -> PlannedBar:
    if old is None or not new.start < from_tick < new.end or old.start != new.start:
        return new
    if old.bar.meter != new.bar.meter:
        return new
    return replace(new, bar=spliced(old.bar, new.bar, from_tick - new.start))
