"""A clock that an installed package brings: the song rolls along it, and lives through its end."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from drumigen.timeline import Timeline
from drumigen.units import Bpm, Seconds
from drumigen_daemon.engine import clock_choice
from drumigen_daemon.engine.messages import (
    ClockSource,
    EngineParameters,
    EngineState,
    Nudge,
    Rejoin,
    Start,
    Stop,
)
from drumigen_daemon.process.log_line import LogLine
from rig import BEGIN, CLOCK, Rig, quarter_bar, song


class Baton:
    """Beats at 100 BPM, its first one a tenth of a second after the engine begins."""

    def __init__(self) -> None:
        self.now = Timeline(Bpm(100.0), 0.0, Seconds(BEGIN + 0.1))
        self.fails = False
        self.set_to = 0.0

    def timeline(self, now: Seconds, tempo: Bpm) -> Timeline:  # noqa: ARG002 - of the protocol
        self.set_to = tempo
        if self.fails:
            raise OSError("the baton broke")  # noqa: EM101, TRY003 - a test's
        return self.now


@dataclass
class Point:
    """An entry point."""

    make: Callable[[], Baton]

    def load(self) -> Callable[[], Baton]:
        return self.make


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch) -> Baton:
    brought = Baton()
    found = {"baton": Point(lambda: brought)}
    monkeypatch.setattr(
        clock_choice, "installed", lambda _, name: (found[name],) if name in found else ()
    )
    return brought


def rig_on(source: str, tempo: float = 120.0) -> Rig:
    rig = Rig()
    rig.obey(EngineParameters(source=source, tempo=Bpm(tempo)))
    rig.plan(song(quarter_bar(), 200))
    return rig


def on_beats(rig: Rig, source: Baton, since: float = 0.0) -> bool:
    """Whether every note is on a beat of the source."""
    beats = [source.now.tick_at(sent.at) / 1920 for sent in rig.output.notes(since=since)]
    return len(beats) > 2 and all(abs(beat - round(beat)) < 0.001 for beat in beats)


def test_the_song_rolls_on_its_beats_and_its_pulses_are_sent(baton: Baton) -> None:
    rig = rig_on("baton")
    rig.obey(Start())
    rig.run(5.0)
    assert on_beats(rig, baton)
    assert (rig.state.lock, rig.state.master) == ("locked", "baton")
    pulses = [sent.at for sent in rig.output.sent if sent.port == "clock" and sent.data == CLOCK]
    assert {round(b - a, 4) for a, b in pairwise(pulses)} == {0.025}


def test_its_tempo_is_followed_at_once_and_notes_and_pulses_keep_together(baton: Baton) -> None:
    rig = rig_on("baton")
    rig.obey(Start())
    rig.run(3.0)
    baton.now = baton.now.with_tempo(Bpm(150.0), Seconds(rig.now))
    rig.run(3.0)
    assert on_beats(rig, baton, since=rig.now - 2.9)
    assert rig.state.timeline.tempo == pytest.approx(150.0)
    pulses = [sent.at for sent in rig.output.sent if sent.port == "clock" and sent.data == CLOCK]
    late = pulses[-48:]
    assert {round(b - a, 4) for a, b in pairwise(late)} == {round(60 / 150 / 24, 4)}


def test_it_is_told_the_tempo_that_is_set_and_cannot_be_nudged(baton: Baton) -> None:
    rig = rig_on("baton", tempo=97.0)
    rig.obey(Start())
    rig.run(1.0)
    assert baton.set_to == 97.0
    rig.obey(Nudge(10.0))
    rig.run(2.0)
    assert on_beats(rig, baton)


def test_one_that_fails_is_said_once_and_the_song_goes_on_at_its_tempo(baton: Baton) -> None:
    rig = rig_on("baton")
    rig.obey(Start())
    rig.run(2.0)
    baton.fails = True
    rig.run(6.0)
    assert on_beats(rig, baton, since=rig.now - 3.0)
    assert rig.state.lock == "coasting"
    errors = [line.text for line in rig.told(LogLine) if line.level == "error"]
    assert len(errors) == 1
    assert "the baton broke" in errors[0]


def test_a_tempo_that_nobody_plays_is_a_fault_too(baton: Baton) -> None:
    rig = rig_on("baton")
    rig.obey(Start())
    rig.run(2.0)
    before = baton.now
    baton.now = Timeline(Bpm(9000.0), 0.0, Seconds(BEGIN))
    rig.run(2.0)
    baton.now = before
    assert on_beats(rig, baton)


@pytest.mark.usefixtures("baton")
def test_one_that_is_not_there_is_said_and_ours_plays() -> None:
    rig = rig_on("nobody")
    rig.obey(Start())
    rig.run(2.0)
    rig.obey(Stop())
    rig.obey(Start())
    rig.run(1.0)
    assert rig.rolling
    assert rig.state.lock == "internal"
    errors = [line.text for line in rig.told(LogLine) if line.level == "error"]
    assert errors == ["no clock is called nobody: our own plays instead"]


def test_a_midi_clock_counts_for_nothing_meanwhile_and_afterwards_again(baton: Baton) -> None:
    rig = rig_on("baton")
    rig.obey(Start())
    for number in range(200):
        rig.hear(CLOCK, BEGIN + 0.5 + number * 0.015)
    rig.run(4.0)
    assert on_beats(rig, baton)
    rig.obey(Stop())
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.obey(Start())
    rig.run(1.0)
    assert rig.state.lock == "internal"


def test_an_engine_that_replaces_a_dead_one_goes_on_with_it_in_the_song(baton: Baton) -> None:
    rig = rig_on("baton")
    rig.obey(Start())
    rig.run(7.0)
    state: EngineState = rig.state
    other = Rig(now=rig.now)
    other.obey(EngineParameters(source="baton"))
    other.plan(song(quarter_bar(), 200))
    other.obey(Rejoin(state.timeline, external=state.lock != "internal"))
    other.run(3.0)
    assert on_beats(other, baton, since=other.now - 2.5)
    assert other.state.timeline.tick_at(other.now) == pytest.approx(
        state.timeline.tick_at(other.now), abs=2
    )
