"""The feel of a set of takes in a dozen figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np

from drumigen.kit import Voice
from drumigen.training.rhythm import (
    EIGHTHS,
    SECONDS_MIN,
    SIXTEENTHS,
    STRUCK_HATS,
    TIMING_EDGES,
    VELOCITY_EDGES,
    dfa,
    divergence,
    explained,
    gaps_ms,
    lag_one,
    robust_sd,
    swing_percent,
    timekeeping,
)
from drumigen.training.strokes import Strokes, first_bars

VARIANCE_BARS: Final = 16
"""Bars of a take that variance is explained over: longer ones, for which less can be explained,
are cut to it, and shorter than half of it are left out."""


@dataclass(frozen=True, slots=True)
class FeelStatistics:
    """The feel of a set of takes; nan where it has nothing to tell.

    ``timing_kl`` and ``velocity_kl`` are divergences from a reference, in nats; ``gap`` the
    robust standard deviation between kick or snare and hat on one sixteenth, in ms;
    ``explained`` the variance that voice and position explain within 16 bars; ``lag_one`` and
    the exponents of DFA are of the beats of takes of 60 s or more.  All but the divergences and
    gaps, which pool all strokes, are medians over takes.
    """

    strokes_a_bar: float
    timing_kl: float
    velocity_kl: float
    timing_explained: float
    velocity_explained: float
    kick_gap_ms: float
    snare_gap_ms: float
    lag_one: float
    timing_dfa: float
    velocity_dfa: float
    swing_sixteenths: float
    swing_eighths: float
    long_takes: int


def feel_statistics(takes: Sequence[Strokes], reference: Sequence[Strokes]) -> FeelStatistics:
    """Return the feel of ``takes``, divergences as from ``reference``."""
    cut = [first_bars(take, VARIANCE_BARS) for take in takes if take.bars >= VARIANCE_BARS // 2]
    kept = [timekeeping(take) for take in takes if take.seconds >= SECONDS_MIN]
    kept = [beats for beats in kept if len(beats.beats)]
    return FeelStatistics(
        strokes_a_bar=_median([len(take.ticks) / take.bars for take in takes if take.bars]),
        timing_kl=divergence(
            np.concatenate([take.offsets_ms for take in reference]),
            np.concatenate([take.offsets_ms for take in takes]),
            TIMING_EDGES,
        ),
        velocity_kl=divergence(
            np.concatenate([take.velocities for take in reference]),
            np.concatenate([take.velocities for take in takes]),
            VELOCITY_EDGES,
        ),
        timing_explained=_median([explained(take, take.offsets_ms) for take in cut]),
        velocity_explained=_median([explained(take, take.velocities) for take in cut]),
        kick_gap_ms=_gap(takes, Voice.KICK),
        snare_gap_ms=_gap(takes, Voice.SNARE),
        lag_one=_median([lag_one(beats.offsets_ms) for beats in kept]),
        timing_dfa=_median([dfa(beats.offsets_ms) for beats in kept]),
        velocity_dfa=_median([dfa(beats.velocities) for beats in kept]),
        swing_sixteenths=_median([swing_percent(take, SIXTEENTHS) for take in takes]),
        swing_eighths=_median([swing_percent(take, EIGHTHS) for take in takes]),
        long_takes=len(kept),
    )


def _gap(takes: Sequence[Strokes], voice: Voice) -> float:
    return robust_sd(np.concatenate([gaps_ms(take, [voice], STRUCK_HATS) for take in takes]))


def _median(values: list[float]) -> float:
    told = [value for value in values if not np.isnan(value)]
    return float(np.median(told)) if told else nan
