"""No waiting without a way out and a word; and who replaces a dead engine waits for nobody."""

import random
from functools import partial

import pytest

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import (
    BarEntered,
    ClockSource,
    Command,
    Continue,
    DropOut,
    EngineParameters,
    EngineState,
    Locate,
    Rejoin,
    ReOne,
    Start,
    Stop,
    TransportState,
)
from drumigen_daemon.process.log_line import LogLine
from rig import BEGIN, CLOCK, CONTINUE, START, Master, Rig, quarter_bar, song, song_position


def rig_with(source: ClockSource = ClockSource.AUTO, bpm: float = 100.0) -> Rig:
    rig = Rig()
    rig.obey(EngineParameters(source=source, tempo=Bpm(bpm)))
    rig.plan(song(quarter_bar(), 200))
    return rig


def times(rig: Rig, since: float = 0.0) -> list[float]:
    return [sent.at for sent in rig.output.notes(since=since)]


def said(rig: Rig) -> str:
    return "; ".join(line.text for line in rig.told(LogLine))


@pytest.mark.parametrize("command", [Start(), Continue()])
@pytest.mark.parametrize("after", [0.1, 1.0, 1.9, 2.1])
def test_a_start_after_a_foreign_clock_has_ended_rolls_on_ours(
    command: Command, after: float
) -> None:
    rig = rig_with()
    Master(rig).clock(96)
    rig.run(96 * 0.5 / 24 + after)
    rig.obey(command)
    rig.run(6.0)
    assert rig.rolling
    assert rig.state.lock == "internal"
    assert len(times(rig)) >= 6


@pytest.mark.parametrize("message", [START, CONTINUE])
def test_a_masters_start_without_a_clock_is_told_and_then_ours_is_used(message: bytes) -> None:
    rig = rig_with()
    rig.hear(message, BEGIN + 0.5)
    rig.run(3.4)
    assert rig.state.transport is TransportState.ARMED
    assert "no MIDI clock comes" in said(rig)
    rig.run(4.0)
    assert rig.rolling
    assert len(times(rig)) >= 4


@pytest.mark.parametrize("late", [4.5, 6.0, 20.0])
@pytest.mark.parametrize("idle", [0, 50])
@pytest.mark.parametrize("sixteenth", [0, 64])
def test_a_master_whose_clock_comes_late_has_its_one_all_the_same(
    late: float, idle: int, sixteenth: int
) -> None:
    rig = rig_with(bpm=93.0)
    master = Master(rig)
    master.clock(idle)
    begun = START
    if sixteenth:
        rig.hear(song_position(sixteenth), master.next_at)
        begun = CONTINUE
    rig.hear(begun, master.next_at)
    master.next_at += late
    first = master.next_at
    master.clock(120)
    master.finish()
    assert times(rig, first - 0.01)[:5] == pytest.approx(
        [first + n * 0.5 for n in range(5)], abs=1e-3
    )
    assert rig.state.lock != "internal"
    assert "the master's clock has come" in said(rig)


@pytest.mark.parametrize("command", [Start(), Locate(Tick(0)), ReOne()])
def test_whoever_took_the_song_meanwhile_keeps_it(command: Command) -> None:
    rig = rig_with()
    rig.hear(START, BEGIN + 0.1)
    rig.run(6.3)
    rig.obey(command)
    rig.run(1.0)
    Master(rig).clock(48)
    rig.run(2.0)
    assert rig.state.lock == "internal"


def test_a_start_of_ours_ends_the_wait_for_a_master_that_sends_no_clock() -> None:
    rig = rig_with()
    rig.hear(START, BEGIN + 0.5)
    rig.run(1.0)
    rig.obey(Start())
    rig.run(1.0)
    assert rig.rolling


def test_the_first_pulse_may_come_three_seconds_after_the_start() -> None:
    rig = rig_with()
    master = Master(rig)
    master.clock(24)
    rig.hear(START, master.next_at)
    master.next_at += 3.0
    first = master.next_at
    master.clock(80)
    master.finish()
    assert times(rig)[:3] == pytest.approx([first + n * 0.5 for n in range(3)], abs=1e-4)


def test_who_wants_a_midi_clock_and_none_else_is_told_that_it_is_waited_for() -> None:
    rig = rig_with(ClockSource.MIDI)
    rig.obey(Start())
    rig.run(30.0)
    assert rig.state.transport == "armed"
    assert said(rig).count("waiting for one") == 1
    rig.obey(Stop())
    assert rig.state.transport == "stopped"


def test_our_own_clock_chosen_while_armed_rolls_at_once() -> None:
    rig = rig_with(ClockSource.MIDI)
    rig.obey(Start())
    rig.run(1.0)
    rig.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(120.0)))
    rig.run(1.2)
    assert rig.rolling
    assert len(times(rig)) == 3


# An engine that replaces another.


def replaced(rig: Rig, after: float, parameters: EngineParameters) -> Rig:
    """Return an engine that takes over from ``rig``, ``after`` seconds from now."""
    state = rig.state
    other = Rig(now=rig.now + after)
    other.obey(parameters)
    other.plan(song(quarter_bar(), 200))
    other.obey(Rejoin(state.timeline, external=state.lock != "internal"))
    return other


@pytest.mark.parametrize("after", [0.05, 0.31, 0.777])
@pytest.mark.parametrize("silent", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("back", [True, False])
def test_an_engine_that_follows_or_coasts_is_replaced_in_place_and_in_phase(
    after: float, silent: float, *, back: bool
) -> None:
    rig = rig_with()
    master = Master(rig, 123.0)
    master.say(START)
    master.clock(200)
    master.finish()
    rig.run(silent)
    other = replaced(rig, after, EngineParameters(tempo=Bpm(100.0)))
    assert other.state.transport is TransportState.ROLLING
    periods = round((other.now - BEGIN) / master.period + 0.5)
    if back:
        for pulse in range(periods, periods + 24 * 8):
            other.hear(CLOCK, BEGIN + pulse * master.period)
    began = other.now
    other.run(4.0)
    beat = 60.0 / 123.0
    strokes = times(other)
    assert strokes[0] - began <= beat + 0.001
    off = [at - BEGIN - round((at - BEGIN) / beat) * beat for at in strokes]
    assert off == pytest.approx([0.0] * len(off), abs=0.001)
    place = (began - BEGIN) / beat
    assert other.told(BarEntered)[0].number == int(place // 4)
    other.obey(Stop())
    other.run(0.5)
    assert other.output.hanging() == []


def test_a_replaced_engine_that_coasts_still_obeys_drop_out_stop() -> None:
    rig = rig_with()
    parameters = EngineParameters(drop_out=DropOut.STOP)
    rig.obey(parameters)
    master = Master(rig)
    master.say(START)
    master.clock(100)
    master.finish()
    rig.run(0.2)
    other = replaced(rig, 0.1, parameters)
    other.run(2.0)
    assert other.state.transport is TransportState.STOPPED
    assert other.output.hanging() == []


def test_a_replaced_engine_tells_that_it_coasts_until_it_hears_the_clock() -> None:
    rig = rig_with()
    master = Master(rig)
    master.say(START)
    master.clock(100)
    master.finish()
    other = replaced(rig, 0.3, EngineParameters())
    assert other.told(EngineState)[-1].lock == "coasting"
    again = Master(other)
    again.next_at = BEGIN + 120 * again.period
    again.clock(48)
    again.finish()
    assert other.state.lock == "locked"


def test_our_own_clock_is_rejoined_in_phase_too() -> None:
    rig = rig_with(ClockSource.INTERNAL, 120.0)
    rig.obey(Start())
    rig.run(3.3)
    begun = rig.state.timeline.time_of(0)
    other = replaced(rig, 0.2, EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(120.0)))
    other.run(3.0)
    off = [at - begun - round((at - begun) / 0.5) * 0.5 for at in times(other)]
    assert off == pytest.approx([0.0] * len(off), abs=1e-6)
    assert len(off) >= 5


# A song position in between, as a check that nothing of the above forgets the place.


def test_continue_after_a_wait_starts_at_the_stored_place() -> None:
    rig = rig_with()
    rig.hear(song_position(32), BEGIN + 0.1)
    rig.at(BEGIN + 0.2, partial(rig.obey, Continue()))
    rig.run(3.0)
    assert rig.told(BarEntered)[0].number == 2
    assert Seconds(rig.state.timeline.time_of(Tick(2 * 7680))) < rig.now


# After a stall of ours, what was missed is not made up for.


@pytest.mark.parametrize("stall", [0.1, 0.3, 0.9])
def test_after_a_stall_what_is_overdue_is_dropped_and_counted(stall: float) -> None:
    rig = rig_with(ClockSource.INTERNAL, 174.0)
    voices = (Voice.KICK, Voice.SNARE, Voice.CLOSED_HAT)
    sixteenths = tuple(Hit(Tick(t), voice, 100) for t in range(0, 7680, 480) for voice in voices)
    rig.plan(song(Bar(Meter(), sixteenths), 40))
    rig.obey(Start())
    rig.run(2.0)
    rig.now += stall  # nobody calls the engine meanwhile
    back = rig.now
    rig.run(2.0)
    at_once = [at for at in times(rig, since=back) if at < back + 0.01]
    assert len(at_once) <= 2 * len(voices)  # one that is barely late, and one that is due
    assert rig.dropped_notes >= len(voices) * int((stall - 0.06) / 0.0862)
    assert len(times(rig, since=back + 0.02)) >= len(voices) * 20


@pytest.mark.parametrize("bpm", [60.0, 90.0, 97.0])
def test_two_masters_of_two_tempi_on_one_port_are_told(bpm: float) -> None:
    """Nobody can part them from the first pulse on; the tempo that is read is neither."""
    rig = rig_with()
    for tempo, begin in ((120.0, 0.0), (bpm, 0.008)):
        for pulse in range(8 * 24):
            rig.hear(CLOCK, BEGIN + begin + pulse * 60 / tempo / 24)
    rig.run(4.0)
    assert "too uneven" in said(rig)
    assert said(rig).count("too uneven") == 1


@pytest.mark.parametrize("sigma", [0.0002, 0.001, 0.003])
def test_a_clock_with_as_much_jitter_as_can_be_followed_is_not_complained_of(sigma: float) -> None:
    rng = random.Random(f"{sigma}")
    rig = rig_with()
    for at in sorted(pulse * 0.5 / 24 + rng.gauss(0.01, sigma) for pulse in range(16 * 24)):
        rig.hear(CLOCK, BEGIN + at)
    rig.run(8.0)
    assert "uneven" not in said(rig)


def test_a_slow_clock_and_one_that_comes_twice_are_told() -> None:
    rig = rig_with()
    Master(rig, 15.0).clock(40)
    rig.run(7.0)
    assert "slower than 20 BPM" in said(rig)
    rig = rig_with()
    for pulse in range(96):
        rig.hear(CLOCK, BEGIN + pulse * 0.5 / 24)
        rig.hear(CLOCK, BEGIN + pulse * 0.5 / 24 + 0.005)
    rig.run(2.5)
    assert "two MIDI clocks" in said(rig)
