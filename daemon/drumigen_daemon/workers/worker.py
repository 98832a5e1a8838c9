"""``drumigen worker``: a Celery worker for bars, and one for songs beside it.

Bars are written in the worker's own process (the pool ``solo``: a GPU does not survive a fork);
songs in a process below it (the pool ``prefork``, one child), which Celery can cut short.
"""

import contextlib
import logging
import os
import socket
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import redis
from celery import Celery, bootsteps
from celery.exceptions import SecurityWarning
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from drumigen.catalogue import load_catalogue
from drumigen.errors import ModelLoadError
from drumigen.model.devices import FAULTS, detect_device
from drumigen.model.network import CONTEXT_BARS
from drumigen_daemon.generator.messages import GeneratorSetup, WorkersAddress
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.generator.trial import real_batch
from drumigen_daemon.process.child import BACK_OFF_MOST
from drumigen_daemon.workers.bars import BarsLane, bars_task
from drumigen_daemon.workers.broker import (
    PROBE_LIFE,
    Names,
    celery_application,
    connected,
    queue,
    said_of,
)
from drumigen_daemon.workers.identity import Identity, identity_of, style_digests
from drumigen_daemon.workers.messages import ADVERT_PERIOD, Advert
from drumigen_daemon.workers.songs import add_song_task
from drumigen_daemon.workers.timing import BrokerClock

log = logging.getLogger(__name__)

NOISY: Final = ("celery.app.trace", "celery.worker.strategy")
REPEATING: Final = (
    *("kombu.transport.redis", "kombu.asynchronous.hub", "py.warnings"),
    *("celery.app.trace", "multiprocessing"),
)
ADVICE: Final = "worker_cancel_long_running_tasks_on_connection_loss"
"""Celery's, at each loss of the broker, about a setting that we have chosen."""
RETRY_FIRST: Final = 0.2
RETRY_MOST: Final = 1.0
"""Seconds between two tries to reach the broker."""
COMPLAINT_PERIOD: Final = 30.0
"""Seconds between two lines that say that it can not be reached."""
WORKER_CACHES_MAX: Final = 768
"""Contexts that are kept read, 400 MB of them at most: 18 styles each of some forty drummers."""
ADVERT_TIMEOUT: Final = 0.5
FORGET_AFTER: Final = 60_000.0
"""Milliseconds after which what a silent worker said is taken away."""


class QuickConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Comes back within a second of the broker; Celery's own waits up to thirty."""

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401 - kombu's
        """Return ``conn`` once it is connected, however long that takes."""
        told_at = [-COMPLAINT_PERIOD]
        probe = Names(self.app.conf.task_default_queue).probe

        def complain(error: Exception, _interval: float) -> None:
            now = time.monotonic()
            if now - told_at[0] >= COMPLAINT_PERIOD:
                told_at[0] = now
                why = said_of(error)
                log.warning("broker %s: %s; trying again every second", conn.as_uri(), why)

        while True:
            try:
                connection = conn.ensure_connection(
                    complain, None, RETRY_FIRST, RETRY_FIRST, RETRY_MOST, callback=maybe_shutdown
                )
                # one that answers and takes nothing, a replica or one that is full, is no broker
                connection.default_channel.client.set(probe, "", px=PROBE_LIFE)
            except redis.ResponseError as error:
                complain(error, RETRY_MOST)
                time.sleep(RETRY_MOST)
                maybe_shutdown()
            else:
                self.first_connection_attempt = False
                return connection


class Advertiser:
    """Says twice a second that this worker is there, and what it has; clients go by that."""

    def __init__(
        self,
        broker: "redis.Redis",
        clock: BrokerClock,
        key: str,
        name: str,
        make: Callable[[], Advert],
    ) -> None:
        """Say what ``make`` makes, as ``name``, in the hash ``key``."""
        self._broker = broker
        self._clock = clock
        self._key = key
        self._name = name
        self._make = make
        self._complained_at = -COMPLAINT_PERIOD
        self._refused = False

    def tell(self) -> bool:
        """Say it, and read the broker's clock; without a broker nothing happens.

        Return whether it could be said again after the broker had taken nothing.
        """
        asked = time.monotonic()
        try:
            seconds, micros = self._broker.time()
            self._clock.read(asked, seconds + micros / 1e6, time.monotonic())
            now = 1000 * self._clock.of(time.monotonic())
            said = msgspec.structs.replace(self._make(), seen=now)
            self._broker.hset(self._key, self._name, msgspec.json.encode(said))
        except redis.ResponseError as error:
            self._refused = True
            if asked - self._complained_at >= COMPLAINT_PERIOD:
                self._complained_at = asked
                log.warning(
                    "the broker takes nothing: %s; drummers write for themselves", said_of(error)
                )
        except redis.RedisError as error:
            log.debug("not advertised: %s", error)  # the consumer says that it has no connection
        else:
            again, self._refused = self._refused, False
            return again
        return False

    def sweep(self) -> None:
        """Take away what workers said that have long been gone."""
        with contextlib.suppress(redis.RedisError):
            now = 1000 * self._clock.of(time.monotonic())
            for name, said in self._broker.hgetall(self._key).items():
                try:
                    gone = msgspec.json.decode(said, type=Advert).seen < now - FORGET_AFTER
                except msgspec.MsgspecError:
                    gone = True
                if gone:
                    self._broker.hdel(self._key, name)

    def farewell(self) -> None:
        """Take it back: nobody is to ask this worker any more."""
        with contextlib.suppress(redis.RedisError):
            self._broker.hdel(self._key, self._name)


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line of Celery's says more than we do: what Redis refuses we say ourselves."""
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        if isinstance(error, redis.ResponseError):
            return False
        error = error.__cause__ or error.__context__
    return ADVICE not in record.getMessage()


def _advertising(
    advertiser: Advertiser, look: Callable[[], None], *, acknowledges: bool
) -> type[bootsteps.StartStopStep]:
    """Return the step of Celery's consumer that advertises while it is connected.

    It does so from the consumer's own loop: a worker that hangs says nothing.  One that
    ``acknowledges`` connects anew after the broker took nothing: what could not be acknowledged
    would keep its place for good, and nothing would be taken any more.
    """

    class Advertising(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's
            super().__init__(parent, **options)
            self._timer: Any = None

        def start(self, parent: Any) -> None:  # noqa: ANN401
            def tick() -> None:
                look()
                if advertiser.tell() and acknowledges:
                    message = "what it refused is begun anew"
                    raise redis.ConnectionError(message)

            advertiser.tell()
            advertiser.sweep()
            self.stop(parent)
            self._timer = parent.timer.call_repeatedly(ADVERT_PERIOD, tick)

        def stop(self, _parent: Any) -> None:  # noqa: ANN401
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Advertising


class SongsBeside:
    """The process that renders songs, while this one writes bars: started again when it dies."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        """Run ``command``."""
        self._command = command
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None
        self._next = 0.0

    def look(self) -> None:
        """Start it if it is not there."""
        if self._child is not None and self._child.poll() is None:
            return
        if self._child is not None:
            log.warning("the worker for songs ended (%s): starting another", self._child.returncode)
            self._child = None
            self._next = time.monotonic() + BACK_OFF_MOST
        if time.monotonic() >= self._next:
            self._child = subprocess.Popen(self._command, env=self._environment)  # noqa: S603

    def end(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()


def node_name(lane: str) -> str:
    """Return how this worker is called among others: of one machine there may be several."""
    return f"{lane}.{os.getpid()}@{socket.gethostname()}"


def usable_device(asked: str) -> str:
    """Return the device to write on: the CPU, with a warning, where that asked for is not there."""
    try:
        return detect_device(asked)
    except ModelLoadError as error:
        FAULTS.add(asked, str(error))
        return "cpu"


def write_bars(
    address: WorkersAddress, setup: GeneratorSetup, songs: "SongsBeside | None" = None
) -> int:
    """Write bars until a signal ends it.

    Raises:
        ModelLoadError: the checkpoint cannot be used.
        SettingsError: the file of the password cannot be read.
    """
    model = Path(setup.model) if setup.model else None
    styles = load_catalogue(Path(setup.styles) if setup.styles else None, model)
    identity = identity_of(setup)
    device = usable_device(setup.device)
    writer = ModelWriter(
        model, device, styles, caches=WORKER_CACHES_MAX, top_k=setup.top_k, top_p=setup.top_p
    )
    app = celery_application(address, results=True)
    clock, names = BrokerClock(), Names(address.queue)
    broker = connected(address, ADVERT_TIMEOUT)
    name, bars_queue = node_name("bars"), names.bars(identity.key)
    digests = style_digests(styles)
    lane = BarsLane(writer, identity.key, digests, broker, clock, name=name, queue=bars_queue)
    # a GPU records graphs, for full contexts too; of the CPU one bar tells enough
    context = 1 if device == "cpu" else CONTEXT_BARS
    lane.warm_up(real_batch(writer, [style.name for style in styles], context))
    app.conf.task_queues = [queue(bars_queue, kept=False)]
    app.register_task(bars_task(lane))

    def advert() -> Advert:
        return Advert(
            *identity,
            lane="bars",
            device="cpu" if FAULTS.of(device) else device,
            bars=lane.bars,
            dropped=lane.dropped,
            refused=lane.refused,
        )

    advertiser = Advertiser(broker, clock, names.workers, name, advert)
    look = songs.look if songs is not None else lambda: None
    try:
        return _work(app, advertiser, look, identity, name=name, pool="solo")
    finally:
        if songs is not None:
            songs.end()


def render_songs(address: WorkersAddress, setup: GeneratorSetup) -> int:
    """Render songs until a signal ends it.

    Raises:
        ModelLoadError: the checkpoint is not there.
        SettingsError: the file of the password cannot be read.
    """
    identity = identity_of(setup, drawn=False)
    app = celery_application(address, results=True)
    clock, names = BrokerClock(), Names(address.queue)
    name = node_name("songs")
    app.conf.task_queues = [queue(names.songs(identity.key), kept=True)]
    add_song_task(app, address, setup)
    advertiser = Advertiser(
        connected(address, ADVERT_TIMEOUT),
        clock,
        names.workers,
        name,
        lambda: Advert(*identity, lane="songs"),
    )
    return _work(app, advertiser, lambda: None, identity, name=name, pool="prefork")


def _work(  # noqa: PLR0913 - what it is, and what happens meanwhile
    app: Celery,
    advertiser: Advertiser,
    look: Callable[[], None],
    identity: Identity,
    *,
    name: str,
    pool: str,
) -> int:
    app.conf.worker_consumer = f"{QuickConsumer.__module__}:{QuickConsumer.__qualname__}"
    app.steps["consumer"].add(_advertising(advertiser, look, acknowledges=pool == "prefork"))
    for noisy in NOISY:  # they would log each song, with all its notes
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for repeating in REPEATING:  # each second, with a traceback
        logging.getLogger(repeating).addFilter(_is_news)
    # it warns root of pickle, which we never take
    warnings.simplefilter("ignore", SecurityWarning)
    log.info("worker %s: model %s, vocabulary %s", name, identity.model, identity.vocabulary)
    worker = app.Worker(
        hostname=name,
        pool=pool,
        concurrency=1,
        loglevel=logging.getLogger().level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    try:
        worker.start()
    finally:
        advertiser.farewell()
    return int(worker.exitcode or 0)
