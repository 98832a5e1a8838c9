"""What waits for its frame, through everything that a JACK server or PipeWire's graph may do."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.units import Seconds
from drumigen_daemon.ports import OVERDUE
from drumigen_daemon.ports.frame_queue import FrameQueue

RATE = 48_000
BEGIN = 5_000.0
GATE = 0.03
SPACING = 0.125
"""Sixteenths at 120 BPM."""

ON, OFF = b"\x99\x24\x64", b"\x89\x24\x00"


@dataclass
class Buffer:
    """A buffer of a cycle; what stays in it to the cycle's end has been heard."""

    room: int = 1_000
    written: list[tuple[int, bytearray]] = field(default_factory=list)

    def clear_buffer(self) -> None:
        self.written.clear()

    def reserve_midi_event(self, time: int, size: int, /) -> Sequence[int]:
        if len(self.written) >= self.room:
            return ()
        writer = _Writer(size)
        self.written.append((time, writer))
        return writer


class _Writer(bytearray):
    """Room for a message, which is not empty before it is written."""


@dataclass
class Graph:
    """A server whose cycles follow one another, and one output on it."""

    frames: int = 256
    now: float = BEGIN
    frame: int = 1_000_000
    all_skip: bool = False
    delay: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        self.buffer = Buffer()
        self.queue = FrameQueue(RATE, [self.buffer], all_skip=self.all_skip)
        self.rate = RATE
        self.heard: list[tuple[float, bytes]] = []
        """When each message left, by the true time of its frame."""

    @property
    def lead(self) -> float:
        return max(0.01, 2 * self.frames / self.rate + 0.001)

    def cycle(self) -> None:
        late = self.delay.expovariate(1 / 60e-6)
        self.queue.run(self.frame, self.frames, self.now + late)
        self.heard += [
            (self.now + offset / self.rate, bytes(data)) for offset, data in self.buffer.written
        ]
        self.now += self.frames / self.rate
        self.frame += self.frames

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.cycle()

    def play(self, seconds: float, *, stalled: bool = False, since: float | None = None) -> None:
        """Hand over strokes as the engine does, a lead ahead, while cycles come or do not."""
        if since is not None:
            self.next_stroke = since
        until = self.now + seconds
        while self.now < until:
            while self.next_stroke < self.now + self.lead:
                self.queue.send(0, ON, Seconds(self.next_stroke))
                self.queue.send(0, OFF, Seconds(self.next_stroke + GATE))
                self.next_stroke += SPACING
            if stalled:
                self.now += 0.001
            else:
                self.cycle()

    @property
    def ons(self) -> list[float]:
        return [at for at, data in self.heard if data == ON]

    def assert_well(self, since: float, missing_until: float) -> None:
        """Check the laws from ``since`` on: where strokes may be missing is over by then."""
        over = self.now - self.lead
        self.run(GATE + self.lead)
        grid = [BEGIN + 1 + k * SPACING for k in range(200)]
        ons = [at for at in self.ons if at > BEGIN + 1.5]
        for at in ons:
            nearest = min(grid, key=lambda g: abs(g - at))
            assert at > nearest - 0.0015, "a stroke before its time"
            assert at - nearest <= OVERDUE + 2 * self.frames / self.rate, "fired when overdue"
        wanted = [g for g in grid if missing_until <= g < over]
        for at in wanted:
            assert min(abs(at - on) for on in ons) < 0.0015, f"missing at {at - since:+.3f}"
        gaps = [b - a for a, b in itertools.pairwise(ons)]
        assert min(gaps) > SPACING - OVERDUE - 0.03, "two strokes in one place"
        ringing = 0
        for _, data in self.heard:
            ringing = 1 if data == ON else 0 if data == OFF else ringing
        assert not ringing


@pytest.fixture
def graph() -> Graph:
    graph = Graph()
    graph.play(3.0, since=BEGIN + 1)
    return graph


def test_what_is_handed_over_ahead_leaves_on_its_frame(graph: Graph) -> None:
    graph.play(2.0)
    graph.assert_well(BEGIN + 3, missing_until=BEGIN + 2)
    assert graph.queue.dropped == 0


@settings(deadline=None, max_examples=30)
@given(
    frame=st.integers(0, 2**40),
    pause=st.floats(0.0, 0.4),
    frames=st.sampled_from([16, 64, 256, 1024, 2048]),
    again=st.booleans(),
)
def test_another_driver_counts_from_anywhere_and_the_music_goes_on_at_once(
    frame: int,
    pause: float,
    frames: int,
    again: bool,  # noqa: FBT001 - drawn
) -> None:
    graph = Graph()
    graph.play(3.0, since=BEGIN + 1)
    before = graph.frame
    begun = graph.now
    graph.play(pause, stalled=True)
    graph.frame, graph.frames = frame, frames
    graph.play(2.0)
    if again:
        graph.frame = before + round((graph.now - begun) * RATE)
        graph.play(2.0)
    graph.assert_well(begun, missing_until=begun + pause + 0.1)


@settings(deadline=None, max_examples=30)
@given(stall=st.floats(0.11, 0.95), frames=st.sampled_from([64, 256, 1024]))
def test_a_server_that_was_stopped_plays_nothing_of_what_it_missed(
    stall: float, frames: int
) -> None:
    graph = Graph(frames)
    graph.play(3.0, since=BEGIN + 1)
    begun = graph.now
    graph.play(stall, stalled=True)  # its frames stand still
    missed = graph.queue.dropped
    graph.play(3.0)
    graph.assert_well(begun, missing_until=begun + stall + 0.1)
    due = int(stall / SPACING)
    assert due - 2 <= graph.queue.dropped - missed <= due + 1


@settings(deadline=None, max_examples=30)
@given(stall=st.floats(0.0, 0.09))
def test_frames_lost_in_missed_cycles_are_lost_for_everybody_and_made_up_for_slowly(
    stall: float,
) -> None:
    graph = Graph()
    graph.play(3.0, since=BEGIN + 1)
    graph.play(stall, stalled=True)
    graph.queue.timebase.suspect()  # JACK says so
    graph.play(20.0)
    gaps = [b - a for a, b in itertools.pairwise(graph.ons)]
    # but for one, they keep their distance in frames to a thousandth
    assert sum(abs(gap - SPACING) > 0.0015 * SPACING for gap in gaps) <= 3
    assert graph.queue.dropped == 0
    assert len(graph.ons) >= 21.5 / SPACING


def test_on_pipewire_frames_that_are_skipped_are_made_up_for_at_once() -> None:
    graph = Graph(all_skip=True)
    graph.play(3.0, since=BEGIN + 1)
    begun = graph.now
    graph.frame += 256  # and 18 ms of time are lost, as by PipeWire when the quantum shrinks
    graph.now += 0.018
    graph.play(2.0)
    graph.assert_well(begun, missing_until=begun + 0.2)


def test_on_jackd_cycles_that_we_missed_after_a_loss_leave_the_map_slow() -> None:
    graph = Graph()
    graph.play(3.0, since=BEGIN + 1)
    graph.now += 0.06  # lost for everybody
    graph.queue.timebase.suspect()
    graph.cycle()
    graph.frame += 3 * graph.frames  # and we alone miss three cycles
    graph.now += 3 * graph.frames / RATE
    graph.run(1.0)
    lag = graph.now - graph.queue.timebase.present(graph.now)
    assert 0.055 < lag < 0.0605


def test_another_sample_rate_is_another_measure(graph: Graph) -> None:
    begun = graph.now
    graph.queue.change_rate(44_100)
    graph.rate, graph.frame = 44_100, 0
    graph.play(3.0)
    graph.assert_well(begun, missing_until=begun + 0.1)


def test_our_own_thread_held_up_moves_nothing(graph: Graph) -> None:
    begun, line = graph.now, graph.queue.timebase.to_base(Seconds(graph.now))
    # called late once, as by a machine that is busy; the cycles themselves go on
    graph.queue.run(graph.frame, graph.frames, graph.now + 0.04)
    graph.now += graph.frames / RATE
    graph.frame += graph.frames
    graph.play(2.0)
    graph.assert_well(BEGIN, missing_until=BEGIN + 1.5)
    there = graph.queue.timebase.to_base(Seconds(graph.now))
    assert abs(there - line - (graph.now - begun) * RATE) < 48


def test_what_ended_just_before_the_driver_changed_is_ended_again(graph: Graph) -> None:
    graph.run(0.3)  # strokes and ends wait no more
    graph.heard.clear()
    graph.frame = 5
    graph.cycle()
    assert [data for _, data in graph.heard] == [OFF]
    graph.heard.clear()
    graph.run(1.0)
    graph.frame = 5
    graph.cycle()
    assert graph.heard == []  # it is long over


def test_pulses_and_note_offs_leave_however_late(graph: Graph) -> None:
    graph.run(1.0)
    graph.heard.clear()
    due = Seconds(graph.now + 0.01)
    for data in (ON, OFF, b"\xf8", b"\xf8", b"\xfc"):
        graph.queue.send(0, data, due)
    graph.now += 0.8
    graph.cycle()
    assert [data for _, data in graph.heard if data != OFF] == [b"\xf8", b"\xf8", b"\xfc"]
    assert (graph.heard[-4:][0][1], graph.queue.dropped) == (OFF, 1)


def test_draining_begins_nothing_and_ends_everything(graph: Graph) -> None:
    graph.run(1.0)
    graph.heard.clear()
    for k in range(10):
        graph.queue.send(0, ON, Seconds(graph.now + 0.01 * k))
        graph.queue.send(0, OFF, Seconds(graph.now + 0.01 * k + 2.0))
    graph.queue.drain()
    drained = []
    for _ in range(3):
        drained.append(graph.queue.drained)
        graph.cycle()
    # those who listen have the cycle in which it is written
    assert drained == [False, False, True]
    assert {data for _, data in graph.heard} == {OFF}
    assert len(graph.heard) == 10
    graph.queue.end_again()
    graph.cycle()
    assert [data for _, data in graph.heard[10:]] == [OFF]


def test_a_full_buffer_keeps_the_rest_for_the_next_cycle(graph: Graph) -> None:
    graph.run(1.0)
    graph.heard.clear()
    graph.buffer.room = 3
    for k in range(10):
        graph.queue.send(0, bytes((0x99, k, 100)), Seconds(graph.now))
    graph.run(0.05)
    assert [data[1] for _, data in graph.heard] == list(range(10))


def test_the_present_lags_by_what_is_still_to_be_made_up_for() -> None:
    graph = Graph()
    graph.run(3.0)
    timebase = graph.queue.timebase
    assert abs(timebase.present(graph.now) - graph.now) < 1e-5
    graph.now += 0.06  # lost frames
    timebase.suspect()
    graph.run(0.2)
    stamp = timebase.to_monotonic(graph.frame)
    assert abs(timebase.present(graph.now) - stamp) < 2e-4
    assert 0.05 < graph.now - timebase.present(graph.now) < 0.061
