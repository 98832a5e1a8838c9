"""Velocity as a structure: voice by place in the bar, not noise."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from drumigen.feel.drift import drift, normal
from drumigen.feel.feel import Dynamics, SongBar
from drumigen.feel.swing import Placed
from drumigen.kit import Voice
from drumigen.pattern import VELOCITY_MAX
from drumigen.pattern import struck as harder
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH

GHOST_BELOW: Final = 50
"""A snare softer than this is a ghost note: its two modes in the Groove MIDI Dataset lie apart."""

_STEPS: Final = 16
"""Sixteenths after which levels and backbeats come again in a longer bar."""
_FLAT_HITS: Final = 3
_ROOM: Final = 30
"""Velocities below the ceiling from which on a hard day moves a stroke less."""
_STREAM, _DAY = 8, 9
_NUMBER: Final[Mapping[Voice, int]] = {voice: number for number, voice in enumerate(Voice)}


def shaped_velocities(
    placed: Sequence[Placed], dynamics: Dynamics, share: float, where: SongBar
) -> list[int]:
    """Return the velocity of each hit.

    A voice with dynamics is drawn towards the shape of its levels, about its own level in the bar,
    by ``pull``; one that is struck all alike takes their shape as it is.  A ghost stays a ghost,
    an accent an accent; a soft stroke on a backbeat is an accent to be.  Beats in which a voice
    rolls (is written off the sixteenths) keep the ramp they have.  ``share`` (0-1) scales it all.
    """
    written = [place.hit.velocity for place in placed]
    if not share or not dynamics.levels:
        return written
    rolls = {
        (place.hit.voice, place.tick // TICKS_PER_BEAT)
        for place in placed
        if place.tick % TICKS_PER_SIXTEENTH
    }
    rows: defaultdict[tuple[Voice, bool], list[int]] = defaultdict(list)
    for index, place in enumerate(placed):
        voice = place.hit.voice
        if voice in dynamics.levels and (voice, place.tick // TICKS_PER_BEAT) not in rolls:
            rows[voice, _is_ghost(place, dynamics)].append(index)
    noise = drift(where.seed, _STREAM, (where.start + place.tick for place in placed))
    velocities = list(written)
    for (voice, ghost), indices in rows.items():
        goals = [
            dynamics.ghost if ghost else _level(dynamics, voice, placed[i], where.number)
            for i in indices
        ]
        flat = len(indices) >= _FLAT_HITS and len({written[i] for i in indices}) == 1
        middle = fmean(goals)
        own = _own_level([written[i] for i in indices], middle, voice, ghost=ghost)
        for index, goal in zip(indices, goals, strict=True):
            here = written[index]
            # towards the levels themselves all drummers would meet in one
            away = (1.0 if flat else dynamics.pull) * (own + goal - middle - here)
            loose = dynamics.spread * (1.0 if flat else dynamics.pull)
            velocity = here + share * (away + loose * noise[where.start + placed[index].tick])
            low, high = (1, GHOST_BELOW - 1) if ghost else (1, 127)
            velocities[index] = round(max(low, min(high, velocity)))
            if voice is Voice.SNARE and not ghost and here >= GHOST_BELOW:
                velocities[index] = max(GHOST_BELOW, velocities[index])
    if not dynamics.variety:
        return velocities
    return [
        _of_the_day(velocity, place.hit.voice, share * dynamics.variety, where.seed)
        for place, velocity in zip(placed, velocities, strict=True)
    ]


def _own_level(written: Sequence[int], usual: float, voice: Voice, *, ghost: bool) -> float:
    """Return how loud a voice is in its bar; soft strokes do not tell it of a snare's accents."""
    counted = [v for v in written if v >= GHOST_BELOW or voice is not Voice.SNARE or ghost]
    return fmean(counted) if counted else usual


def _of_the_day(velocity: int, voice: Voice, variety: float, seed: int) -> int:
    """Return the velocity as it is in this song; a ghost stays one, and so does an accent."""
    # who strikes hard cannot strike much harder: without this the loudest would meet at the ceiling
    free = min(1.0, (VELOCITY_MAX - velocity) / _ROOM)
    away = variety * normal(_DAY, seed, _NUMBER[voice])
    louder = harder(velocity, math.exp(away * free if away > 0 else away))
    if voice is not Voice.SNARE:
        return louder
    return min(GHOST_BELOW - 1, louder) if velocity < GHOST_BELOW else max(GHOST_BELOW, louder)


def _is_ghost(place: Placed, dynamics: Dynamics) -> bool:
    soft = place.hit.voice is Voice.SNARE and place.hit.velocity < GHOST_BELOW
    return soft and place.tick // TICKS_PER_SIXTEENTH % _STEPS not in dynamics.backbeats


def _level(dynamics: Dynamics, voice: Voice, place: Placed, song_bar: int) -> float:
    levels = dynamics.levels[voice]
    step = place.tick // TICKS_PER_SIXTEENTH % _STEPS + song_bar % 2 * _STEPS
    return levels[step % len(levels)]
