"""What ``cluster.py`` is made of: simulated drummers, a network that is slow, a worker on paper."""

import math
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from drumigen.pattern import Bar
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import (
    BarRequest,
    GeneratorSetup,
    Item,
    WorkersAddress,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.generator.writers import make_writer
from drumigen_daemon.workers.client import BarsClient
from drumigen_daemon.workers.identity import identity_of, style_digests
from drumigen_daemon.workers.timing import ServiceTime
from fixtures_redis import Redis, Worker

TEMPO = Bpm(174.0)
BAR_SECONDS = 60.0 * 4 / TEMPO
WAIT = min(0.5, BAR_SECONDS / 2)
SPARE = 18
STYLES = [style.name for style in load_styles()]
DIGESTS = style_digests(load_styles())
IDENTITY = identity_of(GeneratorSetup("model"))
CONTEXT = 8


@dataclass
class Told:
    """What a drummer saw."""

    song: int = 0
    """Bars of the song that it asked for."""
    fresh: int = 0
    """Those that workers wrote in time."""
    bars: int = 0
    """All bars that workers wrote."""
    waits: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    asked: int = 0
    missed: int = 0
    refused: int = 0

    def take(self, other: "Told") -> None:
        """Add what another saw."""
        for name in ("song", "fresh", "bars", "asked", "missed", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.waits += other.waits
        self.trips += other.trips
        self.batches += other.batches


class Drummer:
    """Asks as a generator with all styles ready does; what it plays are the bars that it got."""

    def __init__(self, address: WorkersAddress, seed: int, filler: Bar) -> None:
        """Ask at ``address``; ``filler`` stands where no worker has written."""
        self._client = BarsClient(address, IDENTITY, DIGESTS)
        self._client.start()
        self._seed = seed
        self._filler = filler
        self._lines: dict[str, tuple[WrittenBar, ...]] = dict.fromkeys(STYLES, ())
        self.told = Told()

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    @property
    def usable(self) -> bool:
        """Whether there is a worker to ask."""
        return self._client.usable

    def _ask(self, items: list[Item], *, song: bool) -> None:
        bars: tuple[Bar, ...] | None = None
        if self._client.usable:
            begun = time.monotonic()
            exchange = self._client.ask(batch_of(0, tuple(items), TEMPO), WAIT)
            bars = self._client.answer(exchange)
            self.told.asked += 1
            if bars is not None:
                self.told.bars += len(bars)
                self.told.trips.append(time.monotonic() - begun)
                self.told.waits.append(exchange.reply.waited)
                self.told.batches.append(exchange.reply.batch_bars)
            elif exchange.outcome == "refused":
                self.told.refused += 1
            else:
                self.told.missed += 1
        if song:
            self.told.song += 1
            self.told.fresh += bars is not None
        written = bars if bars is not None else (self._filler,) * len(items)
        for item, bar in zip(items, written, strict=True):
            if not item.request.fill:
                before = self._lines[item.request.style]
                line = (*before, WrittenBar(item.request, bar))
                self._lines[item.request.style] = line[-CONTEXT:]

    def bar(self, number: int) -> None:
        """Ask for what the next bar wants: the song's own, then the other styles'."""

        def item(style: str, *, fill: bool) -> Item:
            request = BarRequest(style, number, Meter(), self._seed, fill=fill)
            return Item(request, self._lines[style])

        own, *others = STYLES
        self._ask([item(own, fill=False), item(own, fill=True)], song=True)
        spare = [item(style, fill=fill) for style in others for fill in (False, True)]
        for first in range(0, len(spare), SPARE):
            self._ask(spare[first : first + SPARE], song=False)

    def play(self, bars: int, stop: threading.Event) -> None:
        """Ask for so many bars, each at its bar line; who is behind does not make up for it."""
        time.sleep(random.random() * BAR_SECONDS)
        begun = time.monotonic()
        for number in range(bars):
            if stop.is_set():
                return
            self.bar(number)
            time.sleep(max(0.0, begun + (number + 1) * BAR_SECONDS - time.monotonic()))


@contextmanager
def cluster(count: int) -> Iterator[tuple[Redis, list[Worker]]]:
    """Run a Redis and so many workers."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = Redis(Path(folder))
        server.start()
        stack.callback(server.kill)
        workers = [Worker(server, "--lane", "bars") for _ in range(count)]
        for worker in workers:
            stack.callback(worker.end)
            worker.await_ready()
        yield server, workers


def quantile(values: list[float], share: float) -> float:
    """Return what so great a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def filler() -> Bar:
    """Return a bar of the bank."""
    return make_writer(GeneratorSetup("bank")).write(
        [Item(BarRequest("rock", 0, Meter(), 1))], TEMPO
    )[0]


def played(address: WorkersAddress, drummers: int, bars: int) -> tuple[Told, float]:
    """Return what so many drummers saw, and how long they played."""
    bar = filler()
    band = [Drummer(address, seed, bar) for seed in range(drummers)]
    until(lambda: all(each.usable for each in band), 30)
    stop = threading.Event()
    threads = [threading.Thread(target=each.play, args=(bars, stop)) for each in band]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    total = Told()
    for each in band:
        total.take(each.told)
        each.close()
    return total, seconds


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until ``condition`` holds; return how long that took, infinity if it never did."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if condition():
            return time.monotonic() - begun
        time.sleep(0.01)
    return math.inf


def service_of(samples: dict[int, float]) -> ServiceTime:
    """Return the line through measured batches, as a worker has it."""
    service = ServiceTime()
    for _ in range(20):
        for bars, seconds in samples.items():
            service.measured(bars, seconds)
    return service


def measured_service() -> dict[int, float]:
    """Return the seconds that the network here takes for batches of some sizes, medians of five."""
    writer = make_writer(GeneratorSetup("model"))
    found: dict[int, float] = {}
    for size in (1, 2, 18, 36):
        times = []
        for trial in range(5):
            items = [
                Item(BarRequest(STYLES[n % len(STYLES)], 0, Meter(), 100 * trial + n // 18))
                for n in range(size)
            ]
            begun = time.monotonic()
            writer.write(items, TEMPO)
            times.append(time.monotonic() - begun)
        found[size] = statistics.median(times)
    return found


def modelled(service: ServiceTime, drummers: int, bars: int) -> tuple[Told, float]:
    """Return what drummers would see of one worker with that service time and nothing else."""
    told, rng = Told(), random.Random(1)
    # each drummer is where it is in its bar: (when it asks next, bar, part)
    asking = [(rng.random() * BAR_SECONDS, rng.random(), 0, 0) for _ in range(drummers)]
    starts = [each[0] for each in asking]
    free = 0.0
    queue: list[tuple[float, int, int, int]] = []  # asked, drummer, bar, part
    events = [(at, who, 0, 0) for who, (at, *_) in enumerate(asking)]
    sizes = (2, SPARE, 2 * (len(STYLES) - 1) - SPARE)
    last = 0.0
    while events or queue:
        events.sort()
        now = max(free, events[0][0] if not queue else free)
        while events and events[0][0] <= now:
            queue.append(events.pop(0))
        queue.sort(key=lambda each: (each[3] > 0, each[0]))
        batch: list[tuple[float, int, int, int]] = []
        rows = 0
        kept = []
        for each in queue:
            size = sizes[each[3]]
            left = each[0] + WAIT - now
            done = service.in_time(rows + size, left)
            if left <= 0 or not done:
                _modelled_next(told, events, starts, each, now, bars, sizes, answered=False)
            elif batch and rows + size > service.batch_bars:
                kept.append(each)
            else:
                batch.append(each)
                rows += size
        queue = kept
        if not batch:
            free = now if queue else (events[0][0] if events else now)
            continue
        free = now + service.seconds(rows)
        last = free
        for each in batch:
            told.waits.append(now - each[0])
            told.trips.append(free - each[0])
            told.batches.append(rows)
            told.bars += sizes[each[3]]
            _modelled_next(told, events, starts, each, free, bars, sizes, answered=True)
    return told, max(last, bars * BAR_SECONDS)


def _modelled_next(  # noqa: PLR0913, PLR0917 - the state of a small simulation
    told: Told,
    events: list[tuple[float, int, int, int]],
    starts: list[float],
    each: tuple[float, int, int, int],
    now: float,
    bars: int,
    sizes: tuple[int, ...],
    *,
    answered: bool,
) -> None:
    _, who, bar, part = each
    told.asked += 1
    told.refused += not answered
    if part == 0:
        told.song += 1
        told.fresh += answered
    if part + 1 < len(sizes):
        events.append((now, who, bar, part + 1))
    elif bar + 1 < bars:
        events.append((max(now, starts[who] + (bar + 1) * BAR_SECONDS), who, bar + 1, 0))


class Relay:
    """Passes bytes on to Redis and back, each way so many seconds later."""

    def __init__(self, port: int, delay: float, jitter: float) -> None:
        """Listen on a port of its own, in threads."""
        self._to = port
        self._delay = delay
        self._jitter = jitter
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for a, b in ((near, far), (far, near)):
                waiting: deque[tuple[float, bytes]] = deque()
                there = threading.Semaphore(0)
                threading.Thread(target=self._read, args=(a, waiting, there), daemon=True).start()
                threading.Thread(target=self._write, args=(b, waiting, there), daemon=True).start()

    def _read(
        self, sock: socket.socket, waiting: deque[tuple[float, bytes]], there: threading.Semaphore
    ) -> None:
        due = 0.0
        while True:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            # what is late holds up what comes behind it, as TCP does
            lag = self._delay + self._jitter * random.expovariate(1.0)
            due = max(due, time.monotonic() + lag)
            waiting.append((due, data))
            there.release()
            if not data:
                return

    def _write(
        self, sock: socket.socket, waiting: deque[tuple[float, bytes]], there: threading.Semaphore
    ) -> None:
        while True:
            there.acquire()
            due, data = waiting.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    sock.close()
                    return
                sock.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()
