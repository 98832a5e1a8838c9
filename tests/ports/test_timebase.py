"""The map follows a base that runs at its own rate, from readings that are always late."""

import math
import random
from collections.abc import Callable, Iterator

import pytest

from drumigen.units import Seconds
from drumigen_daemon.ports.timebase import Timebase

RATE = 48_000.0
PERIOD = 1024 / RATE
HOUR = 3600.0
MEAN_DELAY = 60e-6
GOAL = 0.2e-3
WARM_UP = 2.5

Base = Callable[[float], float]


def constant(ppm: float) -> Base:
    return lambda t: 7_000_000.0 + t * RATE * (1 + ppm * 1e-6)


def wandering(ppm: float, cycle: float) -> Base:
    """Rate swings by +-ppm around nominal in `cycle` seconds; returns its integral."""
    omega = 2 * math.pi / cycle
    return lambda t: RATE * (t + ppm * 1e-6 / omega * (1 - math.cos(omega * t)))


def readings(
    base: Base, *, seconds: float, seed: int, period: float = PERIOD
) -> Iterator[tuple[Seconds, float, float]]:
    """Give (monotonic time read, base read, true monotonic time) once a period."""
    rng = random.Random(seed)
    for k in range(int(seconds / period)):
        true = 1000.0 + k * period
        delay = rng.expovariate(1 / MEAN_DELAY)
        if rng.random() < 0.02:
            delay += 5e-3
        yield Seconds(true + delay), base(true), true


def worst_error(timebase: Timebase, base: Base, *, seconds: float, seed: int) -> float:
    """Largest error in seconds, both ways, now and half a second ahead, after warm-up."""
    worst = 0.0
    for at, value, true in readings(base, seconds=seconds, seed=seed):
        timebase.observe(at, value)
        if true < 1000.0 + WARM_UP:
            continue
        for ahead in (0.0, 0.5):
            there = base(true + ahead)
            worst = max(
                worst,
                abs(timebase.to_base(Seconds(true + ahead)) - there) / RATE,
                abs(timebase.to_monotonic(there) - (true + ahead)),
            )
    return worst


@pytest.mark.parametrize("ppm", [-100, 100])
def test_a_base_100_ppm_off_is_followed_for_an_hour(ppm: float) -> None:
    timebase = Timebase(RATE)
    assert worst_error(timebase, constant(ppm), seconds=HOUR, seed=1) < GOAL
    assert timebase.slips == 0


@pytest.mark.parametrize("cycle", [600.0, HOUR])
def test_a_slowly_drifting_rate_is_followed(cycle: float) -> None:
    timebase = Timebase(RATE)
    assert worst_error(timebase, wandering(50, cycle), seconds=1200, seed=2) < GOAL
    assert timebase.slips == 0


def test_a_very_late_first_reading_is_forgotten_within_the_warm_up() -> None:
    timebase = Timebase(RATE)
    timebase.observe(Seconds(1000.0 - PERIOD + 0.03), constant(0)(-PERIOD))
    assert worst_error(timebase, constant(50), seconds=60, seed=3) < GOAL


def test_readings_twice_a_second_are_enough() -> None:
    timebase = Timebase(1.0)
    rng = random.Random(4)
    for k in range(2400):
        true = 50.0 + k * 0.5
        timebase.observe(Seconds(true + rng.uniform(0, 10e-6)), true * (1 - 80e-6))
        if k > 20:
            assert abs(timebase.to_base(Seconds(true + 0.5)) - (true + 0.5) * (1 - 80e-6)) < 50e-6


def test_what_is_heard_and_answered_later_keeps_its_distance_to_a_frame() -> None:
    base = constant(100)
    timebase = Timebase(RATE)
    pending: list[tuple[float, Seconds]] = []
    for at, value, true in readings(base, seconds=120, seed=5):
        timebase.observe(at, value)
        if true < 1000.0 + WARM_UP + 8:
            continue
        pending.append((value, timebase.to_monotonic(value)))
        if len(pending) > 20:  # some 0.4 s later an answer 24,000 frames after it is scheduled
            heard, stamp = pending.pop(0)
            step = timebase.to_monotonic(24_000) - timebase.to_monotonic(0)
            assert abs(timebase.to_base(Seconds(stamp + step)) - (heard + 24_000)) < 1


def test_the_map_never_steps_by_a_frame_while_nothing_is_lost() -> None:
    base = constant(-100)
    timebase = Timebase(RATE)
    previous = 0.0
    for at, value, true in readings(base, seconds=120, seed=6):
        timebase.observe(at, value)
        here = timebase.to_base(Seconds(true)) - value
        if true > 1000.0 + WARM_UP:
            assert abs(here - previous) < 1
        previous = here


@pytest.mark.parametrize("lost", [0.021, -0.021, 2.0])
def test_lost_or_skipped_base_time_is_taken_over_within_two_seconds(lost: float) -> None:
    timebase = Timebase(RATE)
    for at, value, true in readings(constant(20), seconds=40, seed=7):
        slipped = value - lost * RATE if true > 1020 else value
        timebase.observe(at, slipped)
        if true > 1022:
            assert abs(timebase.to_monotonic(slipped) - true) < GOAL
    assert timebase.slips == 1


def test_a_suspected_loss_is_taken_over_within_a_tenth_of_a_second() -> None:
    timebase = Timebase(RATE)
    suspected = False
    for at, value, true in readings(constant(20), seconds=40, seed=7, period=128 / RATE):
        lost = 0.021 if true > 1020 else 0.0
        if lost and not suspected:
            timebase.suspect()
            suspected = True
        timebase.observe(at, value - lost * RATE)
        if true > 1000 + WARM_UP and not 1020 < true < 1020.1:
            assert abs(timebase.to_monotonic(value - lost * RATE) - true) < GOAL
    assert timebase.slips == 1


def test_a_slewed_map_keeps_to_frames_when_the_base_loses_time_and_catches_up_unheard() -> None:
    timebase = Timebase(RATE, slew=1e-3)
    previous: tuple[float, float] | None = None
    for at, value, true in readings(constant(20), seconds=60, seed=7, period=128 / RATE):
        lost = 0.021 if true > 1020 else 0.0
        if lost and timebase.slips == 0:
            timebase.suspect()
        frame = value - lost * RATE
        timebase.observe(at, frame)
        here = (frame, timebase.to_monotonic(frame))
        if previous is not None and true > 1000 + WARM_UP:
            frames = (here[1] - previous[1]) * RATE
            assert abs(frames - (here[0] - previous[0])) <= 1.2e-3 * 128 + 0.01
        previous = here
        if true > 1055:
            assert abs(here[1] - true) < GOAL
    assert timebase.slips == 1


def test_suspicion_without_loss_changes_nothing() -> None:
    timebase = Timebase(RATE)
    rng = random.Random(10)
    for at, value, true in readings(constant(20), seconds=60, seed=10, period=128 / RATE):
        if rng.random() < 0.02:
            timebase.suspect()
        timebase.observe(at, value)
        if true > 1000 + WARM_UP:
            assert abs(timebase.to_monotonic(value) - true) < GOAL


def test_a_second_of_uniformly_delayed_readings_moves_the_map_by_less_than_the_goal() -> None:
    timebase = Timebase(RATE)
    for at, value, true in readings(constant(20), seconds=40, seed=8):
        late = 0.003 if 1020 < true < 1020.8 else 0.0
        timebase.observe(Seconds(at + late), value)
        if true > 1000 + WARM_UP:
            assert abs(timebase.to_monotonic(value) - true) < GOAL


def test_settled_says_when() -> None:
    timebase = Timebase(RATE)
    for at, value, true in readings(constant(20), seconds=4, seed=9):
        timebase.observe(at, value)
        assert timebase.settled or true < 1000 + WARM_UP
    assert timebase.settled


def test_once_settled_a_few_readings_a_second_are_enough_and_a_suspicion_wants_more() -> None:
    timebase = Timebase(RATE, slew=1e-3)
    observed: list[float] = []
    for at, value, true in readings(constant(20), seconds=30, seed=3, period=256 / RATE):
        if observed and true >= 1020 > observed[-1]:
            timebase.suspect()
        if value >= timebase.wanted:
            timebase.observe(at, value)
            observed.append(true)
        if true > 1000 + WARM_UP:
            assert abs(timebase.to_monotonic(value) - true) < GOAL
    assert 450 < sum(1010 <= true < 1020 for true in observed) <= 500
    assert sum(1020 <= true < 1020.04 for true in observed) >= 7
    assert timebase.slips == 0


@pytest.mark.parametrize("frames", [64, 128, 256])
@pytest.mark.parametrize("seed", range(5))
def test_who_begins_in_the_middle_of_a_song_waits_a_few_periods_only(
    frames: int, seed: int
) -> None:
    base = constant(80)
    timebase = Timebase(RATE, slew=1e-3)
    told: list[tuple[float, float]] = []  # when, and how far off
    for at, value, true in readings(base, seconds=2, seed=seed, period=frames / RATE):
        timebase.observe(at, value)
        if timebase.usable:
            told.append((true - 1000.0, abs(timebase.to_monotonic(value) - true)))
    assert told[0][0] < 0.15
    assert max(off for _, off in told) < 0.5e-3
