"""What a band hears: whether a drummer keeps time, breathes, comes back to bars, and can be told.

Every measure takes takes of consecutive bars in 4/4, human or played alike.  A take's first and
last bar are left out where bars are judged one by one: people begin late and end early.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import compress
from math import ceil
from statistics import fmean, median
from typing import Final

import numpy as np

from drumigen.fills import fill_ticks, usual_drums
from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.timekeeping import (
    CYMBALS,
    SAME,
    Keeper,
    has_backbeat,
    keeps_time,
    likeness,
)
from drumigen.training.features import (
    BAR_STEPS,
    CELL,
    HIT,
    OFFSET,
    VELOCITY,
    Excerpts,
    FeatureCells,
)
from drumigen.training.labels import GROOVE_SHARE, fills_of
from drumigen.training.strokes import CLASSES, Doubles, Ints, Strokes, in_four, strokes_of
from drumigen.training.takes import Take
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH

GROOVE_BARS: Final = 8
"""Bars that a groove take has at least."""
MEASURED_BARS_MAX: Final = 64
"""Bars of a take that count, from its first."""
WINDOWS_MAX: Final = 32
WINDOW_HITS: Final = 6
WINDOW_BARS: Final = 2
LOUDEST: Final = 112
LEVEL_STEP: Final = 14
"""Velocities are seen up to here and in such steps: neither clipping nor a bin's edge tells."""
LAGS: Final = (1, 2, 4, 8)
BACK: Final = 8
DISTINCT_BARS: Final = 16
DISTINCT: Final = 0.8
FOUR_BEATS: Final = 4

VIEWS: Final = {
    "all": (HIT, VELOCITY, OFFSET),
    "hits": (HIT,),
    "hits and velocity": (HIT, VELOCITY),
    "hits and timing": (HIT, OFFSET),
}
"""What a classifier is shown of each cell."""


def inner(take: Take) -> tuple[Bar, ...]:
    """Return the bars that are judged one by one."""
    return take.bars[1:-1][:MEASURED_BARS_MAX]


def groove_takes(takes: Sequence[Take]) -> list[Take]:
    """Return the beats in 4/4 of eight bars or more that keep time in three bars of five."""
    found = []
    for take in in_four(takes):
        bars = inner(take)
        if len(take.bars) >= GROOVE_BARS:
            keeps = sum(map(keeps_time, bars))
            if keeps >= GROOVE_SHARE * len(bars):
                found.append(take)
    return found


def windows_of(takes: Sequence[Take]) -> Excerpts:
    """Return windows of two bars, lean and ceiling taken out."""
    cut: list[FeatureCells] = []
    numbers: list[int] = []
    styles: list[str] = []
    for number, take in enumerate(takes):
        strokes = strokes_of(take, WINDOW_BARS * WINDOWS_MAX)
        found = _cells(strokes)
        kept = found[found[..., HIT].sum(axis=(1, 2)) >= WINDOW_HITS]
        cut.append(kept)
        numbers += [number] * len(kept)
        styles += [take.style] * len(kept)
    return Excerpts(np.concatenate(cut), np.array(numbers), np.array(styles, dtype=np.str_))


def _cells(strokes: Strokes) -> FeatureCells:
    windows = strokes.bars // WINDOW_BARS
    steps = windows * WINDOW_BARS * BAR_STEPS
    cells = np.zeros((steps, len(CLASSES), CELL), dtype=np.float32)
    order = np.argsort(strokes.velocities, kind="stable")
    order = order[(strokes.steps[order] >= 0) & (strokes.steps[order] < steps)]
    at = strokes.steps[order], strokes.classes[order]
    lean = np.median(strokes.offsets) if len(strokes.offsets) else 0.0
    cells[*at, HIT] = 1
    cells[*at, VELOCITY] = np.minimum(strokes.velocities[order], LOUDEST) // LEVEL_STEP
    cells[*at, OFFSET] = (strokes.offsets[order] - lean) / TICKS_PER_SIXTEENTH
    return cells.reshape(windows, WINDOW_BARS * BAR_STEPS, len(CLASSES), CELL)


def seen(windows: Excerpts, view: Sequence[int]) -> Excerpts:
    """Return the windows with nothing but ``view`` in their cells."""
    hidden = [part for part in range(CELL) if part not in view]
    cells = windows.cells.copy()
    cells[..., hidden] = 0
    return Excerpts(cells, windows.takes, windows.styles)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a measure is spread over takes: lowest, quantiles, highest."""

    values: tuple[float, ...]

    def at(self, share: float) -> float:
        """Return the quantile ``share`` (0-1)."""
        return float(np.quantile(self.values, share)) if self.values else float("nan")

    @property
    def median(self) -> float:
        """The middle one."""
        return self.at(0.5)


def _over(takes: Sequence[Take], of: Callable[[Take], float | None]) -> Spread:
    found = (of(take) for take in takes)
    return Spread(tuple(value for value in found if value is not None))


def time_kept(
    takes: Sequence[Take], *, fills: bool = True, keepers: Collection[Keeper] = CYMBALS
) -> Spread:
    """Return the share of each take's bars that keep time; without ``fills`` of those no fill."""

    def share(take: Take) -> float | None:
        kept = fills_of(take)
        bars = [
            bar for bar, fill in zip(take.bars[1:-1], kept[1:-1], strict=True) if fills or not fill
        ][:MEASURED_BARS_MAX]
        return fmean(keeps_time(bar, keepers) for bar in bars) if bars else None

    return _over(takes, share)


def fill_share(takes: Sequence[Take]) -> Spread:
    """Return the share of each take's bars that are fills."""
    return _over(takes, lambda take: fmean(fills_of(take)[1:-1][:MEASURED_BARS_MAX]))


def fill_lengths(takes: Sequence[Take]) -> Spread:
    """Return how many beats each fill takes, in halves.

    It begins where a tom or a struck snare first leaves what the take's other bars strike.
    """
    found: list[float] = []
    for take in takes:
        fills = fills_of(take)
        usual = usual_drums([bar for bar, fill in zip(take.bars, fills, strict=True) if not fill])
        for bar in compress(take.bars, fills):
            left = fill_ticks(bar, usual)
            if left:
                found.append(ceil(2 * left / TICKS_PER_BEAT) / 2)
    return Spread(tuple(found))


def fills_at_ends(takes: Sequence[Take]) -> Spread:
    """Return, of each take's fills, the share that is in the fourth bar of four."""

    def share(take: Take) -> float | None:
        places = [
            number % FOUR_BEATS == FOUR_BEATS - 1
            for number, fill in enumerate(fills_of(take))
            if fill
        ]
        return fmean(places) if places else None

    return _over(takes, share)


def backbeat(takes: Sequence[Take]) -> Spread:
    """Return the share of each take's bars that have a backbeat."""
    return _over(takes, lambda take: fmean(map(has_backbeat, inner(take))))


def alike_at(takes: Sequence[Take], lag: int) -> Spread:
    """Return the median likeness, in each take, of a bar to the one ``lag`` bars before."""

    def of(take: Take) -> float | None:
        bars = inner(take)
        found = [likeness(bar, old) for bar, old in zip(bars[lag:], bars, strict=False)]
        return median(found) if found else None

    return _over(takes, of)


def best_of_last(takes: Sequence[Take]) -> Spread:
    """Return the mean likeness, in each take, of a bar to the likest of the eight before."""

    def of(take: Take) -> float | None:
        bars = inner(take)
        best = [
            max(likeness(bar, old) for old in bars[max(0, number - BACK) : number])
            for number, bar in enumerate(bars)
            if number
        ]
        return fmean(best) if best else None

    return _over(takes, of)


def heard_before(takes: Sequence[Take]) -> Spread:
    """Return the share of each take's bars that are an earlier bar again."""

    def of(take: Take) -> float:
        bars = inner(take)
        return fmean(
            any(likeness(bar, old) > SAME for old in bars[:number])
            for number, bar in enumerate(bars)
        )

    return _over(takes, of)


def distinct_bars(takes: Sequence[Take]) -> Spread:
    """Return how many kinds of bars there are in each 16, by greedy clusters."""

    def of(take: Take) -> float | None:
        bars = inner(take)
        counts = []
        for first in range(0, len(bars) - DISTINCT_BARS + 1, DISTINCT_BARS):
            kinds: list[Bar] = []
            for bar in bars[first : first + DISTINCT_BARS]:
                if all(likeness(bar, kind) < DISTINCT for kind in kinds):
                    kinds.append(bar)
            counts.append(len(kinds))
        return fmean(counts) if counts else None

    return _over(takes, of)


def velocities_of(takes: Sequence[Take]) -> Ints:
    """Return every velocity that is struck."""
    found = [
        hit.velocity for take in takes for bar in take.bars[:MEASURED_BARS_MAX] for hit in bar.hits
    ]
    return np.array(found, dtype=np.int64)


def by_class(takes: Sequence[Take]) -> dict[Voice, Doubles]:
    """Return mean and standard deviation of velocity by class of the nine."""
    strokes = [strokes_of(take, MEASURED_BARS_MAX) for take in takes]
    levels = np.concatenate([one.velocities for one in strokes])
    classes = np.concatenate([one.classes for one in strokes])
    found = {}
    for number, voice in enumerate(CLASSES):
        own = levels[classes == number]
        if len(own):
            found[voice] = np.array([own.mean(), own.std(), len(own)])
    return found


def overlap(one: Doubles | Ints, two: Doubles | Ints, edges: Doubles) -> float:
    """Return the overlapping area (0-1) of two sets of values over bins."""
    shares = [np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0] / len(x) for x in (one, two)]
    return float(np.minimum(*shares).sum())


def offsets_without_lean(takes: Sequence[Take]) -> Doubles:
    """Return milliseconds from the nearest sixteenth, each take's median taken out."""
    found = []
    for take in takes:
        ms = strokes_of(take, MEASURED_BARS_MAX).offsets_ms
        found.append(ms - np.median(ms) if len(ms) else ms)
    return np.concatenate(found)
