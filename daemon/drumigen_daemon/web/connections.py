"""What uvicorn's HTTP protocol lacks: patience that ends, and a door that closes when full."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from drumigen_daemon.web.problems import problem_response

HEAD_SECONDS_MAX: Final = 10.0
"""Seconds in which a client must have sent the head of a request."""
READ_SECONDS_MAX: Final = 10.0
"""Seconds in which a client must have taken some of what is sent to it."""
UNSENT_MAX: Final = 8192
"""Bytes of states that wait for a panel that is slow: it is to find the newest, not the oldest."""
HEARD_RATE: Final = 32_000.0
"""Bytes a second that a panel may send for long, pings and all: a finger on the pad sends 8,000."""
HEARD_BURST: Final = 128_000.0
"""Bytes that it may send at once."""
FRAGMENTS_MAX: Final = 64
"""Frames of a message that has no end."""
SPARE: Final = 8
"""Connections beyond the limit that are still told why they are turned away."""


async def crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request on a connection that is too many."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013})
        return
    headers = {"retry-after": "1", "connection": "close"}
    answer = problem_response(503, "too many connections: close one, or try again", headers=headers)
    await answer(scope, receive, send)


class PatientProtocol(H11Protocol):  # type: ignore[misc, unused-ignore]  # uvicorn's has no public types
    """Ends connections that send no request, and turns away what is too many."""

    _giving_up: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def __init__(self, limit: int, **options: Any) -> None:  # noqa: ANN401 - as uvicorn gives them
        """Serve ``limit`` connections at a time."""
        super().__init__(**options)
        self._limit = limit

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn declares it
        """Take a connection, if there is room."""
        if len(self.connections) >= self._limit + SPARE:
            transport.abort()
            return
        super().connection_made(transport)
        if len(self.connections) > self._limit:
            self.app = crowded
        self._expect_request()

    def handle_events(self) -> None:
        """Take what has arrived."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request of the connection."""
        super().on_response_complete()
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._is_read()
        if self.transport is not None:
            super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401 - as uvicorn declares it
        """Let a WebSocket stay: it has limits of its own, and is told the newest only."""
        self._stop_waiting()
        self.transport.set_write_buffer_limits(UNSENT_MAX)
        lowest = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if lowest is not None:
            self.transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, lowest, UNSENT_MAX
            )
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_SECONDS_MAX, self._give_up)

    def resume_writing(self) -> None:
        """Go on: it has read."""
        self._is_read()
        super().resume_writing()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _expect_request(self) -> None:
        self._stop_waiting()
        self._giving_up = self.loop.call_later(HEAD_SECONDS_MAX, self._give_up)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


class PatientSocket(WebSocketsSansIOProtocol):  # type: ignore[misc, unused-ignore]  # as above
    """Ends panels that pour, in whatever frames: pings and empty fragments are no messages."""

    _allowance = HEARD_BURST
    _before = 0.0

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, if it is not too much."""
        now = self.loop.time()
        gained = (now - self._before) * HEARD_RATE
        self._allowance = min(HEARD_BURST, self._allowance + gained) - len(data)
        self._before = now
        if self._allowance < 0.0 or len(self.frames) > FRAGMENTS_MAX:
            self.transport.abort()
        else:
            super().data_received(data)


class ServerLog(logging.Handler):
    """Passes on what uvicorn complains of as lines of ours.

    What clients do wrong, it warns of: that is counted, and no line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Give each line to ``say``."""
        super().__init__(logging.ERROR)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on a complaint, with what was raised."""
        raised = record.exc_info[1] if record.exc_info else None
        reason = "" if raised is None else f": {raised!r}"
        self._say(f"web: {record.getMessage().strip()}{reason}")
