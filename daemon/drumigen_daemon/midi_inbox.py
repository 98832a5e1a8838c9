"""MIDI on its way from a driver's thread to the engine's."""

import socket
from collections import deque

from drumigen.units import Seconds
from drumigen_daemon.midi_stream import CLOCK_PULSE

Message = tuple[str, bytes, Seconds]
"""Source, bytes, and when they came."""


class MidiInbox:
    """MIDI from any thread; wakes the engine."""

    def __init__(self) -> None:
        """Open the wake-up socket."""
        self._messages: deque[Message] = deque()
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._bell.setblocking(False)
        self._rung = False
        self.patient = False
        """Whether a clock pulse that comes alone may wait for what comes next: it has its stamp,
        and being woken for it costs more than hearing it."""

    def close(self) -> None:
        """Give the socket back; nobody may put or take anything any more."""
        self._wake.close()
        self._bell.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._wake.fileno()

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        """Take a message; called from a driver's thread."""
        self._messages.append((source, data, at))
        if not self._may_wait(data):
            self.ring()

    def ring(self) -> None:
        """Wake the engine."""
        if not self._rung:
            self._bell.send(b"\0")
            self._rung = True

    def __bool__(self) -> bool:
        """Tell whether anything has come that does not wait for more."""
        return bool(self._messages) and not self._may_wait(self._messages[0][1])

    def _may_wait(self, data: bytes) -> bool:
        return self.patient and data == CLOCK_PULSE and len(self._messages) == 1

    def take(self, most: int) -> list[Message]:
        """Return what has come first; the rest does not ring again."""
        if self._rung:
            self._wake.recv(64)
            self._rung = False
        messages: list[Message] = []
        while self._messages and len(messages) < most:
            messages.append(self._messages.popleft())
        return messages
