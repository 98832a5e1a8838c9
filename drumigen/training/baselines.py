"""What costs nothing: takes put on the grid or shaken by chance, to hold a model's feel against."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from drumigen.training.rhythm import TIMING_EDGES, VELOCITY_EDGES, divergence
from drumigen.training.strokes import Strokes
from drumigen.units import TICKS_PER_SIXTEENTH

JITTER_MS: Final = 20.0
JITTER_VELOCITY: Final = 90
JITTER_SPREAD: Final = 0.15
"""How sequencers are wont to "humanise": +-20 ms and 90 +-15 %, each stroke for itself."""


def quantised(strokes: Strokes, velocity: int) -> Strokes:
    """Return the take on its sixteenths, all strokes at ``velocity``."""
    return replace(
        strokes,
        ticks=strokes.steps * TICKS_PER_SIXTEENTH,
        velocities=np.full(len(strokes.ticks), velocity),
    )


def jittered(strokes: Strokes, rng: np.random.Generator) -> Strokes:
    """Return the take on its sixteenths, each stroke then moved and weighted by chance alone."""
    count = len(strokes.ticks)
    most = JITTER_MS / strokes.ms_per_tick
    spread = JITTER_VELOCITY * JITTER_SPREAD
    return replace(
        strokes,
        ticks=strokes.steps * TICKS_PER_SIXTEENTH
        + rng.uniform(-most, most, count).round().astype(np.int64),
        velocities=(JITTER_VELOCITY + rng.uniform(-spread, spread, count)).round().astype(np.int64),
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """How far timing and velocity are from those played, stroke by stroke and as distributions.

    Mean absolute errors in ms and in MIDI velocity; divergences as in
    :func:`~drumigen.training.rhythm.divergence`.
    """

    timing_mae_ms: float
    timing_kl: float
    velocity_mae: float
    velocity_kl: float


def fit_of(played: Sequence[Strokes], others: Sequence[Strokes]) -> Fit:
    """Return how far ``others`` are from ``played``: the same strokes in the same order."""
    offsets = np.concatenate([take.offsets_ms for take in played])
    moved = offsets + np.concatenate(
        [
            (other.ticks - take.ticks) * take.ms_per_tick
            for take, other in zip(played, others, strict=True)
        ]
    )
    velocities = np.concatenate([take.velocities for take in played])
    weighted = np.concatenate([take.velocities for take in others])
    return Fit(
        timing_mae_ms=float(np.abs(moved - offsets).mean()),
        timing_kl=divergence(offsets, moved, TIMING_EDGES),
        velocity_mae=float(np.abs(weighted - velocities).mean()),
        velocity_kl=divergence(velocities, weighted, VELOCITY_EDGES),
    )
