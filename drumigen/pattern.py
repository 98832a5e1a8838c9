"""Hits and bars: frozen values, what makes a bar playable, and how it is written and refitted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from drumigen.errors import PatternError
from drumigen.kit import GM_NOTES, HATS, LIMBS_OF_A_KIND, VOICES, KitMap, Limb, Voice
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick

OFFSET_MAX = TICKS_PER_SIXTEENTH
"""Largest micro-timing either way, in ticks: one sixteenth (125 ms at 120 BPM)."""


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One stroke: where it is written, on which voice, how hard, and how far off the grid.

    ``tick`` is the written position from the bar line; it sounds at ``tick + offset``.

    Raises:
        PatternError: ``tick`` below 0, velocity outside 1-127, or an offset beyond a sixteenth.
    """

    tick: Tick
    voice: Voice
    velocity: int
    offset: int = 0

    def __post_init__(self) -> None:
        """Refuse what no bar can hold."""
        if self.tick < 0 or not 1 <= self.velocity <= 127 or abs(self.offset) > OFFSET_MAX:
            message = (
                f"hit {self.voice} at tick {self.tick}, velocity {self.velocity}, offset "
                f"{self.offset} is out of range: tick >= 0, velocity 1-127, offset within "
                f"{OFFSET_MAX} ticks"
            )
            raise PatternError(message)

    @property
    def sounding_tick(self) -> int:
        """Ticks from the bar line at which it sounds; may lie before it."""
        return self.tick + self.offset


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of drums; its hits are kept sorted by written position, then voice.

    Raises:
        PatternError: a hit is written at or beyond the end of the bar.
    """

    meter: Meter
    hits: tuple[Hit, ...] = field(default=())

    def __post_init__(self) -> None:
        """Sort, and refuse hits outside the bar."""
        object.__setattr__(self, "hits", tuple(sorted(self.hits)))
        if self.hits and self.hits[-1].tick >= self.meter.ticks:
            message = f"a hit at tick {self.hits[-1].tick} is outside a bar of {self.meter}"
            raise PatternError(message)

    def at(self, tick: int) -> tuple[Hit, ...]:
        """Return the hits written at ``tick``."""
        return tuple(hit for hit in self.hits if hit.tick == tick)


DENSITY_MIN = 0.5
DENSITY_MAX = 16.0
"""Hits per quarter note between which a bar is music: less is a rest, more a blur."""


class Rule(StrEnum):
    """What a playable bar keeps to."""

    RANGE = "range"
    DUPLICATE = "duplicate"
    HATS = "hats"
    LIMBS = "limbs"
    DENSE = "dense"
    SPARSE = "sparse"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A rule that a bar breaks, where (ticks from the bar line), and one line of why."""

    rule: Rule
    tick: Tick
    why: str


def problems(bar: Bar, kit: KitMap | None = None) -> tuple[Problem, ...]:
    """Return what a drummer or a General MIDI kit could not play in ``bar``, in order.

    One written position is one movement of the whole body: what is written there sounds
    together, however its micro-timing spreads it.  ``kit`` adds the check that its notes lie in
    General MIDI's 35-81.  Velocities need no check here: a Hit refuses others than 1-127.
    """
    found = [problem for tick, hits in _positions(bar) for problem in _at_once(tick, hits)]
    found += [
        Problem(Rule.RANGE, hit.tick, f"{hit.voice} is note {note} on {kit.name}, outside 35-81")
        for hit in bar.hits
        if kit and (note := kit.note_of(hit.voice).note) not in GM_NOTES
    ]
    density = len(bar.hits) * TICKS_PER_BEAT / bar.meter.ticks
    if density > DENSITY_MAX:
        found.append(Problem(Rule.DENSE, Tick(0), f"{density:.1f} hits a beat; 16 is the most"))
    if density < DENSITY_MIN:
        found.append(Problem(Rule.SPARSE, Tick(0), f"{density:.1f} hits a beat; 0.5 is the least"))
    return tuple(sorted(found))


def repaired(bar: Bar, kit: KitMap | None = None) -> Bar:
    """Return ``bar`` less the fewest hits that make it playable; a thin bar stays thin.

    Of hits that exclude one another the weightier stays: velocity plus the importance of its
    voice (kick over snare over crash over toms over hats).  A repaired bar repairs to itself.
    """
    kept = [
        hit
        for _, hits in _positions(bar)
        for hit in _playable(hits)
        if kit is None or kit.note_of(hit.voice).note in GM_NOTES
    ]
    most = int(DENSITY_MAX * bar.meter.ticks / TICKS_PER_BEAT)
    return replace(bar, hits=tuple(sorted(kept, key=_weight, reverse=True)[:most]))


def _positions(bar: Bar) -> Iterator[tuple[Tick, list[Hit]]]:
    for tick, hits in groupby(bar.hits, key=lambda hit: hit.tick):
        yield tick, list(hits)


def _at_once(tick: Tick, hits: list[Hit]) -> Iterator[Problem]:
    for voice, count in Counter(hit.voice for hit in hits).items():
        if count > 1:
            yield Problem(Rule.DUPLICATE, tick, f"{count} hits on {voice} at once")
    hats = sorted({hit.voice for hit in hits} & set(HATS))
    if len(hats) > 1:
        yield Problem(Rule.HATS, tick, f"{' and '.join(hats)} at once; there is one hi-hat")
    for limb, count in Counter(VOICES[hit.voice].limb for hit in hits).items():
        if count > LIMBS_OF_A_KIND:
            yield Problem(Rule.LIMBS, tick, f"{count} hits by {limb} at once; a drummer has two")


def _weight(hit: Hit) -> tuple[int, int, Hit]:
    """Sort key: the hit that stays when one must go is the greatest."""
    return hit.velocity + VOICES[hit.voice].importance, -abs(hit.offset), hit


def _playable(hits: Iterable[Hit]) -> Iterator[Hit]:
    voices: set[Voice] = set()
    limbs: Counter[Limb] = Counter()
    for hit in sorted(hits, key=_weight, reverse=True):
        limb = VOICES[hit.voice].limb
        excluded = set(HATS) if hit.voice in HATS else {hit.voice}
        if voices.isdisjoint(excluded) and limbs[limb] < LIMBS_OF_A_KIND:
            voices.add(hit.voice)
            limbs[limb] += 1
            yield hit


@dataclass(frozen=True, slots=True)
class _Division:
    """A way to divide a quarter note, and how unlikely it is in a bar that is not made of it."""

    parts: int
    doubt: float


_HOME_DIVISIONS = (_Division(4, 2.0), _Division(3, 2.0))
_DIVISIONS = (*_HOME_DIVISIONS, _Division(8, 12.0), _Division(6, 8.0))
"""Sixteenths, triplets, 32nds, sixteenth triplets; doubt in nats.  A bar is at home in one of the
first two."""

_SPREAD = 80.0
"""Ticks of human timing error about a written position: 21 ms at 120 BPM, as measured on the
quarters of the Groove MIDI Dataset."""

_COLLISION = 12.0
"""Nats against a division that writes two hits of one voice at the same place."""


def written(strokes: Sequence[tuple[int, Voice]], meter: Meter) -> tuple[tuple[Tick, int], ...]:
    """Return (tick, offset) for each (ticks from the bar line, voice) of one bar, in their order.

    Each quarter note is divided into sixteenths, triplets, 32nds or sixteenth triplets, whichever
    explains its hits best.  A tick may be ``meter.ticks``: an early hit that belongs on the next
    downbeat.  Offsets are limited to what a Hit can hold.
    """
    beats: defaultdict[int, list[int]] = defaultdict(list)
    for index, (tick, _) in enumerate(strokes):
        beats[max(0, min(tick, meter.ticks - 1)) // TICKS_PER_BEAT].append(index)
    divided = {
        beat: [_divided(strokes, indices, beat, division, meter) for division in _DIVISIONS]
        for beat, indices in beats.items()
    }
    totals = [sum(ways[home].cost for ways in divided.values()) for home in (0, 1)]
    home = totals.index(min(totals))
    places: dict[int, tuple[Tick, int]] = {}
    for beat, ways in divided.items():
        doubts = [0 if way == home else division.doubt for way, division in enumerate(_DIVISIONS)]
        _, chosen = min(
            (way.cost + doubt, way.places) for way, doubt in zip(ways, doubts, strict=True)
        )
        for index, place in zip(beats[beat], chosen, strict=True):
            offset = strokes[index][0] - place
            places[index] = Tick(place), max(-OFFSET_MAX, min(OFFSET_MAX, offset))
    return tuple(places[index] for index in range(len(strokes)))


class _Way(NamedTuple):
    """One division of one beat: what it costs in nats, and where it writes the hits."""

    cost: float
    places: list[int]


def _divided(
    strokes: Sequence[tuple[int, Voice]],
    indices: Sequence[int],
    beat: int,
    division: _Division,
    meter: Meter,
) -> _Way:
    step = TICKS_PER_BEAT // division.parts
    start = beat * TICKS_PER_BEAT
    end = min(start + TICKS_PER_BEAT, meter.ticks)
    misfit = 0
    places = []
    distinct = set()
    for tick, voice in (strokes[index] for index in indices):
        place = min(end, max(start, start + (tick - start + step // 2) // step * step))
        misfit += (tick - place) ** 2
        places.append(place)
        distinct.add((place, voice))
    collisions = len(places) - len(distinct)
    return _Way(misfit / (2 * _SPREAD**2) + collisions * _COLLISION, places)


_EIGHTH = TICKS_PER_BEAT // 2
_TRIPLET = TICKS_PER_BEAT // 6
_TIMEKEEPERS = frozenset(
    (*HATS, Voice.RIDE, Voice.RIDE_BELL, Voice.SHAKER, Voice.TAMBOURINE, Voice.COWBELL)
)


def fit(bar: Bar, meter: Meter, *, tail: bool = False) -> Bar:
    """Return ``bar`` in another metre, its kick on one, backbeat and timekeeping kept.

    Felt beats stay felt beats: quarters become dotted quarters in 6/8, 9/8 and 12/8, triplets
    their eighths.  A shorter metre takes the first beats, or with ``tail`` the last, as a fill
    needs; a longer one goes on with the second half again, so that 5/4 is 1 2 3 4 3.  What comes
    out is playable, and none of it is written at or beyond the end.
    """
    if bar.meter == meter:
        return bar
    old, new = _felt_beat(bar.meter), _felt_beat(meter)
    beats = [_restretched(beat, old, new) for beat in _beats(bar, old)]
    count = -(-meter.ticks // new)
    first = max(0, len(beats) - count) if tail else 0
    again = len(beats) // 2 if len(beats) > 2 else 0
    hits: list[Hit] = []
    for index in range(count):
        source = index + first
        if source >= len(beats):
            source = again + (source - len(beats)) % (len(beats) - again)
        moved = (replace(hit, tick=Tick(hit.tick + index * new)) for hit in beats[source])
        hits += [hit for hit in moved if hit.tick < meter.ticks]
    return repaired(Bar(meter, tuple(hits)))


def _felt_beat(meter: Meter) -> int:
    compound = meter.denominator == 8 and meter.numerator > 3 and meter.numerator % 3 == 0
    return 3 * _EIGHTH if compound else TICKS_PER_BEAT


def _beats(bar: Bar, length: int) -> list[list[Hit]]:
    """Split into felt beats, ticks counted from each; a last part of one is completed.

    The completion is the same part of the beat two before, which is as strong or weak.
    """
    beats = [
        [
            replace(hit, tick=Tick(hit.tick - start))
            for hit in bar.hits
            if start <= hit.tick < start + length
        ]
        for start in range(0, bar.meter.ticks, length)
    ]
    rest = bar.meter.ticks % length
    if rest and len(beats) > 1:
        beats[-1] += [hit for hit in beats[max(0, len(beats) - 3)] if hit.tick >= rest]
    return beats


def _restretched(beat: list[Hit], old: int, new: int) -> list[Hit]:
    if old == new:
        return beat
    if new < old:
        return [replace(hit, tick=Tick(hit.tick * 2 // 3)) for hit in beat]
    if any(hit.tick % TICKS_PER_SIXTEENTH and not hit.tick % _TRIPLET for hit in beat):
        return [replace(hit, tick=Tick(hit.tick * 3 // 2)) for hit in beat]
    third = [
        replace(hit, tick=Tick(hit.tick + _EIGHTH))
        for hit in beat
        if hit.tick >= _EIGHTH and hit.voice in _TIMEKEEPERS
    ]
    return beat + third
