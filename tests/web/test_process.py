"""The web process of a real daemon: songs on request, what it survives, what it refuses."""

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from drumigen.midi.file import song_from_bytes
from fixtures_jack import wait_for
from stage_fixtures import drumigen
from web_stage import Web, free_port, web

pytestmark = pytest.mark.process
NULL = ("--set", "midi.backend=null", "--set", "generator.writer=mock")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), *NULL) as made:
        yield made


def done(client: Web, where: str) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        job = json.loads(client.ask("GET", where)[2])
        if job["state"] in ("done", "failed", "cancelled"):
            return dict(job)
        time.sleep(0.1)
    pytest.fail(f"not done: {job}")


@pytest.fixture(scope="module")
def drummer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A daemon whose bars the network writes."""
    with web(tmp_path_factory.mktemp("drummer"), "--set", "midi.backend=null") as made:
        yield made


def test_a_song_on_request_is_the_one_that_render_writes(drummer: Web, tmp_path: Path) -> None:
    client = drummer
    wanted = {"style": "jazz", "bars": 3, "tempo": 150, "seed": 5, "meter": "5/4"}
    wanted |= {"busy": 80, "top_k": 12, "top_p": 0.9, "form": "song"}
    status, headers, _ = client.ask("POST", "/api/v1/generate", wanted)
    assert status == 202
    job = done(client, headers["location"])
    assert job["state"] == "done", job
    midi = client.ask("GET", job["files"]["mid"])[2]
    output = tmp_path / "render.mid"
    command = [sys.executable, "-m", "drumigen_daemon.cli", "render", "--style", "jazz"]
    options = (
        *("--bars", "3", "--bpm", "150", "--seed", "5", "--metre", "5/4"),
        *("--top-k", "12", "--top-p", "0.9"),
        *("--set", "song.busy=80", "--set", "song.form=song"),
    )
    subprocess.run([*command, *options, "--output", str(output)], check=True, capture_output=True)
    assert midi == output.read_bytes()
    again = client.ask("POST", "/api/v1/generate", wanted)[1]["location"]
    assert client.ask("GET", done(client, again)["files"]["mid"])[2] == midi

    assert client.ask("GET", job["files"]["svg"])[2].startswith(b"<svg")
    wav = client.ask("GET", job["files"]["wav"])[2]
    assert wav[:4] == b"RIFF"
    with zipfile.ZipFile(io.BytesIO(client.ask("GET", job["files"]["zip"])[2])) as archive:
        parts = [song_from_bytes(archive.read(name)) for name in archive.namelist()]
        assert not {"closed_hat.mid", "open_hat.mid"} & set(archive.namelist())
    whole = song_from_bytes(midi)
    assert sorted(n for part in parts for n in part.notes) == sorted(whole.notes)


def test_what_writes_the_bars_is_told(drummer: Web) -> None:
    now = drummer.get("/now")
    assert (now["device"]["device"], now["device"]["faults"]) == ("cpu", 0)
    assert now["workers"] is None, "none are asked"


def test_a_song_that_cannot_be_is_failed_with_a_reason(client: Web) -> None:
    where = client.ask("POST", "/api/v1/generate", {"style": "polka"})[1]["location"]
    job = done(client, where)
    assert job["state"] == "failed"
    assert "polka" in job["problem"]


def test_what_is_set_is_there_when_the_answer_comes(client: Web) -> None:
    for tempo in (90, 140, 121.5):
        status, _, body = client.ask("PATCH", "/api/v1/controls", {"tempo": tempo})
        assert (status, json.loads(body)) == (200, {"tempo": tempo})
        assert client.get("/controls/tempo")["value"] == tempo


def test_played_bars_can_be_had(client: Web) -> None:
    client.ask("PATCH", "/api/v1/controls", {"tempo": 300})
    client.ask("POST", "/api/v1/controls/start")
    wait_for(lambda: len(client.get("/history")["bars"]) >= 3, 20, "no bars were played")
    client.ask("POST", "/api/v1/controls/stop")
    first = client.get("/history?from=1&to=2")["bars"]
    assert [bar["index"] for bar in first] == [1, 2]
    midi = client.ask("GET", "/api/v1/history/last.mid?bars=2")[2]
    assert song_from_bytes(midi).notes


async def test_a_panel_is_told_all_and_then_what_changes(client: Web) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{client.port}/api/v1/live") as panel:
        hello = json.loads(await panel.recv())
        assert {"hello", "values", "song", "plan", "now"} <= set(hello)
        await panel.send(json.dumps({"control": "density", "value": 77, "n": 5}))
        seen: dict[str, Any] = {}
        while not ("answers" in seen and seen.get("values", {}).get("density") == 77):
            async with asyncio.timeout(10):
                seen |= json.loads(await panel.recv())
        assert seen["answers"] == [{"n": 5}]
        await panel.send(json.dumps({"control": "density", "value": 777, "n": 6}))
        assert "0 to 100" in (await answer(panel, 6))["error"]


async def answer(panel: ClientConnection, number: int) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            for each in json.loads(await panel.recv()).get("answers", ()):
                if each["n"] == number:
                    return dict(each)


async def test_what_one_panel_sets_another_sees(client: Web) -> None:
    url = f"ws://127.0.0.1:{client.port}/api/v1/live"
    async with websockets.connect(url) as one, websockets.connect(url) as other:
        await one.send(json.dumps({"control": "style", "value": "funk"}))
        async with asyncio.timeout(10):
            while json.loads(await other.recv()).get("values", {}).get("style") != "funk":
                pass


async def pour(panel: ClientConnection, text: str, pause: float) -> None:
    async with asyncio.timeout(20):
        while True:
            await panel.send(text)
            await asyncio.sleep(pause)


@pytest.mark.parametrize("junk", ["{", "[]", '{"control": 3}', '{"control": "x", "extra": 1}', "x"])
async def test_a_panel_that_talks_nonsense_is_cut_off_and_the_others_stay(
    client: Web, junk: str
) -> None:
    url = f"ws://127.0.0.1:{client.port}/api/v1/live"
    async with websockets.connect(url) as good, websockets.connect(url) as bad:
        with pytest.raises(websockets.ConnectionClosed):
            await pour(bad, junk, 0.01)
        await good.send(json.dumps({"control": "seed", "value": 3, "n": 1}))
        assert await answer(good, 1) == {"n": 1}


async def test_a_flood_from_one_panel_is_ended(client: Web) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{client.port}/api/v1/live") as panel:
        with pytest.raises(websockets.ConnectionClosed):
            await pour(panel, json.dumps({"control": "seed", "value": 1}), 0.0)
    assert client.get("/now")


async def test_a_panel_of_another_origin_gets_nothing(client: Web) -> None:
    url = f"ws://127.0.0.1:{client.port}/api/v1/live"
    with pytest.raises(websockets.InvalidStatus):
        async with websockets.connect(url, origin="http://evil.example"):  # type: ignore[arg-type]
            pass


def test_connections_that_say_nothing_leave_room_for_others(client: Web) -> None:
    silent = []
    try:
        for _ in range(300):
            sock = socket.socket()
            sock.settimeout(0.2)
            try:
                sock.connect(("127.0.0.1", client.port))
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            except OSError:
                sock.close()
                continue
            silent.append(sock)
        wait_for(client.answers, 30, "who says nothing keeps all out")
    finally:
        for sock in silent:
            sock.close()
    wait_for(client.answers, 10, "the web process is gone")
    assert memory_mb(client.pid()) < 200


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def test_a_web_process_that_is_killed_comes_back_and_knows_all(tmp_path: Path) -> None:
    with web(tmp_path, *NULL) as client:
        client.ask("PATCH", "/api/v1/controls", {"tempo": 133})
        client.ask("POST", "/api/v1/controls/start")
        before = client.pid()
        os.kill(before, signal.SIGKILL)
        wait_for(client.answers, 20, "no web process came back")
        assert client.pid() != before
        now = client.get("/now")
        assert (now["transport"], now["tempo"]) == ("rolling", 133.0)
        assert client.daemon.status()["transport"] == "rolling"


def test_a_port_in_use_is_one_line_and_the_music_goes_on(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with drumigen(tmp_path, "--set", f"web.port={port}", *NULL) as daemon:
            wait_for(lambda: "web.port" in daemon.log.read_text(), 20, "nothing was said")
            lines = [line for line in daemon.log.read_text().splitlines() if "web.port" in line]
            assert len(lines) == 1
            assert "is in use" in lines[0]
            daemon.control("start")
            wait_for(lambda: daemon.status()["transport"] == "rolling", 5, "it does not play")


def test_other_settings_are_taken_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DRUMIGEN_WEB_PORT")  # it would come before the file
    ports = [free_port(), free_port()]
    settings = tmp_path / "drumigen.toml"
    settings.write_text(f"[web]\nport = {ports[0]}\n")
    with drumigen(tmp_path, "--config", str(settings), *NULL) as daemon:
        old, new = (Web(daemon, port) for port in ports)
        wait_for(old.answers, 20, "the web process did not answer")
        daemon.control("start")
        settings.write_text(f"[web]\nport = {ports[1]}\nbody_kb = 1\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(new.answers, 20, "no panel at the new port")
        assert not old.answers()
        assert new.ask("PATCH", "/api/v1/controls", {"style": "x" * 2000})[0] == 413
        settings.write_text("[web]\nport = 0\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not new.answers(), 20, "the panel was not switched off")
        assert daemon.status()["transport"] == "rolling"
        assert "only a restart" not in daemon.log.read_text()


def test_no_port_is_no_process(tmp_path: Path) -> None:
    with drumigen(tmp_path, *NULL) as daemon:
        children = subprocess.run(
            ["ps", "--ppid", str(daemon.process.pid), "-o", "args="],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "engine.process" in children
        assert "web.process" not in children


async def test_new_tokens_put_out_who_came_in_by_the_old(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    tokens = ("--set", f"web.token_file={kept}")
    with web(tmp_path, *NULL, "--set", "web.lan=on", *tokens) as client:

        def pair(token: str) -> int:
            return client.ask("POST", "/api/v1/pair", {"token": token})[0]

        lost = kept.read_text().split()[1]
        assert pair(lost) == 200
        client.ask("POST", "/api/v1/controls/start")
        async with websockets.connect(f"ws://127.0.0.1:{client.port}/api/v1/live") as panel:
            command = [sys.executable, "-m", "drumigen_daemon.cli", "web", "pair", "--new"]
            port = ("--set", f"web.port={client.port}")
            made = await asyncio.create_subprocess_exec(
                *command, *tokens, *port, stdout=subprocess.DEVNULL
            )
            assert await made.wait() == 0
            with contextlib.suppress(websockets.ConnectionClosed):
                async with asyncio.timeout(20):
                    while True:
                        await panel.recv()
        wait_for(client.answers, 20, "no panel for those who pair again")
        assert pair(lost) == 401
        assert pair(kept.read_text().split()[1]) == 200
        assert client.daemon.status()["transport"] == "rolling", "the music went on"
        said = client.daemon.log.read_text()
        assert "has to pair again" in said
        assert lost not in said


def test_who_is_not_on_the_network_needs_no_token(tmp_path: Path) -> None:
    port = free_port()
    tokens = tmp_path / "token"
    with drumigen(
        tmp_path,
        *("--set", f"web.port={port}", "--set", "web.lan=on", "--set", f"web.token_file={tokens}"),
        *NULL,
    ) as daemon:
        client = Web(daemon, port)
        wait_for(client.answers, 20, "the web process did not answer")
        assert tokens.stat().st_mode & 0o777 == 0o600
        control = tokens.read_text().split()[1]
        assert control not in daemon.log.read_text()
