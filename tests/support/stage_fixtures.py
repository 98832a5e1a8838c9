"""A stage for whole-daemon tests: jackd, a recorder process, and ``drumigen run`` itself.

Tests take part by naming the fixtures ``jack_server`` and ``stage``.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drumigen.errors import ControlError
from drumigen_daemon.control_socket import ask
from fixtures_jack import JackServer

STAGE = Path(__file__).parent / "jack_stage.py"


@dataclass(frozen=True)
class Recording:
    """What the recorder heard as (port, frame, time, bytes), and the frames of missed cycles."""

    events: list[tuple[str, int, float, list[int]]]
    xruns: list[int]
    rate: int
    breaks: list[tuple[float, float]] = field(default_factory=list)
    """From when to when there were no cycles, or they went on with other frames; monotonic."""

    def ons(self) -> list[tuple[int, int]]:
        """Note-ons as (frame, note)."""
        return [
            (frame, data[1])
            for port, frame, _, data in self.events
            if port == "notes" and data[0] & 0xF0 == 0x90
        ]

    def times(self, note: int) -> list[float]:
        """When ``note`` was begun, in monotonic seconds: JACK's frames stand still when it does."""
        return [
            at
            for port, _, at, data in self.events
            if port == "notes" and data[0] & 0xF0 == 0x90 and data[1] == note
        ]

    def clock(self) -> list[tuple[int, list[int]]]:
        """What the master said, as (frame, bytes)."""
        return [(frame, data) for port, frame, _, data in self.events if port == "clock"]

    def hanging(self) -> set[int]:
        """Notes begun and never ended."""
        ringing: set[int] = set()
        for port, _, _, data in self.events:
            if port == "notes" and data[0] & 0xF0 == 0x90:
                ringing.add(data[1])
            elif port == "notes" and data[0] & 0xF0 == 0x80:
                ringing.discard(data[1])
        return ringing

    def disturbed(self, frame: int, within: float = 0.25) -> bool:
        """Whether JACK missed a cycle within so many seconds before ``frame``."""
        return any(0 <= frame - xrun <= within * self.rate for xrun in self.xruns)


class Stage:
    """The recorder process and its commands."""

    def __init__(self, name: str = "stage") -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, str(STAGE), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, command: str, *args: object) -> Any:  # noqa: ANN401 - JSON
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": command, "args": args}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def dump(self) -> Recording:
        heard = self.do("dump")
        events = [tuple(event) for event in heard["events"]]
        return Recording(events, heard["xruns"], heard["rate"], [*map(tuple, heard["breaks"])])

    def close(self) -> None:
        self.process.communicate(timeout=5)


class Daemon:
    """``drumigen run`` as a user starts it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.socket = folder / "drumigen.sock"
        self.log = folder / "drumigen.log"
        command = [sys.executable, "-m", "drumigen_daemon.cli", "run", "--socket", str(self.socket)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *arguments], stderr=log)
        try:
            self._await_ready()
        except BaseException:
            self.process.kill()
            self.process.wait(10)
            raise

    def _await_ready(self) -> None:
        deadline = time.monotonic() + 60
        while not self._ready():
            if time.monotonic() > deadline:
                pytest.fail(f"the daemon did not get ready: {self.log.read_text()}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the daemon ended: {self.log.read_text()}")
        try:
            return bool(self.status()["ready"] and self.status()["generator"] == "ready")
        except ControlError:
            return False

    def status(self) -> dict[str, Any]:
        status = ask([self.socket], {"status": True})["status"]
        assert isinstance(status, dict)
        return status

    def counters(self) -> dict[str, Any]:
        counters = self.status()["counters"]
        assert isinstance(counters, dict)
        return counters

    def control(self, name: str, value: object = None) -> None:
        ask([self.socket], {"control": name, "value": value})

    def child(self, part: str) -> int:
        """Process id of ``engine`` or ``generator``."""
        pid = self.status()["processes"][part]
        assert isinstance(pid, int)
        return pid

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; return the seconds until the process was gone."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(10)
        return time.monotonic() - begun


@contextmanager
def drumigen(folder: Path, *arguments: str) -> Iterator[Daemon]:
    daemon = Daemon(folder, *arguments)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.terminate()
            daemon.process.wait(10)


@contextmanager
def program(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run another program for the length of a block."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def stage(jack_server: JackServer) -> Iterator[Stage]:
    """A recorder on a running server; start the server first for another period than 128."""
    jack_server.start(128)
    recorder = Stage()
    yield recorder
    recorder.close()
