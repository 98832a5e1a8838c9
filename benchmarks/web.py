"""What the panel and the API cost and how quick they are: ``python benchmarks/web.py``.

Everything is real: ``jackd`` with its dummy driver, ``drumigen run``, a recorder in a process of
its own, and clients in another (``web_load.py``).  It needs a machine with nothing else to do; with
the defaults it takes about nine minutes.  ``--parts`` picks some of:

- lateness: how far strokes are from their place with nobody there, with ten panels open, and with
  2,000 requests a second, by turns in one run.  The distances of neighbouring hats in JACK frames
  (20.8 us each) are held against their true distance, and the engine's own histogram is told;
- control: from a control sent up the WebSocket, with ten panels open, until the recorder hears it,
  while sixteenths sound.  Aim: P99 at most a sixteenth and 30 ms;
- plan: the share of bars that a panel was told at least one bar ahead, and the share of those that
  then sounded as they were told; the network writes them, at 400 BPM.  Aim: 99.9 %;
- api: ``GET /now`` at 200 requests a second, beside the same to a bare asyncio server that answers
  a constant, the floor of HTTP in Python on this machine in the same minute.  Aim: P99 20 ms;
- memory: PSS of the daemon with all its processes, with the panel and without.  Aim: 45 MB more.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import websockets

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from drumigen_daemon.histogram import Histogram
from fixtures_jack import JackServer
from stage_fixtures import Daemon, Stage, drumigen
from web_stage import Web, free_port

HERE = Path(__file__).parent
PARTS = ("lateness", "control", "plan", "api", "memory")
PANELS = 10
RATE = 200.0
"""Requests a second of ``api``."""
ROUNDS = 3
HAT = 42
PLAIN = (
    *("generator.writer=mock", "song.variation=off", "song.fill_every=0"),
    *("feel.humanize=0", "feel.swing=50", "clock.source=internal", "capture.folder="),
)
"""A beat whose every stroke is on the grid: eighths on the hat."""


def quantiles(seconds: list[float], unit: float = 1e3) -> str:
    """Return P50, P99 and the greatest."""
    seconds = sorted(seconds)
    if not seconds:
        return "nothing was measured"
    picked = (seconds[len(seconds) // 2], seconds[int(0.99 * (len(seconds) - 1))], seconds[-1])
    return " / ".join(f"{unit * value:.1f}" for value in picked)


@contextlib.contextmanager
def daemon(*settings: str, bpm: float = 174.0, backend: str = "jack") -> Iterator[Web]:
    """Run ``drumigen run`` with a panel."""
    port = free_port()
    words = [word for each in (*settings, f"web.port={port}") for word in ("--set", each)]
    with (
        tempfile.TemporaryDirectory() as folder,
        drumigen(Path(folder), "--backend", backend, "--bpm", str(bpm), *words) as made,
    ):
        client = Web(made, port)
        while not client.answers():
            time.sleep(0.1)
        yield client


@contextlib.contextmanager
def load(kind: str, port: int) -> Iterator[list[int]]:
    """Run clients for the length of a block; what they got a second is in the list afterwards."""
    command = [sys.executable, str(HERE / "web_load.py"), kind, str(port)]
    got: list[int] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield got
        finally:
            process.stdin.close()
            got.append(int(process.stdout.readline() or 0))


# --- lateness ------------------------------------------------------------------------------------


def lateness_of(made: Daemon) -> Histogram:
    """Return the engine's own tally."""
    return msgspec.convert(made.status()["histograms"]["output_lateness"], Histogram)


def since(before: Histogram, after: Histogram) -> Histogram:
    """Return what was counted between two looks."""
    counts = tuple(b - a for a, b in zip(before.counts, after.counts, strict=True))
    return Histogram(after.bounds, counts)


def lateness(stage: Stage, seconds: float) -> None:
    """Print how late strokes are alone, beside panels, and in a flood."""
    bpm = 400.0
    with daemon(*PLAIN, bpm=bpm) as client:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        client.daemon.control("start")
        time.sleep(5.0)
        errors: dict[str, list[float]] = {}
        engine: dict[str, list[Histogram]] = {}
        rates: dict[str, list[int]] = {}
        for _ in range(ROUNDS):
            for kind in ("alone", "panels", "flood"):
                with contextlib.ExitStack() as stack:
                    alone = kind == "alone"
                    got = [] if alone else stack.enter_context(load(kind, client.port))
                    time.sleep(1.0)
                    stage.dump()
                    before = lateness_of(client.daemon)
                    time.sleep(seconds)
                    engine.setdefault(kind, []).append(since(before, lateness_of(client.daemon)))
                    errors.setdefault(kind, []).extend(_errors(stage, bpm))
                rates.setdefault(kind, []).extend(got)
        late = client.daemon.counters()["late_notes"]
    print(f"strokes off their place, us, P50 / P99 / max ({bpm:g} BPM, {ROUNDS} rounds):")
    base = 0.0
    for kind, found in errors.items():
        p99 = sorted(found)[int(0.99 * (len(found) - 1))]
        base = base or p99
        total = tuple(map(sum, zip(*(each.counts for each in engine[kind]), strict=True)))
        own = Histogram(engine[kind][0].bounds, total).quantile(0.99)
        said = f"; {rates[kind]} answers or messages a second" if rates[kind] else ""
        print(
            f"  {kind:7}", quantiles(found, 1e6), f"of {len(found)};",
            f"the engine's own P99 up to {1e6 * own:g} us{said}",
        )  # fmt: skip
        if kind != "alone":
            allowed = max(1.5 * base, base + 100e-6)
            print(f"          aim at most {1e6 * allowed:.0f}: {'met' if p99 <= allowed else 'no'}")
    print(f"  late notes in all: {late}")


def _errors(stage: Stage, bpm: float) -> list[float]:
    recording = stage.dump()
    frames = sorted({frame for frame, note in recording.ons() if note == HAT})
    true = 30.0 / bpm
    gaps = [(b - a) / recording.rate for a, b in pairwise(frames)]
    return [abs(gap - true) for gap in gaps if gap < 1.5 * true]


# --- control to MIDI -----------------------------------------------------------------------------


def control(stage: Stage, times: int) -> None:
    """Print how long it takes until a control is heard."""
    bpm = 174.0
    with daemon(*PLAIN, bpm=bpm) as client:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        client.daemon.control("start")
        time.sleep(3.0)
        client.daemon.control("stutter", "sixteenth")
        time.sleep(2.0)
        took = asyncio.run(_controls(client, stage, times))
    sixteenth = 15.0 / bpm
    print(f"control to MIDI, ms, P50 / P99 / max: {quantiles(took)} of {len(took)} of {times};")
    p99 = sorted(took)[int(0.99 * (len(took) - 1))]
    aim = sixteenth + 0.030
    print(f"  aim a sixteenth and 30 ms, {1e3 * aim:.0f}: {'met' if p99 <= aim else 'no'}")


async def _controls(client: Web, stage: Stage, times: int) -> list[float]:
    level, took = 100, []
    dice = random.Random(1)
    async with panels(client.port) as opened:
        readers = [asyncio.create_task(drain(panel)) for panel in opened]
        for n in range(times):
            stage.dump()
            await asyncio.sleep(dice.uniform(0.15, 0.30))
            before = _velocity(stage)
            level = 50 if level == 100 else 100
            begun = time.monotonic()
            sent = {"control": "level.closed_hat", "value": level}
            await opened[n % PANELS].send(json.dumps(sent))
            await asyncio.sleep(0.4)
            heard = [
                at
                for port, _, at, data in stage.dump().events
                if port == "notes" and data[0] & 0xF0 == 0x90
                if data[1] == HAT and data[2] != before and at > begun
            ]
            if heard:
                took.append(heard[0] - begun)
        for reader in readers:
            reader.cancel()
    return took


def _velocity(stage: Stage) -> int:
    """Return how loud the hat was struck last."""
    hats = [data[2] for _, _, _, data in stage.dump().events if data[0] == 0x99 and data[1] == HAT]
    return hats[-1] if hats else 0


@contextlib.asynccontextmanager
async def panels(port: int, count: int = PANELS) -> AsyncIterator[list[Any]]:
    """Keep panels open."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                websockets.connect(f"ws://127.0.0.1:{port}/api/v1/live", max_size=None)
            )
            for _ in range(count)
        ]


async def drain(panel: Any) -> None:  # noqa: ANN401 - a connection
    """Read what a panel is told."""
    async for _ in panel:
        pass


# --- the plan ------------------------------------------------------------------------------------


def plan(bars: int) -> None:
    """Print how many bars were told a bar ahead."""
    bpm = 400.0
    settings = ("clock.source=internal", "capture.folder=")
    with daemon(*settings, bpm=bpm, backend="null") as client:
        client.daemon.control("start")
        time.sleep(2.0)
        told = asyncio.run(_plan(client, bars))
    judged = sorted(told)[3:-3]
    ahead = [bar for bar in judged if told[bar][1] is not None]
    same = [bar for bar in ahead if told[bar][1] == told[bar][2]]
    share, kept = 100 * len(ahead) / len(judged), 100 * len(same) / max(1, len(ahead))
    print(
        f"plan: {share:.2f} % of {len(judged)} bars were told a bar ahead (aim 99.9); "
        f"{kept:.2f} % of those sounded as told, at {bpm:g} BPM"
    )


async def _plan(client: Web, count: int) -> dict[int, list[Any]]:
    """Return of each bar: when it was told first, what was told a bar ahead, and what sounded."""
    told: dict[int, list[Any]] = {}
    song: dict[str, Any] = {}
    async with panels(client.port, 1) as (panel,):
        while len(told) < count:
            message = json.loads(await panel.recv())
            song = message.get("song", song)
            for bar in message.get("plan", ()):
                per_second = song["tempo"] / 60.0 * 1920.0
                starts = song["time_origin"] + (bar["start"] - song["tick_origin"]) / per_second
                length = bar["ticks"] / per_second
                known = told.setdefault(bar["bar"], [time.monotonic(), None, None])
                if starts - time.monotonic() >= length:
                    known[1] = bar["hits"]
                if starts > time.monotonic():
                    known[2] = bar["hits"]
    return told


# --- the API -------------------------------------------------------------------------------------


async def request(port: int, path: str, streams: Any = None) -> Any:  # noqa: ANN401 - a pair of streams
    """Ask over a kept connection; return it."""
    reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return reader, writer


async def paced(port: int, path: str, seconds: float) -> list[float]:
    """Return how long each of ``RATE`` requests a second took."""
    took: list[float] = []
    streams: Any = None
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        begun = time.perf_counter()
        streams = await request(port, path, streams)
        took.append(time.perf_counter() - begun)
        due = max(due + 1 / RATE, begun)
    streams[1].close()
    return took


async def constant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a constant: the least that HTTP costs in Python."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def _api(client: Web, seconds: float) -> None:
    server = await asyncio.start_server(constant, "127.0.0.1", 0)
    floor = server.sockets[0].getsockname()[1]
    async with panels(client.port) as opened:
        readers = [asyncio.create_task(drain(panel)) for panel in opened]
        took = await paced(client.port, "/api/v1/now", seconds)
        for reader in readers:
            reader.cancel()
    print(f"GET /now, {RATE:g} a second, {PANELS} panels open, ms, P50 / P99 / max:")
    print(f"  drumigen {quantiles(took)} (aim: P99 20), a constant", end=" ")
    print(quantiles(await paced(floor, "/", seconds / 2)))
    server.close()


def api(seconds: float) -> None:
    """Print how quick the API is."""
    with daemon("clock.source=internal", backend="null") as client:
        client.daemon.control("start")
        time.sleep(3.0)
        asyncio.run(_api(client, seconds))


# --- memory --------------------------------------------------------------------------------------


def proportional(pid: int) -> float:
    """Return the MB of a process and all below it, what is shared divided by who shares it."""
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            below.setdefault(parent, []).append(int(folder.name))
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = int(text.partition("\nPss:")[2].split()[0]) / 1024
    return own + sum(map(proportional, below.get(pid, ())))


def memory() -> None:
    """Print what the web process weighs."""
    with daemon(backend="null") as client:
        client.daemon.control("start")
        time.sleep(10.0)
        client.get("/now")
        with_panel = proportional(client.daemon.process.pid)
        web = proportional(client.pid())
    with (
        tempfile.TemporaryDirectory() as folder,
        drumigen(Path(folder), "--backend", "null", "--set", "web.port=0") as made,
    ):
        made.control("start")
        time.sleep(10.0)
        without = proportional(made.process.pid)
    print(
        f"memory: {with_panel:.0f} MB PSS with the panel, {without:.0f} without: "
        f"{with_panel - without:.0f} more (aim 45); the web process itself {web:.0f}"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=20.0, help="per figure and round")
    parser.add_argument("--controls", type=int, default=100)
    parser.add_argument("--bars", type=int, default=300, help="of the plan; 1000 for 99.9 %%")
    options = parser.parse_args()
    name = f"drumigen-bench-{os.getpid()}"
    os.environ["JACK_DEFAULT_SERVER"] = name
    server = JackServer(name)
    try:
        if {"lateness", "control"} & set(options.parts):
            server.start(128)
            stage = Stage()
            if "lateness" in options.parts:
                lateness(stage, options.seconds)
            if "control" in options.parts:
                control(stage, options.controls)
            stage.close()
    finally:
        server.clean_up()
    if "plan" in options.parts:
        plan(options.bars)
    if "api" in options.parts:
        api(options.seconds)
    if "memory" in options.parts:
        memory()


if __name__ == "__main__":
    main()
