"""``drumigen eval --feel``: what the humanizer makes of each style, measured."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from drumigen.model.network import CONTEXT_BARS
from drumigen.pattern import Bar
from drumigen.styles import Style
from drumigen.timeline import Meter
from drumigen.training.feel_evaluation import BarsOf, feel_report
from drumigen.units import Bpm
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.generator.messages import BarRequest, Item, WrittenBar
from drumigen_daemon.generator.model_writer import ModelWriter

FEEL_BARS: Final = 64
"""To a take: 60 s and more up to 250 BPM, as lag-1 and DFA want."""
FEEL_FILL_EVERY: Final = 8


def main(options: argparse.Namespace) -> int:
    """Print the figures of all styles, on bars of the model or of the bank."""
    styles = list(known_styles())
    seeds = range(options.seed, options.seed + options.seeds)
    source = None if options.bank else _by(ModelWriter(options.model))
    report = feel_report(styles, source, seeds=seeds, bars=FEEL_BARS)
    sys.stdout.write(report.table() + "\n")
    sys.stdout.writelines(f"missed: {miss}\n" for miss in report.misses)
    return 1 if options.strict and report.misses else 0


def _by(writer: ModelWriter) -> BarsOf:
    def bars_of(style: Style, seed: int, count: int) -> Sequence[Bar]:
        return tuple(_performed(writer, style, seed, count))

    return bars_of


def _performed(writer: ModelWriter, style: Style, seed: int, count: int) -> Iterator[Bar]:
    """Yield the model's bars as the daemon has them before they get their feel."""
    tempo = Bpm(sum(style.tempo) / 2)
    line: list[WrittenBar] = []
    for number in range(count):
        fill, after = (n % FEEL_FILL_EVERY == FEEL_FILL_EVERY - 1 for n in (number, number - 1))
        request = BarRequest(style.name, number, Meter(), seed, fill, number > 0 and after)
        (bar,) = writer.write([Item(request, tuple(line[-CONTEXT_BARS:]))], tempo)
        line.append(WrittenBar(request, bar))
        yield bar
