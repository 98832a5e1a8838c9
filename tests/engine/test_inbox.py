"""What wakes the engine, and what may wait until it wakes anyway."""

import select
import threading
from collections.abc import Iterator

import pytest

from drumigen.units import Seconds
from drumigen_daemon.clock.midi_clock import ExpectedPulses
from drumigen_daemon.engine.inbox import MidiInbox
from drumigen_daemon.engine.wakeup import Wakeup

PULSE, STOP, KNOB = b"\xf8", b"\xfc", b"\xb0\x07\x40"
COMB = ExpectedPulses(10.0, 60.0 / 174 / 24, tolerance=0.001)
"""174 BPM."""


class Line:
    """An inbox that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.inbox = MidiInbox(self._call)

    def _call(self) -> None:
        self.calls += 1

    def put(self, *messages: bytes, at: float = 10.0) -> None:
        for message in messages:
            self.inbox.put("in", message, Seconds(at))

    def pulses(self, *times: float) -> list[int]:
        """Put pulses; return which of them called."""
        called = []
        for index, at in enumerate(times):
            before = self.calls
            self.put(PULSE, at=at)
            if self.calls != before:
                called.append(index)
        return called

    def heard(self, most: int = 16) -> list[bytes]:
        return [data for _, data, _ in self.inbox.take(most)]


@pytest.fixture
def line() -> Line:
    return Line()


def teeth(comb: ExpectedPulses, number: int) -> list[float]:
    return [comb.at + index * comb.period for index in range(number)]


@pytest.mark.parametrize("message", [PULSE, STOP, KNOB])
def test_whatever_comes_calls_the_engine(line: Line, message: bytes) -> None:
    line.put(message)
    assert line.calls == 1
    assert line.heard() == [message]
    assert line.heard() == []


@pytest.mark.parametrize(("bpm", "together"), [(40, 1), (100, 4), (120, 5), (174, 8), (300, 14)])
def test_expected_pulses_are_heard_together_as_many_as_fit_into_120_ms(
    line: Line, bpm: float, together: int
) -> None:
    comb = ExpectedPulses(10.0, 60.0 / bpm / 24, tolerance=0.001)
    line.inbox.expect(comb)
    assert line.pulses(*teeth(comb, together)) == [together - 1]
    assert line.heard() == [PULSE] * together


@pytest.mark.parametrize("late", [-0.005, 0.005, COMB.period])
def test_a_pulse_that_is_not_where_it_is_expected_calls_at_once(line: Line, late: float) -> None:
    line.inbox.expect(COMB)
    first, second = teeth(COMB, 2)
    assert line.pulses(first, second + late) == [1]


def test_jitter_within_the_tolerance_calls_nobody(line: Line) -> None:
    line.inbox.expect(COMB)
    first, second, third = teeth(COMB, 3)
    assert line.pulses(first + 0.0009, second - 0.0009, third + 0.0009) == []


@pytest.mark.parametrize("message", [STOP, KNOB])
@pytest.mark.parametrize("before", [(), (PULSE,)])
def test_patience_is_for_pulses_alone(
    line: Line, message: bytes, before: tuple[bytes, ...]
) -> None:
    line.inbox.expect(COMB)
    line.put(*before)
    assert line.calls == 0
    line.put(message)
    assert line.calls == 1
    assert line.heard() == [*before, message]


def test_who_looks_by_himself_hears_the_pulse_that_waits(line: Line) -> None:
    line.inbox.expect(COMB)
    line.put(PULSE)
    assert line.heard() == [PULSE]
    line.inbox.expect(ExpectedPulses(COMB.at + COMB.period, COMB.period, COMB.tolerance))
    assert line.pulses(COMB.at + COMB.period) == []


def test_what_waits_is_called_for_when_nothing_is_expected_any_more(line: Line) -> None:
    line.inbox.expect(COMB)
    line.put(PULSE)
    line.inbox.expect(None)
    assert line.calls == 1


def test_what_is_left_of_a_flood_calls_again(line: Line) -> None:
    line.put(KNOB, STOP)
    before = line.calls
    assert line.heard(most=1) == [KNOB]
    assert line.calls == before + 1
    assert line.heard() == [STOP]


@pytest.fixture
def bell() -> Iterator[Wakeup]:
    bell = Wakeup()
    yield bell
    bell.close()


def rings(bell: Wakeup) -> bool:
    return bool(select.select([bell], [], [], 0.0)[0])


def test_a_bell_rings_until_it_is_answered_however_often_it_was_pressed(bell: Wakeup) -> None:
    assert not rings(bell)
    bell.answer()
    for _ in range(3):
        bell.ring()
    assert rings(bell)
    bell.answer()
    assert not rings(bell)
    bell.ring()
    assert rings(bell)


def test_no_message_is_left_lying_whoever_puts_at_the_same_time(bell: Wakeup) -> None:
    inbox = MidiInbox(bell.ring)
    number = 2000

    def put() -> None:
        for _ in range(number):
            inbox.put("in", KNOB, Seconds(0.0))

    threads = [threading.Thread(target=put) for _ in range(2)]
    for thread in threads:
        thread.start()
    heard = 0
    while heard < 2 * number:
        assert select.select([bell], [], [], 5.0)[0], f"nobody called after {heard} messages"
        bell.answer()
        heard += len(inbox.take(16))
    for thread in threads:
        thread.join()
