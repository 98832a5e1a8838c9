"""Answers Prometheus over HTTP: ``/metrics``, and ``/health`` for who only asks if all is well.

Only reads.  Clients, bytes and patience are limited, and an answer is made at most twice a second,
however often it is asked for.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from drumigen_daemon.status.metrics import CONTENT_TYPE, exposition
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

HEAD_MAX: Final = 8_192
CLIENTS_MAX: Final = 16
PATIENCE: Final = 5.0
FRESH_FOR: Final = 0.5
"""Seconds that an answer is given again."""


class MetricsServer:
    """Tells the status in numbers to whoever asks."""

    def __init__(
        self,
        host: str,
        port: int,
        status: Callable[[], Status],
        more: Callable[[], Mapping[str, float]],
    ) -> None:
        """Tell ``status`` and the gauges ``more`` at ``host``; :meth:`run` does it."""
        self._host = host
        self._wanted = port
        self._status = status
        self._more = more
        self._clients = 0
        self._made_at = -FRESH_FOR
        self._answer = b""
        self.port = 0
        """The port that is listened on."""

    async def run(self) -> None:
        """Answer until cancelled.

        Raises:
            OSError: the port cannot be had.
        """
        server = await asyncio.start_server(self._welcome, self._host, self._wanted, limit=HEAD_MAX)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            log.info("metrics: http://%s:%d/metrics", self._host, self.port)
            await server.serve_forever()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._clients < CLIENTS_MAX:
                self._clients += 1
                try:
                    async with asyncio.timeout(PATIENCE):
                        writer.write(await self._reply(reader))
                        await writer.drain()
                        writer.close()
                        await writer.wait_closed()
                finally:
                    self._clients -= 1
        except (TimeoutError, OSError):
            log.debug("metrics: a client left, or fell silent")
        finally:
            writer.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return _response("400 Bad Request", "this is no request\n")
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "only reading is possible here\n")
        if path == b"/metrics":
            answer = self._metrics()
        elif path == b"/health":
            ready = self._status().ready
            answer = _response(
                "200 OK" if ready else "503 Service Unavailable",
                "ready\n" if ready else "not ready\n",
            )
        else:
            answer = _response("404 Not Found", "there are /metrics and /health\n")
        return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def _metrics(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if now - self._made_at >= FRESH_FOR:
            self._made_at = now
            self._answer = _response("200 OK", exposition(self._status(), self._more()))
        return self._answer


def _response(status: str, body: str) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
