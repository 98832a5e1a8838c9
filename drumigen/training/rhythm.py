"""How a take sits in time and how its loudness is built, in figures to hold against human ones.

All are read from when strokes sound, against the nearest sixteenth.  Where a take has too little
to tell, a figure is nan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np

from drumigen.kit import Voice
from drumigen.training.strokes import Doubles, Ints, Strokes
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH

STRUCK_HATS: Final = (Voice.CLOSED_HAT, Voice.OPEN_HAT)
"""The hi-hat as a hand plays it."""

SWUNG_VOICES: Final = (*STRUCK_HATS, Voice.RIDE, Voice.RIDE_BELL)
"""Voices whose swing is the swing of a take."""

PAIRED_TIMEKEEPERS: Final = (*SWUNG_VOICES, Voice.PEDAL_HAT)
"""Voices that keep time together."""

SECONDS_MIN: Final = 60.0
"""Shortest take of which lag-1 and DFA say something."""

TIMING_EDGES: Final = np.linspace(-80.0, 80.0, 42)
"""41 bins of 3.9 ms over +-80 ms; what lies beyond is counted in the outermost."""

VELOCITY_EDGES: Final = np.linspace(0.0, 128.0, 33)
"""32 bins of 4."""

EIGHTHS: Final = 2
SIXTEENTHS: Final = 4
"""What swings, by how many go to a beat."""

_SWING_SHARES: Final = {EIGHTHS: (0.40, 0.72), SIXTEENTHS: (0.40, 0.80)}
"""Where an off-beat may lie between its neighbours.  Of eighths, 0.75 is a dotted figure."""

_ON: Final = 0.15
"""How far from its place, as a share of the span between two, an on-beat is still one."""

_MARKED_MIN: Final = 0.8
_SWING_PAIRS_MIN: Final = 8
_WINDOW_MIN: Final = 8
_MAD_TO_SD: Final = 1.4826
"""Of a normal distribution: standard deviation over median absolute deviation."""


@dataclass(frozen=True, eq=False)
class Timekeeping:
    """One stroke a beat, in order: which beat it is for, how far from it, and its velocity."""

    beats: Ints
    offsets_ms: Doubles
    velocities: Doubles


def timekeeping(strokes: Strokes) -> Timekeeping:
    """Return how hats and ride mark the beats: the stroke nearest to each, beats without left out.

    Nearest, and less than a sixteenth away.  Empty where fewer than 80 % of the beats are marked.
    """
    keeping = strokes.of(*PAIRED_TIMEKEEPERS)
    ticks = strokes.ticks[keeping]
    beats = np.floor_divide(ticks + TICKS_PER_BEAT // 2, TICKS_PER_BEAT)
    away = np.abs(ticks - TICKS_PER_BEAT * beats)
    order = np.argsort(away, kind="stable")
    marked, first = np.unique(beats[order], return_index=True)
    nearest = order[first]
    near = away[nearest] < TICKS_PER_SIXTEENTH
    marked, nearest = marked[near], nearest[near]
    if len(marked) < _MARKED_MIN * strokes.bars * strokes.bar_steps / 4:
        marked, nearest = marked[:0], nearest[:0]
    offsets = ticks[nearest] - TICKS_PER_BEAT * marked
    return Timekeeping(
        beats=marked,
        offsets_ms=offsets * strokes.ms_per_tick,
        velocities=strokes.velocities[keeping][nearest].astype(float),
    )


def lag_one(series: Doubles) -> float:
    """Return the autocorrelation of ``series`` from one value to the next, -1 to 1."""
    away = series - series.mean() if len(series) else series
    total = float(away @ away)
    return float(away[1:] @ away[:-1]) / total if total > 0 else nan


def dfa(series: Doubles) -> float:
    """Return the exponent of detrended fluctuation analysis (Peng et al. 1994), order 1.

    Windows from 8 to a quarter of the series.  0.5 is white noise, 1 is 1/f, 1.5 a random walk;
    nan of fewer than 48 values, or of a series that does not move.
    """
    count = len(series)
    if count < 6 * _WINDOW_MIN or not np.ptp(series) > 0:
        return nan
    profile = np.cumsum(series - series.mean())
    windows = np.unique(np.geomspace(_WINDOW_MIN, count // 4, 16).round().astype(int))
    fluctuations = [_fluctuation(profile, int(window)) for window in windows]
    return float(np.polyfit(np.log(windows), np.log(fluctuations), 1)[0])


def _fluctuation(profile: Doubles, window: int) -> float:
    """Return the rms distance from straight lines, one a window, laid from both ends."""
    count = len(profile) // window
    parts = np.concatenate([profile[: count * window], profile[len(profile) - count * window :]])
    parts = parts.reshape(-1, window)
    time = np.arange(window) - (window - 1) / 2
    slopes = parts @ time / (time @ time)
    rest = parts - parts.mean(axis=1, keepdims=True) - np.outer(slopes, time)
    return float(np.sqrt(np.mean(rest**2)))


def gaps_ms(strokes: Strokes, voices: Sequence[Voice], others: Sequence[Voice]) -> Doubles:
    """Return how much later ``voices`` sound than ``others`` where both are on one sixteenth.

    In milliseconds, one value a sixteenth; of several strokes there the loudest counts.
    """
    first, second = (
        _loudest(np.flatnonzero(strokes.of(*group)), strokes.steps, strokes.velocities)
        for group in (voices, others)
    )
    _, one, two = np.intersect1d(
        strokes.steps[first], strokes.steps[second], assume_unique=True, return_indices=True
    )
    gaps: Doubles = strokes.offsets_ms[first[one]] - strokes.offsets_ms[second[two]]
    return gaps


def robust_sd(values: Doubles) -> float:
    """Return the standard deviation by the median absolute deviation."""
    if not len(values):
        return nan
    return float(_MAD_TO_SD * np.median(np.abs(values - np.median(values))))


def explained(strokes: Strokes, values: Doubles | Ints) -> float:
    """Return the share of the variance of ``values`` that lies between cells, 0 to 1.

    A cell is a voice at a sixteenth of the bar; ``values`` are one a stroke, as velocities or
    offsets are.  Short takes, with few strokes a cell, come out high: compare equal lengths.
    """
    total = float(np.sum((values - values.mean()) ** 2)) if len(values) else 0.0
    if not total > 0:
        return nan
    names = strokes.voices * strokes.bar_steps + strokes.positions
    _, cells = np.unique(names, return_inverse=True)
    means = np.bincount(cells, values) / np.bincount(cells)
    return 1 - float(np.sum((values - means[cells]) ** 2)) / total


def swing_percent(strokes: Strokes, per_beat: int, voices: Sequence[Voice] = SWUNG_VOICES) -> float:
    """Return the swing of :data:`EIGHTHS` or :data:`SIXTEENTHS` in MPC percent; 50 is straight.

    The median of where a lone off-beat of ``voices`` falls between the on-beats around it, so
    that pushing or laying back a voice as a whole is no swing.  Eighths are read up to 72 %, for
    beyond they are dotted, sixteenths up to 80 %; nan of fewer than 8 such places.
    """
    span = 2 * TICKS_PER_BEAT // per_beat
    ticks = strokes.ticks[strokes.of(*voices)]
    ticks = ticks[ticks >= -_ON * span]
    pair, phase = np.divmod(ticks / span + _ON, 1)
    on = phase < 2 * _ON
    count = int(pair.max()) + 2 if len(pair) else 0
    anchors = _means(pair[on].astype(int), ticks[on], count)
    lows = np.full(count, np.inf)
    highs = np.full(count, -np.inf)
    np.minimum.at(lows, pair[~on].astype(int), ticks[~on])
    np.maximum.at(highs, pair[~on].astype(int), ticks[~on])
    with np.errstate(invalid="ignore"):
        lone = highs - lows < span * _ON
        shares = ((lows + highs) / 2 - anchors)[:-1] / np.diff(anchors)
    low, high = _SWING_SHARES[per_beat]
    shares = shares[lone[:-1] & (shares >= low) & (shares <= high)]
    return float(100 * np.median(shares)) if len(shares) >= _SWING_PAIRS_MIN else nan


def divergence(human: Doubles | Ints, other: Doubles | Ints, edges: Doubles) -> float:
    """Return the Kullback-Leibler divergence of ``other`` from ``human``, in nats.

    The sum of h ln(h/o) over the bins of ``edges``, each count raised by one; values beyond the
    outermost edges are counted in the outermost bins.
    """
    one, two = (_shares(values, edges) for values in (human, other))
    return float(np.sum(one * np.log(one / two)))


def _shares(values: Doubles | Ints, edges: Doubles) -> Doubles:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] + 1
    shares: Doubles = counts / counts.sum()
    return shares


def _means(places: Ints, values: Ints, count: int) -> Doubles:
    """Return the mean of the values at each place, nan where there is none."""
    with np.errstate(invalid="ignore"):
        means: Doubles = np.bincount(places, values, count) / np.bincount(places, minlength=count)
    return means


def _loudest(which: Ints, steps: Ints, velocities: Ints) -> Ints:
    """Return those of the strokes ``which`` that are the loudest on their sixteenth, in order."""
    loudest_first = which[np.argsort(-velocities[which], kind="stable")]
    _, first = np.unique(steps[loudest_first], return_index=True)
    kept: Ints = loudest_first[first]
    return kept
