"""The web process: ``python -m drumigen_daemon.web.process HANDLE``, a child of the daemon.

It serves the panel and the API.  Whatever clients do happens to this process and not to the music:
the daemon sees a few small messages a second, and replaces the process if it hangs or dies.
"""

import asyncio
import contextlib
import errno
import functools
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn

from drumigen.errors import ChannelClosedError, DrumigenError, SettingsError
from drumigen_daemon.controls.values import one_line
from drumigen_daemon.jobs.queue import JobQueue, LocalJobs
from drumigen_daemon.process.channel import Unpacker, packed
from drumigen_daemon.process.log_line import LogLevel, LogLine
from drumigen_daemon.process.parent import end_with_parent
from drumigen_daemon.process.realtime import limit_memory
from drumigen_daemon.web.addresses import own_names
from drumigen_daemon.web.advertise import Advertisement
from drumigen_daemon.web.application import application
from drumigen_daemon.web.connections import PatientProtocol, PatientSocket, ServerLog
from drumigen_daemon.web.guard import Policy
from drumigen_daemon.web.hub import AnyValue, Hub
from drumigen_daemon.web.messages import (
    Answer,
    AnyFromWeb,
    AnyToWeb,
    HistoryRequest,
    TokensChanged,
    WebHello,
    WebPlan,
    WebSign,
    WebState,
)
from drumigen_daemon.web.socket import Panels
from drumigen_daemon.web.tokens import Tokens, load_tokens, tokens_at

SIGN_PERIOD: Final = 2.0
"""Seconds between two signs of life."""
BATCH_PERIOD: Final = 0.02
"""Seconds between two batches of controls to the daemon."""
ANSWER_SECONDS_MAX: Final = 3.0
"""Seconds in which the daemon must have answered."""
PORT_PERIOD: Final = 15.0
"""Seconds between two tries for a port that is in use."""
TOKENS_PERIOD: Final = 1.0
"""Seconds between two looks whether there are other pairing tokens."""
KEEP_ALIVE: Final = 30
HEAD_MAX: Final = 16_384
"""Bytes of a request's head."""
SHUTDOWN_SECONDS_MAX: Final = 1
NICENESS: Final = 10
MEMORY_MAX: Final = 768 * 2**20
"""Bytes; clients that take more are served by the next process."""


class WebProcess:
    """Joins the daemon and its web clients."""

    def __init__(self, to_daemon: asyncio.StreamWriter, hello: WebHello) -> None:
        """Serve as ``hello`` says."""
        self._to_daemon = to_daemon
        self._hello = hello
        self._settings = hello.settings
        self.hub = Hub()
        self._wanted = asyncio.Event()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._refused = 0
        self._port = 0
        self._panels = Panels(self.hub, self, hello)

    # --- the daemon ---------------------------------------------------------------------------

    def told(self, message: AnyToWeb) -> None:
        """Take what the daemon tells."""
        match message:
            case WebState():
                self.hub.take_state(message)
            case WebPlan():
                self.hub.take_plan(message.bars)
            case Answer():
                if not self.hub.answered(message.id, message.body or {}):
                    future = self._answers.pop(message.id, None)
                    if future is not None and not future.done():
                        future.set_result(message.body)
            case WebHello():
                pass

    async def controls(self, wanted: Mapping[str, AnyValue]) -> Mapping[str, str]:
        """Have controls carried out; return what did not work, by control.

        Raises:
            ControlError: one is unknown or its value is wrong; none was carried out.
            TimeoutError: the daemon did not answer.
        """
        for name, value in wanted.items():
            self.hub.check(name, value)
        futures = {name: self.hub.want(name, value) for name, value in wanted.items()}
        self._wanted.set()
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            results = {name: await future for name, future in futures.items()}
        return {name: problem for name, problem in results.items() if problem}

    async def history(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return played bars, as :class:`HistoryRequest` asks.

        Raises:
            TimeoutError: the daemon did not answer.
        """
        number = self.hub.next_number()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        try:
            self._tell(HistoryRequest(number, first, last))
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                bars: list[dict[str, Any]] = await future
        finally:
            self._answers.pop(number, None)
        return bars

    def _tell(self, message: AnyFromWeb) -> None:
        self._to_daemon.write(packed(message))

    def _say(self, level: LogLevel, text: str) -> None:
        self._tell(LogLine(level, one_line(text)))

    def _count_refusal(self) -> None:
        self._refused += 1

    # --- its tasks ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled."""
        settings, token_path = self._settings, Path(self._hello.token_path)
        try:
            tokens = load_tokens(token_path) if settings.lan else None
        except SettingsError as error:
            self._say("error", f"{error}; the panel stays away, the music goes on")
            tokens = None
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._give_signs())
        local = LocalJobs(settings.queued_jobs, settings.results_s, self._hello.generator.at_home)
        jobs = self._jobs(local)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._give_signs())
            tasks.create_task(self._deliver())
            tasks.create_task(local.run())
            if tokens is not None:
                tasks.create_task(self._watch_tokens(token_path, tokens))
            tasks.create_task(self._serve(jobs, tokens))

    def _jobs(self, local: LocalJobs) -> JobQueue:
        """Return where songs are rendered: by workers if there is a broker, else here."""
        setup = self._hello.generator
        if setup.workers is None or setup.writer not in ("celery", "model"):
            return local
        try:
            # not imported above: a daemon without a broker needs neither Celery nor Redis
            module = importlib.import_module("drumigen_daemon.workers.jobs")
            queued = self._hello.settings.queued_jobs
            jobs: JobQueue = module.made_jobs(
                setup, local, queued, lambda text: self._say("warning", text)
            )
        except ModuleNotFoundError as error:
            needed = "pip install 'drumigen[workers]'"
            self._say("warning", f"workers need {error.name}: {needed}; songs are rendered here")
            return local
        except DrumigenError as error:
            self._say("warning", f"{error}; songs are rendered here")
            return local
        return jobs

    async def _deliver(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            batch = self.hub.batch()
            if batch is not None:
                self._tell(batch)
            await asyncio.sleep(BATCH_PERIOD)

    async def _give_signs(self) -> None:
        while True:
            self._tell(WebSign(self._panels.open, self._refused, self._port))
            self._panels.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_PERIOD):
                    await self._panels.changed.wait()

    async def _watch_tokens(self, path: Path, tokens: Tokens) -> None:
        """Ask to be replaced once ``tokens`` are no longer those at ``path``."""
        while True:
            await asyncio.sleep(TOKENS_PERIOD)
            if tokens_at(path) != tokens:
                self._say("info", "other pairing tokens: who was paired has to pair again")
                self._tell(TokensChanged())
                return

    async def _serve(self, jobs: JobQueue, tokens: Tokens | None) -> None:
        settings = self._settings
        sock = await self._listen()
        self._port = sock.getsockname()[1]
        policy = Policy(own_names((settings.host.lower(),)), settings.lan, tokens)
        app = application(
            self.hub, self, self._hello, jobs, self._panels, policy, self._count_refusal
        )
        config = uvicorn.Config(
            app,
            http=functools.partial(PatientProtocol, settings.connections),  # type: ignore[arg-type]  # it is called
            ws=PatientSocket,
            ws_max_size=HEAD_MAX,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
            h11_max_incomplete_event_size=HEAD_MAX,
        )
        log = logging.getLogger("uvicorn")
        log.addHandler(ServerLog(functools.partial(self._say, "error")))
        log.setLevel(logging.ERROR)
        log.propagate = False
        server = _Server(config)
        self._say("info", f"the panel is at {settings.url}")
        async with Advertisement(self._port, settings, self._say):
            await server.serve(sockets=[sock])

    async def _listen(self) -> socket.socket:
        settings, said = self._settings, False
        while True:
            try:
                return _bound(settings.address, settings.port, settings.connections)
            except OSError as error:
                if not said:
                    said = True
                    why = "is in use" if error.errno == errno.EADDRINUSE else f"{error.strerror}"
                    self._say(
                        "warning",
                        f"web.port {settings.port} on {settings.address} {why}: choose another by "
                        "web.port (0 is off); the music goes on without the panel",
                    )
            await asyncio.sleep(PORT_PERIOD)


class _Server(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:  # noqa: ANN401 - a generator
        """Capture none."""
        yield


def _bound(host: str, port: int, backlog: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: it cannot.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(max(16, backlog))
    except OSError:
        sock.close()
        raise
    return sock


async def run(sock: socket.socket) -> None:
    """Serve until the daemon closes the channel."""
    reader, writer = await asyncio.open_connection(sock=sock)
    unpacker: Unpacker[AnyToWeb] = Unpacker(AnyToWeb)
    process: WebProcess | None = None
    serving: asyncio.Task[None] | None = None
    try:
        while data := await reader.read(65536):
            for message in unpacker.feed(data):
                if process is None:
                    if isinstance(message, WebHello):
                        process = WebProcess(writer, message)
                        serving = asyncio.create_task(process.run())
                        serving.add_done_callback(_leave_if_broken)
                else:
                    process.told(message)
    except (ConnectionError, ChannelClosedError):
        pass
    finally:
        if serving is not None:
            serving.cancel()
            await asyncio.wait((serving,), timeout=SHUTDOWN_SECONDS_MAX + 1.0)
        writer.transport.abort()
        os._exit(0)


def _leave_if_broken(serving: asyncio.Task[None]) -> None:
    """End the process if its work ended: the daemon starts another."""
    if not serving.cancelled():
        error = serving.exception()
        sys.stderr.write(one_line(f"drumigen web: {error!r}") + "\n")
        os._exit(1)


def main() -> int:
    """Serve for the daemon that started this process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    limit_memory(MEMORY_MAX)
    asyncio.run(run(socket.socket(fileno=int(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
