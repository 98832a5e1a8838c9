"""A daemon is killed while its children are stopped: the next one takes its place on JACK."""

import os
import signal
import time
from pathlib import Path

import pytest

from fixtures_jack import wait_for
from stage_fixtures import Stage, drumigen

pytestmark = [pytest.mark.jack, pytest.mark.process]

ARGUMENTS = (
    *("--backend", "jack", "--bpm", "160", "--set", "clock.source=internal"),
    *("--set", "generator.writer=bank", "--set", 'midi.outputs=["stage:notes"]'),
)


@pytest.mark.parametrize("stopped", [("engine",), ("generator",), ("engine", "generator"), ()])
def test_the_next_daemon_has_the_name_and_silences_what_was_left(
    stage: Stage, tmp_path: Path, stopped: tuple[str, ...]
) -> None:
    with drumigen(tmp_path, *ARGUMENTS) as daemon:
        daemon.control("start")
        wait_for(lambda: daemon.counters()["notes"] > 8, 30, "it does not play")
        for part in stopped:
            os.kill(daemon.child(part), signal.SIGSTOP)
        daemon.process.kill()
        daemon.process.wait(10)
        with drumigen(tmp_path, *ARGUMENTS) as successor:
            assert successor.status()["backend"] == "jack"
            time.sleep(0.5)
            heard = stage.dump()
            assert heard.ons()
            assert not heard.hanging()
            successor.control("start")
            wait_for(lambda: successor.counters()["notes"] > 8, 30, "the next does not play")
            time.sleep(0.5)
            assert stage.dump().ons()
