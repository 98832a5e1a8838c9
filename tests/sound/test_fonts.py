from pathlib import Path

import pytest

from drumigen_daemon.sound.fonts import sound_font


def font(folder: Path, name: str, size: int = 10) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(bytes(size))
    return path


def test_the_better_of_the_installed_fonts_is_taken(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    font(one, "TimGM6mb.sf2", 60)
    better = font(other, "FluidR3_GM.sf2", 10)
    assert sound_font("", (str(one), str(other))) == better


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "fonts"
    good = font(elsewhere, "FluidR3_GM.sf2")
    font(folder, "TimGM6mb.sf2")
    (folder / "default-GM.sf2").symlink_to(good)
    assert sound_font("", (str(folder),)) == folder / "default-GM.sf2"


def test_a_font_that_may_have_no_drums_is_taken_last(tmp_path: Path) -> None:
    font(tmp_path, "SteinwayGrand.sf2", 1000)
    assert sound_font("", (str(tmp_path),)) == tmp_path / "SteinwayGrand.sf2"
    known = font(tmp_path, "TimGM6mb.sf2")
    assert sound_font("", (str(tmp_path),)) == known


@pytest.mark.parametrize("there", [True, False])
def test_the_font_that_is_asked_for_is_taken_or_none(tmp_path: Path, *, there: bool) -> None:
    font(tmp_path, "TimGM6mb.sf2")
    wanted = tmp_path / "mine.sf2"
    if there:
        font(tmp_path, "mine.sf2")
    assert sound_font(str(wanted), (str(tmp_path),)) == (wanted if there else None)


def test_without_folders_there_is_none(tmp_path: Path) -> None:
    assert sound_font("", (str(tmp_path / "nowhere"),)) is None
