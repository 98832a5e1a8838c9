"""How songs of a style begin: as most bars of its takes do."""

import pytest

from drumigen.bank.bank import Bank, load_bank
from drumigen.bank.opening import Opening, measured_opening, opening_of
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.resources import bank_names
from drumigen.timekeeping import Keeper
from drumigen.timeline import Meter
from drumigen.units import Tick

FOUR = Meter(4, 4)


def bar(*strokes: tuple[int, Voice]) -> Bar:
    return Bar(FOUR, tuple(Hit(Tick(beat * 1920), voice, 90) for beat, voice in strokes))


BEAT = bar((0, Voice.KICK), (1, Voice.SNARE), (2, Voice.KICK), (3, Voice.SNARE))
TOMS = bar((0, Voice.KICK), (1, Voice.LOW_TOM), (2, Voice.MID_TOM), (3, Voice.HIGH_TOM))
CRASHES = bar((0, Voice.KICK), (0, Voice.CRASH), (1, Voice.SNARE), (2, Voice.CRASH))
ONE_DROP = bar((2, Voice.KICK), (2, Voice.SNARE))


@pytest.mark.parametrize("style", ["rock", "funk", "hiphop", "soul", "country"])
def test_most_styles_begin_with_the_kick_on_the_one(style: str) -> None:
    opening = opening_of(style)
    assert opening.suits(BEAT)
    assert not opening.suits(ONE_DROP)
    assert not opening.suits(TOMS)
    assert not opening.suits(CRASHES)


@pytest.mark.parametrize("style", ["jazz", "reggae"])
def test_where_drummers_leave_the_one_out_a_song_may_too(style: str) -> None:
    assert opening_of(style).suits(ONE_DROP)


def test_who_keeps_time_on_toms_or_crashes_begins_on_them() -> None:
    opening = Opening(many_toms=0.0, many_crashes=0.0)
    assert opening.suits(TOMS, Keeper.TOM)
    assert opening.suits(CRASHES, Keeper.CRASH)
    assert not opening.suits(TOMS, Keeper.CRASH)


def test_a_style_of_toms_begins_on_them() -> None:
    assert measured_opening(Bank("mine", ((TOMS, TOMS),), ())).suits(TOMS)


@pytest.mark.parametrize("bank", bank_names())
def test_what_is_kept_is_what_the_bars_of_the_bank_say(bank: str) -> None:
    assert opening_of(bank) == measured_opening(load_bank(bank))


def test_a_bank_that_is_not_there_asks_for_nothing() -> None:
    assert opening_of("nowhere").suits(ONE_DROP)
    assert opening_of("nowhere").suits(TOMS)
