"""Laws of the humanizer, for any bar at any place of any song."""

import math
from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.bank.bank import load_bank
from drumigen.feel.blend import blended
from drumigen.feel.feel import Dynamics, Feel, FeelModel, Ornaments, SwingUnit
from drumigen.feel.humanize import humanize
from drumigen.kit import Voice
from drumigen.model.mock import mock_bar
from drumigen.pattern import OFFSET_MAX, Bar, Hit, Rule, problems
from drumigen.styles import Style, load_styles
from drumigen.timeline import Meter
from drumigen.units import Tick
from strategies import bars, meters, playable_bars, straight_bars

FOUR = Meter()
BEAT = 1920
STYLES = load_styles()

seeds = st.integers(0, 2**31)
numbers = st.integers(0, 10_000)
tempos = st.floats(30, 300)
swings = st.floats(50, 75)
amounts = st.floats(0, 100)
pushes = st.dictionaries(st.sampled_from(Voice), st.floats(-60, 60), max_size=4)


@st.composite
def feels(draw: st.DrawFn) -> Feel:
    """Draw any feel, ornaments and dynamics included."""
    levels = st.lists(st.integers(1, 127), min_size=4, max_size=4).map(tuple)
    return Feel(
        model=draw(st.sampled_from(FeelModel)),
        amount=draw(amounts),
        swing=draw(swings),
        swing_unit=draw(st.sampled_from(SwingUnit)),
        swing_shares=draw(st.dictionaries(st.sampled_from(Voice), st.floats(0, 2), max_size=3)),
        push_ms=draw(pushes),
        push_spread_ms=draw(st.floats(0, 10)),
        template_bars=draw(st.integers(1, 2)),
        wobble_ms=draw(st.floats(0, 10)),
        residual_ms=draw(st.floats(0, 20)),
        spread_ms=draw(st.floats(0, 10)),
        keep=draw(st.floats(0, 1)),
        dynamics=Dynamics(
            draw(st.dictionaries(st.sampled_from(Voice), levels, max_size=3)),
            pull=draw(st.floats(0, 1)),
        ),
        ornaments=Ornaments(
            ghosts=draw(st.floats(0, 4)),
            flams=draw(st.floats(0, 1)),
            drags=draw(st.floats(0, 1)),
            rolls=draw(st.floats(0, 2)),
        ),
    )


def plain(bar: Bar) -> Bar:
    return replace(bar, hits=tuple(replace(hit, offset=0) for hit in bar.hits))


def grid(*places: int, voice: Voice = Voice.CLOSED_HAT) -> Bar:
    return Bar(FOUR, tuple(Hit(Tick(tick), voice, 80) for tick in places))


def offsets(bar: Bar) -> list[int]:
    return [hit.offset for hit in bar.hits]


def share_of_beat(bar: Bar, tick: int) -> list[float]:
    """Return where the hits written ``tick`` after a beat sound, in per cent of the beat."""
    return sorted(
        {100 * (hit.sounding_tick % BEAT) / BEAT for hit in bar.hits if hit.tick % BEAT == tick}
    )


def about(percent: float) -> object:
    """Return what equals one value, to a tick."""
    return pytest.approx([percent], abs=100 / BEAT)


@given(bars(), feels(), seeds, numbers, tempos)
def test_the_same_place_of_the_same_song_always_feels_the_same(
    bar: Bar, feel: Feel, seed: int, number: int, tempo: float
) -> None:
    once = humanize(bar, feel, seed, number, tempo=tempo)
    humanize(bar, feel, seed + 1, number + 1, tempo=tempo)
    assert humanize(bar, feel, seed, number, tempo=tempo) == once


@given(bars(), feels(), seeds, numbers, tempos)
def test_feel_keeps_metre_and_takes_no_hit_away(
    bar: Bar, feel: Feel, seed: int, number: int, tempo: float
) -> None:
    felt = humanize(bar, feel, seed, number, tempo=tempo)
    assert felt.meter == bar.meter
    assert len(felt.hits) >= len(bar.hits)
    without = replace(feel, ornaments=Ornaments())
    assert len(humanize(bar, without, seed, number, tempo=tempo).hits) == len(bar.hits)


@given(playable_bars(), feels(), seeds, numbers, tempos)
def test_what_was_playable_stays_playable(
    bar: Bar, feel: Feel, seed: int, number: int, tempo: float
) -> None:
    felt = humanize(bar, feel, seed, number, tempo=tempo)
    assert {problem.rule for problem in problems(felt)} <= {Rule.SPARSE}


@given(bars(), feels(), seeds, numbers)
def test_no_amount_and_no_swing_is_the_written_grid_exactly(
    bar: Bar, feel: Feel, seed: int, number: int
) -> None:
    exact = replace(feel, amount=0, swing=50)
    felt = humanize(bar, exact, seed, number)
    assert set(offsets(felt)) <= {0}
    if not any(hit.tick % 480 and hit.tick % 320 == 0 for hit in bar.hits):
        assert [(h.tick, h.voice, h.velocity) for h in felt.hits] == [
            (h.tick, h.voice, h.velocity) for h in bar.hits
        ]


@given(straight_bars(), feels(), seeds, numbers, swings)
def test_swing_is_absolute_whatever_the_bar_had_and_whatever_the_amount_was(
    bar: Bar, feel: Feel, seed: int, number: int, percent: float
) -> None:
    swung = replace(feel, amount=0, swing=percent, swing_shares={})
    assert humanize(bar, swung, seed, number) == humanize(plain(bar), swung, seed, number)


@pytest.mark.parametrize("percent", [50, 54, 57.1, 60, 66.7, 75])
def test_swing_is_mpc_percent_of_two_sixteenths_or_two_eighths(percent: float) -> None:
    sixteenths = humanize(grid(*range(0, 7680, 480)), Feel(swing=percent, amount=0), 1, 0)
    assert share_of_beat(sixteenths, 480) == about(percent / 2)
    assert share_of_beat(sixteenths, 1440) == about(50 + percent / 2)
    assert share_of_beat(sixteenths, 0) == [0]
    assert share_of_beat(sixteenths, 960) == [50]
    eighth = Feel(swing=percent, amount=0, swing_unit=SwingUnit.EIGHTH)
    eighths = humanize(grid(*range(0, 7680, 960)), eighth, 1, 0)
    assert share_of_beat(eighths, 960) == about(percent)


def test_32nds_move_with_the_sixteenths_they_lie_between() -> None:
    felt = humanize(grid(*range(0, 1920, 240)), Feel(swing=60, amount=0), 1, 0)
    assert [hit.sounding_tick for hit in felt.hits] == [0, 288, 576, 768, 960, 1248, 1536, 1728]


def test_a_voice_takes_the_share_of_the_swing_that_it_is_given() -> None:
    feel = Feel(swing=60, amount=0, swing_shares={Voice.KICK: 0, Voice.RIDE: 0.5})
    for voice, percent in ((Voice.KICK, 50), (Voice.RIDE, 55), (Voice.CLOSED_HAT, 60)):
        felt = humanize(grid(480, voice=voice), feel, 1, 0)
        assert felt.hits[0].sounding_tick == 1920 * percent / 200


@given(playable_bars(), feels(), seeds, numbers, tempos)
def test_a_voice_sounds_in_the_order_in_which_it_is_written(
    bar: Bar, feel: Feel, seed: int, number: int, tempo: float
) -> None:
    last: dict[Voice, tuple[int, int]] = {}
    for hit in humanize(bar, feel, seed, number, tempo=tempo).hits:
        before = last.get(hit.voice)
        if before and before[0] < hit.tick:
            assert before[1] < hit.sounding_tick
        last[hit.voice] = hit.tick, hit.sounding_tick


def test_written_triplets_are_not_swung() -> None:
    triplets = grid(0, 640, 1280, 1920, 2880)
    felt = humanize(triplets, Feel(swing=60, amount=0, swing_unit=SwingUnit.EIGHTH), 1, 0)
    assert [hit.sounding_tick for hit in felt.hits] == [0, 640, 1280, 1920, 1920 + 1152]


def test_a_shuffle_written_in_triplets_is_swung_once() -> None:
    shuffle = grid(*(beat * BEAT + tick for beat in range(4) for tick in (0, 1280)))
    for percent in (50, 58, 66.7, 72):
        feel = Feel(swing=percent, amount=0, swing_unit=SwingUnit.EIGHTH)
        felt = humanize(shuffle, feel, 1, 0)
        assert share_of_beat(felt, 960) == about(percent)


@given(seeds, st.sampled_from([8, 16, 24, 40]), st.floats(50, 62), st.floats(50, 62))
def test_a_swung_bar_is_not_swung_twice(seed: int, bias: int, own: float, percent: float) -> None:
    late = round((own - 50) / 100 * 960)
    played = Bar(
        FOUR,
        tuple(
            Hit(
                Tick(tick),
                Voice.CLOSED_HAT,
                80,
                bias + (late if tick % 960 else 0) + (7 if tick % 1920 else -7),
            )
            for tick in range(0, 7680, 480)
        ),
    )
    felt = humanize(played, Feel(swing=percent), seed, 3)
    second, first = (
        fmean(hit.offset for hit in felt.hits if bool(hit.tick % 960) is odd)
        for odd in (True, False)
    )
    assert abs(50 + (second - first) / 960 * 100 - percent) < 1


@given(straight_bars(), seeds, numbers)
def test_a_kept_residual_is_the_bars_own_and_nothing_is_added(
    bar: Bar, seed: int, number: int
) -> None:
    if any(hit.offset for hit in bar.hits):
        kept = humanize(bar, Feel(keep=1, residual_ms=40, spread_ms=40), seed, number)
        assert kept == humanize(bar, Feel(keep=1, residual_ms=0, spread_ms=0), seed + 1, number)


@given(straight_bars(), seeds, numbers)
def test_a_replaced_residual_is_that_of_the_plain_grid(bar: Bar, seed: int, number: int) -> None:
    for model in FeelModel:
        feel = Feel(model, keep=0)
        assert humanize(bar, feel, seed, number) == humanize(plain(bar), feel, seed, number)


def test_half_the_amount_is_half_the_way_to_the_grid() -> None:
    bar = mock_bar(FOUR)
    feel = Feel(push_ms={Voice.SNARE: 20}, residual_ms=12)
    whole, half = (offsets(humanize(bar, replace(feel, amount=a), 5, 9)) for a in (100, 50))
    assert all(abs(one / 2 - two) <= 1 for one, two in zip(whole, half, strict=True))
    assert max(map(abs, whole)) > 20


@given(seeds, numbers, meters())
def test_a_drift_goes_on_over_the_bar_line(seed: int, number: int, meter: Meter) -> None:
    feel = Feel(residual_ms=20, spread_ms=0)
    start = number * 960
    end = Bar(meter, (Hit(Tick(meter.ticks - 1), Voice.KICK, 90),))
    one = Bar(meter, (Hit(Tick(0), Voice.KICK, 90),))
    before = humanize(end, feel, seed, 7, start=start).hits[0].offset
    after = humanize(one, feel, seed, 8, start=start + meter.ticks).hits[0].offset
    assert abs(before - after) <= 2


@given(seeds, numbers, st.integers(0, 7))
def test_a_drift_belongs_to_the_song_tick_and_not_to_the_bar(
    seed: int, number: int, eighth: int
) -> None:
    feel = Feel(residual_ms=20, spread_ms=5)
    tick = number * 7680 + eighth * 960
    here = humanize(grid(eighth * 960), feel, seed, number).hits[0].offset
    there = humanize(grid(0), feel, seed, number + 1, start=tick).hits[0].offset
    assert here == there


@given(seeds, st.integers(0, 1000), tempos)
def test_a_frozen_template_comes_back_exactly(seed: int, number: int, tempo: float) -> None:
    feel = STYLES.find("dilla").feel
    bank = load_bank("j_dilla")
    bar = bank.bar(0, 1, FOUR)
    length = feel.template_bars
    first = humanize(bar, feel, seed, number, tempo=tempo)
    again = humanize(bar, feel, seed, number + 12 * length, tempo=tempo)
    assert offsets(first) == offsets(again)


def test_a_fast_pulse_is_a_steadier_one() -> None:
    def spread(tempo: float) -> float:
        feel = Feel(residual_ms=20, spread_ms=0)
        felt = [humanize(grid(0), feel, 1, n, tempo=tempo).hits[0].offset for n in range(300)]
        ms = [offset * 60_000 / (tempo * BEAT) for offset in felt]
        return math.sqrt(fmean(one**2 for one in ms))

    assert spread(70) / spread(140) == pytest.approx(2**0.6, rel=0.05)


def test_voices_on_one_sixteenth_share_the_drift() -> None:
    both = Bar(FOUR, tuple(Hit(Tick(0), voice, 90) for voice in (Voice.KICK, Voice.CLOSED_HAT)))
    feel = Feel(residual_ms=15, spread_ms=3)
    gaps, drifts = [], []
    for number in range(400):
        kick, hat = sorted(humanize(both, feel, 2, number, tempo=100).hits, key=lambda h: h.voice)
        gaps.append((kick.offset - hat.offset) * 60_000 / (100 * BEAT))
        drifts.append(kick.offset * 60_000 / (100 * BEAT))
    assert fmean(gap**2 for gap in gaps) ** 0.5 == pytest.approx(3 * 2**0.5, rel=0.15)
    assert fmean(drift**2 for drift in drifts) ** 0.5 == pytest.approx(15, rel=0.25)


@pytest.mark.parametrize("model", FeelModel)
def test_offsets_fit_a_hit_however_far_all_goes(model: FeelModel) -> None:
    push = dict.fromkeys(Voice, 60.0)
    feel = Feel(
        model, swing=75, swing_unit=SwingUnit.EIGHTH, push_ms=push, residual_ms=40, wobble_ms=40
    )
    felt = humanize(grid(*range(0, 7680, 480)), feel, 1, 1, tempo=300)
    assert max(map(abs, offsets(felt))) <= OFFSET_MAX


@given(seeds, numbers)
def test_more_amount_adds_ornaments_and_takes_none_away(seed: int, number: int) -> None:
    feel = Feel(ornaments=Ornaments(ghosts=2.5, flams=0.5, rolls=1))
    before: set[tuple[Tick, Voice]] = set()
    for amount in (0, 30, 60, 100):
        felt = humanize(mock_bar(FOUR), replace(feel, amount=amount), seed, number)
        now = {(hit.tick, hit.voice) for hit in felt.hits}
        assert now >= before
        before = now


def test_ghosts_are_soft_beside_the_backbeat_and_never_on_it() -> None:
    feel = Feel(ornaments=Ornaments(ghosts=2.0))
    felt = [humanize(mock_bar(FOUR), feel, 1, number) for number in range(200)]
    written = {hit.tick for hit in mock_bar(FOUR).hits if hit.voice is Voice.SNARE}
    ghosts = [
        hit
        for bar in felt
        for hit in bar.hits
        if hit.voice is Voice.SNARE and hit.tick not in written
    ]
    assert len(ghosts) / len(felt) == pytest.approx(2.0, abs=0.2)
    assert {15 <= ghost.velocity <= 38 for ghost in ghosts} == {True}
    beside = [ghost for ghost in ghosts if ghost.tick // 480 in (7, 9, 13, 15)]
    assert len(beside) > len(ghosts) / 2


def test_a_bar_with_ghosts_of_its_own_gets_no_more() -> None:
    ghosts = tuple(Hit(Tick(step * 480), Voice.SNARE, 25) for step in (7, 9))
    bar = replace(mock_bar(FOUR), hits=(*mock_bar(FOUR).hits, *ghosts))
    felt = humanize(bar, Feel(ornaments=Ornaments(ghosts=2.0)), 1, 4)
    assert len(felt.hits) == len(bar.hits)


def test_a_flam_is_a_soft_stroke_some_30_ms_before_a_loud_one() -> None:
    felt = humanize(mock_bar(FOUR), Feel(ornaments=Ornaments(flams=1)), 1, 4, tempo=100)
    snares = [hit for hit in felt.hits if hit.voice is Voice.SNARE]
    assert len(snares) == 4
    for grace, main in zip(snares[::2], snares[1::2], strict=True):
        gap = (main.sounding_tick - grace.sounding_tick) * 60_000 / (100 * BEAT)
        assert 15 <= gap <= 45
        assert grace.velocity < main.velocity / 2


def test_a_roll_is_fast_and_rises_or_falls_in_velocity() -> None:
    feel = Feel(FeelModel.TIGHT, residual_ms=0, spread_ms=0, ornaments=Ornaments(rolls=1))
    for number in range(30):
        felt = humanize(mock_bar(FOUR), feel, 1, number)
        hats = [hit for hit in felt.hits if hit.voice is Voice.CLOSED_HAT]
        added = [hit for hit in hats if hit.tick % 960]
        assert {hit.tick % 240 == 0 or hit.tick % 160 == 0 for hit in added} == {True}
        ramp = [hit.velocity for hit in added]
        assert ramp in (sorted(ramp), sorted(ramp, reverse=True))


LEVELS = Dynamics({Voice.CLOSED_HAT: (90, 40, 70, 50), Voice.SNARE: (100,) * 4}, pull=1, spread=0)


def test_dynamics_are_a_structure_of_voice_and_place() -> None:
    felt = humanize(grid(*range(0, 7680, 480)), Feel(dynamics=LEVELS), 1, 0)
    levels = [hit.velocity for hit in felt.hits]
    # struck all alike at 80, of which the levels' mean is 62.5
    assert levels == [108, 58, 88, 68] * 4


def test_ghosts_stay_ghosts_and_accents_accents() -> None:
    hits = (Hit(Tick(0), Voice.SNARE, 110), Hit(Tick(480), Voice.SNARE, 20))
    felt = humanize(Bar(FOUR, hits), Feel(dynamics=LEVELS), 1, 0)
    assert [hit.velocity for hit in felt.hits] == [110, 20]


def test_a_soft_backbeat_is_no_ghost() -> None:
    hits = tuple(Hit(Tick(step * 480), Voice.SNARE, 20) for step in (2, 4))
    levels = replace(LEVELS, pull=0.5, backbeats=(4, 12))
    felt = humanize(Bar(FOUR, hits), Feel(dynamics=levels), 1, 0)
    assert [hit.velocity for hit in felt.hits] == [20, 60]


def test_backbeats_come_again_in_a_long_bar() -> None:
    hits = tuple(Hit(Tick(step * 480), Voice.SNARE, 20) for step in (18, 20))
    levels = replace(LEVELS, pull=0.5, backbeats=(4, 12))
    felt = humanize(Bar(Meter(7, 4), hits), Feel(dynamics=levels), 1, 0)
    assert [hit.velocity for hit in felt.hits] == [20, 60]


@pytest.mark.parametrize("level", [30, 60, 115])
def test_who_plays_softly_or_hard_goes_on_so_in_the_shape_of_the_style(level: int) -> None:
    hits = tuple(
        Hit(Tick(480 * step), Voice.CLOSED_HAT, level + (3 if step % 8 else -3))
        for step in range(16)
    )
    feel = Feel(dynamics=replace(LEVELS, pull=0.2))
    felt = humanize(Bar(FOUR, hits), feel, 1, 0)
    assert fmean(hit.velocity for hit in felt.hits) == pytest.approx(level + 2, abs=2)
    on = [hit.velocity for hit in felt.hits if hit.tick % 1920 == 0]
    after = [hit.velocity for hit in felt.hits if hit.tick % 1920 == 480]
    assert fmean(on) > fmean(after)


def test_a_roll_keeps_its_ramp() -> None:
    hits = tuple(Hit(Tick(tick), Voice.CLOSED_HAT, 50 + tick // 30) for tick in range(0, 1920, 240))
    felt = humanize(Bar(FOUR, hits), Feel(dynamics=LEVELS), 1, 0)
    assert [hit.velocity for hit in felt.hits] == [hit.velocity for hit in hits]


@given(feels(), feels(), st.floats(0, 1), bars())
def test_a_feel_between_two_is_a_feel_and_its_ends_are_the_two(
    one: Feel, two: Feel, share: float, bar: Bar
) -> None:
    humanize(bar, blended(one, two, share), 1, 1)
    for number in (0, 5):
        assert humanize(bar, blended(one, two, 0), 1, number) == humanize(bar, one, 1, number)
        assert humanize(bar, blended(one, two, 1), 1, number) == humanize(bar, two, 1, number)


def test_half_way_between_two_feels_the_swing_is_between_theirs() -> None:
    between = blended(Feel(swing=50, push_ms={Voice.SNARE: 20}), Feel(swing=60), 0.5)
    assert between.swing == 55
    assert between.push_ms == {Voice.SNARE: 10}


@given(playable_bars(), st.sampled_from(list(STYLES)), seeds, numbers)
def test_every_style_plays_any_bar_in_any_metre(
    bar: Bar, style: Style, seed: int, number: int
) -> None:
    felt = humanize(bar, style.feel, seed, number, tempo=style.tempo[0])
    assert {problem.rule for problem in problems(felt)} <= {Rule.SPARSE}
    exact = humanize(bar, replace(style.feel, amount=0, swing=50), seed, number)
    assert set(offsets(exact)) <= {0}


@given(straight_bars(), st.sampled_from(list(STYLES)), seeds)
def test_what_sounds_together_in_a_bar_stays_within_a_sixteenth(
    bar: Bar, style: Style, seed: int
) -> None:
    felt = humanize(bar, replace(style.feel, ornaments=Ornaments()), seed, 4)
    for tick in {hit.tick for hit in felt.hits}:
        together = [hit.offset for hit in felt.at(tick)]
        assert max(together) - min(together) < 480


def test_a_share_of_the_residual_is_kept_and_made_up_for_not_added_to() -> None:
    bank = load_bank("rock")

    def spread(keep: float) -> float:
        feel = Feel(keep=keep, residual_ms=12, spread_ms=6)
        ms = [
            hit.offset * 60_000 / (100 * BEAT)
            for number in range(200)
            for hit in humanize(bank.bar(number, 1, FOUR), feel, 1, number, tempo=100).hits
        ]
        return math.sqrt(fmean(one**2 for one in ms) - fmean(ms) ** 2)

    own, none, half = spread(1), spread(0), spread(0.7)
    assert half < 1.15 * max(own, none)
    assert half > 0.85 * min(own, none)


def test_no_two_songs_lay_the_kick_alike_against_the_hat() -> None:
    feel = Feel(push_spread_ms=4, residual_ms=0, spread_ms=0)
    both = Bar(FOUR, tuple(Hit(Tick(0), v, 80) for v in (Voice.KICK, Voice.CLOSED_HAT, Voice.RIDE)))

    def gaps(seed: int, bar: int = 0) -> tuple[int, int]:
        at = {hit.voice: hit.offset for hit in humanize(both, feel, seed, bar).hits}
        return at[Voice.KICK] - at[Voice.CLOSED_HAT], at[Voice.RIDE] - at[Voice.CLOSED_HAT]

    kicks = [gaps(seed)[0] for seed in range(40)]
    ms = 1920 * 120 / 60_000
    assert 3.5 * ms < (fmean(kick**2 for kick in kicks)) ** 0.5 < 8 * ms
    assert all(gaps(seed)[1] == 0 for seed in range(40))  # one hand
    assert gaps(3, 0) == gaps(3, 7)  # throughout a song
    assert gaps(3)[0] != 0
    still = replace(feel, amount=0)
    assert all(hit.offset == 0 for hit in humanize(both, still, 3, 0).hits)


def test_a_foot_that_is_early_takes_no_hand_with_it() -> None:
    """However busy it is, a hand is the pulse that the others are set against."""
    hits = [Hit(Tick(480 * step), Voice.PEDAL_HAT, 60, -150) for step in range(0, 16, 2)]
    hits += [Hit(Tick(480 * step), Voice.RIDE, 80, -20) for step in range(0, 16, 4)]
    feel = Feel(push_ms={Voice.PEDAL_HAT: -10}, residual_ms=0, spread_ms=0, keep=1.0)
    felt = humanize(Bar(FOUR, tuple(hits)), feel, 1, 0, tempo=120)
    at = {voice: {h.offset for h in felt.hits if h.voice is voice} for voice in Voice}
    assert at[Voice.RIDE] == {-20}
    assert at[Voice.PEDAL_HAT] == {-20 - 38}  # 10 ms at 120 BPM
