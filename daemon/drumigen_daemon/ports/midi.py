"""Bytes of one MIDI source in, whole messages out; no ports, no clock."""

from collections.abc import Mapping
from typing import Final

from drumigen.midi.status import CLOCK, NOTE_OFF, NOTE_ON

MESSAGE_LENGTHS: Final[Mapping[int, int]] = {
    **dict.fromkeys(range(0x80, 0xC0), 3),  # note off, note on, poly pressure, control
    **dict.fromkeys(range(0xC0, 0xE0), 2),  # program, channel pressure
    **dict.fromkeys(range(0xE0, 0xF0), 3),  # pitch bend
    0xF1: 2,  # MTC quarter frame
    0xF2: 3,  # song position
    0xF3: 2,  # song select
    0xF6: 1,  # tune request
    0xF8: 1,  # clock
    0xFA: 1,  # start
    0xFB: 1,  # continue
    0xFC: 1,  # stop
    0xFE: 1,  # active sensing
    0xFF: 1,  # reset
}
"""Bytes of a message, status included, by its status; undefined ones and SysEx have no row."""

CLOCK_PULSE: Final = bytes((CLOCK,))
"""The message of MIDI clock, 24 of which make a quarter note."""

SYSEX_LIMIT = 256
"""Longest SysEx handed on by default, in bytes; real-time universal messages need under 20."""

_STATUS = 0x80
_SYSTEM = 0xF0
_SYSEX = 0xF0
_SYSEX_END = 0xF7
_REAL_TIME = 0xF8


def is_note_on(message: bytes) -> bool:
    """Tell whether ``message`` begins a note; with velocity 0 it ends one."""
    return message[0] & 0xF0 == NOTE_ON and message[2] > 0


def note_off(message: bytes) -> bytes:
    """Return the message that ends what the note-on ``message`` begins."""
    return bytes((NOTE_OFF | message[0] & 0x0F, message[1], 0))


class MidiStream:
    """Cuts the bytes of one source into messages.

    Knows running status, real-time bytes inside other messages (handed on at once, before the
    message around them) and SysEx.  Undefined status bytes and stray data bytes are ignored,
    a message cut short by another status is dropped, and nothing raises.
    """

    __slots__ = ("_message", "_needed", "_running", "_sysex_limit")

    def __init__(self, *, sysex_limit: int = SYSEX_LIMIT) -> None:
        """Hand on SysEx of at most ``sysex_limit`` bytes, ``F0`` and ``F7`` included."""
        self._sysex_limit = sysex_limit
        self._running = 0
        self._message = bytearray()
        self._needed = 0  # of the message under way; 0 when none is, or when it is SysEx

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, in any portions; return the messages that they complete."""
        if data == CLOCK_PULSE:  # by far the most usual
            return [CLOCK_PULSE]
        messages: list[bytes] = []
        for byte in data:
            if byte >= _REAL_TIME:
                if byte in MESSAGE_LENGTHS:
                    messages.append(bytes((byte,)))
            elif byte >= _STATUS:
                self._take_status(byte, messages)
            else:
                self._take_data(byte, messages)
        return messages

    def _take_status(self, status: int, messages: list[bytes]) -> None:
        if status == _SYSEX_END and self._message[:1] == b"\xf0":
            self._message.append(status)
            if len(self._message) <= self._sysex_limit:
                messages.append(bytes(self._message))
        self._message.clear()
        self._running = status if status < _SYSTEM else 0
        self._needed = MESSAGE_LENGTHS.get(status, 0)
        if self._needed == 1:
            messages.append(bytes((status,)))
        elif self._needed or status == _SYSEX:
            self._message.append(status)

    def _take_data(self, byte: int, messages: list[bytes]) -> None:
        if not self._message:
            if not self._running:
                return
            self._message.append(self._running)
        if not self._needed:
            # one byte past the limit is kept: it marks the SysEx as too long
            if len(self._message) <= self._sysex_limit:
                self._message.append(byte)
            return
        self._message.append(byte)
        if len(self._message) == self._needed:
            messages.append(bytes(self._message))
            self._message.clear()
