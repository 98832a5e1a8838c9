"""Laws of the map between ticks and seconds, and of bars and metres."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.errors import PatternError
from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TEMPO_MAX, TEMPO_MIN, TICKS_PER_BEAT, Bpm, Seconds
from strategies import METERS, meter_maps, meters

tempos = st.floats(TEMPO_MIN, TEMPO_MAX).map(Bpm)
moments = st.floats(0, 1e6).map(Seconds)
ticks = st.floats(-1e6, 1e7)
timelines = st.builds(Timeline, tempos, ticks, moments)


def test_a_beat_at_120_lasts_half_a_second() -> None:
    timeline = Timeline(Bpm(120.0), 0.0, Seconds(10.0))
    assert timeline.time_of(TICKS_PER_BEAT) == pytest.approx(10.5)


@given(timelines, ticks)
def test_ticks_to_seconds_and_back_is_the_same_tick(timeline: Timeline, tick: float) -> None:
    # 1e6 seconds of float time resolve 0.1 ns: far below a tick of 0.08 ms at 400 BPM
    assert timeline.tick_at(timeline.time_of(tick)) == pytest.approx(tick, abs=0.01)


@given(timelines, ticks, st.floats(1, 1e6))
def test_a_later_tick_sounds_later(timeline: Timeline, tick: float, step: float) -> None:
    assert timeline.time_of(tick) < timeline.time_of(tick + step)


@given(timelines, tempos, st.floats(-100, 100))
def test_a_tempo_change_meets_the_old_line_where_it_is_made(
    timeline: Timeline, tempo: Bpm, after: float
) -> None:
    at = Seconds(timeline.time_origin + after)
    assert timeline.with_tempo(tempo, at).tick_at(at) == pytest.approx(
        timeline.tick_at(at), abs=0.01
    )


@given(timelines, tempos)
def test_after_a_tempo_change_beats_come_at_the_new_tempo(timeline: Timeline, tempo: Bpm) -> None:
    changed = timeline.with_tempo(tempo, timeline.time_origin)
    beat = changed.time_of(TICKS_PER_BEAT) - changed.time_of(0)
    assert beat == pytest.approx(60 / tempo, abs=1e-6)


@given(timelines, st.integers(-10_000, 10_000), ticks)
def test_a_shifted_line_only_renames_its_ticks(timeline: Timeline, by: int, tick: float) -> None:
    assert timeline.shifted(by).time_of(tick + by) == pytest.approx(
        timeline.time_of(tick), abs=1e-6
    )


@pytest.mark.parametrize("meter", METERS, ids=str)
def test_a_metre_reads_back_from_its_text(meter: Meter) -> None:
    assert Meter.parse(str(meter)) == meter


@pytest.mark.parametrize(
    ("text", "sixteenths"), [("4/4", 16), ("3/4", 12), ("7/8", 14), ("15/16", 15), ("12/8", 24)]
)
def test_a_metre_lasts_its_sixteenths(text: str, sixteenths: int) -> None:
    assert Meter.parse(text).sixteenths == sixteenths


@pytest.mark.parametrize("text", ["", "4", "4/", "/4", "4/3", "0/4", "33/16", "9/4", "-3/4", "a/b"])
def test_what_cannot_be_counted_is_refused(text: str) -> None:
    with pytest.raises(PatternError):
        Meter.parse(text)


@given(meter_maps(), st.integers(0, 60))
def test_every_bar_starts_where_the_one_before_ends(meter_map: MeterMap, bar: int) -> None:
    end = meter_map.start_of(bar) + meter_map.meter_of(bar).ticks
    assert meter_map.start_of(bar + 1) == end


@given(meter_maps(), st.integers(0, 400_000))
def test_every_tick_lies_in_the_bar_that_claims_it(meter_map: MeterMap, tick: int) -> None:
    bar = meter_map.bar_at(tick)
    assert meter_map.start_of(bar) <= tick < meter_map.start_of(bar + 1)


@given(meter_maps(), st.integers(1, 30), meters())
def test_a_change_of_metre_leaves_every_earlier_bar_alone(
    meter_map: MeterMap, bar: int, meter: Meter
) -> None:
    changed = meter_map.changed(bar, meter)
    assert [changed.start_of(n) for n in range(bar + 1)] == [
        meter_map.start_of(n) for n in range(bar + 1)
    ]
    assert [changed.meter_of(n) for n in range(bar)] == [meter_map.meter_of(n) for n in range(bar)]


@given(meter_maps(), st.integers(0, 30), st.integers(0, 30), meters())
def test_a_change_of_metre_holds_from_its_bar_on(
    meter_map: MeterMap, bar: int, later: int, meter: Meter
) -> None:
    assert meter_map.changed(bar, meter).meter_of(bar + later) == meter


def test_before_the_song_is_its_first_bar() -> None:
    assert MeterMap().bar_at(-5) == 0
