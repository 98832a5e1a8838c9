"""``drumigen play`` on a real PipeWire: what a sink is given, recorded, holds the song in time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drumigen.kit import load_kit
from drumigen.midi.file import read_song
from drumigen.styles import load_styles
from drumigen_daemon.capture.wav import write_wav
from fixtures_pipewire import PipeWire, pipewire
from wav_support import floats_of, frames_of

__all__ = ["pipewire"]

pytestmark = pytest.mark.pipewire

RATE = 48_000
SINK = "test-sink"
NEAR = 0.005
"""Seconds: two of FluidSynth's blocks, and what a clock is corrected by in a few bars."""
SONG = ("--style", "metro", "--bars", "4", "--set", "sound.delay_ms=500")
APART = 0.045
"""Seconds: three of a roll's."""
WINDOW = RATE // 20
FAR, CLOSE = RATE // 5, RATE // 60


@pytest.fixture
def sink(pipewire: PipeWire, monkeypatch: pytest.MonkeyPatch) -> PipeWire:
    pipewire.start_pulse()
    # so much that a machine with other work to do loses none of the sound
    monkeypatch.setenv("PULSE_LATENCY_MSEC", "500")
    return pipewire


def play(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drumigen_daemon", "play", "--backend", "null"]
    return subprocess.run(
        [*command, "--set", "web.port=0", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def lags(
    heard: NDArray[np.float32], reference: NDArray[np.float32], strokes: list[float]
) -> list[float]:
    """Return by how many seconds each stroke of the reference is heard late, where it is heard.

    First all of them are looked for far and wide; then each near where most were found, for in a
    roll one stroke is like the next.
    """
    heard, reference = np.diff(heard), np.diff(reference)
    first = int(np.nonzero(np.abs(heard) > 0.0005)[0][0])
    base = first - int(np.nonzero(np.abs(reference) > 0.0005)[0][0])
    coarse = [_found(heard, reference, base, stroke, FAR) for stroke in strokes]
    base += round(RATE * float(np.median([lag for lag in coarse if lag is not None])))
    fine = [_found(heard, reference, base, stroke, CLOSE) for stroke in strokes]
    return [lag for lag in fine if lag is not None]


def _found(
    heard: NDArray[np.float32],
    reference: NDArray[np.float32],
    base: int,
    stroke: float,
    reach: int,
) -> float | None:
    at = max(0, int(stroke * RATE) - 200)
    pattern = reference[at : at + WINDOW]
    begin = max(0, base + at - reach)
    searched = heard[begin : base + at + WINDOW + reach]
    likeness = np.correlate(searched, pattern, "valid")
    power = np.convolve(searched**2, np.ones(len(pattern)), "valid") * (pattern**2).sum()
    likeness /= np.sqrt(np.maximum(power, 1e-12))
    best = int(likeness.argmax())
    return (begin + best - base - at) / RATE if likeness[best] > 0.9 else None


def test_the_recording_of_a_sink_has_the_hits_on_time_from_the_first_to_the_last(
    sink: PipeWire, tmp_path: Path
) -> None:
    with sink.driver(SINK):
        sink.force_quantum(4096)
        with sink.recording(SINK, tmp_path / "heard.wav"):
            done = play(tmp_path, *SONG, "--output", "song.mid")
    assert done.returncode == 0, done.stderr
    assert "FluidSynth through PulseAudio" in done.stdout
    assert "TR 808" in done.stdout

    song = read_song(tmp_path / "song.mid")
    write_wav(song, load_kit(), tmp_path / "reference.wav", styles=load_styles())
    heard = floats_of(tmp_path / "heard.wav").mean(axis=1)
    reference = frames_of(tmp_path / "reference.wav").mean(axis=1)
    struck = sorted({song.tempo_map.seconds_at(note.tick) for note in song.notes})
    # in a roll one stroke is like the next
    strokes = [
        at for at in struck if all(at == other or abs(at - other) > APART for other in struck)
    ]
    assert len(strokes) > len(struck) / 2

    found = lags(heard, reference, strokes)
    assert len(found) > len(strokes) / 2
    # now and then a soft stroke is taken for another near it; what is late makes all after it late
    off = [lag for lag in found if abs(lag) >= NEAR]
    assert len(off) <= len(found) / 20, (off, found)

    # its end is the last stroke's decay: after it nothing is struck, and nothing is cut off
    loud = np.nonzero(np.abs(heard) > np.abs(heard).max() / 1000)[0]
    begun = loud[0] / RATE
    assert struck[-1] + 0.3 < loud[-1] / RATE - begun < struck[-1] + 6.0
    assert np.abs(heard[loud[-1] + 1 :]).max(initial=0.0) < np.abs(heard).max() / 1000


def test_without_a_sound_server_one_line_says_what_is_done_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "nobody")
    monkeypatch.delenv("PULSE_SERVER", raising=False)
    done = play(tmp_path, "--bars", "1", "--output", "song.mid", "--wav", "song.wav")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("sound: ")]
    assert "no sound server" in line
    assert "song.wav" in line
