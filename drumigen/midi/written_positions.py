"""From ticks at which hits sound to the positions at which they are written, and their offsets."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from drumigen.kit import Voice
from drumigen.pattern import OFFSET_MAX
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, Tick


@dataclass(frozen=True, slots=True)
class _Division:
    """A way to divide a quarter note, and how unlikely it is in a bar that is not made of it."""

    steps: tuple[int, ...]
    doubt: float

    def nearest(self, tick: int) -> int:
        """Return the multiple of a step that is nearest to ``tick``."""
        place = tick % TICKS_PER_BEAT
        return tick - place + _nearest(self.steps)[place]


@cache
def _nearest(steps: tuple[int, ...]) -> tuple[int, ...]:
    """Return for each tick of a quarter note the nearest multiple of one of ``steps``."""
    near = [[(tick + step // 2) // step * step for step in steps] for tick in range(TICKS_PER_BEAT)]
    return tuple(min(places, key=lambda p: abs(tick - p)) for tick, places in enumerate(near))


_DIVISIONS = (
    _Division((480,), 2.0),  # sixteenths
    _Division((640,), 2.0),  # triplets
    _Division((320,), 8.0),  # sixteenth triplets
    _Division((240,), 12.0),  # 32nds
    _Division((480, 320), 24.0),  # a triplet roll over straight sixteenths
)
"""Steps in ticks, doubt in nats.  A bar is at home in sixteenths or in triplets."""

_SPREAD = 80.0
"""Ticks of human timing error about a written position: 21 ms at 120 BPM, as measured on the
quarters of the Groove MIDI Dataset."""

_SPREAD_TIGHT, _TIGHT = 20.0, 16
"""The same for a programmed bar, known by no error above 16 ticks."""

_COLLISION = 12.0
"""Nats against a division that writes two hits of one voice at the same place."""


def written(
    strokes: Sequence[tuple[int, Voice]], meter: Meter, length: int | None = None
) -> tuple[tuple[Tick, int], ...]:
    """Return (tick, offset) for each (ticks from the bar line, voice) of one bar, in their order.

    Each quarter note is divided into sixteenths, triplets, 32nds, sixteenth triplets or the first
    and last of these together, whichever explains its hits best.  A tick may be the bar's
    ``length`` (by default ``meter.ticks``): an early hit that belongs on the next downbeat.
    Offsets are limited to what a Hit can hold.
    """
    end = meter.ticks if length is None else length
    beats: defaultdict[int, list[int]] = defaultdict(list)
    for index, (tick, _) in enumerate(strokes):
        beats[max(0, min(tick, end - 1)) // TICKS_PER_BEAT].append(index)
    errors = (min(abs(t - way.nearest(t)) for way in _DIVISIONS) for t, _ in strokes)
    spread = _SPREAD_TIGHT if all(error <= _TIGHT for error in errors) else _SPREAD
    divided = {
        beat: [_divided([strokes[i] for i in indices], beat, way, end) for way in _DIVISIONS]
        for beat, indices in beats.items()
    }
    totals = [sum(ways[home].cost(spread) for ways in divided.values()) for home in (0, 1)]
    home = totals.index(min(totals))
    places: dict[int, tuple[Tick, int]] = {}
    for beat, ways in divided.items():
        doubts = [0 if way == home else division.doubt for way, division in enumerate(_DIVISIONS)]
        costs = [way.cost(spread) + doubt for way, doubt in zip(ways, doubts, strict=True)]
        chosen = ways[costs.index(min(costs))]
        for index, place in zip(beats[beat], chosen.places, strict=True):
            offset = strokes[index][0] - place
            places[index] = Tick(place), max(-OFFSET_MAX, min(OFFSET_MAX, offset))
    return tuple(places[index] for index in range(len(strokes)))


class _Way(NamedTuple):
    """One beat divided: where its hits are written, their errors squared, and collisions."""

    places: list[int]
    misfit: int
    collisions: int

    def cost(self, spread: float) -> float:
        """Return nats against this way, if hits spread by ``spread`` ticks."""
        return self.misfit / (2 * spread**2) + self.collisions * _COLLISION


def _divided(
    strokes: Sequence[tuple[int, Voice]], beat: int, division: _Division, length: int
) -> _Way:
    start = beat * TICKS_PER_BEAT
    end = min(start + TICKS_PER_BEAT, length)
    places = [min(end, max(start, start + division.nearest(t - start))) for t, _ in strokes]
    misfit = sum((t - place) ** 2 for (t, _), place in zip(strokes, places, strict=True))
    distinct = {(place, voice) for (_, voice), place in zip(strokes, places, strict=True)}
    return _Way(places, misfit, len(strokes) - len(distinct))
