"""A real JACK server with its dummy driver, private to one test session, and a peer to play with.

Tests take part by naming the fixture ``jack_server``.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import jack
import pytest

from drumigen.units import Seconds

RATE = 48_000
Result = TypeVar("Result")


class JackServer:
    """``jackd`` under a name of its own, found through ``JACK_DEFAULT_SERVER``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def start(self, period: int = 256) -> None:
        program = shutil.which("jackd")
        if program is None:
            pytest.fail("jackd is missing: apt-get install --no-install-recommends jackd2")
        # realtime where it is permitted: without it a busy machine tears holes into any clock
        scheduling = ["-R", "-P", "60"] if realtime_permitted() else ["-r"]
        driver = ["-d", "dummy", "-r", str(RATE), "-p", str(period)]
        command = [program, *scheduling, "-n", self.name, *driver]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, 10, "jackd did not come up: try it by hand, and look at /dev/shm")
        jack.set_error_function(lambda _: None)
        self._killed = False

    def _answers(self) -> bool:
        # asked by another program: libjack crashes when a process that still has a client of the
        # server's former life opens a new one
        return (
            subprocess.run(
                ["jack_lsp", "-s", self.name], capture_output=True, check=False
            ).returncode
            == 0
        )

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None
            self._killed = number == signal.SIGKILL

    def clean_up(self) -> None:
        """Stop; a killed server holds one of JACK's 8 places until one of its name ends well."""
        self.stop()
        if self._killed:
            self.start()
            self.stop()


def realtime_permitted() -> bool:
    """Whether this user may have SCHED_FIFO, asked in a process of its own."""
    script = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))"
    asked = subprocess.run([sys.executable, "-c", script], check=False, stderr=subprocess.DEVNULL)
    return asked.returncode == 0


@pytest.fixture
def jack_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JackServer]:
    """A server not yet started."""
    name = f"drumigen-test-{os.getpid()}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    server = JackServer(name)
    yield server
    server.clean_up()


class JackPeer:
    """Another program on the server: plays messages on given frames, records those it hears."""

    def __init__(self, name: str = "peer") -> None:
        self.client: Any = jack.Client(name, use_exact_name=True, no_start_server=True)
        self.ears: Any = self.client.midi_inports.register("ears")
        self.voice: Any = self.client.midi_outports.register("voice")
        self.heard: list[tuple[int, bytes]] = []
        self.xruns = 0
        self.to_play: list[tuple[int, bytes]] = []
        self.client.set_process_callback(self._process)
        self.client.set_xrun_callback(self._xrun)
        self.client.activate()

    def _process(self, frames: int) -> None:
        start = self.client.last_frame_time
        self.heard += [
            (start + offset, bytes(data)) for offset, data in self.ears.incoming_midi_events()
        ]
        self.voice.clear_buffer()
        while self.to_play and self.to_play[0][0] < start + frames:
            frame, data = self.to_play.pop(0)
            self.voice.write_midi_event(max(frame - start, 0), data)

    def _xrun(self, _delay: float) -> None:
        self.xruns += 1

    def play(self, events: Sequence[tuple[int, bytes]]) -> None:
        self.to_play += events

    def close(self) -> None:
        self.client.deactivate()
        self.client.close()


def undisturbed(xruns: Callable[[], int], measure: Callable[[], Result]) -> Result:
    """Measure again if the server missed a cycle, and lost what was in it: not our doing.

    ``xruns`` counts the cycles that were missed so far.
    """
    for _ in range(12):
        before = xruns()
        result = measure()
        if xruns() == before:
            return result
    pytest.fail("the server misses cycles all the time: this machine is too busy")


class PeerProcess:
    """A :class:`JackPeer` in a process of its own.

    Needed beside RtMidi, whose calls to JACK hold the interpreter's lock: callbacks of this
    process would wait for it, the server for them, and RtMidi for the server.
    """

    def __init__(self, name: str = "peer") -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve_peer, args=(theirs, name), daemon=True)
        self._process.start()
        theirs.close()
        assert self._connection.recv() == "ready"

    @property
    def heard(self) -> list[tuple[int, bytes]]:
        heard: list[tuple[int, bytes]] = self._ask("heard")
        return heard

    def play_soon(self, messages: Sequence[bytes]) -> None:
        """Play all ``messages`` on one frame, 50 ms from now."""
        self._ask("play_soon", messages)

    def port_names(self) -> list[str]:
        names: list[str] = self._ask("port_names")
        return names

    def connect(self, source: str, destination: str) -> None:
        self._ask("connect", source, destination)

    def close(self) -> None:
        self._connection.send(None)
        self._process.join(10)
        self._process.close()
        self._connection.close()

    def _ask(self, what: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever it answers
        self._connection.send((what, *arguments))
        return self._connection.recv()


def _serve_peer(connection: Connection, name: str) -> None:
    jack.set_error_function(lambda _: None)
    peer = JackPeer(name)
    answers: dict[str, Callable[..., object]] = {
        "heard": lambda: peer.heard,
        "play_soon": lambda messages: peer.play(
            [(peer.client.frame_time + RATE // 20, message) for message in messages]
        ),
        "port_names": lambda: [port.name for port in peer.client.get_ports(is_midi=True)],
        "connect": peer.client.connect,
    }
    connection.send("ready")
    while (question := connection.recv()) is not None:
        what, *arguments = question
        connection.send(answers[what](*arguments))
    peer.close()


class Heard:
    """An inbox that keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[str, bytes, Seconds]] = []

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        self.events.append((source, data, at))


def wait_for(condition: Callable[[], object], seconds: float, complaint: str) -> None:
    """Return as soon as ``condition`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(complaint)
        time.sleep(0.01)
