"""After Start or Continue the next pulse is the position, at its own moment, whatever came before.

And one moment has one stroke, and what is so already is nothing new.
"""

import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.engine.messages import (
    BarEntered,
    ClockSource,
    EngineParameters,
    Locate,
    ReOne,
    Start,
)
from rig import (
    BEGIN,
    CLOCK,
    CONTINUE,
    START,
    STOP,
    Master,
    Rig,
    gaussian,
    note_of,
    quarter_bar,
    song,
    song_position,
)

pytestmark = pytest.mark.slow

JACK_PERIOD = 0.0027
"""Seconds: what JACK takes to bring a message at 128 frames, and what it keeps of ours."""
TWICE = 0.06
"""Seconds within which two strokes of a voice are one struck twice."""


def jack(meter: Meter | None = None) -> Rig:
    """Return a rig with the delays of JACK, and a song with a kick on the one, then snares."""
    rig = Rig(horizon=JACK_PERIOD, delay=JACK_PERIOD)
    meter = meter or Meter(3, 4)
    hits = tuple(
        Hit(Tick(tick), Voice.SNARE if tick else Voice.KICK, 100)
        for tick in range(0, meter.ticks, 1920)
    )
    rig.plan(song(Bar(meter, hits), 200))
    return rig


def times(rig: Rig, voice: Voice | None = None, since: float = 0.0) -> list[float]:
    note = None if voice is None else note_of(voice)
    notes = rig.output.notes(since=since)
    return [sent.at for sent in notes if note is None or sent.data[1] == note]


def doubled(strokes: list[float]) -> list[float]:
    return [round(b - a, 4) for a, b in pairwise(strokes) if b - a < TWICE]


def off_beat(strokes: list[float], first: float, beat: float) -> list[float]:
    """Return by how many seconds each stroke is off the nearest beat."""
    return [at - first - round((at - first) / beat) * beat for at in strokes]


def started(
    *,
    idle: int,
    before: float,
    gap: float,
    tempo: float,
    how: tuple[bytes, ...] = (START,),
    jitter: Callable[[int], Callable[[], float]] = lambda _: lambda: 0.0,
    beats: int = 8,
) -> tuple[Rig, float]:
    """Let a master idle at tempo ``before``, then start ``gap`` seconds after its last pulse.

    Return the rig, and when the first pulse should have come.
    """
    rig = Rig()
    rig.plan(song(quarter_bar(), 200))
    master = Master(rig, before, jitter(1))
    master.next_at += 0.1
    master.clock(idle)
    last = master.pulses[-1] if idle else master.next_at
    first = last + gap
    for message in how:
        rig.hear(message, first - min(0.002, gap / 2))
    master.bpm, master.next_at, master.jitter = tempo, first, jitter(2)
    master.clock(24 * beats - 12)
    master.finish()
    return rig, first


# The next pulse is the position.


@pytest.mark.parametrize("periods", [1.0, 0.15, 0.6, 1.3, 1.7, 2.5, 7.3, 15.5])
def test_a_clock_set_anew_by_start_has_its_one_on_the_first_pulse(periods: float) -> None:
    rig, first = started(idle=96, before=120, gap=periods * 0.5 / 24, tempo=120)
    assert off_beat(times(rig), first, 0.5) == pytest.approx([0.0] * 8, abs=1e-4)
    assert times(rig)[0] == pytest.approx(first)


@pytest.mark.parametrize(
    ("bpm", "pause"), [(120, 0.2), (120, 0.75), (120, 0.9), (174, 0.2), (174, 0.62), (120, 1.5)]
)
def test_a_clock_that_only_comes_while_playing_has_its_one_on_the_first_pulse(
    bpm: float, pause: float
) -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 200))
    master = Master(rig, bpm)
    master.say(START)
    master.clock(24 * 8)
    end = master.next_at - 0.5 * master.period
    rig.hear(STOP, end)
    master.next_at = first = end + pause
    master.say(START, before=0.001)
    master.clock(24 * 8 - 12)
    master.finish()
    beat = 60.0 / bpm
    strokes = times(rig, since=first - 0.01)
    assert strokes[0] == pytest.approx(first)
    assert off_beat(strokes, first, beat) == pytest.approx([0.0] * 8, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    idle=st.integers(0, 200),
    before=st.floats(40, 300),
    gap=st.floats(0.0001, 3.0),
    tempo=st.floats(40, 300),
    how=st.sampled_from([(START,), (CONTINUE,), (song_position(16), CONTINUE), (STOP, START)]),
)
def test_whatever_the_idle_clock_was_the_next_pulse_is_the_position(
    idle: int, before: float, gap: float, tempo: float, how: tuple[bytes, ...]
) -> None:
    rig, first = started(idle=idle, before=before, gap=gap, tempo=tempo, how=how)
    strokes = times(rig)
    assert len(strokes) == 8
    assert strokes[0] == pytest.approx(first)
    # from one pulse of another tempo on, the next beat is known
    assert off_beat(strokes, first, 60.0 / tempo) == pytest.approx([0.0] * 8, abs=5e-4)
    assert rig.told(BarEntered)[0].number == (1 if song_position(16) in how else 0)


def _jitter(sigma: float, seed: int, part: int) -> Callable[[], float]:
    return gaussian(sigma, 10 * seed + part)


@pytest.mark.parametrize("sigma", [0.0002, 0.001, 0.003])
@pytest.mark.parametrize(("before", "tempo"), [(120, 120), (120, 121), (90, 140)])
def test_with_jitter_the_first_beats_are_as_true_as_a_cold_starts(
    before: float, tempo: float, sigma: float
) -> None:
    squares = {}
    for idle in (96, 0):
        errors: list[float] = []
        for seed in range(8):
            rig, first = started(
                idle=idle,
                before=before,
                gap=0.05 + 0.013 * seed,
                tempo=tempo,
                jitter=partial(_jitter, sigma, seed),
                beats=3,
            )
            errors += off_beat(times(rig), first, 60.0 / tempo)[1:]
        squares[idle] = sum(error**2 for error in errors)
    assert squares[96] < 1.3 * squares[0]


def test_after_a_locate_the_old_phase_is_left_at_once() -> None:
    rig = jack(Meter(4, 4))
    master = Master(rig)
    master.say(START)
    master.clock(96)
    master.say(STOP, before=0.004)
    master.say(song_position(32), before=0.003)
    master.say(CONTINUE, before=0.002)
    master.next_at += 0.005  # a quarter of a pulse: the clock is set anew
    first = master.next_at
    master.clock(96 - 12)
    master.finish()
    strokes = times(rig, since=first - 0.010)  # the one may just have left
    assert off_beat(strokes, first, 0.5)[1:] == pytest.approx([0.0] * 3, abs=1e-4)


def test_the_lock_is_told_to_be_new_after_a_start() -> None:
    rig, first = started(idle=96, before=120, gap=0.3, tempo=120, beats=1)
    told = {state.lock for state in rig.reports if hasattr(state, "lock")}
    assert "locking" in told
    assert rig.state.lock == "locked"
    assert first < rig.now


def test_who_starts_is_followed_where_the_other_has_fallen_silent() -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 20))
    one, other = Master(rig, 120, source="one"), Master(rig, 100, source="other")
    one.clock(96)
    other.next_at = first = one.next_at + 0.2
    other.say(START)
    other.clock(96)
    other.finish()
    assert times(rig)[:3] == pytest.approx([first, first + 0.6, first + 1.2], abs=1e-4)


# One moment, one stroke.

WRAPS = {
    "FA": (START,),
    "F2 FB": (song_position(0), CONTINUE),
    "FC F2 FB": (STOP, song_position(0), CONTINUE),
    "F2": (song_position(0),),
}


@pytest.mark.parametrize("how", WRAPS)
@pytest.mark.parametrize("sigma", [0.0, 0.002])
def test_the_one_of_a_loop_is_struck_once(how: str, sigma: float) -> None:
    rig = jack()
    rng = random.Random(3)
    start = BEGIN + 0.2
    rig.hear(START, start - 0.01)
    for pulse in range(72 * 6):
        at = start + pulse * 0.5 / 24 + abs(rng.gauss(0.0, sigma))
        if pulse and pulse % 72 == 0:
            for message in WRAPS[how]:
                rig.hear(message, at)
        rig.hear(CLOCK, at)
    rig.run(0.2 + (72 * 6 - 2) * 0.5 / 24)
    assert doubled(times(rig, Voice.KICK)) == []
    assert len(times(rig, Voice.KICK)) == 6
    assert rig.output.hanging() == []


@pytest.mark.parametrize("horizon", [0.0, JACK_PERIOD])
@pytest.mark.parametrize("after", [-0.002, 0.0, 0.001, 0.004, 0.02])
@pytest.mark.parametrize("command", [Locate(Tick(5760)), ReOne(), Start()])
def test_being_told_to_go_where_we_are_strikes_nothing_twice(
    command: Locate | ReOne | Start, after: float, horizon: float
) -> None:
    rig = Rig(horizon=horizon)
    rig.obey(EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(120.0)))
    kicks = Bar(Meter(3, 4), tuple(Hit(Tick(t), Voice.KICK, 100) for t in (0, 1920, 3840)))
    rig.plan(song(kicks, 20))
    rig.obey(Start())
    begun = rig.state.timeline.time_of(0)
    at = begun + (0.0 if isinstance(command, Start) else 1.5) + after
    if isinstance(command, ReOne):
        at += 0.5  # the second beat becomes the one
    rig.at(at, partial(rig.obey, command))
    rig.run(4.0)
    assert doubled(times(rig)) == []
    assert off_beat(times(rig), begun, 0.5) == pytest.approx([0.0] * len(times(rig)), abs=1e-6)
    assert len(times(rig)) == 8


# What is so already is nothing new.


@pytest.mark.parametrize("order", ["10 ms before", "just before", "just after"])
@pytest.mark.parametrize("every", [72, 6])
def test_a_song_position_that_is_true_changes_nothing(order: str, every: int) -> None:
    rig = jack()
    start = BEGIN + 0.2
    rig.hear(START, start - 0.01)
    for pulse in range(24 * 3 * 5):
        at = start + pulse * 0.5 / 24
        true = song_position(pulse // 6)
        said = pulse and pulse % every == 0
        if said and order == "10 ms before":
            rig.hear(true, at - 0.010)
        elif said and order == "just before":
            rig.hear(true, at)
        rig.hear(CLOCK, at)
        if said and order == "just after":
            rig.hear(true, at)
    rig.run(0.2 + (24 * 3 * 5 - 2) * 0.5 / 24)
    strokes = times(rig)
    assert doubled(strokes) == []
    assert off_beat(strokes, start, 0.5)[1:] == pytest.approx([0.0] * 14, abs=1e-4)


@pytest.mark.parametrize("message", [START, CONTINUE, song_position(0)])
@pytest.mark.parametrize("late", [-0.003, 0.0, 0.005])
def test_a_start_that_is_said_twice_is_one(message: bytes, late: float) -> None:
    rig = jack()
    first = BEGIN + 0.2
    rig.hear(START, first - 0.005)
    rig.hear(message, first + late)
    for pulse in range(72):
        rig.hear(CLOCK, first + pulse * 0.5 / 24)
    rig.run(1.7)
    strokes = times(rig)
    assert doubled(strokes) == []
    assert strokes[1:] == pytest.approx([first + 0.5, first + 1.0], abs=1e-4)


@pytest.mark.parametrize("pulses", [1, 2, 30])
@pytest.mark.parametrize("periods", [1.0, 3.3, 12.4, 100.7])
def test_a_start_after_a_clock_that_broke_off_is_a_start(pulses: int, periods: float) -> None:
    rig = jack()
    master = Master(rig)
    master.say(START)
    master.clock(pulses)
    master.next_at += (periods - 1.0) * master.period
    first = master.next_at
    master.say(START)
    master.clock(4 * 24 - 12)
    master.finish()
    strokes = times(rig, since=first + 0.1)[-3:]
    assert strokes == pytest.approx([first + beat * 0.5 for beat in (1, 2, 3)], abs=1e-4)


@pytest.mark.parametrize("pulses_off", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("phase", [0.0, 0.4])
def test_a_position_after_a_drop_out_is_where_the_next_pulse_is(
    pulses_off: int, phase: float
) -> None:
    rig = jack()
    master = Master(rig)
    master.say(START)
    master.clock(72)
    # we have run on, and are within half a sixteenth of the place that is told
    master.next_at += (48 + pulses_off + phase) * master.period
    first = master.next_at
    master.say(song_position(20))
    master.say(CONTINUE, before=0.001)
    master.clock(4 * 24 - 12)
    master.finish()
    strokes = times(rig, since=first + 0.1)
    assert strokes == pytest.approx([first + beat * 0.5 for beat in (1, 2, 3)], abs=1e-4)


@pytest.mark.parametrize("before", [45, 120, 290])
@pytest.mark.parametrize("tempo", [45, 120, 290])
@pytest.mark.parametrize("stops_at", [3, 4, 5])
def test_what_lies_beyond_the_first_pulse_waits_for_the_second_to_tell_the_tempo(
    before: int, tempo: int, stops_at: int
) -> None:
    rig = Rig()
    hits = tuple(Hit(Tick(480 * n), Voice.CLOSED_HAT, 100) for n in range(16))
    rig.plan(song(Bar(Meter(4, 4), hits), 20))
    master = Master(rig, before)
    master.say(START)
    master.clock(48 + stops_at)
    master.say(STOP, before=master.period / 2)
    master.next_at += 0.3
    master.bpm, first = tempo, master.next_at
    master.say(CONTINUE)
    master.clock(48)
    master.finish()
    sixteenth = first + (6 - stops_at) * master.period
    strokes = times(rig, since=first - 0.001)[:4]
    due = [sixteenth + n * 6 * master.period for n in range(4)]
    assert strokes == pytest.approx(due, abs=0.005)


def test_what_waits_for_a_second_pulse_does_not_wait_for_ever() -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 20))
    rig.hear(START, BEGIN + 0.1)
    rig.hear(CLOCK, BEGIN + 0.11)
    rig.run(2.3)
    assert len(times(rig)) == 5
