"""``drumigen groove extract``: the feel of a performance, as a file that a style can use."""

import argparse
from pathlib import Path

from drumigen.feel.groove import extract, groove_toml
from drumigen.text import counted
from drumigen_daemon.commands.output import say, write_output, wrote
from drumigen_daemon.commands.performance import read_performance, tempo_text


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("action", choices=("extract",))
    to.add_argument("file", type=Path, metavar="FILE.mid", help="performance, in one metre")
    to.add_argument("--kit", default="gm", metavar="KIT", help="kit that it is read by")
    to.add_argument("--output", type=Path, metavar="FILE.toml", help="groove to write, or -")


def main(options: argparse.Namespace) -> int:
    """Write the groove of one file."""
    read = read_performance(options.file, options.kit)
    bars = read.played
    feel = extract(bars, read.tempo_map, read.lines[: len(bars)])
    output = options.output or options.file.with_suffix(".groove.toml")
    write_output(output, groove_toml(feel, options.file.name).encode())
    text = (
        f"{feel.model}, {feel.swing_unit} swing {feel.swing:g} %, "
        f"{feel.template_bars}-bar template of {counted(len(bars), 'bar')} at {tempo_text(read)}"
    )
    say(wrote(output, text), output)
    return 0
