"""The daemon's side of the generator: it is asked one batch at a time, watched and replaced."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from drumigen.units import Bpm, Seconds
from drumigen_daemon.generator.messages import (
    BarRequest,
    BatchReply,
    DeviceReport,
    GeneratorSetup,
    Item,
    StillWriting,
    WorkersReport,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.generator.pace import Pace
from drumigen_daemon.histogram import WRITING_BOUNDS, Tally
from drumigen_daemon.process.child import Child

log = logging.getLogger(__name__)

REFUSALS_TOLD: Final = 8
"""Different reasons for which bars cannot be written that are logged."""
REPLY_SECONDS_MAX: Final = 4.0
"""Seconds in which it must answer or give a sign of life, else it hangs and is replaced."""


WRITING_MAX: Final = 60.0
"""Seconds in which a batch must be answered by one that gives signs of life."""
GENERATOR_MODULE: Final = "drumigen_daemon.generator.process"


class GeneratorLink:
    """Asks a generator in a child process, which is replaced when it dies or hangs."""

    def __init__(
        self,
        setup: GeneratorSetup,
        *,
        on_bars: Callable[[Sequence[WrittenBar], Sequence[BarRequest]], None],
        on_change: Callable[[], None],
        on_loss: Callable[[], None],
        module: str = GENERATOR_MODULE,
    ) -> None:
        """Use the writer of ``setup``; ``on_change`` is called when it gets ready or lost.

        ``on_bars`` takes what was written and what was refused.
        """
        self._on_bars = on_bars
        self._on_change = on_change
        self._on_loss = on_loss
        self._batch = 0
        self._waiting = False
        self._ready = False
        self._asked_at = 0.0
        self._pace = Pace()
        self._refusals: set[str] = set()
        self.workers: WorkersReport | None = None
        """What the generator told last of the workers that it asks, if it asks any."""
        self._setup = setup
        self._song = 0
        self._rolls = False
        self.device = DeviceReport()
        """What the network runs on."""
        self.times = Tally(WRITING_BOUNDS)
        """Seconds that each batch took."""
        self.child: Child[BatchReply | DeviceReport | StillWriting] = Child(
            module,
            msgspec.json.encode(setup).decode(),
            kind=BatchReply | DeviceReport | StillWriting,
            on_message=self._heard,
            on_start=lambda: None,  # it says itself when it has loaded
            on_loss=self._lost,
        )

    @property
    def state(self) -> str:
        """``starting``, ``ready``, ``too slow`` or ``restarting``."""
        if self._ready:
            return "too slow" if self._pace.too_slow else "ready"
        return "restarting" if self.child.restarts else "starting"

    def room(self, bar_seconds: float) -> int:
        """Return how many bars it may be asked for now, in a song whose bars last so long."""
        if not self._ready or self._waiting:
            return 0
        return self._pace.room(bar_seconds, _now())

    async def run(self) -> None:
        """Keep a generator alive until cancelled."""
        await self.child.run()

    def song(self, *, rolls: bool) -> None:
        """Take note of whether a song rolls; within one the writer changes only by a fault."""
        self._song += rolls and not self._rolls
        self._rolls = rolls

    def ask(self, items: Sequence[Item], tempo: Bpm, bar_seconds: float) -> None:
        """Ask for a batch; the answer goes to ``on_bars``."""
        self._batch += 1
        self._waiting = True
        self._asked_at = _now()
        self._pace.asked(len(items), bar_seconds, self._asked_at)
        song = self._song if self._rolls else 0
        batch = batch_of(self._batch, tuple(items), tempo, song)
        self.child.send(batch, answer_within=REPLY_SECONDS_MAX)

    def _heard(self, message: BatchReply | DeviceReport | StillWriting) -> None:
        if isinstance(message, BatchReply):
            self._answered(message)
        elif isinstance(message, DeviceReport):
            self._told_of_device(message)
        elif _now() - self._asked_at < WRITING_MAX:
            self.child.expect(REPLY_SECONDS_MAX)
        else:
            log.error("the generator wrote for %.0f s at one batch: replacing it", WRITING_MAX)
            self._measured()
            self.child.kill()

    def _answered(self, reply: BatchReply) -> None:
        if reply.number not in (0, self._batch):
            return
        self.workers = reply.workers or self.workers
        if self._waiting:
            self.times.add(_now() - self._asked_at)
            self._measured()
        self._ready = True
        self._waiting = False
        if reply.why and reply.why not in self._refusals and len(self._refusals) < REFUSALS_TOLD:
            self._refusals.add(reply.why)
            log.warning("the generator cannot write a bar (%s): another is played", reply.why)
        self._on_bars(reply.bars, reply.refused)
        self._on_change()

    def _measured(self) -> None:
        """Take note of how long it took; say when it has become too slow, or quick enough."""
        was = self._pace.too_slow
        self._pace.over(_now())
        seconds = self._pace.seconds_a_bar
        if self._pace.too_slow and not was:
            log.warning(
                "the generator takes %.1f s a bar, longer than a bar lasts: the bank plays, and it"
                ' is tried again now and then; generator.writer = "bank" spares it',
                seconds,
            )
        elif was and not self._pace.too_slow:
            log.info("the generator keeps up again: %.2f s a bar", seconds)

    def _told_of_device(self, report: DeviceReport) -> None:
        faults = max(report.faults, self.device.faults)
        said = report.said or self.device.said
        state = "failed" if faults and report.state == "cpu" else report.state
        self.device = msgspec.structs.replace(report, state=state, faults=faults, said=said)
        self._on_change()

    def _lost(self) -> None:
        self._pace.forget()
        if self._waiting and self.device.state == "playing":
            # what took the whole process along cannot say so, and would do it again
            said = f"{self.device.device} took the generator along; the CPU writes"
            log.error("%s", said)
            faults = self.device.faults + 1
            self.device = DeviceReport(state="failed", faults=faults, said=said)
            self._setup = msgspec.structs.replace(self._setup, device="cpu")
            self.child.start_next_with(msgspec.json.encode(self._setup).decode())
        self._ready = False
        self._waiting = False
        self._on_loss()
        self._on_change()


def _now() -> Seconds:
    return Seconds(time.monotonic())
