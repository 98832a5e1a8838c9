"""Where the song is, as the planner was last told, and which boundary comes next."""

import math
from dataclasses import dataclass
from typing import Final

from drumigen.timeline import MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Seconds, Tick
from drumigen_daemon.session import Quantum

LOOK_AHEAD_BARS: Final = 2
"""Bars after the one that sounds that are planned: 4 s at 120 BPM in 4/4."""
SWITCH_MARGIN: Final = 0.001
"""Seconds before a boundary within which a change is too late for it and takes the next.

It takes about that long to reach the engine, which knows better what it can still take back.
"""


@dataclass(frozen=True, slots=True)
class Playhead:
    """The bar that sounds or will be started from, and the timeline of the song it moves along."""

    rolling: bool = False
    timeline: Timeline | None = None
    tick: int = 0
    """Where it was when that was last told."""
    bar: int = 0

    def tick_at(self, now: float) -> float:
        """Return where it is at ``now``."""
        return (
            self.timeline.tick_at(now) if self.rolling and self.timeline is not None else self.tick
        )

    def has_begun(self, bar: int) -> bool:
        """Whether a bar sounds or is over."""
        return bar < self.bar or (self.rolling and bar == self.bar)

    @property
    def wanted(self) -> list[int]:
        """The bars that must be planned, the most urgent first."""
        ahead = list(range(self.bar, self.bar + LOOK_AHEAD_BARS + 1))
        # a Start may come at any time, and its first bar must be there at once
        return ahead + [number for number in (0, 1) if number not in ahead]

    def boundary(self, quantum: Quantum, meters: MeterMap, phrase: int, now: Seconds) -> Tick:
        """Return the tick of the next boundary that can still be kept.

        At rest it is that of the bar to start from.  A ``phrase`` has so many bars.
        """
        if not self.rolling:
            return meters.start_of(self.bar)
        tick = max(0.0, self.tick_at(now + SWITCH_MARGIN))  # a count may lead to the first bar
        bar = meters.bar_at(tick)
        start, meter = meters.start_of(bar), meters.meter_of(bar)
        if quantum is Quantum.PHRASE:
            bar += tick > start
            return meters.start_of(-(-bar // phrase) * phrase)
        length = {
            Quantum.STEP: TICKS_PER_SIXTEENTH,
            Quantum.BEAT: meter.beat_ticks,
            Quantum.BAR: meter.ticks,
        }[quantum]
        return Tick(start + math.ceil(max(0.0, tick - start) / length) * length)
