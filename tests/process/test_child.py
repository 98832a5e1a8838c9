"""A child process is kept alive, whatever it does, until it is told to end."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drumigen.errors import PortError
from drumigen_daemon.process import child as child_module
from drumigen_daemon.process.child import Child, Patience

pytestmark = pytest.mark.process


class Nursery:
    """A child and what was heard of it."""

    def __init__(self, manner: str, patience: Patience | None = None) -> None:
        self.heard: list[str] = []
        self.losses = 0
        self.starts = 0
        self.child: Child[str] = Child(
            "odd_child",
            manner,
            kind=str,
            on_message=self.heard.append,
            on_start=self._started,
            on_loss=self._lost,
            patience=patience or Patience(),
        )

    def _started(self) -> None:
        self.starts += 1

    def _lost(self) -> None:
        self.losses += 1


@pytest.fixture(autouse=True)
def _our_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("manner", ["dies", "babbles"])
async def test_a_child_that_dies_or_talks_nonsense_is_replaced(manner: str) -> None:
    nursery = Nursery(manner)
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) >= 3)
    assert len(set(nursery.heard)) >= 3
    assert nursery.losses >= 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_child_that_is_told_to_end_is_not_replaced() -> None:
    nursery = Nursery("obeys")
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) == 1)
    nursery.child.end("bye")
    async with asyncio.timeout(10):
        await task
    assert nursery.starts == 1
    assert nursery.losses == 0


async def test_a_killed_child_is_replaced_and_can_be_spoken_to() -> None:
    nursery = Nursery("obeys")
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) == 1)
    nursery.child.kill()
    await until(lambda: len(nursery.heard) == 2)
    assert nursery.child.restarts == 1
    nursery.child.end("bye")
    async with asyncio.timeout(10):
        await task


async def test_who_had_lived_long_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "CHILD_HEALTHY_SECONDS", 0.0)
    monkeypatch.setattr(child_module, "BACK_OFF_FIRST", 60.0)
    monkeypatch.setattr(child_module, "BACK_OFF_MOST", 60.0)
    nursery = Nursery("obeys")
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) == 1)
    nursery.child.kill()
    await until(lambda: len(nursery.heard) == 2)
    nursery.child.end("bye")
    async with asyncio.timeout(10):
        await task


async def test_a_first_child_that_cannot_be_is_no_reason_to_try_for_ever() -> None:
    nursery = Nursery("unavailable")
    with pytest.raises(PortError):
        await nursery.child.run()
    assert nursery.starts == 1


async def test_cancelling_at_any_moment_of_a_birth_leaves_no_process_behind() -> None:
    for turns in range(12):
        nursery = Nursery("obeys")
        task = asyncio.create_task(nursery.child.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        process = nursery.child._process
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert process is None or process.returncode is not None


async def test_cancelling_during_a_burial_waits_for_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow(process: subprocess.Popen[bytes]) -> None:
        begun.set()
        process.wait()
        time.sleep(0.1)
        ended.set()

    monkeypatch.setattr("drumigen_daemon.process.child._reap", slow)
    nursery = Nursery("dies")
    task = asyncio.create_task(nursery.child.run())
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_cancelling_leaves_no_process_behind() -> None:
    nursery = Nursery("obeys")
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) == 1)
    pid = nursery.child.pid
    assert pid is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("manner", "patience"),
    [("says nothing", Patience(start=1.0)), ("obeys", Patience(silence=1.0))],
)
async def test_a_child_that_falls_silent_is_replaced(manner: str, patience: Patience) -> None:
    nursery = Nursery(manner, patience)
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: nursery.starts >= 3)
    assert nursery.losses >= 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_child_that_only_answers_hangs_when_it_does_not() -> None:
    nursery = Nursery("obeys")
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) == 1)
    await asyncio.sleep(1.6)  # nobody asked it anything
    assert nursery.child.restarts == 0
    nursery.child.send("how do you do", answer_within=1.0)
    await until(lambda: nursery.child.restarts == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nobody_has_what_is_sent_as_soon_as_a_child_is_lost() -> None:
    nursery = Nursery("obeys")
    task = asyncio.create_task(nursery.child.run())
    await until(lambda: len(nursery.heard) == 1)
    nursery.child.kill()
    await until(lambda: nursery.losses == 1)
    assert not nursery.child.running
    await until(lambda: nursery.starts == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
