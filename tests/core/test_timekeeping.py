"""What keeping time, a backbeat and likeness are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.bank.bank import load_bank
from drumigen.fitting import fit
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit, problems
from drumigen.timekeeping import (
    CYMBALS,
    Keeper,
    amended,
    backbeats_of,
    busyness,
    has_backbeat,
    keeper_of,
    keeps_time,
    likeness,
)
from drumigen.timeline import Meter
from drumigen.units import Tick

FOUR = Meter()
METERS = [
    "4/4",
    "3/4",
    "5/4",
    "7/4",
    "6/4",
    "2/4",
    "5/8",
    "6/8",
    "7/8",
    "9/8",
    "12/8",
    "11/8",
    "13/16",
    "15/16",
]


def bar(voice: Voice, *steps: int, velocity: int = 90, meter: Meter = FOUR) -> Bar:
    return Bar(meter, tuple(Hit(Tick(480 * step), voice, velocity) for step in steps))


@pytest.mark.parametrize(
    ("steps", "keeps"),
    [
        (range(0, 16, 2), True),
        ((0, 4, 8, 12), True),
        ((0, 2, 4, 6, 8, 10), True),
        ((0, 2, 4, 6, 8), False),
        ((1, 3, 5, 7, 9, 11, 13, 15), False),
    ],
)
def test_six_of_eight_eighths_or_all_quarters_keep_time(
    steps: range,
    keeps: bool,  # noqa: FBT001
) -> None:
    hats = bar(Voice.CLOSED_HAT, *steps)
    assert keeps_time(hats) is keeps
    assert keeper_of(hats) is (Keeper.HAT if keeps else Keeper.NONE)
    toms = bar(Voice.LOW_TOM, *steps)
    assert not keeps_time(toms)
    assert keeps_time(toms, (Keeper.TOM,)) is keeps


def test_a_stroke_is_where_it_sounds() -> None:
    late = Bar(FOUR, tuple(Hit(Tick(960 * n), Voice.RIDE, 80, 300) for n in range(8)))
    near = Bar(FOUR, tuple(Hit(Tick(960 * n), Voice.RIDE, 80, 200) for n in range(8)))
    assert not keeps_time(late)
    assert keeps_time(near)
    assert not keeps_time(near, within=160)
    assert keeps_time(near, within=200)


@pytest.mark.parametrize(
    ("meter", "places"),
    [("4/4", (4, 12)), ("5/4", (4, 16)), ("7/4", (4, 12, 20)), ("7/8", (4,)), ("12/8", (6, 18))],
)
def test_backbeats_follow_the_groups_of_a_metre(meter: str, places: tuple[int, ...]) -> None:
    assert backbeats_of(Meter.parse(meter)) == places


def test_half_time_has_a_backbeat_and_ghosts_are_none() -> None:
    assert has_backbeat(bar(Voice.SNARE, 8))
    assert has_backbeat(bar(Voice.CLAP, 4, 12))
    assert not has_backbeat(bar(Voice.SNARE, 4, 12, velocity=30))
    assert not has_backbeat(bar(Voice.SNARE, 4))


@settings(deadline=None)
@given(
    meter=st.sampled_from(METERS),
    number=st.integers(0, 30),
    style=st.sampled_from(["jazz", "rock", "neworleans"]),
    keepers=st.sampled_from([CYMBALS, (Keeper.SNARE,)]),
)
def test_what_is_amended_keeps_time_has_its_backbeat_and_can_be_played(
    meter: str, number: int, style: str, keepers: tuple[Keeper, ...]
) -> None:
    before = fit(load_bank(style).bar(number, 1, FOUR, fill=True), Meter.parse(meter))
    after = amended(before, keepers, backbeat=True)
    assert keeps_time(after, keepers)
    assert has_backbeat(after)
    allowed = {problem.rule for problem in problems(before)}
    assert {problem.rule for problem in problems(after)} <= allowed


def test_a_hand_is_freed_for_the_time() -> None:
    both = (4, Voice.LOW_TOM), (4, Voice.SNARE), (12, Voice.LOW_TOM), (12, Voice.HIGH_TOM)
    torn = Bar(FOUR, tuple(Hit(Tick(480 * step), voice, 120) for step, voice in both))
    mended = amended(torn, CYMBALS, backbeat=False, swung=True)
    assert keeps_time(mended, swung=True)
    assert not problems(mended)


def test_likeness_is_of_what_is_struck() -> None:
    hats = bar(Voice.CLOSED_HAT, 0, 4, 8, 12)
    assert likeness(hats, bar(Voice.CLOSED_HAT, 0, 4, 8, 12, velocity=20)) == 1
    assert likeness(hats, bar(Voice.CLOSED_HAT, 0, 4, 8)) == pytest.approx(0.75)
    assert likeness(Bar(FOUR), Bar(FOUR)) == 1


def test_busy_is_what_is_played_beside_the_time() -> None:
    both = Bar(FOUR, (*bar(Voice.RIDE, *range(16)).hits, *bar(Voice.KICK, 0, 8).hits))
    assert busyness(both) == pytest.approx(0.5)
