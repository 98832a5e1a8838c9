"""In the style of Questlove: dry hats on the grid, late and loud backbeat, whispering ghosts.

After Danielsen et al. (2015), in which laid-back snares are late against the hat and louder; how
many ghosts, and where, as in the hip hop and funk of the Groove MIDI Dataset.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drumigen.grammars.pen import STEPS, Pen, Phrase, hit_at, loosened, playable, swung
from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.units import TICKS_PER_SIXTEENTH

_KICKS: tuple[tuple[int, ...], ...] = (
    (0, 8),
    (0, 10),
    (0, 7, 10),
    (0, 6, 8),
    (0, 3, 8, 10),
    (0, 8, 11),
    (0, 2, 8, 10),
    (0, 7, 8, 15),
)
_GHOST_STEPS = (7, 9, 15, 13, 3, 5, 6, 11, 14)
"""Sixteenths that carry most ghosts in the hip hop and funk of the Groove MIDI Dataset: those
beside the backbeat and before three."""


def phrase(pen: Pen) -> Phrase:
    """Return four bars of one groove, played each time a little differently."""
    swing = pen.rng.uniform(52, 58)
    late = pen.ms(10, 25)
    sixteenths = pen.chance(0.4)
    kicks = pen.rng.choice(_KICKS)
    stick = pen.chance(0.2)
    return tuple(_written(pen, kicks, _Quest(swing, late, sixteenths, stick)) for _ in range(4))


@dataclass(frozen=True, slots=True)
class _Quest:
    """What stays through a phrase: swing in MPC percent, backbeat delay in ticks, hats, stick."""

    swing: float
    late: int
    sixteenths: bool
    stick: bool


def _written(pen: Pen, kicks: Sequence[int], quest: _Quest) -> Bar:
    level = (92, 48, 72, 46) if quest.sixteenths else (90, 0, 66, 0)
    hits = [
        hit_at(step, Voice.CLOSED_HAT, level[step % 4], swung(step, quest.swing))
        for step in range(STEPS)
        if level[step % 4]
    ]
    backbeat = Voice.SIDE_STICK if quest.stick else Voice.SNARE
    hits += [hit_at(step, backbeat, pen.drawn(108, 120), quest.late) for step in (4, 12)]
    here = [step for step in kicks if step == 0 or pen.chance(0.85)]
    if pen.chance(0.3):
        here.append(pen.rng.choice([step for step in (2, 6, 9, 11, 14) if step not in here]))
    hits += [
        hit_at(step, Voice.KICK, 108 if step % 8 == 0 else 96, swung(step, quest.swing))
        for step in here
    ]
    for step in pen.some([step for step in _GHOST_STEPS[:6] if step not in here], 1, 3):
        ghost = hit_at(step, Voice.SNARE, pen.drawn(18, 35), swung(step, quest.swing))
        hits.append(ghost)
    return loosened(playable(hits), pen, 5.0, 3)


def fill(pen: Pen) -> Bar:
    """Return one beat, at most two, of growing snare sixteenths, perhaps a tom at the end."""
    start = pen.rng.choice((8, 12, 12))
    late = pen.ms(6, 14)
    steps = [step for step in range(start, STEPS) if step == 12 or pen.chance(0.8)]
    hits = [
        hit_at(
            step, Voice.SNARE, min(118, 62 + 3 * step + pen.drawn(-8, 8)), late + swung(step, 55)
        )
        for step in steps
    ]
    if pen.chance(0.5):
        voice = pen.rng.choice((Voice.LOW_TOM, Voice.HIGH_TOM))
        hits = [replace(h, voice=voice) if h.tick >= 14 * TICKS_PER_SIXTEENTH else h for h in hits]
    hits += [hit_at(step, Voice.KICK, 100) for step in pen.some((8, 10, 14), 1, 2) if step >= start]
    hits += [hit_at(step, Voice.CLOSED_HAT, 70) for step in range(start, STEPS, 4)]
    return loosened(playable(hits), pen, 5.0, 4)
