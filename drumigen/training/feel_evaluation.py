"""Feel, measured: what the humanizer makes of each style, beside a machine and plain jitter."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Final

import numpy as np

from drumigen.bank.bank import load_bank
from drumigen.feel.drift import uniform
from drumigen.feel.dynamics import GHOST_BELOW
from drumigen.feel.feel import Dynamics, Feel, FeelModel, SwingUnit
from drumigen.feel.humanize import humanize, swing_of_song
from drumigen.kit import SNARES, Voice
from drumigen.pattern import Bar, Hit
from drumigen.styles import Style
from drumigen.timeline import Meter
from drumigen.training.rhythm import (
    EIGHTHS,
    SIXTEENTHS,
    SWUNG_VOICES,
    dfa,
    explained,
    gaps_ms,
    lag_one,
    robust_sd,
    swing_percent,
)
from drumigen.training.strokes import Doubles, Strokes, strokes_of
from drumigen.training.takes import Take
from drumigen.units import Bpm, ms_per_tick, ticks_per_ms

PLAYERS: Final = ("drumigen", "on a plain grid", "uniform jitter", "quantised")
"""Bars of the source with feel; the same made plain first; and what they are held against."""

_FOUR: Final = Meter()

BarsOf = Callable[[Style, int, int], Sequence[Bar]]
"""Style, seed, count -> consecutive bars in 4/4."""


def bank_walk(style: Style, seed: int, count: int) -> list[Bar]:
    """Return the first ``count`` bars of the walk of ``seed`` through the style's bar bank."""
    bank = load_bank(style.bank)
    return [bank.bar(number, seed, _FOUR) for number in range(count)]


def on_grid(bar: Bar) -> Bar:
    """Return the bar on its written grid."""
    return replace(bar, hits=tuple(replace(hit, offset=0) for hit in bar.hits))


def jittered(bar: Bar, style: str, tempo: Bpm, seed: int, number: int) -> Bar:
    """Return the bar as "humanize" is often built: uniform noise on a grid, a note at a time.

    With the figures of the batch program that drumigen's idea comes from: milliseconds either
    way, velocity 90 and a share of it either way, kept from going before the bar line.
    """
    spread_ms, share = _JITTER.get(style, (10.0, 0.10))
    ticks = spread_ms * ticks_per_ms(tempo)
    hits = []
    for index, hit in enumerate(bar.hits):
        late = (2 * uniform(seed, number, index, 1) - 1) * ticks
        level = 90 * (1 + share * (2 * uniform(seed, number, index, 2) - 1))
        offset = max(-int(hit.tick), round(late))
        hits.append(Hit(hit.tick, hit.voice, max(1, min(127, round(level))), offset))
    return replace(bar, hits=tuple(hits))


_JITTER: Final = {"j_dilla": (20.0, 0.15), "metro_boomin": (5.0, 0.08), "questlove": (12.0, 0.20)}


@dataclass(frozen=True, slots=True)
class Performance:
    """Bars as played, and as the style's template alone would have them."""

    take: Take
    template: tuple[Bar, ...]
    seed: int


def played_by(
    style: Style, player: str, seed: int, source: Sequence[Bar], number: int
) -> Performance:
    """Return ``source`` as ``player`` plays it at the middle of the style's tempi."""
    tempo = Bpm(sum(style.tempo) / 2)
    rigid = replace(style.feel, keep=0.0, residual_ms=0.0, spread_ms=0.0, dynamics=Dynamics())
    template = []
    bars = []
    for index, bar in enumerate(source):
        before = on_grid(bar) if player != PLAYERS[0] else bar
        template.append(humanize(on_grid(bar), rigid, seed, index, tempo=tempo))
        match player:
            case "uniform jitter":
                bars.append(jittered(before, style.name, tempo, seed, index))
            case "quantised":
                bars.append(before)
            case _:
                bars.append(humanize(before, style.feel, seed, index, tempo=tempo))
    take = Take(f"{style.name}/{player}/{number}", style.name, "", tempo, tuple(bars))
    return Performance(take, tuple(template), seed)


HUMAN_LAG_ONE: Final = (-0.01, 0.63)
HUMAN_DFA: Final = (0.51, 0.9)
"""Where eight of ten human takes lie (Groove MIDI Dataset: -0.01-0.63, 0.51-0.84); the exponent up
to 0.9, as in other recordings of drummers (Hennig et al. 2011)."""

SWING_ERROR_MAX: Final = 1.0
"""MPC percent."""

OFFSET_ERROR_MAX: Final = 1.0
"""Milliseconds between a voice and its template, against the other voices."""

EXPLAINED_MIN: Final = 0.6
"""Share of the velocity's variance by voice and place: the least of the human genres."""

TIGHT_SD_MAX: Final = 2.0
"""Milliseconds."""

_MARKED_MIN: Final = 0.5
"""Share of the beats that hats and ride must mark to be the pulse."""

_CELL_MIN: Final = 8
_PAIRS_MIN: Final = 200
"""So many hits with others tell a voice's place among them to half a millisecond."""


@dataclass(frozen=True, slots=True)
class FeelFigures:
    """How one player plays one style; nan where there is too little to tell.

    ``offset_error_ms`` is the largest mean deviation of a voice from its template, against the
    voices that it sounds with; ``sd_ms`` is of all strokes about it.  ``lag_one`` and ``dfa`` are
    of one onset of the timekeeper a beat, each a mean over takes of 60 s and more.
    ``repeat_sd_ms`` is how far a place of the template differs from one time to the next.
    ``explained`` is the share of the velocity's variance by voice and place, ``explained_apart``
    that with the snare's ghosts as a voice of their own.  ``kick_hat_ms`` and ``snare_hat_ms``
    are robust standard deviations on the same sixteenth.
    """

    style: str
    player: str
    swing_set: float
    swing: float
    offset_error_ms: float
    sd_ms: float
    lag_one: float
    dfa: float
    repeat_sd_ms: float
    explained: float
    explained_apart: float
    kick_hat_ms: float
    snare_hat_ms: float


@dataclass(frozen=True, slots=True)
class FeelReport:
    """The figures of every style and player, and which of the styles miss what they promise."""

    figures: tuple[FeelFigures, ...]
    misses: tuple[str, ...]

    def table(self) -> str:
        """Return the figures as a table in Markdown."""
        rows = [
            (
                "| style | player | swing (set) | voice error, ms | SD, ms | lag-1 | DFA "
                "| repeats, ms | velocity R² (ghosts apart) | kick-hat, snare-hat, ms |"
            ),
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        rows += [
            f"| {f.style} | {f.player} | {_n(f.swing, 1)} ({f.swing_set:g}) "
            f"| {_n(f.offset_error_ms, 2)} | {_n(f.sd_ms, 1)} | {_n(f.lag_one, 2)} "
            f"| {_n(f.dfa, 2)} | {_n(f.repeat_sd_ms, 2)} "
            f"| {_n(f.explained, 2)} ({_n(f.explained_apart, 2)}) "
            f"| {_n(f.kick_hat_ms, 1)}, {_n(f.snare_hat_ms, 1)} |"
            for f in self.figures
        ]
        return "\n".join(rows)


def feel_report(
    styles: Iterable[Style],
    bars_of: BarsOf | None = None,
    *,
    seeds: Sequence[int] = (1, 2, 3, 4),
    bars: int = 64,
) -> FeelReport:
    """Play every style with each of :data:`PLAYERS` at the middle of its tempi, and measure.

    ``bars_of`` writes the bars, by default the bar bank; ``bars`` of them a seed, which for lag-1
    and DFA should last 60 s.
    """
    figures: list[FeelFigures] = []
    misses: list[str] = []
    for style in styles:
        written = {seed: (bars_of or bank_walk)(style, seed, bars) for seed in seeds}
        for player in PLAYERS:
            played = [
                played_by(style, player, seed, source, number)
                for number, (seed, source) in enumerate(written.items())
            ]
            figure = _measured(style, player, played)
            figures.append(figure)
            if player in PLAYERS[:2]:
                misses += (f"{style.name}, {player}: {miss}" for miss in _misses(style, figure))
    return FeelReport(tuple(figures), tuple(misses))


def _measured(style: Style, player: str, played: Sequence[Performance]) -> FeelFigures:
    strokes = [strokes_of(performance.take) for performance in played]
    pulses = [_pulse(one) for one in strokes]
    off = [float(np.std([d for *_, d in _deviations(performance)])) for performance in played]
    per_beat = EIGHTHS if style.feel.swing_unit is SwingUnit.EIGHTH else SIXTEENTHS
    hats = (Voice.CLOSED_HAT, Voice.RIDE)
    swings = [swing_percent(one, per_beat) for one in strokes]
    # not two songs are set alike: only those that could be measured stand beside what they were
    measured = [one.seed for one, swing in zip(played, swings, strict=True) if not isnan(swing)]
    seeds = measured or [one.seed for one in played]
    return FeelFigures(
        style=style.name,
        player=player,
        swing_set=_mean(swing_of_song(style.feel, seed) for seed in seeds),
        swing=_mean(swings),
        offset_error_ms=_offset_error(played),
        sd_ms=_mean(off),
        lag_one=_mean(map(lag_one, pulses)),
        dfa=_mean(map(dfa, pulses)),
        repeat_sd_ms=_repeat_sd(style.feel, played),
        explained=_mean(explained(one, one.velocities) for one in strokes),
        explained_apart=_mean(explained(_ghosts_apart(one), one.velocities) for one in strokes),
        kick_hat_ms=_mean(robust_sd(gaps_ms(one, (Voice.KICK,), hats)) for one in strokes),
        snare_hat_ms=_mean(robust_sd(gaps_ms(one, tuple(SNARES), hats)) for one in strokes),
    )


def _ghosts_apart(strokes: Strokes) -> Strokes:
    """Return the strokes with soft snares on a voice beyond the last, as if on another drum."""
    ghosts = strokes.of(Voice.SNARE) & (strokes.velocities < GHOST_BELOW)
    return replace(strokes, voices=np.where(ghosts, len(Voice), strokes.voices))


def _pulse(strokes: Strokes) -> Doubles:
    """Return the offsets of one stroke a beat: of hats and ride, or if they rest, of any voice.

    The loudest of those that are nearer to the beat than to another sixteenth.
    """
    beats = strokes.bars * strokes.bar_steps // 4
    for voices in (SWUNG_VOICES, tuple(Voice)):
        on = np.flatnonzero(strokes.of(*voices) & (strokes.steps % 4 == 0))
        loudest = on[np.argsort(-strokes.velocities[on], kind="stable")]
        _, first = np.unique(strokes.steps[loudest], return_index=True)
        if len(first) >= _MARKED_MIN * beats:
            break
    return strokes.offsets_ms[loudest[first]]


def _deviations(performance: Performance) -> Iterable[tuple[int, int, Hit, float]]:
    """Yield (bar, tick, hit, milliseconds off the template) of what both have."""
    ms = ms_per_tick(performance.take.tempo)
    pairs = zip(performance.take.bars, performance.template, strict=True)
    for number, (bar, template) in enumerate(pairs):
        expected = {(h.voice, h.tick): h.sounding_tick for h in template.hits}
        for hit in bar.hits:
            place = expected.get((hit.voice, hit.tick))
            if place is not None:
                yield number, hit.tick, hit, (hit.sounding_tick - place) * ms


def _offset_error(played: Sequence[Performance]) -> float:
    """Return the largest mean deviation of a voice from those it sounds with, in milliseconds."""
    against: defaultdict[Voice, list[float]] = defaultdict(list)
    for performance in played:
        together: defaultdict[tuple[int, int], list[tuple[Voice, float]]] = defaultdict(list)
        for number, tick, hit, off in _deviations(performance):
            together[number, tick].append((hit.voice, off))
        for row in together.values():
            for voice, off in row:
                others = [other for name, other in row if name is not voice]
                if others:
                    against[voice].append(off - sum(others) / len(others))
    means = [abs(sum(row) / len(row)) for row in against.values() if len(row) >= _PAIRS_MIN]
    return max(means, default=nan)


def _repeat_sd(feel: Feel, played: Sequence[Performance]) -> float:
    """Return how much a place of the template varies from time to time, over all places."""
    variances = []
    for performance in played:
        ms = ms_per_tick(performance.take.tempo)
        cells: defaultdict[tuple[int, int, Voice], list[int]] = defaultdict(list)
        for number, bar in enumerate(performance.take.bars):
            for hit in bar.hits:
                cell = number % feel.template_bars, int(hit.tick), hit.voice
                cells[cell].append(hit.sounding_tick)
        variances += [float(np.var(row)) * ms**2 for row in cells.values() if len(row) >= _CELL_MIN]
    return float(np.sqrt(np.mean(variances))) if variances else nan


def _misses(style: Style, figure: FeelFigures) -> Iterable[str]:
    def outside(value: float, low: float, high: float) -> bool:
        return not isnan(value) and not low <= value <= high

    if outside(figure.swing - figure.swing_set, -SWING_ERROR_MAX, SWING_ERROR_MAX):
        yield f"swing {figure.swing:.1f}, set to {figure.swing_set:g}"
    if outside(figure.offset_error_ms, 0, OFFSET_ERROR_MAX):
        yield f"a voice is {figure.offset_error_ms:.1f} ms off its template"
    if outside(figure.explained, EXPLAINED_MIN, 1):
        yield f"voice and place explain {figure.explained:.2f} of the velocity, not {EXPLAINED_MIN}"
    match style.feel.model:
        case FeelModel.HUMAN:
            if outside(figure.lag_one, *HUMAN_LAG_ONE):
                yield f"lag-1 {figure.lag_one:.2f} is not human"
            if outside(figure.dfa, *HUMAN_DFA):
                yield f"DFA exponent {figure.dfa:.2f} is not human"
        case FeelModel.FROZEN:
            if outside(figure.repeat_sd_ms, 0, 0):
                yield f"repeats differ by {figure.repeat_sd_ms:.2f} ms"
        case FeelModel.TIGHT:
            if outside(figure.sd_ms, 0, TIGHT_SD_MAX):
                yield f"off the grid by {figure.sd_ms:.1f} ms"


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return sum(known) / len(known) if known else nan


def _n(value: float, digits: int) -> str:
    return "-" if isnan(value) else f"{value:.{digits}f}"
