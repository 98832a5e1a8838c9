"""The generator's side: one request for bars at a time, and never a wait beyond its deadline.

A thread speaks to the broker, for no library of ours can promise not to block.  Who asks waits for
the thread as long as was said and not longer; while the thread hangs, nobody asks it.
"""

import logging
import queue as queues
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import redis
from celery import Celery

from drumigen.errors import SettingsError
from drumigen.pattern import Bar
from drumigen_daemon.generator.messages import Batch, WorkersAddress, WorkersReport
from drumigen_daemon.histogram import BAR_TIME_BOUNDS, COUNT_BOUNDS, WRITING_BOUNDS, Tally
from drumigen_daemon.workers import broker as brokers
from drumigen_daemon.workers.identity import Identity
from drumigen_daemon.workers.messages import (
    ASKED_HEADER,
    BARS_TASK,
    DEADLINE_HEADER,
    PRIORITIES,
    REPLY_HEADER,
    ROWS_HEADER,
    SONG_PRIORITY,
    SPARE_PRIORITY,
    BarsReply,
    WireError,
    bars_request_of,
    compressed_text,
    decompressed,
    fitting,
    heard_of,
    styles_in,
)
from drumigen_daemon.workers.timing import BrokerClock

log = logging.getLogger(__name__)

LOOK_PERIOD: Final = 1.0
"""Seconds between two looks at which workers there are."""
LOOK_AGAIN: Final = 0.2
"""The same after a deadline was missed, until a worker has said that it is there."""
LOOK_STALE: Final = 3.0
"""Seconds after which what was seen is not believed any more."""
LOOK_PATIENCE: Final = 0.25
"""Seconds that a look may take; while one takes longer nobody is asked."""
PRIORITY_SEPARATOR: Final = "\x06\x16"
"""What kombu puts between the name of a queue and its priority."""


@dataclass
class Exchange:
    """A request on its way, and what came of it."""

    batch: Batch
    spare: bool
    until: float
    """When it is over, in monotonic seconds."""
    begun: float
    done: threading.Event = field(default_factory=threading.Event)
    outcome: str = "missed"
    """``answered``, ``missed``, ``refused``, ``corrupt`` or ``lost``."""
    why: str = ""
    reply: BarsReply = BarsReply()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What a look at the workers has found."""

    state: str = "connecting"
    live: int = 0
    newest: float = 0.0
    """When the last of them was heard of, in seconds of the broker's clock."""
    names: frozenset[str] = frozenset()
    others: str = ""
    """What a worker with another model said of itself; empty if there is none."""


class BarsClient:
    """Asks workers for bars, and keeps account of what comes of it."""

    def __init__(
        self,
        address: WorkersAddress,
        identity: Identity,
        styles: dict[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask at ``address`` for what ``identity`` writes; ``styles`` are the digests of ours."""
        self._address = address
        self._identity = identity
        self._styles = styles
        self._clock = clock
        self._names = brokers.Names(address.queue)
        self._queue = self._names.bars(identity.key)
        self._queues = [
            f"{self._queue}{PRIORITY_SEPARATOR}{priority}" if priority else self._queue
            for priority in PRIORITIES
        ]
        self._broker_clock = BrokerClock()
        self._redis: redis.Redis | None = None
        self._app: Celery | None = None
        self._inbox: queues.SimpleQueue[Exchange | None] = queues.SimpleQueue()
        self._seen = Seen()
        self._looked_at = -LOOK_STALE
        self._looking_since: float | None = None
        self._queued = address.max_queue  # until it was seen
        self._busy = False
        self._distrusted_at = 0.0
        self._refused: set[str] = set()
        self._refused_by: frozenset[str] = frozenset()
        self._said = ""
        self._problem = ""
        self._counts = dict.fromkeys(("answered", "missed", "refused", "corrupt", "lost"), 0)
        self._bars = 0
        self._local = 0
        self._waits = Tally(WRITING_BOUNDS)
        self._batches = Tally(COUNT_BOUNDS)
        self._bar_times = Tally(BAR_TIME_BOUNDS)
        self._trips = Tally(WRITING_BOUNDS)
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)

    def start(self) -> None:
        """Begin to look for workers; nobody waits for that."""
        self._thread.start()

    def close(self) -> None:
        """End the thread when it is done with what it does."""
        self._inbox.put(None)

    # --- in the thread of who asks -----------------------------------------------------------

    @property
    def report(self) -> WorkersReport:
        """How it goes."""
        return WorkersReport(
            state=self._state,
            live=self._seen.live,
            said=self._problem,
            asked=sum(self._counts.values()),
            **self._counts,
            bars=self._bars,
            local_bars=self._local,
            queue_wait=self._waits.histogram,
            batch_bars=self._batches.histogram,
            bar_time=self._bar_times.histogram,
            round_trip=self._trips.histogram,
        )

    @property
    def usable(self) -> bool:
        """Whether a request now has a fair chance to be answered in time."""
        return self._state == "ready"

    @property
    def _state(self) -> str:
        now, seen = self._clock(), self._seen
        slow = self._looking_since is not None and now - self._looking_since > LOOK_PATIENCE
        if seen.state == "ready" and (self._busy or slow or now - self._looked_at > LOOK_STALE):
            return "unreachable"
        if seen.state == "ready" and seen.newest <= self._distrusted_at:
            return "late"  # until a worker has said since then that it is there
        return seen.state

    def knows(self, style: str, blend: str) -> bool:
        """Tell whether workers can write that style, as far as is known."""
        if self._refused and self._refused_by != self._seen.names:
            self._refused.clear()  # others may know it
        return not self._refused & {style, blend} and style in self._styles

    def wrote_here(self, bars: int) -> None:
        """Take note that so many bars were written on this machine."""
        self._local += bars

    def ask(self, batch: Batch, wait: float) -> Exchange:
        """Send a request, whose answer is waited for so many seconds from now on."""
        now = self._clock()
        spare = len({item.request.style for item in batch.items}) > 1
        exchange = Exchange(batch, spare, now + wait, now)
        self._inbox.put(exchange)
        return exchange

    def answer(self, exchange: Exchange) -> tuple[Bar, ...] | None:
        """Wait for the answer until the deadline of the request; None if there is none."""
        exchange.done.wait(max(0.0, exchange.until - self._clock()))
        outcome = exchange.outcome if exchange.done.is_set() else "missed"
        self._counts[outcome] += 1
        if outcome == "answered":
            reply = exchange.reply
            self._bars += len(exchange.bars)
            self._waits.add(reply.waited)
            self._batches.add(reply.batch_bars)
            self._bar_times.add(reply.bar_time)
            self._trips.add(self._clock() - exchange.begun)
            return exchange.bars
        if outcome in ("missed", "corrupt"):
            # who has said since it was asked that it is there, is only busy
            since = exchange.begun if outcome == "missed" else self._clock()
            self._distrusted_at = self._broker_clock.of(since)
        if outcome == "refused" and exchange.reply.style:
            self._refused.add(exchange.reply.style)
            self._refused_by = self._seen.names
        if outcome in ("refused", "corrupt") and not exchange.reply.busy:
            self._say(f"{outcome} bars ({exchange.why}): the CPU here writes them", logging.WARNING)
        return None

    # --- in our own thread -------------------------------------------------------------------

    def _run(self) -> None:
        next_look = 0.0
        while True:
            try:
                exchange = self._inbox.get(timeout=max(0.0, next_look - self._clock()))
            except queues.Empty:
                self._look()
                next_look = self._clock() + (LOOK_AGAIN if self._state == "late" else LOOK_PERIOD)
                continue
            if exchange is None:
                return
            self._busy = True
            try:
                self._exchange(exchange)
            except Exception as error:  # noqa: BLE001 - a fault here must not end the thread
                exchange.outcome, exchange.why = "lost", f"{type(error).__name__}: {error}"
                self._unreachable(exchange.why)
            finally:
                self._busy = False
                exchange.done.set()
            if exchange.outcome in ("missed", "corrupt"):
                next_look = min(next_look, self._clock() + LOOK_AGAIN)

    def _look(self) -> None:
        """See which workers there are, and read the broker's clock."""
        self._looking_since = asked = self._clock()
        try:
            client = self._client()
            seconds, micros = client.time()
            self._broker_clock.read(asked, seconds + micros / 1e6, self._clock())
            self._found(brokers.said_by_workers(client, self._names))
        except SettingsError as error:
            self._unreachable(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is must not end the thread
            self._unreachable(brokers.said_of(error))
        finally:
            self._looking_since = None

    def _found(self, said: Mapping[Any, Any]) -> None:
        now = self._broker_clock.of(self._clock())
        ours: dict[str, float] = {}
        others = ""
        for name, advert in heard_of(said, now).items():
            if advert.lane != "bars":
                continue
            if advert.identity == self._identity.key:
                ours[name] = advert.seen / 1000
            else:
                others = f"{advert.model}, vocabulary {advert.vocabulary}"
        state = "ready" if ours else "mismatch" if others else "none"
        newest = max(ours.values(), default=0.0)
        self._seen = Seen(state, len(ours), newest, frozenset(ours), others)
        self._looked_at = self._clock()
        if state == "ready":
            self._say("there are workers for the bars", logging.INFO)
        elif state == "mismatch":
            mine = f"{self._identity.model}, vocabulary {self._identity.vocabulary}"
            self._say(
                f"the workers are no use: they have model {others}, here it is {mine}; the CPU here"
                " writes (give both the same drumigen and checkpoint)",
                logging.WARNING,
            )
        else:
            self._say("no worker is there: the CPU here writes", logging.WARNING)

    def _unreachable(self, why: str) -> None:
        self._seen = Seen("unreachable")
        self._looked_at = self._clock()
        self._say(
            f"workers.broker {self._address.broker}: {why}; the CPU here writes", logging.WARNING
        )

    def _say(self, text: str, level: int) -> None:
        """Log what is new."""
        if text != self._said:
            self._said = text
            self._problem = text if level >= logging.WARNING else ""
            log.log(level, "%s", text)

    def _client(self) -> "redis.Redis":
        if self._redis is None:
            self._redis = brokers.connected(self._address, self._address.deadline + 0.5)
        return self._redis

    def _celery(self) -> Celery:
        if self._app is None:
            self._app = brokers.celery_application(self._address, results=False)
            self._app.conf.task_queues = [brokers.queue(self._queue, kept=False)]
        return self._app

    def _exchange(self, exchange: Exchange) -> None:
        now = self._clock()
        if now >= exchange.until:
            return
        number, most = uuid4().hex, self._address.max_queue
        try:
            client = self._client()
            if self._queued >= most:
                self._queued = self._counted(client)
            if self._queued >= most:
                exchange.outcome, exchange.why = "lost", "the queue is full"
                self._say("the workers' queue is full: the CPU here writes", logging.WARNING)
                return
            self._send(exchange, number)
            found = self._awaited(client, exchange, number)
        except brokers.BROKER_ERRORS as error:
            self._queued = most
            exchange.outcome, exchange.why = "lost", brokers.said_of(error)
            self._unreachable(exchange.why)
            return
        if found is not None:
            self._take(exchange, found[1])

    def _awaited(self, client: "redis.Redis", exchange: Exchange, number: str) -> Any:  # noqa: ANN401 - of redis
        """Return what is answered in time, or None; on the way, see how many requests wait.

        So each request goes to the broker and back twice, not three times.  Who reads that the
        queue is full asks no more before it has read otherwise: the queue is longer than it may be
        by one request of each drummer at most.
        """
        left = exchange.until - self._clock()
        if left <= 0:
            return None
        pipe = self._counting(client)
        for name in self._queues:
            pipe.expire(name, brokers.REQUESTS_LIFE)
        pipe.blpop([self._names.reply(number)], left)
        *told, found = pipe.execute()
        self._queued = sum(map(int, told[: len(self._queues)]))
        return found

    def _counted(self, client: "redis.Redis") -> int:
        """Return how many requests wait."""
        return sum(map(int, self._counting(client).execute()))

    def _counting(self, client: "redis.Redis") -> Any:  # noqa: ANN401 - of redis
        pipe = client.pipeline(transaction=False)
        for name in self._queues:
            pipe.llen(name)
        return pipe

    def _send(self, exchange: Exchange, number: str) -> None:
        batch, now = exchange.batch, self._clock()
        rows = len(batch.items)
        told = compressed_text(bars_request_of(batch, self._identity.key, self._styles))
        self._celery().send_task(
            BARS_TASK,
            args=[told],
            argsrepr=f"({rows} bars: {', '.join(sorted(styles_in(batch)))[:200]})",
            task_id=number,
            queue=self._queue,
            priority=SPARE_PRIORITY if exchange.spare else SONG_PRIORITY,
            headers={
                ASKED_HEADER: round(1000 * self._broker_clock.of(now), 3),
                DEADLINE_HEADER: round(1000 * self._broker_clock.of(exchange.until), 3),
                REPLY_HEADER: self._names.reply(number),
                ROWS_HEADER: rows,
            },
            ignore_result=True,
            retry=False,
        )

    def _take(self, exchange: Exchange, data: Any) -> None:  # noqa: ANN401 - of redis
        try:
            reply = decompressed(data, BarsReply)
            exchange.reply = reply
            if reply.problem:
                exchange.outcome, exchange.why = "refused", reply.problem
                return
            exchange.bars = fitting(reply, exchange.batch)
            exchange.outcome = "answered"
        except WireError as error:
            exchange.outcome, exchange.why = "corrupt", str(error)
