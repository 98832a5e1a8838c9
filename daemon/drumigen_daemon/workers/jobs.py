"""Songs on request, rendered by workers: :class:`JobQueue` over Celery.

The request and what became of it are in Redis, so that any client of the queue finds a job by its
number.  While no worker for songs is there, or no broker, jobs are rendered on this machine.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
import redis
from celery import Celery

from drumigen.errors import SettingsError
from drumigen_daemon.generator.messages import GeneratorSetup, WorkersAddress
from drumigen_daemon.jobs.messages import JobError, JobRequest, NoWorkersError
from drumigen_daemon.jobs.queue import Job, JobQueue, JobState
from drumigen_daemon.workers import broker as brokers
from drumigen_daemon.workers import songs
from drumigen_daemon.workers.identity import Identity, identity_of
from drumigen_daemon.workers.messages import SONG_TASK, heard_of
from drumigen_daemon.workers.songs import JobRecord

log = logging.getLogger(__name__)

QUEUE_SECONDS_MAX: Final = 2.0
"""Seconds that the broker may take for anything."""
WATCH_PERIOD: Final = 0.25
"""Seconds between two looks at a job that is watched."""
UNCHANGED_SECONDS_MAX: Final = 2 * brokers.SONG_PATIENCE
"""Seconds without any change after which a job is given up."""
NO_SONG: Final = "the answer was no song: ask again"
QUEUED_MAX: Final = 1000
"""Songs before one that is asked for on the command line."""
REMEMBERED_MAX: Final = 1024
"""Jobs of which this process remembers how they stood."""

T = TypeVar("T")


class SongMeta(msgspec.Struct, frozen=True):
    """A song in the result store, as Celery keeps it: what we read of it."""

    status: str
    result: Any = None


class CeleryJobs:
    """Jobs for workers; ``local`` takes those that no worker would."""

    def __init__(
        self,
        address: WorkersAddress,
        identity: Identity,
        local: JobQueue,
        most: int,
        say: Callable[[str], None] = log.warning,
    ) -> None:
        """Let ``most`` jobs wait at ``address``; ``say`` is told when it cannot be reached."""
        self._address = address
        self._identity = identity
        self._local = local
        self._most = most
        self._say = say
        self._said = ""
        self._names = brokers.Names(address.queue)
        self._queue = self._names.songs(identity.key)
        self._redis: redis.Redis | None = None
        self._app: Celery | None = None
        self._known: OrderedDict[str, tuple[Job, float]] = OrderedDict()

    async def submit(self, request: JobRequest) -> Job:
        """Take a job.

        Raises:
            JobError: as many wait as may; one line.
        """
        try:
            job = await asyncio.to_thread(self._submit, request)
        except (*brokers.BROKER_ERRORS, SettingsError) as error:
            why = str(error) if isinstance(error, SettingsError) else brokers.said_of(error)
            self._tell(f"workers.broker {self._address.broker}: {why}; songs are rendered here")
            return await self._local.submit(request)
        if job is None:
            self._tell("no worker for songs is there: they are rendered here")
            return await self._local.submit(request)
        self._tell("")
        self._remember(job)
        return job

    async def find(self, job_id: str) -> Job | None:
        """Return a job as it stands; None if there is none, or none any more."""
        local = await self._local.find(job_id)
        if local is not None:
            return local
        before, since = self._known.get(job_id, (None, 0.0))
        try:
            if before is not None and before.state.over:
                kept = await asyncio.to_thread(self._is_kept, job_id)
                return before if kept else None
            job = await asyncio.to_thread(self._look_up, job_id)
        except (*brokers.BROKER_ERRORS, SettingsError):
            return before  # as it stood when it was last seen
        if before is not None:
            job = _since(before, job, time.monotonic() - since)
        if job is None or job is before:
            return job
        self._remember(job)
        return job

    async def cancel(self, job_id: str) -> bool:
        """End a job; False if there is none that is not over."""
        if await self._local.find(job_id) is not None:
            return await self._local.cancel(job_id)
        job = await self.find(job_id)
        if job is None or job.state.over:
            return False
        try:
            await asyncio.to_thread(self._cancel, job)
        except (*brokers.BROKER_ERRORS, SettingsError):
            return False
        self._remember(replace(job, state=JobState.CANCELLED))
        return True

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """Yield a job whenever it has changed, until it is over."""
        if await self._local.find(job_id) is not None:
            async for here in self._local.watch(job_id):
                yield here
            return
        told: Job | None = None
        while (job := await self.find(job_id)) is not None:
            if job != told:
                told = job
                yield job
            if job.state.over:
                return
            await asyncio.sleep(WATCH_PERIOD)

    # --- in a thread of its own, for it may block ----------------------------------------------

    def _submit(self, request: JobRequest) -> Job | None:
        """Give a job to the workers; None if there are none for songs."""
        client = self._client()
        if not self._is_served(client):
            return None
        waiting = int(client.llen(self._queue))
        if waiting >= self._most:
            message = f"{waiting} songs wait already: ask again when one is done"
            raise JobError(message)
        job = Job(secrets.token_urlsafe(16), request)
        key, life = self._names.job(job.id), self._address.result_ttl + UNCHANGED_SECONDS_MAX
        client.set(key, msgspec.json.encode(JobRecord(request)), ex=life)
        try:
            self._celery().send_task(
                SONG_TASK,
                args=[msgspec.json.encode(request).decode()],
                argsrepr=f"({request.bars} bars of {request.style})",
                task_id=job.id,
                queue=self._queue,
                retry=False,
            )
            client.expire(self._queue, life)  # then none of them is known any more
        except brokers.BROKER_ERRORS:
            with contextlib.suppress(redis.RedisError):
                client.delete(key)
            raise
        return job

    def _is_served(self, client: "redis.Redis") -> bool:
        seconds, micros = client.time()
        now = seconds + micros / 1e6
        said: Any = client.hgetall(self._names.workers)
        there = heard_of(said, now).values()
        return any((each.lane, each.identity) == ("songs", self._identity.key) for each in there)

    def _look_up(self, job_id: str) -> Job | None:
        client = self._client()
        said: Any = client.get(self._names.job(job_id))
        if said is None:
            return None
        meta: Any = client.get(f"celery-task-meta-{job_id}")
        try:
            record = msgspec.json.decode(said, type=JobRecord)
        except msgspec.MsgspecError:
            return None  # whoever wrote that, it is no job of ours
        job = Job(job_id, record.request)
        if meta is not None:
            job = _with_result(job, meta)
        cancelled = record.cancelled and not job.state.over
        return replace(job, state=JobState.CANCELLED) if cancelled else job

    def _cancel(self, job: Job) -> None:
        key = self._names.job(job.id)
        record = JobRecord(job.request, cancelled=True)
        self._client().set(key, msgspec.json.encode(record), xx=True, keepttl=True)
        # one that waits is then not even begun; one that is rendered looks for itself
        self._celery().control.revoke(job.id)

    def _is_kept(self, job_id: str) -> bool:
        return bool(self._client().exists(self._names.job(job_id)))

    def _client(self) -> "redis.Redis":
        if self._redis is None:
            self._redis = brokers.connected(self._address, QUEUE_SECONDS_MAX)
        return self._redis

    def _celery(self) -> Celery:
        if self._app is None:
            self._app = brokers.celery_application(self._address, results=False)
            self._app.conf.task_queues = [brokers.queue(self._queue, kept=True)]
        return self._app

    # --- what it remembers -------------------------------------------------------------------

    def _remember(self, job: Job) -> None:
        self._known[job.id] = job, time.monotonic()
        self._known.move_to_end(job.id)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            if text:
                self._say(text)


def _since(before: Job, now: Job | None, seconds: float) -> Job:
    """Return how a job stands that stood as ``before`` so many seconds ago."""
    if now is None:
        return replace(before, state=JobState.FAILED, problem="the broker lost it: ask again")
    if (now.state, now.bars) != (before.state, before.bars):
        return now
    if seconds < UNCHANGED_SECONDS_MAX:
        return before
    return replace(before, state=JobState.FAILED, problem="no worker took it: ask again")


def _with_result(job: Job, stored: bytes) -> Job:
    """Return ``job`` as the result store says that it stands."""
    try:
        meta = msgspec.json.decode(stored, type=SongMeta)
    except msgspec.MsgspecError:
        return replace(job, state=JobState.FAILED, problem=NO_SONG)
    told: dict[str, Any] = meta.result if isinstance(meta.result, dict) else {}
    match meta.status:
        case "STARTED" | "RETRY" | songs.PROGRESS:
            bars = told.get("bars", 0)
            job = replace(job, state=JobState.RUNNING, bars=bars if isinstance(bars, int) else 0)
        case "SUCCESS":
            job = _done(job, told)
        case "FAILURE":
            said = told.get("exc_message", "no reason")
            why = " ".join(map(str, said)) if isinstance(said, list | tuple) else str(said)
            kind = told.get("exc_type")
            if kind == "TimeLimitExceeded":
                why = f"it took longer than {why} s"
            elif kind != JobError.__name__:
                why = f"{kind}: {why}"
            why = " ".join(why.split())[:300]
            job = replace(job, state=JobState.FAILED, problem=why)
        case songs.CANCELLED:
            job = replace(job, state=JobState.CANCELLED)
    return job


def _done(job: Job, told: dict[str, Any]) -> Job:
    try:
        return replace(
            job,
            state=JobState.DONE,
            bars=job.request.bars,
            midi=base64.b64decode(told["midi"], validate=True),
            style=str(told["style"]),
            tempo=float(told["tempo"]),
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        return replace(job, state=JobState.FAILED, problem=NO_SONG)


def made_jobs(
    setup: GeneratorSetup, local: JobQueue, most: int, say: Callable[[str], None] = log.warning
) -> CeleryJobs:
    """Return the queue of songs for the workers of ``setup``; ``local`` is this machine's.

    Raises:
        DrumigenError: there is no broker, or the checkpoint is not there.
    """
    if setup.workers is None:
        message = "no broker is set: set workers.broker"
        raise SettingsError(message)
    return CeleryJobs(setup.workers, identity_of(setup, drawn=False), local, most, say)


class _Nowhere:
    """Renders nothing: who asks has a way of its own to do without workers."""

    async def submit(self, request: JobRequest) -> Job:
        del request
        message = "no worker renders songs now"
        raise NoWorkersError(message)

    async def find(self, _job_id: str) -> Job | None:
        return None

    async def cancel(self, _job_id: str) -> bool:
        return False

    async def watch(self, _job_id: str) -> AsyncIterator[Job]:
        return
        yield


async def rendered_far(
    setup: GeneratorSetup,
    request: JobRequest,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> Job:
    """Return the job of ``request`` once a worker of ``setup`` has done it.

    ``progress`` is told how many bars are written, ``say`` why there is no worker.

    Raises:
        NoWorkersError: there is none.
        JobError: it failed, or as many wait as may; one line.
    """
    jobs = made_jobs(setup, _Nowhere(), QUEUED_MAX, say)
    job = await jobs.submit(request)
    try:
        async for job in jobs.watch(job.id):  # noqa: B020 - as it stands now
            progress(job.bars)
    finally:
        if not job.state.over:
            await jobs.cancel(job.id)
    if job.state is not JobState.DONE:
        raise JobError(job.problem or f"the song is {job.state}")
    return job
