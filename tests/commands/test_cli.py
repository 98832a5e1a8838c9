import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drumigen.kit import Voice
from drumigen.midi.file import Song, read_song
from drumigen.timeline import Meter
from drumigen.units import Seconds
from drumigen_daemon import cli
from drumigen_daemon.capture import wav
from drumigen_daemon.commands import ports as ports_command
from drumigen_daemon.commands import remote
from drumigen_daemon.commands.doctor import Finding, Mark
from drumigen_daemon.commands.ports import port_listing, rows
from drumigen_daemon.commands.remote import summary
from drumigen_daemon.controls.table import CONTROLS, Controls
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import EngineCounters
from drumigen_daemon.generator.messages import DeviceReport
from drumigen_daemon.histogram import CLOCK_BOUNDS, Tally
from drumigen_daemon.ports import Peer, PortPlan, VirtualPort
from drumigen_daemon.ports.choose import BackendReport
from drumigen_daemon.session import Session
from drumigen_daemon.settings.sections import MidiSettings, Settings
from drumigen_daemon.status.status import Status, described

COMMANDS = ("play", "run", "render", "ports", "doctor", "control", "status", "export")
DRUMIGEN = (sys.executable, "-m", "drumigen_daemon.cli")


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no settings, socket or file of this machine into a test."""
    for name in [name for name in os.environ if name.startswith("DRUMIGEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit status and the one line on stderr."""
    try:
        status = cli.main(arguments)
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return status, said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main([command, "--help"])
    assert leaving.value.code == 0
    assert "--config" in capsys.readouterr().out


def test_drumigen_alone_shows_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: drumigen")
    assert "play now" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("dance",), 2, "invalid choice"),
        (("render", "--bars", "0"), 2, "from 1 to"),
        (("render", "--bars", "many"), 2, "'many'"),
        (("render", "--bar", "3"), 2, "--bar"),
        (("render", "--bpm", "999"), 78, "--bpm: '999' is not allowed: use 20 to 400"),
        (("render", "--metre", "4"), 78, "--metre: metre '4' is not of the form 4/4"),
        (("render", "--style", "fnk"), 78, "did you mean funk"),
        (("render", "--kit", "rolan"), 78, "did you mean 'roland_td'"),
        (("render", "--seed", "-1"), 78, "--seed"),
        (("render", "--set", "clock.tempo"), 78, "SECTION.KEY=VALUE"),
        (("render", "--set", "tempo=3"), 78, "did you mean clock.tempo?"),
        (("render", "--set", "clock.tempoo=3"), 78, "did you mean clock.tempo?"),
        (("render", "--set", "song.stile=funk"), 78, "did you mean song.style?"),
        (("render", "--set", "sing.style=funk"), 78, "did you mean song.style?"),
        (("render", "--set", "midi.tempo=90"), 78, "did you mean clock.tempo?"),
        (("render", "--set", "song.qqq=1"), 78, "[song] has style, meter"),
        (("render", "--set", "qqq.qqq=1"), 78, "the sections are midi, clock"),
        (("render", "--set", "clock.tempo=3"), 78, "20 to 400"),
        (("render", "--config", "none.toml"), 78, "there is no file none.toml"),
        (("render", "--output", "nowhere/x.mid"), 1, "cannot be written"),
        (("run", "--backend", "coreaudio"), 78, "auto, jack, alsa, rtmidi or null"),
        (("status",), 1, "start one with drumigen run"),
        (("control", "tempo", "100"), 1, "no drumigen runs"),
        (("control",), 1, "see --list"),
        (("control", "tempoo"), 1, "did you mean tempo?"),
        (("control", "xyzzy", "3"), 1, "drumigen control --list names them"),
        (("control", "tempo"), 1, "no drumigen runs"),
        (("control", "--show"), 1, "no drumigen runs"),
        (("control", "--learned"), 1, "no drumigen runs"),
        (("export",), 1, "no drumigen runs"),
        (("watch",), 1, "no drumigen runs"),
    ],
)
def test_a_mistake_is_explained_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    left, line = complaint(capsys, *arguments)
    assert left == status
    assert line.startswith("drumigen")
    assert said in line


def render(*arguments: str) -> Song:
    output = Path("out.mid")
    assert cli.main(["render", "--output", str(output), *arguments]) == 0
    return read_song(output)


@pytest.mark.slow
@pytest.mark.parametrize("metre", ["4/4", "7/8", "12/8"])
def test_render_writes_tempo_metre_and_so_many_bars(metre: str) -> None:
    song = render(
        "--style",
        "funk",
        "--bars",
        "9",
        "--bpm",
        "97.5",
        "--metre",
        metre,
        "--set",
        "song.fill_every=8",
    )
    meter = Meter.parse(metre)
    assert song.tempo == pytest.approx(97.5, abs=0.001)
    assert [mark.meter for mark in song.meters] == [meter]
    assert song.end == pytest.approx(9 * meter.ticks, abs=meter.ticks // 4)
    assert {song.meter_map.bar_at(note.tick) for note in song.notes} >= set(range(9))
    assert [(marker.tick // meter.ticks, marker.text) for marker in song.markers] == [
        (0, "funk"),
        (7, "funk fill"),
        (8, "funk"),
    ]


@pytest.mark.slow
def test_render_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first = render("--seed", "5", "--bars", "12")
    assert render("--seed", "5", "--bars", "12") == first
    assert render("--seed", "6", "--bars", "12") != first


@pytest.mark.slow
def test_more_bars_begin_with_the_same_ones() -> None:
    few, more = render("--bars", "4"), render("--bars", "12")
    until = 4 * 7680 - 480
    assert [n for n in few.notes if n.tick < until] == [n for n in more.notes if n.tick < until]


@pytest.mark.slow
def test_render_names_the_file_by_style_and_tempo(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["render", "--style", "dilla", "--bpm", "88", "--bars", "1"]) == 0
    assert Path("drumigen-j_dilla-88.mid").is_file()
    assert "wrote drumigen-j_dilla-88.mid: 1 bar of J Dilla" in capsys.readouterr().out


def test_render_advises_on_a_strange_tempo_and_plays_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    render("--style", "funk", "--bpm", "300", "--bars", "1")
    assert "80-125 BPM" in capsys.readouterr().err


def test_without_a_synthesizer_the_midi_file_is_still_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "synthesizer", lambda: False)
    assert cli.main(["render", "--bars", "1", "--output", "a.mid", "--wav", "a.wav"]) == 1
    assert Path("a.mid").is_file()
    assert "apt install fluidsynth" in capsys.readouterr().err


def test_controls_are_listed_in_groups_with_meaning_unit_and_range(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["control", "--list"]) == 0
    text = capsys.readouterr().out
    assert "(20 to 400 BPM)" in text
    assert "(50 to 75 %, or style)" in text
    assert "program change 1 (0 on the wire)" in text
    lines = text.splitlines()
    assert lines[0] == "Play"
    assert max(map(len, lines)) <= 100
    named = {line.split()[0] for line in lines if re.match(r"  \S", line)}
    assert named == {name.replace(".kick", ".VOICE") for name in CONTROLS if _of_one_voice(name)}
    for voice in Voice:
        assert re.search(rf"\b{voice}\b", text)


def _of_one_voice(name: str) -> bool:
    return "." not in name or name.endswith(".kick")


def test_what_controls_are_set_to_is_shown_with_units_and_voices_together() -> None:
    values = Controls(known_styles(), Session()).shown()
    lines = list(remote.value_lines({**values, "mute.snare": "on"}))
    assert "tempo                 120 BPM" in lines
    assert "swing                 style" in lines
    assert "solo.VOICE            off" in lines
    assert "mute.snare            on" in lines
    assert "mute, the others      off" in lines
    assert len(lines) < 50


def test_ports_are_listed_with_what_connects_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PortPlan(
        "us",
        (VirtualPort("in", ("clock",)),),
        (VirtualPort("out", ("synth",)), VirtualPort("clock", ("synth",))),
    )
    found = [Peer("Master clock:1", sends=True), Peer("synth:in", sends=False)]
    assert list(rows(found, plan)) == [
        "sends     Master clock:1  -> us:in",
        "receives  synth:in        <- us:out, us:clock",
    ]
    reports = [
        BackendReport("jack", usable=True, reason="fine"),
        BackendReport("alsa", False, "no"),
    ]
    monkeypatch.setattr(ports_command, "survey", lambda _api: reports)
    monkeypatch.setattr(ports_command, "peers", lambda _name, _api: found)
    assert list(port_listing(Settings())) == [
        "jack: fine",
        "  sends     Master clock:1",
        "  receives  synth:in",
        "alsa: not usable: no",
    ]
    assert list(port_listing(Settings(), ("alsa",))) == ["alsa: not usable: no"]
    wanted = Settings(midi=MidiSettings(inputs=("Master", "TR-8")))
    assert "  missing   'TR-8', wanted by drumigen:in" in list(port_listing(wanted))
    assert not any("'Master'" in line for line in port_listing(wanted))


def test_the_status_is_told_in_five_lines_and_what_to_do() -> None:
    status = json.loads(json.dumps(described(Status(style="funk"), Seconds(0.0))))
    told = summary(status).splitlines()
    assert len(told) == 6
    assert told[5].strip().startswith("starting")
    assert "stopped at bar 1 beat 1, 4/4, 120 BPM" in told[0]


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (DeviceReport("cuda:0", "playing", 0.02, 0.004), "runs on cuda:0; for all styles it takes"),
        (DeviceReport("cpu", "slower", 0.02, 0.03), "the CPU; the GPU is no quicker; for all"),
        (DeviceReport("cpu", "slower", 0.02, 0.03), "20 ms on the CPU, 30 on the GPU"),
        (DeviceReport("cpu", "waiting"), "is ready, and used from the next start of a song on"),
        (DeviceReport("cpu", "absent", said="no torch"), "runs on the CPU: no torch"),
    ],
)
def test_the_status_says_what_the_network_runs_on(report: DeviceReport, said: str) -> None:
    told = summary(json.loads(json.dumps(described(Status(device=report), Seconds(0.0)))))
    (line,) = [line for line in told.splitlines() if line.startswith("device  ")]
    assert said in line


def test_a_time_beyond_what_is_counted_is_told_as_more_than_that() -> None:
    pulses = Tally(CLOCK_BOUNDS)
    pulses.add(3.0)
    status = replace(Status(), engine=EngineCounters(clock_error=pulses.histogram))
    told = summary(json.loads(json.dumps(described(status, Seconds(0.0)))))
    assert "3000 ms at most" in told
    assert "inf" not in told


def test_a_finding_is_one_line() -> None:
    assert str(Finding(Mark.WARN, "timer", "late\nby much")) == "warn  timer        late by much"


# --- real processes ------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a daemon without MIDI, until the test is over."""
    config = tmp_path / "drumigen.toml"
    config.write_text("[clock]\nsource = 'internal'\ntempo = 300\n[midi]\nbackend = 'null'\n")
    with subprocess.Popen(
        [*DRUMIGEN, "run", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: json.loads(call("status", "--json") or "{}").get("ready", False))
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=10)


def call(*arguments: str) -> str:
    done = subprocess.run([*DRUMIGEN, *arguments], capture_output=True, text=True, check=False)
    return done.stdout


def wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < until, "it did not happen in 20 s"
        time.sleep(0.05)


def wait_for_line(process: subprocess.Popen[str], said: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            return
    pytest.fail(f"the log ended without {said!r}")


def status_now() -> dict[str, object]:
    status: dict[str, object] = json.loads(call("status", "--json"))
    return status


@pytest.mark.process
def test_play_without_midi_plays_and_writes_what_was_played() -> None:
    done = subprocess.run(
        [
            *DRUMIGEN,
            "play",
            "--bars",
            "2",
            "--bpm",
            "300",
            "--backend",
            "null",
            "--seed",
            "3",
            "--set",
            "web.port=0",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "no MIDI system" in done.stderr
    assert "at home" in done.stderr
    assert done.stderr.count("\n") == 2
    # whether it sounds depends on the machine, and is said in a line
    bars = [line for line in done.stdout.splitlines() if line.startswith("bar ")]
    assert [line.split()[1] for line in bars] == ["1/2", "2/2"]
    assert all("generated" in line for line in bars)
    played = read_song(Path("drumigen-rock-300.mid"))
    assert played.tempo == pytest.approx(300)
    written = render("--bars", "2", "--bpm", "300", "--seed", "3")
    end = 2 * 4 * 1920 - 240  # the last stroke leans, as its style does
    assert [(n.tick, n.note, n.velocity) for n in played.notes if n.tick < end] == [
        (n.tick, n.note, n.velocity) for n in written.notes if n.tick < end
    ]
    assert {n.note for n in played.notes if n.tick >= end} == {36, 49}  # a last stroke


@pytest.mark.process
def test_a_running_daemon_is_controlled_reloaded_exported_and_ended(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    call("control", "style", "funk")
    call("control", "start")
    wait_until(lambda: int(str(status_now()["bar"])) > 2)
    status = status_now()
    assert (status["transport"], status["style"], status["tempo"]) == ("rolling", "funk", 300.0)
    assert "rolling" in call("status")
    assert "wrote take.mid" in call("export", "--bars", "2", "--output", "take.mid")
    assert read_song(Path("take.mid")).tempo == pytest.approx(300)

    config = tmp_path / "drumigen.toml"
    config.write_text("[clock]\ntempo = 5000\n")
    running.send_signal(signal.SIGHUP)
    wait_for_line(running, "the settings stay as they were")
    config.write_text(
        "[clock]\nsource = 'internal'\ntempo = 200\n[midi]\nbackend = 'null'\nclient = 'x'\n"
    )
    running.send_signal(signal.SIGHUP)
    wait_until(lambda: status_now()["tempo"] == 200.0)
    assert status_now()["style"] == "funk"

    second = subprocess.run([*DRUMIGEN, "run"], capture_output=True, text=True, check=False)
    assert second.returncode == 78
    assert "another drumigen runs" in second.stderr
    assert second.stderr.count("\n") == 1

    modules = Path(f"/proc/{running.pid}/maps").read_text(encoding="utf-8")
    assert "torch" not in modules
    running.terminate()
    _, log = running.communicate(timeout=10)
    assert running.returncode == 0
    assert "Traceback" not in log
    assert "only a restart changes midi.client" in log
    assert log.splitlines()[-1].endswith("ended")
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.process
def test_a_daemon_never_imports_what_it_does_not_need() -> None:
    code = (
        "import sys; import drumigen_daemon.commands.run; "
        "print(*(name for name in ('rich', 'torch', 'numpy') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.process
def test_a_daemon_is_reached_although_its_settings_file_is_wrong_by_now(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert running.poll() is None
    broken = tmp_path / "broken.toml"
    broken.write_text("[clock]\ntempo = 9000\n")
    done = subprocess.run(
        [*DRUMIGEN, "status", "--config", str(broken)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "stopped at bar 1" in done.stdout
    assert "broken.toml: clock.tempo" in done.stderr
