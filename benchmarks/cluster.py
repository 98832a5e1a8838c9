"""Workers on a Redis, and many drummers: ``python benchmarks/cluster.py``.

Everything is real: ``redis-server``, ``drumigen worker`` and its network, and the client of the
generator's process.  It needs a machine with nothing else to do.  ``--parts`` picks some of:

- scale: 1, 4, 16 and 64 simulated drummers at 174 BPM with all styles ready.  Each asks, bar for
  bar, as the planner does: its own two bars and their fills first, then the others in batches of
  18; it waits for one answer at a time.  Beside it: one local generator, which has a core to
  itself, and what a worker with the service time that was measured here could do if it had all of
  its core (``model``: a queue with one server, batches of what waits, on virtual time);
- delay: one drummer, and a network that takes so many milliseconds each way, put between client and
  Redis by a relay in this process; in the same table the interaction success rates that StreamMUSE
  publishes for a melody accompanied in real time over a server: 99.5 % local, 95.4 % WLAN, 98.9 %
  WAN.  Theirs is the share of time steps, sixteenths, for which there was a note to schedule,
  whether of the newest answer or of one before it (weighed: less so much for how old that is); ours
  is the share of the song's bars that a worker had written by its deadline, half a bar or 0.5 s,
  and counts nothing of before.  A bar of
  ours is due seconds later, a step of theirs within a fraction of one: the figures stand beside
  each other, they are no race;
- flood: one worker, asked for ten times what it can do for ten seconds, eight times: how long until
  who asks afterwards is answered again (aim: 2 s), how long its queue was, its memory and Redis's
  (aim: flat), and what is left in Redis at last;
- faults: three daemons on null ports, 200 bars each at 174 BPM while all is well: how many bars
  were fresh (aim: all but 1 in 600); then a worker is killed, the other stopped for 10 s, Redis
  killed for 20 s: bars that were missing, or by a fallback and not the network at home, and bars
  until workers were used again (aim: 4).
"""

import argparse
import logging
import math
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from cluster_parts import (
    BAR_SECONDS,
    DIGESTS,
    IDENTITY,
    SPARE,
    STYLES,
    TEMPO,
    WAIT,
    Drummer,
    Relay,
    Told,
    cluster,
    filler,
    measured_service,
    modelled,
    played,
    quantile,
    service_of,
    until,
)

from drumigen.timeline import Meter
from drumigen_daemon.generator.messages import BarRequest, Item, WorkersAddress, batch_of
from drumigen_daemon.workers.client import BarsClient
from fixtures_redis import Redis, Worker
from stage_fixtures import Daemon, drumigen

PARTS = ("scale", "delay", "flood", "faults")


def row(name: str, told: Told, seconds: float) -> str:
    """Return a line of the table."""
    waits, trips = told.waits, told.trips
    mean = statistics.fmean(told.batches) if told.batches else math.nan
    fresh = 100 * told.fresh / max(1, told.song)
    return (
        f"{name:<26}{told.bars / seconds:>8.0f}{mean:>8.1f}"
        f"{1e3 * quantile(waits, 0.5):>9.1f}{1e3 * quantile(waits, 0.99):>8.1f}"
        f"{1e3 * quantile(trips, 0.5):>9.1f}{1e3 * quantile(trips, 0.99):>8.1f}"
        f"{told.missed:>8}{told.refused:>9}{fresh:>9.2f} %"
    )


HEAD = (
    f"{'':<26}{'bars/s':>8}{'batch':>8}{'wait P50':>9}{'P99':>8}{'trip P50':>9}{'P99':>8}"
    f"{'missed':>8}{'refused':>9}{'fresh':>11}   (ms)"
)


def scale(bars: int, sizes: list[int], workers: int) -> None:
    """Print how it goes with more and more drummers."""
    samples = measured_service()
    said = ", ".join(f"{size}: {1e3 * seconds:.0f} ms" for size, seconds in samples.items())
    print(f"\nscale: {workers} worker(s), {bars} bars at {TEMPO:g} BPM; bars of a batch: {said}")
    each = samples[2] + samples[18] * (2 * (len(STYLES) - 1) / SPARE)
    print(f"one local generator each would take {1e3 * each:.0f} ms of a core for a bar's 36 bars,")
    print(f"of {1e3 * BAR_SECONDS:.0f}: {BAR_SECONDS / each:.1f} drummers a core, without batching")
    print(HEAD)
    service = service_of(samples)
    with cluster(workers) as (server, _):
        for drummers in sizes:
            told, seconds = played(server.address(), drummers, bars)
            print(row(f"{drummers} drummers", told, seconds))
            told, seconds = modelled(service, drummers, bars)
            print(row("   model, one whole core", told, seconds), flush=True)


STREAMMUSE = {
    "local": (99.5, 99.5),
    "local server, WLAN of 6 Gbit/s": (95.4, 91.0),
    "remote server, WAN of 1 Gbit/s": (98.9, 87.9),
}
"""Interaction success rates of the best setting in each place, at 120 BPM (their table III)."""
WAYS = {
    "on one machine": (0.0, 0.0),
    "wired, 0.5 ms": (0.0005, 0.0001),
    "WLAN, 3 ms +- 5": (0.003, 0.005),
    "WAN, 30 ms +- 5": (0.030, 0.005),
    "bad WLAN, 20 ms +- 60": (0.020, 0.060),
}


def delay(bars: int) -> None:
    """Print how it goes over slower and slower networks."""
    print(f"\ndelay: one drummer, one worker, {bars} bars; each way, and its exponential jitter")
    print(HEAD)
    with cluster(1) as (server, _):
        for name, (base, jitter) in WAYS.items():
            relay = Relay(server.port, base, jitter)
            address = WorkersAddress(f"redis://127.0.0.1:{relay.port}/0")
            told, seconds = played(address, 1, bars)
            relay.close()
            print(row(name, told, seconds), flush=True)
    for name, (share, weighed) in STREAMMUSE.items():
        print(
            f"StreamMUSE, {name:<52} published {share:.1f} %; weighed by staleness {weighed:.1f} %"
        )


# --- flood -------------------------------------------------------------------------------------


def memory_of(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def flood(seconds: float, times: int) -> None:
    """Print what ten times too much does to a worker, so many times, and how soon it is over."""
    samples = measured_service()
    capacity = 18 / samples[18]
    print(f"\nflood: a worker that writes {capacity:.0f} bars/s is asked for {10 * capacity:.0f}")
    with cluster(1) as (server, (worker,)):
        address = server.address(max_queue=64)
        bar = filler()
        calm = Drummer(address, 99, bar)
        until(lambda: calm.usable, 30)
        fresh = memory_of(worker.pid)
        for number in range(FILLING):
            calm.bar(number)
        print(
            f"memory {fresh:.0f} MB, {memory_of(worker.pid):.1f} with all contexts that are kept; "
            f"Redis {redis_memory(server):.1f} MB"
        )
        print(f"{STORM} drummers, at most {address.max_queue} wait")
        for number in range(1, times + 1):
            storm = Storm(server, address, worker)
            storm.rages(seconds, 10 * capacity / 18)
            over = time.monotonic()
            again = until(lambda bar=FILLING + number: _one(calm, bar), 60)  # type: ignore[misc]
            storm.ends()
            report = storm.report
            told = ", ".join(f"{name} {report[name]}" for name in OUTCOMES)
            print(
                f"flood {number}: asked {report['asked']} times in {seconds:g} s, for "
                f"{report['asked'] * SPARE / seconds:.0f} bars/s: {told}; "
                f"{report['bars'] / seconds:.0f} bars/s were written in time\n"
                f"   queue at most {storm.longest}, memory at most {storm.most:.0f} MB, "
                f"{memory_of(worker.pid):.1f} afterwards, Redis "
                f"{redis_memory(server):.1f}; dropped unread {storm.dropped} bars\n"
                f"   a drummer that only waited is answered {again:.2f} s after the flood, "
                f"the queue is empty after {storm.emptied - over:.2f} s",
                flush=True,
            )
        calm.close()
        time.sleep(REPLIES_GONE)
        keys: Any = server.client().keys()
        said = ", ".join(sorted(key.decode() for key in keys))
        print(f"keys that Redis still has: {said}")


def redis_memory(server: Redis) -> float:
    """Return what the data of Redis takes, in MB."""
    told: Any = server.client().info("memory")
    return float(told["used_memory"]) / 2**20


FILLING = 40
"""Bars of one drummer in all styles, after which a worker keeps all contexts that it ever does."""
REPLIES_GONE = 6.0
"""Seconds after which no answer is kept that nobody has taken."""
OUTCOMES = ("answered", "missed", "refused", "corrupt", "lost")
STORM = 36
"""Drummers that ask without a pause, whether or not they have been answered."""


class Storm:
    """Too many who ask, and what is seen of it."""

    def __init__(self, server: Redis, address: WorkersAddress, worker: Worker) -> None:
        """Be about to ask ``worker`` at ``address``."""
        self._broker = server.client()
        self._queue = f"drumigen.bars.{IDENTITY.key}"
        self._worker = worker
        self._band = [BarsClient(address, IDENTITY, DIGESTS) for _ in range(STORM)]
        for each in self._band:
            each.start()
        until(lambda: all(each.usable for each in self._band), 30)
        self._items = tuple(Item(BarRequest(style, 0, Meter(), 1)) for style in STYLES)[:SPARE]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._dropped = self._advert_dropped()
        self.longest, self.most = 0, 0.0

    def _advert_dropped(self) -> int:
        advert = self._worker.advert()
        return advert.dropped if advert else 0

    def _hammer(self, client: BarsClient, period: float) -> None:
        due = time.monotonic() + random.random() * period
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            client.answer(client.ask(batch_of(0, self._items, TEMPO), WAIT))
            due += period  # who is behind makes up for it

    def rages(self, seconds: float, rate: float) -> None:
        """Ask ``rate`` times a second, for so many seconds."""
        self._threads = [
            threading.Thread(target=self._hammer, args=(each, STORM / rate)) for each in self._band
        ]
        for thread in self._threads:
            thread.start()
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            self._look()
            time.sleep(0.05)
        self._stop.set()

    def _look(self) -> int:
        length = sum(
            int(self._broker.llen(name)) for name in (self._queue, f"{self._queue}\x06\x161")
        )
        self.longest = max(self.longest, length)
        self.most = max(self.most, memory_of(self._worker.pid))
        return length

    def ends(self) -> None:
        """Wait until nothing of it is left."""
        for thread in self._threads:
            thread.join()
        until(lambda: self._look() == 0, 60)
        self.emptied = time.monotonic()
        time.sleep(1.5)  # for the worker to say it
        self.dropped = self._advert_dropped() - self._dropped
        reports = [each.report for each in self._band]
        names = ("asked", "bars", *OUTCOMES)
        self.report = {name: sum(getattr(each, name) for each in reports) for name in names}
        for each in self._band:
            each.close()


def _one(drummer: Drummer, number: int) -> bool:
    before = drummer.told.bars
    drummer.bar(number)
    return drummer.told.bars > before


# --- faults ------------------------------------------------------------------------------------


class Band:
    """Daemons that play, and what is counted of them all."""

    def __init__(self, daemons: Sequence[Daemon]) -> None:
        """Watch ``daemons``."""
        self._daemons = daemons

    def bars(self) -> int:
        """Return how many bars each has played at least."""
        return min(int(daemon.counters()["bars"]) for daemon in self._daemons)

    def counted(self) -> Counter[str]:
        """Return the sums of what is counted."""
        found: Counter[str] = Counter()
        for daemon in self._daemons:
            status = daemon.status()
            told, origins = status["counters"], status["counters"]["by_origin"]
            found["bars"] += told["bars"]
            found["new"] += told["bars"] - origins.get("remembered", 0)
            found["fresh"] += told["worker_bars"]
            found["fallbacks"] += told["fallback_bars"]
            found["late"] += told["late_bars"]
            # the bar that sounds was entered, and those before it; at a bar line one is on its way
            found["missing"] += max(0, status["bar"] - told["bars"] - 1)
            found["missing"] += origins.get("repeated", 0)
            found["generators"] += told["generator_restarts"]
            found.update({name: status["workers"][name] for name in ("asked", *OUTCOMES)})
        return found

    def told(self, since: Counter[str]) -> str:
        """Return in a line what was counted ``since`` then."""
        now = self.counted()
        now.subtract(since)
        outcomes = ", ".join(f"{now[name]} {name}" for name in OUTCOMES if now[name])
        return (
            f"{now['bars']} bars, {now['missing']} missing, {now['fallbacks']} by fallbacks, "
            f"{now['late']} late; of {now['new']} new ones {now['new'] - now['fresh']} not from "
            f"workers; {now['asked']} requests: {outcomes}"
        )

    def back(self) -> str:
        """Wait until each has bars from workers again; return how long that takes."""
        before = [daemon.status()["workers"]["bars"] for daemon in self._daemons]
        waited = until(
            lambda: all(
                daemon.status()["workers"]["bars"] > count
                for daemon, count in zip(self._daemons, before, strict=True)
            ),
            60,
        )
        return f"all had bars from workers {waited / BAR_SECONDS:.1f} bars ({waited:.1f} s) later"


def faults(bars: int) -> None:
    """Print what real daemons play through the faults of workers and broker."""
    print(f"\nfaults: three daemons, two workers, all styles ready, {TEMPO:g} BPM")
    with cluster(2) as (server, workers), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        daemons: list[Daemon] = []
        for number in range(3):
            (folder / str(number)).mkdir()
            arguments = ("--backend", "null", "--bpm", f"{TEMPO:g}", "--seed", str(number))
            writer = ("--set", "generator.writer=celery", "--set", f"workers.broker={server.url}")
            daemons.append(stack.enter_context(drumigen(folder / str(number), *arguments, *writer)))
        band = Band(daemons)
        time.sleep(3)
        for daemon in daemons:
            daemon.control("start")
        # the first bars were there before anybody knew of workers
        until(lambda: band.bars() >= SETTLED, 60)
        since = band.counted()
        until(lambda: band.bars() >= SETTLED + bars, 10 * bars)
        print(f"all well: {band.told(since)} (aim: 1 in 600)", flush=True)

        since = band.counted()
        workers[0].send(signal.SIGKILL)
        workers[1].send(signal.SIGSTOP)
        time.sleep(10)
        print(f"a worker killed, the other stopped for 10 s: {band.told(since)}")
        workers[1].send(signal.SIGCONT)
        print(f"   it goes on: {band.back()} (aim: 4)", flush=True)
        time.sleep(5)

        since = band.counted()
        server.kill()
        time.sleep(20)
        print(f"Redis killed for 20 s: {band.told(since)}")
        server.start()
        print(f"   it is back: {band.back()} (aim: 4)", flush=True)
        time.sleep(5)
        print(f"in all: {band.told(Counter())}; {band.counted()['generators']} generators replaced")


SETTLED = 8
"""Bars after which what is played was asked for while workers were known."""


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--bars", type=int, default=200, help="that everybody plays (200)")
    parser.add_argument("--drummers", default="1,4,16,64", help="of the part scale")
    parser.add_argument("--floods", type=int, default=8, help="of the part flood (8)")
    parser.add_argument("--workers", type=int, default=1, help="of the part scale")
    options = parser.parse_args()
    parts = options.parts.split(",")
    logging.getLogger("drumigen_daemon").setLevel(logging.ERROR)  # what happens is counted
    if "scale" in parts:
        scale(options.bars, [int(each) for each in options.drummers.split(",")], options.workers)
    if "delay" in parts:
        delay(options.bars)
    if "flood" in parts:
        flood(10.0, options.floods)
    if "faults" in parts:
        faults(options.bars)


if __name__ == "__main__":
    main()
