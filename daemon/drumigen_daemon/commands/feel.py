"""``drumigen eval --feel``: what the humanizer makes of each style, measured."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from drumigen.checkpoint import Checkpoint, load_model
from drumigen.pattern import Bar
from drumigen.styles import Style
from drumigen.training.feel import feel_report
from drumigen.training.feel_players import BarsOf
from drumigen.training.performance import perform
from drumigen.training.takes import Take
from drumigen.units import Bpm
from drumigen_daemon.values import shipped_styles

BARS: Final = 64
"""To a take: 60 s and more up to 250 BPM, as lag-1 and DFA want."""


def main(options: argparse.Namespace) -> int:
    """Print the figures of all styles, on bars of the model or of the bank."""
    styles = list(shipped_styles())
    seeds = range(options.seed, options.seed + options.seeds)
    source: BarsOf | None = None
    if not options.bank:
        checkpoint = load_model(options.model, "cpu")
        styles = [style for style in styles if style.name in checkpoint.config.styles]
        source = _performed(checkpoint, styles, seeds)
    report = feel_report(styles, source, seeds=seeds, bars=BARS)
    sys.stdout.write(report.table() + "\n")
    sys.stdout.writelines(f"missed: {miss}\n" for miss in report.misses)
    return 1 if options.strict and report.misses else 0


def _performed(checkpoint: Checkpoint, styles: Sequence[Style], seeds: Sequence[int]) -> BarsOf:
    """Return the model's bars, all styles of a seed written in one batch."""
    wanted = [Take(style.name, style.name, "", Bpm(sum(style.tempo) / 2), ()) for style in styles]
    takes = {
        (take.style, seed): take.bars
        for seed in seeds
        for take in perform(checkpoint, wanted, seed, BARS)
    }

    def bars_of(style: Style, seed: int, count: int) -> Sequence[Bar]:
        return takes[style.name, seed][:count]

    return bars_of
