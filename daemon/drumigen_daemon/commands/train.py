"""``drumigen train``: a checkpoint from a folder of MIDI.  The only command that needs torch."""

import argparse
import math
import shlex
import sys
from dataclasses import fields
from pathlib import Path

from drumigen.errors import CorpusError
from drumigen.model.checkpoint import load_model
from drumigen.model.network import ModelConfig
from drumigen.training.declipping import declipped
from drumigen.training.producers import producer_takes
from drumigen.training.style_notes import style_notes
from drumigen.training.takes import Take, plain_folder, read_takes
from drumigen.training.train import TrainingRecipe, train
from drumigen_daemon.controls.values import known_styles


def main(options: argparse.Namespace) -> int:
    """Train, or go on with a training that was interrupted."""
    say_how_read(options.folder)
    takes = corpus(options.folder, options.seed, producers=options.producers)
    asked = {
        "width": options.width,
        "layers": options.layers,
        "heads": options.heads,
        "detail_width": options.hidden,
        "dropout": options.dropout,
    }
    sizes = {name: value for name, value in asked.items() if value is not None}
    config = ModelConfig(
        styles=styles_of(takes),
        drummers=tuple(sorted({take.drummer for take in takes if take.drummer})),
        **sizes,
    )
    given = {field.name for field in fields(TrainingRecipe)} & vars(options).keys()
    told = {name: getattr(options, name) for name in given if getattr(options, name) is not None}
    recipe = TrainingRecipe(**told, seconds=60 * options.minutes if options.minutes else math.inf)
    learnt = [take.style for take in takes if take.split == "train"]
    own = style_notes(takes, known_styles().names)
    notes = {
        "takes": {style: learnt.count(style) for style in config.styles},
        "producers": options.producers,
        "styles": own,
    }
    start = load_model(options.start, "cpu") if options.start else None
    path = train(
        takes, config, recipe, options.output, device=options.device, notes=notes, start=start
    )
    if not path.is_file():
        message = f"{options.output}: nothing was learnt, so no network was written; train anew"
        raise CorpusError(message)
    sys.stdout.write(f"wrote {path}; drumigen eval {options.folder} --model {path} judges it\n")
    style = next(iter(own or dict.fromkeys(learnt)), "rock")
    sys.stdout.write(f"drumigen play --model {path} --style {shlex.quote(style)} plays it\n")
    return 0


def say_how_read(folder: Path) -> None:
    """Say on stderr which styles and splits a folder without a table is taken for."""
    plain = plain_folder(folder)
    if plain is not None:
        sys.stderr.write(f"drumigen: {plain}\n")


def corpus(folder: Path, seed: int, *, producers: bool) -> list[Take]:
    """Return the takes of ``folder``, and with ``producers`` what is written after them.

    Takes of the test split are left alone: they are for judging only.  What an e-kit cut off at
    velocity 127 is spread (:mod:`drumigen.training.declipping`).
    """
    takes = declipped(read_takes(folder, ("train", "validation")), seed)
    return [*takes, *(producer_takes(takes, seed) if producers else ())]


def styles_of(takes: list[Take]) -> tuple[str, ...]:
    """Return the styles that a network for ``takes`` knows: the shipped ones, and theirs."""
    return tuple(sorted({*known_styles().names, *(take.style for take in takes)}))
