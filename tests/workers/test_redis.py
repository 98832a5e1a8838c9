"""Workers on a real Redis: the same bars as at home, songs on request, and what outsiders see."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon import cli
from drumigen_daemon.generator.messages import (
    BarRequest,
    Batch,
    GeneratorSetup,
    Item,
    WorkersAddress,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.generator.writers import make_writer
from drumigen_daemon.jobs.messages import JobError, JobRequest
from drumigen_daemon.jobs.queue import Job, JobState, LocalJobs
from drumigen_daemon.workers import broker as brokers
from drumigen_daemon.workers import writer
from drumigen_daemon.workers.client import BarsClient
from drumigen_daemon.workers.identity import identity_of, style_digests
from drumigen_daemon.workers.jobs import CeleryJobs, made_jobs
from drumigen_daemon.workers.messages import BARS_TASK, Advert
from drumigen_daemon.workers.settings import WORKERS_PASSWORD_VARIABLE
from drumigen_daemon.workers.survey import surveyed
from drumigen_daemon.workers.writer import CeleryWriter, made_writer
from fixtures_broker import Certificates
from fixtures_jack import wait_for
from fixtures_redis import Redis, Worker

pytestmark = pytest.mark.redis

SECRET = "correct/horse:battery@staple"  # noqa: S105 - of this test
PATIENT = 60.0
"""Seconds: what is tested here is not how quick a busy machine is."""
TEMPO = Bpm(174.0)


ASKING: list[CeleryWriter] = []


@pytest.fixture(autouse=True)
def _nobody_goes_on_asking() -> Iterator[None]:
    yield
    while ASKING:
        ASKING.pop().close()


def asking(address: WorkersAddress) -> CeleryWriter:
    setup = GeneratorSetup("celery", workers=address)
    styles = load_styles()
    made_here = made_writer(setup, styles, make_writer(setup.at_home))
    assert isinstance(made_here, CeleryWriter)
    ASKING.append(made_here)
    wait_for(lambda: made_here.report.state == "ready", 60, "no worker was found")
    return made_here


def have_one_written(asker: CeleryWriter) -> None:
    """Ask for a bar until a worker has written it: on a busy machine that takes a while."""

    before = asker.report.bars

    def written() -> bool:
        asker.write([Item(BarRequest("rock", 0, Meter(), 1))], TEMPO)
        return asker.report.bars > before

    wait_for(written, 60, "no worker wrote anything")


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a busy machine takes: here it is not asked how quick it is."""
    monkeypatch.setattr(writer, "WAIT_SHARE", 1000.0)


@pytest.mark.usefixtures("_patient")
def test_workers_write_the_very_bars_that_are_written_at_home(
    redis_server: Redis, workers: list[Worker]
) -> None:
    redis_server.start()
    workers += [Worker(redis_server, "--lane", "bars") for _ in range(2)]
    for each in workers:
        each.await_ready()
    far = asking(redis_server.address(deadline=PATIENT))
    home = make_writer(GeneratorSetup("model"))
    contexts: dict[str, tuple[WrittenBar, ...]] = {"rock": (), "jazz": (), "j_dilla": ()}
    for number in range(10):
        items = [
            Item(BarRequest(style, number, Meter(), 5, fill=number == 7), context)
            for style, context in contexts.items()
        ]
        wait_for(lambda: far.report.state == "ready", 60, "the workers are gone")
        written = far.write(items, TEMPO)
        assert written == home.write(items, TEMPO)
        for item, bar in zip(items, written, strict=True):
            before = contexts[item.request.style]
            contexts[item.request.style] = (*before, WrittenBar(item.request, bar))[-8:]
    report = far.report
    assert report.bars + report.local_bars == 30
    assert report.bars == 3 * report.answered >= 15
    assert report.queue_wait.count == report.batch_bars.count == report.answered
    assert report.batch_bars.sum == report.bars


@pytest.mark.usefixtures("_patient")
def test_a_password_and_tls_keep_strangers_out_and_are_never_told(
    redis_server: Redis,
    workers: list[Worker],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis_server.speak_tls(certificates)
    redis_server.demand_password(SECRET)
    redis_server.start()
    secret = redis_server.folder / "password"
    secret.write_text(f"{SECRET}\n")
    ca = certificates.path("ca.crt")
    given = [f"workers.password_file={secret}", f"workers.ca_file={ca}"]
    worker = Worker(redis_server, "--lane", "bars", *(w for each in given for w in ("--set", each)))
    workers.append(worker)
    worker.await_ready()
    asker = asking(redis_server.address(password_file=str(secret), ca_file=ca, deadline=PATIENT))
    have_one_written(asker)
    monkeypatch.setenv(WORKERS_PASSWORD_VARIABLE, "wrong")
    stranger = made_writer(
        GeneratorSetup("celery", workers=redis_server.address(ca_file=ca)), load_styles(), asker
    )
    assert isinstance(stranger, CeleryWriter)
    ASKING.append(stranger)
    wait_for(lambda: stranger.report.state == "unreachable", 30, "let in by a wrong password")
    assert "password is wrong, or there is none (workers.password_file)" in stranger.report.said
    unsure = made_writer(
        GeneratorSetup(
            "celery", workers=redis_server.address(ca_file=certificates.path("stranger.crt"))
        ),
        load_styles(),
        asker,
    )
    assert isinstance(unsure, CeleryWriter)
    ASKING.append(unsure)
    wait_for(lambda: unsure.report.state == "unreachable", 30, "trusted a stranger")
    said = worker.said + caplog.text + Path(f"/proc/{worker.pid}/cmdline").read_text()
    assert "workers.broker rediss://" in said
    assert "horse" not in said


@pytest.mark.usefixtures("_patient")
def test_those_who_look_after_celery_see_the_worker(
    redis_server: Redis, workers: list[Worker]
) -> None:
    redis_server.start()
    workers.append(Worker(redis_server, "--lane", "bars"))
    workers[0].await_ready()
    asker = asking(redis_server.address(deadline=PATIENT))
    app = Celery(broker=redis_server.url, set_as_current=False)
    heard: list[str] = []
    assert app.control.enable_events(reply=True, timeout=10)

    with app.connection() as connection:
        receiver = app.events.Receiver(
            connection, handlers={"*": lambda event: heard.append(event["type"])}
        )
        with receiver.consumer_context() as (own, _, _):

            def heard_all() -> bool:
                # it listens only from the first time on that it is asked what it heard
                with contextlib.suppress(TimeoutError):
                    own.drain_events(timeout=0.5)
                asker.write([Item(BarRequest("rock", 0, Meter(), 1))], TEMPO)
                return "task-succeeded" in heard

            wait_for(heard_all, 90, "nobody told of a task")
    assert {"task-received", "task-started", "task-succeeded"} <= set(heard)
    setup = GeneratorSetup("celery", workers=redis_server.address(deadline=PATIENT))
    seen = surveyed(setup, load_styles(), TEMPO)
    assert (seen.ours, seen.songs, seen.strangers) == (1, 0, [])
    assert seen.asked - seen.missed == seen.times.count > 0
    (stats,) = app.control.inspect(timeout=10).stats().values()
    assert stats["total"][BARS_TASK] == asker.report.asked + seen.asked
    assert "solo" in stats["pool"]["implementation"]


def test_a_flood_is_shed_the_queue_is_bounded_and_then_all_is_as_before(
    redis_server: Redis, workers: list[Worker]
) -> None:
    redis_server.start()
    workers.append(Worker(redis_server, "--lane", "bars"))
    workers[0].await_ready()
    address = redis_server.address(deadline=0.3, max_queue=20)
    asker = asking(address)
    names = brokers.Names("drumigen")
    identity = identity_of(GeneratorSetup("model"))
    queue = names.bars(identity.key)
    broker: Any = redis_server.client()
    workers[0].send(signal.SIGSTOP)
    digests = style_digests(load_styles())
    clients = [_client(address, digests) for _ in range(4)]
    longest = 0
    for _ in range(15):
        exchanges = [client.ask(_batch(), 0.3) for client in clients]
        for client, exchange in zip(clients, exchanges, strict=True):
            client.answer(exchange)
        longest = max(longest, _length(broker, queue))
    assert 0 < longest <= 20 + len(clients)
    # should no worker ever come back, they are not kept for good
    assert all(0 < broker.ttl(key) <= brokers.REQUESTS_LIFE for key in broker.keys(f"{queue}*"))
    assert sum(client.report.lost for client in clients) > 0, "it was never full"
    for client in clients:
        report = client.report
        assert report.asked == 15 == report.missed + report.lost
    workers[0].send(signal.SIGCONT)
    wait_for(lambda: _length(broker, queue) == 0, 30, "the flood stays")

    def advertised() -> Advert:
        return next(iter(redis_server.adverts().values()))

    wait_for(lambda: advertised().dropped > 0, 30, "nothing was dropped")
    assert advertised().bars == 0, "it wrote what nobody waited for"
    have_one_written(asker)
    # an answer that came too late is nobody's, and expires
    wait_for(lambda: not broker.keys("*reply*"), 30, "answers that nobody takes away")


def test_a_worker_whose_gpu_is_not_there_writes_on_the_cpu_and_says_so(
    redis_server: Redis, workers: list[Worker]
) -> None:
    redis_server.start()
    worker = Worker(redis_server, "--lane", "bars", "--set", "generator.device=cuda:99")
    workers.append(worker)
    worker.await_ready()
    advert = worker.advert()
    assert advert is not None
    assert advert.device == "cpu"
    (line,) = [line for line in worker.said.splitlines() if "WARNING" in line]
    assert "'cuda:99' cannot be used here" in line
    assert "on the CPU" in line


@pytest.mark.usefixtures("_patient")
def test_a_broker_that_takes_nothing_for_a_while_is_one_line_and_then_all_is_as_before(
    redis_server: Redis, workers: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.start()
    worker = Worker(redis_server, "--lane", "bars")
    workers.append(worker)
    worker.await_ready()
    asker = asking(redis_server.address(deadline=PATIENT))
    have_one_written(asker)
    broker: Any = redis_server.client()
    broker.config_set("maxmemory", "1")  # it is full
    wait_for(lambda: asker.report.state == "unreachable", 30, "asked, though nothing is taken")

    def refusals() -> int:
        return int(broker.info("errorstats").get("errorstat_OOM", {"count": 0})["count"])

    wait_for(lambda: refusals() > 20, 60, "the worker has given up")
    broker.config_set("maxmemory", "0")
    wait_for(lambda: asker.report.state == "ready", 60, "the workers are not seen any more")
    broker.replicaof("127.0.0.1", "1")
    wait_for(lambda: "read only replica" in worker.said, 60, "a replica is no broker")
    broker.replicaof("NO", "ONE")
    wait_for(lambda: asker.report.state == "ready", 60, "the workers are not seen any more")
    have_one_written(asker)
    assert worker.process.poll() is None
    assert worker.said.count("the broker takes nothing") == 1
    assert "Traceback" not in worker.said
    assert "Celery 5.1" not in worker.said
    assert len([line for line in caplog.messages if "OutOfMemoryError" in line]) == 1


def _length(broker: Any, queue: str) -> int:  # noqa: ANN401 - whatever redis says
    return sum(int(broker.llen(name)) for name in (queue, f"{queue}\x06\x161"))


def _client(address: WorkersAddress, digests: dict[str, str]) -> BarsClient:
    client = BarsClient(address, identity_of(GeneratorSetup("model")), digests)
    client.start()
    return client


def _batch() -> Batch:
    items = tuple(Item(BarRequest(style.name, 0, Meter(), 1)) for style in load_styles())
    return batch_of(0, items, Bpm(174.0))


# --- songs -----------------------------------------------------------------------------------


async def until(check: Callable[[], Awaitable[object]], seconds: float = 90.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.05)


def jobs_of(redis_server: Redis, local: LocalJobs | None = None, **more: int) -> CeleryJobs:
    setup = GeneratorSetup("celery", workers=redis_server.address(**more))
    return made_jobs(setup, local or LocalJobs(1, 60, GeneratorSetup("bank")), 4)


@pytest.fixture
def songs(redis_server: Redis, workers: list[Worker]) -> Worker:
    redis_server.start()
    worker = Worker(redis_server, "--lane", "songs")
    workers.append(worker)
    worker.await_ready("songs")
    return worker


async def test_a_song_is_rendered_by_a_worker_and_is_the_one_of_home(
    songs: Worker, redis_server: Redis, tmp_path: Path
) -> None:
    jobs = jobs_of(redis_server)
    job = await jobs.submit(JobRequest("funk", 4, tempo=104.0, seed=3))
    seen = [each async for each in jobs.watch(job.id)]
    done = seen[-1]
    assert done.state is JobState.DONE
    assert [each.bars for each in seen] == sorted(each.bars for each in seen)
    assert (await jobs.find(job.id)) == done
    found = await jobs_of(redis_server).find(job.id)  # by any other client
    assert found is not None
    assert found.midi == done.midi
    broker: Any = redis_server.client()
    for key in (f"celery-task-meta-{job.id}", brokers.Names("drumigen").job(job.id)):
        assert 0 < broker.ttl(key) <= 3600
    arguments = ["--style", "funk", "--bars", "4", "--bpm", "104", "--seed", "3"]
    paths = [tmp_path / "home.mid", tmp_path / "far.mid"]
    home = ["render", *arguments, "--output", str(paths[0])]
    far = [*("render", "--remote", "--set", f"workers.broker={redis_server.url}"), *arguments]
    assert cli.main(home) == 0
    assert await asyncio.to_thread(cli.main, [*far, "--output", str(paths[1])]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes() == done.midi
    assert songs.process.poll() is None


async def test_a_song_that_cannot_be_rendered_says_why(songs: Worker, redis_server: Redis) -> None:
    jobs = jobs_of(redis_server)
    job = await jobs.submit(JobRequest("no such style"))
    *_, failed = [each async for each in jobs.watch(job.id)]
    assert failed.state is JobState.FAILED
    assert "no style is called" in failed.problem
    # what others write where jobs are kept is no job, and no song
    broker: Any = redis_server.client()
    names = brokers.Names("drumigen")
    broker.set(names.job("noise"), b"[1")
    assert await jobs.find("noise") is None
    assert not await jobs.cancel("noise")
    broker.set(names.job("mine"), broker.get(names.job(job.id)))
    broker.set("celery-task-meta-mine", b"[1")
    found = await jobs.find("mine")
    assert found is not None
    assert (found.state, found.problem) == (JobState.FAILED, "the answer was no song: ask again")
    assert songs.process.poll() is None


async def test_songs_can_be_ended_and_only_so_many_wait(songs: Worker, redis_server: Redis) -> None:
    jobs = jobs_of(redis_server)
    first = await jobs.submit(JobRequest(bars=64, seed=1))

    async def runs() -> bool:
        job = await jobs.find(first.id)
        return job is not None and job.state is JobState.RUNNING

    await until(runs)
    songs.send(signal.SIGSTOP)
    waiting = [await jobs.submit(JobRequest(bars=64, seed=seed)) for seed in range(4)]
    # one that waits is known for longer than a result is kept; and nothing is kept for good
    broker: Any = redis_server.client()
    names = brokers.Names("drumigen")
    queue = names.songs(identity_of(GeneratorSetup("model"), drawn=False).key)
    assert broker.llen(queue) >= 3
    for key in (queue, *(names.job(job.id) for job in waiting)):
        assert 3600 < broker.ttl(key) < 3600 + 3600
    with pytest.raises(JobError, match="4 songs wait already"):
        await jobs.submit(JobRequest())
    songs.send(signal.SIGCONT)
    for job in (first, *waiting):
        assert await jobs.cancel(job.id)
        assert not await jobs.cancel(job.id)

    async def there_is_room() -> bool:
        try:
            waiting.append(await jobs.submit(JobRequest(bars=1, seed=9)))
        except JobError:  # those that were ended are still in the queue
            return False
        return True

    await until(there_is_room)
    last = waiting.pop()
    assert [each async for each in jobs.watch(last.id)][-1].state is JobState.DONE
    for job in (first, *waiting):
        found = await jobs_of(redis_server).find(job.id)
        assert found is not None
        assert found.state is JobState.CANCELLED


HANGING = """
import sys, time
from drumigen_daemon.workers import broker, songs
broker.SONG_PATIENCE = 2
class Renderer:
    def __init__(self, _tell): pass
    def rendered(self, _assignment): time.sleep(600)
songs.Renderer = Renderer
from drumigen_daemon.cli import main
sys.exit(main(sys.argv[1:]))
"""


async def test_a_song_that_takes_too_long_is_ended_and_says_so(
    redis_server: Redis, workers: list[Worker]
) -> None:
    redis_server.start()
    workers.append(Worker(redis_server, "--lane", "songs", program=HANGING))
    workers[0].await_ready("songs")
    jobs = jobs_of(redis_server)
    job = await jobs.submit(JobRequest(bars=4))
    *_, failed = [each async for each in jobs.watch(job.id)]
    assert (failed.state, failed.problem) == (JobState.FAILED, "it took longer than 2 s")
    assert workers[0].process.poll() is None


async def test_without_a_worker_or_a_broker_songs_are_rendered_here(redis_server: Redis) -> None:
    redis_server.start()
    local = LocalJobs(4, 60, GeneratorSetup("bank"))
    said: list[str] = []
    setup = GeneratorSetup("celery", workers=redis_server.address())
    jobs = made_jobs(setup, local, 4, said.append)
    running = asyncio.create_task(local.run())
    for _ in range(2):
        job = await jobs.submit(JobRequest(bars=2))
        assert [each async for each in jobs.watch(job.id)][-1].state is JobState.DONE
        redis_server.kill()
    assert len(said) == 2
    assert "no worker for songs" in said[0]
    assert "workers.broker" in said[1]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def begun(jobs: CeleryJobs) -> Job:
    """Return a long song that is being rendered."""
    job = await jobs.submit(JobRequest(bars=64))

    async def runs() -> bool:
        found = await jobs.find(job.id)
        return found is not None and found.bars > 1

    await until(runs)
    return job


async def test_a_song_is_not_lost_when_the_broker_takes_nothing_for_a_while(
    songs: Worker, redis_server: Redis
) -> None:
    jobs = jobs_of(redis_server)
    job = await begun(jobs)
    broker: Any = redis_server.client()
    broker.config_set("maxmemory", "1")
    wait_for(lambda: "the broker takes nothing" in songs.said, 60, "nobody noticed")
    broker.config_set("maxmemory", "0")
    assert [each async for each in jobs.watch(job.id)][-1].state is JobState.DONE
    assert "Traceback" not in songs.said
    # and it takes others
    other = await jobs.submit(JobRequest(bars=1, seed=7))
    assert [each async for each in jobs.watch(other.id)][-1].state is JobState.DONE


async def test_a_song_is_not_lost_with_the_process_that_renders_it(
    songs: Worker, redis_server: Redis
) -> None:
    jobs = jobs_of(redis_server)
    job = await begun(jobs)
    for child in songs.children:
        os.kill(child, signal.SIGKILL)
    assert [each async for each in jobs.watch(job.id)][-1].state is JobState.DONE


def test_one_program_does_both_and_ends_when_it_is_told(
    redis_server: Redis, workers: list[Worker]
) -> None:
    redis_server.start()
    worker = Worker(redis_server)
    workers.append(worker)
    worker.await_ready()
    wait_for(lambda: worker.advert("songs"), 90, "nobody renders songs")
    worker.send(signal.SIGTERM)
    worker.process.wait(60)
    wait_for(lambda: not redis_server.adverts(), 30, "workers that are gone are still advertised")


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "drumigen_daemon", "worker"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode
    assert done.stderr.count("\n") == 1
    assert "set workers.broker" in done.stderr
