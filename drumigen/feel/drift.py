"""Long-range-correlated noise as a pure function of seed and song tick.

A human pulse drifts: what is late stays late for a while, at every scale (Hennig et al. 2011;
exponent 0.68 and lag-1 correlation 0.40 in the Groove MIDI Dataset, one onset a beat).  Here it is
a sum of layers as in Voss's algorithm, each three times as slow as the one before.  A layer has one
normal number per lattice point, made by hashing (seed, stream, layer, point), and crosses from each
to the next with weights cos and sin, so that its variance is the same everywhere.  No state: any
tick can be asked for, in any order, at the same cost.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from drumigen.units import TICKS_PER_BEAT

_LAYERS: Final = 7
_SPACINGS: Final = tuple(TICKS_PER_BEAT // 2 * 3**layer for layer in range(_LAYERS))
"""Ticks between the points of each layer: from an eighth note to 364 beats, 3 min at 120 BPM."""

_FASTEST_WEIGHT: Final = 0.6
_SECOND_WEIGHT: Final = 0.8
_DECAY: Final = 0.5
"""Weights of the fastest layer, of the next, and of each further one relative to that before it.
With a third as much white noise on top, as each voice has it, 120 beats have a lag-1 correlation
of 0.41 (0.32-0.50) and an exponent of 0.70 (0.57-0.84)."""

_POINTS_KEPT: Final = 4096
"""Lattice points remembered for speed: those of some hundred bars."""


def _weights() -> tuple[float, ...]:
    raw = [_FASTEST_WEIGHT, *(_SECOND_WEIGHT * _DECAY**n for n in range(_LAYERS - 1))]
    norm = math.sqrt(sum(weight**2 for weight in raw))
    return tuple(weight / norm for weight in raw)


_WEIGHTS: Final = _weights()
_MASK: Final = (1 << 64) - 1


def normal(*key: int) -> float:
    """Return a number hashed from ``key``: normal to 3.4 standard deviations, none beyond."""
    # four 16-bit uniform numbers, summed (Irwin-Hall), less their mean, over their deviation
    bits = _hashed(key)
    total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
    return (total - 131_070) / 37_837.2


def uniform(*key: int) -> float:
    """Return a number hashed from ``key``, from 0 up to but not including 1."""
    return (_hashed(key) >> 11) / (1 << 53)


def drift(seed: int, stream: int, ticks: Iterable[int]) -> dict[int, float]:
    """Return the noise at each of ``ticks``: mean 0, standard deviation 1, continuous."""
    values = dict.fromkeys(ticks, 0.0)
    for layer, (spacing, weight) in enumerate(zip(_SPACINGS, _WEIGHTS, strict=True)):
        # layers that turned at the same ticks would mark them
        phase = int(_point(0, stream, layer, 0) * spacing) % spacing
        turn = math.pi / (2 * spacing)
        here = None
        one = two = 0.0
        for tick in values:
            index, rest = divmod(tick + phase, spacing)
            if index != here:
                here = index
                one = weight * _point(seed, stream, layer, index)
                two = weight * _point(seed, stream, layer, index + 1)
            angle = rest * turn
            values[tick] += one * math.cos(angle) + two * math.sin(angle)
    return values


@lru_cache(_POINTS_KEPT)
def _point(seed: int, stream: int, layer: int, index: int) -> float:
    return normal(seed, stream, layer, index)


def _hashed(key: Iterable[int]) -> int:
    """Return 64 bits that depend on every number of ``key`` (SplitMix64's finaliser, chained)."""
    state = 0
    for number in key:
        state = (state + number + 0x9E37_79B9_7F4A_7C15) & _MASK
        state = ((state ^ state >> 30) * 0xBF58_476D_1CE4_E5B9) & _MASK
        state = ((state ^ state >> 27) * 0x94D0_49BB_1331_11EB) & _MASK
        state ^= state >> 31
    return state
