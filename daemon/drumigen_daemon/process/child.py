"""A child process of ours: spoken to over a socket, started again when it dies."""

import asyncio
import logging
import random
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from drumigen.errors import ChannelClosedError, PortError
from drumigen_daemon.process.channel import EXIT_UNAVAILABLE, Unpacker, packed, spawn

T = TypeVar("T")

log = logging.getLogger(__name__)

BACK_OFF_FIRST: Final = 0.05
BACK_OFF_MOST: Final = 2.0
CHILD_HEALTHY_SECONDS: Final = 10.0
"""Seconds of life after which a death counts as the first again."""
ENDING_SECONDS_MAX: Final = 0.5
"""Seconds that a child has to end by itself once its channel is closed."""
LIVENESS_PERIOD: Final = 0.5
"""Seconds between two looks at whether a child gives signs of life."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The seconds that a child may be silent before it counts as hung, and is replaced."""

    start: float = 60.0
    """Until it says that it has started."""
    silence: float | None = None
    """Between two messages from then on; None for a child that only answers."""


class Child(Generic[T]):
    """One child at a time, running ``python -m module``; messages of type T come from it."""

    def __init__(  # noqa: PLR0913 - what it is, how it is watched, who is told
        self,
        module: str,
        *arguments: str,
        kind: Any,  # noqa: ANN401 - a union type is no type[T]
        on_message: Callable[[T], None],
        on_start: Callable[[], None],
        on_loss: Callable[[], None],
        patience: Patience = Patience(),
        started: Callable[[T], bool] = lambda _: True,
    ) -> None:
        """Describe the child; :meth:`run` starts it.

        ``on_start`` is called when there is one to talk to, ``on_loss`` as soon as there is none.
        ``started`` tells the message by which it says that it has started; by default the first.
        """
        self._module = module
        self._arguments = arguments
        self._kind = kind
        self._patience = patience
        self._says_started = started
        self._silent = 0.0
        self._may_be_silent: float | None = patience.start
        self._has_started = False
        self._on_message = on_message
        self._on_start = on_start
        self._on_loss = on_loss
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ending = False
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the living child."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether there is someone to talk to."""
        return self._writer is not None

    @property
    def backlog(self) -> int:
        """Bytes that the child has not read yet and the system does not hold."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    def send(self, message: object, *, answer_within: float | None = None) -> None:
        """Send a message; without a child it is lost, and ``on_start`` is where to begin again.

        A child that says nothing within ``answer_within`` seconds hangs.
        """
        if self._writer is not None:
            self._writer.write(packed(message))
            if answer_within is not None:
                self.expect(answer_within)

    def expect(self, within: float) -> None:
        """Expect a sign of life within so many seconds: a child that gives none hangs."""
        self._silent, self._may_be_silent = 0.0, within

    def start_next_with(self, *arguments: str) -> None:
        """Give the next child, if there is to be one, other arguments."""
        self._arguments = arguments

    def kill(self) -> None:
        """End the child without mercy; :meth:`run` then starts another."""
        if self._process is not None:
            self._process.kill()

    def end(self, farewell: object) -> None:
        """Send a last message, after which the child ends and is not started again."""
        self._ending = True
        self.send(farewell)

    async def run(self) -> None:
        """Keep a child alive until :meth:`end`, or until cancelled.

        Raises:
            PortError: the first child found the MIDI system unusable, and said why in the log.
        """
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            born = loop.time()
            reason, status = await self._live()
            if self._ending:
                return
            if status == EXIT_UNAVAILABLE and self.restarts == 1:
                raise PortError(reason)
            deaths = 0 if loop.time() - born > CHILD_HEALTHY_SECONDS else deaths + 1
            # who had lived long is replaced at once: a song waits
            pause = min(BACK_OFF_MOST, BACK_OFF_FIRST * 2**deaths) if deaths else 0.0
            pause *= random.uniform(0.5, 1.0)  # noqa: S311
            log.warning("%s: %s; starting another in %.2f s", self._module, reason, pause)
            await asyncio.sleep(pause)

    async def _live(self) -> tuple[str, int]:
        """Run one child from birth to death; return what it died of, and its exit status."""
        try:
            process, sock = spawn(self._module, *self._arguments)
        except OSError as error:
            self.restarts += 1
            return f"cannot be started: {error}", 0
        self._process = process
        watchdog = asyncio.create_task(self._watch(), name=f"watchdog of {self._module}")
        try:
            reason = await self._converse(process, sock)
            if not self._ending:
                self.restarts += 1
                self._on_loss()
        finally:
            watchdog.cancel()
            self._writer = None
            sock.close()
            await _bury(process)
            self._process = None
        return reason or _epitaph(process.returncode), process.returncode

    async def _converse(self, process: subprocess.Popen[bytes], sock: socket.socket) -> str:
        """Take what a child says until its channel closes; return what was wrong, if anything."""
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            self._writer = writer
            unpacker: Unpacker[T] = Unpacker(self._kind)
            self._on_start()
            while data := await reader.read(65536):
                for message in unpacker.feed(data):
                    self._take(message)
        except ChannelClosedError as error:
            process.kill()
            return str(error)
        except ConnectionError as error:
            return str(error)
        finally:
            # from now on nobody has what is sent
            self._writer = None
            writer.transport.abort()
        return ""

    async def _watch(self) -> None:
        """Kill a child that lives and gives no sign of it.

        Looks are counted rather than seconds: whoever was held up himself, by a suspended machine
        or a debugger, first hears what he has missed.
        """
        self._silent, self._may_be_silent = 0.0, self._patience.start
        self._has_started = False
        while True:
            await asyncio.sleep(LIVENESS_PERIOD)
            self._silent += LIVENESS_PERIOD
            if self._may_be_silent is not None and self._silent >= self._may_be_silent:
                log.error("%s hangs: replacing it", self._module)
                self._silent = 0.0
                self.kill()

    def _take(self, message: T) -> None:
        self._silent = 0.0
        self._has_started = self._has_started or self._says_started(message)
        if self._has_started:
            self._may_be_silent = self._patience.silence
        try:
            self._on_message(message)
        except Exception:
            # a fault of ours: the child that told us goes on, and so does the music
            log.exception("%s: a message could not be dealt with; playing on", self._module)


async def _bury(process: subprocess.Popen[bytes]) -> None:
    """See ``process`` to its end, which takes half a second at most, even when cancelled."""
    reaping = asyncio.ensure_future(asyncio.to_thread(_reap, process))
    try:
        await asyncio.shield(reaping)
    except asyncio.CancelledError:
        await reaping
        raise


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(ENDING_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _epitaph(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
