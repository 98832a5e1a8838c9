"""In the style of Metro Boomin: half-time on a tight grid, hats that roll.

After production tutorials for trap drums: backbeat on three alone, sparse syncopated kicks, rolls
of 32nds and triplets with rising or falling velocity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drumigen.grammars.pen import EIGHTH, METER, STEPS, Pen, Phrase, hit_at, loosened, playable
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


def phrase(pen: Pen) -> Phrase:
    """Four bars on two kick lines, each bar with rolls of its own."""
    kicks = pen.rng.sample(_KICKS, 2)
    backbeat = pen.rng.choice(((Voice.CLAP,), (Voice.SNARE,), (Voice.SNARE, Voice.CLAP)))
    step = pen.rng.choice((1, 2, 2))
    return tuple(_written(pen, kicks[number % 2], backbeat, step) for number in range(4))


def _written(pen: Pen, kicks: Sequence[int], backbeat: Sequence[Voice], step: int) -> Bar:
    # two hands clap and strike on 3 together: the hat rests there
    hats = {
        tick: Hit(Tick(tick), Voice.CLOSED_HAT, 90 if tick % TICKS_PER_BEAT == 0 else 76)
        for tick in range(0, METER.ticks, step * TICKS_PER_SIXTEENTH)
    }
    for beat in pen.some((0, 1, 2, 3), 1, 2):
        roll = pen.rng.choice(_ROLLS)
        start = beat * TICKS_PER_BEAT + (EIGHTH if roll.beats < 1 and pen.chance(0.6) else 0)
        end = start + round(roll.beats * TICKS_PER_BEAT)
        hats = {tick: hit for tick, hit in hats.items() if not start <= tick < end}
        hats |= {hit.tick: hit for hit in roll.hits(start, Voice.CLOSED_HAT)}
    if pen.chance(0.4):
        tick = pen.rng.choice((6, 10, 14)) * TICKS_PER_SIXTEENTH
        if tick in hats:
            hats[tick] = Hit(Tick(tick), Voice.OPEN_HAT, 92)
    hits = [*hats.values(), *(hit_at(at, Voice.KICK, 118 if at == 0 else 108) for at in kicks)]
    hits += [hit_at(8, voice, 118) for voice in backbeat]
    return loosened(playable(hits), pen, 0.7, 2)


def fill(pen: Pen) -> Bar:
    """Return a long roll into the next bar, on hats or snare, while the kick drops out."""
    voice = pen.rng.choice((Voice.CLOSED_HAT, Voice.SNARE, Voice.CLOSED_HAT))
    start = pen.rng.choice((2, 3)) if voice is Voice.SNARE else 2
    hits = [hit_at(8, Voice.SNARE, 118)] if voice is not Voice.SNARE or start > 2 else []
    for beat in range(start, 4):
        level = 56 + 16 * (beat - start)
        parts = pen.rng.choice((6, 8)) if beat == 3 else pen.rng.choice((3, 4, 6, 8))
        hits += _Roll(parts, 1.0, level, level + 30).hits(beat * TICKS_PER_BEAT, voice)
    if voice is Voice.SNARE:
        hits += [hit_at(step, Voice.CLOSED_HAT, 76) for step in range(start * 4, STEPS, 4)]
    hits += [hit_at(step, Voice.KICK, 110) for step in pen.some((8, 10, 11, 13), 0, 2)]
    return loosened(playable(hits), pen, 0.7, 2)
