"""A groove taken from a performance: its swing, its template and its dynamics, as a Feel."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Final

from drumigen.errors import PatternError
from drumigen.feel.dynamics import GHOST_BELOW
from drumigen.feel.feel import (
    PUSH_MAX_MS,
    RESIDUAL_MAX_MS,
    SWING_MAX,
    SWING_MIN,
    Dynamics,
    Feel,
    FeelModel,
    SwingUnit,
)
from drumigen.feel.humanize import RESIDUAL_EXPONENT, RESIDUAL_TEMPO, template_step
from drumigen.feel.swing import HAND, Placed, own_lateness, straight, warped
from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.text import escaped_line
from drumigen.timeline import Meter, TempoMap, bar_lines, tempo_map_of
from drumigen.units import Bpm

FROZEN_BELOW_MS: Final = 1.0
"""A template that explains all but so much (SD) was not played by a human."""

_STEPS: Final = 16
_FOLD_GAIN: Final = 0.8
"""Two bars make the template if they leave less than this share of what one bar leaves."""

_SWING_MIN: Final = 52.0
"""Eighths that swing less are straight, and their sixteenths are looked at."""

_LEVELS_FROM: Final = 4
_SHARE_FROM: Final = 8
"""So many hits of a voice tell its levels, and so many second notes its swing."""

_SOFTENED: Final = 0.1
"""Ghosts to a loud snare stroke, at most, on a backbeat."""

_DOUBT: Final = 2.0
"""In a human take a place of n hits is believed to n / (n + 2): one hit may be an error."""

_Row = tuple[int, Placed, float]
"""Number of the bar, hit, and milliseconds that swing does not explain."""


def extract(bars: Sequence[Bar], tempo: Bpm | TempoMap, lines: Sequence[int] | None = None) -> Feel:
    """Return the feel of ``bars``, played at ``tempo``: what they have in common, bar after bar.

    With a tempo map ``lines`` are the ticks of the bar lines on it; by default bar follows bar.
    Bars in another metre than most, such as pick-ups, are passed over: a place there is another.

    Swing is that of eighths or sixteenths, per voice; push is the mean of each voice; template
    and levels are means per voice and sixteenth over one bar, or over two where that says more.
    What differs less than a millisecond from time to time is frozen.  Else the spread is kept, and
    push is against hats or ride, as what all voices have in common is the latency of a recording.

    Raises:
        PatternError: there is nothing in the bars.
    """
    if not any(bar.hits for bar in bars):
        message = "there are no drum hits to take a groove from; check the kit and the channel"
        raise PatternError(message)
    tempos = tempo_map_of(tempo)
    starts = bar_lines(bar.meter for bar in bars) if lines is None else lines
    usual = _usual(bars)
    placed = [(line, bar) for line, bar in zip(starts, bars, strict=True) if bar.meter == usual]
    bars = [bar for _, bar in placed]
    mean = tempos.mean(placed[0][0], placed[-1][0] + usual.ticks)
    swung = _swung(bars)
    rows = []
    for number, (line, bar) in enumerate(placed):
        for place in straight(bar, swung.swing_unit):
            percent = swung.swing_of(place.hit.voice) if place.swings else SWING_MIN
            due = line + warped(place.tick, percent, swung.swing_unit.ticks)
            sounds = line + place.tick + place.offset
            rows.append((number, place, tempos.milliseconds(due, sounds)))
    (one, one_left), (two, two_left) = (
        _templated(replace(swung, template_bars=length), rows, 0.0) for length in (1, 2)
    )
    folded = len(bars) >= 4 and pstdev(two_left) < _FOLD_GAIN * pstdev(one_left)
    feel, left = (two, two_left) if folded else (one, one_left)
    feel = replace(feel, dynamics=_dynamics(rows, feel.template_bars), keep=0.0)
    if pstdev(left) < FROZEN_BELOW_MS:
        return replace(feel, model=FeelModel.FROZEN, residual_ms=0.0, spread_ms=0.0)
    feel, left = _templated(feel, rows, _DOUBT)
    alone = _spread(rows, left)
    scale = (mean / RESIDUAL_TEMPO) ** RESIDUAL_EXPONENT
    common = math.sqrt(max(0.0, pstdev(left) ** 2 - alone**2))
    return replace(
        feel,
        push_ms=_against_the_hand(feel.push_ms, rows),
        residual_ms=min(RESIDUAL_MAX_MS, round(common * scale, 1)),
        spread_ms=min(RESIDUAL_MAX_MS, round(alone * scale, 1)),
    )


def _usual(bars: Sequence[Bar]) -> Meter:
    """Return the metre of most bars with hits."""
    return Counter(bar.meter for bar in bars if bar.hits).most_common(1)[0][0]


def groove_toml(feel: Feel, source: str) -> str:
    """Return ``feel`` as a TOML file that :func:`drumigen.feel.feel_file.read_feel` reads."""
    lines = [
        f"# Groove of {escaped_line(source)}, by drumigen groove extract.",
        '# A style takes it as its feel with  groove = "FILE"  in place of its own [feel].',
        "[feel]",
        f'model = "{feel.model}"',
        f"swing = {feel.swing:g}",
        f'swing_unit = "{feel.swing_unit}"',
        f"template_bars = {feel.template_bars}",
        f"residual_ms = {feel.residual_ms:g}",
        f"spread_ms = {feel.spread_ms:g}",
        f"keep = {feel.keep:g}",
        *_table("feel.swing_shares", feel.swing_shares),
        *_table("feel.push_ms", feel.push_ms),
        *_rows("feel.template", feel.template),
        "",
        "[feel.dynamics]",
        f"pull = {feel.dynamics.pull:g}",
        f"ghost = {feel.dynamics.ghost:g}",
        f"backbeats = {list(feel.dynamics.backbeats)}",
        f"spread = {feel.dynamics.spread:g}",
        *_rows("feel.dynamics.levels", feel.dynamics.levels),
    ]
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[Voice, float]) -> list[str]:
    rows = [f"{voice} = {value:g}" for voice, value in values.items()]
    return ["", f"[{name}]", *rows] if rows else []


def _rows(name: str, values: Mapping[Voice, tuple[float, ...]]) -> list[str]:
    rows = [f"{v} = [{', '.join(f'{one:g}' for one in row)}]" for v, row in values.items()]
    return ["", f"[{name}]", *rows] if rows else []


def _swung(bars: Sequence[Bar]) -> Feel:
    """Return a feel that has the swing of the bars and nothing else."""
    eighths, sixteenths = (_swing(bars, unit) for unit in (SwingUnit.EIGHTH, SwingUnit.SIXTEENTH))
    return eighths if eighths.swing >= max(_SWING_MIN, sixteenths.swing) else sixteenths


def _swing(bars: Sequence[Bar], unit: SwingUnit) -> Feel:
    late: defaultdict[Voice, list[float]] = defaultdict(list)
    for bar in bars:
        placed = straight(bar, unit)
        lateness = own_lateness(placed, unit)
        for place in placed:
            if place.swings and place.tick % (2 * unit.ticks) == unit.ticks:
                late[place.hit.voice].append(lateness(place))
    enough = max(_SHARE_FROM, sum(map(len, late.values())) // 8)
    known = {voice: fmean(row) for voice, row in late.items() if len(row) >= enough}
    if not known:
        return Feel(swing_unit=unit)
    most = max(0.0, *known.values())
    swing = min(SWING_MAX, round(SWING_MIN * (1 + most / unit.ticks), 1))
    base = (swing - SWING_MIN) / SWING_MIN * unit.ticks
    shares = {
        voice: min(1.0, max(0.0, round(one / base, 2))) for voice, one in known.items() if base > 0
    }
    kept = {voice: share for voice, share in sorted(shares.items()) if share != 1.0}
    return Feel(swing=swing, swing_unit=unit, swing_shares=kept)


def _against_the_hand(push: Mapping[Voice, float], rows: Sequence[_Row]) -> dict[Voice, float]:
    """Return the pushes less that of the voice of hats and ride, or if none of all, struck most."""
    counts = Counter(place.hit.voice for _, place, _ in rows)
    hand = [voice for voice in counts if voice in HAND] or list(counts)
    lead = push[max(hand, key=lambda voice: counts[voice])]
    return {voice: _held(one - lead) for voice, one in push.items()}


def _templated(feel: Feel, rows: Sequence[_Row], doubt: float) -> tuple[Feel, list[float]]:
    """Return the feel with push and template, and what these leave of each hit in milliseconds.

    Of n hits at a place n / (n + ``doubt``) of their mean is believed.
    """
    voices: defaultdict[Voice, list[float]] = defaultdict(list)
    cells: defaultdict[tuple[Voice, int], list[float]] = defaultdict(list)
    for number, place, off in rows:
        voices[place.hit.voice].append(off)
        cells[place.hit.voice, template_step(place.tick, number, feel.template_bars)].append(off)
    push = {voice: _held(fmean(row)) for voice, row in sorted(voices.items())}
    steps = _STEPS * feel.template_bars
    template = {
        voice: tuple(
            _held(sum(off - push[voice] for off in here) / (len(here) + doubt)) if here else 0.0
            for here in (cells.get((voice, step)) for step in range(steps))
        )
        for voice in push
    }
    left = [
        off
        - push[place.hit.voice]
        - template[place.hit.voice][template_step(place.tick, number, feel.template_bars)]
        for number, place, off in rows
    ]
    return replace(feel, push_ms=push, template=template), left


def _held(ms: float) -> float:
    return round(max(-PUSH_MAX_MS, min(PUSH_MAX_MS, ms)), 1) + 0.0  # no -0


def _spread(rows: Sequence[_Row], left: Sequence[float]) -> float:
    """Return the milliseconds (SD) that each voice has apart from those it sounds with."""
    together: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for (number, place, _), off in zip(rows, left, strict=True):
        together[number, place.tick].append(off)
    apart = [
        (off - fmean(several)) ** 2 * len(several) / (len(several) - 1)
        for several in together.values()
        if len(several) > 1
        for off in several
    ]
    return math.sqrt(fmean(apart)) if apart else 0.0


def _dynamics(rows: Sequence[_Row], template_bars: int) -> Dynamics:
    cells: defaultdict[Voice, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    ghosts = []
    for number, place, _ in rows:
        hit = place.hit
        if hit.voice is Voice.SNARE and hit.velocity < GHOST_BELOW:
            ghosts.append(hit.velocity)
        else:
            step = template_step(place.tick, number, template_bars)
            cells[hit.voice][step].append(hit.velocity)
    levels = {}
    away: list[float] = []
    for voice, steps in sorted(cells.items()):
        if sum(map(len, steps.values())) < _LEVELS_FROM:
            continue
        usual = fmean(velocity for row in steps.values() for velocity in row)
        levels[voice] = tuple(
            float(round(fmean(steps[step]) if step in steps else usual))
            for step in range(_STEPS * template_bars)
        )
        away += [v - fmean(row) for row in steps.values() for v in row]
    spread = min(20.0, round(pstdev(away), 1)) if away else 0.0
    ghost = float(round(fmean(ghosts))) if ghosts else Dynamics().ghost
    return Dynamics(levels, pull=1.0, ghost=ghost, backbeats=_backbeats(rows), spread=spread)


def _backbeats(rows: Sequence[_Row]) -> tuple[int, ...]:
    """Return the sixteenths on which the snare is struck and hardly ever a ghost."""
    soft: Counter[int] = Counter()
    loud: Counter[int] = Counter()
    for _, place, _ in rows:
        if place.hit.voice is Voice.SNARE:
            strokes = soft if place.hit.velocity < GHOST_BELOW else loud
            strokes[template_step(place.tick, 0, 1)] += 1
    return tuple(step for step in sorted(loud) if soft[step] <= _SOFTENED * loud[step])
