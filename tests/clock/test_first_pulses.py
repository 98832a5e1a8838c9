"""The first pulses are counted by time, two clocks are told apart, and a slow one is followed."""

import random
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.units import TICKS_PER_PULSE, Bpm, Seconds
from drumigen_daemon.clock.midi_clock import TEMPO_SLOWEST, ClockFollower

BEGIN = 1_234.5


def even(bpm: float, count: int, begin: float = BEGIN) -> list[float]:
    return [begin + n * 60.0 / bpm / 24 for n in range(count)]


def fed(stamps: Sequence[float]) -> ClockFollower:
    follower = ClockFollower()
    for at in stamps:
        follower.pulse(Seconds(at))
    return follower


def pulses_off(follower: ClockFollower, times: Sequence[float]) -> float:
    assert follower.timeline is not None
    return follower.timeline.tick_at(times[-1]) / TICKS_PER_PULSE - (len(times) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("bpm", [174.0, 220.0])
def test_pulses_that_a_stall_delivers_together_near_the_start_are_all_counted(bpm: float) -> None:
    wrong = 0
    for seed in range(40):
        rng = random.Random(seed)
        times = even(bpm, 192)
        late = [
            at + rng.gauss(0.0, 2e-4) + (rng.random() < 0.05) * rng.uniform(5e-3, 15e-3)
            for at in times
        ]
        follower = fed(list(accumulate(late, max)))  # a queue does not reorder
        wrong += abs(pulses_off(follower, times)) > 0.5
    assert wrong == 0


@pytest.mark.parametrize("which", range(1, 12))
def test_one_pulse_delivered_with_the_next_costs_nothing(which: int) -> None:
    times = even(174.0, 96)
    stamps = [*times]
    stamps[which] = times[which + 1] - 1e-4
    assert pulses_off(fed(stamps), times) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("bpm", [60.0, 90.0, 120.0, 174.0])
@pytest.mark.parametrize("apart", [0.002, 0.003, 0.005, 0.008])
def test_the_same_clock_from_two_ports_of_one_box_is_one_clock_and_told(
    bpm: float, apart: float
) -> None:
    times = even(bpm, 192)
    follower = fed(sorted([*times, *(at + apart for at in times)]))
    assert follower.tempo == pytest.approx(bpm, rel=1e-3)
    assert abs(pulses_off(follower, times)) < 0.05
    assert follower.conflict


@pytest.mark.parametrize("bpm", [40.0, 60.0, 90.0, 120.0, 140.0])
@pytest.mark.parametrize("apart", [0.003, 0.005])
@pytest.mark.parametrize("sigma", [0.0, 0.0003])
def test_a_clock_that_comes_twice_from_the_first_pulse_does_not_make_the_song_sprint(
    bpm: float, apart: float, sigma: float
) -> None:
    """By the fifth pulse at the latest there is one tempo, and a word; before it no sixteenth."""
    rng = random.Random(f"{bpm} {apart}")
    times = even(bpm, 48)
    stamps = sorted(at + late + rng.gauss(0.0, sigma) for at in times for late in (0.0, apart))
    follower = ClockFollower()
    for at in stamps:
        follower.pulse(Seconds(at))
        assert follower.timeline is not None
        ahead = follower.timeline.tick_at(at) / TICKS_PER_PULSE - (at - BEGIN) * bpm / 60 * 24
        assert ahead < (4.0 if at < times[5] else 0.5)
        assert follower.conflict or at < times[6]


def test_two_copies_nearly_half_way_are_no_doubled_tempo_where_that_is_a_rare_one() -> None:
    times = even(140.0, 96)
    follower = fed(sorted([*times, *(at + 0.008 for at in times)]))
    assert follower.tempo == pytest.approx(140.0, rel=1e-3)
    assert abs(pulses_off(follower, times)) < 0.05
    assert follower.conflict


@pytest.mark.parametrize("bpm", [275.0, 281.0])
def test_frames_of_usb_are_no_jumps_of_a_fast_clock(bpm: float) -> None:
    """Some pulses are 9 ms apart and the next one 8: that looked like 9, and a jump each time."""
    for offset in range(10):
        follower = ClockFollower()
        for begin, count in ((BEGIN - 10.0, 193), (BEGIN, 214)):
            follower.restart(Seconds(begin))
            for at in even(bpm, count, begin + 1e-4 * offset):
                follower.pulse(Seconds(np.ceil(at * 1e3) / 1e3))
        assert follower.epoch == 0
        assert follower.tempo == pytest.approx(bpm, rel=2e-3)


def test_a_first_pulse_that_was_late_is_no_jump_of_the_second() -> None:
    """A jump lets the song finish its bar along what was known before: here, of a wrong tempo."""
    rng = random.Random(5)
    bpm, late = 81.4, {0: 0.0149, 1: 0.0068}
    follower = ClockFollower()
    for at in even(bpm, 196, BEGIN - 20.0):
        follower.pulse(Seconds(at + rng.gauss(0.0, 2e-4)))
    follower.advance(Seconds(BEGIN - 5.0))
    follower.restart(Seconds(BEGIN))
    for number, at in enumerate(even(bpm, 96)):
        follower.pulse(Seconds(at + late.get(number, rng.gauss(0.0, 2e-4))))
        assert follower.epoch == 0
    assert follower.tempo == pytest.approx(bpm, rel=2e-3)


@pytest.mark.parametrize(
    ("late", "bpm"), [({1: 0.0113, 2: 0.0023}, 220.0), ({1: 0.0086, 2: 0.0027}, 300.0)]
)
@pytest.mark.parametrize("seed", range(3))
def test_two_late_pulses_at_the_very_start_do_not_halve_the_tempo_a_beat_later(
    late: dict[int, float], bpm: float, seed: int
) -> None:
    """They looked like much jitter, beside which half the tempo, with less, became likelier."""
    rng = random.Random(seed)
    times = even(bpm, 60)
    follower = ClockFollower()
    for number, at in enumerate(times):
        stamp = at + late.get(number, rng.gauss(0.0, 1.5e-4))
        follower.pulse(Seconds(stamp))
        assert number < 3 or abs(pulses_off(follower, times[: number + 1])) < 0.7
    assert follower.tempo == pytest.approx(bpm, rel=0.01)


@pytest.mark.parametrize("bpm", [60.0, 120.0])
def test_a_first_pulse_that_came_late_is_no_second_clock(bpm: float) -> None:
    times = even(bpm, 96)
    for held_up in (1, 3, 5):  # delivered with the next, or nearly
        stamps = [*times]
        stamps[held_up] = times[held_up + 1] - 0.004
        follower = ClockFollower()
        for at in stamps:
            follower.pulse(Seconds(at))
            assert not follower.conflict
        assert pulses_off(follower, times) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("bpm", [60.0, 120.0, 174.0])
@pytest.mark.parametrize("apart", [0.002, 0.003, 0.005])
@pytest.mark.parametrize("dies", ["first", "second"])
@pytest.mark.parametrize("sigma", [0.0, 0.0003])
def test_one_of_two_ports_of_a_box_falls_silent_and_no_pulse_is_miscounted(
    bpm: float, apart: float, dies: str, sigma: float
) -> None:
    rng = random.Random(f"{bpm} {apart}")
    times = even(bpm, 240)
    first, second = times, [at + apart for at in times]
    (first if dies == "first" else second)[97:] = []
    follower = fed(sorted(at + rng.gauss(0.0, sigma) for at in [*first, *second]))
    heard_last = even(bpm, 240, BEGIN if dies == "second" else BEGIN + apart)
    assert pulses_off(follower, heard_last) == pytest.approx(0.0, abs=0.05)


@pytest.mark.slow
def test_a_fast_clock_with_jitter_is_not_taken_for_two() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        times = even(240.0, 192)
        follower = fed(sorted(at + rng.uniform(-0.002, 0.002) for at in times))
        assert follower.tempo == pytest.approx(240.0, rel=0.02)
        assert not follower.conflict


def test_pulses_bunched_by_missed_cycles_are_no_second_clock() -> None:
    rng = random.Random(4)
    for _ in range(5):
        times = even(120.0, 480)
        stamps, held = [], BEGIN
        for at in times:
            if rng.random() < 0.03:
                held = at + rng.uniform(0.02, 0.09)  # nothing is delivered until then
            stamps.append(max(at, held))
        follower = ClockFollower()
        for at in stamps:
            follower.pulse(Seconds(at))
            assert not follower.conflict


@pytest.mark.parametrize("bpm", [19.0, 15.0, 10.5])
def test_a_clock_below_twenty_is_followed_as_it_is(bpm: float) -> None:
    times = even(bpm, 48)
    follower = fed(times)
    assert follower.tempo == pytest.approx(bpm, rel=1e-3)
    assert pulses_off(follower, times) == pytest.approx(0.0, abs=1e-3)
    assert not follower.too_slow


def test_a_clock_that_is_slower_than_can_be_followed_is_known_to_be() -> None:
    assert fed(even(TEMPO_SLOWEST * 0.6, 8)).too_slow


def test_what_is_known_of_the_clock_can_be_taken_over() -> None:
    follower = fed(even(97.0, 96))
    line = follower.timeline
    assert line is not None
    other = ClockFollower()
    other.resume(line, 90, Seconds(BEGIN + 60.0 / 97.0 * 4))
    assert other.lock == "coasting"
    times = even(97.0, 200)
    for at in times[100:]:
        other.pulse(Seconds(at))
    assert other.lock == "locked"
    assert other.epoch == 0
    assert pulses_off(other, times) == pytest.approx(0.0, abs=1e-3)


def test_after_a_restart_the_next_pulse_counts_however_close_it_is() -> None:
    times = even(120.0, 96)
    follower = fed(times)
    at = Seconds(times[-1] + 0.0005)
    follower.restart(at)
    assert follower.pulse(at) == 96
    assert follower.timeline is not None
    assert follower.timeline.time_of(96 * TICKS_PER_PULSE) == pytest.approx(at)


def followed(gaps: Sequence[float], tempo: float) -> float:
    """The tempo that is read in the end: pulses after ``gaps``, then ten beats of them."""
    follower, at = ClockFollower(Bpm(tempo)), 100.0
    follower.restart(Seconds(at), "daw")
    for gap in [*gaps, *[60.0 / 120 / 24] * 240]:
        at += gap
        follower.pulse(Seconds(at), "daw")
        follower.advance(Seconds(at + 0.001))
    return follower.tempo


def test_a_burst_after_a_gap_in_the_first_beat_stops_nothing() -> None:
    at_174 = 60.0 / 174 / 24
    gaps = [0.0, *[at_174] * 4, 0.25 + at_174, 0.0, 0.0, 0.0]
    assert followed(gaps, 120.0) == pytest.approx(120.0, rel=0.01)


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.0001, 0.003, 0.014375, 0.125, 0.264]), max_size=40),
    st.sampled_from([60.0, 120.0, 174.0]),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_bunches_and_gaps_in_any_order_stop_no_follower(gaps: list[float], tempo: float) -> None:
    assert followed(gaps, tempo) == pytest.approx(120.0, rel=0.01)


def test_a_first_beat_that_looked_like_a_jump_is_none_once_all_agree() -> None:
    """Of 200 noisy starts one was taken for a jump of the phase four beats later."""
    rng = np.random.default_rng([1008, 41])
    period, follower = 60.0 / 120 / 24, ClockFollower()
    idle = 1000.0 + period * np.arange(96)
    for at in np.sort(idle + rng.normal(0.0, 1e-3, 96)).tolist():
        follower.pulse(Seconds(at))
    begin = idle[-1] + rng.uniform(0.2, 16.0) * period
    stamps = np.sort(begin + period * np.arange(192) + rng.normal(0.0, 1e-3, 192)).tolist()
    follower.restart(Seconds(stamps[0] - 0.0002))
    for at in stamps:
        follower.pulse(Seconds(at))
        assert follower.epoch == 0
