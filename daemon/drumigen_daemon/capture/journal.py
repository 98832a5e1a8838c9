"""What was played, on disk as it is played: a power cut costs the bar that sounded, no more.

One JSON value a line, a line a bar, each safe on disk before the next bar is over.  Two files take
turns, so that neither grows for ever; a line that the power cut short is passed over.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from drumigen_daemon.engine.messages import PlayedBar

log = logging.getLogger(__name__)

JOURNAL_NAME: Final = "played.jsonl"
BEFORE: Final = "played-before.jsonl"
WAITING_MAX: Final = 512
"""Bars that wait for a disk that does not write; the oldest give way."""

_DECODER: Final = msgspec.json.Decoder(PlayedBar)


class CaptureJournal:
    """The bars of one daemon, in a folder."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Keep at least the last ``limit`` bars in ``folder``, which may not exist yet."""
        self._folder = folder
        self._limit = limit
        self._lines = 0
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._news = asyncio.Event()

    def load(self) -> list[PlayedBar]:
        """Return the bars that were kept, oldest first; without a folder or files there are none.

        Raises:
            OSError: they cannot be read.
        """
        bars: list[PlayedBar] = []
        for name in (BEFORE, JOURNAL_NAME):
            found = list(_bars(self._folder / name))
            bars += found
            self._lines = len(found)
        return bars[-self._limit :]

    def add(self, bar: PlayedBar) -> None:
        """Take a bar that is over; it is written soon, and nobody waits for that."""
        self._waiting.append(msgspec.json.encode(bar) + b"\n")
        self._news.set()

    async def run(self) -> None:
        """Write what comes until cancelled; a last look at what waits is :meth:`flush`.

        Raises:
            OSError: the disk is full or gone; what waits is kept, for another run.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await asyncio.to_thread(self.flush)
            except OSError:
                self._news.set()
                raise

    def flush(self) -> None:
        """Write what waits, and see it safe on disk.

        Raises:
            OSError: it cannot be written; it is kept.
        """
        lines = list(self._waiting)
        if not lines:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / JOURNAL_NAME
        if self._lines >= self._limit:
            with contextlib.suppress(FileNotFoundError):
                path.replace(self._folder / BEFORE)
            self._lines = 0
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            torn = os.fstat(handle).st_size > 0 and not _ends_a_line(handle)
            data = (b"\n" if torn else b"") + b"".join(lines)
            written = os.write(handle, data)
            if written < len(data):
                message = f"{path}: only {written} of {len(data)} bytes were written"
                raise OSError(message)
            os.fsync(handle)
        finally:
            os.close(handle)
        self._lines += len(lines)
        for _ in lines:
            # more may have come meanwhile, and pushed out the oldest
            if self._waiting and self._waiting[0] in lines:
                self._waiting.popleft()


def _ends_a_line(handle: int) -> bool:
    end = os.lseek(handle, -1, os.SEEK_END)
    return os.pread(handle, 1, end) == b"\n"


def _bars(path: Path) -> Iterator[PlayedBar]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    broken = 0
    for line in data.splitlines():
        try:
            yield _DECODER.decode(line)
        except (msgspec.MsgspecError, ValueError):
            broken += bool(line)
    if broken:
        log.warning("%s: %d broken lines passed over", path, broken)
