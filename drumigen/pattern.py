"""Hits and bars: frozen values, and what makes a bar playable."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from math import exp

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


def spliced(before: Bar, after: Bar, tick: int) -> Bar:
    """Return ``after`` with what ``before`` has written up to ``tick`` in place of its own."""
    hits = [hit for hit in before.hits if hit.tick < tick]
    hits += [hit for hit in after.hits if hit.tick >= tick]
    return Bar(after.meter, tuple(hits))


def struck(velocity: int, factor: float) -> int:
    """Return ``velocity`` made so many times as hard, within 1 to 127.

    What grows slows down the less room there is, so that loud strokes stay apart from one another
    instead of meeting at the ceiling.
    """
    if factor <= 1 or velocity >= VELOCITY_MAX:
        return max(1, min(VELOCITY_MAX, round(velocity * factor)))
    room = VELOCITY_MAX - velocity
    return round(velocity + room * (1 - exp(-_SLOWED * velocity * (factor - 1) / room)))


def louder(bar: Bar, factor: float) -> Bar:
    """Return ``bar`` with every stroke so many times as hard, as :func:`struck` makes it."""
    hits = (replace(hit, velocity=struck(hit.velocity, factor)) for hit in bar.hits)
    return replace(bar, hits=tuple(hits))


VELOCITY_MAX = 127
_SLOWED = 0.7

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
class Violation:
    """A rule that a bar breaks, where (ticks from the bar line), and one line of why."""

    rule: Rule
    tick: Tick
    why: str


def problems(bar: Bar, kit: KitMap | None = None) -> tuple[Violation, ...]:
    """Return what a drummer or a General MIDI kit could not play in ``bar``, in order.

    One written position is one movement of the whole body: what is written there sounds
    together, however its micro-timing spreads it.  ``kit`` adds the check that its notes lie in
    General MIDI's 35-81.  Velocities need no check here: a Hit refuses others than 1-127.
    """
    found = [problem for tick, hits in _positions(bar) for problem in _at_once(tick, hits)]
    found += [
        Violation(Rule.RANGE, hit.tick, f"{hit.voice} is note {note} on {kit.name}, outside 35-81")
        for hit in bar.hits
        if kit and (note := kit.note_of(hit.voice).note) not in GM_NOTES
    ]
    density = len(bar.hits) * TICKS_PER_BEAT / bar.meter.ticks
    if density > DENSITY_MAX:
        found.append(Violation(Rule.DENSE, Tick(0), f"{density:.1f} hits a beat; 16 is the most"))
    if density < DENSITY_MIN:
        found.append(
            Violation(Rule.SPARSE, Tick(0), f"{density:.1f} hits a beat; 0.5 is the least")
        )
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


def _at_once(tick: Tick, hits: list[Hit]) -> Iterator[Violation]:
    for voice, count in Counter(hit.voice for hit in hits).items():
        if count > 1:
            yield Violation(Rule.DUPLICATE, tick, f"{count} hits on {voice} at once")
    hats = sorted({hit.voice for hit in hits} & set(HATS))
    if len(hats) > 1:
        yield Violation(Rule.HATS, tick, f"{' and '.join(hats)} at once; there is one hi-hat")
    for limb, count in Counter(VOICES[hit.voice].limb for hit in hits).items():
        if count > LIMBS_OF_A_KIND:
            yield Violation(Rule.LIMBS, tick, f"{count} hits by {limb} at once; a drummer has two")


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
