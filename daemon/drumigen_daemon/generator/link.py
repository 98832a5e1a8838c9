"""The daemon's side of the generator: it is asked one batch at a time, watched and replaced."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from drumigen.units import Bpm
from drumigen_daemon.generator.messages import (
    BatchReply,
    GeneratorSetup,
    Item,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.histogram import WRITING_BOUNDS, Tally
from drumigen_daemon.process.child import Child

REPLY_PATIENCE: Final = 4.0
"""Seconds in which a batch must be answered, else the generator hangs and is replaced."""


class GeneratorLink:
    """Asks a generator in a child process, which is replaced when it dies or hangs."""

    def __init__(
        self,
        setup: GeneratorSetup,
        *,
        on_bars: Callable[[Sequence[WrittenBar]], None],
        on_change: Callable[[], None],
        on_loss: Callable[[], None],
    ) -> None:
        """Use the writer of ``setup``; ``on_change`` is called when it gets ready or lost."""
        self._on_bars = on_bars
        self._on_change = on_change
        self._on_loss = on_loss
        self._batch = 0
        self._waiting = False
        self._ready = False
        self._asked_at = 0.0
        self.times = Tally(WRITING_BOUNDS)
        """Seconds that each batch took."""
        self.child: Child[BatchReply] = Child(
            "drumigen_daemon.generator.process",
            msgspec.json.encode(setup).decode(),
            kind=BatchReply,
            on_message=self._answered,
            on_start=lambda: None,  # it says itself when it has loaded
            on_loss=self._lost,
        )

    @property
    def state(self) -> str:
        """``starting``, ``ready`` or ``restarting``."""
        if self._ready:
            return "ready"
        return "restarting" if self.child.restarts else "starting"

    @property
    def idle(self) -> bool:
        """Whether it takes a batch now."""
        return self._ready and not self._waiting

    async def run(self) -> None:
        """Keep a generator alive until cancelled."""
        await self.child.run()

    def ask(self, items: Sequence[Item], tempo: Bpm) -> None:
        """Ask for a batch; the answer goes to ``on_bars``."""
        self._batch += 1
        self._waiting = True
        self._asked_at = asyncio.get_running_loop().time()
        batch = batch_of(self._batch, tuple(items), tempo)
        self.child.send(batch, answer_within=REPLY_PATIENCE)

    def _answered(self, reply: BatchReply) -> None:
        if reply.number not in (0, self._batch):
            return
        if self._waiting:
            self.times.add(asyncio.get_running_loop().time() - self._asked_at)
        self._ready = True
        self._waiting = False
        self._on_bars(reply.bars)
        self._on_change()

    def _lost(self) -> None:
        self._ready = False
        self._waiting = False
        self._on_loss()
        self._on_change()
