"""A daemon with its web process, and a fake daemon for the application alone."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.generator.messages import BANK
from drumigen_daemon.jobs.queue import LocalJobs
from drumigen_daemon.web.addresses import own_names
from drumigen_daemon.web.application import application
from drumigen_daemon.web.guard import Policy
from drumigen_daemon.web.hub import AnyValue, Hub
from drumigen_daemon.web.link import control_table, described_styles
from drumigen_daemon.web.messages import WebHello, WebSettings, WebState
from drumigen_daemon.web.socket import Panels
from drumigen_daemon.web.tokens import Tokens
from fixtures_jack import wait_for
from stage_fixtures import Daemon, drumigen

SONG: dict[str, Any] = {
    "transport": "stopped",
    "tempo": 120.0,
    "tick_origin": 0.0,
    "time_origin": 100.0,
    "stored_tick": 0,
    "meters": [[0, 0, "4/4"]],
    "style": "rock",
    "bar_style": "",
    "lock": "internal",
}


class FakeDaemon:
    """Takes what a daemon would; refuses the controls that it is told to refuse."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.carried: list[tuple[str, AnyValue]] = []
        self.refuses: dict[str, str] = {}
        self.silent = False
        self.bars: list[dict[str, Any]] = []

    async def controls(self, wanted: Mapping[str, AnyValue]) -> Mapping[str, str]:
        for name, value in wanted.items():
            self._hub.check(name, value)
        if self.silent:
            raise TimeoutError
        self.carried += wanted.items()
        return {name: why for name, why in self.refuses.items() if name in wanted}

    async def history(self, first: int, last: int) -> list[dict[str, Any]]:
        if self.silent:
            raise TimeoutError
        return self.bars[first - 1 : last] if last else self.bars[-first:]


class Application:
    """The guarded application over a fake daemon."""

    def __init__(self, tokens: Tokens | None = None, **settings: Any) -> None:  # noqa: ANN401
        self.hub = Hub()
        self.hub.take_state(WebState(100.0, {"tempo": 120.0, "style": "rock"}, SONG, {}))
        self.daemon = FakeDaemon(self.hub)
        self.settings = WebSettings(**settings)
        styles = tuple(described_styles(known_styles()))
        self.hello = WebHello(self.settings, "0", "", control_table(), styles, BANK)
        self.jobs = LocalJobs(self.settings.queued_jobs, self.settings.results_s, BANK)
        self.panels = Panels(self.hub, self.daemon, self.hello)
        self.refused = 0
        self.policy = Policy(own_names(), self.settings.lan, tokens)
        self.app = application(
            self.hub,
            self.daemon,
            self.hello,
            self.jobs,
            self.panels,
            self.policy,
            self._count,
        )

    def _count(self) -> None:
        self.refused += 1


def child_running(module: str, parent: int) -> int:
    """Return the process id of the child of ``parent`` that runs ``module``."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
            status = (folder / "status").read_text()
        except OSError:
            continue
        if module.encode() in line and f"\nPPid:\t{parent}\n" in status:
            return int(folder.name)
    pytest.fail(f"no {module} below process {parent}")


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Web:
    """A client of a daemon's API."""

    def __init__(self, daemon: Daemon, port: int) -> None:
        self.daemon = daemon
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer."""
        data = None if body is None else json.dumps(body).encode()
        named = {"content-type": "application/json"} if body is not None else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(  # noqa: S310 - our own
            self.url + path, data, named, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        status, _, body = self.ask("GET", f"/api/v1{path}")
        assert status == 200, body
        return json.loads(body)

    def answers(self) -> bool:
        """Whether the web process is there."""
        try:
            return self.ask("GET", "/api/v1/now")[0] == 200
        except OSError:
            return False

    def pid(self) -> int:
        """Process id of the web process."""
        return child_running("drumigen_daemon.web.process", self.daemon.process.pid)


@contextmanager
def web(folder: Path, *arguments: str) -> Iterator[Web]:
    """Run a daemon with a panel for the length of a block."""
    port = free_port()
    with drumigen(folder, "--set", f"web.port={port}", *arguments) as daemon:
        client = Web(daemon, port)
        wait_for(client.answers, 20, "the web process did not answer")
        yield client
