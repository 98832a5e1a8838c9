"""A companion is there while it is wanted, told what is new, and replaced for other settings."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from drumigen_daemon.process.companion import Companion, Telling

pytestmark = pytest.mark.process


class Speaker:
    """One who keeps a companion."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.heard: list[str] = []
        self.losses = 0
        self.told = 0
        self.companion: Companion[str] = Companion(
            "odd_child",
            "obeys",
            kind=str,
            backlog_max=100_000,
            telling=Telling(
                wanted=lambda: self.wanted,
                started=lambda: None,
                lost=self._lost,
                tell=self._tell,
                pause=lambda: 0.01,
                heard=self.heard.append,
            ),
        )

    def _lost(self) -> None:
        self.losses += 1

    def _tell(self) -> None:
        self.told += 1
        assert self.companion.send("news")


@pytest.fixture(autouse=True)
def _our_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_not_wanted_is_not_started_until_settings_change() -> None:
    speaker = Speaker(wanted=False)
    task = asyncio.create_task(speaker.companion.run())
    await asyncio.sleep(0)
    assert speaker.companion.pid is None
    assert not speaker.companion.send("nobody is there")
    speaker.wanted = True
    speaker.companion.renew()
    await until(lambda: len(speaker.heard) == 1)
    speaker.wanted = False
    speaker.companion.renew()
    await until(lambda: speaker.companion.pid is None)
    assert speaker.losses == 1
    await ended(task)


async def test_it_is_told_when_it_starts_and_when_there_is_news() -> None:
    speaker = Speaker()
    task = asyncio.create_task(speaker.companion.run())
    await until(lambda: speaker.told == 1)
    speaker.companion.take()
    await until(lambda: speaker.told == 2)
    await ended(task)


async def test_other_settings_are_another_process_and_no_failure() -> None:
    speaker = Speaker()
    task = asyncio.create_task(speaker.companion.run())
    await until(lambda: len(speaker.heard) == 1)
    speaker.companion.renew()
    await until(lambda: len(speaker.heard) == 2)
    assert len(set(speaker.heard)) == 2
    assert speaker.companion.restarts == 0
    pid = speaker.companion.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: len(speaker.heard) == 3)
    speaker.companion.renew()
    await until(lambda: len(speaker.heard) == 4)
    assert speaker.companion.restarts == 1
    await ended(task)
