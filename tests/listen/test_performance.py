"""What is heard: the song on a synthesizer whose clock is not ours."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, Timeline
from drumigen.units import Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import PlannedBar
from drumigen_daemon.listen.messages import ListenPlan, ListenState
from drumigen_daemon.listen.performance import SoundingSong

TURN = 0.02
DELAY = Seconds(0.1)
PERIOD_MS = 43
BORN = 500.0


class Instrument:
    """Renders a period at a time, and knows what it was told to strike when."""

    def __init__(self) -> None:
        self.now = BORN
        self.lost = 0.0
        self.waiting: list[tuple[int, int]] = []
        self.struck: list[tuple[float, int]] = []

    @property
    def millisecond(self) -> int:
        rendered = 1000 * (self.now - BORN - self.lost)
        millisecond = PERIOD_MS * math.floor(rendered / PERIOD_MS)
        due = sorted(each for each in self.waiting if each[0] < millisecond)
        self.waiting = [each for each in self.waiting if each[0] >= millisecond]
        self.struck += [(BORN + self.lost + at / 1000, note) for at, note in due]
        return millisecond

    def note_on_at(self, millisecond: int, note: int, _velocity: int) -> None:
        # what is over is struck with what is rendered next
        next_rendered = self.millisecond
        self.waiting.append((max(millisecond, next_rendered), note))

    def note_off_at(self, _millisecond: int, _note: int) -> None:
        pass

    def withdraw(self) -> int:
        millisecond = self.millisecond
        self.waiting = []
        return millisecond + 1


def bars(count: int, *notes: tuple[int, Voice]) -> tuple[PlannedBar, ...]:
    hits = tuple(Hit(Tick(tick), voice, 100) for tick, voice in notes)
    return tuple(PlannedBar(n, Tick(7680 * n), Bar(Meter(), hits)) for n in range(count))


FOUR = tuple((beat * 1920, Voice.KICK) for beat in range(4))


class Stage:
    def __init__(self) -> None:
        self.instrument = Instrument()
        self.performance = SoundingSong(self.instrument, DELAY)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.instrument.now < end:
            self.performance.advance(self.now)
            self.instrument.now = min(end, self.instrument.now + TURN)

    @property
    def now(self) -> Seconds:
        return Seconds(self.instrument.now)

    def go(self, *, rolling: bool, line: Timeline | None = None, tick: int = 0) -> None:
        line = line or Timeline(Bpm(120), 0.0, self.now)
        self.performance.go(ListenState(rolling, line, Tick(tick)), self.now)

    def gaps(self) -> Iterator[float]:
        times = [at for at, _ in self.instrument.struck]
        yield from (after - before for before, after in pairwise(times))


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.performance.plan(ListenPlan(bars(4, *FOUR)), made.now)
    made.go(rolling=False)
    made.wait(1.0)
    return made


def test_strokes_keep_their_distance_though_the_start_is_known_late(stage: Stage) -> None:
    begun = Timeline(Bpm(120), 0.0, stage.now)
    stage.wait(0.07)
    stage.go(rolling=True, line=begun)
    stage.wait(3.0)
    assert len(stage.instrument.struck) >= 6
    assert all(abs(gap - 0.5) <= 0.003 for gap in stage.gaps())


def test_a_plan_that_changes_is_heard_from_there_on_and_nothing_twice(stage: Stage) -> None:
    stage.go(rolling=True)
    stage.wait(0.8)
    stage.performance.plan(
        ListenPlan(bars(4, *((beat * 1920, Voice.SNARE) for beat in range(4)))), stage.now
    )
    stage.wait(1.2)
    notes = [note for _, note in stage.instrument.struck]
    assert notes[:2] == [36, 36]
    assert set(notes[2:]) == {38}
    assert all(abs(gap - 0.5) <= 0.003 for gap in stage.gaps())


def test_after_a_stop_nothing_sounds(stage: Stage) -> None:
    stage.go(rolling=True)
    stage.wait(0.8)
    stage.go(rolling=False, tick=3072)
    struck = len(stage.instrument.struck)
    stage.wait(1.0)
    assert len(stage.instrument.struck) == struck


def test_what_left_before_a_stop_is_heard_after_it(stage: Stage) -> None:
    stage.go(rolling=True)
    stage.wait(1.02)
    stage.go(rolling=False, tick=3916)
    stage.wait(1.0)
    assert len(stage.instrument.struck) == 3


def test_a_start_soon_after_a_stop_is_a_song_of_its_own(stage: Stage) -> None:
    stage.go(rolling=True)
    stage.wait(0.8)
    stage.go(rolling=False)
    stage.wait(0.02)
    begun = stage.now
    stage.go(rolling=True)
    stage.wait(0.3)
    assert abs(stage.instrument.struck[-1][0] - (begun + DELAY)) < PERIOD_MS / 1000 + 0.005
    assert len(stage.instrument.struck) == 3


def test_a_song_that_is_joined_begins_where_it_is(stage: Stage) -> None:
    stage.go(rolling=True, line=Timeline(Bpm(120), 0.0, Seconds(stage.now - 5.2)))
    stage.wait(0.6)
    (first, *_) = stage.instrument.struck
    assert abs(first[0] - (BORN + 1.0 + 0.3 + DELAY)) < PERIOD_MS / 1000 + 0.005


def test_the_song_that_jumps_is_heard_where_it_is_then(stage: Stage) -> None:
    stage.go(rolling=True)
    stage.wait(0.9)
    stage.performance.plan(ListenPlan(bars(9, (0, Voice.CRASH))), stage.now)
    stage.go(rolling=True, line=Timeline(Bpm(120), 4 * 7680.0, Seconds(stage.now + DELAY)))
    stage.wait(0.5)
    assert stage.instrument.struck[-1][1] == 49


def test_after_a_gap_in_the_sound_the_song_is_in_time_again(stage: Stage) -> None:
    stage.go(rolling=True)
    stage.wait(1.0)
    stage.instrument.lost = 0.2
    stage.wait(3.0)
    begun = BORN + 1.0 + DELAY
    off = [(at - begun + 0.25) % 0.5 - 0.25 for at, _ in stage.instrument.struck]
    assert max(map(abs, off[:2])) < 0.005
    assert max(map(abs, off[-2:])) < 0.005


def test_the_offset_of_the_output_is_heard(stage: Stage) -> None:
    line = Timeline(Bpm(120), 0.0, stage.now)
    stage.performance.go(ListenState(True, line, Tick(0), offset_ms=30.0), stage.now)
    stage.wait(1.0)
    first = stage.instrument.struck[0][0]
    assert abs(first - (line.time_of(0) + DELAY + 0.03)) < PERIOD_MS / 1000 + 0.005
