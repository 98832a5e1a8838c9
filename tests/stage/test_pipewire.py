"""The whole daemon on a real PipeWire, whose graph changes drivers, periods and its very server."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beat import BPM, FOLLOWING, HAT, LEADING, assert_beat_goes_on
from fixtures_jack import wait_for
from fixtures_pipewire import PipeWire
from stage_fixtures import Daemon, Recording, Stage, drumigen

pytestmark = [pytest.mark.pipewire, pytest.mark.process]

BACK_AFTER_RESTART = 2.0
"""Seconds after the server is there again, and whom we play to, within which we play."""
SPLIT = ("--set", "midi.inputs=stage:voice", "--set", "midi.split_inputs=on")


@pytest.fixture
def recorder(pipewire: PipeWire) -> Iterator[Stage]:
    """The same recorder as on JACK, on PipeWire's JACK."""
    assert pipewire.nodes()
    recorder = Stage()
    assert recorder.do("now")
    yield recorder
    recorder.close()


def leads(daemon: Daemon, recorder: Stage) -> None:
    daemon.control("start")
    time.sleep(3.0)
    assert recorder


def follows(daemon: Daemon, recorder: Stage) -> None:
    recorder.do("clock", BPM)
    wait_for(lambda: daemon.status()["lock"] == "locked", 10, "never locked")
    recorder.do("say", [0xFA])
    time.sleep(3.0)


def ended(daemon: Daemon, recorder: Stage) -> tuple[Recording, float]:
    """Stop; return what was heard, and until when it was."""
    until = recorder.do("now") - 0.3
    daemon.control("stop")
    time.sleep(0.3)
    return recorder.dump(), until


@pytest.mark.parametrize(
    ("begin", "arguments"),
    [(leads, LEADING), (follows, FOLLOWING + SPLIT)],
    ids=["leading", "following"],
)
def test_the_beat_goes_on_when_the_driver_or_the_quantum_changes(
    pipewire: PipeWire,
    recorder: Stage,
    tmp_path: Path,
    begin: Callable[[Daemon, Stage], None],
    arguments: tuple[str, ...],
) -> None:
    with drumigen(tmp_path, *arguments) as daemon:
        begin(daemon, recorder)
        with pipewire.driver():
            time.sleep(3)
            pipewire.command("other-driver", "Suspend")
            time.sleep(2)
        time.sleep(2)
        for frames in (128, 2048, 512):
            pipewire.force_quantum(frames)
            time.sleep(2)
        recording, until = ended(daemon, recorder)
        counters = daemon.counters()
    assert len(recording.breaks) >= 3, "nothing changed: what was tried?"
    assert_beat_goes_on(recording, until)
    assert counters["port_losses"] == counters["repeated_bars"] == 0


@pytest.mark.parametrize("seconds", [0.3, 0.7])
def test_a_server_that_was_stopped_fires_nothing_of_what_it_missed(
    pipewire: PipeWire, recorder: Stage, tmp_path: Path, seconds: float
) -> None:
    with drumigen(tmp_path, *LEADING) as daemon:
        leads(daemon, recorder)
        for _ in range(3):
            pipewire.hang()
            time.sleep(seconds)
            pipewire.go_on()
            time.sleep(2.1)
        recording, until = ended(daemon, recorder)
    assert_beat_goes_on(recording, until)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_is_restarted_is_played_on_within_two_seconds(
    pipewire: PipeWire, tmp_path: Path, number: signal.Signals
) -> None:
    before = Stage()
    before.do("now")
    with drumigen(tmp_path, *LEADING) as daemon:
        leads(daemon, before)
        pipewire.stop(number)
        before.process.kill()
        before.process.communicate()
        time.sleep(1)
        pipewire.start()
        after = Stage()
        there = after.do("now")
        time.sleep(5)
        recording, until = ended(daemon, after)
        after.close()
        assert daemon.status()["counters"]["port_losses"] >= 1
    first = min(recording.times(HAT))
    assert first - there < BACK_AFTER_RESTART
    recording.breaks.clear()
    assert_beat_goes_on(recording, until)


def test_a_second_drumigen_is_told_so(pipewire: PipeWire, recorder: Stage, tmp_path: Path) -> None:
    assert pipewire.nodes()
    assert recorder
    with drumigen(tmp_path, *LEADING):
        second = tmp_path / "second"
        second.mkdir()
        with pytest.raises(pytest.fail.Exception, match="stop the other drumigen"):
            Daemon(second, *LEADING)


def test_the_ports_are_named_as_others_see_them(
    pipewire: PipeWire, recorder: Stage, tmp_path: Path
) -> None:
    assert pipewire.nodes()
    with drumigen(tmp_path, *FOLLOWING, *SPLIT) as daemon:
        for name in daemon.status()["ports"]:
            ours, theirs = (name, "stage:notes") if "out" in name else ("stage:voice", name)
            if "clock" not in name:
                recorder.do("disconnect", ours, theirs)  # dies if there is none
