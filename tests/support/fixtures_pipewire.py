"""A real PipeWire, headless and private to one test: its JACK library, and drivers that change.

Tests take part by naming the fixture ``pipewire``.  Programs that the test
starts see PipeWire's server and its JACK library by their environment, as under ``pw-jack``; this
process itself keeps jackd's.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fixtures_jack import wait_for

JACK_LIBRARY = "/usr/${LIB}/pipewire-0.3/jack"
"""Where pw-jack finds PipeWire's libjack; the loader knows ``${LIB}``."""

PRIORITY = 30_000
"""Of a driver that the graph prefers to PipeWire's own dummy driver, which has 20,000."""


class PipeWire:
    """pipewire and wireplumber on a session bus of their own, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bus: subprocess.Popen[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._manager: subprocess.Popen[bytes] | None = None
        self._pulse: subprocess.Popen[bytes] | None = None
        self.environment = {
            "LD_LIBRARY_PATH": JACK_LIBRARY,
            **{
                name: str(folder / name.lower())
                for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
            },
        }
        for path in map(Path, self.environment.values()):
            if path.is_relative_to(folder):
                path.mkdir(mode=0o700)

    def start(self) -> None:
        """Start what does not run; return when JACK clients are let in."""
        if self._bus is None:
            command = [_installed("dbus-daemon"), "--session", "--nofork", "--print-address"]
            self._bus = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert self._bus.stdout is not None
            self.environment["DBUS_SESSION_BUS_ADDRESS"] = self._bus.stdout.readline().strip()
        self._server = self._run("pipewire")
        wait_for(self.objects, 20, f"pipewire did not come up: {self._folder}/*.log")
        self._manager = self._run("wireplumber")

    def start_pulse(self) -> None:
        """Be a PulseAudio server as well, as on every desktop."""
        self._pulse = self._run("pipewire-pulse")
        socket = Path(self.environment["XDG_RUNTIME_DIR"]) / "pulse" / "native"
        wait_for(socket.exists, 20, f"pipewire-pulse did not come up: {self._folder}/*.log")

    @property
    def pulse(self) -> "subprocess.Popen[bytes]":
        """The process that :meth:`start_pulse` started."""
        assert self._pulse is not None
        return self._pulse

    @contextmanager
    def recording(self, sink: str, file: Path) -> Iterator[None]:
        """Record what ``sink`` plays to ``file``, 48 kHz stereo in floats, during a block."""
        command = ["--target", sink, "--rate", "48000", "--channels", "2", "--format", "f32"]
        recorder = subprocess.Popen(
            [_installed("pw-record"), "-P", "{ stream.capture.sink=true }", *command, str(file)],
            env=self._environment,
        )
        try:
            wait_for(lambda: file.exists() and file.stat().st_size > 4096, 20, "no recording")
            yield
        finally:
            recorder.send_signal(signal.SIGINT)
            recorder.wait(10)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End pipewire, and the session manager after it."""
        for process in (self._pulse, self._server, self._manager):
            if process is not None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
                process.wait(10)
        self._server = self._manager = self._pulse = None

    def hang(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def clean_up(self) -> None:
        self.stop()
        if self._bus is not None:
            self._bus.kill()
            self._bus.communicate()
            self._bus = None

    def objects(self) -> list[dict[str, Any]]:
        """Return everything there is; nothing while the server is not there."""
        done = self._tool("pw-dump", "--no-colors", check=False)
        return json.loads(done) if done.strip() else []

    def nodes(self) -> dict[str, int]:
        """Return the ids of nodes by their name."""
        return {
            each["info"]["props"].get("node.name", ""): each["id"]
            for each in self.objects()
            if each["type"].endswith(":Node")
        }

    @contextmanager
    def driver(self, name: str = "other-driver", priority: int = PRIORITY) -> Iterator[None]:
        """Have another sink drive the graph for the length of a block, by a clock of its own."""
        properties = {
            "factory.name": "support.null-audio-sink",
            "node.name": name,
            "media.class": "Audio/Sink",
            "object.linger": True,
            "audio.position": "FL,FR",
            "priority.driver": priority,
        }
        self._tool("pw-cli", "create-node", "adapter", json.dumps(properties))
        try:
            yield
        finally:
            node = self.nodes().get(name)
            if node is not None:
                self._tool("pw-cli", "destroy", str(node))

    def force_quantum(self, frames: int) -> None:
        """Have every cycle last ``frames``; 0 leaves it to the clients."""
        self._tool("pw-metadata", "-n", "settings", "0", "clock.force-quantum", str(frames))

    def command(self, node: str, command: str) -> None:
        """Send ``Suspend``, ``Pause`` or ``Start`` to a node."""
        self._tool("pw-cli", "send-command", str(self.nodes()[node]), command)

    def _run(self, program: str) -> "subprocess.Popen[bytes]":
        with (self._folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen(
                [_installed(program)], stdout=log, stderr=log, env=self._environment
            )

    def _tool(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            [_installed(command[0]), *command[1:]],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=20,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def _installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        packages = "pipewire pipewire-jack pipewire-pulse wireplumber dbus"
        pytest.fail(f"{program} is missing: apt-get install --no-install-recommends {packages}")
    return found


@pytest.fixture
def pipewire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeWire]:
    """A server that runs, and an environment in which programs find it and its JACK library."""
    folder = tmp_path / "pipewire"
    folder.mkdir()
    server = PipeWire(folder)
    monkeypatch.delenv("JACK_DEFAULT_SERVER", raising=False)
    try:
        server.start()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
    finally:
        server.clean_up()
