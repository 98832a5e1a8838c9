"""Ghost notes, flams, drags and rolls: where drummers put them, for styles that ask for them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

from drumigen.feel.drift import normal, uniform
from drumigen.feel.dynamics import GHOST_BELOW
from drumigen.feel.feel import Ornaments, SongBar
from drumigen.kit import HATS, LIMBS_OF_A_KIND, VOICES, Limb, Voice
from drumigen.pattern import DENSITY_MAX, Bar, Hit
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick

_GHOST_WEIGHT: Final[Mapping[int, float]] = {
    **dict.fromkeys((7, 9), 1.0),
    **dict.fromkeys((13, 15), 0.8),
    **dict.fromkeys((3, 5, 11), 0.5),
    **dict.fromkeys((1, 6, 10, 14), 0.2),
}
"""How much a sixteenth of the bar attracts ghosts: most of those of the hip hop and funk in the
Groove MIDI Dataset are on 7, 9, 15 and 13, counted from 0."""

_GHOST_VELOCITY: Final = (15, 38)
_LOUD: Final = 90
"""A snare from here on is a backbeat or an accent, which may have a grace note."""

_GRACE_LEVEL: Final = 0.4
"""Velocity of a grace note relative to its main note."""

_ROLL_STEPS: Final = (
    TICKS_PER_BEAT // 8,
    TICKS_PER_BEAT // 8,
    TICKS_PER_BEAT // 6,
    TICKS_PER_BEAT // 12,
)
"""32nds, sixteenth triplets and 32nd triplets."""

_GHOSTS, _WHERE, _FLAM, _DRAG, _ROLLS, _LOUDNESS = 16, 17, 18, 19, 20, 21


def ornamented(bar: Bar, ornaments: Ornaments, share: float, where: SongBar, grace: int) -> Bar:
    """Return ``bar`` with the ornaments that it lacks; a playable bar stays playable.

    ``share`` (0-1) scales how many there are: as it grows some are added, and none taken away.
    ``grace`` is how far a grace note lies before its main note, in ticks.
    """
    if not share or ornaments == _NONE:
        return bar
    wanted = replace(
        ornaments,
        ghosts=ornaments.ghosts * share,
        flams=ornaments.flams * share,
        drags=ornaments.drags * share,
        rolls=ornaments.rolls * share,
    )
    full = bar
    for added in (_with_rolls, _with_ghosts, _with_graces):
        fuller = added(full, wanted, (where.seed, where.number), grace)
        if len(fuller.hits) <= DENSITY_MAX * bar.meter.ticks / TICKS_PER_BEAT:
            full = fuller
    return full


_NONE: Final = Ornaments()
_Key = tuple[int, int]


def _with_ghosts(bar: Bar, wanted: Ornaments, key: _Key, grace: int) -> Bar:
    del grace
    snares = [hit for hit in bar.hits if hit.voice is Voice.SNARE]
    present = sum(hit.velocity < GHOST_BELOW for hit in snares)
    missing = int(wanted.ghosts + uniform(_GHOSTS, *key)) - present
    if missing <= 0 or present == len(snares):
        return bar
    taken = {hit.tick for hit in bar.hits if VOICES[hit.voice].class_of_nine is Voice.SNARE}
    hands = _hands(bar)
    places = [
        tick
        for tick in range(0, bar.meter.ticks, TICKS_PER_SIXTEENTH)
        if tick // TICKS_PER_SIXTEENTH % 16 in _GHOST_WEIGHT
        and tick not in taken
        and hands[tick] < LIMBS_OF_A_KIND
    ]
    # drawn without replacement, each with a chance in proportion to its weight
    places.sort(
        key=lambda tick: (
            uniform(_WHERE, *key, tick) ** (1 / _GHOST_WEIGHT[tick // TICKS_PER_SIXTEENTH % 16])
        ),
        reverse=True,
    )
    low, high = _GHOST_VELOCITY
    ghosts = [
        Hit(
            Tick(tick),
            Voice.SNARE,
            max(low, min(high, round(27 + 5 * normal(_LOUDNESS, *key, tick)))),
            _offset_near(bar, tick),
        )
        for tick in places[:missing]
    ]
    return replace(bar, hits=(*bar.hits, *ghosts))


def _with_graces(bar: Bar, wanted: Ornaments, key: _Key, grace: int) -> Bar:
    graces = [
        Hit(
            Tick(hit.tick - count * grace),
            Voice.SNARE,
            max(1, round(hit.velocity * _GRACE_LEVEL / count**0.5)),
            hit.offset,
        )
        for before, hit in pairwise((None, *(h for h in bar.hits if h.voice is Voice.SNARE)))
        if hit is not None and hit.velocity >= _LOUD
        for count in range(1, 1 + _graces_of(hit, wanted, key))
        if hit.tick - count * grace > (before.tick + grace if before else 0)
    ]
    return replace(bar, hits=(*bar.hits, *graces))


def _graces_of(hit: Hit, wanted: Ornaments, key: _Key) -> int:
    if uniform(_DRAG, *key, hit.tick) < wanted.drags:
        return 2
    return int(uniform(_FLAM, *key, hit.tick) < wanted.flams)


def _with_rolls(bar: Bar, wanted: Ornaments, key: _Key, grace: int) -> Bar:
    del grace
    hats = {int(hit.tick): hit for hit in bar.hits if hit.voice is Voice.CLOSED_HAT}
    rolled = {tick // TICKS_PER_BEAT for tick in hats if tick % TICKS_PER_SIXTEENTH}
    missing = int(wanted.rolls + uniform(_ROLLS, *key)) - len(rolled)
    eighth = TICKS_PER_BEAT // 2
    places = [
        start
        for start in range(0, bar.meter.ticks - eighth + 1, eighth)
        if start in hats and start // TICKS_PER_BEAT not in rolled
    ]
    places.sort(key=lambda start: uniform(_WHERE, *key, start))
    full = bar
    for start in places[: max(0, missing)]:
        full = replace(full, hits=(*full.hits, *_roll(full, hats[start], key)))
    return full


def _roll(bar: Bar, first: Hit, key: _Key) -> Iterator[Hit]:
    """Yield what turns the eighth that starts with ``first`` into a roll with a ramp."""
    end = first.tick + TICKS_PER_BEAT // 2
    step = _ROLL_STEPS[int(uniform(_ROLLS, *key, first.tick) * len(_ROLL_STEPS))]
    rising = uniform(_LOUDNESS, *key, first.tick) < 0.5
    hands = _hands(bar)
    hats = {hit.tick for hit in bar.hits if hit.voice in HATS}
    count = (end - first.tick) // step
    for index in range(1, count):
        tick = first.tick + index * step
        if tick not in hats and hands[tick] < LIMBS_OF_A_KIND:
            part = index / count
            level = 0.55 + 0.45 * part if rising else 1 - 0.5 * part
            velocity = max(1, round(first.velocity * level))
            yield Hit(Tick(tick), Voice.CLOSED_HAT, velocity, first.offset)


def _hands(bar: Bar) -> Counter[int]:
    return Counter(int(hit.tick) for hit in bar.hits if VOICES[hit.voice].limb is Limb.HAND)


def _offset_near(bar: Bar, tick: int) -> int:
    """Return the micro-timing of the nearest hit, on an off-beat sixteenth if ``tick`` is one."""
    pair = 2 * TICKS_PER_SIXTEENTH
    near = min(
        bar.hits, key=lambda hit: abs(hit.tick - tick) + pair * ((hit.tick - tick) % pair != 0)
    )
    return near.offset
