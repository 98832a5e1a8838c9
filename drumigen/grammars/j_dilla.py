"""In the style of J Dilla: straight and swung at once, shifted voices, frozen templates.

After Charnas, "Dilla Time" (2022), Hein's notes on it, and BRL Theory, "The Dilla Feel": snare
early, kick late, hats between straight and quintuplet, and every deviation repeats exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drumigen.grammars.pen import STEPS, Pen, Phrase, hit_at, playable, swung
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.units import TICKS_PER_SIXTEENTH

STRAIGHT = 50.0
SEPTUPLET_SWING = 100 * 4 / 7
QUINTUPLET_SWING = 60.0


@dataclass(frozen=True, slots=True)
class _Shift:
    """The template of one beat: swing of hats and kick in MPC percent, voices in ticks."""

    hat_swing: float
    kick_swing: float
    snare: int
    kick: int
    hat: int


def phrase(pen: Pen) -> Phrase:
    """Return a two-bar template and its repeat, whose last bar turns around."""
    hat_swing, kick_swing = pen.rng.choice(_SWINGS)
    # a swung kick is late by its swing already
    late = pen.ms(4, 25) if kick_swing == STRAIGHT else pen.ms(2, 8)
    shift = _Shift(hat_swing, kick_swing, -pen.ms(8, 30), late, pen.ms(-3, 3))
    hats = pen.rng.choice(_HATS if hat_swing > STRAIGHT else (*_HATS, _EIGHTHS))
    one, two = (_written(pen, shift, hats) for _ in range(2))
    turned = _with_extra_kick(pen, two, shift)
    # Two bars come back as they were, as they do from a sampler; the fourth turns around.
    return one, two, one, turned


_SWINGS = (
    (QUINTUPLET_SWING, STRAIGHT),
    (SEPTUPLET_SWING, STRAIGHT),
    (53.0, QUINTUPLET_SWING),
    (STRAIGHT, QUINTUPLET_SWING),
    (STRAIGHT, SEPTUPLET_SWING),
)
"""Swing of the hats and of the kick, in MPC percent: one is straighter than the other."""

_EIGHTHS = tuple(range(0, 16, 2))
_HATS: tuple[tuple[int, ...], ...] = (
    tuple(range(16)),
    (0, 2, 4, 6, 7, 8, 10, 12, 14),
    (0, 2, 3, 4, 6, 8, 10, 11, 12, 14),
    (0, 2, 4, 5, 6, 8, 10, 12, 14, 15),
    (0, 1, 2, 4, 6, 7, 8, 9, 10, 12, 14, 15),
)
_KICKS: tuple[tuple[int, ...], ...] = (
    (0, 7, 10),
    (0, 3, 10),
    (0, 5, 8, 11),
    (0, 2, 7, 10),
    (0, 7, 9),
    (0, 6, 10, 15),
    (0, 3, 8, 10),
    (0, 10, 13),
)


def _written(pen: Pen, shift: _Shift, hats: Sequence[int]) -> Bar:
    hits = [
        hit_at(
            step,
            Voice.CLOSED_HAT,
            74 if step % 4 == 0 else 68 if step % 2 == 0 else 58,
            shift.hat + swung(step, shift.hat_swing),
        )
        for step in hats
    ]
    kicks = pen.rng.choice(_KICKS)
    hits += [_kick(step, 112 if step == 0 else 98, shift) for step in kicks]
    hits += [hit_at(step, Voice.SNARE, 116, shift.snare) for step in (4, 12)]
    free = [step for step in (1, 3, 5, 9, 11, 13, 15) if not {step - 1, step, step + 1} & {*kicks}]
    hits += [_kick(step, pen.drawn(38, 54), shift) for step in pen.some(free, 0, 2)]
    if pen.chance(0.35):
        step = pen.rng.choice((6, 14))
        hits = [hit for hit in hits if hit.tick != step * TICKS_PER_SIXTEENTH]
        hits.append(hit_at(step, Voice.OPEN_HAT, 80, shift.hat))
    return playable(hits)


def _kick(step: int, velocity: int, shift: _Shift) -> Hit:
    late = shift.kick if step else shift.kick // 2
    return hit_at(step, Voice.KICK, velocity, late + swung(step, shift.kick_swing))


def _with_extra_kick(pen: Pen, bar: Bar, shift: _Shift) -> Bar:
    kicks = {hit.tick // TICKS_PER_SIXTEENTH for hit in bar.hits if hit.voice is Voice.KICK}
    step = pen.rng.choice([step for step in (9, 11, 13, 14, 15) if step not in kicks])
    return playable((*bar.hits, _kick(step, 86, shift)))


def fill(pen: Pen) -> Bar:
    """Return a stutter, not a roll round the toms: kick and snare trade the last beats."""
    shift = _Shift(QUINTUPLET_SWING, QUINTUPLET_SWING, -pen.ms(8, 20), pen.ms(2, 8), 0)
    start = pen.rng.choice((8, 10, 12))
    hits = [hit_at(12, Voice.SNARE, 116, shift.snare), _kick(start, 104, shift)]
    for step in range(start + 1, STEPS):
        if step != 12 and pen.chance(0.75):
            if pen.chance(0.5):
                hits.append(_kick(step, pen.drawn(80, 104), shift))
            else:
                offset = shift.snare + swung(step, shift.hat_swing)
                hits.append(hit_at(step, Voice.SNARE, pen.drawn(60, 112), offset))
    hits += [hit_at(step, Voice.CLOSED_HAT, 66) for step in range(start, STEPS, 2)]
    if pen.chance(0.5):
        hits.append(hit_at(15, Voice.OPEN_HAT, 88, swung(15, QUINTUPLET_SWING)))
    return playable(hits)
