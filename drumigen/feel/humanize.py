"""The humanizer: gives a bar its feel.  Pure; no state, so any bar can be asked for at any time."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import fmean
from typing import Final

from drumigen.feel.drift import drift, normal
from drumigen.feel.dynamics import shaped_velocities
from drumigen.feel.feel import SWING_MAX, SWING_MIN, Feel, FeelModel, SongBar
from drumigen.feel.ornaments import ornamented
from drumigen.feel.swing import HAND, Placed, own_lateness, straight, warped
from drumigen.kit import Voice
from drumigen.pattern import OFFSET_MAX, Bar, Hit
from drumigen.units import TEMPO_DEFAULT, TICKS_PER_SIXTEENTH, Tick, ms_per_tick, ticks_per_ms

RESIDUAL_TEMPO: Final = 100.0
"""BPM at which the residual has the size that a Feel states."""

RESIDUAL_EXPONENT: Final = 0.6
"""The residual shrinks with the tempo to this power: 28 ms below 80 BPM, 16 above 150, in the
Groove MIDI Dataset."""

GRACE_MS: Final = 30.0
"""How far a flam's grace note lies before its main note."""

_SWEEPS: Final = 3
_TEMPLATE_STEPS: Final = 16
"""Sixteenths to a bar of a template, whatever the metre: a longer bar goes through it again."""

_COMMON, _ALONE, _WOBBLE, _SWING, _PUSH = 1, 2, 3, 4, 5
_NUMBER: Final[Mapping[Voice, int]] = {voice: number for number, voice in enumerate(Voice)}


def humanize(  # noqa: PLR0913 - what a bar sounds like depends on all of these
    bar: Bar,
    feel: Feel,
    seed: int,
    song_bar: int,
    *,
    start: int | None = None,
    tempo: float = TEMPO_DEFAULT,
) -> Bar:
    """Return ``bar`` as it feels at bar ``song_bar`` of the song, whose bar line is tick ``start``.

    The same arguments give the same bar, after a relocate too, and what drifts goes on over bar
    lines.  ``start`` is ``song_bar`` such bars if not given.  ``tempo`` (BPM, taken to the nearest
    whole one) turns milliseconds into ticks.

    The offsets of ``bar`` are taken apart first: its own swing, and what each voice has against
    the others, make way for those of ``feel``; what remains is its residual, of which ``feel``
    keeps a share.  A bar without offsets is a plain grid.  At amount 0 nothing but swing is
    done; at swing 50 too, every hit is where it is written, in straight notes if a style that
    swings was written in triplets.
    """
    where = SongBar(seed, song_bar, song_bar * bar.meter.ticks if start is None else start)
    share = feel.amount / 100
    bpm = round(tempo)
    in_ticks = ticks_per_ms(bpm)
    full = ornamented(bar, feel.ornaments, share, where, round(GRACE_MS * in_ticks))
    placed = straight(full, feel.swing_unit)
    sung = replace(feel, swing=swing_of_song(feel, seed)) if feel.swing_spread and share else feel
    swing = {voice: sung.swing_of(voice) for voice in {place.hit.voice for place in placed}}
    unit = feel.swing_unit.ticks
    deviations = (
        [share * deviation for deviation in _deviations(placed, feel, where, bpm)]
        if share
        else [0.0] * len(placed)
    )
    levels = shaped_velocities(placed, feel.dynamics, share, where)
    hits = []
    last: dict[Voice, Hit] = {}
    for place, deviation, velocity in zip(placed, deviations, levels, strict=True):
        voice, tick = place.hit.voice, place.tick
        percent = swing[voice] if place.swings else 50.0
        late = warped(tick, percent, unit) - tick + deviation * in_ticks
        offset = max(-OFFSET_MAX, min(OFFSET_MAX, round(late)))
        before = last.get(voice)
        if before and before.tick < tick and tick + offset <= before.sounding_tick:
            # what is written later does not sound earlier
            offset = before.sounding_tick + 1 - tick
        hits.append(Hit(Tick(tick), voice, velocity, offset))
        last[voice] = hits[-1]
    return replace(bar, hits=tuple(hits))


def swing_of_song(feel: Feel, seed: int) -> float:
    """Return the swing (MPC percent) of the song of ``seed``: not two songs swing quite alike."""
    away = feel.swing_spread * feel.amount / 100 * normal(_SWING, seed)
    return max(SWING_MIN, min(SWING_MAX, feel.swing + away))


def _deviations(placed: Sequence[Placed], feel: Feel, where: SongBar, bpm: int) -> list[float]:
    """Return the micro-timing of each hit in milliseconds: template, own residual, drift."""
    keep = feel.keep if feel.model is FeelModel.HUMAN and _is_played(placed) else 0.0
    own = _own_residual(placed, feel) if keep else [0.0] * len(placed)
    made_up = math.sqrt(1 - keep**2)
    noise = _NOISES[feel.model](placed, feel, where) if made_up else own
    size = made_up * (RESIDUAL_TEMPO / bpm) ** RESIDUAL_EXPONENT
    in_ms = ms_per_tick(bpm)
    return [
        _template(place, feel, where) + keep * in_ms * residual + size * deviation
        for place, residual, deviation in zip(placed, own, noise, strict=True)
    ]


def _is_played(placed: Sequence[Placed]) -> bool:
    """Tell whether a bar has micro-timing of its own."""
    return any(place.hit.offset for place in placed)


def _template(place: Placed, feel: Feel, where: SongBar) -> float:
    voice = place.hit.voice
    push = feel.push_ms.get(voice, 0.0)
    if feel.push_spread_ms:
        hand = HAND.get(voice, voice)
        push += feel.push_spread_ms * normal(_PUSH, where.seed, _NUMBER[hand])
    row = feel.template.get(voice)
    return (
        push + row[template_step(place.tick, where.number, feel.template_bars) % len(row)]
        if row
        else push
    )


def template_step(tick: int, song_bar: int, template_bars: int) -> int:
    """Return the sixteenth of a template that ``tick`` of bar ``song_bar`` is nearest to."""
    step = (tick + TICKS_PER_SIXTEENTH // 2 - 1) // TICKS_PER_SIXTEENTH
    return step % _TEMPLATE_STEPS + song_bar % template_bars * _TEMPLATE_STEPS


def _own_residual(placed: Sequence[Placed], feel: Feel) -> list[float]:
    """Return the offsets less the bar's own swing and less what voices have against one another.

    The busiest voice keeps its pulse, which drifts from bar to bar, but for the foot on the hats:
    that is far ahead of all it is played with.  The others are set against those that they sound
    with, over and over until that is settled.
    """
    late = own_lateness(placed, feel.swing_unit)
    at: defaultdict[int, dict[Voice, float]] = defaultdict(dict)
    for place in placed:
        at[place.tick][place.hit.voice] = place.offset - late(place)
    ticks: defaultdict[Voice, list[int]] = defaultdict(list)
    for tick, row in at.items():
        for voice in row:
            ticks[voice].append(tick)
    _, *others = sorted(ticks, key=lambda v: (v is Voice.PEDAL_HAT, -len(ticks[v]), v))
    for _ in range(_SWEEPS if others else 0):
        for voice in others:
            gaps = [
                at[tick][voice] - (sum(at[tick].values()) - at[tick][voice]) / (len(at[tick]) - 1)
                for tick in ticks[voice]
                if len(at[tick]) > 1
            ]
            bias = fmean(gaps) if gaps else 0.0
            for tick in ticks[voice]:
                at[tick][voice] -= bias
    return [at[place.tick][place.hit.voice] for place in placed]


def _frozen(placed: Sequence[Placed], feel: Feel, where: SongBar) -> list[float]:
    return [
        feel.wobble_ms
        * _wobble(where.seed, _NUMBER[place.hit.voice], feel.template_bars)[
            template_step(place.tick, where.number, feel.template_bars)
        ]
        for place in placed
    ]


@lru_cache(256)
def _wobble(seed: int, voice: int, bars: int) -> tuple[float, ...]:
    """Return a template of standard deviation 1 that neither swings nor pushes by itself."""
    raw = [normal(_WOBBLE, seed, voice, step) for step in range(_TEMPLATE_STEPS * bars)]
    means = [fmean(raw[place::4]) for place in range(4)]
    return tuple(one - means[step % 4] for step, one in enumerate(raw))


def _human(placed: Sequence[Placed], feel: Feel, where: SongBar) -> list[float]:
    common = drift(where.seed, _COMMON, (where.start + place.tick for place in placed))
    return [
        feel.residual_ms * common[where.start + p.tick]
        + feel.spread_ms * normal(_ALONE, where.seed, _NUMBER[p.hit.voice], where.start + p.tick)
        for p in placed
    ]


_Noise = Callable[[Sequence[Placed], Feel, SongBar], list[float]]

_NOISES: Final[Mapping[FeelModel, _Noise]] = {
    FeelModel.FROZEN: _frozen,
    FeelModel.HUMAN: _human,
    FeelModel.TIGHT: _human,
}
