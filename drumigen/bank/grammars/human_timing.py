"""What a human hand leaves over when swing and template are taken away."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from drumigen.bank.grammars.chance import Chance
from drumigen.pattern import OFFSET_MAX, Bar
from drumigen.units import TICKS_PER_SIXTEENTH

_OCTAVES = 10
_EXPONENT = 0.75


def correlated(rng: random.Random, count: int) -> list[float]:
    """Return ``count`` values of mean 0 and SD 1 with long memory: DFA exponent about 0.75.

    A sum of relaxations, each half as fast as the one before; their variances fall as 2**(b - 1)
    an octave for a spectrum of 1/f**b, and the exponent is (b + 1) / 2.  Drummers have 0.5-0.9
    (Hennig et al. 2011, PLoS ONE 6:e26457; Groove MIDI Dataset: 0.68, p10-p90 0.51-0.84).
    """
    slope = 2 * _EXPONENT - 2
    variances = [2 ** (slope * octave) for octave in range(_OCTAVES)]
    total = sum(variances)
    keeps = [math.exp(-1 / 2**octave) for octave in range(_OCTAVES)]
    spreads = [math.sqrt(variance / total) for variance in variances]
    kicks = [
        spread * math.sqrt(1 - keep * keep) for spread, keep in zip(spreads, keeps, strict=True)
    ]
    state = [rng.gauss(0, spread) for spread in spreads]
    values = []
    for _ in range(count):
        state = [
            keep * value + rng.gauss(0, kick)
            for keep, value, kick in zip(keeps, state, kicks, strict=True)
        ]
        values.append(sum(state))
    return values


def played_by_hand(
    chance: Chance, bars: Sequence[Bar], together: float, apart: float, velocity: float
) -> tuple[Bar, ...]:
    """Return ``bars`` with a human residual added to timing and velocity.

    ``together`` is the SD in ms of what all limbs share and remembers, ``apart`` of what each
    stroke has for itself; ``velocity`` is the SD of both hands' level.
    """
    count = 1 + sum(bar.meter.ticks for bar in bars) // TICKS_PER_SIXTEENTH
    times = correlated(chance.rng, count)
    levels = correlated(chance.rng, count)
    start = 0
    played = []
    for bar in bars:
        hits = []
        for hit in bar.hits:
            place = (start + hit.tick) // TICKS_PER_SIXTEENTH
            ms = together * times[place] + chance.rng.gauss(0, apart)
            level = velocity * (0.7 * levels[place] + chance.rng.gauss(0, 0.7))
            hits.append(
                replace(
                    hit,
                    offset=max(-OFFSET_MAX, min(OFFSET_MAX, hit.offset + chance.ms(ms))),
                    velocity=max(1, min(127, round(hit.velocity + level))),
                )
            )
        played.append(replace(bar, hits=tuple(hits)))
        start += bar.meter.ticks
    return tuple(played)
