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
EXPECTED = ExpectedPulses(10.0, 60.0 / 174 / 24, tolerance=0.001)
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


def stamps(expected: ExpectedPulses, number: int) -> list[float]:
    return [expected.at + index * expected.period for index in range(number)]


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
    expected = ExpectedPulses(10.0, 60.0 / bpm / 24, tolerance=0.001)
    line.inbox.expect(expected)
    assert line.pulses(*stamps(expected, together)) == [together - 1]
    assert line.heard() == [PULSE] * together


@pytest.mark.parametrize("late", [-0.005, 0.005, EXPECTED.period])
def test_a_pulse_that_is_not_where_it_is_expected_calls_at_once(line: Line, late: float) -> None:
    line.inbox.expect(EXPECTED)
    first, second = stamps(EXPECTED, 2)
    assert line.pulses(first, second + late) == [1]


def test_jitter_within_the_tolerance_calls_nobody(line: Line) -> None:
    line.inbox.expect(EXPECTED)
    first, second, third = stamps(EXPECTED, 3)
    assert line.pulses(first + 0.0009, second - 0.0009, third + 0.0009) == []


@pytest.mark.parametrize("message", [STOP, KNOB])
@pytest.mark.parametrize("before", [(), (PULSE,)])
def test_patience_is_for_pulses_alone(
    line: Line, message: bytes, before: tuple[bytes, ...]
) -> None:
    line.inbox.expect(EXPECTED)
    line.put(*before)
    assert line.calls == 0
    line.put(message)
    assert line.calls == 1
    assert line.heard() == [*before, message]


def test_who_looks_by_himself_hears_the_pulse_that_waits(line: Line) -> None:
    line.inbox.expect(EXPECTED)
    line.put(PULSE)
    assert line.heard() == [PULSE]
    line.inbox.expect(
        ExpectedPulses(EXPECTED.at + EXPECTED.period, EXPECTED.period, EXPECTED.tolerance)
    )
    assert line.pulses(EXPECTED.at + EXPECTED.period) == []


def test_what_waits_is_called_for_when_nothing_is_expected_any_more(line: Line) -> None:
    line.inbox.expect(EXPECTED)
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
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


def is_called(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0.0)[0])


def test_a_wakeup_calls_until_it_is_answered_however_often_it_was_rung(wakeup: Wakeup) -> None:
    assert not is_called(wakeup)
    wakeup.answer()
    for _ in range(3):
        wakeup.ring()
    assert is_called(wakeup)
    wakeup.answer()
    assert not is_called(wakeup)
    wakeup.ring()
    assert is_called(wakeup)


def test_no_message_is_left_lying_whoever_puts_at_the_same_time(wakeup: Wakeup) -> None:
    inbox = MidiInbox(wakeup.ring)
    number = 2000

    def put() -> None:
        for _ in range(number):
            inbox.put("in", KNOB, Seconds(0.0))

    threads = [threading.Thread(target=put) for _ in range(2)]
    for thread in threads:
        thread.start()
    heard = 0
    while heard < 2 * number:
        assert select.select([wakeup], [], [], 5.0)[0], f"nobody called after {heard} messages"
        wakeup.answer()
        heard += len(inbox.take(16))
    for thread in threads:
        thread.join()
