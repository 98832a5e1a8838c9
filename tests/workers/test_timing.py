"""What a worker promises, and the broker's clock: measured, not guessed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drumigen_daemon.workers.timing import BATCH_BARS_MAX, BATCH_TIME, BrokerClock, ServiceTime

SIZES = st.lists(st.integers(1, 200), min_size=1, max_size=60)


def measured(sizes: list[int], base: float, slope: float) -> ServiceTime:
    service = ServiceTime()
    for bars in sizes:
        service.measured(bars, base + slope * bars)
    return service


def test_a_worker_that_nothing_is_known_of_takes_all() -> None:
    service = ServiceTime()
    assert service.in_time(1000, 0.02)
    assert service.batch_bars == BATCH_BARS_MAX


@given(SIZES, st.floats(0.0, 0.1), st.floats(1e-5, 0.05), st.integers(1, 200))
def test_what_it_predicts_is_what_it_will_take_or_more(
    sizes: list[int], base: float, slope: float, bars: int
) -> None:
    found = measured([*sizes, 1], base, slope).seconds(bars)
    due = base + slope * bars
    assert found >= due * 0.999
    # what is larger than any is taken to need as long for each bar
    assert found <= max(due, base * bars + slope * bars) * 1.001
    assert measured([*sizes, 1, 511], base, slope).seconds(bars) <= due * 1.001


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(1e-3, 1.0)), min_size=1, max_size=40))
def test_however_unsteady_a_machine_is_no_batch_is_larger_than_what_was_seen_allows(
    batches: list[tuple[int, float]],
) -> None:
    service = ServiceTime()
    for bars, seconds in batches:
        service.measured(bars, seconds)
    most = service.batch_bars
    largest = max(bars for bars, _ in batches)
    quickest = min(seconds for _, seconds in batches)
    slowest = max(seconds for _, seconds in batches)
    assert most <= 1 + largest * max(BATCH_TIME, 2 * slowest) / quickest
    taken = [service.seconds(bars) for bars in range(1, 300)]
    assert all(longer >= shorter - 1e-9 for shorter, longer in pairwise(taken))


@given(st.integers(1, 60), st.floats(0.0, 0.1), st.floats(1e-5, 0.05), st.integers(1, 200))
def test_from_one_size_another_is_guessed_between_two_bounds(
    size: int, base: float, slope: float, bars: int
) -> None:
    guessed = measured([size] * 5, base, slope).seconds(bars)
    whole = base + slope * size
    low, high = sorted((whole, whole * bars / size))
    assert low * 0.999 <= guessed <= high * 1.001


@given(SIZES, st.floats(0.0, 0.1), st.floats(1e-5, 0.05))
def test_a_batch_keeps_others_waiting_no_longer_than_it_must(
    sizes: list[int], base: float, slope: float
) -> None:
    service = measured([*sizes, 1, 100], base, slope)
    most = service.batch_bars
    assert 1 <= most <= BATCH_BARS_MAX
    assert service.seconds(most) <= max(BATCH_TIME, 2 * service.seconds(1))
    assert most == BATCH_BARS_MAX or service.seconds(most + 1) > BATCH_TIME


def test_one_that_has_refused_tries_again() -> None:
    service = measured([18] * 10, 0.0, 1.0)
    assert not service.in_time(18, 0.5)
    refusals = 0
    while not service.in_time(18, 0.5) and refusals < 200:
        service.forgive()
        refusals += 1
    assert refusals < 100, "of an estimate forty times too high"
    service.measured(18, 1.0)
    assert not service.in_time(18, 0.5), "it is as slow as ever"


def test_a_worker_that_was_stopped_for_a_while_is_not_slow() -> None:
    service = measured([2, 18] * 5, 0.0, 0.01)
    service.measured(18, 10.0)
    assert service.in_time(18, 0.5)
    for _ in range(20):
        service.measured(18, 10.0)
    assert not service.in_time(18, 0.5), "it stays so: it is slow"


@given(
    st.floats(-1e6, 1e6),
    st.lists(
        st.tuples(st.floats(0, 1e4), st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1, max_size=8
    ),
)
def test_the_brokers_time_is_known_as_well_as_the_quickest_answer_was(
    offset: float, readings: list[tuple[float, float, float]]
) -> None:
    clock = BrokerClock()
    for at, there, back in readings:
        clock.read(at, at + there + offset, at + there + back)
    shortest = min(there + back for _, there, back in readings)
    assert abs(clock.of(7.0) - (7.0 + offset)) <= shortest / 2 + 1e-6
