"""``drumigen eval``: a checkpoint held against human takes; one command for the README's table."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from drumigen.bank.grammars import PERFORMERS
from drumigen.errors import CorpusError
from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.training.evaluation import Generated, evaluate, like
from drumigen.training.free_running import perform
from drumigen.training.producers import producer_takes
from drumigen.training.takes import Take, read_takes
from drumigen.training.teacher_forcing import teacher_forced
from drumigen.units import Bpm
from drumigen_daemon.commands.train import say_how_read
from drumigen_daemon.controls.values import shipped_styles

TAKES = 80
BARS = 16
PRODUCER_TAKES = 8
LONG_TAKES = 6
LONG_BARS = 64


def main(options: argparse.Namespace) -> int:
    """Print the report."""
    if options.folder is None:
        message = "give the folder of human takes to be judged by, such as the Groove MIDI Dataset"
        raise CorpusError(message)
    say_how_read(options.folder)
    checkpoint = load_model(options.model, "cpu")
    takes = read_takes(options.folder)
    train, human = (_of(takes, split, options.folder) for split in ("train", options.split))
    seeds = range(options.seed, options.seed + options.seeds)
    known = [take for take in human if take.style in checkpoint.learnt]
    generated = Generated(
        {seed: perform(checkpoint, like(known, TAKES, seed), seed, BARS) for seed in seeds},
        # they are told apart across seeds, so there are two at least
        {
            seed: list(_producers(checkpoint, seed))
            for seed in (*seeds, seeds.stop)[: max(2, len(seeds))]
        },
        perform(checkpoint, like(known, LONG_TAKES, options.seed), options.seed + 1, LONG_BARS),
    )
    corpus = producer_takes([take for take in takes if take.split != "test"], 1)
    teacher = teacher_forced(checkpoint, [take for take in known if not take.fill])
    report = evaluate(known, train, generated, corpus, teacher)
    sys.stdout.write(report.text() + "\n")
    return 1 if options.strict and report.missed else 0


def _of(takes: Sequence[Take], split: str, folder: Path) -> list[Take]:
    found = [take for take in takes if take.split == split]
    if not found:
        message = f"{folder}: no takes of {split}: add files, or judge by another --split"
        raise CorpusError(message)
    return found


def _producers(checkpoint: Checkpoint, seed: int) -> Iterator[Take]:
    wanted: Sequence[Take] = [
        Take(f"{style}/{number}", style, "", tempo, ())
        for style in PERFORMERS
        if style in checkpoint.learnt
        for number, tempo in enumerate(_tempi(style))
    ]
    for take in perform(checkpoint, wanted, 100 + seed, BARS):
        yield replace(take, split="generated")


def _tempi(style: str) -> list[Bpm]:
    low, high = shipped_styles().find(style).tempo
    return [
        Bpm(low + (high - low) * number / (PRODUCER_TAKES - 1)) for number in range(PRODUCER_TAKES)
    ]
