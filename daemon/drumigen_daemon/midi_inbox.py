"""MIDI on its way from a driver's thread to the engine's."""

import socket
from collections import deque

from drumigen.units import Seconds

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

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._wake.fileno()

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        """Take a message; called from a driver's thread."""
        self._messages.append((source, data, at))
        self.ring()

    def ring(self) -> None:
        """Wake the engine."""
        if not self._rung:
            self._bell.send(b"\0")
            self._rung = True

    def __bool__(self) -> bool:
        """Tell whether anything has come."""
        return bool(self._messages)

    def take(self, most: int) -> list[Message]:
        """Return what has come first; the rest does not ring again."""
        if self._rung:
            self._wake.recv(64)
            self._rung = False
        messages: list[Message] = []
        while self._messages and len(messages) < most:
            messages.append(self._messages.popleft())
        return messages
