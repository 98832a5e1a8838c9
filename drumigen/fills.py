"""What makes a bar a fill, beside the bars around it, and where in the bar it begins."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from drumigen.kit import TOMS, VOICES, Voice
from drumigen.pattern import Bar, Hit
from drumigen.timekeeping import Cells, cells
from drumigen.units import TICKS_PER_SIXTEENTH
from drumigen.variation import GHOST_LOOSE_MAX

FILL_EXTRA: Final = 3
"""Toms, or struck snares in its second half, that a bar has beyond what is usual to be a fill."""
USUAL_SHARE: Final = 0.25
"""Share of bars that strike what is usual in them."""


def fills_among(bars: Sequence[Bar]) -> tuple[bool, ...]:
    """Return for each of ``bars``, a whole performance, whether it is a fill."""
    return _beyond(bars, bars)


def is_fill(bar: Bar, others: Sequence[Bar]) -> bool:
    """Tell whether ``bar`` has more toms, or a busier snare at its end, than ``others`` do."""
    return _beyond((bar,), others)[0]


def _beyond(bars: Sequence[Bar], others: Sequence[Bar]) -> tuple[bool, ...]:
    toms, rolls = (median(map(count, others)) if others else 0 for count in (_toms, _late_snares))
    return tuple(
        _toms(bar) >= toms + FILL_EXTRA or _late_snares(bar) >= rolls + FILL_EXTRA for bar in bars
    )


def _toms(bar: Bar) -> int:
    return sum(hit.voice in TOMS for hit in bar.hits)


def _late_snares(bar: Bar) -> int:
    return sum(_is_struck_snare(hit) and 2 * hit.tick >= bar.meter.ticks for hit in bar.hits)


def _is_struck_snare(hit: Hit) -> bool:
    return VOICES[hit.voice].class_of_nine is Voice.SNARE and hit.velocity > GHOST_LOOSE_MAX


def usual_drums(bars: Sequence[Bar]) -> Cells:
    """Return which sixteenths toms and struck snares are usually on: in one of four ``bars``."""
    counts = Counter(cell for bar in bars for cell in _drums(bar))
    return frozenset(cell for cell, count in counts.items() if count >= USUAL_SHARE * len(bars))


def fill_ticks(bar: Bar, usual: Cells) -> int:
    """Return how long the fill of ``bar`` is: from its first tom or snare that is not usual."""
    new = [step for step, voice in _drums(bar) if (step, voice) not in usual]
    return bar.meter.ticks - min(new) * TICKS_PER_SIXTEENTH if new else 0


def _drums(bar: Bar) -> Cells:
    """Return which sixteenths toms and struck snares are on."""
    struck = tuple(hit for hit in bar.hits if hit.voice in TOMS or _is_struck_snare(hit))
    return cells(replace(bar, hits=struck))
