"""What the user reads of what to know or do, in `drumigen status`, the log and the screens."""

import json
import logging
from dataclasses import replace

import pytest

from drumigen.timeline import Timeline
from drumigen.units import Bpm, Seconds
from drumigen_daemon.commands.remote import summary
from drumigen_daemon.engine.messages import (
    ClockSource,
    EngineCounters,
    PortMoved,
    Ready,
    TransportState,
)
from drumigen_daemon.histogram import LATENESS_BOUNDS, Tally
from drumigen_daemon.process.log_limit import LIMIT_SECONDS, LINES
from drumigen_daemon.status.advice import advice, note_on
from drumigen_daemon.status.advice_log import AdviceLog
from drumigen_daemon.status.connections import Connections, PortsStanding
from drumigen_daemon.status.status import Status, described

STOPPED = Status(
    backend="jack", ports=("drumigen:in", "drumigen:out"), lock="internal", style="funk"
)
ROLLING = replace(STOPPED, transport=TransportState.ROLLING)
AT_120 = Timeline(Bpm(120), 0.0, Seconds(0.0))


def told(status: Status) -> str:
    return " | ".join(advice(status))


def test_stopped_says_how_to_start() -> None:
    for way in ("MIDI Start", "drumigen control start", "pedal"):
        assert way in told(STOPPED)


def test_nothing_is_said_of_a_song_that_rolls_well() -> None:
    assert told(ROLLING) == ""


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (replace(STOPPED, begins_by_itself=True), "begins by itself"),
        (replace(STOPPED, transport=TransportState.ARMED), "waits for the first clock pulse"),
        (
            replace(STOPPED, transport=TransportState.ARMED, source=ClockSource.MIDI),
            "drumigen control source internal",
        ),
        (replace(ROLLING, lock="coasting", master="TR-8", timeline=AT_120), "TR-8 is silent"),
        (replace(ROLLING, lock="coasting", timeline=AT_120), "runs on at 120.0 BPM"),
        (replace(STOPPED, lock="unlocked"), "no MIDI clock is heard on drumigen:in"),
        (replace(ROLLING, lock="locked", master="Live", hears_foreign=True), "stop one of the two"),
        (replace(STOPPED, backend=""), "not open yet"),
        (replace(STOPPED, connections=PortsStanding(lost=True)), "(jack) is gone"),
        (
            replace(STOPPED, connections=PortsStanding(missing=(("in", "TR-8"),))),
            "drumigen:in hears nobody called 'TR-8'",
        ),
        (
            replace(STOPPED, connections=PortsStanding(receivers=("synth:in",), unheard=True)),
            "nobody listens to drumigen:out: connect synth:in",
        ),
        (
            replace(STOPPED, connections=PortsStanding(unheard=True)),
            "nobody listens to drumigen:out: connect a synthesizer or a DAW",
        ),
    ],
)
def test_what_is_odd_is_said_in_plain_words_with_what_to_do(status: Status, said: str) -> None:
    assert said in told(status)
    reply = json.loads(json.dumps(described(status, Seconds(0.0))))
    assert said in summary(reply)


def test_many_candidates_are_not_one_long_line() -> None:
    names = tuple(f"synth {n}:in" for n in range(40))
    standing = PortsStanding(receivers=names, unheard=True)
    (line,) = advice(replace(ROLLING, connections=standing))
    assert len(line) < 120
    assert line.endswith(", ...")


def test_a_tempo_that_is_ignored_because_somebody_else_leads_is_said() -> None:
    led = replace(ROLLING, lock="locked", master="Live", timeline=AT_120)
    assert "Live leads at 120.0 BPM" in note_on("tempo", led)
    assert note_on("tempo", ROLLING) == ""
    assert note_on("style", led) == ""


def standing(connections: Connections) -> PortsStanding:
    return connections.standing


def ready(backend: str = "jack") -> Connections:
    connections = Connections()
    connections.begin(Ready(backend, ("drumigen:out",), wanted=(("in", "TR-8"), ("out", "synth"))))
    return connections


def test_before_anybody_has_looked_nobody_is_missing() -> None:
    assert standing(ready()) == PortsStanding()


def test_who_comes_is_not_missing_and_who_goes_is_again() -> None:
    connections = ready()
    connections.receivers = ("synth:in",)
    missing = [pattern for _, pattern in standing(connections).missing]
    assert missing == ["TR-8", "synth"]
    assert standing(connections).receivers == ("synth:in",)
    assert standing(connections).unheard
    connections.moved(PortMoved("out", "synth:in", up=True, patterns=("synth",)))
    missing = [pattern for _, pattern in standing(connections).missing]
    assert missing == ["TR-8"]
    assert standing(connections).connected == {"out": ("synth:in",)}
    assert not standing(connections).unheard
    connections.moved(PortMoved("out", "synth:in", up=False))
    assert standing(connections).unheard


def test_whoever_was_connected_by_hand_listens_too() -> None:
    connections = ready()
    connections.moved(PortMoved("out", "Live:in", up=True))
    assert not standing(connections).unheard


def test_a_system_that_does_not_tell_who_listens_is_not_accused() -> None:
    connections = ready("rtmidi")
    connections.receivers = ()
    assert not standing(connections).unheard


def test_a_midi_system_that_is_lost_shows() -> None:
    connections = ready()
    connections.moved(PortMoved("", "", up=False))
    assert standing(connections).lost
    connections.moved(PortMoved("", "", up=True))
    connections.receivers = ()
    assert not standing(connections).lost


def test_the_largest_lateness_is_told_as_it_was() -> None:
    tally = Tally(LATENESS_BOUNDS)
    for _ in range(99):
        tally.add(0.00009)
    tally.add(0.0712)
    status = replace(ROLLING, engine=EngineCounters(lateness=tally.histogram))
    said = summary(json.loads(json.dumps(described(status, Seconds(0.0)))))
    assert "notes late by 0.1 ms (99 of 100), 71.2 ms at most" in said


def test_however_often_it_stops_the_log_stays_short(caplog: pytest.LogCaptureFixture) -> None:
    written = AdviceLog()
    stopped, rolling = (replace(each, ready=True) for each in (STOPPED, ROLLING))
    with caplog.at_level(logging.INFO, "drumigen_daemon.status.advice_log"):
        for second in range(2):
            for _ in range(100):
                written.look(stopped, Seconds(float(second)))
                written.look(rolling, Seconds(float(second)))
        assert 1 <= len(caplog.messages) <= LINES
        written.look(rolling, Seconds(LIMIT_SECONDS + 1))
        assert f"(and {200 - LINES} more like this)" in caplog.messages[-1]
        written.look(stopped, Seconds(LIMIT_SECONDS + 2))
        assert "start it by" in caplog.messages[-1]
        assert "more like this" not in caplog.messages[-1]
