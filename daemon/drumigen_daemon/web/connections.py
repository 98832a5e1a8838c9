"""What uvicorn's HTTP protocol lacks: patience that ends, and a door that closes when full."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS_MAX: Final = 10.0
"""Seconds in which a client must have sent the head of a request."""
SPARE: Final = 8
"""Connections beyond the limit that are still told why they are turned away."""


class PatientProtocol(H11Protocol):  # type: ignore[misc, unused-ignore]  # uvicorn's has no public types
    """Ends connections that send no request, and turns away what is too many."""

    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn declares it
        """Take a connection, if there is room."""
        limit = self.config.limit_concurrency
        if limit is not None and len(self.connections) >= limit + SPARE:
            transport.abort()
            return
        super().connection_made(transport)
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
        if self.transport is not None:
            super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401 - as uvicorn declares it
        """Let a WebSocket stay: it has limits of its own."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

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
