"""How one thread wakes another that waits for I/O."""

import contextlib
import socket


class Wakeup:
    """Wakes a thread that waits in ``select``; rung from any thread."""

    def __init__(self) -> None:
        """Open a pair of sockets."""
        self._heard, self._button = socket.socketpair()
        self._heard.setblocking(False)
        self._button.setblocking(False)
        self._rung = False

    def close(self) -> None:
        """Give the sockets back; nobody may ring any more."""
        self._heard.close()
        self._button.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._heard.fileno()

    def ring(self) -> None:
        """Wake who waits; once is enough until :meth:`answer`."""
        if not self._rung:
            self._rung = True
            self._button.send(b"\0")

    def answer(self) -> None:
        """Fall silent, if it was rung; then look at what has come."""
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(64)
        self._rung = False
