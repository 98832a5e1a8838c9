"""What was played outlives the power."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.units import Bpm, Tick
from drumigen_daemon.capture.journal import BEFORE, JOURNAL_NAME, CaptureJournal
from drumigen_daemon.control_socket import ask
from drumigen_daemon.engine.messages import Origin, PlayedBar, PlayedNote
from fixtures_jack import wait_for
from stage_fixtures import drumigen


def bar(number: int) -> PlayedBar:
    notes = (PlayedNote(number * 7680, 9, 36, 100, 60),)
    start = Tick(number * 7680)
    return PlayedBar(number, start, "4/4", "funk", Origin.GENERATED, Bpm(120.0), notes)


def filled(folder: Path, bars: int, limit: int = 100) -> CaptureJournal:
    journal = CaptureJournal(folder, limit)
    for number in range(bars):
        journal.add(bar(number))
        journal.flush()
    return journal


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    filled(tmp_path / "new", 3)
    assert CaptureJournal(tmp_path / "new", 100).load() == [bar(0), bar(1), bar(2)]


def test_without_a_folder_there_is_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    assert CaptureJournal(tmp_path / "none", 100).load() == []
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    filled(folder, 5)
    return (folder / JOURNAL_NAME).read_bytes()


@given(st.data())
def test_wherever_the_power_was_cut_only_the_last_bar_is_lost_and_it_goes_on(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    kept = whole.count(b"\n", 0, cut := data.draw(st.integers(0, len(whole))))
    (folder / JOURNAL_NAME).write_bytes(whole[:cut])
    journal = CaptureJournal(folder, 100)
    # a cut just before the line's end leaves the bar whole
    assert len(journal.load()) in (kept, kept + 1)
    journal.add(bar(99))
    journal.flush()
    assert CaptureJournal(folder, 100).load()[-1] == bar(99)
    assert CaptureJournal(folder, 100).load()[:kept] == [bar(n) for n in range(kept)]


@given(st.binary(max_size=300))
def test_junk_in_the_file_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / JOURNAL_NAME).write_bytes(junk + b"\n")
    filled(folder, 1)
    assert CaptureJournal(folder, 100).load() == [bar(0)]


def test_the_files_take_turns_and_hold_at_least_the_last_bars(tmp_path: Path) -> None:
    filled(tmp_path, 25, limit=10)
    assert sorted(found.name for found in tmp_path.iterdir()) == sorted([JOURNAL_NAME, BEFORE])
    assert CaptureJournal(tmp_path, 10).load() == [bar(n) for n in range(15, 25)]
    total = sum((tmp_path / name).read_bytes().count(b"\n") for name in (JOURNAL_NAME, BEFORE))
    assert total <= 20


def test_the_turn_is_kept_over_a_restart(tmp_path: Path) -> None:
    filled(tmp_path, 10, limit=10)
    again = CaptureJournal(tmp_path, 10)
    again.load()
    again.add(bar(10))
    again.flush()
    assert (tmp_path / BEFORE).read_bytes().count(b"\n") == 10
    assert CaptureJournal(tmp_path, 10).load() == [bar(n) for n in range(1, 11)]


def test_what_a_full_disk_refuses_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = filled(tmp_path, 2)
    with monkeypatch.context() as patched:

        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        journal.add(bar(2))
        with pytest.raises(OSError, match="No space"):
            journal.flush()
    journal.add(bar(3))
    journal.flush()
    loaded = CaptureJournal(tmp_path, 100).load()
    assert loaded[-1] == bar(3)
    assert {each.number for each in loaded} == {0, 1, 2, 3}


async def test_it_writes_beside_the_music(tmp_path: Path) -> None:
    journal = CaptureJournal(tmp_path, 100)
    task = asyncio.create_task(journal.run())
    journal.add(bar(0))
    async with asyncio.timeout(10):
        while CaptureJournal(tmp_path, 100).load() != [bar(0)]:  # noqa: ASYNC110 - a file tells
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.process
def test_a_killed_daemon_is_followed_by_one_that_knows_what_was_played(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    arguments = ("--backend", "null", "--bpm", "300", "--set", f"capture.folder={folder}")
    with drumigen(tmp_path, *arguments) as first:
        first.control("start")
        wait_for(lambda: first.counters()["bars"] > 5, 20, "no bars sounded")
        engine = first.child("engine")
        first.process.kill()
        first.process.wait(10)
        wait_for(lambda: not Path(f"/proc/{engine}").exists(), 10, "the engine plays on alone")
    with drumigen(tmp_path, *arguments) as second:
        bars = ask([second.socket], {"export": 100})["bars"]
        numbers = [each["number"] for each in bars]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 4  # of six, one may have sounded and one been on its way to the disk
        assert all(each["notes"] for each in bars)
