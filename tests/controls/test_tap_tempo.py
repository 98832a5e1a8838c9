"""Laws of tap tempo."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.units import Seconds
from drumigen_daemon.controls.tap_tempo import TapTempo


def tapped(*moments: float) -> list[float | None]:
    taps = TapTempo()
    return [taps.tap(Seconds(moment)) for moment in moments]


def test_one_tap_is_no_tempo() -> None:
    assert tapped(5.0) == [None]


@pytest.mark.parametrize("bpm", [40, 93, 120, 180])
def test_even_taps_are_their_tempo(bpm: float) -> None:
    assert tapped(*(60.0 / bpm * n for n in range(6)))[1:] == [bpm] * 5


def test_uneven_taps_are_averaged() -> None:
    found = tapped(0.0, 0.48, 1.02, 1.49, 2.0)[-1]
    assert found == pytest.approx(120.0, abs=0.5)


def test_a_pause_begins_anew() -> None:
    assert tapped(0.0, 0.5, 1.0, 9.0, 9.4)[-1] == 150.0


def test_another_tempo_is_taken_within_two_taps() -> None:
    assert tapped(0.0, 0.5, 1.0, 1.5, 1.75, 2.0)[-1] == 240.0


def test_a_bounce_does_not_count() -> None:
    assert tapped(0.0, 0.5, 0.55, 1.0)[-1] == 120.0


@given(st.lists(st.floats(0.0, 10.0), max_size=30))
def test_whatever_is_tapped_is_a_tempo_or_none(gaps: list[float]) -> None:
    taps, now = TapTempo(), 0.0
    for gap in gaps:
        now += gap
        tempo = taps.tap(Seconds(now))
        assert tempo is None or 20.0 <= tempo <= 400.0
