"""Laws of arranging by rule, and of the mix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.arrange import (
    SECTION_ROWS,
    Section,
    adapted,
    built_up,
    count_in,
    half_time,
    in_section,
    last_stroke,
    only,
    stuttered,
)
from drumigen.kit import TIMEKEEPERS, Voice
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit, Rule, problems
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_SIXTEENTH, Tick
from drumigen.voice_mixer import LEVEL_MAX, Mix, mixed
from strategies import bars, meters, playable_bars, voices

points = st.integers(-100, 100)
rules_of_playing = {Rule.DUPLICATE, Rule.HATS, Rule.LIMBS, Rule.DENSE}


def unplayable(bar: Bar) -> set[Rule]:
    return {problem.rule for problem in problems(bar)} & rules_of_playing


def ticks_of(bar: Bar, voice: Voice) -> list[int]:
    return [hit.tick for hit in bar.hits if hit.voice is voice]


@given(playable_bars(), st.sampled_from(Section), st.integers(0, 1), points, points)
def test_whatever_is_arranged_stays_playable_and_in_its_metre(
    bar: Bar, section: Section, half: int, density: int, intensity: int
) -> None:
    arranged = [
        in_section(bar, section),
        half_time(bar, second=half == 1),
        built_up(bar, 0.4, 1.0),
        adapted(bar, density, intensity, 3),
        count_in(bar.meter),
        last_stroke(bar.meter),
    ]
    for each in arranged:
        assert each.meter == bar.meter
        assert not unplayable(each)


def test_half_time_moves_two_backbeats_to_one_on_three() -> None:
    bar = mock_bar(Meter())
    first, second = half_time(bar, second=False), half_time(bar, second=True)
    assert ticks_of(first, Voice.SNARE) == ticks_of(second, Voice.SNARE) == [3840]
    assert ticks_of(first, Voice.KICK) == [0]
    assert ticks_of(first, Voice.CLOSED_HAT) == ticks_of(bar, Voice.CLOSED_HAT)


@given(bars())
def test_half_time_keeps_the_pulse_and_plays_every_stroke_of_the_pattern_once(bar: Bar) -> None:
    halves = [half_time(bar, second=second) for second in (False, True)]
    pattern = [hit for hit in bar.hits if hit.voice not in TIMEKEEPERS]
    played = [hit for half in halves for hit in half.hits if hit.voice not in TIMEKEEPERS]
    assert len(played) <= len(pattern)
    assert {hit.voice for hit in played} <= {hit.voice for hit in pattern}


@given(playable_bars(), points, st.integers(0, 9))
def test_density_by_rule_goes_the_way_it_is_turned(bar: Bar, density: int, seed: int) -> None:
    hits = len(adapted(bar, density, 0, seed).hits)
    assert hits <= len(bar.hits) if density < 0 else hits >= len(bar.hits) or unplayable(bar)
    if density == 0:
        assert adapted(bar, 0, 0, seed) == bar


def test_more_density_is_audible_and_keeps_what_was_there() -> None:
    bar = mock_bar(Meter())
    more, less = adapted(bar, 60, 0, 1), adapted(bar, -60, 0, 1)
    assert len(more.hits) >= len(bar.hits) + 3
    assert set(bar.hits) <= set(more.hits)
    assert len(less.hits) <= len(bar.hits) - 3
    assert ticks_of(less, Voice.SNARE) == ticks_of(bar, Voice.SNARE)
    assert 0 in ticks_of(less, Voice.KICK)


@given(playable_bars(), points)
def test_intensity_by_rule_moves_every_velocity_one_way(bar: Bar, intensity: int) -> None:
    for before, after in zip(bar.hits, adapted(bar, 0, intensity, 1).hits, strict=True):
        assert (after.velocity - before.velocity) * intensity >= 0


def test_a_build_grows_louder_and_denser_and_holds_its_kick_at_the_end() -> None:
    bar = mock_bar(Meter())
    pieces = [built_up(bar, n / 4, (n + 1) / 4) for n in range(4)]
    rolls = [[hit for hit in piece.hits if hit.voice is Voice.SNARE] for piece in pieces]
    assert [len(roll) for roll in rolls] == sorted(len(roll) for roll in rolls)
    velocities = [hit.velocity for roll in rolls for hit in roll]
    assert velocities == sorted(velocities)
    assert ticks_of(pieces[0], Voice.KICK)
    assert not ticks_of(pieces[3], Voice.KICK)


@given(bars(), st.sampled_from([480, 960, 1920]), st.integers(0, 30))
def test_a_stutter_repeats_its_piece_and_leaves_what_was_before(
    bar: Bar, length: int, step: int
) -> None:
    begin = step * TICKS_PER_SIXTEENTH % bar.meter.ticks
    piece = [Hit(Tick(0), Voice.SNARE, 100), Hit(Tick(length // 2), Voice.KICK, 90)]
    result = stuttered(bar, piece, length, begin)
    assert [h for h in result.hits if h.tick < begin] == [h for h in bar.hits if h.tick < begin]
    snares = [tick for tick in ticks_of(result, Voice.SNARE) if tick >= begin]
    assert snares == list(range(begin, bar.meter.ticks, length))


def test_a_stutter_goes_on_over_the_bar_line() -> None:
    piece = [Hit(Tick(0), Voice.SNARE, 100)]
    assert ticks_of(stuttered(Bar(Meter()), piece, 1920, -480), Voice.SNARE) == [
        1440,
        3360,
        5280,
        7200,
    ]


def test_sections_tell_themselves_apart() -> None:
    bar = mock_bar(Meter())
    assert in_section(bar, Section.A) == in_section(bar, Section.NONE) == bar
    assert not ticks_of(in_section(bar, Section.INTRO), Voice.SNARE)
    assert ticks_of(in_section(bar, Section.B), Voice.RIDE) == ticks_of(bar, Voice.CLOSED_HAT)
    assert set(SECTION_ROWS) == set(Section)


@given(meters())
def test_a_count_in_is_one_stick_a_felt_beat(meter: Meter) -> None:
    clicks = count_in(meter).hits
    assert clicks[0].tick == 0
    assert {hit.voice for hit in clicks} == {Voice.SIDE_STICK}
    assert len(clicks) in (-(-meter.ticks // 1920), -(-meter.ticks // 2880))


@given(bars(), st.sets(voices), st.sets(voices), st.dictionaries(voices, st.integers(0, LEVEL_MAX)))
def test_a_mix_silences_or_scales_and_moves_nothing(
    bar: Bar, muted: set[Voice], soloed: set[Voice], levels: dict[Voice, int]
) -> None:
    result = mixed(bar, Mix(frozenset(muted), frozenset(soloed), levels))
    heard = {hit.voice for hit in result.hits}
    assert not heard & muted
    assert not soloed or heard <= soloed
    before = [
        hit
        for hit in bar.hits
        if hit.voice not in muted
        and (hit.voice in soloed or not soloed)
        and levels.get(hit.voice, 100)
    ]
    assert sorted((h.tick, h.voice, h.offset) for h in before) == sorted(
        (h.tick, h.voice, h.offset) for h in result.hits
    )


def test_a_level_scales_velocity() -> None:
    bar = Bar(Meter(), (Hit(Tick(0), Voice.KICK, 100), Hit(Tick(0), Voice.SNARE, 100)))
    quiet = mixed(bar, Mix(levels={Voice.KICK: 50}))
    assert [hit.velocity for hit in quiet.hits] == [50, 100]


@pytest.mark.parametrize("voice", [Voice.KICK, Voice.RIDE])
def test_only_keeps_what_is_named(voice: Voice) -> None:
    assert {h.voice for h in only(mock_bar(Meter()), [voice]).hits} <= {voice}
