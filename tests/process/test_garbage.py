"""Garbage of the control plane: collected soon where it is cheap, and later where it is not."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from drumigen_daemon.process import garbage


class Node:
    """An object that can hold itself."""

    def __init__(self) -> None:
        self.itself = self


class Song:
    def __init__(self) -> None:
        self.rolls = True

    def rolling(self) -> bool:
        return self.rolls


@pytest.fixture
async def song(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Song]:
    monkeypatch.setattr(garbage, "GARBAGE_PERIOD", 0.01)
    monkeypatch.setattr(garbage, "AT_REST", 0.02)
    song = Song()
    sweeping = asyncio.create_task(garbage.sweep(song.rolling))
    await asyncio.sleep(0)
    yield song
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def gone(ghost: "weakref.ref[Node]", looks: int) -> bool:
    for _ in range(looks):
        if ghost() is None:
            return True
        await asyncio.sleep(0.01)
    return ghost() is None


async def test_python_chooses_no_moment_while_it_sweeps_and_does_again_afterwards() -> None:
    sweeping = asyncio.create_task(garbage.sweep(lambda: True))
    await asyncio.sleep(0)
    assert not gc.isenabled()
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    assert gc.isenabled()


async def test_what_dies_young_goes_while_the_song_rolls(song: Song) -> None:
    node = Node()
    ghost = weakref.ref(node)
    del node
    assert await gone(ghost, 500)
    assert song.rolls


async def test_what_dies_old_waits_for_the_end_of_the_song(song: Song) -> None:
    node = Node()
    ghost = weakref.ref(node)
    gc.collect()  # it has lived through a look at everything
    del node
    assert not await gone(ghost, 10)
    song.rolls = False
    assert await gone(ghost, 500)
