"""Our measure against pyloudnorm's, and against what the standard says of a tone."""

import numpy as np
import pytest
from pyloudnorm import Meter

from drumigen_daemon.sound.loudness import RATE, SILENT_DB, Loudness, Sound, energy, pieces


def measured(sound: Sound, piece: int = RATE) -> float:
    loudness = Loudness()
    for part in pieces(sound, piece):
        loudness.hear(part)
    return loudness.integrated()


def bursts(seconds: float, seed: int = 1) -> Sound:
    draw = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    shape = np.exp(-8 * (np.arange(frames) / RATE % 0.5))
    return (draw.standard_normal((frames, 2)) * 0.2 * shape[:, None]).astype(np.float32)


@pytest.mark.parametrize("seconds", [1.0, 7.3, 31.0])
def test_it_agrees_with_a_well_kept_meter(seconds: float) -> None:
    sound = bursts(seconds)
    assert measured(sound) == pytest.approx(Meter(RATE).integrated_loudness(sound), abs=0.1)


def test_silence_before_and_after_does_not_count() -> None:
    silence = np.zeros((10 * RATE, 2), np.float32)
    sound = bursts(5.0)
    whole = np.concatenate((silence, sound, silence))
    assert measured(whole) == pytest.approx(measured(sound), abs=0.3)


def test_a_full_scale_tone_in_one_channel_has_the_loudness_that_the_standard_gives() -> None:
    """BS.1770-4, annex 1: a 0 dBFS sine of 997 Hz on the left reads -3.01 LKFS."""
    tone = np.zeros((5 * RATE, 2), np.float32)
    tone[:, 0] = np.sin(2 * np.pi * 997 * np.arange(5 * RATE) / RATE)
    assert measured(tone) == pytest.approx(-3.01, abs=0.02)


def test_the_size_of_the_pieces_does_not_matter() -> None:
    sound = bursts(4.0)
    assert measured(sound, 997) == pytest.approx(measured(sound, len(sound)), abs=1e-6)


def test_silence_has_no_loudness() -> None:
    assert measured(np.zeros((RATE, 2), np.float32)) == SILENT_DB
    assert measured(np.zeros((0, 2), np.float32)) == SILENT_DB


def test_the_energy_of_a_stroke_is_its_mean_power_times_its_length() -> None:
    seconds = 0.4
    sound = bursts(seconds)
    silence = np.zeros((RATE, 2), np.float32)
    power = 10 ** ((measured(sound) + 0.691) / 10)
    assert energy(sound) == pytest.approx(power * seconds, rel=0.02)
    assert energy(np.concatenate((sound, silence))) == pytest.approx(energy(sound), rel=0.02)
    assert energy(2 * sound) == pytest.approx(4 * energy(sound), rel=1e-3)
