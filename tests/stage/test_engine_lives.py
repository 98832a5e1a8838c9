"""An engine that is killed, whatever is asked for meanwhile, has a successor that plays."""

import os
import signal
from pathlib import Path

import pytest

from fixtures_jack import wait_for
from stage_fixtures import Daemon, drumigen

pytestmark = pytest.mark.process


def plays(daemon: Daemon, life: int) -> bool:
    """Whether the engine of that life, the first being 0, has played notes."""
    status = daemon.status()
    counters = status["counters"]
    rolls = status["ready"] and status["transport"] == "rolling"
    return bool(rolls and counters["engine_restarts"] == life and counters["notes"] > 0)


def test_each_successor_plays_though_knobs_are_turned_while_there_is_no_engine(
    tmp_path: Path,
) -> None:
    arguments = ("--backend", "null", "--bpm", "200", "--set", "generator.writer=bank")
    with drumigen(tmp_path, *arguments) as daemon:
        daemon.control("start")
        wait_for(lambda: plays(daemon, 0), 20, "it never played")
        for life in range(1, 5):
            os.kill(daemon.child("engine"), signal.SIGKILL)
            for value in (55, 60, 65):
                daemon.control("swing", value)
                daemon.control("re-roll")
            wait_for(lambda life=life: plays(daemon, life), 30, f"silent in life {life}")  # type: ignore[misc]


def test_an_engine_that_is_stopped_is_replaced_and_the_song_goes_on(tmp_path: Path) -> None:
    arguments = ("--backend", "null", "--bpm", "200", "--set", "generator.writer=bank")
    with drumigen(tmp_path, *arguments) as daemon:
        daemon.control("start")
        wait_for(lambda: plays(daemon, 0), 20, "it never played")
        bars = daemon.counters()["bars"]
        os.kill(daemon.child("engine"), signal.SIGSTOP)
        wait_for(lambda: plays(daemon, 1), 40, "a hung engine was not replaced")
        wait_for(lambda: daemon.counters()["bars"] > bars + 2, 30, "no bar after it")
