"""De-clipping: what an e-kit wrote as 127 was at least that loud, and it was not all the same.

A drum module's 127 is a ceiling: a tenth to a fifth of the strokes in the Groove MIDI Dataset are
there, two thirds of a rim's, and a network that learns from them learns one level that it returns
to.  So the corpus is treated as censored data, by a rule that was fixed before training:

1. Levels of a voice in a take (of the voice in all takes, where the take has fewer than 24 of it)
   are taken as a normal distribution that is cut at 127; its mean and standard deviation are
   found by expectation and maximisation.
2. Each stroke at 127 draws its level from that distribution's tail above 127, by a number that
   follows from seed, take, voice and the stroke's place: the same seed gives the same corpus.
3. MIDI has no room above 127, so room is made below: velocities of 112 to 126 are laid evenly
   over 112 to 117, and the tail over 118 to 127.  The order of strokes is kept, and all below 112
   stays untouched.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Final, NamedTuple

from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.training.takes import Take

CEILING: Final = 127
KNEE: Final = 112
"""Velocities below stay as they are."""
TAIL: Final = 118
"""Least velocity of what was at the ceiling."""
TAIL_SCALE: Final = 30.0
"""Levels above the ceiling after which 63 % of the room above :data:`TAIL` is used."""
STROKES_MIN: Final = 24
_STEPS: Final = 25
_SD: Final = (6.0, 45.0)
_STANDARD: Final = NormalDist()


class Levels(NamedTuple):
    """A normal distribution of levels, of which what is above 127 was written as 127."""

    mean: float
    sd: float

    def above(self, chance: float) -> float:
        """Return the level above 127 that ``chance`` (0 up to 1) falls on."""
        below = _STANDARD.cdf((CEILING - self.mean) / self.sd)
        place = below + (1 - below) * (0.0005 + 0.999 * chance)
        if not below < place < 1:
            return float(CEILING)
        return max(float(CEILING), self.mean + self.sd * _STANDARD.inv_cdf(place))


def fitted(velocities: Sequence[int]) -> Levels:
    """Return the distribution that ``velocities``, cut at 127, were likeliest drawn from."""
    count = len(velocities)
    free = [velocity for velocity in velocities if velocity < CEILING]
    clipped = count - len(free)
    mean = sum(velocities) / count
    sd = max(_SD[0], math.sqrt(sum((v - mean) ** 2 for v in velocities) / count))
    for _ in range(_STEPS if clipped else 0):
        place = (CEILING - mean) / sd
        tail = max(1e-9, 1 - _STANDARD.cdf(place))
        hazard = _STANDARD.pdf(place) / tail
        level = mean + sd * hazard
        spread = sd**2 * max(0.0, 1 + place * hazard - hazard**2)
        mean = (sum(free) + clipped * level) / count
        variance = sum((v - mean) ** 2 for v in free)
        variance = (variance + clipped * (spread + (level - mean) ** 2)) / count
        sd = min(_SD[1], max(_SD[0], math.sqrt(variance)))
    return Levels(mean, sd)


def laid_below(velocity: int) -> int:
    """Return where a velocity below the ceiling goes to make room for what was clipped."""
    if velocity < KNEE:
        return velocity
    return KNEE + (velocity - KNEE) * (TAIL - KNEE) // (CEILING - KNEE)


def declipped(takes: Iterable[Take], seed: int) -> list[Take]:
    """Return the takes with every stroke at 127 given a level of its own, as told above."""
    takes = list(takes)
    pooled: defaultdict[Voice, list[int]] = defaultdict(list)
    for take in takes:
        for bar in take.bars:
            for hit in bar.hits:
                pooled[hit.voice].append(hit.velocity)
    common = {voice: fitted(velocities) for voice, velocities in pooled.items()}
    return [_declipped(take, common, seed) for take in takes]


def _declipped(take: Take, common: dict[Voice, Levels], seed: int) -> Take:
    own: defaultdict[Voice, list[int]] = defaultdict(list)
    for bar in take.bars:
        for hit in bar.hits:
            own[hit.voice].append(hit.velocity)
    levels = {
        voice: fitted(velocities) if len(velocities) >= STROKES_MIN else common[voice]
        for voice, velocities in own.items()
    }
    rng = random.Random(f"declip/{seed}/{take.name}")  # noqa: S311 - a text seeds alike anywhere
    return replace(take, bars=tuple(_bar(bar, levels, rng) for bar in take.bars))


def _bar(bar: Bar, levels: dict[Voice, Levels], rng: random.Random) -> Bar:
    hits = []
    for hit in bar.hits:
        if hit.velocity < CEILING:
            velocity = laid_below(hit.velocity)
        else:
            above = levels[hit.voice].above(rng.random()) - CEILING
            room = CEILING + 1 - TAIL
            velocity = min(CEILING, TAIL + int(room * (1 - math.exp(-above / TAIL_SCALE))))
        hits.append(replace(hit, velocity=velocity))
    return replace(bar, hits=tuple(hits))
