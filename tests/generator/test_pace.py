"""How much a generator is asked for: what it can write within a bar."""

import pytest

from drumigen.units import Seconds
from drumigen_daemon.generator.messages import EVERYTHING
from drumigen_daemon.generator.pace import TRIAL_LAST, Pace

BAR = 2.0


def wrote(pace: Pace, bars: int, seconds: float, now: float) -> float:
    pace.asked(bars, BAR, Seconds(now))
    pace.over(Seconds(now + seconds))
    return now + seconds


def test_nobody_is_slow_before_it_was_seen() -> None:
    assert Pace().room(BAR, Seconds(0.0)) == EVERYTHING


@pytest.mark.parametrize(("seconds", "room"), [(0.01, 200), (0.1, 20), (0.7, 2), (1.9, 1)])
def test_one_that_keeps_up_is_asked_for_what_it_writes_within_a_bar(
    seconds: float, room: int
) -> None:
    pace = Pace()
    now = wrote(pace, 10, 10 * seconds, 5.0)
    assert pace.room(BAR, Seconds(now)) == room
    assert not pace.too_slow


def test_one_hiccup_is_not_too_slow() -> None:
    pace = Pace()
    now = wrote(pace, 1, 6.0, 0.0)
    assert pace.room(BAR, Seconds(now)) == 1
    now = wrote(pace, 1, 0.1, now)
    assert pace.room(BAR, Seconds(now)) == 20


def test_one_too_slow_is_tried_ever_more_seldom_and_leaves_the_core_in_peace() -> None:
    pace, now, busy = Pace(), 0.0, 0.0
    end = 3 * 3600.0
    while now < end:
        if pace.room(BAR, Seconds(now)):
            now = wrote(pace, 1, 6.0, now)
            busy += 6.0
        else:
            now += 0.5
    assert busy / end < 0.03
    assert pace.too_slow


def test_one_that_was_too_slow_is_asked_for_everything_after_a_quick_trial() -> None:
    pace = Pace()
    now = wrote(pace, 2, 12.0, 0.0)
    now = wrote(pace, 1, 6.0, now)
    assert pace.room(BAR, Seconds(now)) == 0
    assert pace.room(BAR, Seconds(now + TRIAL_LAST)) == 1
    now = wrote(pace, 1, 0.01, now + TRIAL_LAST)
    assert pace.room(BAR, Seconds(now)) == 200


def test_who_is_gone_is_not_measured() -> None:
    pace = Pace()
    pace.asked(3, BAR, Seconds(0.0))
    pace.forget()
    pace.over(Seconds(100.0))
    assert pace.room(BAR, Seconds(100.0)) == EVERYTHING
