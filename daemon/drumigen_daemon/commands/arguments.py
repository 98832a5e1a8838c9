"""Arguments that several commands take, and the readers of their values."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

ARGUMENT_COUNT_MAX: Final = 100_000
SOUND_SUFFIXES: Final = frozenset((".wav", ".mp3", ".ogg", ".flac", ".aif", ".aiff", ".m4a"))
LIKE_MIDI: Final = Path()
"""Stands for the name of a sound file that was not given."""
RANDOM_SEED_MAX: Final = 2**32 - 1


def add_set(to: argparse.ArgumentParser) -> None:
    """Add ``--set``: any setting."""
    to.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="any other setting"
    )


def add_song_flags(to: argparse.ArgumentParser) -> None:
    """Add what says which song is played."""
    to.add_argument("--style", metavar="NAME", help="style, by name, alias or path")
    to.add_argument("--bpm", "--tempo", metavar="BPM", help="tempo, 20 to 400")
    to.add_argument("--metre", "--meter", metavar="N/D", help="metre, such as 7/8")
    to.add_argument("--seed", metavar="N", help="the same seed plays the same song")
    to.add_argument("--kit", metavar="KIT", help="kit, by name or path of a .toml file")
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint that writes the bars")
    add_set(to)


def add_file_flags(to: argparse.ArgumentParser) -> None:
    """Add what says which files are written."""
    to.add_argument(
        "--output",
        type=_midi_file,
        metavar="FILE.mid",
        help="MIDI file to write; - for standard output",
    )
    to.add_argument(
        "--wav",
        type=_wav_file,
        nargs="?",
        const=LIKE_MIDI,
        metavar="FILE.wav",
        help="also render it by FluidSynth; without a name it is called like the MIDI file",
    )


def _midi_file(value: str) -> Path:
    path = Path(value)
    if path.suffix.lower() in SOUND_SUFFIXES:
        message = f"{value!r} would be a MIDI file: name it .mid, and give sound to --wav"
        raise argparse.ArgumentTypeError(message)
    return path


def _wav_file(value: str) -> Path:
    path = Path(value)
    if path.suffix.lower() != ".wav":
        message = f"{value!r} is not allowed: sound is written as .wav; ffmpeg makes MP3 of it"
        raise argparse.ArgumentTypeError(message)
    return path


def count(low: int, high: int = ARGUMENT_COUNT_MAX) -> Callable[[str], int]:
    """Return the reader of a whole number from ``low`` to ``high``."""

    def whole(value: str) -> int:
        try:
            given = int(value)
        except ValueError:
            given = low - 1
        if not low <= given <= high:
            message = f"{value[:40]!r} is not allowed: use a whole number from {low} to {high}"
            raise argparse.ArgumentTypeError(message)
        return given

    return whole


def number_between(low: float, high: float) -> Callable[[str], float]:
    """Return the reader of a number from ``low`` to ``high``."""

    def read(value: str) -> float:
        try:
            given = float(value)
        except ValueError:
            given = math.nan
        if not low <= given <= high:
            message = f"{value[:40]!r} is not allowed: use a number from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(message)
        return given

    return read


def add_socket(to: argparse.ArgumentParser) -> None:
    """Add the socket of the daemon that is spoken to."""
    to.add_argument("--socket", metavar="PATH", help="local socket of the daemon")
