"""The local socket: one JSON request a line, one JSON reply a line; and a client for it.

``{"control": "tempo", "value": 128}``, ``{"show": "tempo"}`` (an empty text shows all),
``{"learned": true}``, ``{"status": true}``, ``{"view": true}`` (what a screen shows) or
``{"export": 16}``; what goes wrong is answered by
``{"error": "one line"}``.  Whatever a client does, the daemon plays on: lines, clients and patience
are limited, and a reply is made in pieces.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

import msgspec

from drumigen.errors import ControlError, DrumigenError, SettingsError
from drumigen.units import Seconds
from drumigen_daemon.capture.capture import Capture
from drumigen_daemon.controls.binding import Binding
from drumigen_daemon.controls.values import one_line, whole
from drumigen_daemon.engine.messages import PlayedBar
from drumigen_daemon.status.advice import note_on
from drumigen_daemon.status.running import RunningDaemon
from drumigen_daemon.status.status import described
from drumigen_daemon.status.view_state import Planned, view_state

log = logging.getLogger(__name__)

LINE_MAX: Final = 16_384
"""Bytes of a request."""
CLIENTS_MAX: Final = 16
CLIENT_IDLE_SECONDS_MAX: Final = 60.0
"""Seconds in which a client must finish its next line."""
CLIENT_READ_SECONDS_MAX: Final = 5.0
"""Seconds in which a client must have taken a piece of a reply."""
PIECE_BARS: Final = 16
"""Bars in a piece of an export: encoded in a fraction of a millisecond."""
EXPORT_BARS: Final = whole(1, 100_000)


class DaemonForSocket(RunningDaemon, Protocol):
    """What is spoken to: the daemon."""

    capture: Capture

    @property
    def learned(self) -> Sequence[Binding]:
        """What was learned from controllers."""

    @property
    def planner(self) -> Planned:
        """What is played next."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One line from a client; exactly one of them, but for the value of a control, is given."""

    control: str | None = None
    value: str | int | float | bool | None = None
    show: str | None = None
    learned: bool = False
    status: bool = False
    view: bool = False
    export: int | None = None


_DECODER: Final = msgspec.json.Decoder(Request)


class ControlSocket:
    """Answers clients of the socket at ``path`` while it is open."""

    def __init__(self, path: Path, daemon: DaemonForSocket) -> None:
        """Speak for ``daemon``."""
        self._path = path
        self._daemon = daemon
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._inode = 0

    async def __aenter__(self) -> Self:
        """Open the socket, for this user only.

        Raises:
            SettingsError: another daemon holds it, or it cannot be made there; one line.
        """
        sock = bound(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._welcome, sock=sock, limit=LINE_MAX)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close it, and take its file away."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._clients) >= CLIENTS_MAX:
            writer.write(_line({"error": f"more than {CLIENTS_MAX} clients: close one"}))
            writer.close()
            return
        self._clients.add(task)
        try:
            await self._converse(reader, writer)
        except (TimeoutError, ConnectionError):
            log.debug("a client of the control socket fell silent or left")
        except asyncio.CancelledError:
            # the daemon ends; asyncio would report a cancelled client as an error
            log.debug("a client of the control socket was cut off")
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(CLIENT_IDLE_SECONDS_MAX):
                    line = await reader.readline()
            except ValueError:
                writer.write(_line({"error": f"a request has at most {LINE_MAX} bytes"}))
                async with asyncio.timeout(CLIENT_READ_SECONDS_MAX):
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
                return
            if not line.endswith(b"\n"):
                return
            async with contextlib.aclosing(self._reply(line)) as pieces:
                async for piece in pieces:
                    writer.write(piece)
                    async with asyncio.timeout(CLIENT_READ_SECONDS_MAX):
                        await writer.drain()
            # lines that lie ready would otherwise be served without pause
            await asyncio.sleep(0)

    async def _reply(self, line: bytes) -> AsyncGenerator[bytes, None]:
        try:
            request = _DECODER.decode(line)
            given = (request.control, request.show, request.export)
            asked = [*(each is not None for each in given), request.status, request.learned]
            asked.append(request.view)
            if sum(asked) != 1:
                message = 'ask one thing: {"control": NAME}, {"status": true} or {"export": BARS}'
                raise ControlError(message)
            if request.control is not None:
                self._daemon.control(request.control, request.value)
                note = note_on(request.control, self._daemon.status)
                yield _line({"ok": True, **({"note": note} if note else {})})
            elif request.show is not None:
                yield _line({"values": self._daemon.controls.shown(request.show)})
            elif request.learned:
                rows = [{"control": row.name, "source": row.source} for row in self._daemon.learned]
                yield _line({"learned": rows})
            elif request.view:
                yield _line({"view": view_state(self._daemon, _now())})
            elif request.status:
                yield _line({"status": described(self._daemon.status, _now())})
            else:
                bars = self._daemon.capture.last(EXPORT_BARS.take(request.export))
                for piece in _exported(bars):
                    yield piece
                    await asyncio.sleep(0)
        except RecursionError:
            yield _line({"error": "the request is nested too deep"})
        except (DrumigenError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            yield _line({"error": one_line(str(error))})


def bound(path: Path) -> socket.socket:
    """Return a socket bound to ``path``, for this user only; a dead daemon's is replaced.

    Raises:
        SettingsError: another daemon holds it, or it cannot be made there; one line.
    """
    _check_system()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path)
        sock.bind(str(path))
        # nobody can connect before it listens
        path.chmod(0o600)
    except (OSError, ValueError) as error:
        sock.close()
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        message = one_line(f"control socket {path}: {why}; choose another by control.socket")
        raise SettingsError(message) from error
    except SettingsError:
        sock.close()
        raise
    return sock


def _check_system() -> None:
    if not hasattr(socket, "AF_UNIX"):
        message = "this system has no local sockets: run drumigen on Linux, macOS or in WSL"
        raise SettingsError(message)


def _clear(path: Path) -> None:
    """Remove the socket that a dead daemon has left at ``path``."""
    if path.parent.stat().st_uid not in (0, os.getuid()):
        # in /tmp anybody may have made it beforehand, to put a socket of theirs there
        message = f"control socket {path}: the folder is another user's; choose another place"
        raise SettingsError(message)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        message = f"control socket {path}: that is something else; choose another place"
        raise SettingsError(message)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                raise
        else:
            message = (
                f"another drumigen runs at {path}: stop it, or choose another socket for this one "
                "by --socket or control.socket"
            )
            raise SettingsError(message)
    path.unlink(missing_ok=True)


def ask(paths: Sequence[Path], request: object, patience: float = 10.0) -> dict[str, Any]:
    """Return the daemon's reply to ``request``, from the first of ``paths`` where one listens.

    Raises:
        ControlError: no daemon runs there, or it refused; one line.
        SettingsError: this system has no local sockets.
    """
    _check_system()
    for path in paths:
        try:
            reply = _exchange(path, _line(request), patience)
        except (FileNotFoundError, ConnectionRefusedError):
            continue
        except (OSError, msgspec.MsgspecError) as error:
            message = one_line(f"the daemon at {path} does not answer: {error or 'no reply'}")
            raise ControlError(message) from error
        if "error" in reply:
            raise ControlError(str(reply["error"]))
        return reply
    looked = " or ".join(map(str, paths))
    message = f"no drumigen runs (looked at {looked}): start one with drumigen run"
    raise ControlError(message)


def _exchange(path: Path, line: bytes, patience: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        sock.connect(str(path))
        # turned away before we could ask: the reply says why
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(line)
        with sock.makefile("rb") as stream:
            return msgspec.json.decode(stream.readline(), type=dict[str, Any])


def _exported(bars: Sequence[PlayedBar]) -> Iterator[bytes]:
    yield b'{"bars":['
    for first in range(0, len(bars), PIECE_BARS):
        piece = msgspec.json.encode(bars[first : first + PIECE_BARS])
        yield (b"," if first else b"") + piece[1:-1]
    yield b"]}\n"


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _now() -> Seconds:
    return Seconds(time.monotonic())
