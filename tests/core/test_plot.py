"""Pictures of bars, and the commands that draw them and take grooves."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.errors import PatternError
from drumigen.feel.feel_file import read_feel
from drumigen.kit import Voice, load_kit
from drumigen.midi.file import song_from_bars, write_song
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
