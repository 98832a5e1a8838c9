"""Three drummers with all styles, two workers and a Redis, and everything that may go wrong there.

What is proved here does not depend on how busy the machine is: no bar is missing, every request has
one outcome, bars are written at home while nobody else writes, workers are used again while the
song goes on, and all that is counted agrees.  How soon, and how many bars were fresh, is measured
by ``benchmarks/cluster.py``.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.workers.broker import Names
from drumigen_daemon.workers.identity import identity_of
from drumigen_daemon.workers.messages import REPLY_HEADER, Advert
from fixtures_jack import wait_for
from fixtures_redis import Redis, Worker
from stage_fixtures import Daemon, drumigen

pytestmark = pytest.mark.redis

DRUMMERS = 3
TEMPO = "72"
"""At which half a bar is enough for a busy machine; the benchmark plays at 174."""
ANOTHER_VOCABULARY = """
import sys
from drumigen_daemon.workers import identity
identity.vocabulary_hash = lambda: "another vocabulary"
from drumigen_daemon.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Band:
    """The drummers, and how it goes with them."""

    def __init__(self, daemons: list[Daemon]) -> None:
        self.daemons = daemons

    def reports(self) -> list[dict[str, Any]]:
        return [daemon.status()["workers"] for daemon in self.daemons]

    def sums(self) -> dict[str, int]:
        reports = self.reports()
        return {
            name: sum(report[name] for report in reports)
            for name in ("asked", "answered", "missed", "refused", "corrupt", "lost", "bars")
        } | {"local": sum(report["local_bars"] for report in reports)}

    def plays_on(self, bars: int) -> None:
        """Wait until each has played so many more bars, and see that none was missing."""
        before = [daemon.counters()["bars"] for daemon in self.daemons]
        wait_for(
            lambda: all(
                daemon.counters()["bars"] >= count + bars
                for daemon, count in zip(self.daemons, before, strict=True)
            ),
            60 + 10 * bars,
            "the music stopped",
        )
        self.is_whole()

    def is_whole(self) -> None:
        """Every bar of every song sounded once, and none because nobody had planned it."""
        for daemon in self.daemons:
            status = daemon.status()
            counters, told = status["counters"], status["workers"]
            # the bar that sounds was entered, and those before it
            assert counters["bars"] - 1 <= status["bar"] <= counters["bars"] + 1
            assert sum(counters["by_origin"].values()) == counters["bars"]
            assert counters["by_origin"].get("repeated", 0) == 0
            outcomes = ("answered", "missed", "refused", "corrupt", "lost")
            assert sum(told[name] for name in outcomes) == told["asked"]
            # each answer was timed, and has bars; what sounds of them is among what they wrote
            trips = status["histograms"]["worker_round_trip"]
            assert sum(trips["counts"]) == told["answered"] <= told["bars"]
            assert counters["worker_bars"] <= counters["by_origin"].get("generated", 0)
            if not counters["generator_restarts"]:  # which counts from nothing again
                assert counters["worker_bars"] <= told["bars"]
            new = counters["bars"] - counters["by_origin"].get("remembered", 0)
            assert told["fresh_rate"] == pytest.approx(counters["worker_bars"] / new, abs=1e-4)

    def uses_workers(self, seconds: float = 180.0) -> None:
        """Wait until each drummer had bars from workers since now."""
        before = [report["bars"] for report in self.reports()]
        wait_for(
            lambda: all(
                report["bars"] > count for report, count in zip(self.reports(), before, strict=True)
            ),
            seconds,
            "workers are not used again",
        )

    def hears_workers(self) -> None:
        """Wait until a bar has sounded in each song that a worker wrote, for its place."""
        before = [counters["worker_bars"] for counters in self._counters()]
        wait_for(
            lambda: all(
                counters["worker_bars"] > count
                for counters, count in zip(self._counters(), before, strict=True)
            ),
            180,
            "what workers write is not played",
        )

    def _counters(self) -> list[dict[str, Any]]:
        return [daemon.counters() for daemon in self.daemons]

    def writes_at_home(self) -> None:
        """Wait until each drummer had bars from its own network since now."""
        before = [report["local_bars"] for report in self.reports()]
        wait_for(
            lambda: all(
                report["local_bars"] > count
                for report, count in zip(self.reports(), before, strict=True)
            ),
            120,
            "nobody writes",
        )


@pytest.fixture
def band(redis_server: Redis, tmp_path: Path) -> Iterator[Callable[[], Band]]:
    with contextlib.ExitStack() as stack:

        def made() -> Band:
            daemons = []
            for number in range(DRUMMERS):
                folder = tmp_path / f"drummer{number}"
                folder.mkdir()
                arguments = (
                    *("--backend", "null", "--bpm", TEMPO, "--seed", str(number)),
                    *("--set", "generator.writer=celery"),
                    *("--set", f"workers.broker={redis_server.url}"),
                    *("--set", "workers.deadline_ms=5000"),
                )
                daemons.append(stack.enter_context(drumigen(folder, *arguments)))
            for daemon in daemons:
                daemon.control("start")
            return Band(daemons)

        yield made


class Saboteur:
    """Says that it is a worker, takes what it gets, and answers with noise."""

    def __init__(self, server: Redis) -> None:
        self._broker = server.client()
        self._identity = identity_of(GeneratorSetup("model"))
        self._names = Names("drumigen")
        self.answered = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(20)
        self._broker.hdel(self._names.workers, "saboteur")

    def _run(self) -> None:
        queue = self._names.bars(self._identity.key)
        while not self._ended.is_set():
            seconds, micros = self._broker.time()
            seen = 1000 * seconds + micros / 1000
            said = Advert(*self._identity, lane="bars", seen=seen)
            self._broker.hset(self._names.workers, "saboteur", msgspec.json.encode(said))
            found: Any = self._broker.brpop([queue, f"{queue}\x06\x161"], 1)
            if found is None:
                continue
            task = msgspec.json.decode(found[1])
            reply = task["headers"][REPLY_HEADER]
            self._broker.rpush(reply, b"\x78\x01noise" if self.answered % 2 else b"{}")
            self._broker.pexpire(reply, 5000)
            self.answered += 1


def test_nothing_that_happens_to_workers_costs_a_bar(
    redis_server: Redis, workers: list[Worker], band: Callable[[], Band]
) -> None:
    redis_server.start()
    workers += [Worker(redis_server, "--lane", "bars") for _ in range(2)]
    first, second = workers
    for each in workers:
        each.await_ready()
    played = band()
    played.uses_workers()
    played.plays_on(4)

    # one dies, and one hangs: the network at home writes
    first.send(signal.SIGKILL)
    second.send(signal.SIGSTOP)
    played.writes_at_home()
    played.plays_on(2)
    second.send(signal.SIGCONT)
    played.uses_workers()

    # Redis dies with all that it held, and comes back empty
    redis_server.kill()
    played.writes_at_home()
    states = {report["state"] for report in played.reports()}
    assert "ready" not in states
    redis_server.start()
    played.uses_workers()

    # answers are noise
    with Saboteur(redis_server) as saboteur:
        second.send(signal.SIGSTOP)
        wait_for(lambda: saboteur.answered > 3, 90, "it was never asked")
        wait_for(lambda: played.sums()["corrupt"] > 2, 90, "noise was taken for bars")
        played.plays_on(2)
    second.send(signal.SIGCONT)
    played.uses_workers()

    # all that is left has another vocabulary
    second.end()
    stranger = Worker(redis_server, "--lane", "bars", program=ANOTHER_VOCABULARY)
    workers.append(stranger)
    stranger.await_ready()
    wait_for(
        lambda: all(report["state"] == "mismatch" for report in played.reports()),
        90,
        "a stranger was not noticed",
    )
    played.plays_on(2)
    for daemon in played.daemons:
        lines = [line for line in daemon.log.read_text().splitlines() if "no use" in line]
        assert len(lines) == 1
        assert "another vocabulary" in lines[0]
    advert = stranger.advert()
    assert advert is not None
    assert advert.bars == 0
    stranger.end()

    # and all is well in the end
    workers.append(Worker(redis_server, "--lane", "bars"))
    workers[-1].await_ready()
    before = played.sums()["bars"]
    played.hears_workers()
    played.plays_on(2)

    def said_to_be_written() -> int:
        advert = workers[-1].advert()
        return advert.bars if advert is not None else 0

    # both sides count the same: what drummers had of it, it says that it wrote
    had = played.sums()["bars"] - before
    wait_for(lambda: said_to_be_written() >= had, 30, "bars that nobody wrote")
    for daemon in played.daemons:
        # a machine that has no time for it may have it replaced; it never ends by itself
        assert "generator.process: ended with" not in daemon.log.read_text()
