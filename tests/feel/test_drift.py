"""Laws of the noise that stands for a human pulse."""

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.feel.drift import drift, normal, uniform
from drumigen.training.rhythm import dfa, lag_one
from drumigen.units import TICKS_PER_BEAT

SEEDS = range(40)
BEATS = 256

seeds = st.integers(0, 2**63)
ticks = st.integers(-(10**6), 10**9)


def pulse(seed: int) -> list[float]:
    """Return the drift of two minutes, one value a beat."""
    at = range(0, BEATS * TICKS_PER_BEAT, TICKS_PER_BEAT)
    values = drift(seed, 1, at)
    return [values[tick] for tick in at]


def test_a_pulse_has_the_memory_of_a_human_one() -> None:
    series = [np.array(pulse(seed)) for seed in SEEDS]
    assert fmean(map(lag_one, series)) == pytest.approx(0.45, abs=0.08)
    assert fmean(map(dfa, series)) == pytest.approx(0.72, abs=0.08)


@pytest.mark.slow
def test_it_has_mean_nought_and_deviation_one() -> None:
    values = [value for seed in range(200) for value in pulse(seed)[::16]]
    assert fmean(values) == pytest.approx(0, abs=0.1)
    assert math.sqrt(fmean(value**2 for value in values)) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_no_place_between_the_points_is_calmer_than_another() -> None:
    spread = [
        fmean(drift(seed, 1, [tick])[tick] ** 2 for seed in range(1500))
        for tick in (0, 240, 480, 960, 7000)
    ]
    assert max(spread) / min(spread) < 1.3


@given(seeds, st.lists(ticks, min_size=2, max_size=8), st.integers(1, 9))
def test_a_tick_has_its_value_whatever_else_is_asked(
    seed: int, several: list[int], stream: int
) -> None:
    together = drift(seed, stream, several)
    assert all(drift(seed, stream, [tick])[tick] == together[tick] for tick in several)


@given(seeds, ticks)
def test_it_is_continuous(seed: int, tick: int) -> None:
    here = drift(seed, 1, [tick, tick + 1])
    assert abs(here[tick] - here[tick + 1]) < 0.02


def test_seeds_and_streams_have_nothing_in_common() -> None:
    one, two = np.array(pulse(1)), np.array(pulse(2))
    other = drift(1, 2, range(0, BEATS * TICKS_PER_BEAT, TICKS_PER_BEAT))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.3
    assert abs(np.corrcoef(one, np.array(list(other.values())))[0, 1]) < 0.3


def test_hashed_numbers_are_normal_and_uniform() -> None:
    normals = [normal(7, index) for index in range(4000)]
    assert fmean(normals) == pytest.approx(0, abs=0.06)
    assert math.sqrt(fmean(value**2 for value in normals)) == pytest.approx(1, abs=0.05)
    assert abs(float(lag_one(np.array(normals)))) < 0.05
    uniforms = [uniform(7, index) for index in range(4000)]
    assert min(uniforms) >= 0
    assert max(uniforms) < 1
    assert fmean(uniforms) == pytest.approx(0.5, abs=0.02)
