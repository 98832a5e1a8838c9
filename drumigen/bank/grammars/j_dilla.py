"""In the style of J Dilla: straight and swung at once, shifted voices, frozen templates.

After Charnas, "Dilla Time" (2022), Hein's notes on it, and BRL Theory, "The Dilla Feel": snare
8-30 ms early, kick 0-25 ms late, hats between straight and quintuplet (50-60 %), and every
deviation repeats exactly: what is left over has an SD of at most 2 ms.  Ghosts are on the kick,
not on the snare.

``phrase`` writes the bar bank; ``idiom`` and ``feel`` make the long performances that a model is
trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drumigen.bank.grammars.chance import GRAMMAR_STEPS, Chance, Phrase, hit_at, playable, swung
from drumigen.bank.grammars.performance import BarSteps, DrumPart, Idiom, drawn_bed
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


def phrase(chance: Chance) -> Phrase:
    """Return a two-bar template and its repeat, whose last bar turns around."""
    shift = _drawn_shift(chance)
    hats = chance.rng.choice(_HATS if shift.hat_swing > STRAIGHT else (*_HATS, _EIGHTHS))
    one, two = (_written(chance, shift, hats) for _ in range(2))
    turned = _with_extra_kick(chance, two, shift)
    # Two bars come back as they were, as they do from a sampler; the fourth turns around.
    return one, two, one, turned


def _drawn_shift(chance: Chance) -> _Shift:
    hat_swing, kick_swing = chance.rng.choice(_SWINGS)
    # a swung kick is late by its swing already
    late = chance.ms(4, 25) if kick_swing == STRAIGHT else chance.ms(2, 8)
    return _Shift(hat_swing, kick_swing, -chance.ms(8, 30), late, chance.ms(-3, 3))


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


def _written(chance: Chance, shift: _Shift, hats: Sequence[int]) -> Bar:
    hits = [
        hit_at(
            step,
            Voice.CLOSED_HAT,
            74 if step % 4 == 0 else 68 if step % 2 == 0 else 58,
            shift.hat + swung(step, shift.hat_swing),
        )
        for step in hats
    ]
    kicks = chance.rng.choice(_KICKS)
    hits += [_kick(step, 112 if step == 0 else 98, shift) for step in kicks]
    hits += [hit_at(step, Voice.SNARE, 116, shift.snare) for step in (4, 12)]
    free = [step for step in (1, 3, 5, 9, 11, 13, 15) if not {step - 1, step, step + 1} & {*kicks}]
    hits += [_kick(step, chance.drawn(38, 54), shift) for step in chance.some(free, 0, 2)]
    if chance.happens(0.35):
        step = chance.rng.choice((6, 14))
        hits = [hit for hit in hits if hit.tick != step * TICKS_PER_SIXTEENTH]
        hits.append(hit_at(step, Voice.OPEN_HAT, 80, shift.hat))
    return playable(hits)


def _kick(step: int, velocity: int, shift: _Shift) -> Hit:
    late = shift.kick if step else shift.kick // 2
    return hit_at(step, Voice.KICK, velocity, late + swung(step, shift.kick_swing))


def _with_extra_kick(chance: Chance, bar: Bar, shift: _Shift) -> Bar:
    kicks = {hit.tick // TICKS_PER_SIXTEENTH for hit in bar.hits if hit.voice is Voice.KICK}
    step = chance.rng.choice([step for step in (9, 11, 13, 14, 15) if step not in kicks])
    return playable((*bar.hits, _kick(step, 86, shift)))


def fill(chance: Chance) -> Bar:
    """Return a stutter, not a roll round the toms: kick and snare trade the last beats."""
    shift = _Shift(QUINTUPLET_SWING, QUINTUPLET_SWING, -chance.ms(8, 20), chance.ms(2, 8), 0)
    start = chance.rng.choice((8, 10, 12))
    hits = [hit_at(12, Voice.SNARE, 116, shift.snare), _kick(start, 104, shift)]
    for step in range(start + 1, GRAMMAR_STEPS):
        if step != 12 and chance.happens(0.75):
            if chance.happens(0.5):
                hits.append(_kick(step, chance.drawn(80, 104), shift))
            else:
                offset = shift.snare + swung(step, shift.hat_swing)
                hits.append(hit_at(step, Voice.SNARE, chance.drawn(60, 112), offset))
    hits += [hit_at(step, Voice.CLOSED_HAT, 66) for step in range(start, GRAMMAR_STEPS, 2)]
    if chance.happens(0.5):
        hits.append(hit_at(15, Voice.OPEN_HAT, 88, swung(15, QUINTUPLET_SWING)))
    return playable(hits)


_BACKBEAT = (4, 12)
_MOVED_KICKS = DrumPart.of(
    "92 4 16 26 | 2 18 22 36 | 18 22 50 24 | 2 20 14 18", low=2, high=5, change=0.55, run=2
)
_GHOST_KICKS = DrumPart.of("0 8 5 10 | 0 10 6 6 | 3 12 5 10 | 0 10 6 11", low=0, high=3, change=0.5)
_OPEN_HATS = DrumPart.of("0 0 2 1 | 0 1 8 4 | 0 1 4 2 | 0 1 8 5", low=0, high=2, change=0.25)
_HAT_BEDS = (
    (0.97, 0.95, 0.10, 0.35),
    (0.96, 0.92, 0.30, 0.35),
    (0.95, 0.85, 0.60, 0.20),
    (0.97, 0.60, 0.35, 0.10),
)


def idiom(chance: Chance) -> Idiom:
    """Return what a performance keeps: its own hats with holes, backbeat, level of every step."""
    bed = drawn_bed(chance, _HAT_BEDS, 5, 15, 0.6)
    parts = {
        "kick": _MOVED_KICKS,
        "ghost": _GHOST_KICKS,
        "hat": bed.steady(bed.drawn(chance), 0.97, 0.35),
        "open": _OPEN_HATS,
    }
    backbeat = chance.rng.choices((Voice.SNARE, Voice.CLAP, Voice.SIDE_STICK), (8, 1, 1))[0]
    levels = tuple(chance.drawn(-5, 5) for _ in range(GRAMMAR_STEPS))

    def written(_: Chance, steps: BarSteps) -> Bar:
        return _bar(steps, backbeat, levels)

    return Idiom(parts, written, _stutter, fills=0.35, crashes=0.25)


def _stutter(chance: Chance) -> Bar:
    """Return a fill in which the kick has all the stutter and the snare keeps its backbeat."""
    hits = [
        replace(hit, voice=Voice.KICK, velocity=min(100, hit.velocity))
        if hit.voice is Voice.SNARE and hit.tick != 12 * TICKS_PER_SIXTEENTH
        else hit
        for hit in fill(chance).hits
    ]
    return playable(hits)


def _bar(steps: BarSteps, backbeat: Voice, levels: Sequence[int]) -> Bar:
    kicks = steps["kick"]
    # one foot: between two kicks there is no time for a ghost
    ghosts = [step for step in steps["ghost"] - kicks if not kicks >= {step - 1, step + 1}]
    hits = [hit_at(step, backbeat, 116 + levels[step] // 2) for step in _BACKBEAT]
    hits += [hit_at(step, Voice.OPEN_HAT, 82 + levels[step]) for step in steps["open"]]
    hits += [
        hit_at(step, Voice.CLOSED_HAT, (72, 58, 66, 58)[step % 4] + levels[step])
        for step in steps["hat"] - steps["open"]
    ]
    hits += [
        hit_at(step, Voice.KICK, (112 if step == 0 else 99) + levels[step])
        for step in steps["kick"]
    ]
    hits += [hit_at(step, Voice.KICK, 46 + levels[step]) for step in ghosts]
    return playable(hits)


def feel(chance: Chance, bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Return ``bars`` on one template of micro-timing, frozen for the performance.

    Each sixteenth of the bar has, for each voice, its own place, which every bar repeats to within
    a residual SD of 0.8 ms.
    """
    shift = _drawn_shift(chance)
    own = {
        voice: [
            chance.ms(max(-3.0, min(3.0, chance.rng.gauss(0, 1.5))))
            for _ in range(2 * GRAMMAR_STEPS)
        ]
        for voice in (Voice.KICK, Voice.CLOSED_HAT)
    }

    def placed(hit: Hit) -> Hit:
        step = hit.tick // TICKS_PER_SIXTEENTH
        if hit.voice is Voice.KICK:
            late = shift.kick if step else shift.kick // 2
            offset = late + swung(step, shift.kick_swing) + abs(own[Voice.KICK][step]) // 2
        elif hit.voice in _STRUCK:
            offset = shift.snare + (0 if hit.velocity >= 100 else swung(step, shift.hat_swing))
        else:
            offset = shift.hat + swung(step, shift.hat_swing) + own[Voice.CLOSED_HAT][step]
        return replace(hit, offset=offset + chance.ms(chance.rng.gauss(0, 0.8)))

    return tuple(replace(bar, hits=tuple(map(placed, bar.hits))) for bar in bars)


_STRUCK = frozenset((Voice.SNARE, Voice.CLAP, Voice.SIDE_STICK))
