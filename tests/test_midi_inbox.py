"""What wakes the engine, and what may wait until it wakes anyway."""

import select
from collections.abc import Iterator

import pytest

from drumigen.units import Seconds
from drumigen_daemon.midi_inbox import MidiInbox

PULSE, STOP, KNOB = b"\xf8", b"\xfc", b"\xb0\x07\x40"


@pytest.fixture
def inbox() -> Iterator[MidiInbox]:
    inbox = MidiInbox()
    yield inbox
    inbox.close()


def put(inbox: MidiInbox, *messages: bytes) -> None:
    for message in messages:
        inbox.put("in", message, Seconds(1.0))


def wakes(inbox: MidiInbox) -> bool:
    return bool(select.select([inbox], [], [], 0.0)[0])


def heard(inbox: MidiInbox, most: int = 16) -> list[bytes]:
    return [data for _, data, _ in inbox.take(most)]


@pytest.mark.parametrize("message", [PULSE, STOP, KNOB])
def test_whatever_comes_wakes_the_engine(inbox: MidiInbox, message: bytes) -> None:
    put(inbox, message)
    assert inbox
    assert wakes(inbox)
    assert heard(inbox) == [message]
    assert not inbox
    assert not wakes(inbox)


def test_a_patient_one_is_woken_by_the_second_pulse(inbox: MidiInbox) -> None:
    inbox.patient = True
    put(inbox, PULSE)
    assert not inbox
    assert not wakes(inbox)
    put(inbox, PULSE)
    assert inbox
    assert wakes(inbox)
    assert heard(inbox) == [PULSE, PULSE]


@pytest.mark.parametrize("message", [STOP, KNOB])
@pytest.mark.parametrize("before", [(), (PULSE,)])
def test_patience_is_for_pulses_alone(
    inbox: MidiInbox, message: bytes, before: tuple[bytes, ...]
) -> None:
    inbox.patient = True
    put(inbox, *before, message)
    assert inbox
    assert wakes(inbox)
    assert heard(inbox) == [*before, message]


def test_who_wakes_by_himself_hears_the_pulse_that_waits(inbox: MidiInbox) -> None:
    inbox.patient = True
    put(inbox, PULSE)
    assert heard(inbox) == [PULSE]
    put(inbox, PULSE)
    assert not wakes(inbox)


def test_what_was_left_of_a_flood_is_still_there(inbox: MidiInbox) -> None:
    inbox.patient = True
    put(inbox, KNOB, STOP)
    assert heard(inbox, most=1) == [KNOB]
    assert not wakes(inbox)
    assert inbox
