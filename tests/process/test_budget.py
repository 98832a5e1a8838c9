"""A budget: small work never waits, a flood takes half a core."""

import pytest

from drumigen_daemon.process.budget import BURST_SECONDS, SHARE, Budget


def test_who_works_little_never_waits() -> None:
    budget = Budget()
    for number in range(1000):
        now = number * 0.1
        assert budget.wait(now) == 0.0
        budget.worked(now, now + 0.03)


@pytest.mark.parametrize("seconds", [0.0005, 0.005, 0.02, 0.3])
def test_a_flood_takes_its_share(seconds: float) -> None:
    budget, now, worked = Budget(), 0.0, 0.0
    while now < 60.0:
        now += budget.wait(now)
        budget.worked(now, now + seconds)
        now += seconds
        worked += seconds
    assert worked <= SHARE * 60.0 + BURST_SECONDS + 2 * seconds


def test_a_burst_is_done_at_once_and_forgiven_soon() -> None:
    budget = Budget()
    budget.worked(0.0, BURST_SECONDS)
    assert budget.wait(BURST_SECONDS) == 0.0
    budget.worked(BURST_SECONDS, 2 * BURST_SECONDS)
    assert budget.wait(2 * BURST_SECONDS) == pytest.approx(BURST_SECONDS / SHARE)
    assert budget.wait(1.0) == 0.0
