"""Styles of one's own: found by folder and by path; a broken one is one line and harms no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brain import SMALL
from drumigen.catalogue import load_catalogue, styles_folder
from drumigen.errors import SettingsError, StyleNotFoundError
from drumigen.feel.feel import Feel
from drumigen.feel.groove import groove_toml
from drumigen.model.learnt_styles import AS_LEARNT, learnt_styles
from drumigen.model.mock import create_mock_checkpoint
from drumigen.model.network import ModelConfig
from drumigen.styles import OWN_STYLES_MAX, load_styles
from drumigen.units import Bpm

GOOD = 'title = "Mine"\ndescription = "d"\ntempo = [80, 120]\nbank = "rock"\n'
SHIPPED = load_styles()


def with_files(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_ones_own_styles_come_after_the_shipped_ones(tmp_path: Path) -> None:
    catalogue = load_catalogue(with_files(tmp_path, aaa=GOOD, mine=GOOD))
    assert catalogue.names == (*SHIPPED.names, "aaa", "mine")
    assert catalogue.find("MINE").tempo == (Bpm(80), Bpm(120))
    assert catalogue.complaints == ()


def test_a_groove_beside_a_style_is_its_feel_and_no_style(tmp_path: Path) -> None:
    groove = Feel(swing=57.0)
    (tmp_path / "take.groove.toml").write_text(groove_toml(groove, "take.mid"), encoding="utf-8")
    catalogue = load_catalogue(with_files(tmp_path, mine=GOOD + 'groove = "take.groove.toml"\n'))
    assert catalogue.find("mine").feel.swing == 57.0
    assert len(catalogue) == len(SHIPPED) + 1
    assert catalogue.complaints == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 1000, "mine.toml"),
        ("title =", "not valid TOML"),
        (GOOD.replace("80", "5"), "tempo[0]"),
        (GOOD.replace('"rock"', '"nowhere"'), "bank = 'nowhere': use one of afrobeat"),
        (GOOD.replace('"rock"', '"../bars/rock"'), "bank = '../bars/rock': use one of"),
        (GOOD + 'aliases = ["dilla"]\n', "'dilla' is the name of the style j_dilla"),
        (GOOD + 'groove = "nowhere.toml"\n', "nowhere.toml"),
        ("\0", "mine.toml"),
        (GOOD + "x = " + "9" * 5000, "mine.toml"),
    ],
)
def test_a_broken_style_is_one_line_and_harms_no_other(
    tmp_path: Path, text: str, said: str
) -> None:
    catalogue = load_catalogue(with_files(tmp_path, good=GOOD, mine=text, zz=GOOD))
    assert catalogue.names == (*SHIPPED.names, "good", "zz")
    (complaint,) = catalogue.complaints
    assert "\n" not in complaint
    assert said in complaint


def test_odd_things_in_the_folder_harm_nothing(tmp_path: Path) -> None:
    with_files(tmp_path, good=GOOD, __=GOOD, **{"x" * 100: GOOD})
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "link.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    (tmp_path / os.fsdecode(b"\xff.toml")).write_text(GOOD, encoding="utf-8")
    catalogue = load_catalogue(tmp_path)
    assert catalogue.names == (*SHIPPED.names, "good")
    assert len(catalogue.complaints) == 6
    assert load_catalogue(tmp_path / "none").names == SHIPPED.names
    assert load_catalogue(tmp_path / "notes.txt").names == SHIPPED.names


def test_no_more_styles_are_taken_than_can_be_kept_ready(tmp_path: Path) -> None:
    with_files(tmp_path, **{f"s{number:03}": GOOD for number in range(OWN_STYLES_MAX + 3)})
    catalogue = load_catalogue(tmp_path)
    assert len(catalogue) == len(SHIPPED) + OWN_STYLES_MAX
    assert "more than 64 styles" in catalogue.complaints[0]
    assert len(catalogue.complaints) == 1


def test_a_path_goes_wherever_a_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_files(tmp_path, mine=GOOD) / "mine.toml"
    style = SHIPPED.find(str(path))
    assert (style.name, style.label, style.title) == (str(path), "mine", "Mine")
    monkeypatch.chdir(tmp_path)
    assert SHIPPED.find("mine.toml") == style
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SHIPPED.find("~/mine.toml") == style
    assert SHIPPED.find(style.name) == style
    for wrong in ("nowhere.toml", "~nobody-of-that-name/x.toml"):
        with pytest.raises(SettingsError, match="check the path"):
            SHIPPED.find(wrong)


def test_a_style_counts_to_a_network_as_itself_or_as_its_bank(tmp_path: Path) -> None:
    path = with_files(tmp_path, mine=GOOD) / "mine.toml"
    assert SHIPPED.find(str(path)).learnt_as == ("mine", "rock")
    assert SHIPPED.find("funk").learnt_as == ("funk",)


def test_what_a_checkpoint_learnt_is_a_style(tmp_path: Path) -> None:
    config = ModelConfig(("funk", "J Dilla", "jazz2", "mystyle"), width=24, layers=2, heads=2)
    metadata = {
        "takes": {"funk": 1, "J Dilla": 1, "jazz2": 0, "mystyle": 2},
        "styles": {"mystyle": {"tempo": [70, 90], "feel": {"swing": 60.0}}},
    }
    path = create_mock_checkpoint(tmp_path / "own.safetensors", config, metadata)
    catalogue = load_catalogue(None, path)
    assert catalogue.names == (*SHIPPED.names, "mystyle")
    mine = catalogue.find("My Style")
    assert (mine.tempo, mine.feel.swing) == ((Bpm(70), Bpm(90)), 60.0)
    assert {style.name for style in learnt_styles(path)} == {"funk", "J Dilla", "mystyle"}


@pytest.mark.parametrize(
    "styles",
    [
        {"funk": {"tempo": [0, 9000]}},
        {"funk": {"feel": {"swing": 99}}},
        {"funk": 3},
        5,
        {"funk": {"tempo": 3}},
    ],
)
def test_a_checkpoint_that_describes_its_styles_wrongly_is_one_line(
    tmp_path: Path, styles: object
) -> None:
    path = create_mock_checkpoint(tmp_path / "own.safetensors", SMALL, {"styles": styles})
    catalogue = load_catalogue(None, path)
    assert catalogue.names == SHIPPED.names
    (complaint,) = catalogue.complaints
    assert "not a whole checkpoint" in complaint
    assert "\n" not in complaint


def test_a_learnt_style_that_nothing_is_said_of_keeps_the_feel_of_its_bars(tmp_path: Path) -> None:
    path = create_mock_checkpoint(tmp_path / "own.safetensors", SMALL)
    assert {style.feel for style in learnt_styles(path)} == {AS_LEARNT}


def test_the_folder_is_the_one_given_else_the_users(tmp_path: Path) -> None:
    own = tmp_path / "drumigen" / "styles"
    assert styles_folder("/somewhere", {}) == Path("/somewhere")
    assert styles_folder("", {"XDG_CONFIG_HOME": str(tmp_path)}) != own
    own.mkdir(parents=True)
    assert styles_folder("", {"XDG_CONFIG_HOME": str(tmp_path)}) == own
    below = tmp_path / ".config" / "drumigen" / "styles"
    below.mkdir(parents=True)
    assert styles_folder("", {"HOME": str(tmp_path)}) == below


def test_a_catalogue_needs_no_numpy(tmp_path: Path) -> None:
    path = create_mock_checkpoint(tmp_path / "own.safetensors", SMALL)
    program = (
        "import sys; from pathlib import Path; from drumigen.catalogue import load_catalogue\n"
        f"print(len(load_catalogue(None, Path({str(path)!r}))), 'numpy' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [str(len(SHIPPED)), "False"]


def test_a_name_that_no_style_has_is_named_shortened() -> None:
    with pytest.raises(StyleNotFoundError) as refused:
        SHIPPED.find("x" * 5000)
    assert len(str(refused.value)) < 400
