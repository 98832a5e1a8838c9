"""The queue for systems that have none: everything leaves, in order, and not before its time."""

import time
from collections.abc import Sequence

import pytest

from drumigen.units import Seconds
from drumigen_daemon.engine.timed_output import TimedOutput
from drumigen_daemon.ports.null import NullBackend


class Sink(NullBackend):
    """Keeps what left, and when."""

    def __init__(self) -> None:
        self.left: list[tuple[float, float, bytes]] = []

    def send(self, port: str, data: bytes, at: Seconds) -> None:  # noqa: ARG002
        self.left.append((time.monotonic(), at, data))

    @property
    def data(self) -> Sequence[bytes]:
        return [data for _, _, data in self.left]


def on(note: int) -> bytes:
    return bytes((0x99, note, 100))


def test_messages_leave_in_order_of_time_and_never_early() -> None:
    sink = Sink()
    output = TimedOutput(sink)
    begin = time.monotonic()
    for note in (5, 3, 8, 1):
        output.send("out", on(note), Seconds(begin + note / 1000))
    assert output.due == pytest.approx(begin + 0.001, abs=1e-5)
    output.play(0.1)
    assert sink.data == [on(1), on(3), on(5), on(8)]
    assert all(left >= at for left, at, _ in sink.left)
    assert output.due == float("inf")
    assert len(output.lateness) == 4


def test_of_one_moment_notes_leave_before_the_clock_and_in_the_order_given() -> None:
    sink = Sink()
    output = TimedOutput(sink)
    at = Seconds(time.monotonic() + 0.002)
    output.send("clock", b"\xf8", at)
    output.send("out", bytes((0x89, 36, 0)), at)
    output.send("out", on(36), at)
    output.play(0.1)
    assert sink.data == [bytes((0x89, 36, 0)), on(36), b"\xf8"]


def test_after_a_stall_what_is_long_overdue_is_dropped_and_counted_but_for_what_ends_notes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = Sink()
    output = TimedOutput(sink)
    begin = time.monotonic()
    for n in range(10):
        output.send("out", on(n), Seconds(begin + 10 + 0.1 * n))
        output.send("out", bytes((0x89, n, 0)), Seconds(begin + 10.03 + 0.1 * n))
    monkeypatch.setattr(time, "monotonic", lambda: begin + 10.82)  # a suspended machine
    output.play(0.001)
    assert [data for data in sink.data if data[0] == 0x99] == [on(8)]
    assert [data[1] for data in sink.data if data[0] == 0x89] == list(range(8))
    assert output.dropped == 8


def test_what_is_not_due_is_left_alone() -> None:
    sink = Sink()
    output = TimedOutput(sink)
    output.send("out", on(36), Seconds(time.monotonic() + 60))
    output.play(0.001)
    assert sink.data == []


def test_what_is_withdrawn_never_leaves_and_what_was_due_still_does() -> None:
    sink = Sink()
    output = TimedOutput(sink)
    now = time.monotonic()
    output.send("out", on(36), Seconds(now - 0.001))
    output.send("out", on(38), Seconds(now + 60))
    horizon = output.withdraw()
    assert now <= horizon < now + 1
    output.play(120)
    assert sink.data == [on(36)]
