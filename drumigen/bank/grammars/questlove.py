"""In the style of Questlove: dry hats on the grid, late and loud backbeat, whispering ghosts.

After Danielsen et al. (2015), in which laid-back snares are late against the hat and louder; no
table of his own timing is published.  How many ghosts (1.3 a bar in hip hop, 2.7 in funk), where
(sixteenths 7, 9, 15 and 13 of 16 first) and how soft (15-38), as in the Groove MIDI Dataset.

``phrase`` writes the bar bank; ``idiom`` and ``feel`` make the long performances that a model is
trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drumigen.bank.grammars.chance import (
    GRAMMAR_STEPS,
    Chance,
    Phrase,
    hit_at,
    loosened,
    playable,
    swung,
)
from drumigen.bank.grammars.human_timing import played_by_hand
from drumigen.bank.grammars.performance import BarSteps, DrumPart, Idiom, drawn_bed
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
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


def phrase(chance: Chance) -> Phrase:
    """Return four bars of one groove, played each time a little differently."""
    swing = chance.rng.uniform(52, 58)
    late = chance.ms(10, 25)
    sixteenths = chance.happens(0.4)
    kicks = chance.rng.choice(_KICKS)
    stick = chance.happens(0.2)
    return tuple(_written(chance, kicks, _Quest(swing, late, sixteenths, stick)) for _ in range(4))


@dataclass(frozen=True, slots=True)
class _Quest:
    """What stays through a phrase: swing in MPC percent, backbeat delay in ticks, hats, stick."""

    swing: float
    late: int
    sixteenths: bool
    stick: bool


def _written(chance: Chance, kicks: Sequence[int], quest: _Quest) -> Bar:
    level = (92, 48, 72, 46) if quest.sixteenths else (90, 0, 66, 0)
    hits = [
        hit_at(step, Voice.CLOSED_HAT, level[step % 4], swung(step, quest.swing))
        for step in range(GRAMMAR_STEPS)
        if level[step % 4]
    ]
    backbeat = Voice.SIDE_STICK if quest.stick else Voice.SNARE
    hits += [hit_at(step, backbeat, chance.drawn(108, 120), quest.late) for step in (4, 12)]
    here = [step for step in kicks if step == 0 or chance.happens(0.85)]
    if chance.happens(0.3):
        here.append(chance.rng.choice([step for step in (2, 6, 9, 11, 14) if step not in here]))
    hits += [
        hit_at(step, Voice.KICK, 108 if step % 8 == 0 else 96, swung(step, quest.swing))
        for step in here
    ]
    for step in chance.some([step for step in _GHOST_STEPS[:6] if step not in here], 1, 3):
        ghost = hit_at(step, Voice.SNARE, chance.drawn(18, 35), swung(step, quest.swing))
        hits.append(ghost)
    return loosened(playable(hits), chance, 5.0, 3)


def fill(chance: Chance) -> Bar:
    """Return one beat, at most two, of growing snare sixteenths, perhaps a tom at the end."""
    start = chance.rng.choice((8, 12, 12))
    late = chance.ms(6, 14)
    steps = [step for step in range(start, GRAMMAR_STEPS) if step == 12 or chance.happens(0.8)]
    hits = [
        hit_at(
            step, Voice.SNARE, min(118, 62 + 3 * step + chance.drawn(-8, 8)), late + swung(step, 55)
        )
        for step in steps
    ]
    if chance.happens(0.5):
        voice = chance.rng.choice((Voice.LOW_TOM, Voice.HIGH_TOM))
        hits = [replace(h, voice=voice) if h.tick >= 14 * TICKS_PER_SIXTEENTH else h for h in hits]
    hits += [
        hit_at(step, Voice.KICK, 100) for step in chance.some((8, 10, 14), 1, 2) if step >= start
    ]
    hits += [hit_at(step, Voice.CLOSED_HAT, 70) for step in range(start, GRAMMAR_STEPS, 4)]
    return loosened(playable(hits), chance, 5.0, 4)


_BACKBEAT = (4, 12)
_STEADY_KICKS = DrumPart.of(
    "97 3 20 14 | 1 4 25 26 | 48 9 46 17 | 1 6 16 10", low=2, high=5, change=0.35, run=2
)
_GHOSTS = DrumPart.of("0 7 5 15 | 0 14 7 38 | 2 38 6 13 | 0 22 9 32", low=1, high=4, change=0.75)
_OPEN_HATS = DrumPart.of("0 0 2 1 | 0 1 4 3 | 0 1 2 1 | 0 1 7 4", low=0, high=1, change=0.15)
_HAT_BEDS = (
    (1.0, 0.99, 0.01, 0.50),
    (1.0, 0.98, 0.95, 0.32),
    (1.0, 0.97, 0.18, 0.18),
)


def idiom(chance: Chance) -> Idiom:
    """Return what a performance keeps: kicks, hats or seldom a ride, snare or stick."""
    bed = drawn_bed(chance, _HAT_BEDS, 7, 16, 0.3)
    parts = {
        "kick": _STEADY_KICKS.steady(_STEADY_KICKS.drawn(chance), 0.88, 0.4),
        "ghost": _GHOSTS.steady(_GHOSTS.drawn(chance), 0.55, 0.75),
        "hat": bed.steady(bed.drawn(chance), 0.98, 0.4),
        "open": _OPEN_HATS,
    }
    cymbal = Voice.RIDE if chance.happens(0.06) else Voice.CLOSED_HAT
    backbeat = Voice.SIDE_STICK if chance.happens(0.15) else Voice.SNARE

    def written(chance: Chance, steps: BarSteps) -> Bar:
        return _bar(chance, steps, cymbal, backbeat)

    return Idiom(parts, written, fill, fills=0.3, crashes=0.8)


def _bar(chance: Chance, steps: BarSteps, cymbal: Voice, backbeat: Voice) -> Bar:
    opened = steps["open"] if cymbal is Voice.CLOSED_HAT else frozenset[int]()
    # both hands are busy with sixteenths: a ghost often takes the place of a hat
    skipped = {step for step in sorted(steps["ghost"]) if step % 2 and chance.happens(0.5)}
    level = (90, 47, 68, 46) if len(steps["hat"]) > 10 else (90, 46, 66, 46)
    hits = [hit_at(step, backbeat, chance.drawn(110, 122)) for step in _BACKBEAT]
    hits += [hit_at(step, Voice.OPEN_HAT, 84) for step in opened]
    hits += [hit_at(step, cymbal, level[step % 4]) for step in steps["hat"] - opened - skipped]
    hits += [hit_at(step, Voice.KICK, 108 if step % 8 == 0 else 96) for step in steps["kick"]]
    hits += [hit_at(step, Voice.SNARE, chance.drawn(18, 35)) for step in sorted(steps["ghost"])]
    return playable(hits)


def feel(chance: Chance, bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Return ``bars`` as a hand plays them: late backbeat, kick on the beat, memory in between.

    The backbeat is 10-25 ms behind the hats, each step of the kick within 6 ms, sixteenths swing
    by 52-58 %; the residual that all limbs share has an SD of 6-8 ms, their own of 2.5 ms.
    """
    swing = chance.rng.uniform(52, 58)
    late = chance.ms(10, 25)
    kicks = [chance.ms(-6, 6) for _ in range(2 * GRAMMAR_STEPS)]
    hats = [chance.ms(-2, 2) for _ in range(2 * GRAMMAR_STEPS)]

    def placed(hit: Hit) -> Hit:
        step = hit.tick // TICKS_PER_SIXTEENTH
        if hit.voice is Voice.KICK:
            own = kicks[step]
        elif hit.voice in _STRUCK and hit.velocity >= _LOUD:
            own = late
        else:
            own = hats[step]
        return replace(hit, offset=own + swung(step, swing))

    moved = [replace(bar, hits=tuple(map(placed, bar.hits))) for bar in bars]
    return played_by_hand(chance, moved, chance.rng.uniform(6, 8), 2.5, 4.0)


_STRUCK = frozenset((Voice.SNARE, Voice.SIDE_STICK))
_LOUD = 60
