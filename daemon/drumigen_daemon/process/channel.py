"""Messages between our processes: JSON values, each behind its length, over a socket pair."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from drumigen.errors import ChannelClosedError, DrumigenError
from drumigen_daemon.process.parent import PARENT

T = TypeVar("T")

_LENGTH = struct.Struct("<I")
MESSAGE_LIMIT = 4_000_000
"""Largest message in bytes; a longer one means that the peer has lost its mind."""
EXIT_UNAVAILABLE = 69
"""Exit status of a child that finds the MIDI system unusable (<sysexits.h>)."""
BACKLOG_LIMIT = 1_000_000
"""Bytes kept for a peer that does not read; beyond it messages are dropped and counted."""


def packed(message: object) -> bytes:
    """Return the bytes that carry ``message``."""
    body = msgspec.json.encode(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker(Generic[T]):
    """Finds messages of one type in a stream of bytes, sans I/O."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a union type is no type[T]
        """Expect messages that decode to ``kind``."""
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """Take bytes and yield the messages that are complete.

        Raises:
            ChannelClosedError: after what was sound, the bytes are no messages of ours; the
                stream cannot be trusted any more.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MESSAGE_LIMIT:
                message = f"a peer announced a message of {length} bytes"
                raise ChannelClosedError(message)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            try:
                decoded = self._decoder.decode(bytes(self._buffer[_LENGTH.size : end]))
            except (msgspec.MsgspecError, ValueError, DrumigenError) as error:
                message = f"a peer sent what is no message: {error}"
                raise ChannelClosedError(message) from error
            del self._buffer[:end]
            yield decoded


class Channel(Generic[T]):
    """A child's end of the socket: reads what is there, and never blocks to write."""

    def __init__(self, sock: socket.socket, kind: Any) -> None:  # noqa: ANN401
        """Use ``sock``, from which messages of ``kind`` are expected."""
        self._socket = sock
        self._socket.setblocking(False)
        self._unpacker: Unpacker[T] = Unpacker(kind)
        self._backlog = bytearray()
        self.dropped = 0

    @classmethod
    def inherited(cls, handle: str, kind: Any) -> "Channel[T]":  # noqa: ANN401
        """Take over the socket that :func:`spawn` left for this process under ``handle``."""
        if sys.platform == "win32":
            return cls(socket.fromshare(sys.stdin.buffer.read()), kind)
        return cls(socket.socket(fileno=int(handle)), kind)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    @property
    def blocked(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._backlog)

    def send(self, *messages: object) -> None:
        """Send what the peer will take now and keep the rest, up to a limit."""
        for message in messages:
            if len(self._backlog) > BACKLOG_LIMIT:
                self.dropped += 1
            else:
                self._backlog += packed(message)
        self.flush()

    def flush(self) -> None:
        """Try to write what is kept.

        Raises:
            ChannelClosedError: the peer is gone.
        """
        while self._backlog:
            try:
                written = self._socket.send(self._backlog)
            except BlockingIOError:
                return
            except OSError as error:
                message = f"the peer is gone: {error}"
                raise ChannelClosedError(message) from error
            del self._backlog[:written]

    def receive(self) -> list[T]:
        """Return the messages that have arrived, without waiting.

        Raises:
            ChannelClosedError: the peer is gone or talks nonsense.
        """
        messages: list[T] = []
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return messages
            except OSError as error:
                message = f"the peer is gone: {error}"
                raise ChannelClosedError(message) from error
            if not data:
                message = "the peer has closed the channel"
                raise ChannelClosedError(message)
            messages += self._unpacker.feed(data)


def spawn(module: str, *arguments: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Run ``python -m module HANDLE ARGUMENTS...`` and return it with our end of a socket.

    The child finds its end by :meth:`Channel.inherited`.  It lives in the session of its parent and
    ends when its channel closes; a terminal's Ctrl-C is the parent's to answer, from the first
    moment on.
    """
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", module, str(theirs.fileno()), *arguments]
    environment = {**os.environ, PARENT: str(os.getpid())}
    with contextlib.ExitStack() as stack:
        stack.enter_context(theirs)
        unless_started = stack.enter_context(contextlib.ExitStack())
        unless_started.callback(ours.close)
        if sys.platform == "win32":
            # sockets are not inherited by number there: the child reads a description of its end
            child = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603
            assert child.stdin is not None
            with child.stdin:
                child.stdin.write(theirs.share(child.pid))
        else:
            with _interrupt_blocked():  # as it then is in the child
                child = subprocess.Popen(  # noqa: S603
                    command, pass_fds=[theirs.fileno()], env=environment
                )
        unless_started.pop_all()
    return child, ours


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
