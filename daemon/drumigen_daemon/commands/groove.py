"""``drumigen groove extract``: the feel of a performance, as a file that a style can use."""

import argparse

from drumigen.feel.groove import extract, groove_toml
from drumigen.text import counted
from drumigen_daemon.commands.output import say, write_output, wrote
from drumigen_daemon.commands.performance import read_performance, tempo_text


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
