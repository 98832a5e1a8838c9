"""``drumigen play`` on a real PipeWire: what a sink is given, recorded, holds the song in time."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice, pairwise
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
DRUMIGEN = (sys.executable, "-u", "-m", "drumigen_daemon")
PLAY = (*DRUMIGEN, "play", "--backend", "null", "--set", "web.port=0")
LINES_MOST = 60
"""Lines, nearly all of them bars, in which something must be said."""
APART = 0.045
"""Seconds: three of a roll's."""
TOGETHER = 0.01
"""Seconds."""
WINDOW = RATE // 20
FAR, CLOSE = RATE // 5, RATE // 60


@pytest.fixture
def sink(pipewire: PipeWire) -> PipeWire:
    pipewire.start_pulse()
    return pipewire


def play(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PLAY, *options],
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


@dataclass(frozen=True)
class Heard:
    """A song, and what a sink was given when it was played."""

    struck: list[float]
    """Seconds from the beginning at which strokes leave."""
    sound: NDArray[np.float32]
    late: list[float]
    """By how many seconds strokes are heard late, those that can be told from others."""
    clear: int
    """How many can be told from others."""


def heard(sink: PipeWire, folder: Path, *song: str) -> Heard:
    with sink.driver(SINK), sink.recording(SINK, folder / "heard.wav"):
        done = play(folder, *song, "--output", "song.mid")
    assert done.returncode == 0, done.stderr
    assert "FluidSynth through PulseAudio" in done.stdout
    played = read_song(folder / "song.mid")
    write_wav(played, load_kit(), folder / "reference.wav", styles=load_styles())
    sound = floats_of(folder / "heard.wav").mean(axis=1)
    reference = frames_of(folder / "reference.wav").mean(axis=1)
    struck = sorted({played.tempo_map.seconds_at(note.tick) for note in played.notes})
    # drums that are struck together are one sound, and in a roll one stroke is like the next
    sounds = [at for before, at in pairwise([-1.0, *struck]) if at - before > TOGETHER]
    strokes = [
        at for at in sounds if all(at == other or abs(at - other) > APART for other in sounds)
    ]
    assert len(strokes) > len(sounds) / 2
    return Heard(struck, sound, lags(sound, reference, strokes), len(strokes))


def test_the_recording_of_a_sink_has_the_hits_on_time_from_the_first_to_the_last(
    sink: PipeWire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so much that a machine with other work to do loses none of the sound
    monkeypatch.setenv("PULSE_LATENCY_MSEC", "500")
    sink.force_quantum(4096)
    found = heard(sink, tmp_path, *SONG)
    assert len(found.late) > found.clear / 2
    # now and then a soft stroke is taken for another near it; what is late makes all after it late
    off = [lag for lag in found.late if abs(lag) >= NEAR]
    assert len(off) <= len(found.late) / 20, (off, found)

    # its end is the last stroke's decay: after it nothing is struck, and nothing is cut off
    sound = found.sound
    loud = np.nonzero(np.abs(sound) > np.abs(sound).max() / 1000)[0]
    begun = loud[0] / RATE
    assert found.struck[-1] + 0.3 < loud[-1] / RATE - begun < found.struck[-1] + 6.0
    assert np.abs(sound[loud[-1] + 1 :]).max(initial=0.0) < np.abs(sound).max() / 1000


def test_with_the_buffers_of_a_desktop_the_hits_are_on_time(sink: PipeWire, tmp_path: Path) -> None:
    """Nothing is set; where the machine lost some of the sound, what follows is on time again."""
    found = heard(sink, tmp_path, "--style", "metro", "--bars", "4")
    assert len(found.late) > found.clear / 2
    off = [lag for lag in found.late if abs(lag) >= NEAR]
    assert len(off) <= len(found.late) / 10, (off, found)


def test_a_sound_server_that_hangs_stops_no_beat_and_who_listens_is_told(
    sink: PipeWire, tmp_path: Path
) -> None:
    def until(said: str) -> None:
        assert playing.stdout is not None
        for line in islice(playing.stdout, LINES_MOST):
            read.append(line)
            if said in line:
                return
        playing.kill()
        pytest.fail(f"it never said {said!r}, but {read}")

    read: list[str] = []
    song = tmp_path / "song.mid"
    options = ("--bars", "0", "--bpm", "160", "--output", str(song))
    with (
        sink.driver(SINK),
        subprocess.Popen(
            [*PLAY, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as playing,
    ):
        until("FluidSynth through PulseAudio")
        until("bar 2 ")
        sink.pulse.send_signal(signal.SIGSTOP)
        until("PulseAudio takes no sound any more")
        until("bar 6 ")
        until("hangs: replacing it")
        until("bar ")
        until("bar ")
        assert "sound   none live: " in status()
        sink.pulse.send_signal(signal.SIGCONT)
        bars_before = len(read)
        while "FluidSynth through PulseAudio" not in status():
            until("bar ")
            assert len(read) < bars_before + LINES_MOST
        playing.send_signal(signal.SIGINT)
        until("wrote")
        assert playing.wait(30) == 0
    bars = [int(line.split()[1]) for line in read if line.startswith("bar ")]
    assert bars == list(range(1, len(bars) + 1))
    struck = {note.tick // 7680 for note in read_song(song).notes}
    assert struck >= set(range(len(bars) - 1))


def status() -> str:
    return subprocess.run([*DRUMIGEN, "status"], capture_output=True, text=True, check=True).stdout


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
