"""Laws of following that hold whatever the master does: the one, one stroke, idempotence, bunches.

Every example is a whole engine on virtual time.  Examples are the same in each run.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_PULSE, Tick
from drumigen_daemon.engine.messages import (
    ClockSource,
    Command,
    EngineParameters,
    Locate,
    ReOne,
    Start,
    TransportState,
)
from drumigen_daemon.process.log_line import LogLine
from rig import (
    BEGIN,
    CLOCK,
    CONTINUE,
    START,
    STOP,
    Rig,
    note_of,
    quarter_bar,
    song,
    song_position,
)

pytestmark = pytest.mark.slow

PULSES = 24  # to a beat
SIXTEENTH = 6  # pulses
THREE_FOUR = Meter(3, 4)
TWICE = 0.040
"""Seconds within which a second stroke of a voice is the first one doubled; no beat is so short."""

Message = tuple[float, bytes]
Jitter = Callable[[random.Random, Sequence[float]], list[float]]


def laws(examples: int) -> settings:
    """The same examples each time, no clock to beat, and none made smaller: that takes minutes."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )


JITTER_MAX = 0.2
"""Share of a pulse beyond which jitter looks like lost and doubled pulses (README, "Limits")."""


def period_of(bpm: float) -> float:
    return 60.0 / bpm / PULSES


def grid(begin: float, bpm: float, pulses: int) -> list[float]:
    return [begin + n * period_of(bpm) for n in range(pulses)]


# Six kinds of jitter: those of benchmarks/clock_following.py.


def gauss(sigma: float) -> Jitter:
    return lambda rng, times: [at + rng.gauss(0.0, sigma) for at in times]


def uniform(rng: random.Random, times: Sequence[float]) -> list[float]:
    return [at + rng.uniform(-0.002, 0.002) for at in times]


def usb_frames(rng: random.Random, times: Sequence[float]) -> list[float]:
    offset = rng.uniform(0.0, 0.001)
    return [at + (offset - at) % 0.001 - 0.0005 for at in times]


def late(rng: random.Random, times: Sequence[float]) -> list[float]:
    return [
        at + rng.gauss(0.0, 0.0002) + (rng.random() < 0.05) * rng.uniform(0.005, 0.015)
        for at in times
    ]


@dataclass(frozen=True)
class Kind:
    """A kind of jitter."""

    jitter: Jitter
    scale: float
    """Seconds: its standard deviation, but for outliers."""
    settled: float
    """Seconds: what the follower keeps to once it knows the clock."""


KINDS = {
    "sigma 0.2": Kind(gauss(0.0002), 0.0002, 0.0003),
    "sigma 1": Kind(gauss(0.001), 0.001, 0.0015),
    "sigma 3": Kind(gauss(0.003), 0.003, 0.0045),
    "uniform 2": Kind(uniform, 0.00115, 0.0015),
    "USB frames": Kind(usb_frames, 0.0003, 0.0004),
    "5 % late": Kind(late, 0.0002, 0.0004),
}
kinds = st.sampled_from(sorted(KINDS))
tempi = st.one_of(st.sampled_from([40.0, 90.0, 120.0, 174.0, 300.0]), st.floats(40.0, 300.0))
seeds = st.integers(0, 2**32)


def stamped(kind: str, rng: random.Random, times: Sequence[float]) -> list[float]:
    """Return when pulses come: a queue does not reorder."""
    stamps = sorted(KINDS[kind].jitter(rng, times))
    for n, (before, after) in enumerate(pairwise(stamps)):
        stamps[n + 1] = max(after, before + 0.0004)
    return stamps


# Starts.

SIXTEENTHS = Bar(Meter(), tuple(Hit(Tick(480 * n), Voice.CLOSED_HAT, 100) for n in range(16)))


def follow(messages: Iterable[Message], bar: Bar, seconds: float, *, way: float = 0.0) -> Rig:
    """Let an engine hear messages; times count from BEGIN."""
    rig = Rig(delay=way)
    rig.output.horizon = way
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(bar, 60))
    for at, data in messages:
        rig.hear(data, BEGIN + at)
    rig.run(seconds)
    return rig


def struck(rig: Rig, since: float = 0.0, voice: Voice | None = None) -> list[float]:
    return [
        sent.at - BEGIN
        for sent in rig.output.notes(since=BEGIN + since)
        if voice is None or sent.data[1] == note_of(voice)
    ]


@dataclass(frozen=True)
class Begun:
    """A song that a master begins, after whatever came before."""

    before: list[Message]
    """Up to the Stop, and what the clock does while the song stands."""
    now: list[Message]
    """From Start or Continue on."""
    place: int
    """Pulses: where the song begins."""
    truth: list[float]
    """When each pulse of it is meant."""


@st.composite
def beginnings(draw: st.DrawFn, kind: str) -> Begun:
    """Draw any idle history, any gap from 0 to 3 s, and Start, Continue or song position."""
    rng = random.Random(draw(seeds))
    history = draw(st.sampled_from(["none", "idle clock", "played", "played, clock goes on"]))
    told_apart = tempi.filter(lambda bpm: KINDS[kind].scale < JITTER_MAX * period_of(bpm))
    bpm = draw(told_apart)
    idle_bpm = bpm if draw(st.booleans()) else draw(tempi)
    how = draw(st.sampled_from(["start", "continue", "position"]))
    gap = draw(
        st.one_of(st.floats(0.0, 3.0), st.floats(0.1, 20.0).map(lambda n: n * period_of(idle_bpm)))
    )
    before: list[Message] = []
    place, last = 0, 0.1
    if history != "none":
        count = draw(st.integers(2, 120))
        pulses = stamped(kind, rng, grid(0.1, idle_bpm, count))
        if history.startswith("played"):
            before += [(pulses[0] - 0.01, START)]
            place = count
            half = period_of(idle_bpm) / 2
            before += [(at, CLOCK) for at in pulses] + [(pulses[-1] + half, STOP)]
            last = pulses[-1] + half
            if history != "played":
                on = grid(0.1 + count * period_of(idle_bpm), idle_bpm, draw(st.integers(1, 60)))
                on = [max(at, last + 0.001) for at in stamped(kind, rng, on)]
                before += [(at, CLOCK) for at in on]
                last = on[-1]
        else:
            before += [(at, CLOCK) for at in pulses]
            last = pulses[-1]
    truth = grid(last + gap + 0.02, bpm, 8 * PULSES)
    stamps = stamped(kind, rng, truth)
    early = min(0.001, (stamps[0] - last) / 2)
    said: list[bytes] = [CONTINUE]
    if how == "start":
        said, place = [START], 0
    elif how == "position":
        place = draw(st.integers(1, 100)) * SIXTEENTH
        said = [song_position(place // SIXTEENTH), CONTINUE]
    now = [(stamps[0] - early, data) for data in said]
    now += [(at, CLOCK) for at in stamps]
    return Begun(before, now, place, truth)


def errors(rig: Rig, begun: Begun) -> list[tuple[int, float]]:
    """Return by how many seconds each stroke is off, with its pulse from the beginning."""
    first = -(-begun.place // SIXTEENTH) * SIXTEENTH - begun.place
    wanted = range(first, len(begun.truth) - 2, SIXTEENTH)
    heard = struck(rig, begun.now[0][0])
    assert len(heard) >= len(wanted) - 1, "strokes are missing"
    near = [
        (pulse, min((at - begun.truth[pulse] for at in heard), key=abs)) for pulse in wanted[:-1]
    ]
    inside = [at for at in heard if at < begun.truth[wanted[-1]] - 0.02]
    assert len(inside) == len(near), "strokes are missing, or struck twice"
    return near


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data(), way=st.sampled_from([0.0, 128 / 48_000]))
@laws(12)
def test_the_first_pulse_after_a_start_is_the_one_whatever_came_before(
    kind: str, data: st.DataObject, way: float
) -> None:
    begun = data.draw(beginnings(kind))
    seconds = begun.truth[-1]
    found = errors(follow([*begun.before, *begun.now], SIXTEENTHS, seconds, way=way), begun)
    stored = [(0.01, song_position(begun.place // SIXTEENTH))]
    # a cold start can not be told a place within a sixteenth: for it the song begins at the last
    within = begun.place % SIXTEENTH
    cold = Begun([], begun.now, 0, begun.truth) if within else begun
    start = [(at, START if d == CONTINUE else d) for at, d in begun.now if d[0] != 0xF2]
    told = start if within else [*stored, *begun.now]
    best = errors(follow(told, SIXTEENTHS, seconds, way=way), cold)
    slack = 2.0 * KINDS[kind].scale + 0.0002
    for low, high in ((0, PULSES), (PULSES, 8 * PULSES)):
        worst = max(abs(off) for pulse, off in found if low <= pulse < high)
        allowed = max(abs(off) for pulse, off in best if low <= pulse < high)
        assert worst <= allowed + slack
    settled = [abs(off) for pulse, off in found if pulse >= 6 * PULSES]
    assert max(settled) <= 2.0 * KINDS[kind].settled


# One moment, one stroke.

LOOPS: dict[str, list[bytes]] = {
    "FA": [START],
    "F2 FB": [song_position(0), CONTINUE],
    "FC F2 FB": [STOP, song_position(0), CONTINUE],
    "FC FA": [STOP, START],
    "F2": [song_position(0)],
    "F2 FA": [song_position(0), START],
}


def assert_struck_once(times: Sequence[float], due: Sequence[float], within: float) -> None:
    """Every moment has one stroke, and there are no others."""
    twice = [(a, b) for a, b in pairwise(times) if b - a < TWICE]
    assert not twice
    found = [min(times, key=lambda at: abs(at - moment)) - moment for moment in due]
    assert max(map(abs, found)) <= within
    assert len(times) == len(due)


@pytest.mark.parametrize("how", sorted(LOOPS))
@given(
    bpm=tempi,
    beats=st.integers(3, 7),
    way=st.sampled_from([0.0, 0.0007, 0.0027, 0.005]),
    early=st.sampled_from([0.0, 0.0003, 0.002]),
    sigma=st.sampled_from([0.0, 0.0002, 0.0005]),
    seed=seeds,
)
@laws(12)
def test_at_a_loops_wrap_the_downbeat_is_struck_once(  # noqa: PLR0917 - what is drawn
    how: str, bpm: float, beats: int, way: float, early: float, sigma: float, seed: int
) -> None:
    rng = random.Random(seed)
    length = beats * PULSES
    truth = grid(0.1, bpm, 3 * length + PULSES - 3)
    stamps = sorted(at + rng.gauss(0.0, sigma) for at in truth)
    messages: list[Message] = [(stamps[0] - 0.01, START)]
    for number, at in enumerate(stamps):
        if number and number % length == 0:
            messages += [(at - early, data) for data in LOOPS[how]]
        messages.append((at, CLOCK))
    rig = follow(messages, quarter_bar(Voice.KICK, THREE_FOUR), truth[-1], way=way)
    assert_struck_once(struck(rig), truth[::PULSES], 0.001 + way + early + 4 * sigma)


@given(
    bpm=tempi,
    beat=st.integers(4, 15),
    off=st.floats(-0.011, 0.011),
    what=st.sampled_from(["re-one", "locate here", "re-plan"]),
    horizon=st.sampled_from([0.0, 0.0027, 0.005]),
)
@laws(30)
def test_a_move_to_where_the_song_is_strikes_nothing_twice(
    bpm: float, beat: int, off: float, what: str, horizon: float
) -> None:
    rig = Rig()
    rig.output.horizon = horizon
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    bar = quarter_bar()
    rig.plan(song(bar, 12))
    truth = grid(0.1, bpm, 20 * PULSES - 3)
    rig.hear(START, BEGIN + 0.09)
    for at in truth:
        rig.hear(CLOCK, BEGIN + at)
    rig.run(truth[beat * PULSES] + off)
    command: Command
    if what == "re-one":
        rig.obey(ReOne())
    elif what == "locate here":
        command = Locate(Tick(beat * PULSES * TICKS_PER_PULSE))
        rig.obey(command)
    else:
        rig.plan(song(bar, 12), from_tick=beat * PULSES * TICKS_PER_PULSE)
    rig.run(BEGIN + truth[-1] - rig.now)
    assert_struck_once(struck(rig), truth[::PULSES], 0.013 if what == "locate here" else 0.001)


@given(
    bpm=tempi,
    beat=st.integers(2, 6),
    early=st.floats(0.0, 0.012),
    horizon=st.sampled_from([0.0, 0.0027, 0.005, 0.0107]),
    then=st.sampled_from([b"", CONTINUE, START, song_position(16)]),
)
@laws(40)
def test_a_stop_just_before_a_stroke_leaves_nothing_ringing(
    bpm: float, beat: int, early: float, horizon: float, then: bytes
) -> None:
    rig = Rig()
    rig.output.horizon = horizon
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(quarter_bar(), 12))
    truth = grid(0.1, bpm, beat * PULSES)
    rig.hear(START, BEGIN + 0.09)
    for at in truth:
        rig.hear(CLOCK, BEGIN + at)
    stopped = truth[-1] + period_of(bpm) - early
    rig.run(stopped)
    rig.hear(STOP)
    if then:
        rig.hear(then)
    rig.run(0.2)  # longer than any gate
    assert rig.output.hanging() == []
    assert len([at for at in struck(rig) if at > stopped - 0.001]) <= 1


# Idempotence.


@st.composite
def true_words(draw: st.DrawFn, pulses: int, period: float) -> list[tuple[int, float, bytes]]:
    """Draw messages that say what is true already: before which pulse, and by how many seconds."""
    words = []
    for _ in range(draw(st.integers(1, 12))):
        number = draw(st.integers(2, pulses - 3))
        kind = draw(st.sampled_from(["position", "position", "continue"]))
        if kind == "position":
            # the sixteenth that is nearest to the pulse before and to the one after
            sixteenth, rest = divmod(number, SIXTEENTH)
            if rest in {3, 4}:
                number += 5 - rest
                rest = 5
            data = song_position(sixteenth + rest // 5)
        else:
            data = CONTINUE
        before = draw(st.sampled_from([0.0, 0.0003, 0.5 * period, period - 0.0003]))
        words.append((number, before, data))
    return words


@given(data=st.data(), bpm=tempi, way=st.sampled_from([0.0, 0.0027]))
@laws(30)
def test_a_message_that_says_what_is_true_already_changes_nothing(
    data: st.DataObject, bpm: float, way: float
) -> None:
    truth = grid(0.1, bpm, 8 * PULSES - 3)
    words = data.draw(true_words(len(truth), period_of(bpm)))
    plain: list[Message] = [(0.095, START), *((at, CLOCK) for at in truth)]
    more = [(truth[number] - before, word) for number, before, word in words]
    # what is said on the moment of a pulse comes before it
    messages = sorted([*plain, *more], key=lambda message: (message[0], message[1] == CLOCK))
    heard = struck(follow(messages, quarter_bar(), truth[-1], way=way))
    without = struck(follow(plain, quarter_bar(), truth[-1], way=way))
    assert heard == pytest.approx(without, abs=1e-4)


@pytest.mark.parametrize("doubled", [START, CONTINUE, STOP, song_position(32)])
@pytest.mark.parametrize("apart", [0.0, 0.0005, 0.009])
def test_a_message_said_twice_is_said_once(doubled: bytes, apart: float) -> None:
    truth = grid(0.1, 120.0, 4 * PULSES)
    messages: list[Message] = [(0.05, START), *((at, CLOCK) for at in truth)]
    back = truth[-1] + 0.5
    if doubled != START:
        messages += [(truth[-1] + 0.01, STOP)]
        messages += [(back - 0.04, song_position(32)), (back - 0.02, CONTINUE)]
        messages += [(at, CLOCK) for at in grid(back, 120.0, 3 * PULSES)]
    once = [message for message in messages if message[1] == doubled]
    twice = sorted([*messages, *((at + apart, data) for at, data in once)], key=lambda m: m[0])
    end = messages[-1][0]
    heard = struck(follow(twice, quarter_bar(), end))
    assert heard == pytest.approx(struck(follow(messages, quarter_bar(), end)), abs=1e-6)


# Bunches.


@given(bpm=tempi, seed=seeds, share=st.sampled_from([0.04, 0.1]), warm=st.booleans())
@laws(40)
def test_pulses_that_come_in_bunches_near_the_start_leave_the_song_on_its_grid(
    bpm: float, seed: int, share: float, *, warm: bool
) -> None:
    rng = random.Random(seed)
    before: list[Message] = []
    begin = 0.1
    if warm:
        idle = grid(0.1, bpm, 48)
        before = [(at, CLOCK) for at in idle]
        begin = idle[-1] + rng.uniform(1.0, 9.0) * period_of(bpm)
    truth = grid(begin, bpm, 8 * PULSES)
    stamps = [at + rng.gauss(0.0, 0.0002) for at in truth]
    for number in range(1, PULSES):
        stamps[number] += (rng.random() < share) * rng.uniform(0.005, 0.015)
    for number in range(1, len(stamps)):  # what is held up holds up what comes behind it
        stamps[number] = max(stamps[number], stamps[number - 1] + rng.uniform(0.0001, 0.001))
    messages = [*before, (stamps[0] - 0.001, START), *((at, CLOCK) for at in stamps)]
    rig = follow(messages, quarter_bar(), truth[-1])
    heard = struck(rig, stamps[0] - 0.0005)
    assert len(heard) == 8
    for at, moment in list(zip(heard, truth[::PULSES], strict=True))[5:]:
        assert abs(at - moment) < 0.0015


# No waiting for ever.


@given(bpm=tempi, beats=st.integers(1, 8), silence=st.floats(0.0, 4.0))
@laws(15)
def test_a_start_after_a_clock_has_ended_rolls_soon(bpm: float, beats: int, silence: float) -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 20))
    pulses = grid(0.1, bpm, beats * PULSES)
    for at in pulses:
        rig.hear(CLOCK, BEGIN + at)
    rig.run(pulses[-1] + silence)
    rig.obey(Start())
    rig.run(3.0)
    assert rig.rolling
    assert struck(rig)


@given(bpm=tempi, heard=st.integers(0, 48), patience=st.floats(0.5, 30.0))
@laws(15)
def test_a_masters_start_without_a_clock_is_told_and_leaves_ways_out(
    bpm: float, heard: int, patience: float
) -> None:
    rig = Rig()
    rig.plan(song(quarter_bar(), 20))
    pulses = grid(0.1, bpm, heard)
    for at in pulses:
        rig.hear(CLOCK, BEGIN + at)
    rig.run((pulses[-1] if pulses else 0.1) + 0.5)
    rig.hear(START)
    rig.run(5.0)
    assert any(line.level == "warning" for line in rig.told(LogLine))
    rig.run(patience)
    rig.obey(Start())
    rig.run(3.0)
    assert rig.rolling
    assert struck(rig)


@pytest.mark.parametrize("patience", [0.1, 1.0, 10.0])
def test_our_own_clock_chosen_while_armed_rolls(patience: float) -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    rig.plan(song(quarter_bar(), 20))
    rig.obey(Start())
    rig.run(patience)
    assert rig.state.transport is TransportState.ARMED
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.run(1.5)
    assert rig.rolling
    assert struck(rig)
