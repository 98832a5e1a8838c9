"""Laws of the catalogue of styles."""

from pathlib import Path

import pytest

from drumigen.errors import SettingsError, StyleNotFoundError
from drumigen.feel.feel import Feel, FeelModel
from drumigen.kit import Voice
from drumigen.styles import StyleCatalogue, load_styles
from drumigen.units import Bpm

STYLES = load_styles()

GOOD = 'title = "Mine"\ndescription = "d"\ntempo = [80, 120]\nbank = "rock"\n'


def folder_with(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_genres_and_producers_are_there() -> None:
    assert set(STYLES.names) >= {
        "rock",
        "funk",
        "jazz",
        "hiphop",
        "soul",
        "latin",
        "afrocuban",
        "punk",
        "neworleans",
        "reggae",
        "j_dilla",
        "metro_boomin",
        "questlove",
    }
    assert list(STYLES.names) == sorted(STYLES.names)
    assert len(STYLES) == len(list(STYLES))


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("dilla", "j_dilla"),
        ("jdilla", "j_dilla"),
        ("j_dilla", "j_dilla"),
        ("J Dilla", "j_dilla"),
        ("metro", "metro_boomin"),
        ("MetroBoomin", "metro_boomin"),
        ("quest", "questlove"),
        ("QUESTLOVE", "questlove"),
        ("hip-hop", "hiphop"),
        ("Rock", "rock"),
    ],
)
def test_a_style_is_found_however_it_is_spelled(said: str, name: str) -> None:
    assert STYLES.find(said).name == name


@pytest.mark.parametrize(("said", "near"), [("questluv", "questlove"), ("regae", "reggae")])
def test_a_misspelled_style_names_the_near_ones(said: str, near: str) -> None:
    with pytest.raises(StyleNotFoundError, match=near):
        STYLES.find(said)


def test_a_style_like_no_other_names_some_and_says_where_all_are_listed() -> None:
    with pytest.raises(StyleNotFoundError) as refused:
        STYLES.find("xyz")
    said = str(refused.value)
    assert STYLES.names[0] in said
    assert f"another of {len(STYLES)}: drumigen styles" in said
    assert len(said) < 160


def test_inside_its_range_a_tempo_needs_no_advice() -> None:
    dilla = STYLES.find("dilla")
    assert [bpm for bpm in (78, 88.5, 98) if dilla.tempo_advice(bpm)] == []


@pytest.mark.parametrize("bpm", [77, 99, 140])
def test_outside_its_range_a_style_says_where_it_is_at_home(bpm: float) -> None:
    advice = STYLES.find("dilla").tempo_advice(bpm)
    assert advice is not None
    assert "78-98" in advice
    assert f"{bpm:g}" in advice


def test_a_tempo_that_fits_counted_double_is_told_so() -> None:
    advice = STYLES.find("metro").tempo_advice(70)
    assert advice is not None
    assert "double time" in advice


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("80", "5"), ["tempo[0]", "5", ">= 20"]),
        (GOOD.replace("[80, 120]", "[120, 80]"), ["tempo", "lower"]),
        (GOOD + "swing = 60\n", ["swing"]),
        (GOOD + "[feel]\nswing = 80\n", ["feel.swing", "80", "50 to 75"]),
        (GOOD + "[feel]\namount = nan\n", ["feel.amount", "nan", "0 to 100"]),
        (GOOD + "[feel]\nswing_unit = 'half'\n", ["feel.swing_unit", "half"]),
        (GOOD + "[feel]\nmodel = 'drunk'\n", ["feel.model", "drunk"]),
        (GOOD + "[feel]\nwobble = 3\n", ["feel", "wobble"]),
        (GOOD + "[feel]\npush_ms = { snare = 99 }\n", ["feel.push_ms.snare", "99", "-60 to 60"]),
        (GOOD + "[feel]\npush_ms = { snair = 9 }\n", ["feel.push_ms", "snair"]),
        (GOOD + "[feel.template]\nkick = [1, 2, 3]\n", ["feel.template.kick", "3 values", "16"]),
        (GOOD + "[feel.dynamics]\npull = 2\n", ["feel.dynamics.pull", "2", "0 to 1"]),
        (
            GOOD + "[feel.dynamics.levels]\nride = [0, 1, 1, 1]\n",
            ["feel.dynamics.levels.ride", "0", "1 to 127"],
        ),
        (GOOD + "[feel.ornaments]\nflams = 7\n", ["feel.ornaments.flams", "7", "0 to 1"]),
        (GOOD + 'groove = "g.toml"\n[feel]\nswing = 60\n', ["groove", "leave one of them out"]),
        (GOOD.replace('bank = "rock"', ""), ["bank"]),
        (GOOD.replace('"Mine"', "3"), ["title", "3", "str"]),
    ],
)
def test_a_wrong_style_file_is_told_by_file_key_and_value(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_styles(folder_with(tmp_path, mine=text))
    message = str(refused.value)
    assert "\n" not in message
    assert [part for part in ["mine.toml", *said] if part not in message] == []


def test_a_folder_of_ones_own_is_a_catalogue(tmp_path: Path) -> None:
    catalogue = load_styles(folder_with(tmp_path, mine=GOOD))
    assert catalogue.find("MINE").tempo == (Bpm(80), Bpm(120))


def test_no_name_means_two_styles(tmp_path: Path) -> None:
    twice = folder_with(tmp_path, one=GOOD + 'aliases = ["Two"]\n', two=GOOD)
    with pytest.raises(SettingsError, match="one and two are both called"):
        load_styles(twice)


def test_an_empty_catalogue_finds_nothing() -> None:
    with pytest.raises(StyleNotFoundError):
        StyleCatalogue(()).find("rock")


def test_a_groove_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml.*cannot be read"):
        load_styles(folder_with(tmp_path, mine=GOOD + 'groove = "nowhere.toml"\n'))


def test_a_style_without_a_feel_is_straight_and_human(tmp_path: Path) -> None:
    assert load_styles(folder_with(tmp_path, mine=GOOD)).find("mine").feel == Feel()


@pytest.mark.parametrize(
    ("name", "model", "swing"),
    [
        ("dilla", FeelModel.FROZEN, 57.1),
        ("questlove", FeelModel.HUMAN, 54),
        ("metro", FeelModel.TIGHT, 50),
        ("hiphop", FeelModel.HUMAN, 52.3),
        ("funk", FeelModel.HUMAN, 52.3),
        ("soul", FeelModel.HUMAN, 55.8),
        ("neworleans", FeelModel.HUMAN, 58.7),
        ("jazz", FeelModel.HUMAN, 62),
    ],
)
def test_styles_have_the_feel_that_is_known_of_them(
    name: str, model: FeelModel, swing: float
) -> None:
    feel = STYLES.find(name).feel
    assert (feel.model, feel.swing) == (model, swing)


def test_dilla_rushes_the_snare_and_drags_the_kick_and_questlove_lays_it_back() -> None:
    dilla, quest = (STYLES.find(name).feel for name in ("dilla", "quest"))
    assert -30 <= dilla.push_ms[Voice.SNARE] <= -8
    assert 0 < dilla.push_ms[Voice.KICK] <= 25
    assert dilla.swing_of(Voice.KICK) < dilla.swing_of(Voice.CLOSED_HAT)
    assert 10 <= quest.push_ms[Voice.SNARE] - quest.push_ms[Voice.CLOSED_HAT] <= 25
