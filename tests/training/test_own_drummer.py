"""A drummer of one's own, from a folder of takes to the stage."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drumigen.kit import load_kit
from drumigen.midi.file import write_song
from drumigen.midi.song import song_from_bars
from drumigen.model.learnt_styles import learnt_styles
from drumigen.model.mock import create_mock_checkpoint, mock_bar
from drumigen.model.network import ModelConfig
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen.training.style_notes import style_notes
from drumigen.training.takes import Take
from drumigen.units import Bpm, Tick
from drumigen_daemon.commands.evaluate import played_takes
from drumigen_daemon.controls.values import use_styles


def swung(by: int) -> Bar:
    """Return the mock's bar in sixteenths, those off the eighth late by ``by`` ticks."""
    bar = mock_bar(Meter())
    hats = [
        replace(hit, tick=Tick(hit.tick + 480), offset=by) for hit in bar.hits if hit.velocity < 80
    ]
    return Bar(bar.meter, tuple(sorted((*bar.hits, *hats), key=lambda hit: (hit.tick, hit.voice))))


def take(style: str, tempo: float, *, split: str = "train", by: int = 96) -> Take:
    return Take(f"{style}/{tempo}", style, "", Bpm(tempo), (swung(by),) * 16, split)


def test_a_checkpoint_says_how_fast_a_new_style_is_and_how_it_swings() -> None:
    takes = [
        take("mine", 88.4),
        take("mine", 97),
        take("rock", 120),
        take("late", 90, split="test"),
    ]
    notes = style_notes(takes, ("rock",))
    assert list(notes) == ["mine"]
    assert notes["mine"]["tempo"] == [88, 97]
    assert notes["mine"]["feel"]["swing"] == pytest.approx(60, abs=1)
    assert notes["mine"]["feel"]["swing_unit"] == "sixteenth"


def test_what_is_noted_of_a_style_is_what_the_catalogue_reads(tmp_path: Path) -> None:
    notes = {"styles": style_notes([take("mine", 88.4)], ()), "takes": {"mine": 1}}
    config = ModelConfig(("mine",), width=24, layers=1, heads=2, kv_heads=1, detail_width=16)
    (style,) = learnt_styles(create_mock_checkpoint(tmp_path / "own.safetensors", config, notes))
    assert (style.name, style.tempo) == ("mine", (Bpm(88), Bpm(89)))
    assert style.feel.swing == pytest.approx(60, abs=1)


def test_what_an_own_drummer_plays_is_judged_in_a_style_that_nobody_knew(tmp_path: Path) -> None:
    notes = {"styles": style_notes([take("mine", 88.4)], ()), "takes": {"mine": 1}}
    config = ModelConfig(("mine",), width=24, layers=1, heads=2, kv_heads=1, detail_width=16)
    model = create_mock_checkpoint(tmp_path / "own.safetensors", config, notes)
    try:
        (played,) = played_takes(model, [take("mine", 88.4)], 1, count=1, bars=2)
    finally:
        use_styles(None, None)
    assert (played.style, len(played.bars)) == ("mine", 2)
    assert any(bar.hits for bar in played.bars)


def test_a_style_without_a_stroke_is_not_described() -> None:
    silent = Take("s/1", "s", "", Bpm(100), (Bar(Meter()),) * 4)
    assert style_notes([silent], ()) == {}


def drumigen(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "drumigen_daemon.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.process
def test_from_a_folder_of_takes_to_playing_a_style_that_nobody_knew(tmp_path: Path) -> None:
    folder = tmp_path / "takes" / "My Style"
    folder.mkdir(parents=True)
    for number in range(6):
        song = song_from_bars([swung(90 + number)] * 12, load_kit(), Bpm(90.0 + number), "take")
        write_song(song, folder / f"{number}.mid")
    sizes = ("--width", "24", "--layers", "1", "--heads", "2", "--hidden", "16")
    told = drumigen(tmp_path, "train", "takes", "--device", "cpu", "--epochs", "1", *sizes)
    assert "drumigen play --model training/drummer.safetensors --style" in told
    (style,) = learnt_styles(tmp_path / "training" / "drummer.safetensors")
    model = ("--model", "training/drummer.safetensors")
    drumigen(tmp_path, "render", *model, "--style", "mystyle", "--bars", "2", "--output", "a.mid")
    assert (tmp_path / "a.mid").is_file()
    assert style.name in drumigen(tmp_path, "styles", *model)
    assert style.title in drumigen(tmp_path, "styles", "my style", *model)
    drumigen(
        tmp_path, "play", *model, "--style", "mystyle", "--bars", "1", "--bpm", "300",
        "--backend", "null", "--output", "b.mid",
    )  # fmt: skip
