"""A child process that nobody waits for: told how all stands when there is news, if it reads.

The MQTT bridge and the web process are such companions.  One that hangs or dies is replaced, one
that does not read is told less, and one whose settings have changed makes way for another.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from drumigen_daemon.process.child import Child, Patience

T = TypeVar("T")

SILENCE_SECONDS_MAX: Final = 15.0
"""Seconds without a sign of life after which a companion is replaced; it gives one every two."""


@dataclass(frozen=True, slots=True)
class Telling(Generic[T]):
    """What a companion is told, and who hears what it says."""

    wanted: Callable[[], bool]
    """Whether there is to be one now."""
    started: Callable[[], None]
    """Called when there is one to talk to."""
    lost: Callable[[], None]
    """Called as soon as there is none."""
    tell: Callable[[], None]
    """Called when there is news and the companion reads: sends what it is to know."""
    pause: Callable[[], float]
    """Seconds between two tellings at least."""
    heard: Callable[[T], None]


class Companion(Generic[T]):
    """One child at a time, running ``python -m module``, for as long as it is wanted."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        kind: Any,  # noqa: ANN401 - a union type is no type[T]
        backlog_max: int,
        telling: Telling[T],
    ) -> None:
        """Describe it; :meth:`run` keeps it.  Messages of ``kind`` come from it.

        A child that leaves more than ``backlog_max`` bytes unread is told nothing until it has
        read them.
        """
        self._module = module
        self._arguments = arguments
        self._kind = kind
        self._backlog_max = backlog_max
        self._telling = telling
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._child: Child[T] | None = None
        self._replaced = 0

    @property
    def restarts(self) -> int:
        """How many had to be replaced."""
        return self._replaced + (0 if self._child is None else self._child.restarts)

    @property
    def pid(self) -> int | None:
        """Process id of the living one."""
        return None if self._child is None else self._child.pid

    def take(self) -> None:
        """Hear that there is news."""
        self._news.set()

    def renew(self) -> None:
        """Begin anew with another child, or without one: what it was told first has changed."""
        self._changed.set()

    def send(self, message: object, *, patience: int = 1) -> bool:
        """Send a message; False if nobody is there, or nobody reads.

        ``patience`` times the usual may be left unread: for what somebody waits for.
        """
        child = self._child
        if child is None or not child.running or child.backlog >= patience * self._backlog_max:
            return False
        child.send(message)
        return True

    async def run(self) -> None:
        """Be there, with a child while one is wanted."""
        while True:
            self._changed.clear()
            if self._telling.wanted():
                await self._serve()
            else:
                await self._changed.wait()

    async def _serve(self) -> None:
        """Keep a child alive until :meth:`renew`."""
        child: Child[T] = Child(
            self._module,
            *self._arguments,
            kind=self._kind,
            on_message=self._telling.heard,
            on_start=self._started,
            on_loss=self._telling.lost,
            patience=Patience(silence=SILENCE_SECONDS_MAX),
        )
        self._child = child
        tasks = [
            asyncio.create_task(each, name=self._module)
            for each in (child.run(), self._tell(child), self._changed.wait())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._replaced += child.restarts
            self._child = None
            self._telling.lost()

    def _started(self) -> None:
        self._telling.started()
        self._news.set()

    async def _tell(self, child: Child[T]) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if child.running and child.backlog < self._backlog_max:
                self._telling.tell()
            await asyncio.sleep(self._telling.pause())
