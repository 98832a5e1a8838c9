"""Laws of floods of controls: the last value of each arrives, and what is delivered is bounded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.units import Seconds
from drumigen_daemon.controls.parameters import Parameters
from drumigen_daemon.engine.control_buffer import FLOOD_PERIOD, NOTES_MAX, PIECE, ControlBuffer
from drumigen_daemon.engine.messages import ControlInput

CC, ON, OFF, PC = 0xB0, 0x90, 0x80, 0xC0
ADDRESSED = PIECE * 3
"""A data entry may need its address before it."""


def delivered(messages: list[tuple[bytes, float]]) -> list[list[ControlInput]]:
    """Return what is delivered of messages with their seconds, in pieces."""
    buffer, pieces = ControlBuffer(), []
    for message, at in messages:
        while buffer.due <= at:
            pieces.append(buffer.take())
        buffer.put("in", message, Seconds(at))
    while buffer.due < math.inf:
        pieces.append(buffer.take())
    return pieces


def flood(rate: float, seconds: float, *messages: bytes) -> list[tuple[bytes, float]]:
    count = int(rate * seconds)
    return [(messages[n % len(messages)], n / rate) for n in range(count)]


ccs = st.builds(
    lambda channel, number, value: bytes((CC | channel, number, value)),
    st.integers(0, 1),
    st.integers(0, 95),
    st.integers(0, 127),
)
anything = ccs | st.builds(
    lambda status, one, two: bytes((status, one, two)),
    st.sampled_from([ON, OFF, CC]),
    st.integers(96, 101),
    st.integers(0, 127),
)


@given(st.lists(st.tuples(anything, st.floats(0, 0.01)), max_size=300))
def test_a_delivery_is_bounded_and_the_last_value_of_every_control_arrives(
    said: list[tuple[bytes, float]],
) -> None:
    now, messages = 0.0, []
    for message, pause in said:
        now += pause
        messages.append((message, now))
    pieces = delivered(messages)
    assert all(0 < len(piece) <= ADDRESSED for piece in pieces)
    heard = {h.data[:2]: h.data[2] for piece in pieces for h in piece if h.data[1] < 96}
    plain = [m for m, _ in messages if m[1] < 96 and m[1] not in (6, 38)]
    for message in plain:
        if message[0] & 0xF0 == CC:
            last = [m for m in plain if m[:2] == message[:2]][-1]
            assert heard[tuple(message[:2])] == last[2]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(290, 293), st.integers(0, 127)), min_size=1
    ).map(list)
)
def test_every_parameter_arrives_with_its_last_value_however_they_are_mixed(
    turned: list[tuple[int, int, int]],
) -> None:
    messages = []
    for channel, number, value in turned:
        for cc, said in ((99, number >> 7), (98, number & 127), (6, value)):
            messages.append((bytes((CC | channel, cc, said)), 0.0))
    parameters, values = Parameters(), {}
    for heard in (each for piece in delivered(messages) for each in piece):
        if heard.data[1] in (98, 99):
            parameters.take("in", heard.data, Seconds(0.0))
        else:
            entry = parameters.entered("in", heard.data, Seconds(0.0))
            assert entry is not None
            values[heard.data[0] & 15, entry.number] = heard.data[2]
    assert values == {(channel, number): value for channel, number, value in turned}


def test_a_flood_of_mapped_controls_is_planned_for_fifty_times_a_second_at_most() -> None:
    knobs = [bytes((CC, number, value)) for value in range(128) for number in range(20, 32)]
    pieces = delivered(flood(10_000, 4.0, *knobs))
    assert len(pieces) <= 4.0 / FLOOD_PERIOD + 20


def test_a_knob_that_is_turned_now_and_then_is_heard_at_once() -> None:
    buffer = ControlBuffer()
    for n in range(50):
        at = n * 0.1
        buffer.put("in", bytes((CC, 20, n)), Seconds(at))
        assert buffer.due == at
        assert [heard.data[2] for heard in buffer.take()] == [n]


@pytest.mark.parametrize("kind", [ON, CC, PC])
def test_a_button_is_heard_through_whatever_flood(kind: int) -> None:
    numbers = range(128) if kind != CC else range(96)
    junk = [bytes((kind, n, 64) if kind != PC else (kind, n)) for n in numbers if n != 60]
    messages = flood(20_000, 1.0, *junk)
    messages.insert(15_000, (bytes((CC, 60, 127)), messages[15_000][1]))
    at = messages[15_000][1]
    heard = [h for piece in delivered(messages) for h in piece if h.data[:2] == (CC, 60)]
    assert [h.data for h in heard] == [(CC, 60, 127)]
    held = {ON: NOTES_MAX, CC: 128, PC: 128}[kind]
    pieces = delivered(messages)
    place = next(n for n, piece in enumerate(pieces) if heard[0] in piece)
    before = next(n for n, piece in enumerate(pieces) if any(h.at >= at for h in piece))
    assert place - before <= held / PIECE + 1


def test_presses_and_releases_keep_their_order() -> None:
    messages = [(bytes((ON if n % 2 else OFF, 36, 100)), 0.0) for n in range(NOTES_MAX)]
    heard = [each.data[0] for piece in delivered(messages) for each in piece]
    assert heard == [message[0] for message, _ in messages]


def test_of_many_programs_each_is_heard_and_the_last_one_last() -> None:
    messages = [(bytes((PC, program)), 0.0) for program in (1, 2, 1, 3, 3, 1)]
    heard = [each.data[1] for piece in delivered(messages) for each in piece]
    assert heard == [1, 2, 3, 1]  # the first one at once
