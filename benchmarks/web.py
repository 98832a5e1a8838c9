"""What the web process costs and how quick it is: ``python benchmarks/web.py [--seconds 20]``.

A daemon plays by its own clock on no MIDI system; ten panels are open.  Measured from outside:

- control to plan: from a control sent up one panel's WebSocket until another panel is told of it;
- ``GET /now`` at 200 requests a second, beside the same to a bare asyncio server that answers a
  constant: the floor of HTTP in Python on this machine in the same minute;
- the requests that one client can have answered as fast as it sends them;
- memory: PSS of the web process.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import websockets

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from stage_fixtures import drumigen
from web_stage import Web, free_port

PANELS = 10
RATE = 200.0
QUIET = ("--set", "midi.backend=null", "--set", "clock.source=internal", "--bpm", "174")


def quantiles(values: list[float]) -> str:
    """Return P50, P99 and the greatest in ms."""
    values = sorted(values)
    picked = (values[len(values) // 2], values[int(0.99 * (len(values) - 1))], values[-1])
    return " / ".join(f"{1000 * value:.1f}" for value in picked)


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


async def flood(port: int, seconds: float) -> float:
    """Ask as fast as the answers come; return the requests a second."""
    streams, count, end = None, 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        streams = await request(port, "/api/v1/now", streams)
        count += 1
    return count / seconds


@contextlib.asynccontextmanager
async def panels(port: int) -> AsyncIterator[list[Any]]:
    """Keep ten panels open."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                websockets.connect(f"ws://127.0.0.1:{port}/api/v1/live", max_size=None)
            )
            for _ in range(PANELS)
        ]


async def seen(panel: Any, density: int) -> None:  # noqa: ANN401 - a connection
    """Wait until a panel is told of ``density``."""
    while json.loads(await panel.recv()).get("values", {}).get("density") != density:
        pass


async def control_to_panel(port: int, times: int) -> list[float]:
    """Return how long it took until another panel was told, of ten that are open."""
    took = []
    async with panels(port) as opened:
        readers = [asyncio.create_task(drain(panel)) for panel in opened[2:]]
        for n in range(times):
            begun = time.perf_counter()
            await opened[0].send(json.dumps({"control": "density", "value": n % 100}))
            await asyncio.gather(seen(opened[1], n % 100), seen(opened[0], n % 100))
            took.append(time.perf_counter() - begun)
        for reader in readers:
            reader.cancel()
    return took


async def drain(panel: Any) -> None:  # noqa: ANN401 - a connection
    """Read what a panel is told."""
    async for _ in panel:
        pass


def proportional(pid: int) -> float:
    """Return the MB of a process, what is shared divided by who shares it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


async def constant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a constant: the least that HTTP costs in Python."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def measure(client: Web, seconds: float) -> None:
    """Print all of it."""
    floor_server = await asyncio.start_server(constant, "127.0.0.1", 0)
    floor_port = floor_server.sockets[0].getsockname()[1]
    client.daemon.control("start")
    await asyncio.sleep(3.0)
    print(f"web process: {proportional(client.pid()):.0f} MB PSS")
    print("ms, P50 / P99 / max:")
    print(f"  control to another panel, {PANELS} open: ", end="", flush=True)
    print(quantiles(await control_to_panel(client.port, 100)))
    print(
        "  GET /now, 200 a second:  ", quantiles(await paced(client.port, "/api/v1/now", seconds))
    )
    print("  a constant, the floor:   ", quantiles(await paced(floor_port, "/", seconds / 2)))
    print("a flood: ", end="", flush=True)
    print(f"{await flood(client.port, seconds):.0f} requests a second are answered")
    floor_server.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="per figure")
    seconds = parser.parse_args().seconds
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        drumigen(Path(folder), *QUIET, "--set", f"web.port={port}") as daemon,
    ):
        client = Web(daemon, port)
        while not client.answers():
            time.sleep(0.1)
        asyncio.run(measure(client, seconds))


if __name__ == "__main__":
    main()
