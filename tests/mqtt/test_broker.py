"""drumigen on a real broker: controlled, telling, and unmoved by whatever the broker does."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from drumigen_daemon.controls.table import STANDING, VALUES
from drumigen_daemon.mqtt.messages import AnyFromBridge, Hello, MqttSettings
from drumigen_daemon.mqtt.process import Bridge
from drumigen_daemon.process.channel import Unpacker
from drumigen_daemon.process.log_line import LogLine
from fixtures_broker import Broker, Certificates, Client, flood
from fixtures_jack import wait_for
from stage_fixtures import Daemon, drumigen

pytestmark = [pytest.mark.broker, pytest.mark.process]

ROLLING = ("--backend", "null", "--bpm", "240", "--set", "clock.source=internal")


def settings(broker: Broker, **more: object) -> list[str]:
    values = {"host": "127.0.0.1", "port": broker.port, "telemetry_seconds": 1, **more}
    return [word for key, value in values.items() for word in ("--set", f"mqtt.{key}={value}")]


@pytest.fixture
def band(client: Client, broker: Broker, tmp_path: Path) -> Iterator[Daemon]:
    with drumigen(tmp_path, *ROLLING, *settings(broker)) as daemon:
        client.expect("drumigen/drumigen/status", "online")
        client.expect("drumigen/drumigen/playing/state", "off")
        yield daemon


def bridge_of(daemon: Daemon) -> int:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"drumigen_daemon.mqtt.process" in command and parent == daemon.process.pid:
                return int(folder.name)
    pytest.fail("there is no bridge")


def bars_of(daemon: Daemon) -> int:
    return int(daemon.counters()["bars"])


# --- control and state ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {
            "style": ("dilla", "j_dilla"),
            "tempo": ("96.5", "96.5"),
            "meter": ("7/8", "7/8"),
            "variation": ("off", "off"),
            "quantum": ("bar", "bar"),
            "seed": ('{"value": 7}', "7"),
            "offset_ms": ("-4", "-4"),
            "offset_ms.snare": ("6", "6"),
            "kit": ("tr8s", "tr8s"),
        }
    ],
)
def test_every_control_is_asked_for_on_one_topic_and_told_on_another(
    band: Daemon, client: Client, changes: dict[str, tuple[str, str]]
) -> None:
    told = {topic.split("/")[2] for topic, _, _ in client.heard if topic.endswith("/state")}
    valued = {
        str(name) for name, allowed in VALUES.items() if allowed is not None and name in STANDING
    }
    assert told >= valued
    for control, (asked, _) in changes.items():
        client.say(f"drumigen/drumigen/{control}/set", asked)
    for control, (_, state) in changes.items():
        client.expect(f"drumigen/drumigen/{control}/state", state)
    assert band.status()["style"] == "j_dilla"
    assert band.status()["kit"] == "tr8s"

    client.say("drumigen/drumigen/start/set")
    client.expect("drumigen/drumigen/playing/state", "on")
    client.say("drumigen/drumigen/playing/set", "off")
    client.expect("drumigen/drumigen/playing/state", "off")
    # what is changed elsewhere is told as well, and is there for who comes later
    band.control("tempo", 150)
    client.expect("drumigen/drumigen/tempo/state", "150")
    later = Client(client.port)
    later.expect("drumigen/drumigen/tempo/state", "150")
    assert all(kept for topic, _, kept in later.heard if topic.endswith("/state"))
    later.close()


def test_what_is_refused_is_told_why_and_changes_nothing(band: Daemon, client: Client) -> None:
    client.say("drumigen/drumigen/tempo/set", "9000")
    wait_for(lambda: client.last("drumigen/drumigen/error"), 10, "no error was told")
    error = json.loads(client.last("drumigen/drumigen/error") or "")
    assert error["control"] == "tempo"
    assert "20 to 400" in error["problem"]
    assert client.last("drumigen/drumigen/tempo/state") == "240"
    assert band.status()["tempo"] == 240


def test_a_kept_command_does_not_start_the_band_when_the_network_comes_back(
    client: Client, broker: Broker, tmp_path: Path
) -> None:
    client.say("drumigen/drumigen/start/set", "1", keep=True)
    client.say("drumigen/drumigen/tempo/set", "99", keep=True)
    with drumigen(tmp_path, *ROLLING, *settings(broker)) as daemon:
        client.expect("drumigen/drumigen/playing/state", "off")
        wait_for(lambda: telemetry(client)["mqtt"]["ignored"] >= 2, 20, "they were not ignored")
        assert daemon.status()["transport"] == "stopped"
        assert daemon.status()["tempo"] == 240


def telemetry(client: Client) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(client.last("drumigen/drumigen/telemetry") or '{"mqtt": {}}')
    told["mqtt"].setdefault("ignored", 0)
    return told


def test_bars_are_told_before_they_sound(band: Daemon, client: Client) -> None:
    def told() -> list[dict[str, Any]]:
        return [json.loads(bar) for bar in client.all("drumigen/drumigen/bars")]

    # even while the song stands still
    wait_for(lambda: {bar["bar"] for bar in told()} >= {1, 2}, 20, "no bars were told")
    client.forget()
    client.say("drumigen/drumigen/start/set")
    wait_for(lambda: bars_of(band) > 6, 20, "no bars sounded")
    ahead = [bar for bar in told() if bar["in_seconds"] is not None]
    assert {bar["bar"] for bar in ahead} >= {4, 5, 6}
    assert all(bar["in_seconds"] > 0 for bar in ahead)
    assert all(len(hit) == 3 for bar in ahead for hit in bar["hits"])


def test_counters_are_told_at_a_bounded_rate(band: Daemon, client: Client) -> None:
    client.say("drumigen/drumigen/start/set")
    client.expect("drumigen/drumigen/playing/state", "on")
    client.forget()
    wait_for(lambda: bars_of(band) > 3, 20, "no bars sounded")
    wait_for(lambda: len(client.all("drumigen/drumigen/telemetry")) >= 3, 20, "no telemetry")
    told = telemetry(client)
    assert told["bars"] > 0
    assert told["lock"] == "internal"
    assert told["mqtt"]["connected"]


def test_several_drumigens_start_and_switch_together(
    client: Client, broker: Broker, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("left", "right")]
    for folder in folders:
        folder.mkdir()
    left = settings(broker, id="left", group="stage")
    right = settings(broker, id="right", group="stage")
    with drumigen(folders[0], *ROLLING, *left), drumigen(folders[1], *ROLLING, *right):
        for name in ("left", "right"):
            client.expect(f"drumigen/{name}/playing/state", "off")
        client.say("drumigen/group/stage/style/set", "funk")
        client.say("drumigen/group/stage/start/set")
        for name in ("left", "right"):
            client.expect(f"drumigen/{name}/style/state", "funk")
            client.expect(f"drumigen/{name}/playing/state", "on")
        client.say("drumigen/group/other/stop/set")
        client.say("drumigen/left/tempo/set", "100")
        client.expect("drumigen/left/tempo/state", "100")
        assert client.last("drumigen/right/tempo/state") == "240"
        assert client.last("drumigen/right/playing/state") == "on"


# --- presence ------------------------------------------------------------------------------


def test_home_assistant_is_told_of_everything_and_told_again_when_it_is_born(
    band: Daemon, client: Client
) -> None:
    def entities() -> dict[str, dict[str, Any]]:
        found = {}
        for topic, payload, _ in client.heard:
            if topic.startswith("homeassistant/") and topic.endswith("/config"):
                found[topic] = json.loads(payload)
        return found

    wait_for(lambda: len(entities()) > len(VALUES), 10, "too few entities")
    known = entities()
    commanded = {config.get("command_topic") for config in known.values()}
    assert commanded >= {f"drumigen/drumigen/{control}/set" for control in VALUES}
    assert "j_dilla" in known["homeassistant/select/drumigen_drumigen/style/config"]["options"]
    for config in known.values():
        assert config["availability_topic"] == "drumigen/drumigen/status"
    assert len({config["unique_id"] for config in known.values()}) == len(known)

    client.forget()
    client.say("homeassistant/status", "online")
    wait_for(lambda: entities() == known, 10, "they were not told again")
    client.expect("drumigen/drumigen/status", "online")
    client.expect("drumigen/drumigen/tempo/state", "240")
    assert band.status()["ready"]


def test_the_broker_tells_that_a_killed_one_is_gone(band: Daemon, client: Client) -> None:
    told = partial(client.all, "drumigen/drumigen/status")
    os.kill(bridge_of(band), signal.SIGKILL)
    # another takes its place
    wait_for(lambda: told()[-2:] == ["offline", "online"], 20, f"it was told {told()}")
    band.process.kill()
    client.expect("drumigen/drumigen/status", "offline")


class Speaking:
    """A bridge in this process, as of a daemon that only listens."""

    def __init__(self, broker: Broker, name: str = "drumigen") -> None:
        self.said: list[str] = []
        hello = Hello(MqttSettings(host="127.0.0.1", port=broker.port, id=name), "0")
        self.bridge = Bridge(cast("asyncio.StreamWriter", self), hello)
        self.task = asyncio.create_task(self.bridge.serve())

    def write(self, data: bytes) -> None:
        unpacker: Unpacker[AnyFromBridge] = Unpacker(AnyFromBridge)
        self.said += [m.text for m in unpacker.feed(data) if isinstance(m, LogLine)]

    @property
    def warnings(self) -> int:
        return sum("another drumigen has the id" in line for line in self.said)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def reached(what: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - a broker tells nobody
            await asyncio.sleep(0.02)


async def test_two_of_one_id_are_warned_once_and_the_living_one_stays_online(
    broker: Broker, client: Client
) -> None:
    # what the broker keeps was said by somebody who may be long gone
    client.say("drumigen/third/instance", "one-of-last-year", keep=True)
    one, other, third = Speaking(broker), Speaking(broker), Speaking(broker, "third")
    await reached(lambda: one.warnings == other.warnings == 1)
    told = partial(client.all, "drumigen/drumigen/status")
    await reached(lambda: told().count("online") >= 2)
    client.forget()
    await other.end()  # says goodbye for both
    await reached(lambda: told()[-2:] == ["offline", "online"])
    client.forget()
    client.say("drumigen/drumigen/status", "offline", keep=True)  # as the will of one that died
    await reached(lambda: told()[-2:] == ["offline", "online"])
    assert (one.warnings, other.warnings, third.warnings) == (1, 1, 0)
    await one.end()
    await reached(lambda: told()[-1] == "offline")
    await third.end()


def test_who_ends_says_goodbye(band: Daemon, client: Client) -> None:
    band.end()
    client.expect("drumigen/drumigen/status", "offline")


def test_a_broker_that_comes_back_is_told_everything_again(band: Daemon, broker: Broker) -> None:
    band.control("start")
    broker.stop()
    band.control("tempo", 200)
    wait_for(lambda: bars_of(band) > 2, 20, "no bars sounded without a broker")
    before = band.counters()["fallback_bars"]
    broker.start()
    again = Client(broker.port)
    again.expect("drumigen/drumigen/status", "online", 30)
    again.expect("drumigen/drumigen/tempo/state", "200")
    again.expect("drumigen/drumigen/playing/state", "on")
    again.say("drumigen/drumigen/tempo/set", "180")
    again.expect("drumigen/drumigen/tempo/state", "180")
    again.close()
    assert band.counters()["fallback_bars"] == before


def test_a_hung_bridge_is_replaced_and_the_song_goes_on(band: Daemon, client: Client) -> None:
    band.control("start")
    wait_for(lambda: bars_of(band) > 2, 20, "no bars sounded")
    before = band.counters()["fallback_bars"]
    hung = bridge_of(band)
    os.kill(hung, signal.SIGSTOP)
    wait_for(lambda: not Path(f"/proc/{hung}").exists(), 40, "the bridge still hangs")
    wait_for(lambda: client.all("drumigen/drumigen/status")[-2:] == ["offline", "online"], 20, "-")
    assert band.counters()["fallback_bars"] == before


# --- who we are ----------------------------------------------------------------------------


def test_a_password_comes_from_a_file_or_the_environment_and_is_never_logged(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "correct horse battery"  # noqa: S105 - made for this test
    broker.demand_password("drummer", secret)
    broker.start()
    client = Client(broker.port, lambda paho: paho.username_pw_set("drummer", secret))
    more = [*settings(broker, username="drummer"), "--set", "log.level=debug"]

    kept = tmp_path / "password"
    kept.write_text("wrong one\n")
    with drumigen(tmp_path, *ROLLING, *more, "--set", f"mqtt.password_file={kept}") as daemon:
        wait_for(lambda: "ot authori" in daemon.log.read_text(), 20, "it was let in, or silent")
        kept.write_text(f"{secret}\n")  # mended without a restart
        client.expect("drumigen/drumigen/status", "online", 30)
        assert secret not in daemon.log.read_text()
        assert "wrong one" not in daemon.log.read_text()
        for pid in (daemon.process.pid, bridge_of(daemon)):
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    client.expect("drumigen/drumigen/status", "offline")

    monkeypatch.setenv("DRUMIGEN_MQTT_PASSWORD", secret)
    with drumigen(tmp_path, *ROLLING, *more) as daemon:
        client.expect("drumigen/drumigen/status", "online", 30)
        assert secret not in daemon.log.read_text()
    client.close()


def test_tls_is_spoken_to_the_right_broker_only_and_with_a_certificate_of_our_own(
    broker: Broker, certificates: Certificates, tmp_path: Path
) -> None:
    broker.speak_tls(certificates, demand_client=True)
    broker.start()

    def prepare(paho: Any) -> None:  # noqa: ANN401
        paho.tls_set(
            certificates.path("ca.crt"),
            certificates.path("client.crt"),
            certificates.path("client.key"),
        )

    client = Client(broker.port, prepare)
    ours = {
        "tls": "on",
        "cert_file": certificates.path("client.crt"),
        "key_file": certificates.path("client.key"),
    }
    right = settings(broker, ca_file=certificates.path("ca.crt"), **ours)
    with drumigen(tmp_path, *ROLLING, *right):
        client.expect("drumigen/drumigen/status", "online", 30)
        client.say("drumigen/drumigen/tempo/set", "111")
        client.expect("drumigen/drumigen/tempo/state", "111")
    client.expect("drumigen/drumigen/status", "offline")
    client.forget()
    strange = settings(broker, ca_file=certificates.path("stranger.crt"), **ours)
    with drumigen(tmp_path, *ROLLING, *strange) as daemon:
        wait_for(
            lambda: "certificate verify failed" in daemon.log.read_text(), 20, "it was trusted"
        )
        assert client.last("drumigen/drumigen/status") is None
    client.close()


# --- brokers and neighbours that mean no good -----------------------------------------------


JUNK = [
    ("drumigen/drumigen/tempo/set", b"junk"),
    ("drumigen/drumigen/tempo/set", b"\xff\xfe\x00"),
    ("drumigen/drumigen/tempo/set", b'{"value": [[[['),
    ("drumigen/drumigen/tempo/set", b"9" * 5_000),
    ("drumigen/drumigen/nothing/set", b"1"),
    ("drumigen/drumigen/tempo/set/set", b"1"),
    ("drumigen/drumigen/offset_ms.snare/set", b"1e999"),
    ("drumigen/drumigen/variation/set", b"perhaps"),
    ("homeassistant/status", b"online"),
    ("drumigen/drumigen/style/set", b"x" * 2_000),
]


def test_floods_and_junk_change_nothing_in_the_music(
    band: Daemon, client: Client, broker: Broker
) -> None:
    band.control("start")
    wait_for(lambda: bars_of(band) > 2, 20, "no bars sounded")
    client.paho.unsubscribe("#")
    before = band.counters()
    memory = resident(band.process.pid)
    client.say("drumigen/drumigen/style/set", b"x" * 10_000_000)
    sent = flood(broker.port, JUNK, 10_000, 4.0)
    assert sent > 20_000
    counters = band.counters()
    assert counters["bars"] - before["bars"] >= 3
    for name in ("fallback_bars", "late_bars", "dropped_notes", "engine_restarts"):
        assert counters[name] == before[name], name
    assert band.status()["tempo"] == 240
    assert resident(band.process.pid) - memory < 8_000
    # and who means well is heard afterwards
    again = Client(broker.port)

    def heard() -> bool:
        # what the broker could not deliver in the flood it drops, also of those who mean well
        again.say("drumigen/drumigen/tempo/set", "222")
        time.sleep(0.5)
        return again.last("drumigen/drumigen/tempo/state") == "222"

    wait_for(heard, 60, "nobody listens any more")
    again.close()


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def says_nothing(peer: socket.socket) -> None:
    while peer.recv(1000):  # until who came has lost patience
        pass


def says_nonsense(peer: socket.socket) -> None:
    peer.sendall(os.urandom(10_000))


def announces_too_much(peer: socket.socket) -> None:
    peer.recv(1000)
    peer.sendall(b"\x20\x02\x00\x00")  # welcome
    peer.sendall(b"\x30\xff\xff\xff\x7f\x00\x05topic")  # a message of 256 MB follows
    for _ in range(100):
        peer.sendall(bytes(100_000))


def hangs_up(peer: socket.socket) -> None:
    peer.recv(1000)


@pytest.mark.parametrize("manner", [says_nothing, says_nonsense, announces_too_much, hangs_up])
def test_a_hostile_broker_changes_nothing_in_the_music(
    manner: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    visits = []

    def welcome() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            visits.append(peer)
            try:
                with peer:
                    manner(peer)
            except OSError:
                continue

    host = threading.Thread(target=welcome, daemon=True)
    host.start()
    arguments = ("--set", "mqtt.host=127.0.0.1", "--set", f"mqtt.port={listener.getsockname()[1]}")
    with drumigen(tmp_path, *ROLLING, *arguments, "--bpm", "400") as daemon:
        daemon.control("start")
        wait_for(lambda: visits, 20, "nobody came")
        wait_for(lambda: bars_of(daemon) > 2, 30, "no bars sounded")
        before = daemon.counters()
        wait_for(lambda: bars_of(daemon) > 10, 30, "no bars sounded")
        counters = daemon.counters()
        for name in ("fallback_bars", "dropped_notes", "engine_restarts"):
            assert counters[name] == before[name], name
        assert "Traceback" not in daemon.log.read_text()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    host.join(20)


async def test_a_callback_that_breaks_is_one_line_and_no_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as silent, theirs:
        _, writer = await asyncio.open_connection(sock=ours)
        port = silent.getsockname()[1]
        bridge = Bridge(writer, Hello(MqttSettings(host="127.0.0.1", port=port), "0"))
        serving = asyncio.create_task(bridge.serve())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(os.close, -1)
        await asyncio.sleep(0.05)
        said = theirs.recv(65536)
        serving.cancel()
        writer.close()
    assert b"Bad file descriptor; the music plays on" in said
    assert capfd.readouterr().err == ""
