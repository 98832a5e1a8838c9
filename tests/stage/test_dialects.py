"""Masters as they are: what each sends when a performer plays, stops, goes elsewhere and loops.

The dumps, and where each behaviour is from, are in ``tests/dialects``.
"""

import math
import runpy
import time
from pathlib import Path

import pytest

from dialect_dumps import FOLDER, Dump, all_dumps, faults
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, PlannedBar
from fixtures_jack import JackServer
from rig import BEGIN, Rig, note_of
from stage_fixtures import Stage, drumigen

DUMPS = all_dumps()
PERIOD = 128 / 48_000
"""Seconds: what JACK at 128 frames takes to bring a message, and what it has taken for good."""
JACK_FRAMES = 256
"""A period that a busy machine can keep."""
ENOUGH = 40
"""Beats needed to judge; there are 130."""
ON_JACK = (
    "live/loop_from_the_one",
    "bitwig/start",
    "reaper/locate_stopped",
    "logic/loop",
    "ardour/stop",
    "elektron/continue",
    "jack_midi_clock/locate_rolling",
    "phone/start",
)
PLAIN = (
    "generator.writer=mock",
    "song.variation=off",
    "song.fill_every=0",
    "feel.humanize=0",
    "feel.swing=50",
    "clock.source=midi",
)
"""Bars of kick and snare in turn, a quarter each, exactly on the grid."""
BEATS = (Voice.KICK, Voice.SNARE, Voice.LOW_TOM, Voice.MID_TOM)
"""The voice of each quarter of a bar, so that a stroke tells where in the bar it belongs."""


def labelled_song(bars: int) -> list[PlannedBar]:
    """A song in which a stroke's note and velocity tell its place."""
    meter = Meter()
    planned = []
    for number in range(bars):
        hits = (Hit(Tick(1920 * n), voice, 1 + number) for n, voice in enumerate(BEATS))
        planned.append(
            PlannedBar(number, Tick(number * meter.ticks), Bar(meter, tuple(hits)), "test")
        )
    return planned


def played_to(dump: Dump, *, way: float) -> list[tuple[float, int]]:
    """Play a dump to an engine; return its strokes as (seconds, sixteenth)."""
    rig = Rig(delay=way)
    rig.output.horizon = way
    rig.obey(EngineParameters(source=ClockSource.MIDI))
    bars = 8 + max(place or 0 for _, place in dump.beats) // 16
    assert bars < 127
    rig.plan(labelled_song(bars))
    for at, data in dump.messages:
        rig.hear(data, BEGIN + at)
    rig.run(dump.end + 1.0)
    assert rig.output.hanging() == []
    notes = [note_of(voice) for voice in BEATS]
    return [
        (sent.at - BEGIN, 16 * (sent.data[2] - 1) + 4 * notes.index(sent.data[1]))
        for sent in rig.output.notes()
    ]


@pytest.mark.parametrize("way", [0.0, PERIOD], ids=["at_once", "through_jack"])
@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.name)
def test_every_beat_of_a_masters_song_is_struck_once_at_its_moment(dump: Dump, way: float) -> None:
    wrong = faults(dump, played_to(dump, way=way), way=way)
    assert not wrong, "\n".join(wrong)


def test_the_dumps_are_what_their_writer_writes() -> None:
    written = runpy.run_path(str(FOLDER / "write.py"))["dumps"]()
    there = {
        str(file.relative_to(FOLDER)): file.read_text(encoding="utf-8")
        for file in FOLDER.glob("*/*.txt")
    }
    assert there == written


def test_every_dump_can_be_read() -> None:
    dumps = all_dumps()
    assert len(dumps) > 60
    for dump in dumps:
        assert dump.messages
        assert dump.strokes()


def played_on_jack(stage: Stage, dump: Dump) -> tuple[list[tuple[float, int]], float]:
    """Play a dump to who listens; return kicks and snares as (seconds, sixteenth of two beats).

    Where JACK misses a cycle, time stands still: also returns until when it did not.
    We are master and recorder, so the connections make a loop: JACK cuts it, which costs a period.
    """
    stage.dump()
    begun = stage.do("play", [(at, list(data)) for at, data in dump.messages])
    time.sleep(dump.end + 0.7)
    recording = stage.dump()
    assert recording.hanging() == set(), dump.name
    places = {note_of(Voice.KICK): 0, note_of(Voice.SNARE): 4}
    played = [
        ((frame - begun - JACK_FRAMES) / recording.rate, places[note])
        for frame, note in recording.ons()
        if note in places
    ]
    missed = min(recording.xruns, default=None)
    return played, math.inf if missed is None else (missed - begun) / recording.rate - 0.2


@pytest.mark.jack
@pytest.mark.process
def test_masters_are_followed_on_jack(jack_server: JackServer, tmp_path: Path) -> None:
    dumps = [dump for dump in DUMPS if dump.name in ON_JACK]
    assert len(dumps) == len(ON_JACK)
    words = [word for setting in PLAIN for word in ("--set", setting)]
    jack_server.start(JACK_FRAMES)
    stage = Stage()
    judged = 0
    with drumigen(tmp_path, "--backend", "jack", *words) as daemon:
        stage.do("connect", f"{stage.name}:voice", "drumigen:in")
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        for dump in dumps:
            for _ in range(3):
                played, until = played_on_jack(stage, dump)
                way = 2 * JACK_FRAMES / 48_000 + 0.002
                wrong = faults(dump, played, way=way, cycle=8, until=until)
                assert not wrong, "\n".join([dump.name, *wrong])
                judged += sum(stroke.at < until for stroke in dump.strokes())
                if until > dump.end:
                    break
        assert daemon.counters()["repeated_bars"] == 0
    stage.close()
    assert judged >= ENOUGH, "this machine is too busy for JACK"
