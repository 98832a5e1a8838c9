"""Hits and bars: frozen values, and what makes a bar playable."""

from dataclasses import dataclass, field

from drumigen.errors import PatternError
from drumigen.kit import Voice
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_SIXTEENTH, Tick

OFFSET_MAX = TICKS_PER_SIXTEENTH
"""Largest micro-timing either way, in ticks: one sixteenth (125 ms at 120 BPM)."""


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One stroke: where it is written, on which voice, how hard, and how far off the grid.

    ``tick`` is the written position from the bar line; it sounds at ``tick + offset``.

    Raises:
        PatternError: ``tick`` below 0, velocity outside 1-127, or an offset beyond a sixteenth.
    """

    tick: Tick
    voice: Voice
    velocity: int
    offset: int = 0

    def __post_init__(self) -> None:
        """Refuse what no bar can hold."""
        if self.tick < 0 or not 1 <= self.velocity <= 127 or abs(self.offset) > OFFSET_MAX:
            message = (
                f"hit {self.voice} at tick {self.tick}, velocity {self.velocity}, offset "
                f"{self.offset} is out of range: tick >= 0, velocity 1-127, offset within "
                f"{OFFSET_MAX} ticks"
            )
            raise PatternError(message)

    @property
    def sounding_tick(self) -> int:
        """Ticks from the bar line at which it sounds; may lie before it."""
        return self.tick + self.offset


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of drums; its hits are kept sorted by written position, then voice.

    Raises:
        PatternError: a hit is written at or beyond the end of the bar.
    """

    meter: Meter
    hits: tuple[Hit, ...] = field(default=())

    def __post_init__(self) -> None:
        """Sort, and refuse hits outside the bar."""
        object.__setattr__(self, "hits", tuple(sorted(self.hits)))
        if self.hits and self.hits[-1].tick >= self.meter.ticks:
            message = f"a hit at tick {self.hits[-1].tick} is outside a bar of {self.meter}"
            raise PatternError(message)
