"""Any bytes in, whole messages out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen_daemon.ports.midi import MESSAGE_LENGTHS, MidiStream

REAL_TIME = [0xF8, 0xFA, 0xFB, 0xFC, 0xFE, 0xFF]

real_time = st.sampled_from(REAL_TIME).map(lambda byte: bytes((byte,)))
sysex = st.lists(st.integers(0, 127), max_size=40).map(lambda body: bytes((0xF0, *body, 0xF7)))


@st.composite
def short_messages(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([s for s in MESSAGE_LENGTHS if s < 0xF8]))
    data = [draw(st.integers(0, 127)) for _ in range(MESSAGE_LENGTHS[status] - 1)]
    return bytes((status, *data))


def with_running_status(messages: list[bytes], rng: random.Random) -> bytes:
    """Leave out each channel status that may be left out, now and then."""
    wire = bytearray()
    running = 0
    for message in messages:
        status = message[0]
        omit = status == running and rng.random() < 0.8
        wire += message[1:] if omit else message
        if status < 0xF8:
            running = status if status < 0xF0 else 0
    return bytes(wire)


def with_real_time_bytes(wire: bytes, rng: random.Random) -> tuple[bytes, list[int]]:
    """Put real-time bytes anywhere; return the wire and the bytes put in."""
    woven = bytearray()
    inserted = []
    for byte in wire:
        while rng.random() < 0.3:
            inserted.append(rng.choice(REAL_TIME))
            woven.append(inserted[-1])
        woven.append(byte)
    return bytes(woven), inserted


@given(st.binary(max_size=600))
def test_no_bytes_ever_raise_and_only_whole_messages_come_out(data: bytes) -> None:
    for message in MidiStream().feed(data):
        if message[0] == 0xF0:
            assert message[-1] == 0xF7
            assert max(message[1:-1], default=0) < 0x80
        else:
            assert len(message) == MESSAGE_LENGTHS[message[0]]
            assert max(message[1:], default=0) < 0x80


@given(st.lists(st.one_of(short_messages(), real_time, sysex), max_size=40), st.randoms())
def test_running_status_and_interleaved_real_time_come_out_whole_and_in_order(
    messages: list[bytes], rng: random.Random
) -> None:
    wire, inserted = with_real_time_bytes(with_running_status(messages, rng), rng)
    heard = MidiStream().feed(wire)
    assert [m for m in heard if m[0] < 0xF8] == [m for m in messages if m[0] < 0xF8]
    assert sorted(m[0] for m in heard if m[0] >= 0xF8) == sorted(
        [*inserted, *(m[0] for m in messages if m[0] >= 0xF8)]
    )


@given(st.binary(max_size=200), st.lists(st.integers(1, 9), max_size=60))
def test_how_the_bytes_are_cut_into_portions_does_not_matter(data: bytes, cuts: list[int]) -> None:
    stream = MidiStream()
    heard = []
    rest = data
    for cut in cuts:
        heard += stream.feed(rest[:cut])
        rest = rest[cut:]
    heard += stream.feed(rest)
    assert heard == MidiStream().feed(data)


def test_a_clock_inside_a_note_is_heard_first_and_the_note_survives() -> None:
    stream = MidiStream()
    assert stream.feed(b"\x90\x3c\xf8") == [b"\xf8"]
    assert stream.feed(b"\x64") == [b"\x90\x3c\x64"]


def test_a_clock_inside_sysex_is_heard_first_and_the_sysex_survives() -> None:
    assert MidiStream().feed(b"\xf0\x01\xf8\x02\xf7") == [b"\xf8", b"\xf0\x01\x02\xf7"]


@pytest.mark.parametrize("undefined", [0xF9, 0xFD])
def test_undefined_real_time_disturbs_nothing(undefined: int) -> None:
    assert MidiStream().feed(bytes((0x90, 60, undefined, 100))) == [b"\x90\x3c\x64"]


@pytest.mark.parametrize("undefined", [0xF4, 0xF5, 0xF7])
def test_undefined_system_common_ends_running_status(undefined: int) -> None:
    data = bytes((0x90, 60, 100, undefined, 61, 100, 0x90, 62, 100))
    assert MidiStream().feed(data) == [b"\x90\x3c\x64", b"\x90\x3e\x64"]


def test_a_message_cut_short_by_another_status_is_dropped() -> None:
    assert MidiStream().feed(b"\x90\x3c\xb0\x07\x64") == [b"\xb0\x07\x64"]
    assert MidiStream().feed(b"\xf0\x01\x02\xb0\x07\x64") == [b"\xb0\x07\x64"]


def test_data_before_any_status_is_ignored() -> None:
    assert MidiStream().feed(b"\x3c\x64\x90\x3c\x64") == [b"\x90\x3c\x64"]


@pytest.mark.parametrize(("body", "delivered"), [(6, True), (7, False), (100_000, False)])
def test_sysex_is_handed_on_up_to_its_limit(body: int, delivered: bool) -> None:  # noqa: FBT001 - pytest parameter
    stream = MidiStream(sysex_limit=8)
    whole = b"\xf0" + bytes(body) + b"\xf7"
    assert stream.feed(whole) == ([whole] if delivered else [])
    assert stream.feed(b"\x90\x3c\x64") == [b"\x90\x3c\x64"]


def test_an_endless_sysex_holds_a_bounded_buffer() -> None:
    stream = MidiStream(sysex_limit=8)
    stream.feed(b"\xf0")
    for _ in range(100):
        stream.feed(bytes(1000))
    assert len(stream._message) <= 9


def test_no_sysex_at_all_on_request() -> None:
    assert MidiStream(sysex_limit=0).feed(b"\xf0\xf7\xf0\x01\xf7\xf8") == [b"\xf8"]
