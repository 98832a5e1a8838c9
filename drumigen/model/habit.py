"""A drummer's habits: to strike a place of the bar as hard as before, and to stay with the clock.

Voice and place explain more of people's velocity than of what the network draws: it knows a
drummer's shape less well than the drummer does (docs/GROOVE.md has both, by style).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from drumigen.feel.dynamics import GHOST_BELOW
from drumigen.kit import Voice
from drumigen.pattern import OFFSET_MAX, VELOCITY_MAX, Bar, Hit
from drumigen.units import TICKS_PER_BEAT

HABIT: Final = 0.5
"""Share (0-1) of the way towards it that a stroke goes whose place was struck many times."""

BROUGHT_BACK: Final = 0.5
"""Share (0-1) of what the last bars are off by that the next one is moved: who drifts less than
people do sounds like a machine."""

_Place = tuple[Voice, int, bool]
"""Voice, tick of the bar, and whether it is a ghost note: an accent is another stroke."""


def as_before(bar: Bar, others: Sequence[Bar], share: float = HABIT) -> Bar:
    """Return ``bar`` with velocities nearer to those that ``others`` have at the same places.

    How loud the bar is as a whole, against them, stays about as it is.  A place that they have n
    strokes at is believed to n / (n + 1); ghosts stay ghosts, and accents accents.
    """
    struck: defaultdict[_Place, list[int]] = defaultdict(list)
    for other in others:
        for hit in other.hits:
            struck[_place(hit)].append(hit.velocity)
    usual = {place: fmean(velocities) for place, velocities in struck.items()}
    louder = [hit.velocity - usual[_place(hit)] for hit in bar.hits if _place(hit) in usual]
    if not louder:
        return bar
    away = fmean(louder)

    def settled(hit: Hit) -> Hit:
        place = _place(hit)
        if place not in usual:
            return hit
        count = len(struck[place])
        belief = share * count / (count + 1)
        velocity = round(hit.velocity + belief * (usual[place] + away - hit.velocity))
        low, high = _mode(place)
        return replace(hit, velocity=max(low, min(high, velocity)))

    return replace(bar, hits=tuple(map(settled, bar.hits)))


def _place(hit: Hit) -> _Place:
    ghost = hit.voice is Voice.SNARE and hit.velocity < GHOST_BELOW
    return hit.voice, hit.tick, ghost


def _mode(place: _Place) -> tuple[int, int]:
    voice, _, ghost = place
    if voice is not Voice.SNARE:
        return 1, VELOCITY_MAX
    return (1, GHOST_BELOW - 1) if ghost else (GHOST_BELOW, VELOCITY_MAX)


def near_the_clock(bar: Bar, others: Sequence[Bar], lean: float, most: float) -> Bar:
    """Return ``bar`` moved nearer to where its drummer is, ``lean`` ticks off the clock.

    It goes :data:`BROUGHT_BACK` of what it and ``others`` are off by on average, so that a song
    that drifts comes back little by little, and in any case to ``most`` ticks off there.  Hits
    that are written on quarters tell.
    """
    here, before = _offsets_on_quarters((bar,)), _offsets_on_quarters(others)
    if not here and not before:
        return bar
    away = BROUGHT_BACK * (lean - fmean(here + before))
    if here:
        own = fmean(here) - lean
        away = max(-most, min(most, own + away)) - own
    hits = tuple(
        replace(hit, offset=max(-OFFSET_MAX, min(OFFSET_MAX, hit.offset + round(away))))
        for hit in bar.hits
    )
    return replace(bar, hits=hits)


def _offsets_on_quarters(bars: Sequence[Bar]) -> list[int]:
    return [hit.offset for bar in bars for hit in bar.hits if hit.tick % TICKS_PER_BEAT == 0]
