"""What the commands that write files say and write, as the user reads it."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from drumigen.midi.file import read_song, song_from_bytes
from drumigen.text import counted, escaped_line
from drumigen.units import Bpm, Tick
from drumigen_daemon.cli import main
from drumigen_daemon.commands import output, remote, render
from drumigen_daemon.engine.messages import Origin, PlayedBar, PlayedNote
from drumigen_daemon.sound.fluidsynth import Synth


def sounded(number: int, *notes: int) -> PlayedBar:
    struck = tuple(
        PlayedNote(number * 7680 + tick, 9, notes[0] if notes else 36, 100, 60)
        for tick in (25, 1950, 3830, 5790)
    )
    return PlayedBar(
        number, Tick(number * 7680), "4/4", "funk", Origin.GENERATED, Bpm(120.0), struck
    )


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return what makes a daemon that has played so many bars answer."""
    monkeypatch.chdir(tmp_path)

    def start(count: int, *notes: int) -> None:
        bars = to_builtins([sounded(number, *notes) for number in range(count)])

        def ask(_: object, request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
            if "export" in request:
                return {"bars": bars[-request["export"] :]}
            return {"status": {"kit": "gm"}}

        monkeypatch.setattr(remote, "_ask", ask)

    return start


@pytest.mark.parametrize(
    ("played", "asked", "said"),
    [
        (8, 8, "wrote drumigen-export.mid: the last 8 bars\n"),
        (9, 1, "wrote drumigen-export.mid: the last 1 bar\n"),
        (3, 8, "wrote drumigen-export.mid: 3 bars, all there are of the 8 asked for\n"),
        (1, 8, "wrote drumigen-export.mid: 1 bar, all there are of the 8 asked for\n"),
    ],
)
def test_export_says_how_many_bars_there_were(
    playing: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    played: int,
    asked: int,
    said: str,
) -> None:
    playing(played)
    assert main(["export", "--bars", str(asked)]) == 0
    assert capsys.readouterr().out == said


def test_export_to_a_dash_is_the_file_alone(
    playing: Callable[..., None], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    playing(2)
    assert main(["export", "--output", "-"]) == 0
    streams = capfdbinary.readouterr()
    assert len(song_from_bytes(streams.out).notes) == 8
    assert b"wrote standard output: 2 bars" in streams.err


def test_a_chart_lies_on_the_grid(playing: Callable[..., None]) -> None:
    playing(2)
    assert main(["export", "--notation", "--output", "chart.mid"]) == 0
    notes = read_song(Path("chart.mid")).notes
    assert [note.tick for note in notes[:4]] == [0, 1920, 3840, 5760]
    assert {note.duration for note in notes} == {1920}


def test_a_chart_says_what_the_kit_lacks(
    playing: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    playing(1, 100)
    assert main(["export", "--notation"]) == 0
    said = capsys.readouterr().err
    assert "4 of 4 notes left out, as the kit does not know: 100 (4 times)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("render", "--wav", "x.mp3"), "'x.mp3' is not allowed: sound is written as .wav"),
        (("export", "--wav", "x"), "'x' is not allowed: sound is written as .wav"),
        (("play", "--wav", "x.ogg"), "'x.ogg' is not allowed"),
        (("render", "--output", "x.wav"), "'x.wav' would be a MIDI file"),
        (("train", ".", "--epochs", "0"), "'0' is not allowed: use a whole number from 1"),
        (("train", ".", "--minutes", "nan"), "'nan' is not allowed: use a number from"),
        (("train", ".", "--minutes", "inf"), "'inf' is not allowed"),
        (("train", ".", "--minutes", "-1"), "'-1' is not allowed"),
        (("train", ".", "--minutes", "0"), "'0' is not allowed"),
        (("train", ".", "--seed", "-1"), "'-1' is not allowed: use a whole number from 0"),
        (("train", ".", "--seed", "x"), "'x' is not allowed"),
        (("train", ".", "--rate", "nan"), "'nan' is not allowed"),
        (("train", ".", "--dropout", "1.5"), "'1.5' is not allowed"),
        (("eval", ".", "--seed", "-1"), "'-1' is not allowed"),
        (("eval", ".", "--seeds", "0"), "'0' is not allowed"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_is_done(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("fails", [True, False])
def test_a_sound_file_is_whole_or_the_old_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, fails: bool
) -> None:
    """A synthesizer that fails half way leaves what was there."""
    monkeypatch.chdir(tmp_path)
    if fails:

        def render(_: Synth, _frames: int) -> bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Synth, "render", render)
    Path("out.wav").write_text("old")
    status = main(["render", "--bars", "1", "--output", "a.mid", "--wav", "out.wav"])
    assert status == int(fails)
    assert Path("out.wav").read_bytes().startswith(b"old" if fails else b"RIFF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mid", "out.wav"]


def test_a_sound_file_without_a_name_is_called_like_the_midi_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["render", "--bars", "1", "--output", "take.mid", "--wav"]) == 0
    assert "wrote take.wav" in capsys.readouterr().out
    assert Path("take.wav").is_file()


@pytest.mark.parametrize("name", ["take.mp3", "take.ogg", "take"])
def test_sound_is_written_as_wav_only(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["render", "--bars", "1", "--wav", name])
    (line,) = capsys.readouterr().err.splitlines()
    assert ".wav" in line


@pytest.mark.parametrize("command", ["play", "render"])
def test_a_folder_that_may_not_be_written_to_is_told_before_the_song(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main([command, "--bars", "1", "--output", "take.mid"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no permission for" in line


def test_a_long_work_shows_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 31.0, 32.0, 62.0, 70.0])
    progress = output.Progress(200, "bars", lambda: next(clock))
    for done in (20, 60, 80, 150, 200):
        progress.show(done)
    progress.end()
    assert capsys.readouterr().err == "drumigen: 30 % of 200 bars\ndrumigen: 75 % of 200 bars\n"


def test_a_terminal_shows_it_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = iter([0.0, 3.0, 4.0])
    progress = output.Progress(10, "bars", lambda: next(clock))
    progress.show(4)
    progress.show(5)
    progress.end()
    written = capsys.readouterr().err
    assert "\n" not in written
    assert written.endswith(f"50 % of 10 bars\r{output.CLEAR}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("ä 日本 語", "ä 日本 語"),
        ("two\nlines", r"two\nlines"),
        ("caf\udce9", r"caf\xe9"),
        ("\x1b[31mred\u2028", r"\x1b[31mred\u2028"),
    ],
)
def test_names_stay_on_their_line(text: str, line: str) -> None:
    assert escaped_line(text) == line


def test_nouns_agree_with_their_number() -> None:
    assert [counted(n, "bar") for n in (0, 1, 2)] == ["0 bars", "1 bar", "2 bars"]
    assert counted(2, "half", "halves") == "2 halves"


@pytest.mark.parametrize("flag", ["--output", "--wav"])
def test_a_folder_that_is_not_there_is_said_before_the_work(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "planned_bars", lambda *_: pytest.fail("it was rendered"))
    assert main(["render", flag, "nowhere/x.wav" if flag == "--wav" else "nowhere/x.mid"]) == 1
    assert "there is no folder nowhere); make it first" in capsys.readouterr().err
