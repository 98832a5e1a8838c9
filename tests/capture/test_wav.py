"""Sound files: as loud as one another, never clipped, whole to the last stroke's decay."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyloudnorm import Meter as LoudnessMeter

from drumigen.drum_sound import DrumSound
from drumigen.kit import load_kit
from drumigen.midi.song import Marker, Note, Song, TempoMark
from drumigen.styles import load_styles
from drumigen.units import Bpm, Tick
from drumigen_daemon.capture.wav import (
    LOUDNESS,
    PEAK_MAX,
    gain_for,
    sounds_of,
    write_wav,
)
from drumigen_daemon.cli import main
from drumigen_daemon.sound.loudness import RATE
from wav_support import frames_of

STYLES = load_styles()


def song(*strokes: tuple[int, int, int], style: str = "rock") -> Song:
    notes = tuple(Note(Tick(tick), 9, key, velocity, 60) for tick, key, velocity in strokes)
    return Song(notes, (TempoMark.of(Bpm(120)),), markers=(Marker(Tick(0), style),))


QUIET = tuple((960 * step, 42, 20) for step in range(16))
LOUD = tuple((960 * step, key, 127) for step in range(16) for key in (35, 38, 49))


def written(folder: Path, made: Song) -> NDArray[np.float32]:
    write_wav(made, load_kit(), folder / "made.wav", styles=STYLES)
    return frames_of(folder / "made.wav")


def loudness(sound: NDArray[np.float32]) -> float:
    return float(LoudnessMeter(RATE).integrated_loudness(sound))


def test_a_quiet_song_is_as_loud_as_a_loud_one_and_none_is_clipped(tmp_path: Path) -> None:
    for strokes in (QUIET, LOUD):
        sound = written(tmp_path, song(*strokes))
        assert loudness(sound) == pytest.approx(LOUDNESS, abs=1.5)
        assert np.abs(sound).max() <= PEAK_MAX + 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES.names)
def test_every_style_is_as_loud_as_the_others(
    style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 3 LU of each other: each within 1.5 of what is aimed at."""
    monkeypatch.chdir(tmp_path)
    writer = ["--set", "generator.writer=bank"]
    given = ["render", "--style", style, "--bars", "6", "--output", "a.mid", "--wav", *writer]
    assert main(given) == 0
    sound = frames_of(tmp_path / "a.wav")
    assert loudness(sound) == pytest.approx(LOUDNESS, abs=1.5)
    assert np.abs(sound).max() <= PEAK_MAX + 1e-3


def test_the_file_ends_when_the_last_stroke_has_died_away(tmp_path: Path) -> None:
    sound = written(tmp_path, song((0, 36, 100), (1920, 49, 110)))
    struck = RATE // 2
    assert len(sound) > struck + RATE // 2
    assert np.abs(sound[-RATE // 50 :]).max() < np.abs(sound).max() / 300
    assert np.abs(sound[-1]).max() < np.abs(sound).max() / 1000


def test_what_lies_before_and_between_strokes_is_kept(tmp_path: Path) -> None:
    sound = written(tmp_path, song((3840, 38, 100), (3840 * 6, 38, 100)))
    loud = np.nonzero(np.abs(sound).max(axis=1) > 0.05)[0] / RATE
    assert loud[0] == pytest.approx(1.0, abs=0.01)
    assert loud[loud > 3.0][0] == pytest.approx(6.0, abs=0.01)


def test_a_style_sounds_on_its_own_drums(tmp_path: Path) -> None:
    plain = written(tmp_path, song((0, 36, 100), style="funk"))
    trap = written(tmp_path, song((0, 36, 100), style="metro_boomin"))
    assert abs(len(plain) - len(trap)) > 0 or not np.allclose(plain, trap)


def test_the_drums_change_where_the_style_does() -> None:
    markers = (
        Marker(Tick(0), "jazz"),
        Marker(Tick(7680), "jazz fill"),
        Marker(Tick(15_360), "metro_boomin (bank)"),
        Marker(Tick(23_040), "no such style"),
    )
    made = Song(markers=markers)
    assert list(sounds_of(made, STYLES)) == [(0, DrumSound.JAZZ), (15_360, DrumSound.TR_808)]


def test_silence_is_left_silent() -> None:
    assert gain_for(float("-inf"), 0.0) == 1.0


def test_progress_is_told_and_ends_at_the_whole(tmp_path: Path) -> None:
    shares: list[float] = []
    write_wav(song(*LOUD), load_kit(), tmp_path / "made.wav", shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_another_sound_font_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["render", "--bars", "1", "--output", "a.mid", "--wav", "--set", "sound.font=no.sf2"]
    assert main(given) == 1
    assert "no.sf2" in capsys.readouterr().err
