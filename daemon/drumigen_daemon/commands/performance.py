"""A MIDI file that a command was given, read as a performance; what is odd about it is said."""

from pathlib import Path

from drumigen.kit import load_kit
from drumigen.midi.file import read_song
from drumigen.midi.song import Transcription, transcribed
from drumigen_daemon.commands.output import warn


def read_performance(path: Path, kit: str) -> Transcription:
    """Return the bars of ``path`` by the map of ``kit``; say on stderr what was passed over.

    Raises:
        DrumigenError: file or kit cannot be read; one line.
    """
    drums = load_kit(kit)
    song = read_song(path)
    read = transcribed(song, drums)
    for odd in (*song.odd, read.losses()):
        if odd:
            warn(f"{path}: {odd}")
    return read


def tempo_text(read: Transcription) -> str:
    """Return the tempo of what is played, or its range: ``90 BPM``, ``90-180 BPM``."""
    low, high = (f"{tempo:.2f}".rstrip("0").rstrip(".") for tempo in read.tempo_range)
    return f"{low} BPM" if low == high else f"{low}-{high} BPM"
