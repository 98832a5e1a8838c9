"""The queue of songs on request: bounded, forgetful, and honest about what came of each."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from drumigen_daemon.generator.messages import BANK
from drumigen_daemon.jobs.messages import JobError, JobRequest
from drumigen_daemon.jobs.queue import Job, JobState, LocalJobs


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_only_so_many_wait() -> None:
    jobs = LocalJobs(2, 60.0, BANK)
    for _ in range(2):
        await jobs.submit(JobRequest())
    with pytest.raises(JobError, match="2 songs wait"):
        await jobs.submit(JobRequest())


async def test_a_job_that_is_called_off_makes_room_and_is_forgotten_after_a_while() -> None:
    clock = Clock()
    jobs = LocalJobs(1, 60.0, BANK, clock)
    job = await jobs.submit(JobRequest())
    assert await jobs.cancel(job.id)
    assert not await jobs.cancel(job.id)
    await jobs.submit(JobRequest())
    clock.now += 59.0
    found = await jobs.find(job.id)
    assert found is not None
    assert found.state is JobState.CANCELLED
    clock.now += 2.0
    assert await jobs.find(job.id) is None


@contextmanager
def at_work(jobs: LocalJobs) -> Iterator[None]:
    task = asyncio.get_running_loop().create_task(jobs.run())
    try:
        yield
    finally:
        task.cancel()


async def last(jobs: LocalJobs, job: Job) -> Job:
    async with asyncio.timeout(60):
        async for each in jobs.watch(job.id):
            job = each
    return job


@pytest.mark.process
async def test_songs_are_rendered_one_after_another_and_watched() -> None:
    jobs = LocalJobs(4, 60.0, BANK)
    with at_work(jobs):
        first = await jobs.submit(JobRequest(bars=3))
        second = await jobs.submit(JobRequest(style="polka"))
        seen = [each async for each in jobs.watch(first.id)]
        assert seen[-1].state is JobState.DONE
        assert seen[-1].midi[:4] == b"MThd"
        assert [each.bars for each in seen] == sorted(each.bars for each in seen)
        failed = await last(jobs, second)
        assert failed.state is JobState.FAILED
        assert "polka" in failed.problem


@pytest.mark.process
async def test_a_worker_that_is_killed_costs_its_job_only() -> None:
    jobs = LocalJobs(4, 60.0, BANK)
    with at_work(jobs):
        long = await jobs.submit(JobRequest(bars=64))
        async with asyncio.timeout(60):
            async for each in jobs.watch(long.id):
                if each.bars:
                    break
        worker = jobs._worker
        assert worker is not None
        with suppress(ProcessLookupError):
            os.kill(worker._process.pid, signal.SIGKILL)
        ended = await last(jobs, long)
        # who is quick has written all of it before the signal comes
        assert ended.state is JobState.DONE or "SIGKILL" in ended.problem
        after = await jobs.submit(JobRequest(bars=1))
        assert (await last(jobs, after)).state is JobState.DONE
