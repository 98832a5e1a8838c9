"""``drumigen plot``: bars as a picture, of MIDI files or of styles, beside one another."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from drumigen.errors import PatternError
from drumigen.plot import Panel, piano_roll
from drumigen.units import Bpm
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_set, count
from drumigen_daemon.commands.output import STDOUT, say, write_output, wrote
from drumigen_daemon.commands.performance import read_performance
from drumigen_daemon.commands.render import at_home
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.generator.writers import make_writer
from drumigen_daemon.offline import planned_bars

PANELS_MAX: Final = 4


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("files", nargs="*", type=Path, metavar="FILE.mid", help="MIDI file to draw")
    to.add_argument(
        "--style",
        action="append",
        default=[],
        dest="styles",
        metavar="NAME",
        help="style to draw; again for another beside it",
    )
    to.add_argument("--bars", type=count(1), default=2, metavar="N", help="how many (2)")
    to.add_argument("--from", type=count(1), default=1, dest="first", metavar="N", help="bar (1)")
    to.add_argument("--bpm", "--tempo", metavar="BPM", help="tempo of styles, 20 to 400")
    to.add_argument("--metre", "--meter", metavar="N/D", help="metre of styles, such as 7/8")
    to.add_argument("--seed", metavar="N", help="the same seed plays the same song")
    to.add_argument("--kit", metavar="KIT", help="kit that files are read by")
    to.add_argument("--output", type=Path, metavar="FILE.svg", help="picture to write, or -")
    add_set(to)


def main(options: argparse.Namespace) -> int:
    """Draw what was asked for into one file."""
    if not 1 <= len(options.files) + len(options.styles) <= PANELS_MAX:
        message = (
            f"give one to {PANELS_MAX} MIDI files or styles, as in: drumigen plot --style funk"
        )
        raise PatternError(message)
    output = options.output or Path("drumigen.svg")
    if output != STDOUT and output.suffix.lower() != ".svg":
        message = f"{output}: pictures are written as .svg; a browser or rsvg-convert makes a PNG"
        raise PatternError(message)
    write_output(output, piano_roll(list(_panels(options))).encode())
    say(wrote(output), output)
    return 0


def _panels(options: argparse.Namespace) -> Iterator[Panel]:
    first = options.first - 1
    last = first + options.bars
    settings = settings_of(options)
    for path in options.files:
        read = read_performance(path, settings.output.kit)
        bars = read.played[first:last]
        if not bars:
            message = f"{path}: ends before bar {options.first}"
            raise PatternError(message)
        lines = read.lines[first : first + len(bars)]
        yield Panel(path.stem, bars, read.tempo_map, options.first, lines)
    for name in options.styles:
        style = known_styles().find(name)
        here = at_home(replace(settings, song=replace(settings.song, style=style.name)), options)
        session = here.session
        planned = planned_bars(session, make_writer(here.generator_setup), last)[first:]
        tempo = Bpm(session.parameters.tempo)
        yield Panel(
            f"{style.title}, {tempo:g} BPM", tuple(bar.bar for bar in planned), tempo, options.first
        )
