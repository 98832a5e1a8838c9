"""In the style of Metro Boomin: half-time on a tight grid, hats that roll.

After production tutorials for trap drums: backbeat on three alone, sparse syncopated kicks, hats
in eighths or sixteenths with rolls of 32nds, sixteenth triplets and 32nd triplets, of rising or
falling velocity, several times within a bar; timing tight to the grid (SD at most 2 ms).

``phrase`` writes the bar bank; ``idiom`` and ``feel`` make the long performances that a model is
trained on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drumigen.bank.grammars.chance import (
    EIGHTH,
    GRAMMAR_METER,
    GRAMMAR_STEPS,
    Chance,
    Phrase,
    hit_at,
    loosened,
    playable,
)
from drumigen.bank.grammars.performance import BarSteps, DrumPart, Idiom, drawn_bed
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick


@dataclass(frozen=True, slots=True)
class _Roll:
    """A burst of hats: notes per quarter, quarters long, and velocities from and to."""

    parts: int
    beats: float
    start: int
    end: int

    def hits(self, tick: int, voice: Voice) -> Iterator[Hit]:
        """Yield the burst from ``tick`` on."""
        count = round(self.parts * self.beats)
        for index in range(count):
            velocity = self.start + (self.end - self.start) * index // max(1, count - 1)
            yield Hit(Tick(tick + index * TICKS_PER_BEAT // self.parts), voice, velocity)


_ROLLS = (
    _Roll(8, 0.5, 58, 100),
    _Roll(8, 0.5, 104, 62),
    _Roll(8, 1.0, 50, 108),
    _Roll(8, 1.0, 106, 54),
    _Roll(6, 1.0, 60, 104),
    _Roll(6, 1.0, 104, 60),
    _Roll(6, 0.5, 70, 100),
    _Roll(3, 1.0, 92, 78),
)
_KICKS: tuple[tuple[int, ...], ...] = (
    (0, 7, 10),
    (0, 3, 11),
    (0, 6, 14),
    (0, 10),
    (0, 5, 10, 13),
    (0, 3, 6, 13),
    (0, 11, 14),
    (0, 7, 13),
    (0, 2, 7, 11),
)


def phrase(chance: Chance) -> Phrase:
    """Four bars on two kick patterns, each bar with rolls of its own."""
    kicks = chance.rng.sample(_KICKS, 2)
    backbeat = chance.rng.choice(((Voice.CLAP,), (Voice.SNARE,), (Voice.SNARE, Voice.CLAP)))
    step = chance.rng.choice((1, 2, 2))
    return tuple(_written(chance, kicks[number % 2], backbeat, step) for number in range(4))


def _written(chance: Chance, kicks: Sequence[int], backbeat: Sequence[Voice], step: int) -> Bar:
    # two hands clap and strike on 3 together: the hat rests there
    hats = {
        tick: Hit(Tick(tick), Voice.CLOSED_HAT, 90 if tick % TICKS_PER_BEAT == 0 else 76)
        for tick in range(0, GRAMMAR_METER.ticks, step * TICKS_PER_SIXTEENTH)
    }
    for beat in chance.some((0, 1, 2, 3), 1, 2):
        roll = chance.rng.choice(_ROLLS)
        start = beat * TICKS_PER_BEAT + (EIGHTH if roll.beats < 1 and chance.happens(0.6) else 0)
        end = start + round(roll.beats * TICKS_PER_BEAT)
        hats = {tick: hit for tick, hit in hats.items() if not start <= tick < end}
        hats |= {hit.tick: hit for hit in roll.hits(start, Voice.CLOSED_HAT)}
    if chance.happens(0.4):
        tick = chance.rng.choice((6, 10, 14)) * TICKS_PER_SIXTEENTH
        if tick in hats:
            hats[tick] = Hit(Tick(tick), Voice.OPEN_HAT, 92)
    hits = [*hats.values(), *(hit_at(at, Voice.KICK, 118 if at == 0 else 108) for at in kicks)]
    hits += [hit_at(8, voice, 118) for voice in backbeat]
    return loosened(playable(hits), chance, 0.7, 2)


def fill(chance: Chance) -> Bar:
    """Return a long roll into the next bar, on hats or snare, while the kick drops out."""
    voice = chance.rng.choice((Voice.CLOSED_HAT, Voice.SNARE, Voice.CLOSED_HAT))
    start = chance.rng.choice((2, 3)) if voice is Voice.SNARE else 2
    hits = [hit_at(8, Voice.SNARE, 118)] if voice is not Voice.SNARE or start > 2 else []
    for beat in range(start, 4):
        level = 56 + 16 * (beat - start)
        parts = chance.rng.choice((6, 8)) if beat == 3 else chance.rng.choice((3, 4, 6, 8))
        hits += _Roll(parts, 1.0, level, level + 30).hits(beat * TICKS_PER_BEAT, voice)
    if voice is Voice.SNARE:
        hits += [hit_at(step, Voice.CLOSED_HAT, 76) for step in range(start * 4, GRAMMAR_STEPS, 4)]
    hits += [hit_at(step, Voice.KICK, 110) for step in chance.some((8, 10, 11, 13), 0, 2)]
    return loosened(playable(hits), chance, 0.7, 2)


_SPARSE_KICKS = DrumPart.of(
    "88 3 12 28 | 3 14 28 26 | 3 8 36 24 | 4 22 28 11", low=2, high=5, change=0.5, run=2
)
_ROLL_STARTS = DrumPart.of("6 3 14 5 | 12 4 20 5 | 8 4 20 6 | 16 5 22 5", low=1, high=3, change=0.8)
_OPEN_HATS = DrumPart.of("0 0 6 2 | 3 2 10 4 | 0 2 10 3 | 5 2 12 3", low=0, high=2, change=0.3)
_PERCUSSION = DrumPart.of(
    "0 2 5 10 | 0 8 10 12 | 0 6 6 12 | 0 10 10 10", low=0, high=3, change=0.35
)
_NO_PART = DrumPart((0.0,) * GRAMMAR_STEPS, 0, 0, 0.0)
_HAT_BEDS = (
    (0.97, 0.95, 0.06, 0.45),
    (0.96, 0.93, 0.22, 0.25),
    (0.97, 0.94, 0.92, 0.20),
    (0.95, 0.55, 0.30, 0.10),
)
_DIVISIONS = ((8, 0.42), (6, 0.28), (12, 0.22), (3, 0.08))
"""Notes a beat of a roll and its share: 32nds, sixteenth triplets, 32nd triplets, eighth triplets;
groups of three to six of these stand in tutorials for the style."""


def idiom(chance: Chance) -> Idiom:
    """Return what a performance keeps: a bed of hats, its backbeat sound, which rolls it likes."""
    bed = drawn_bed(chance, _HAT_BEDS, 5, 16, 0.5)
    parts = {
        "kick": _SPARSE_KICKS,
        "hat": bed.steady(bed.drawn(chance), 0.97, 0.3),
        "roll": _ROLL_STARTS,
        "open": _OPEN_HATS,
        "percussion": _PERCUSSION if chance.happens(0.25) else _NO_PART,
    }
    backbeat = chance.rng.choice(((Voice.CLAP,), (Voice.SNARE,), (Voice.SNARE, Voice.CLAP)))
    liked = [share * chance.rng.uniform(0.2, 1.8) for _, share in _DIVISIONS]

    def written(chance: Chance, steps: BarSteps) -> Bar:
        return _bar(chance, steps, backbeat, liked)

    return Idiom(parts, written, _rolls, fills=0.45, crashes=0.3)


def _rolls(chance: Chance) -> Bar:
    """Return a fill less its own backbeat: that of the groove goes on."""
    hits = fill(chance).hits
    return playable([h for h in hits if h.voice is not Voice.SNARE or h.velocity < 110])


def _bar(chance: Chance, steps: BarSteps, backbeat: Sequence[Voice], liked: Sequence[float]) -> Bar:
    hats = {
        step * TICKS_PER_SIXTEENTH: hit_at(step, Voice.CLOSED_HAT, (90, 70, 78, 70)[step % 4])
        for step in sorted(steps["hat"])
    }
    hats |= {
        step * TICKS_PER_SIXTEENTH: hit_at(step, Voice.OPEN_HAT, 92)
        for step in sorted(steps["open"])
    }
    for step in sorted(steps["roll"]):
        roll = _drawn_roll(chance, liked)
        start = step * TICKS_PER_SIXTEENTH
        end = min(GRAMMAR_METER.ticks, start + round(roll.beats * TICKS_PER_BEAT))
        hats = {tick: hit for tick, hit in hats.items() if not start <= tick < end}
        burst = (hit for hit in roll.hits(start, Voice.CLOSED_HAT) if hit.tick < end)
        hats |= {hit.tick: hit for hit in burst}
    hits = [*hats.values(), *(hit_at(8, voice, 118) for voice in backbeat)]
    hits += [hit_at(step, Voice.KICK, 118 if step == 0 else 108) for step in steps["kick"]]
    hits += [hit_at(step, Voice.PERCUSSION, 84) for step in steps["percussion"]]
    return playable(hits)


def _drawn_roll(chance: Chance, liked: Sequence[float]) -> _Roll:
    parts = chance.rng.choices([parts for parts, _ in _DIVISIONS], liked)[0]
    beats = 1.0 if parts == 3 else chance.rng.choices((0.25, 0.5, 0.75, 1.0), (3, 5, 2, 2))[0]
    soft, loud = chance.drawn(48, 72), chance.drawn(94, 110)
    if chance.happens(0.15):
        soft = loud - 8
    return _Roll(parts, beats, *((soft, loud) if chance.happens(0.55) else (loud, soft)))


def feel(chance: Chance, bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Return ``bars`` a hair off the grid: an SD of 0.5-1.5 ms, the same through a performance."""
    spread = chance.rng.uniform(0.5, 1.5)
    return tuple(loosened(bar, chance, spread, 3) for bar in bars)
