"""The worker's lane of bars: requests of many drummers become one run of the network.

A Celery task with a strategy of its own: what Celery hands over is put together with whatever came
within two milliseconds of it, and written at once in the worker's one thread.  While that is being
written the worker takes nothing from the broker, so that another is given what comes meanwhile.
Requests whose deadline is over are dropped before they are even unpacked; one that can not be done
in time is refused, so that who asked need not wait.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from celery import Task
from celery.worker import state

from drumigen.errors import DrumigenError
from drumigen.pattern import Bar
from drumigen.units import TEMPO_DEFAULT
from drumigen_daemon.generator.messages import Item
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.workers.messages import (
    ASKED_HEADER,
    BARS_TASK,
    DEADLINE_HEADER,
    REPLY_HEADER,
    ROWS_HEADER,
    ROWS_MAX,
    BarsReply,
    BarsRequest,
    WireError,
    compressed,
    unpacked_text,
)
from drumigen_daemon.workers.timing import BrokerClock, ServiceTime

log = logging.getLogger(__name__)

JOINING_SECONDS: Final = 0.002
"""Seconds after a request in which others join its batch."""
PAUSE: Final = 0.0005
NO_NETWORK: Final = "the network could not write them"
REPLY_LIFE: Final = 5_000
"""Milliseconds for which an answer is kept that nobody takes."""
WARM_UP: Final = (2, 18)
"""Bars of the batches by which it is measured how long batches take: as drummers ask for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its headers tell it; times in seconds of the broker's clock."""

    id: str
    reply: str
    rows: int
    asked: float
    deadline: float
    body: Any

    @classmethod
    def of(cls, message: Any) -> "Asked | None":  # noqa: ANN401 - kombu's, which has no types
        """Return what ``message`` asks for; None if its headers are not ours."""
        headers = message.headers
        try:
            return cls(
                str(headers["id"]),
                str(headers[REPLY_HEADER]),
                int(headers[ROWS_HEADER]),
                float(headers[ASKED_HEADER]) / 1000,
                float(headers[DEADLINE_HEADER]) / 1000,
                message,
            )
        except (KeyError, TypeError, ValueError):
            return None

    def request(self) -> BarsRequest:
        """Unpack the body.

        Raises:
            WireError: it is no request.
        """
        try:
            (text,), _, _ = self.body.decode()
        except Exception as error:
            # kombu raises whatever the text made its decoder raise
            message = f"what is no task: {error}"
            raise WireError(message) from error
        return unpacked_text(text, BarsRequest)


class BarsLane:
    """Collects, writes and answers; one thread, Celery's, calls it."""

    def __init__(  # noqa: PLR0913 - what it writes by, and for whom
        self,
        writer: ModelWriter,
        identity: str,
        styles: dict[str, str],
        broker: "redis.Redis",
        clock: BrokerClock,
        *,
        name: str,
        queue: str,
    ) -> None:
        """Write by ``writer`` what is asked for in ``queue``; answer through ``broker``.

        ``styles`` are the digests of the styles that it knows, ``name`` is the worker's.
        """
        self._writer = writer
        self._identity = identity
        self._styles = styles
        self._name = name
        self._broker = broker
        self._clock = clock
        self._queue = queue
        self._service = ServiceTime()
        self._waiting: list[tuple[Asked, BarsRequest]] = []
        self._rows = 0
        self._refusals: list[tuple[Asked, BarsReply]] = []
        self._busy = False
        self._told: set[str] = set()
        self._event: Callable[..., None] = lambda *_, **__: None
        self.bars = 0
        self.dropped = 0
        self.refused = 0

    def warm_up(self, items: Sequence[Item]) -> None:
        """Write ``items`` for nobody, before anybody asks.

        Libraries load then, a device gets ready, and it is known how long batches take: who knows
        nothing would take all that waits at once, and be late with all of it.
        """
        self._writer.write(items, TEMPO_DEFAULT)
        for size in (*WARM_UP, len(items)):
            begun = time.monotonic()
            self._writer.write(items[:size], TEMPO_DEFAULT)
            self._service.measured(len(items[:size]), time.monotonic() - begun)

    def handler(self, consumer: Any) -> Callable[..., None]:  # noqa: ANN401 - Celery's
        """Return what Celery calls with each message."""
        events = consumer.event_dispatcher

        def event(kind: str, **what: object) -> None:
            if events is not None and events.enabled:
                events.send(kind, **what)

        self._event = event

        def handle(message: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - kombu's
            self.take(message)
            if not self._busy:
                self._busy = True
                try:
                    self._serve(consumer.task_consumer.channel)
                finally:
                    self._busy = False

        return handle

    def _now(self) -> float:
        return self._clock.of(time.monotonic())

    def _serve(self, channel: Any) -> None:  # noqa: ANN401 - kombu's
        """Collect what belongs together, and write until nothing that was taken is left."""
        self._collect(channel)
        self._answer([])  # who is refused need not wait for the others
        while self._waiting:
            begun, batch = time.monotonic(), self._batch()
            self._answer(self._written(batch))
            bars = sum(asked.rows for asked, _ in batch)
            self._service.measured(bars, time.monotonic() - begun)

    def _collect(self, channel: Any) -> None:  # noqa: ANN401 - kombu's
        end = time.monotonic() + JOINING_SECONDS
        while self._rows < self._service.batch_bars:
            message = channel.basic_get(self._queue, no_ack=True)
            if message is not None:
                self.take(message)
            elif time.monotonic() < end:
                time.sleep(PAUSE)
            else:
                return

    def take(self, message: Any) -> None:  # noqa: ANN401 - kombu's
        """Take a request in, if it is still wanted and can be done in time."""
        asked = Asked.of(message)
        if asked is None:
            self._complain("a request without our headers: is another program on this queue?")
            return
        state.all_total_count[0] += 1
        state.total_count.update({BARS_TASK: 1})
        self._event(
            "task-received",
            uuid=asked.id,
            name=BARS_TASK,
            args=f"{asked.rows} bars",
            kwargs="{}",
            retries=0,
        )
        left = asked.deadline - self._now()
        if left <= 0:
            self.dropped += asked.rows
            self._event("task-revoked", uuid=asked.id, terminated=False, expired=True)
            return
        if not self._service.in_time(self._rows + asked.rows, left):
            if not self._service.in_time(asked.rows, asked.deadline - asked.asked):
                self._service.forgive()  # else nothing of this size would ever be tried again
            self._refuse(asked, "busy", busy=True)
            return
        try:
            request = asked.request()
            self._check(request)
        except WireError as error:
            self._refuse(asked, str(error), style=error.style)
            return
        self._waiting.append((asked, request))
        self._rows += asked.rows

    def _check(self, request: BarsRequest) -> None:
        """Refuse what would be another bar here.

        Raises:
            WireError: the model, or a style, is another; one line.
        """
        if request.identity != self._identity:
            message = f"model {request.identity} is asked for, this worker has {self._identity}"
            raise WireError(message)
        for style, digest in request.styles.items():
            if not digest or self._styles.get(style) != digest:
                message = f"style {style[:60]!r} is not the one that this worker has"
                raise WireError(message, style)
        items = request.batch.items
        if not 1 <= len(items) <= ROWS_MAX or any(item.request.number < 0 for item in items):
            message = f"{len(items)} bars, or bars before the first"
            raise WireError(message)

    def _refuse(self, asked: Asked, why: str, *, style: str = "", busy: bool = False) -> None:
        self.refused += asked.rows
        reply = BarsReply(problem=why, style=style, busy=busy, worker=self._name)
        self._refusals.append((asked, reply))
        self._event("task-rejected", uuid=asked.id)
        if not busy:
            self._complain(f"refused {asked.rows} bars: {why}")

    def _batch(self) -> list[tuple[Asked, BarsRequest]]:
        """Take the requests of the next batch off the list."""
        most, rows, count = self._service.batch_bars, 0, 0
        for asked, _ in self._waiting:
            if count and rows + asked.rows > most:
                break
            rows += asked.rows
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._rows -= rows
        return batch

    def _written(self, batch: Sequence[tuple[Asked, BarsRequest]]) -> list[tuple[Asked, BarsReply]]:
        begun, now = time.monotonic(), self._now()
        for asked, _ in batch:
            self._event("task-started", uuid=asked.id)
        try:
            bars = self._bars(batch)
        except Exception as error:  # whatever it is, the others are to be written
            if len(batch) > 1:
                return [answer for each in batch for answer in self._written([each])]
            log.exception("a batch could not be written")
            asked = batch[0][0]
            why = f"{type(error).__name__}: {error}"
            self._event("task-failed", uuid=asked.id, exception=why, traceback="")
            self.refused += asked.rows
            return [(asked, BarsReply(problem=why, worker=self._name))]
        by_bank = self._writer.by_bank
        seconds = time.monotonic() - begun
        answers, place = [], 0
        for asked, request in batch:
            count = len(request.batch.items)
            if any(by_bank[place : place + count]):
                # a bank is what every drummer has at home; the network there may do better
                place += count
                self.refused += count
                answers.append((asked, BarsReply(problem=NO_NETWORK, worker=self._name)))
                continue
            self.bars += count
            reply = BarsReply(
                bars=tuple(bars[place : place + count]),
                worker=self._name,
                waited=max(0.0, now - asked.asked),
                batch_bars=len(bars),
                bar_time=seconds / len(bars),
            )
            place += count
            answers.append((asked, reply))
            self._event("task-succeeded", uuid=asked.id, result=f"{count} bars", runtime=seconds)
        return answers

    def _bars(self, batch: Sequence[tuple[Asked, BarsRequest]]) -> list[Bar]:
        items: list[Item] = []
        tempi = []
        for _, request in batch:
            new = request.batch.items
            items += new
            tempi += [request.batch.tempo] * len(new)
        return self._writer.write_at(items, tempi)

    def _answer(self, answers: list[tuple[Asked, BarsReply]]) -> None:
        refusals, self._refusals = self._refusals, []
        if not refusals and not answers:
            return
        pipe = self._broker.pipeline(transaction=False)
        for asked, reply in (*refusals, *answers):
            pipe.rpush(asked.reply, compressed(reply))
            pipe.pexpire(asked.reply, REPLY_LIFE)
        try:
            pipe.execute()
        except redis.RedisError as error:
            self._complain(f"answers could not be given: {error}")

    def _complain(self, text: str) -> None:
        """Say something once."""
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            log.warning("%s", text)


def bars_task(lane: BarsLane) -> Task:
    """Return the Celery task whose messages ``lane`` takes."""

    class BarsTask(Task):  # type: ignore[misc]  # Celery has no types
        """Bars for a drummer; asked by its generator, never called."""

        name = BARS_TASK
        ignore_result = True
        acks_late = False
        typing = False

        def Strategy(self, _task: Task, _app: object, consumer: Any) -> Callable[..., None]:  # noqa: ANN401, N802 - Celery's name
            return lane.handler(consumer)

        def run(self, *_: object) -> None:
            message = "bars are written in batches: see BarsLane"
            raise DrumigenError(message)

    return BarsTask()
