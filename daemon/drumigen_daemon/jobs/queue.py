"""Jobs, from the request to the song.  :class:`JobQueue` is all that the API knows of them.

:class:`LocalJobs` runs them one after another in a process of their own on this machine, which is
started when there is something to do and ended when there has been nothing for a while.
"""

import asyncio
import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from drumigen.errors import ChannelClosedError
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.jobs.messages import (
    AnyFromWorker,
    Assignment,
    JobDone,
    JobError,
    JobFailed,
    JobProgress,
    JobRequest,
)
from drumigen_daemon.process.channel import Unpacker, packed, spawn

WORKER: Final = "drumigen_daemon.jobs.process"
JOB_SECONDS_MAX: Final = 300.0
"""Seconds that a song may take."""
WORKER_IDLE_SECONDS: Final = 60.0
"""Seconds without a job after which the worker ends."""


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether it will not change any more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands; ``midi`` is there when it is done."""

    id: str
    request: JobRequest
    state: JobState = JobState.QUEUED
    bars: int = 0
    """Bars that are written."""
    problem: str = ""
    midi: bytes = b""
    tempo: float = 0.0
    style: str = ""
    ended: float = 0.0
    """When it was over, in monotonic seconds."""


class JobQueue(Protocol):
    """Takes jobs and gives songs; on this machine or on others."""

    async def submit(self, request: JobRequest) -> Job:
        """Take a job.

        Raises:
            JobError: there is no room for another; one line.
        """

    async def find(self, job_id: str) -> Job | None:
        """Return a job as it stands; None if there is none, or none any more."""

    async def cancel(self, job_id: str) -> bool:
        """End a job; False if there is none that is not over."""

    def watch(self, job_id: str) -> AsyncIterator[Job]:
        """Yield a job whenever it has changed, until it is over."""


class LocalJobs:
    """Jobs on this machine: a bounded queue before one worker process."""

    def __init__(
        self,
        most: int,
        keep: float,
        setup: GeneratorSetup,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Let ``most`` jobs wait, and keep what is over for ``keep`` seconds.

        Their bars are written as ``setup`` says, by whoever writes those that are played.
        """
        self._most = most
        self._setup = setup
        self._keep = keep
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._worker: _Worker | None = None
        self._running = ""

    async def submit(self, request: JobRequest) -> Job:
        """Take a job.

        Raises:
            JobError: as many wait as may; one line.
        """
        self._forget()
        waiting = sum(job.state is JobState.QUEUED for job in self._jobs.values())
        if waiting >= self._most:
            message = f"{waiting} songs wait already: ask again when one is done"
            raise JobError(message)
        job = Job(secrets.token_urlsafe(16), request)
        self._jobs[job.id] = job
        self._waiting.put_nowait(job.id)
        return job

    async def find(self, job_id: str) -> Job | None:
        """Return a job as it stands; None if there is none, or none any more."""
        self._forget()
        return self._jobs.get(job_id)

    async def cancel(self, job_id: str) -> bool:
        """End a job; False if there is none that is not over."""
        job = self._jobs.get(job_id)
        if job is None or job.state.over:
            return False
        await self._put(replace(job, state=JobState.CANCELLED))
        if self._running == job_id and self._worker is not None:
            self._worker.kill()
        return True

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """Yield a job whenever it has changed, until it is over."""
        told: Job | None = None
        while (job := self._jobs.get(job_id)) is not None:
            if job != told:
                told = job
                yield job
            if job.state.over:
                return
            async with self._changed:
                while self._jobs.get(job_id) == told:
                    await self._changed.wait()

    async def run(self) -> None:
        """Do what is asked for, for ever."""
        try:
            while True:
                job_id = await self._next()
                job = self._jobs.get(job_id)
                if job is None or job.state is not JobState.QUEUED:
                    continue
                self._running = job_id
                await self._put(replace(job, state=JobState.RUNNING))
                try:
                    await self._render(job_id)
                finally:
                    self._running = ""
        finally:
            self._end_worker()

    async def _next(self) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORKER_IDLE_SECONDS):
                return await self._waiting.get()
        self._end_worker()
        return await self._waiting.get()

    async def _render(self, job_id: str) -> None:
        job = self._jobs[job_id]
        try:
            async with asyncio.timeout(JOB_SECONDS_MAX):
                if self._worker is None:
                    self._worker = await _Worker.start()
                async for message in self._worker.render(Assignment(job.request, self._setup)):
                    if self._jobs[job_id].state is not JobState.RUNNING:
                        return
                    await self._take(job_id, message)
        except TimeoutError:
            await self._fail(job_id, f"took longer than {JOB_SECONDS_MAX:g} s: ask for fewer bars")
        except (OSError, ChannelClosedError, EOFError) as error:
            await self._fail(job_id, f"the worker ended ({error or 'no reason'}): ask again")
        if self._jobs[job_id].state is not JobState.DONE:
            self._end_worker()

    async def _take(self, job_id: str, message: AnyFromWorker) -> None:
        job = self._jobs[job_id]
        match message:
            case JobProgress():
                await self._put(replace(job, bars=message.bars))
            case JobDone():
                await self._put(
                    replace(
                        job,
                        state=JobState.DONE,
                        bars=job.request.bars,
                        midi=message.midi,
                        style=message.style,
                        tempo=message.tempo,
                    )
                )
            case JobFailed():
                await self._fail(job_id, message.problem)

    async def _fail(self, job_id: str, problem: str) -> None:
        job = self._jobs[job_id]
        if not job.state.over:
            await self._put(replace(job, state=JobState.FAILED, problem=problem))

    async def _put(self, job: Job) -> None:
        if job.state.over and not job.ended:
            job = replace(job, ended=self._clock())
        self._jobs[job.id] = job
        async with self._changed:
            self._changed.notify_all()

    def _forget(self) -> None:
        before = self._clock() - self._keep
        for job in [job for job in self._jobs.values() if job.state.over and job.ended < before]:
            del self._jobs[job.id]

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


class _Worker:
    """The process that renders, and the channel to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._unpacker: Unpacker[AnyFromWorker] = Unpacker(AnyFromWorker)

    @classmethod
    async def start(cls) -> "_Worker":
        process, sock = spawn(WORKER)
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(process, reader, writer)

    async def render(self, assignment: Assignment) -> AsyncIterator[AnyFromWorker]:
        """Yield what the worker tells until the song is there, or why not.

        Raises:
            OSError, EOFError, ChannelClosedError: the worker is gone or talks nonsense.
        """
        self._writer.write(packed(assignment))
        await self._writer.drain()
        while True:
            data = await self._reader.read(65536)
            if not data:
                raise EOFError(self._epitaph())
            for message in self._unpacker.feed(data):
                yield message
                if not isinstance(message, JobProgress):
                    return

    def kill(self) -> None:
        self._writer.transport.abort()
        self._process.kill()
        self._process.wait()

    def _epitaph(self) -> str:
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it closed its channel"
        return signal.Signals(-status).name if status < 0 else f"status {status}"
