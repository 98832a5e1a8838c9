"""``drumigen eval``: a checkpoint held against human takes; one command for the README's table."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from drumigen.bank.grammars import PERFORMERS
from drumigen.errors import CorpusError
from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.training.classifiers import FOLDS
from drumigen.training.declipping import declipped
from drumigen.training.evaluation import Generated, evaluate, like
from drumigen.training.free_running import perform
from drumigen.training.groove_measures import groove_takes
from drumigen.training.played_evaluation import judge_played
from drumigen.training.producers import producer_takes
from drumigen.training.takes import Take, read_takes
from drumigen.training.teacher_forcing import teacher_forced
from drumigen.units import Bpm
from drumigen_daemon.commands.train import say_how_read
from drumigen_daemon.controls.values import known_styles, use_styles
from drumigen_daemon.engine.messages import EngineParameters
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.offline import planned_songs
from drumigen_daemon.session import Session

TAKES = 80
EVAL_BARS = 16
PRODUCER_TAKES = 8
LONG_TAKES = 6
LONG_BARS = 64
PLAYED_TAKES = 60
PLAYED_BARS = 32
TOGETHER = 20
"""Songs that are written together: more would not be remembered as they are read."""


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
        {seed: perform(checkpoint, like(known, TAKES, seed), seed, EVAL_BARS) for seed in seeds},
        # they are told apart across seeds, so there are two at least
        {
            seed: list(_producers(checkpoint, seed))
            for seed in (*seeds, seeds.stop)[: max(2, len(seeds))]
        },
        perform(checkpoint, like(known, LONG_TAKES, options.seed), options.seed + 1, LONG_BARS),
    )
    corpus = producer_takes([take for take in takes if take.split != "test"], 1)
    teacher = teacher_forced(checkpoint, [take for take in known if not take.fill])
    # what was learnt was de-clipped: a ceiling of 127 would tell humans from it, and nothing else
    level = {take.name: take for take in declipped([*known, *train], 1)}
    report = evaluate(
        [level[take.name] for take in known],
        [level[take.name] for take in train],
        generated,
        corpus,
        teacher,
    )
    groove = groove_takes(known)
    if min(len(groove), len(groove_takes(train))) >= FOLDS:
        played = judge_played(
            {seed: list(played_takes(options.model, groove, seed)) for seed in seeds},
            known,
            train,
            [level[take.name] for take in known],
            generated.by_seed[options.seed],
        )
        report = replace(report, figures=(*played, *report.figures))
    sys.stdout.write(report.text() + "\n")
    return 1 if options.strict and report.missed else 0


def _of(takes: Sequence[Take], split: str, folder: Path) -> list[Take]:
    found = [take for take in takes if take.split == split]
    if not found:
        message = f"{folder}: no takes of {split}: add files, or judge by another --split"
        raise CorpusError(message)
    return found


def played_takes(
    model: Path | None,
    wanted: Sequence[Take],
    seed: int,
    count: int = PLAYED_TAKES,
    bars: int = PLAYED_BARS,
    **settings: object,
) -> Iterator[Take]:
    """Yield what is played at default ``settings`` in styles and tempi of ``wanted``.

    It goes through the control plane, planner and feel that the daemon plays by.
    """
    use_styles(None, model)  # what it learnt under a name of its own is a style, too
    writer = ModelWriter(model, styles=known_styles())
    chosen = list(enumerate(like(wanted, count, seed)))
    for first in range(0, count, TOGETHER):
        part = chosen[first : first + TOGETHER]
        sessions = [
            Session(
                style=take.style,
                seed=1000 * seed + number,
                parameters=EngineParameters(tempo=take.tempo),
                **settings,  # type: ignore[arg-type]
            )
            for number, take in part
        ]
        songs = planned_songs(sessions, writer.write_at, bars)
        for session, song in zip(sessions, songs, strict=True):
            played = tuple(planned.bar for planned in song)
            name = f"played/{session.style}/{session.seed}"
            yield Take(name, session.style, "", session.parameters.tempo, played, "generated")


def _producers(checkpoint: Checkpoint, seed: int) -> Iterator[Take]:
    wanted: Sequence[Take] = [
        Take(f"{style}/{number}", style, "", tempo, ())
        for style in PERFORMERS
        if style in checkpoint.learnt
        for number, tempo in enumerate(_tempi(style))
    ]
    for take in perform(checkpoint, wanted, 100 + seed, EVAL_BARS):
        yield replace(take, split="generated")


def _tempi(style: str) -> list[Bpm]:
    low, high = known_styles().find(style).tempo
    return [
        Bpm(low + (high - low) * number / (PRODUCER_TAKES - 1)) for number in range(PRODUCER_TAKES)
    ]
