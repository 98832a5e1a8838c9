"""Notes are timed on their way out and back: through real JACK, and what doctor says of it."""

import math

import pytest

from drumigen.errors import PortError
from drumigen_daemon import cli
from drumigen_daemon.commands import doctor
from drumigen_daemon.engine import loopback
from drumigen_daemon.engine.loopback import RoundTrip, measure
from drumigen_daemon.ports.choose import choose
from fixtures_jack import RATE, JackPeer, JackServer, undisturbed


def test_quantiles_and_jitter_are_of_what_came_back() -> None:
    trip = RoundTrip(200, tuple(0.001 * n for n in range(100)))
    assert trip.quantile(0.5) == pytest.approx(0.050)
    assert trip.quantile(1.0) == pytest.approx(0.099)
    assert trip.jitter == pytest.approx(0.098)
    assert math.isnan(RoundTrip(200, ()).quantile(0.5))


@pytest.mark.jack
@pytest.mark.parametrize("period", [256, 1024])
def test_through_jack_every_note_comes_back_on_its_frame(
    jack_server: JackServer, period: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jack_server.start(period)
    # short: a cycle that the server misses takes with it what falls into it
    monkeypatch.setattr(loopback, "NOTES", 60)
    witness = JackPeer("witness")
    try:
        trip = undisturbed(lambda: witness.xruns, lambda: measure(lambda: choose("jack")))
    finally:
        witness.close()
    assert len(trip.delays) == trip.sent
    # queued for its frame, it is heard in the cycle in which it is played
    assert abs(trip.quantile(0.5)) <= 2 * period / RATE


@pytest.mark.jack
def test_ports_that_are_not_there_are_an_error_that_says_so(jack_server: JackServer) -> None:
    jack_server.start()
    with pytest.raises(PortError, match="drumigen ports"):
        measure(lambda: choose("jack"), "no such port")


def test_the_report_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def measured(_make: object, output: str, heard_on: str) -> RoundTrip:
        asked.append((output, heard_on))
        return RoundTrip(200, (0.004,) * 199)

    class Backend:
        name = "alsa"

    monkeypatch.setattr(doctor, "measure", measured)
    monkeypatch.setattr(doctor, "choose", lambda *_: Backend)
    for ports in ([], ["Interface"], ["Out", "In"]):
        assert cli.main(["doctor", "--loopback", *ports]) == 0
    assert asked == [("", ""), ("Interface", "Interface"), ("Out", "In")]
    told = capsys.readouterr().out
    assert "199 of 200 notes came back" in told
    assert "round trip 4.00 ms" in told
    assert "output.offset_ms = -4.0" in told
    assert "-2.0 where it leads" in told


def test_a_cable_that_is_missing_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Backend:
        name = "alsa"

    monkeypatch.setattr(doctor, "measure", lambda *_: RoundTrip(loopback.NOTES, ()))
    monkeypatch.setattr(doctor, "choose", lambda *_: Backend)
    assert cli.main(["doctor", "--loopback", "Interface"]) == 1
    assert "none of 200 notes came back: connect Interface" in capsys.readouterr().out


def test_without_a_midi_system_there_is_nothing_to_measure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["doctor", "--loopback", "--backend", "null"]) == 1
    assert "no MIDI system to measure" in capsys.readouterr().out
