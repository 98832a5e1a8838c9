"""``drumigen groove extract``: the feel of a performance, as a file that a style can use."""

import argparse
import sys

from drumigen.errors import MidiFileError
from drumigen.feel.groove import extract, groove_toml
from drumigen.kit import load_kit
from drumigen.midi.file import bars_from_song, read_song


def main(options: argparse.Namespace) -> int:
    """Write the groove of one file."""
    song = read_song(options.file)
    bars = bars_from_song(song, load_kit(options.kit))
    feel = extract(bars, song.tempo)
    output = options.output or options.file.with_suffix(".groove.toml")
    try:
        output.write_text(groove_toml(feel, options.file.name), encoding="utf-8")
    except OSError as failure:
        message = f"{output}: cannot be written ({failure.strerror}); check folder and permissions"
        raise MidiFileError(message) from failure
    sys.stdout.write(
        f"wrote {output}: {feel.model}, {feel.swing_unit} swing {feel.swing:g} %, "
        f"{feel.template_bars}-bar template of {len(bars)} bars at {song.tempo:g} BPM\n"
    )
    return 0
