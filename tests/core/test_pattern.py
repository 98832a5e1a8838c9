"""Laws of bars: what can be played, how hits are written, and bars in other metres."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.errors import PatternError
from drumigen.fitting import felt_beat, fit
from drumigen.kit import HATS, Voice, load_kit
from drumigen.midi.written_positions import written
from drumigen.model.mock import mock_bar
from drumigen.pattern import OFFSET_MAX, Bar, Hit, Rule, Violation, problems, repaired
from drumigen.timeline import Meter
from drumigen.units import Tick
from strategies import METERS, bars, meters, playable_bars, straight_bars, voices

FOUR = Meter()
BEAT = 1920


def bar_of(*strokes: tuple[int, Voice, int], meter: Meter = FOUR) -> Bar:
    return Bar(meter, tuple(Hit(Tick(tick), voice, velocity) for tick, voice, velocity in strokes))


def rules(bar: Bar) -> set[Rule]:
    return {problem.rule for problem in problems(bar)}


def ticks(bar: Bar, *of: Voice) -> list[int]:
    return sorted({hit.tick for hit in bar.hits if hit.voice in of})


@pytest.mark.parametrize(
    ("tick", "velocity", "offset"), [(-1, 64, 0), (0, 0, 0), (0, 128, 0), (0, 64, OFFSET_MAX + 1)]
)
def test_a_hit_that_no_bar_can_hold_is_refused(tick: int, velocity: int, offset: int) -> None:
    with pytest.raises(PatternError):
        Hit(Tick(tick), Voice.KICK, velocity, offset)


def test_a_hit_beyond_the_bar_line_is_refused() -> None:
    with pytest.raises(PatternError):
        bar_of((4 * BEAT, Voice.KICK, 100))


@pytest.mark.parametrize("meter", METERS, ids=str)
def test_the_beat_every_drummer_can_play_has_no_problem(meter: Meter) -> None:
    assert problems(mock_bar(meter)) == ()


GROOVE = [(tick, Voice.CLOSED_HAT, 80) for tick in range(480, 4 * BEAT, 960)]


@pytest.mark.parametrize(
    ("together", "rule"),
    [
        ([(Voice.SNARE, 90), (Voice.SNARE, 30)], Rule.DUPLICATE),
        ([(Voice.CLOSED_HAT, 90), (Voice.OPEN_HAT, 80)], Rule.HATS),
        ([(Voice.CLOSED_HAT, 90), (Voice.PEDAL_HAT, 80)], Rule.HATS),
        ([(Voice.OPEN_HAT, 90), (Voice.PEDAL_HAT, 80)], Rule.HATS),
        ([(Voice.SNARE, 90), (Voice.CRASH, 90), (Voice.RIDE, 90)], Rule.LIMBS),
    ],
)
def test_what_one_drummer_cannot_strike_at_once_is_a_problem(
    together: list[tuple[Voice, int]], rule: Rule
) -> None:
    bar = bar_of(*GROOVE, *((0, voice, velocity) for voice, velocity in together))
    assert rules(bar) == {rule}
    assert problems(bar)[0].tick == 0
    assert rules(repaired(bar)) == set()


def test_two_hands_and_two_feet_can_strike_four_things_at_once() -> None:
    four = (Voice.KICK, Voice.PEDAL_HAT, Voice.SNARE, Voice.CRASH)
    assert problems(bar_of(*((0, voice, 100) for voice in four))) == ()


def test_a_nearly_empty_bar_is_told_to_be_thin_and_left_so() -> None:
    bar = bar_of((0, Voice.KICK, 100))
    assert rules(bar) == {Rule.SPARSE}
    assert repaired(bar) == bar


def test_a_blur_is_too_dense_and_thinned_to_its_loudest() -> None:
    hits = [(tick, Voice.SNARE, 20 + tick % 7) for tick in range(0, 4 * BEAT, 60)]
    bar = bar_of((0, Voice.KICK, 120), *hits)
    assert Rule.DENSE in rules(bar)
    thinned = repaired(bar)
    assert rules(thinned) == set()
    assert thinned.at(0)[0] == Hit(Tick(0), Voice.KICK, 120)


def test_of_three_hands_the_backbeat_stays() -> None:
    bar = bar_of((0, Voice.SHAKER, 100), (0, Voice.SNARE, 90), (0, Voice.RIDE, 100))
    assert ticks(repaired(bar), Voice.SNARE) == [0]
    assert ticks(repaired(bar), Voice.SHAKER) == []


def test_of_two_hits_on_one_drum_the_louder_stays() -> None:
    (kept,) = repaired(bar_of((0, Voice.SNARE, 31), (0, Voice.SNARE, 30))).hits
    assert kept.velocity == 31


@given(bars())
def test_a_repaired_bar_is_playable_and_repairs_to_itself(bar: Bar) -> None:
    once = repaired(bar)
    assert rules(once) <= {Rule.SPARSE}
    assert repaired(once) == once


@given(bars())
def test_repair_only_takes_hits_away(bar: Bar) -> None:
    assert set(repaired(bar).hits) <= set(bar.hits)


@given(bars())
def test_what_has_no_problem_needs_no_repair(bar: Bar) -> None:
    if rules(bar) <= {Rule.SPARSE}:
        assert repaired(bar) == bar


def test_a_kit_outside_general_midi_is_a_problem_of_range(tmp_path: Path) -> None:
    path = tmp_path / "low.toml"
    path.write_text(
        'title = "Low"\n[voices]\nkick = { note = 20 }\nsnare = { note = 38 }\n'
        "closed_hat = { note = 42 }\n",
        encoding="utf-8",
    )
    low = load_kit(path)
    bar = mock_bar(FOUR)
    found = problems(bar, low)
    assert [(problem.rule, problem.tick) for problem in found] == [
        (Rule.RANGE, 0),
        (Rule.RANGE, 2 * BEAT),
    ]
    assert isinstance(found[0], Violation)
    assert problems(repaired(bar, low), low) == ()


@given(
    meters().flatmap(
        lambda meter: st.tuples(
            st.just(meter), st.lists(st.tuples(st.integers(0, meter.ticks - 1), voices))
        )
    )
)
def test_writing_never_moves_a_sound(case: tuple[Meter, list[tuple[int, Voice]]]) -> None:
    meter, strokes = case
    places = written(strokes, meter)
    assert [tick + offset for tick, offset in places] == [tick for tick, _ in strokes]
    assert all(0 <= tick <= meter.ticks for tick, _ in places)


@given(straight_bars())
def test_straight_playing_is_written_in_sixteenths(bar: Bar) -> None:
    heard = [
        (hit.sounding_tick, hit.voice)
        for hit in bar.hits
        if 0 <= hit.sounding_tick < bar.meter.ticks
    ]
    assert all(tick % 480 == 0 for tick, _ in written(heard, bar.meter))


@pytest.mark.parametrize("step", [640, 320, 240], ids=["triplets", "16th triplets", "32nds"])
@pytest.mark.parametrize("late", [0, 25, -25])
def test_rolls_are_written_in_their_own_division(step: int, late: int) -> None:
    roll = [(tick + late * (tick > 0), Voice.SNARE) for tick in range(0, BEAT, step)]
    roll += [(tick, Voice.SNARE) for tick in range(BEAT, 4 * BEAT, 960)]
    places = [tick for tick, _ in written(roll, FOUR)]
    assert places[: BEAT // step] == list(range(0, BEAT, step))


def test_a_triplet_roll_leaves_a_programmed_kick_on_its_sixteenth() -> None:
    roll = [(tick, Voice.CLOSED_HAT) for tick in range(0, BEAT, 320)]
    places = [tick for tick, _ in written([*roll, (1440, Voice.KICK)], FOUR)]
    assert places == [0, 320, 640, 960, 1280, 1600, 1440]


def test_an_early_downbeat_belongs_to_the_next_bar() -> None:
    assert written([(4 * BEAT - 30, Voice.KICK)], FOUR) == ((4 * BEAT, -30),)


@given(bars(), meters())
def test_a_fitted_bar_is_playable_in_its_new_metre(bar: Bar, meter: Meter) -> None:
    if bar.meter != meter:
        fitted = fit(bar, meter)
        assert fitted.meter == meter
        assert rules(fitted) <= {Rule.SPARSE}
    assert fit(bar, bar.meter) == bar


@given(playable_bars(), meters())
def test_a_kick_on_one_stays_on_one_in_any_metre(bar: Bar, meter: Meter) -> None:
    if Voice.KICK in {hit.voice for hit in bar.at(0)}:
        assert Voice.KICK in {hit.voice for hit in fit(bar, meter).at(0)}


@pytest.mark.parametrize(
    ("meter", "backbeats"),
    [
        ("2/4", [1]),
        ("3/4", [1]),
        ("5/4", [1, 3]),
        ("6/4", [1, 3, 5]),
        ("7/8", [1, 3]),
        ("15/16", [1, 3]),
        ("6/8", [1.5]),
        ("9/8", [1.5]),
        ("12/8", [1.5, 4.5]),
    ],
)
def test_backbeats_stay_on_the_felt_beats(meter: str, backbeats: list[float]) -> None:
    fitted = fit(mock_bar(FOUR), Meter.parse(meter))
    assert ticks(fitted, Voice.SNARE) == [int(beat * BEAT) for beat in backbeats]


@pytest.mark.parametrize("old", METERS, ids=str)
@pytest.mark.parametrize("new", METERS, ids=str)
def test_eighth_note_hats_flow_on_to_the_end_of_any_metre(old: Meter, new: Meter) -> None:
    felt = 640 if felt_beat(old) > felt_beat(new) else 960
    assert ticks(fit(mock_bar(old), new), *HATS) == list(range(0, new.ticks, felt))


def test_a_longer_metre_does_not_crash_again() -> None:
    bar = Bar(FOUR, (*mock_bar(FOUR).hits, Hit(Tick(0), Voice.CRASH, 110)))
    assert ticks(fit(bar, Meter(5, 4)), Voice.CRASH) == [0]


def test_triplets_become_the_eighths_of_a_compound_metre() -> None:
    shuffle = bar_of(*((b * BEAT + t, Voice.RIDE, 80) for b in range(4) for t in (0, 1280)))
    assert ticks(fit(shuffle, Meter(12, 8)), Voice.RIDE) == [
        b * 2880 + t for b in range(4) for t in (0, 1920)
    ]


def test_a_fill_keeps_its_end_in_a_shorter_metre() -> None:
    fill = bar_of(*((tick, Voice.LOW_TOM, 100) for tick in range(3 * BEAT, 4 * BEAT, 480)))
    assert ticks(fit(fill, Meter(3, 4), tail=True), Voice.LOW_TOM) == list(
        range(2 * BEAT, 3 * BEAT, 480)
    )
