"""Laws of variation by rule."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drumigen.bank.bank import load_bank
from drumigen.kit import Voice
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit, problems
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen.variation import GHOST_LOOSE_MAX, vary, with_crash
from strategies import METERS, playable_bars

seeds = st.integers(0, 2**31)
amounts = st.floats(0, 1)
bank_bars = st.sampled_from(
    [bar for style in load_styles() for phrase in load_bank(style.bank).phrases for bar in phrase]
)


def carrying(bar: Bar) -> set[Hit]:
    """Return the kick on one and the backbeats."""
    return {
        hit
        for hit in bar.hits
        if (hit.voice is Voice.KICK and hit.tick == 0)
        or (hit.voice is Voice.SNARE and hit.velocity > GHOST_LOOSE_MAX)
    }


@given(st.one_of(bank_bars, playable_bars()), seeds, amounts)
def test_a_varied_bar_keeps_its_kick_on_one_and_its_backbeats(
    bar: Bar, seed: int, amount: float
) -> None:
    assert carrying(bar) <= set(vary(bar, seed, amount).hits)


@given(st.one_of(bank_bars, playable_bars()), seeds, amounts)
def test_a_playable_bar_stays_playable(bar: Bar, seed: int, amount: float) -> None:
    assume(not problems(bar))
    assert problems(vary(bar, seed, amount)) == ()


@given(bank_bars, seeds)
def test_a_varied_bar_is_another_bar_and_the_same_for_the_same_seed(bar: Bar, seed: int) -> None:
    varied = vary(bar, seed)
    assert varied != bar
    assert varied == vary(bar, seed)


@given(bank_bars, seeds)
def test_a_little_variation_keeps_most_of_the_bar(bar: Bar, seed: int) -> None:
    varied = vary(bar, seed, 0.3)
    assert len(set(bar.hits) - set(varied.hits)) <= 2
    assert len(set(varied.hits) - set(bar.hits)) <= 2


@given(bank_bars, seeds)
def test_no_variation_is_the_bar_itself(bar: Bar, seed: int) -> None:
    assert vary(bar, seed, 0) == bar


@given(bank_bars)
def test_seeds_give_different_variations(bar: Bar) -> None:
    assert len({vary(bar, seed) for seed in range(12)}) >= 4


def test_silence_has_nothing_to_vary() -> None:
    assert vary(Bar(Meter()), 1) == Bar(Meter())


@given(playable_bars())
def test_a_crash_on_one_comes_with_the_kick_and_can_be_played(bar: Bar) -> None:
    assume(not problems(bar))
    crashed = with_crash(bar)
    assert {hit.voice for hit in crashed.at(0)} >= {Voice.CRASH, Voice.KICK}
    assert problems(crashed) == ()
    assert {hit for hit in bar.hits if hit.tick} == {hit for hit in crashed.hits if hit.tick}


def test_the_mock_is_kick_on_1_and_3_snare_on_2_and_4_and_eighths() -> None:
    bar = mock_bar(Meter())
    by_voice = {voice: [h.tick for h in bar.hits if h.voice is voice] for voice in Voice}
    assert by_voice[Voice.KICK] == [0, 3840]
    assert by_voice[Voice.SNARE] == [1920, 5760]
    assert by_voice[Voice.CLOSED_HAT] == list(range(0, 7680, 960))
    assert {hit.offset for hit in bar.hits} == {0}


@pytest.mark.parametrize("meter", METERS, ids=str)
def test_the_mock_fills_any_metre_from_one_to_its_end(meter: Meter) -> None:
    bar = mock_bar(meter)
    assert Hit(Tick(0), Voice.KICK, 108) in bar.hits
    assert bar.hits[-1].tick >= meter.ticks - 960
