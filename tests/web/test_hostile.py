"""What clients do to the web process does not reach the beat, and ends in clear errors."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from fixtures_jack import wait_for
from stage_fixtures import Stage
from web_stage import Web, web

pytestmark = pytest.mark.process
NULL = ("--set", "midi.backend=null", "--set", "generator.writer=mock")
MEMORY_MAX = 200.0
"""MB of the web process, whatever is done to it; at rest it holds some 60."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("hostile"), *NULL) as made:
        yield made


@pytest.fixture(autouse=True)
def _bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every attack on the shared daemon the same process answers, and is no larger."""
    if "client" not in request.fixturenames:
        yield
        return
    client: Web = request.getfixturevalue("client")
    wait_for(client.answers, 30, "it did not answer before")
    pid = client.pid()
    yield
    wait_for(client.answers, 30, "it does not answer any more")
    assert client.pid() == pid, "the attack was its end"
    assert memory_mb(pid) < MEMORY_MAX
    said = client.daemon.log.read_text()
    assert "Traceback" not in said
    assert len(said.splitlines()) < 100, "clients decide how much is logged"


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def live(client: Web) -> str:
    return f"ws://127.0.0.1:{client.port}/api/v1/live"


def connected(client: Web, said: bytes = b"") -> socket.socket | None:
    """Return a connection that has said so much and no more; None if it was turned away."""
    sock = socket.socket()
    sock.settimeout(5)
    try:
        sock.connect(("127.0.0.1", client.port))
        sock.sendall(said)
    except OSError:
        sock.close()
        return None
    return sock


@contextlib.contextmanager
def crowd(client: Web, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    made = [connected(client, said) for _ in range(count)]
    there = [sock for sock in made if sock is not None]
    try:
        yield there
    finally:
        for sock in there:
            sock.close()


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"], ids=["nothing", "half a request"]
)
def test_a_thousand_connections_leave_room_for_others(client: Web, said: bytes) -> None:
    # each connection is a file of this process too: keep within what it may have
    with crowd(client, 1000 if files_max() > 1200 else files_max() - 200, said):
        wait_for(client.answers, 30, "who says nothing keeps all out")


def files_max() -> int:
    import resource  # noqa: PLC0415 - Windows lacks it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 4096) if hard != resource.RLIM_INFINITY else 4096
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def test_a_head_that_comes_drop_by_drop_is_cut_off(client: Web) -> None:
    sock = connected(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    assert sock is not None

    def cut() -> bool:
        try:
            sock.sendall(b"x: y\r\n")
        except OSError:
            return True
        time.sleep(0.2)
        return False

    wait_for(cut, 60, "a slow loris is waited for")
    sock.close()


def raw(client: Web, request: bytes) -> tuple[int, bytes]:
    """Return status and what follows of the answer to bytes that no library would send."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as sock:
        with contextlib.suppress(OSError):  # it may be cut off before all is said
            sock.sendall(request)
        answer = b""
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                answer += data
    return (int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0), answer


PATHS = (
    b"/api/v1/status/../../../etc/passwd",
    b"/api/v1/status/..%2f..%2f..%2fetc%2fpasswd",
    b"/api/v1/download/%2e%2e%2f%2e%2e%2fetc%2fpasswd.mid",
    b"/api/v1/download/..\\..\\x.mid",
    b"/api/v1/download/a%00b.mid",
    b"/api/v1/download/.mid",
    b"/..%2fmain.py",
    b"/%2e%2e/guard.py",
    b"//etc/passwd",
    b"/main.js/../guard.py",
    b"/api/v1/controls/%ff%fe",
    b"/api/v1/controls/" + b"x" * 8000,
    b"/api/v1/scenes/99999999999999999999/recall",
    b"/api/v1/scenes/-1/recall",
)


@pytest.mark.parametrize("path", PATHS)
def test_tricks_in_paths_find_nothing(client: Web, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    status, answer = raw(client, request)
    assert status in (400, 404, 405)
    assert b"root:" not in answer
    assert b"import " not in answer
    if status != 400:  # what is no HTTP at all, the server itself answers
        assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600, (0, 400)),
        (b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n", (0, 400, 421)),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", (400, 421)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400, 421)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000, (0, 400, 431)),
        (b"PATCH /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", (400,)),
        (
            b"PATCH /api/v1/controls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"10000\r\n" + b"x" * 65536 + b"\r\n10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n",
            (0, 413),
        ),
    ],
    ids=["TLS", "HTTP 9.9", "no host", "two hosts", "a long head", "a negative length", "chunks"],
)  # fmt: skip
def test_what_is_no_request_of_ours_is_refused(
    client: Web, request_: bytes, statuses: tuple[int, ...]
) -> None:
    assert raw(client, request_)[0] in statuses


def test_a_body_that_promises_a_gigabyte_is_refused_before_it_is_taken(client: Web) -> None:
    head = (
        b"POST /api/v1/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
    )
    status, answer = raw(client, head + b"x" * 2_000_000)
    assert status in (0, 413)
    assert not status or b"at most 64000 bytes" in answer


def test_streams_whose_clients_vanish_are_forgotten(client: Web) -> None:
    ask = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(5):
        wait_for(client.answers, 20, "streams of nobody keep all out")
        with crowd(client, 40, ask) as there:
            for sock in there:
                # full is full, until those of before are noticed
                assert sock.recv(200).startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
                # no farewell: as a phone that has lost its network, or its power
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(client.answers, 20, "streams of nobody keep all out")
    with crowd(client, 30, ask) as there:
        assert all(b"200 OK" in sock.recv(200) for sock in there)


def test_one_too_many_is_told_so(client: Web) -> None:
    ask = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with crowd(client, 64, ask):
        wait_for(lambda: not client.answers(), 20, "there is room for more than 64")
        status, headers, body = client.ask("GET", "/api/v1/now")
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert "too many connections" in json.loads(body)["detail"]


def test_a_download_that_nobody_reads_is_ended(client: Web) -> None:
    """More than the system's buffers hold, asked for on one connection, and not looked at."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", client.port))
    ask = b"GET /api/v1/styles HTTP/1.1\r\nHost: localhost\r\n\r\n"
    stuck = threading.Event()

    def pour() -> None:
        with contextlib.suppress(OSError):
            for _ in range(20_000):
                sock.sendall(ask)
        stuck.set()

    pouring = threading.Thread(target=pour)
    pouring.start()
    assert stuck.wait(60), "who does not read is waited for"
    pouring.join()
    sock.close()


async def pour(panel: ClientConnection, text: str | bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            await panel.send(text)
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, "y" * 20_000, b"\xff" * 100, '{"control": "tempo", "value": 1e999}', "[" * 4000],
    ids=["long", "longer than a frame", "no text", "a huge number", "deep"],
)
async def test_a_panel_that_pours_rubbish_is_cut_off(client: Web, text: str | bytes) -> None:
    async with websockets.connect(live(client)) as bad:
        with pytest.raises(websockets.ConnectionClosed):
            await pour(bad, text)


async def pings(panel: ClientConnection) -> None:
    for n in count():
        await panel.ping(f"{n:0100}")
        await asyncio.sleep(0)


async def fragments(panel: ClientConnection) -> None:
    async def endless() -> AsyncIterator[str]:
        yield '{"control": "fill"'
        while True:
            yield ""
            await asyncio.sleep(0)

    await panel.send(endless())


async def bombs(panel: ClientConnection) -> None:
    while True:  # ten megabytes of one letter are ten kilobytes on the line
        await panel.send("a" * 10_000_000)


@pytest.mark.parametrize("attack", [pings, fragments, bombs])
async def test_a_panel_that_pours_no_messages_is_cut_off_too(
    client: Web, attack: Callable[[ClientConnection], Awaitable[None]]
) -> None:
    async with websockets.connect(live(client)) as bad:
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(attack(bad), 30)


def test_a_kit_is_a_small_file_whatever_is_named(client: Web, tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe.toml", tmp_path / "large.toml"
    os.mkfifo(pipe)  # who opens it waits for a writer
    with large.open("wb") as file:
        file.truncate(10**10)
    for name in ("/dev/zero", "/etc/shadow", "../../etc/passwd", "\0.toml", str(pipe), str(large)):
        assert client.ask("PATCH", "/api/v1/controls", {"kit": name})[0] == 422, name
        assert client.ask("POST", "/api/v1/generate", {"kit": name})[0] == 422, name
    assert client.get("/controls/kit")["value"] == "gm"


def test_tokens_are_not_guessed(tmp_path: Path) -> None:
    tokens = f"web.token_file={tmp_path / 'token'}"
    with web(tmp_path, *NULL, "--set", "web.lan=on", "--set", tokens) as client:
        answers = [client.ask("POST", "/api/v1/pair", {"token": f"{n:022}"})[0] for n in range(8)]
        assert answers[:5] == [401] * 5
        assert 429 in answers[5:]
        right = (tmp_path / "token").read_text().split()[1]
        assert client.ask("POST", "/api/v1/pair", {"token": right})[0] == 429
        assert right not in client.daemon.log.read_text()


# --- the beat ------------------------------------------------------------------------------------


@contextlib.contextmanager
def attack(*works: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run attackers for the length of a block."""
    over = threading.Event()
    threads = [threading.Thread(target=work, args=(over,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.jack
def test_the_beat_goes_on_through_all_of_it(stage: Stage, tmp_path: Path) -> None:
    hat, tempo = 42, 240
    settings = (
        *("generator.writer=mock", "song.variation=off", "song.fill_every=0", "feel.humanize=0"),
        *("feel.swing=50", "clock.source=internal", f"clock.tempo={tempo}"),
    )
    words = [word for each in settings for word in ("--set", each)]
    with web(tmp_path, "--backend", "jack", *words) as client:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        client.daemon.control("start")
        wait_for(lambda: client.daemon.status()["transport"] == "rolling", 10, "it does not roll")
        time.sleep(1.0)

        def connect(over: threading.Event) -> None:
            while not over.is_set():
                with crowd(client, 100, os.urandom(100)):
                    over.wait(0.2)

        def flood(over: threading.Event) -> None:
            while not over.is_set():
                with (
                    contextlib.suppress(OSError),
                    contextlib.closing(
                        socket.create_connection(("127.0.0.1", client.port), timeout=5)
                    ) as sock,
                ):
                    for _ in range(200):
                        sock.sendall(b"GET /api/v1/plan HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        sock.recv(65536)

        def control(over: threading.Event) -> None:
            n = 0
            while not over.is_set():
                n += 1
                with contextlib.suppress(OSError):
                    client.ask("PATCH", "/api/v1/controls", {"level.crash": n % 100, "seed": n})

        stage.dump()
        with attack(connect, flood, control):
            time.sleep(6.0)
        recording = stage.dump()
    hats = sorted(frame for frame, note in recording.ons() if note == hat)
    eighth = 30 / tempo * recording.rate
    torn = [(b - a, a) for a, b in pairwise(hats) if abs(b - a - eighth) > eighth / 4]
    assert len(hats) > 20
    # where JACK itself misses cycles, everybody on it loses frames
    assert all(recording.disturbed(at + int(gap), 1.0) for gap, at in torn), torn
