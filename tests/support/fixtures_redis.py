"""A real Redis, private to one test, and real workers on it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from drumigen_daemon.generator.messages import WorkersAddress
from drumigen_daemon.workers.broker import Names
from drumigen_daemon.workers.messages import Advert
from fixtures_broker import Certificates, free_port
from fixtures_jack import wait_for


class Redis:
    """``redis-server`` on a port of its own, that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self._options: list[str] = ["--port", str(self.port)]
        self._tls: dict[str, Any] = {}
        self._password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis{'s' if self._tls else ''}://127.0.0.1:{self.port}/0"

    def demand_password(self, password: str) -> None:
        self._password = password
        self._options += ["--requirepass", password]

    def speak_tls(self, certificates: Certificates) -> None:
        self._options = [
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", certificates.path("server.crt")),
            *("--tls-key-file", certificates.path("server.key")),
            *("--tls-ca-cert-file", certificates.path("ca.crt")),
        ]
        self._tls = {"ssl": True, "ssl_ca_certs": certificates.path("ca.crt")}

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis is missing: apt-get install --no-install-recommends redis-server")
        command = [program, *self._options, "--save", "", "--appendonly", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--bind", "127.0.0.1", "--dir", str(self.folder)],
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, 20, "redis-server does not answer")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, password=self._password, socket_timeout=10, **self._tls)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def adverts(self, queue: str = "drumigen") -> dict[str, Advert]:
        said: Any = self.client().hgetall(Names(queue).workers)
        return {
            name.decode(): msgspec.json.decode(text, type=Advert) for name, text in said.items()
        }

    def address(self, **more: Any) -> WorkersAddress:  # noqa: ANN401 - its fields
        return WorkersAddress(self.url, **more)


class Worker:
    """``drumigen worker`` as a user starts it."""

    def __init__(self, server: Redis, *arguments: str, program: str = "") -> None:
        self.log = server.folder / f"worker-{free_port()}.log"
        self._server = server
        main = ["-c", program] if program else ["-m", "drumigen_daemon"]
        broker = ["--set", f"workers.broker={server.url}", "--set", "log.level=info"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *main, "worker", *arguments, *broker], stdout=log, stderr=log
            )
        self.pid = self.process.pid

    def await_ready(self, lane: str = "bars") -> None:
        wait_for(lambda: self.advert(lane) or self._ended(), 90, f"no worker: {self.said}")
        assert not self._ended(), self.said

    def advert(self, lane: str = "bars") -> Advert | None:
        found = self._server.adverts().items()
        mine = f"{lane}.{self.pid}@"
        beside = lane == "songs"  # of a process below this one
        return next(
            (said for name, said in found if said.lane == lane and (beside or mine in name)), None
        )

    def _ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """The processes that it started."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(each) for each in listed.read_text(encoding="ascii").split()]

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    """A Redis not yet started."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = Redis(folder)
    yield server
    server.kill()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Workers that are ended with the test: whoever starts one puts it here."""
    started: list[Worker] = []
    yield started
    for each in started:
        each.end()
