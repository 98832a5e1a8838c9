"""What the service manager is told, heard at a real socket."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.status.status import Status
from drumigen_daemon.status.systemd import Notifier, told
from fixtures_jack import wait_for
from stage_fixtures import drumigen

READY = Status(ready=True, heartbeats=1, style="funk", backend="null", generator="ready")


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self.heard: list[dict[str, str]] = []
        self._seen = 0

    def listen(self, seconds: float = 0.0) -> list[dict[str, str]]:
        """Return the datagrams not yet seen, after so many seconds, each as its lines."""
        end = time.monotonic() + seconds
        while select.select([self._socket], [], [], max(0.0, end - time.monotonic()))[0]:
            text = self._socket.recv(4096).decode()
            self.heard.append(dict(line.partition("=")[::2] for line in text.splitlines()))
        unseen, self._seen = self.heard[self._seen :], len(self.heard)
        return unseen

    def wait_for(self, key: str, seconds: float = 20.0) -> dict[str, str]:
        """Return the next datagram with ``key``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            first = self._seen
            for number, lines in enumerate(self.listen(0.05), first + 1):
                if key in lines:
                    self._seen = number
                    return lines
        pytest.fail(f"no {key} in {seconds} s, but {self.heard[-5:]}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def notifier(manager: Manager, clock: Clock, **environment: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.address, **environment}, clock, pid=7)


def beating(heartbeats: int) -> Status:
    return Status(ready=True, heartbeats=heartbeats, backend="null")


def test_ready_is_told_once_and_not_before_it_is_so(manager: Manager) -> None:
    speaker = notifier(manager, Clock())
    speaker.take(Status())
    assert all("READY" not in lines for lines in manager.listen())
    speaker.take(READY)
    (told,) = manager.listen()
    assert told == {
        "READY": "1",
        "STATUS": ("stopped, waiting for Start: funk at 120 BPM, clock unlocked, through null"),
    }
    speaker.take(READY)
    assert manager.listen() == []


def test_the_watchdog_is_fed_by_heartbeats_and_by_nothing_else(manager: Manager) -> None:
    clock = Clock()
    speaker = notifier(manager, clock, WATCHDOG_USEC="4000000", WATCHDOG_PID="7")
    fed = 0
    for beat in range(1, 41):
        clock.now += 0.25
        speaker.take(beating(beat))
        fed += sum("WATCHDOG" in lines for lines in manager.listen())
    assert fed == 10  # four times in each period of 4 s
    for _ in range(40):
        clock.now += 0.25
        speaker.take(beating(40))  # news of others, while the engine is silent
    assert all("WATCHDOG" not in lines for lines in manager.listen())


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "junk"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(
    manager: Manager, environment: dict[str, str]
) -> None:
    clock = Clock()
    speaker = notifier(manager, clock, **environment)
    for beat in range(10):
        clock.now += 1.0
        speaker.take(beating(beat + 1))
    assert all("WATCHDOG" not in lines for lines in manager.listen())


def test_the_status_text_is_told_at_a_bounded_rate(manager: Manager) -> None:
    clock = Clock()
    speaker = notifier(manager, clock)
    for beat in range(100):
        clock.now += 0.05
        lock = "locked" if beat % 2 else "locking"
        speaker.take(Status(ready=True, heartbeats=beat, lock=lock))
    assert 1 <= sum("STATUS" in lines for lines in manager.listen()) <= 6


def test_a_reload_is_told_from_its_beginning_to_its_end(manager: Manager) -> None:
    clock = Clock()
    speaker = notifier(manager, clock)
    speaker.reloading()
    speaker.reloaded()
    assert manager.listen() == []  # not ready yet: READY would be a lie
    speaker.take(READY)
    manager.listen()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    speaker.reloading()
    speaker.reloaded("tempo = 5000 is not allowed")
    begun, over = manager.listen()
    assert begun["RELOADING"] == "1"
    assert before <= int(begun["MONOTONIC_USEC"]) <= before + 10_000_000
    assert over["READY"] == "1"
    assert "tempo = 5000" in over["STATUS"]
    clock.now += 2.0
    speaker.take(READY)  # and it is still told when somebody looks
    assert "tempo = 5000" in manager.listen()[-1]["STATUS"]
    speaker.reloaded()
    clock.now += 2.0
    speaker.take(READY)
    assert "tempo = 5000" not in manager.listen()[-1]["STATUS"]


def test_a_manager_that_does_not_read_or_is_gone_costs_nothing(manager: Manager) -> None:
    clock = Clock()
    speaker = notifier(manager, clock, WATCHDOG_USEC="1000", WATCHDOG_PID="7")
    for beat in range(1, 5_000):
        clock.now += 1.0
        speaker.take(beating(beat))
    manager.close()
    Path(manager.address).unlink()
    speaker.take(READY)
    speaker.stopping()
    # one that comes after it is spoken to
    after = Manager(manager.address)
    speaker.stopping()
    assert after.listen()[-1]["STOPPING"] == "1"
    after.close()


def test_ready_that_could_not_be_told_is_told_later(tmp_path: Path) -> None:
    clock = Clock()
    address = str(tmp_path / "late")
    speaker = Notifier({"NOTIFY_SOCKET": address}, clock)
    speaker.take(READY)
    manager = Manager(address)
    speaker.take(READY)
    assert manager.listen()[0]["READY"] == "1"
    manager.close()


def test_an_abstract_socket_is_understood() -> None:
    manager = Manager(f"@drumigen-test-{os.getpid()}")
    speaker = Notifier({"NOTIFY_SOCKET": manager.address})
    speaker.take(READY)
    assert manager.listen()[0]["READY"] == "1"
    manager.close()


@pytest.mark.parametrize("address", ["", "relative", "vsock:1"])
def test_without_a_manager_nothing_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drumigen_daemon.status.systemd.socket.socket", None)  # none is made
    speaker = Notifier({"NOTIFY_SOCKET": address})
    speaker.take(READY)
    speaker.stopping()
    assert not speaker.wanted


def test_the_text_says_what_matters_in_one_line() -> None:
    assert told(Status()) == "opening MIDI ports"
    rolling = Status(ready=True, transport=TransportState.ROLLING, style="a\nb", lock="locked")
    assert told(rolling) == ("rolling: a b at 120 BPM, clock locked, through ; generator starting")


# --- the real daemon -----------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "drumigen.toml"
    path.write_text("[clock]\nsource = 'internal'\ntempo = 240\n")
    return path


@pytest.mark.process
def test_the_daemon_tells_its_whole_life(
    manager: Manager, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with drumigen(tmp_path, "--config", str(config), "--backend", "null") as daemon:
        manager.listen()
        assert sum("READY" in lines for lines in manager.heard) == 1

        config.write_text("[clock]\nsource = 'internal'\ntempo = 90\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert int(manager.wait_for("RELOADING")["MONOTONIC_USEC"]) > 0
        manager.wait_for("READY")
        wait_for(lambda: daemon.status()["tempo"] == 90, 5, "the tempo stayed as it was")

        config.write_text("[clock]\ntempo = 'junk'\n")
        daemon.process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING")
        assert "kept the old settings" in manager.wait_for("READY")["STATUS"]
        assert daemon.status()["tempo"] == 90

        daemon.process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING")
        assert daemon.process.wait(10) == 0


@pytest.mark.process
def test_the_watchdog_goes_hungry_while_the_player_stalls_and_the_player_is_replaced(
    manager: Manager, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with drumigen(tmp_path, "--config", str(config), "--backend", "null") as daemon:
        daemon.control("start")
        manager.wait_for("WATCHDOG")
        stalled = daemon.child("engine")
        os.kill(stalled, signal.SIGSTOP)
        begun = time.monotonic()
        manager.listen(0.5)  # what the engine had told before
        assert all("WATCHDOG" not in lines for lines in manager.listen(0.75))
        manager.wait_for("WATCHDOG")
        assert time.monotonic() - begun > 1.25
        assert daemon.child("engine") != stalled
        # it rejoins the song
        wait_for(lambda: daemon.status()["transport"] == "rolling", 5, "the song did not go on")
        assert daemon.counters()["engine_restarts"] == 1


@pytest.mark.process
def test_a_stalled_control_plane_feeds_no_watchdog_either(
    manager: Manager, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with drumigen(tmp_path, "--config", str(config), "--backend", "null") as daemon:
        manager.wait_for("WATCHDOG")
        engine = daemon.child("engine")
        daemon.process.send_signal(signal.SIGSTOP)
        manager.listen()
        assert manager.listen(3.0) == []
        daemon.process.send_signal(signal.SIGCONT)
        manager.wait_for("WATCHDOG")
        # it had only not listened: the engine was never at fault
        assert daemon.child("engine") == engine


@pytest.mark.process
def test_ready_waits_for_the_ports_and_not_for_the_generator(
    manager: Manager, tmp_path: Path
) -> None:
    """An engine that never opens its ports, and a generator that never comes."""
    script = (
        "import asyncio, os\n"
        "from drumigen_daemon.process import child\n"
        "from drumigen_daemon.app import end_on_signals, make_daemon, run_daemon\n"
        "from drumigen_daemon.status.systemd import Notifier\n"
        "from drumigen_daemon.settings.sections import Settings, MidiSettings\n"
        "real = child.spawn\n"
        "def spawn(module, *arguments):\n"
        "    if 'generator' in module: module = 'odd_child'; arguments = ('says nothing',)\n"
        "    return real(module, *arguments)\n"
        "child.spawn = spawn\n"
        "async def main():\n"
        "    daemon = make_daemon(Settings(midi=MidiSettings(backend='null')))\n"
        "    notifier = Notifier(os.environ)\n"
        "    daemon.listen(lambda: notifier.take(daemon.status))\n"
        "    end_on_signals(daemon.end)\n"
        "    await run_daemon(daemon)\n"
        "asyncio.run(main())\n"
    )
    support = str(Path(__file__).parents[1] / "support")
    path = os.pathsep.join([support, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=tmp_path) as process:
        assert "generator starting" in manager.wait_for("READY", 60.0)["STATUS"]
        process.terminate()
        assert process.wait(20) == 0
