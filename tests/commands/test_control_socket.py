import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drumigen.errors import ControlError, SettingsError
from drumigen.units import Bpm, Tick
from drumigen_daemon import control_socket
from drumigen_daemon.capture.capture import Capture
from drumigen_daemon.control_socket import CLIENTS_MAX, LINE_MAX, ControlSocket, ask
from drumigen_daemon.controls.binding import Binding
from drumigen_daemon.controls.table import STANDING, Controls
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import Origin, PlayedBar, PlayedNote
from drumigen_daemon.session import Session
from drumigen_daemon.status.status import Status
from drumigen_daemon.status.view_state import ViewState


class FakeDaemon:
    """Obeys controls and remembers bars; plays nothing."""

    def __init__(self) -> None:
        self.capture = Capture(10_000)
        self.controls = Controls(known_styles(), Session())
        self.learned = (Binding("swing", cc=20, channel=1, bits=14),)
        self.planner = self

    def sent_bar(self, number: int) -> None:
        """Have none."""

    def is_fill(self, number: int) -> bool:
        return number == 3

    @property
    def status(self) -> Status:
        return Status(style=self.controls.session.style)

    def control(self, name: str, value: Any = None) -> None:  # noqa: ANN401
        self.controls.apply(name, value, bar_tick=lambda bar: Tick(bar * 7680))


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


@pytest.fixture
async def opened(path: Path, daemon: FakeDaemon) -> AsyncIterator[ControlSocket]:
    async with ControlSocket(path, daemon) as server:
        yield server


class Client:
    """A client that may misbehave."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, path: Path) -> "Client":
        return cls(*await asyncio.open_unix_connection(path, limit=2**24))

    async def say(self, data: bytes) -> dict[str, Any]:
        self.writer.write(data)
        line = await self.reader.readline()
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def there(path: Path) -> bool:
    return path.exists()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.001)


async def asked(path: Path, request: object) -> dict[str, Any]:
    return await asyncio.to_thread(ask, [path], request)


def sounded(number: int) -> PlayedBar:
    notes = tuple(PlayedNote(number * 7680 + tick, 9, 36, 100, 60) for tick in range(0, 7680, 240))
    return PlayedBar(number, Tick(number * 7680), "4/4", "funk", Origin.GENERATED, Bpm(120), notes)


@pytest.mark.usefixtures("opened")
async def test_a_control_changes_the_session(path: Path, daemon: FakeDaemon) -> None:
    assert await asked(path, {"control": "tempo", "value": 96}) == {"ok": True}
    assert await asked(path, {"control": "style", "value": "dilla"}) == {"ok": True}
    assert await asked(path, {"control": "start"}) == {"ok": True}
    assert daemon.controls.session.parameters.tempo == pytest.approx(96)
    assert daemon.controls.session.style == "j_dilla"


@pytest.mark.usefixtures("opened")
async def test_a_refused_control_says_why_and_the_conversation_goes_on(path: Path) -> None:
    client = await Client.to(path)
    reply = await client.say(b'{"control": "tempo", "value": 1000}\n')
    assert "20 to 400" in reply["error"]
    assert await client.say(b'{"control": "tempo", "value": "100"}\n') == {"ok": True}
    await client.close()


@pytest.mark.usefixtures("opened")
async def test_what_a_control_is_set_to_is_shown_by_itself_or_with_all(path: Path) -> None:
    async with asyncio.timeout(20):
        await asked(path, {"control": "tempo", "value": 99.5})
        assert await asked(path, {"show": "bpm"}) == {"values": {"tempo": "99.5"}}
        values = (await asked(path, {"show": ""}))["values"]
        assert list(values) == list(STANDING)
        assert (values["swing"], values["hold"], values["tempo"]) == ("style", "off", "99.5")
        with pytest.raises(ControlError, match="it takes a whole number from 1"):
            await asked(path, {"show": "bar"})
        with pytest.raises(ControlError, match="did you mean tempo"):
            await asked(path, {"show": "tempoo"})


@pytest.mark.usefixtures("opened")
async def test_what_was_learned_is_listed(path: Path) -> None:
    row = {"control": "swing", "source": "cc 20 on channel 1, 14 bits"}
    assert await asked(path, {"learned": True}) == {"learned": [row]}


@pytest.mark.usefixtures("opened")
async def test_the_status_is_plain_values(path: Path) -> None:
    status = (await asked(path, {"status": True}))["status"]
    assert (status["style"], status["bar"], status["transport"]) == ("rock", 1, "stopped")
    assert status["counters"]["late_notes"] == 0


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("count", [0, 1, 16, 17, 300])
async def test_an_export_holds_the_last_bars(path: Path, daemon: FakeDaemon, count: int) -> None:
    for number in range(count):
        daemon.capture.add(sounded(number))
    bars = (await asked(path, {"export": 64}))["bars"]
    assert [bar["number"] for bar in bars] == list(range(count))[-64:]


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"junk\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"{}\n",
        b"null\n",
        b'{"control": 3}\n',
        b'{"control": "tempo", "value": [1]}\n',
        b'{"control": "tempo", "value": {}}\n',
        b'{"control": "tempo", "status": true}\n',
        b'{"control": "tempo", "value": 1' + b"0" * 5000 + b"}\n",
        b'{"contrl": "tempo"}\n',
        b'{"export": 0}\n',
        b'{"export": 1e99}\n',
        b'{"value": ' + b"[" * 10_000 + b"\n",
    ],
)
async def test_junk_is_answered_by_an_error_in_one_line(path: Path, line: bytes) -> None:
    client = await Client.to(path)
    reply = await client.say(line)
    assert reply.keys() == {"error"}
    assert reply["error"].isprintable()
    assert await client.say(b'{"control": "stop"}\n') == {"ok": True}
    await client.close()


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_no_bytes_harm(tmp_path: Path, data: bytes) -> None:
    async def scene() -> None:
        path = tmp_path / "junk.sock"
        async with ControlSocket(path, FakeDaemon()):
            client = await Client.to(path)
            client.writer.write(data + b"\n")
            client.writer.write_eof()
            for line in (await client.reader.read()).splitlines():
                assert json.loads(line)
            await client.close()

    asyncio.run(scene())


@pytest.mark.usefixtures("opened")
async def test_an_endless_line_ends_the_conversation_and_nothing_else(path: Path) -> None:
    client = await Client.to(path)
    client.writer.write(b"x" * 1_000_000)
    # the complaint may be lost, for what we sent is still unread when the door closes
    with contextlib.suppress(ConnectionError):
        complaint = await client.reader.read()
        assert not complaint or str(LINE_MAX) in json.loads(complaint)["error"]
    await client.close()
    assert await asked(path, {"control": "stop"}) == {"ok": True}


@pytest.mark.usefixtures("opened")
async def test_half_a_line_is_waited_for_without_holding_up_others(path: Path) -> None:
    slow = await Client.to(path)
    slow.writer.write(b'{"control": ')
    await slow.writer.drain()
    assert await asked(path, {"control": "stop"}) == {"ok": True}
    assert await slow.say(b'"stop"}\n') == {"ok": True}
    await slow.close()


async def test_a_silent_client_is_shown_out(
    path: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_socket, "CLIENT_IDLE_SECONDS_MAX", 0.01)
    async with ControlSocket(path, daemon):
        client = await Client.to(path)
        client.writer.write(b"half a line")
        assert await client.reader.read() == b""
        await client.close()


async def test_a_client_that_never_reads_is_cut_off(
    path: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_socket, "CLIENT_READ_SECONDS_MAX", 0.05)
    for number in range(1500):
        daemon.capture.add(sounded(number))
    async with ControlSocket(path, daemon) as server:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(str(path))
            deaf.sendall(b'{"export": 1500}\n' * 5)
            await until(lambda: bool(server._clients))
            assert await asked(path, {"control": "stop"}) == {"ok": True}
            await until(lambda: not server._clients)


async def test_too_many_clients_are_turned_away_and_places_come_free(
    path: Path, opened: ControlSocket
) -> None:
    crowd = [await Client.to(path) for _ in range(CLIENTS_MAX)]
    for client in crowd:
        assert await client.say(b'{"control": "stop"}\n') == {"ok": True}
    turned_away = await Client.to(path)
    assert "more than 16" in json.loads(await turned_away.reader.readline())["error"]
    await turned_away.close()
    with pytest.raises(ControlError, match="more than 16 clients"):
        await asked(path, {"control": "stop"})
    for client in crowd:
        await client.close()
    await until(lambda: not opened._clients)
    assert await asked(path, {"control": "stop"}) == {"ok": True}


@pytest.mark.usefixtures("opened")
async def test_only_this_user_may_connect(path: Path) -> None:
    assert mode(path) == 0o600


async def test_the_file_goes_with_the_daemon(path: Path, daemon: FakeDaemon) -> None:
    async with ControlSocket(path, daemon):
        client = await Client.to(path)
        await client.say(b'{"status": true}\n')
        assert there(path)
    assert not there(path)
    assert await client.reader.read() == b""
    await client.close()


async def test_a_dead_daemons_socket_is_replaced(path: Path, daemon: FakeDaemon) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with ControlSocket(path, daemon):
        assert await asked(path, {"control": "stop"}) == {"ok": True}


@pytest.mark.usefixtures("opened")
async def test_a_living_daemons_socket_is_left_alone(path: Path) -> None:
    def second() -> None:
        control_socket.bound(path)

    with pytest.raises(SettingsError, match="another drumigen runs"):
        await asyncio.to_thread(second)
    assert await asked(path, {"control": "stop"}) == {"ok": True}


def test_what_is_no_socket_is_not_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(SettingsError, match="something else"):
        control_socket.bound(path)
    assert path.read_text() == "precious"


def test_a_folder_of_another_user_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(SettingsError, match="another user"):
        control_socket.bound(folder / "d.sock")


def test_an_impossible_place_is_an_error_in_one_line(tmp_path: Path) -> None:
    for name in ("x" * 120, "a\0b", "\n" * 110):
        with pytest.raises(SettingsError) as caught:
            control_socket.bound(tmp_path / name)
        assert str(caught.value).isprintable()


def test_without_a_daemon_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no drumigen runs"):
        ask([tmp_path / "a", tmp_path / "b"], {"status": True})


def test_a_daemon_that_says_nothing_is_not_waited_for(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(ControlError, match="does not answer"):
            ask([path], {"status": True}, patience=0.02)


def test_a_daemon_that_hangs_up_is_reported(path: Path) -> None:
    def hang_up() -> None:
        theirs, _ = rude.accept()
        theirs.recv(100)
        theirs.close()

    with socket.socket(socket.AF_UNIX) as rude:
        rude.bind(str(path))
        rude.listen()
        caller = threading.Thread(target=hang_up)
        caller.start()
        with pytest.raises(ControlError, match="does not answer"):
            ask([path], {"status": True})
        caller.join()


@pytest.mark.usefixtures("opened")
async def test_what_a_screen_shows_is_told(path: Path) -> None:
    reply = await asked(path, {"view": True})
    state = msgspec.convert(reply["view"], ViewState)
    assert (state.style, state.bars_to_fill) == ("rock", 3)
