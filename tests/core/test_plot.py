"""Pictures of bars, and the commands that draw them and take grooves."""

import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.errors import PatternError
from drumigen.feel.feel import FeelModel
from drumigen.feel.feel_file import read_feel
from drumigen.kit import Voice, load_kit
from drumigen.midi.file import (
    MeterMark,
    Note,
    Song,
    TempoMark,
    song_from_bars,
    song_to_bytes,
    write_song,
)
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit
from drumigen.plot import Panel, piano_roll
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.cli import main
from strategies import bars

FOUR = Meter()
SVG = "{http://www.w3.org/2000/svg}"


def drawn(*panels: Panel) -> ET.Element:
    return ET.fromstring(piano_roll(panels))  # noqa: S314 - our own text


def strokes(picture: ET.Element) -> list[ET.Element]:
    return [rect for rect in picture.iter(f"{SVG}rect") if rect.get("rx")]


def words(picture: ET.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


@given(st.lists(bars(), min_size=1, max_size=3), st.floats(30, 300))
@settings(max_examples=40)
def test_every_hit_is_drawn_once_above_and_once_below(several: list[Bar], tempo: float) -> None:
    picture = drawn(Panel("any", tuple(several), Bpm(tempo)))
    count = sum(len(bar.hits) for bar in several)
    assert len(strokes(picture)) == len(list(picture.iter(f"{SVG}circle"))) == count


def test_a_louder_hit_is_taller_and_a_later_one_lies_further_right() -> None:
    soft, loud = (Hit(Tick(0), Voice.KICK, 20), Hit(Tick(1920), Voice.KICK, 120, 200))
    one, two = strokes(drawn(Panel("t", (Bar(FOUR, (soft, loud)),), Bpm(100))))
    assert float(two.get("height", 0)) > 2 * float(one.get("height", 0))
    straight = strokes(drawn(Panel("t", (Bar(FOUR, (Hit(Tick(1920), Voice.KICK, 120),)),), Bpm(9))))
    assert float(two.get("x", 0)) > float(straight[0].get("x", 0))


def test_an_early_hit_lies_below_the_grid_line_and_a_late_one_above() -> None:
    hits = (Hit(Tick(0), Voice.KICK, 90, -40), Hit(Tick(960), Voice.KICK, 90, 40))
    early, late = drawn(Panel("t", (Bar(FOUR, hits),), Bpm(100))).iter(f"{SVG}circle")
    assert float(early.get("cy", 0)) > float(late.get("cy", 0))


def test_styles_stand_side_by_side_on_the_same_rows() -> None:
    kick = Bar(FOUR, (Hit(Tick(0), Voice.KICK, 90),))
    ride = Bar(FOUR, (Hit(Tick(0), Voice.RIDE, 90),))
    picture = drawn(Panel("A & B", (kick,), Bpm(90)), Panel("C", (ride,), Bpm(90)))
    assert words(picture).count("Kick") == words(picture).count("Ride") == 2
    assert "A & B" in words(picture)
    above, below = strokes(picture)[::-1]
    assert float(above.get("y", 0)) < float(below.get("y", 0))


def test_a_picture_of_nothing_is_refused() -> None:
    with pytest.raises(PatternError):
        piano_roll([])


@pytest.fixture
def take(tmp_path: Path) -> Path:
    path = tmp_path / "take.mid"
    write_song(song_from_bars([mock_bar(FOUR)] * 4, load_kit(), Bpm(100)), path)
    return path


def test_plot_draws_a_file_beside_a_style(take: Path, tmp_path: Path) -> None:
    output = tmp_path / "two.svg"
    asked = ["plot", str(take), "--style", "dilla", "--bars", "1", "--output", str(output)]
    assert main([*asked, "--set", "generator.writer=bank"]) == 0
    assert {"take", "J Dilla, 88 BPM"} <= set(words(ET.parse(output).getroot()))  # noqa: S314


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "one to 4"),
        (["--style", "funk", "--output", "x.png"], ".svg"),
        (["TAKE", "--from", "9"], "before bar 9"),
    ],
)
def test_plot_says_in_one_line_what_it_cannot_draw(
    take: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", *(str(take) if flag == "TAKE" else flag for flag in flags)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_groove_extract_writes_a_feel_beside_the_file(take: Path, tmp_path: Path) -> None:
    assert main(["groove", "extract", str(take)]) == 0
    assert read_feel(tmp_path / "take.groove.toml").swing == 50


def test_groove_extract_of_no_file_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["groove", "extract", "nowhere.mid"]) == 1
    assert "nowhere.mid" in capsys.readouterr().err


def tempo_map_song(late_ms: float = 20.0) -> Song:
    """Return 16 bars of backbeats ``late_ms`` late, the first half at 90 BPM, the rest at 180."""
    notes = []
    for number in range(16):
        tempo = 90 if number < 8 else 180
        late = round(late_ms / 1000 * tempo / 60 * 1920)
        start = number * FOUR.ticks
        notes += [Note(Tick(start + 480 * n), 9, 42, 80, 60) for n in range(16)]
        notes += [Note(Tick(start + tick), 9, 36, 100, 60) for tick in (0, 3840)]
        notes += [Note(Tick(start + tick + late), 9, 38, 110, 60) for tick in (1920, 5760)]
    tempos = TempoMark.of(Bpm(90)), TempoMark.of(Bpm(180), Tick(8 * FOUR.ticks))
    return Song(tuple(notes), tempos)


def test_a_groove_is_taken_by_the_tempo_map(tmp_path: Path) -> None:
    write_song(tempo_map_song(), tmp_path / "take.mid")
    assert main(["groove", "extract", str(tmp_path / "take.mid")]) == 0
    feel = read_feel(tmp_path / "take.groove.toml")
    assert feel.model is FeelModel.FROZEN
    assert feel.push_ms[Voice.SNARE] - feel.push_ms[Voice.CLOSED_HAT] == pytest.approx(20, abs=0.3)


@pytest.mark.slow
def test_a_picture_shows_milliseconds_by_the_tempo_map(tmp_path: Path) -> None:
    write_song(tempo_map_song(), tmp_path / "take.mid")
    heights = []
    for first in (1, 9):
        picture = tmp_path / f"{first}.svg"
        command = ["plot", str(tmp_path / "take.mid"), "--from", str(first), "--bars", "1"]
        assert main([*command, "--output", str(picture)]) == 0
        drawn_ = ET.fromstring(picture.read_text())  # noqa: S314 - our own text
        heights.append([float(dot.get("cy", "0")) for dot in drawn_.iter(f"{SVG}circle")])
    assert heights[0] == pytest.approx(heights[1], abs=0.3)
    assert len(set(heights[0])) == 2


def test_a_pick_up_leaves_the_backbeats_where_they_are(tmp_path: Path) -> None:
    groove = tempo_map_song(0.0)
    notes = [Note(Tick(0), 9, 45, 90, 60)]
    notes += [replace(note, tick=Tick(note.tick + 1920)) for note in groove.notes]
    marks = MeterMark(Tick(0), FOUR), MeterMark(Tick(1920), FOUR)
    write_song(Song(tuple(notes), meters=marks), tmp_path / "take.mid")
    assert main(["groove", "extract", str(tmp_path / "take.mid")]) == 0
    assert read_feel(tmp_path / "take.groove.toml").dynamics.backbeats == (4, 12)


@pytest.mark.parametrize("command", ["groove", "plot"])
def test_what_is_lost_and_odd_is_said(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = tempo_map_song()
    odd = [replace(note, note=100) if note.note == 42 else note for note in song.notes]
    data = song_to_bytes(replace(song, notes=tuple(odd)))
    path = tmp_path / "take.mid"
    path.write_bytes(data[:10] + b"\0\5" + data[12:])
    asked = ["groove", "extract", str(path)] if command == "groove" else ["plot", str(path)]
    suffix = "toml" if command == "groove" else "svg"
    assert main([*asked, "--output", str(tmp_path / f"out.{suffix}")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert f"drumigen: {path}: 5 tracks are promised, 1 are there" in said
    lost = "256 of 320 notes left out, as the kit does not know: 100 (256 times)"
    assert any(lost in line for line in said)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b"tab\there\x1b[31m"])
def test_any_name_of_a_file_is_read_drawn_and_named_on_one_line(
    name: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / os.fsdecode(name + b".mid")
    write_song(tempo_map_song(), path)
    picture = tmp_path / os.fsdecode(name + b".svg")
    assert main(["groove", "extract", str(path)]) == 0
    assert main(["plot", str(path), "--output", str(picture)]) == 0
    assert read_feel(path.with_suffix(".groove.toml")).swing == 50.0
    ET.parse(picture)  # noqa: S314 - our own text
    assert main(["plot", str(path), "--from", "99"]) == 1
    streams = capsys.readouterr()
    assert len(streams.out.splitlines()) == 2
    assert len(streams.err.splitlines()) == 1
    assert all(line.isprintable() for line in (streams.out + streams.err).splitlines())


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "take.mid"
    write_song(tempo_map_song(), path)
    assert main(["groove", "extract", str(path), "--output", str(tmp_path / "no" / "a.toml")]) == 1
    assert main(["plot", str(path), "--output", str(tmp_path / "no" / "a.svg")]) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("command", "begins"), [("groove", "# Groove of"), ("plot", "<svg")])
def test_a_dash_is_standard_output(
    command: str, begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "take.mid"
    write_song(tempo_map_song(), path)
    asked = ["groove", "extract", str(path)] if command == "groove" else ["plot", str(path)]
    assert main([*asked, "--output", "-"]) == 0
    streams = capsys.readouterr()
    assert streams.out.startswith(begins)
    assert "wrote standard output" in streams.err
