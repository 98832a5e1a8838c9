"""The engine as a performer meets it: a master plays, and drums come out in time."""

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.kit import Voice, load_kit
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, Timeline
from drumigen.units import Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import (
    AnyReport,
    BarEntered,
    ClockSource,
    Continue,
    ControlInput,
    DropOut,
    EngineCounters,
    EngineParameters,
    EngineState,
    Locate,
    Origin,
    Panic,
    Plan,
    PlannedBar,
    PlayedBar,
    Rejoin,
    ReOne,
    SendFeedback,
    Shutdown,
    Start,
    Stop,
    TransportState,
    UseKit,
)
from drumigen_daemon.engine.player import RECALL_QUIET_SECONDS, Player
from drumigen_daemon.engine.score import Score
from drumigen_daemon.ports import PortChange
from drumigen_daemon.process.log_line import LogLine
from rig import (
    BEGIN,
    CLOCK,
    CONTINUE,
    START,
    STOP,
    Master,
    RecordingOutput,
    Rig,
    gaussian,
    note_of,
    quarter_bar,
    song,
    song_position,
)

BEAT = 0.5  # seconds at 120 BPM


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(quarter_bar(), 40))
    return rig


def rolling_master(rig: Rig, bars: float = 2, bpm: float = 120.0) -> Master:
    master = Master(rig, bpm)
    master.say(START)
    master.clock(int(bars * 96))
    return master


def times(rig: Rig, since: float = 0.0) -> list[float]:
    return [sent.at for sent in rig.output.notes(since=since)]


def test_the_first_pulse_after_a_cold_start_is_tick_zero(rig: Rig) -> None:
    master = rolling_master(rig)
    master.finish()
    assert times(rig) == pytest.approx(
        [BEGIN + beat * BEAT for beat in range(9)][: len(times(rig))]
    )
    assert len(times(rig)) >= 8


def test_the_first_pulse_after_a_start_with_pre_roll_is_tick_zero(rig: Rig) -> None:
    master = Master(rig)
    master.clock(50)
    first = master.next_at
    master.say(START)
    master.clock(96)
    master.finish()
    assert times(rig)[:4] == pytest.approx([first + beat * BEAT for beat in range(4)])


def test_pulses_without_a_start_move_nothing(rig: Rig) -> None:
    Master(rig).clock(500)
    rig.run(11)
    assert not rig.output.sent
    assert rig.state.tick == 0


def test_pre_roll_sets_the_tempo_so_that_the_second_beat_is_in_time(rig: Rig) -> None:
    master = Master(rig, bpm=90)
    master.clock(48)
    master.say(START)
    first = master.next_at
    master.clock(96)
    master.finish()
    assert times(rig)[1] == pytest.approx(first + 60 / 90, abs=1e-4)


def test_stop_with_clocks_running_is_silent_and_lets_no_note_hang(rig: Rig) -> None:
    master = rolling_master(rig, 1.3)
    master.say(STOP)
    master.clock(200)
    master.finish()
    assert len(times(rig)) == 6
    assert rig.output.hanging() == []
    assert rig.state.transport is TransportState.STOPPED


def test_continue_resumes_at_the_stored_position(rig: Rig) -> None:
    master = rolling_master(rig, 1 + 5 / 96)  # 5 pulses into bar 2
    master.say(STOP)
    master.clock(30)
    resumed = master.next_at
    master.say(CONTINUE)
    master.clock(96)
    master.finish()
    # the next beat is 24 - 5 pulses away
    assert times(rig, resumed)[0] == pytest.approx(resumed + 19 * master.period)


def test_song_position_while_stopped_is_where_continue_starts(rig: Rig) -> None:
    master = Master(rig)
    master.clock(48)
    master.say(song_position(2), before=0.004)
    master.say(CONTINUE)
    start = master.next_at
    master.clock(96)
    master.finish()
    assert times(rig)[0] == pytest.approx(start + 0.25)


def test_song_position_while_rolling_moves_the_song_on_the_next_pulse(rig: Rig) -> None:
    bar = Bar(Meter(), (Hit(Tick(0), Voice.CRASH, 100), Hit(Tick(1920), Voice.SNARE, 100)))
    rig.plan([PlannedBar(9, Tick(9 * 7680), bar, "test")])
    master = rolling_master(rig, 1.3)
    master.say(song_position(9 * 16))
    moved = master.next_at
    master.clock(96)
    master.finish()
    heard = [(round(s.at - moved, 6), s.data[1]) for s in rig.output.notes(since=moved)]
    assert heard[:2] == [(0.0, note_of(Voice.CRASH)), (BEAT, note_of(Voice.SNARE))]
    assert rig.output.hanging() == []


def test_a_start_while_rolling_begins_again_at_the_one(rig: Rig) -> None:
    master = rolling_master(rig, 1.3)
    master.say(START)
    again = master.next_at
    master.clock(96)
    master.finish()
    assert times(rig, again)[:2] == pytest.approx([again, again + BEAT])


def test_jack_midi_clock_sends_stop_again_before_continue(rig: Rig) -> None:
    master = rolling_master(rig, 1.25)
    master.say(STOP)
    master.clock(24)
    master.say(STOP, before=0.003)
    master.say(CONTINUE)
    resumed = master.next_at
    master.clock(96)
    master.finish()
    assert times(rig, resumed)[0] == pytest.approx(resumed)
    bars = [entered.number for entered in rig.told(BarEntered)]
    assert bars == [0, 1, 1, 2]


def test_reaper_sends_position_on_every_locate_and_floods_of_controls_on_play(rig: Rig) -> None:
    master = Master(rig)
    master.clock(24)
    for sixteenths in (32, 64, 16):
        master.say(song_position(sixteenths), before=0.005)
    for channel in range(16):
        for control in (120, 123):
            master.say(bytes([0xB0 | channel, control, 0]), before=0.003)
    master.say(CONTINUE)
    start = master.next_at
    master.clock(96)
    master.finish()
    assert times(rig)[0] == pytest.approx(start)
    assert rig.told(BarEntered)[0].number == 1


def test_jitter_does_not_move_the_notes(rig: Rig) -> None:
    rig.plan(song(quarter_bar(), 40))
    master = Master(rig, jitter=gaussian(0.001))
    master.clock(192)
    master.say(START)
    first = len(master.pulses)
    master.clock(96 * 8)
    master.finish()
    errors = [at - master.pulses[first + 24 * n] for n, at in enumerate(times(rig)[:32])]
    assert max(abs(error) for error in errors) < 0.001


def test_a_tempo_change_moves_what_has_not_sounded(rig: Rig) -> None:
    master = rolling_master(rig, 2)
    master.bpm = 140
    changed = master.next_at
    master.clock(192)
    master.finish()
    truth = [changed + beat * 60 / 140 for beat in range(8)]
    heard = times(rig, changed - 0.1)
    assert heard[2:8] == pytest.approx(truth[2:8], abs=0.001)


@pytest.mark.slow
def test_one_hour_of_jittered_clock_does_not_drift() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    bar = quarter_bar()
    rig.plan(song(bar, 3))
    queued = []

    def keep_planning(report: object) -> None:
        if isinstance(report, BarEntered):
            rig.plan(song(bar, 3, report.number))
            queued.append(rig.output.queued)

    rig.on_report = keep_planning
    master = Master(rig, 174, gaussian(0.001))
    master.say(START)
    for _ in range(60 * 174 // 4):
        master.clock(96)
        master.finish()
    beats = 60 * 174
    heard = times(rig)
    assert len(heard) >= beats
    assert heard[beats - 4] == pytest.approx(master.pulses[24 * (beats - 4)], abs=0.001)
    assert max(queued) < 20
    assert rig.told(PlayedBar)[-1].number == beats // 4 - 2
    assert rig.output.hanging() == []


def test_pulses_are_expected_only_while_the_song_rolls_steadily_along_a_clock(rig: Rig) -> None:
    def expected() -> bool:
        return rig.engine.expected_pulses is not None

    master = Master(rig)
    master.clock(96)
    master.finish()
    assert not expected()  # a Start may come
    master.say(START)
    master.clock(96)
    master.finish()
    assert expected()
    rig.run(1.0)
    assert not expected()  # the clock is gone
    master.next_at = rig.now
    master.clock(96)
    master.finish()
    assert expected()
    master.say(STOP)
    master.clock(48)
    master.finish()
    assert not expected()


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.0, 0.001])
def test_pulses_of_a_steady_clock_are_heard_a_few_at_a_time(rig: Rig, sigma: float) -> None:
    master = Master(rig, 174, gaussian(sigma))
    master.say(START)
    master.clock(192)
    master.finish()
    before = rig.calls
    master.clock(960)
    master.finish()
    rig.run(1.0)
    assert rig.calls - before < 300
    assert rig.told(EngineCounters)[-1].pulses == 192 + 960


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "most"), [(0.0, 0.0008), (0.0002, 0.0008), (0.001, 0.006)])
def test_a_tempo_that_moves_fast_is_followed_closely(rig: Rig, sigma: float, most: float) -> None:
    rig.plan(song(quarter_bar(), 60))
    master = Master(rig, 120, gaussian(sigma))
    master.say(START)
    for quarter in range(4 * 200):
        master.bpm = 120 + 2 * abs((quarter / 4) % 40 - 20)  # 2 BPM a beat
        master.clock(6)
        master.finish()
    due, heard = master.pulses[::24], times(rig)
    off = [abs(at - beat) for at, beat in zip(heard, due, strict=False)]
    assert len(off) == 200
    assert max(off[16:]) < most


def test_another_tempo_is_heard_with_the_first_pulse_that_tells_of_it(rig: Rig) -> None:
    master = Master(rig, 174)
    master.say(START)
    master.clock(192)
    master.finish()
    master.bpm = 150.0
    calls = rig.calls
    master.next_at += master.period - 60.0 / 174 / 24  # the last pulse's distance is the new one
    master.clock(1)
    rig.run(master.next_at - master.period - rig.now)
    assert rig.calls == calls + 1


def test_the_state_is_told_once_a_second_and_with_each_bar(rig: Rig) -> None:
    master = Master(rig, bpm=174.0)
    master.say(START)
    master.clock(174 * 24)
    rig.run(20.0)
    rig.reports.clear()
    rig.run(20.0)
    assert 20 <= len(rig.told(EngineState)) <= 22 + len(rig.told(BarEntered))
    assert 19 <= len(rig.told(EngineCounters)) <= 21


def test_who_is_told_the_state_always_knows_where_the_song_is(rig: Rig) -> None:
    master = Master(rig, 120, gaussian(0.0005))
    master.say(START)
    off = []
    for step in range(400):
        master.bpm = 120 + min(step, 200) * 0.1  # 20 BPM faster within 25 s
        master.clock(6)
        master.finish()
        if step > 20:
            off.append(rig.state.timeline.tick_at(master.next_at) - 480 * (step + 1))
    assert max(map(abs, off)) < 480 * 0.01 / 0.125  # 10 ms


def test_a_drop_out_is_played_through_and_the_song_stays_in_place(rig: Rig) -> None:
    master = rolling_master(rig, 2)
    silent = master.next_at
    master.clock(30, lost=lambda _: True)
    master.clock(192)
    master.finish()
    heard = times(rig, silent - 0.001)
    assert heard[:8] == pytest.approx([silent + beat * BEAT for beat in range(8)], abs=0.002)
    assert any("fell silent" in line.text for line in rig.told(LogLine))


def test_a_drop_out_stops_cleanly_where_that_is_the_setting(rig: Rig) -> None:
    rig.obey(EngineParameters(source=ClockSource.MIDI, drop_out=DropOut.STOP))
    master = rolling_master(rig, 2)
    master.finish()
    rig.run(5)
    assert not times(rig, master.next_at + 1.1 * BEAT)
    assert rig.output.hanging() == []
    assert rig.state.transport is TransportState.STOPPED


@pytest.mark.parametrize("bpm", [20.0, 60.0, 174.0, 400.0])
def test_a_clock_that_falls_silent_is_noticed_soon_and_the_song_stops_on_time(
    rig: Rig, bpm: float
) -> None:
    rig.obey(EngineParameters(source=ClockSource.MIDI, drop_out=DropOut.STOP))
    master = rolling_master(rig, 4, bpm)
    told: list[tuple[float, AnyReport]] = []
    rig.on_report = lambda report: told.append((rig.now, report))
    master.finish()
    rig.run(5)
    last = master.pulses[-1]
    states = [(at, state) for at, state in told if isinstance(state, EngineState) and at > last]
    coasts = min(at for at, state in states if state.lock == "coasting")
    assert coasts < last + max(0.12 + 2 * master.period, 2.3 * master.period)
    stopped = min(at for at, state in states if state.transport is TransportState.STOPPED)
    assert stopped == pytest.approx(last + max(60.0 / bpm, 0.25), abs=0.002)


def test_after_a_long_silence_the_song_meets_the_clock_at_a_bar_line(rig: Rig) -> None:
    master = rolling_master(rig, 2)
    master.next_at += 5.0 + 0.007  # back 7 ms off our own count
    back = master.next_at
    master.clock(96 * 4)
    master.finish()
    late = times(rig, back + 5.0)
    offset = (late[0] - back) % (24 * master.period)
    pulses_off = offset / master.period
    assert pulses_off == pytest.approx(round(pulses_off), abs=0.05)


@pytest.mark.parametrize("silence", [5.0346, 5.0692, 5.1557, 5.2595, 5.5882])
def test_after_a_long_silence_the_very_one_is_on_the_clock(rig: Rig, silence: float) -> None:
    master = rolling_master(rig, 2)
    master.next_at += silence
    master.clock(96 * 4)
    master.finish()
    gaps = [after - before for before, after in pairwise(times(rig))]
    odd = [index for index, gap in enumerate(gaps) if abs(gap - BEAT) > 0.003]
    assert len(odd) == 1  # from the old grid to the new one
    assert (odd[0] + 1) % 4 == 0


@pytest.mark.parametrize(("moved", "follows"), [(0.005, True), (-0.005, True), (0.001, False)])
def test_what_is_on_its_way_moves_with_the_line_if_it_would_be_far_off(
    moved: float, *, follows: bool
) -> None:
    output, score = RecordingOutput(), Score()
    score.plan(song(quarter_bar(), 2), Tick(0))
    player = Player(output, score, load_kit())
    now, due = Seconds(BEGIN), BEGIN + 0.12
    player.roll(Timeline(Bpm(120.0), 0.0, Seconds(due)), 0)
    player.advance(now, early=True)
    assert output.queued == 1
    player.follow(Timeline(Bpm(120.0), 0.0, Seconds(due + moved)), now)
    player.advance(Seconds(now + 2 * RECALL_QUIET_SECONDS), early=True)
    output.play(BEGIN + 0.2)
    (note,) = output.notes()
    assert note.at == pytest.approx(due + moved * follows)


def test_while_changes_keep_coming_nothing_goes_along_early_to_be_taken_back_again() -> None:
    output, score = RecordingOutput(), Score()
    score.plan(song(quarter_bar(), 2), Tick(0))
    player = Player(output, score, load_kit())
    player.roll(Timeline(Bpm(120.0), 0.0, Seconds(BEGIN + 0.15)), 0)
    queued = []
    for step in range(4):
        now = Seconds(BEGIN + step * 0.6 * RECALL_QUIET_SECONDS)
        if step < 2:
            player.recall(now)
        player.advance(now, early=True)
        queued.append(output.queued > 0)
    assert queued == [False, False, False, True]


def test_a_lost_start_is_made_up_for_where_that_is_the_setting(rig: Rig) -> None:
    rig.obey(EngineParameters(source=ClockSource.MIDI, start_on_clock=True))
    master = Master(rig)
    master.clock(96)
    master.finish()
    assert times(rig)[0] == pytest.approx(BEGIN + BEAT, abs=0.001)


def test_half_time_reading_plays_half_as_fast_from_the_next_bar(rig: Rig) -> None:
    rig.obey(EngineParameters(source=ClockSource.MIDI, reading="half"))
    master = rolling_master(rig, 2)
    master.finish()
    assert times(rig)[:3] == pytest.approx([BEGIN + beat * 2 * BEAT for beat in range(3)])
    rig.obey(EngineParameters(source=ClockSource.MIDI, reading="normal"))
    master.clock(96 * 4)
    master.finish()
    tail = times(rig, BEGIN + 15.5 * BEAT)
    gaps = [b - a for a, b in pairwise(tail)]
    assert gaps == pytest.approx([BEAT] * len(gaps), abs=0.002)


def test_song_position_is_read_in_half_time_too(rig: Rig) -> None:
    rig.obey(EngineParameters(source=ClockSource.MIDI, reading="half"))
    master = Master(rig)
    master.clock(24)
    master.say(song_position(32), before=0.004)
    master.say(CONTINUE)
    master.clock(96)
    master.finish()
    assert rig.told(BarEntered)[0].number == 1


def test_offsets_shift_notes_both_ways_and_leave_the_clock_alone(rig: Rig) -> None:
    bar = Bar(
        Meter(),
        tuple(
            Hit(Tick(tick), voice, 100)
            for tick in range(0, 7680, 1920)
            for voice in (Voice.KICK, Voice.SNARE)
        ),
    )
    rig.plan(song(bar, 10))
    rig.obey(
        EngineParameters(
            source=ClockSource.MIDI, offset_ms=-30, voice_offsets_ms={Voice.SNARE: 50.0}
        )
    )
    master = rolling_master(rig, 2)
    master.finish()
    kicks = [s.at for s in rig.output.notes() if s.data[1] == note_of(Voice.KICK)]
    snares = [s.at for s in rig.output.notes() if s.data[1] == note_of(Voice.SNARE)]
    assert kicks[1:4] == pytest.approx([BEGIN + n * BEAT - 0.030 for n in (1, 2, 3)])
    assert snares[1:4] == pytest.approx([BEGIN + n * BEAT + 0.020 for n in (1, 2, 3)])
    assert kicks[0] == pytest.approx(BEGIN)  # due before the song began: at once


def test_changing_an_offset_live_neither_loses_nor_doubles_a_note(rig: Rig) -> None:
    master = rolling_master(rig, 4)
    for index in range(40):
        offset = (-1) ** index * 25.0
        parameters = EngineParameters(source=ClockSource.MIDI, offset_ms=offset)
        rig.at(BEGIN + 0.1 + index * 0.19, partial(rig.obey, parameters))
    master.finish()
    assert len(times(rig)) in (16, 17)


def test_what_sounded_is_reported_by_the_bar_with_its_own_tempo(rig: Rig) -> None:
    master = rolling_master(rig, 2)
    master.bpm = 90
    master.clock(96 * 3)
    master.finish()
    rig.hear(STOP)
    heard = rig.told(PlayedBar)
    assert [bar.number for bar in heard[:4]] == [0, 1, 2, 3]
    assert [round(bar.tempo, 1) for bar in heard[:4]] == pytest.approx([120, 120, 90, 90], abs=0.3)
    assert [len(bar.notes) for bar in heard[:4]] == [4, 4, 4, 4]
    assert [note.tick for note in heard[1].notes] == [7680, 9600, 11_520, 13_440]


def test_a_silent_bar_is_reported_too(rig: Rig) -> None:
    rig.plan([PlannedBar(1, Tick(7680), Bar(Meter()), "test")])
    rolling_master(rig, 4).finish()
    assert [(bar.number, len(bar.notes)) for bar in rig.told(PlayedBar)][:3] == [
        (0, 4),
        (1, 0),
        (2, 4),
    ]


def test_every_note_on_has_its_note_off_after_the_gate(rig: Rig) -> None:
    rolling_master(rig, 2).finish()
    rig.run(0.2)
    for sent in rig.output.notes():
        ends = [o.at for o in rig.output.sent if o.is_off and o.at > sent.at]
        assert 0.005 < min(ends) - sent.at < 0.2


def test_a_closed_hat_chokes_the_open_one(rig: Rig) -> None:
    hits = (Hit(Tick(0), Voice.OPEN_HAT, 100), Hit(Tick(20), Voice.CLOSED_HAT, 100))
    rig.plan(song(Bar(Meter(), hits), 4))
    rolling_master(rig, 1).finish()
    open_hat = note_of(Voice.OPEN_HAT)
    off = next(s.at for s in rig.output.sent if s.is_off and s.data[1] == open_hat)
    closed = next(s.at for s in rig.output.notes() if s.data[1] == note_of(Voice.CLOSED_HAT))
    assert off <= closed


def test_a_plan_that_changes_mid_bar_takes_effect_at_its_tick(rig: Rig) -> None:
    master = rolling_master(rig, 1)
    snares = quarter_bar(Voice.SNARE)
    rig.at(BEGIN + 0.6, lambda: rig.plan(song(snares, 2), from_tick=3840))
    master.finish()
    heard = [s.data[1] for s in rig.output.notes()][:4]
    kick, snare = note_of(Voice.KICK), note_of(Voice.SNARE)
    assert heard == [kick, kick, snare, snare]


@pytest.mark.parametrize("lead", [0.01, 0.1])
def test_a_switch_just_before_the_boundary_neither_doubles_nor_silences(lead: float) -> None:
    rig = Rig(lead=lead)
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(quarter_bar(), 4))
    master = rolling_master(rig, 1)
    rig.at(BEGIN + 0.999, lambda: rig.plan(song(quarter_bar(Voice.SNARE), 2), from_tick=3840))
    master.finish()
    rig.run(0.1)
    heard = [s.data[1] for s in rig.output.notes()][:4]
    kick, snare = note_of(Voice.KICK), note_of(Voice.SNARE)
    assert heard == [kick, kick, snare, snare]
    assert rig.output.hanging() == []


def test_without_new_plans_the_engine_repeats_what_it_holds(rig: Rig) -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(quarter_bar(), 2))
    rolling_master(rig, 8).finish()
    assert len(times(rig)) >= 32
    origins = [entered.origin for entered in rig.told(BarEntered)]
    assert origins[:2] == [Origin.GENERATED] * 2
    assert set(origins[2:]) == {Origin.REPEATED}


def test_metres_change_at_the_bar_line(rig: Rig) -> None:
    seven = quarter_bar(meter=Meter(7, 8))
    bars = song(quarter_bar(), 1)
    bars.append(PlannedBar(1, Tick(7680), seven, "test"))
    bars.append(PlannedBar(2, Tick(7680 + 6720), quarter_bar(Voice.SNARE), "test"))
    rig.plan(bars)
    master = rolling_master(rig, 3)
    master.finish()
    snares = [s.at for s in rig.output.notes() if s.data[1] == note_of(Voice.SNARE)]
    assert snares[0] == pytest.approx(BEGIN + 7.5 * BEAT)


def test_our_own_clock_rolls_on_start_and_is_sent_out() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(150.0)))
    rig.plan(song(quarter_bar(), 10))
    rig.obey(Start())
    rig.run(4)
    clock = [s for s in rig.output.sent if s.port == "clock"]
    start = next(index for index, s in enumerate(clock) if s.data == START)
    pulses = [s.at for s in clock[start:] if s.data == CLOCK]
    notes = times(rig)
    assert notes[0] == pytest.approx(pulses[0])
    assert notes[1] == pytest.approx(pulses[24])
    assert pulses[24] - pulses[0] == pytest.approx(0.4)
    gaps = [b - a for a, b in pairwise(pulses)]
    assert gaps == pytest.approx([0.4 / 24] * len(gaps), rel=1e-6)
    assert clock[start].at < pulses[0]


def test_a_second_drumigen_can_follow_our_clock() -> None:
    leader, follower = Rig(), Rig()
    for each in (leader, follower):
        each.plan(song(quarter_bar(), 10))
    leader.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(97.0)))
    leader.run(1.0)
    leader.obey(Start())
    leader.run(6.0)
    for sent in leader.output.sent:
        if sent.port == "clock":
            follower.hear(sent.data, sent.at)
    follower.run(7.0)
    ours, theirs = times(leader), times(follower)
    assert theirs[: len(ours) - 1] == pytest.approx(ours[: len(theirs)][: len(ours) - 1], abs=1e-4)


def test_stop_locate_and_continue_are_sent_to_those_who_follow_us() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.plan(song(quarter_bar(), 10))
    rig.obey(Start())
    rig.run(1.0)
    rig.obey(Stop())
    rig.obey(Locate(Tick(7680)))
    rig.obey(Continue())
    rig.run(1.0)
    said = [s.data for s in rig.output.sent if s.port == "clock" and s.data != CLOCK]
    assert said == [START, STOP, song_position(16), CONTINUE]
    pulses = [s.at for s in rig.output.sent if s.port == "clock" and s.data == CLOCK]
    gaps = [b - a for a, b in pairwise(pulses)]
    assert gaps == pytest.approx([0.5 / 24] * len(gaps))
    assert rig.output.hanging() == []


def test_tempo_of_our_own_clock_changes_without_a_jump() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.plan(song(quarter_bar(), 10))
    rig.obey(Start())
    rig.run(1.1)
    rig.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(60.0)))
    rig.run(4.0)
    gaps = [b - a for a, b in pairwise(times(rig))]
    assert gaps[0] == pytest.approx(0.5)
    assert 0.5 < gaps[2] < 1.0
    assert gaps[3:] == pytest.approx([1.0] * len(gaps[3:]))


def test_a_tempo_turned_within_a_bar_is_reported_where_it_was_turned() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(120.0)))
    rig.plan(song(quarter_bar(), 10))
    rig.obey(Start())
    rig.run(3.0)  # half of the second bar
    rig.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(60.0)))
    rig.run(12.0)
    steady, turned, after = rig.told(PlayedBar)[:3]
    assert steady.tempos == after.tempos == ()
    assert [tick for tick, _ in turned.tempos] == pytest.approx([0, 3840], abs=160)
    assert [tempo for _, tempo in turned.tempos] == pytest.approx([120, 60], abs=0.5)
    # the seconds of the bar are those of its tempi
    (_, first), (tick, second) = turned.tempos
    seconds = tick / 1920 * 60 / first + (7680 - tick) / 1920 * 60 / second
    assert seconds == pytest.approx(4 * 60 / turned.tempo, abs=1e-3)


@pytest.mark.parametrize("sigma", [0.0, 0.001])
def test_a_steady_master_turns_no_tempo(sigma: float) -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 10))
    master = Master(rig, 120, gaussian(sigma))
    master.say(START)
    master.clock(6 * 96)
    master.finish()
    settled = rig.told(PlayedBar)[2:]
    assert [bar.tempos for bar in settled] == [()] * len(settled)


def test_auto_leaves_our_clock_for_a_master_that_starts() -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 10))
    rig.obey(Start())
    rig.run(1.3)
    master = Master(rig, 100)
    master.say(START)
    first = master.next_at
    master.clock(96)
    master.finish()
    assert times(rig, first)[:3] == pytest.approx([first + n * 0.6 for n in range(3)], abs=1e-3)
    assert rig.state.lock == "locked"
    rig.run(0.1)
    assert rig.output.hanging() == []


def test_auto_takes_a_position_from_a_master_whose_clock_was_silent() -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 10))
    rig.run(1.0)
    master = Master(rig, 100)
    master.say(song_position(32), before=0.0)
    master.next_at += 0.3
    master.say(CONTINUE)
    master.clock(96)
    master.finish()
    assert rig.told(BarEntered)[0].number == 2


def test_our_own_clock_ignores_a_stranger_where_that_is_the_setting() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.plan(song(quarter_bar(), 10))
    master = Master(rig, 97)
    master.say(START)
    master.clock(96)
    rig.obey(Start())
    master.finish()
    gaps = [b - a for a, b in pairwise(times(rig))]
    assert gaps == pytest.approx([0.5] * len(gaps))
    pulses = [s.at for s in rig.output.sent if s.port == "clock" and s.data == CLOCK]
    assert [b - a for a, b in pairwise(pulses)] == pytest.approx([0.5 / 24] * (len(pulses) - 1))


def test_re_one_puts_the_bar_line_on_the_beat_that_was_meant(rig: Rig) -> None:
    bar = Bar(Meter(), (Hit(Tick(0), Voice.CRASH, 100), Hit(Tick(1920), Voice.KICK, 90)))
    rig.plan(song(bar, 20))
    master = rolling_master(rig, 4)
    rig.at(BEGIN + 6 * BEAT + 0.03, lambda: rig.obey(ReOne()))
    master.finish()
    crashes = [s.at - BEGIN for s in rig.output.notes() if s.data[1] == note_of(Voice.CRASH)]
    after = [at for at in crashes if at > 6.5 * BEAT]
    assert after[0] == pytest.approx(10 * BEAT, abs=1e-3)


def test_a_replaced_engine_joins_where_the_song_is(rig: Rig) -> None:
    master = rolling_master(rig, 6)
    rig.run(3.2)
    line = rig.state.timeline
    other = Rig(now=rig.now)
    other.obey(EngineParameters(source=ClockSource.MIDI))
    other.plan(song(quarter_bar(), 10))
    other.obey(Rejoin(line, external=True))
    for at in master.pulses:
        if at > rig.now:
            other.hear(CLOCK, at)
    master.finish()
    other.run(4.0)
    assert times(other)[2:6] == pytest.approx(times(rig, times(other)[0] - 0.05)[2:6], abs=1e-3)


@pytest.mark.parametrize(
    ("port", "peer", "named"),
    [("in", "knob:o", "knob:o (connected to in)"), ("", "", "the MIDI system")],
)
def test_what_is_lost_and_comes_back_is_said_in_plain_words(
    rig: Rig, port: str, peer: str, named: str
) -> None:
    for up in (False, True):
        rig.engine.ports_changed([PortChange(port, peer, up=up)], Seconds(rig.now))
        rig.run(0.1)
    said = [line.text for line in rig.told(LogLine)]
    assert f"lost {named}: waiting for it to come back" in said
    assert f"{named} is there" in said


def test_a_port_that_returns_is_told_to_be_quiet(rig: Rig) -> None:
    rolling_master(rig, 1).finish()
    rig.engine.ports_changed([PortChange("out", "synth:in", up=False)], Seconds(rig.now))
    rig.engine.ports_changed([PortChange("out", "synth:in", up=True)], Seconds(rig.now))
    rig.run(0.1)
    controls = [s.data for s in rig.output.sent if s.data[0] == 0xB9]
    assert bytes([0xB9, 123, 0]) in controls
    assert bytes([0xB9, 120, 0]) in controls


@pytest.mark.parametrize("command", [Stop(), Shutdown(), Panic()])
def test_ending_in_any_way_leaves_no_note_hanging(rig: Rig, command: Stop) -> None:
    rolling_master(rig, 1)
    rig.run(0.501)
    assert rig.output.hanging()
    rig.obey(command)
    rig.run(0.01)
    assert rig.output.hanging() == []


@pytest.mark.slow
def test_a_flood_of_controls_is_coalesced_and_the_last_value_arrives(rig: Rig) -> None:
    master = rolling_master(rig, 2)
    for index in range(10_000):
        rig.hear(bytes([0xB0, 20, index % 128]), BEGIN + 0.5 + index / 10_000)
    master.finish()
    heard = rig.told(ControlInput)
    assert len(heard) < 300
    assert heard[-1].data == (0xB0, 20, 9_999 % 128)
    assert times(rig)[:8] == pytest.approx([BEGIN + n * BEAT for n in range(8)])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(junk=st.lists(st.tuples(st.floats(0, 3.9), st.binary(min_size=1, max_size=12)), max_size=40))
def test_any_bytes_from_another_source_leave_the_beat_alone(
    junk: list[tuple[float, bytes]],
) -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(quarter_bar(), 10))
    master = rolling_master(rig, 2)
    for when, data in junk:
        # transport from anyone is obeyed: that is another test's matter
        clean = bytes(byte for byte in data if byte not in (0xF2, 0xFA, 0xFB, 0xFC))
        if clean:
            rig.hear(clean, BEGIN + 0.01 + when, source="keyboard")
    master.finish()
    assert times(rig)[:8] == pytest.approx([BEGIN + n * BEAT for n in range(8)], abs=0.003)


@pytest.mark.parametrize(
    ("first", "second", "lead"),
    [
        # the later stroke of a note is handed over for an earlier time than the one before it
        ((Voice.KICK, 169), (Voice.KICK, 480), 0.1),
        # so is the stroke that chokes one which is under way
        ((Voice.OPEN_HAT, 38), (Voice.CLOSED_HAT, 99), 0.0),
    ],
)
def test_strokes_in_another_order_by_a_new_tempo_leave_no_note_hanging(
    first: tuple[Voice, int], second: tuple[Voice, int], lead: float
) -> None:
    # the first is handed over at 120 BPM, the second, written later, at 400
    hits = (Hit(Tick(0), first[0], 90, first[1]), Hit(Tick(1), second[0], 90, second[1]))
    for pulses in range(2, 12):
        rig = Rig(lead=lead)
        rig.plan(song(Bar(Meter(), hits), 20))
        master = Master(rig, 400.0)
        master.say(START)
        master.clock(pulses)
        master.finish()
        rig.obey(Shutdown())
        rig.run(1.0)
        assert rig.output.hanging() == []


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_sequence_of_events_leaves_no_note_hanging(data: st.DataObject) -> None:
    rig = Rig(lead=data.draw(st.sampled_from([0.0, 0.01, 0.1])))
    bar = Bar(
        Meter(),
        tuple(
            Hit(Tick(tick), voice, 90, offset)
            for tick, voice, offset in data.draw(
                st.lists(
                    st.tuples(
                        st.integers(0, 7679), st.sampled_from(list(Voice)), st.integers(-480, 480)
                    ),
                    min_size=1,
                    max_size=30,
                )
            )
        ),
    )
    rig.plan(song(bar, 20))
    master = Master(rig, data.draw(st.sampled_from([20.0, 120.0, 174.0, 400.0])))
    for _ in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.integers(0, 9))
        if what <= 2:
            master.say((START, STOP, CONTINUE)[what])
        elif what == 3:
            master.say(song_position(data.draw(st.integers(0, 16_383))))
        elif what == 4:
            rig.obey(data.draw(st.sampled_from([Start(), Stop(), Continue(), ReOne(), Panic()])))
        elif what == 5:
            rig.obey(EngineParameters(offset_ms=data.draw(st.floats(-200, 200))))
            rig.obey(UseKit.of(load_kit(data.draw(st.sampled_from(["gm", "digitakt"])))))
        elif what == 6:
            rig.plan(song(quarter_bar(Voice.SNARE), 5), from_tick=data.draw(st.integers(0, 30_000)))
        elif what == 7:
            rig.obey(Locate(Tick(data.draw(st.integers(0, 100_000)))))
        else:
            rig.run(data.draw(st.floats(0.0, 0.5)))
        master.clock(data.draw(st.integers(0, 60)))
        master.finish()
    rig.obey(Shutdown())
    rig.run(1.0)
    assert rig.output.hanging() == []
    assert rig.output.queued == 0


@pytest.mark.parametrize(
    ("ahead", "grid", "first_new"), [(0.020, 480, 2), (0.004, 480, 3), (0.004, 1920, 6)]
)
def test_a_change_holds_from_the_first_boundary_at_which_nothing_old_is_under_way(
    rig: Rig, ahead: float, grid: int, first_new: int
) -> None:
    ticks = range(0, 7680, 480)
    kicks, snares = (
        Bar(Meter(), tuple(Hit(Tick(tick), voice, 100) for tick in ticks))
        for voice in (Voice.KICK, Voice.SNARE)
    )
    rig.output.horizon = 0.005  # what leaves within five milliseconds can not be taken back
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.plan(song(kicks, 2))
    rig.obey(Start())
    begun = rig.state.timeline.time_of(0)
    rig.run(begun + 0.25 - ahead - rig.now)
    rig.obey(Plan((PlannedBar(0, Tick(0), snares, "new"),), Tick(2 * 480), grid))
    rig.run(1.4)
    heard = [sent.data[1] for sent in rig.output.notes()][:12]
    kick, snare = note_of(Voice.KICK), note_of(Voice.SNARE)
    assert heard == [kick] * first_new + [snare] * (12 - first_new)


def test_what_is_shown_leaves_by_the_port_for_it_at_once(rig: Rig) -> None:
    rig.obey(SendFeedback(((0xB0, 41, 127), (0x90, 4, 0))))
    rig.run(0.01)
    shown = [sent for sent in rig.output.sent if sent.port == "feedback"]
    assert [sent.data for sent in shown] == [b"\xb0\x29\x7f", b"\x90\x04\x00"]
    assert shown[0].at <= rig.now
