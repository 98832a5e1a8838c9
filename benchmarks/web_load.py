"""Clients for ``web.py``, in a process of their own: ``panels PORT`` or ``flood PORT``.

``panels`` keeps ten panels open and reads what they are told.  ``flood`` sends 2,000 requests a
second over eight connections, evenly spread, whether they are answered or not.  Says ``running``,
ends when its standard input closes, and prints the answers that it got a second.

It runs behind everyone else: clients are other machines, or a browser that can wait.
"""

import asyncio
import os
import sys
import time

import websockets

PANELS = 10
RATE = 2_000
CONNECTIONS = 8
UNANSWERED_MAX = 200
"""Requests on one connection after which it is no use to send more."""


async def panels(port: int) -> int:
    """Keep panels open until cancelled; return the messages that they were told."""
    told = 0

    async def read() -> None:
        nonlocal told
        url = f"ws://127.0.0.1:{port}/api/v1/live"
        async with websockets.connect(url, max_size=None) as panel:
            async for _ in panel:
                told += 1

    await _until_told(read() for _ in range(PANELS))
    return told


async def flood(port: int) -> int:
    """Ask until told to end; return how often that was answered."""
    answered = 0
    request = f"GET /api/v1/now HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()

    async def ask(number: int) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        unanswered = 0

        async def hear() -> None:
            nonlocal answered, unanswered
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                answered += 1
                unanswered -= 1

        hearing = asyncio.create_task(hear())
        period = CONNECTIONS / RATE
        due = time.monotonic() + number / RATE
        while not hearing.done():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while due <= time.monotonic():
                due += period
                if unanswered < UNANSWERED_MAX:
                    unanswered += 1
                    writer.write(request)

    await _until_told(ask(number) for number in range(CONNECTIONS))
    return answered


async def _until_told(works) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - coroutines
    """Run them until standard input closes."""
    tasks = [asyncio.create_task(work) for work in works]
    print("running", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            sys.stderr.write(f"a client ended: {result!r}\n")


def main() -> None:
    """Be the clients."""
    os.nice(10)
    work = {"panels": panels, "flood": flood}[sys.argv[1]]
    begun = time.monotonic()
    count = asyncio.run(work(int(sys.argv[2])))
    print(f"{count / (time.monotonic() - begun):.0f}", flush=True)


if __name__ == "__main__":
    main()
