"""Who plays: drawn by seed, kept to, and turned by knobs."""

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.errors import ModelLoadError
from drumigen.model.persona import Persona, Profile, profiles_of, turned_density, turned_intensity

PROFILE = Profile(
    (Persona(4.0, 70.0, -20.0, 1), Persona(6.0, 90.0, 2.0, 2), Persona(5.0, 60.0, -3.0)),
    (-1.0, -0.1, 0.0, 0.1, 0.8),
    (0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 1.0),
)


def test_a_seed_names_a_drummer_and_seeds_name_them_all() -> None:
    drawn = [PROFILE.persona(seed, on_stage=False) for seed in range(60)]
    assert set(drawn) == set(PROFILE.personas)
    assert drawn == [PROFILE.persona(seed, on_stage=False) for seed in range(60)]


def test_on_stage_plays_nobody_who_is_far_off_the_clock() -> None:
    assert all(abs(PROFILE.persona(seed).lean or 0) <= 9 for seed in range(60))


def test_whoever_is_far_off_is_told_to_keep_closer() -> None:
    late = Profile((Persona(4.0, 70.0, 30.0),))
    assert late.persona(1) == replace(late.personas[0], lean=9.0)
    assert late.persona(1, on_stage=False) == late.personas[0]


def test_on_stage_plays_who_keeps_time_on_what_is_asked() -> None:
    solo, hats, snare = (
        Persona(4.0, 70.0, grooves=grooves, keeper=keeper, weight=9)
        for grooves, keeper in ((False, ""), (True, "hat"), (True, "snare"))
    )
    profile = Profile((solo, hats, snare))
    assert {profile.persona(seed) for seed in range(30)} == {hats, snare}
    assert {profile.persona(seed, keepers=("hat",)) for seed in range(30)} == {hats}
    assert solo in {profile.persona(seed, on_stage=False) for seed in range(30)}


def test_bars_come_back_as_often_as_the_persona_does_it() -> None:
    often, seldom = Persona(4.0, 70.0, same=0.6), Persona(4.0, 70.0, same=0.0)
    back = [
        sum(PROFILE.likeness(persona, 1, bar) > 0 for bar in range(400)) / 400
        for persona in (often, seldom)
    ]
    assert back[0] > 0.6
    assert back[1] < 0.3
    assert {abs(PROFILE.likeness(often, 1, bar)) for bar in range(400)} >= set(range(1, 9))


def test_a_style_says_how_much_oftener_or_seldomer_bars_come_back() -> None:
    persona = Persona(4.0, 70.0, same=0.3)
    back = [
        sum(PROFILE.likeness(persona, 1, bar, returns) > 0 for bar in range(400)) / 400
        for returns in (0.0, 0.5, 1.0)
    ]
    assert back[0] == 0
    assert back[1] == pytest.approx(back[2] / 2, abs=0.06)


def test_backbeats_that_do_not_come_unasked_are_asked_for() -> None:
    drummer = Persona(4.0, 70.0, backbeat=0.8)
    asked = [
        sum(PROFILE.is_backbeat_due(drummer, 1, bar, 0.9, free) for bar in range(400)) / 400
        for free in (0.0, 1.0)
    ]
    assert asked == pytest.approx([0.8, 0.0], abs=0.06)
    assert not PROFILE.is_backbeat_due(drummer, 1, 0, 0.1, 0.0)  # a style that has none


def test_on_stage_no_bar_is_suddenly_empty() -> None:
    persona = PROFILE.personas[0]
    free = [PROFILE.density(persona, 1, bar, on_stage=False) for bar in range(400)]
    staged = [PROFILE.density(persona, 1, bar) for bar in range(400)]
    assert min(free) < 0.6 * persona.density
    assert min(staged) > 0.45 * persona.density
    assert statistics.median(free) == pytest.approx(persona.density, rel=0.05)


def test_fills_come_as_often_as_they_did() -> None:
    fills = [PROFILE.is_fill(2, bar) for bar in range(800)]
    assert all(fills[7::8])
    assert not any(fills[0::8])
    assert sum(fills[3::8]) / 100 == pytest.approx(0.2, abs=0.12)


@given(st.floats(1, 12), st.integers(0, 100), st.integers(0, 100))
def test_the_density_knob_turns_up_and_down(density: float, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert turned_density(density, low) <= turned_density(density, high)
    assert turned_density(density, 50) == density


@given(st.floats(40, 110), st.integers(0, 100), st.integers(0, 100))
def test_the_intensity_knob_turns_up_and_down(level: float, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert turned_intensity(level, low) <= turned_intensity(level, high) + 1e-9
    assert turned_intensity(level, 50) == pytest.approx(level)


ENTRY = {"personas": [[4.0, 80.0, -3.0, 0, 8]], "spread": [0.0], "fills": [0.1] * 8}
NAN, INF = float("nan"), float("inf")
NOTHINGS: tuple[object, ...] = ("", [], {})


def spoilt(**changed: object) -> dict[str, object]:
    return {"rock": {**ENTRY, **changed}}


@pytest.mark.parametrize(
    "profile",
    [
        {"rock": 3},
        {"rock": {}},
        {"rock": {"personas": [[1]]}},
        5,
        spoilt(personas=[[NAN, 80.0]]),
        spoilt(personas=[[0.0, 80.0]]),
        spoilt(personas=[[1e300, 80.0]]),
        spoilt(personas=[[4.0, INF]]),
        spoilt(personas=[[4.0, 0.0]]),
        spoilt(personas=[["4", 80.0]]),
        spoilt(personas=[[4.0, 80.0, NAN]]),
        spoilt(personas=[[4.0, 80.0, None, -1]]),
        spoilt(personas=[[4.0, 80.0, None, 1.5]]),
        spoilt(personas=[[4.0, 80.0, None, None, 0]]),
        spoilt(personas=[[4.0, 80.0, None, None, 10**400]]),
        spoilt(personas=[[4.0, 80.0, None, None, 8, 9]]),
        # nothing, of a kind that is no number
        *(spoilt(personas=[[4.0, 80.0, None, None, 8, True, "", no]]) for no in NOTHINGS),
        spoilt(personas=[[4.0, 80.0, None, {}]]),
        spoilt(personas=[[4.0, 80.0, None, None, 8, True, "", None, 0.2, 0.3, ""]]),
        spoilt(personas="rock"),
        spoilt(spread=[]),
        spoilt(spread=[NAN]),
        spoilt(spread=[900]),
        spoilt(spread=0.0),
        spoilt(fills=[]),
        spoilt(fills=[2]),
        spoilt(fills=["often"]),
    ],
)
def test_a_profile_that_is_none_is_refused_in_one_line(profile: object) -> None:
    with pytest.raises(ModelLoadError, match="profile of styles is not readable"):
        profiles_of({"profile": profile})


def test_a_checkpoint_without_profiles_has_none() -> None:
    assert profiles_of({}) == {}
