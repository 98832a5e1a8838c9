"""What ``drumigen train`` takes: apart from it, for that loads libraries which may be missing."""

import argparse
from pathlib import Path
from typing import Final

from drumigen_daemon.commands.arguments import RANDOM_SEED_MAX, count, number_between

MINUTES_MAX: Final = 60.0 * 24 * 30


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("folder", type=Path, help="takes: the Groove MIDI Dataset, or a folder a style")
    to.add_argument("--output", type=Path, default=Path("training"), metavar="FOLDER")
    to.add_argument(
        "--producers",
        action="store_true",
        help="add the corpora in the style of J Dilla, Metro Boomin and Questlove",
    )
    to.add_argument(
        "--start", type=Path, metavar="FILE", help="a checkpoint whose weights to begin with"
    )
    to.add_argument(
        "--minutes",
        type=number_between(0.01, MINUTES_MAX),
        metavar="N",
        help="the rate falls to its end by then",
    )
    to.add_argument("--device", metavar="NAME", help="cpu, cuda, mps; by default the best")
    to.add_argument("--seed", type=count(0, RANDOM_SEED_MAX), default=1, metavar="N")
    for name, kind in (
        ("epochs", count(1)),
        ("steps", count(1, 1_000_000)),
        ("context", count(16)),
        ("rate", number_between(1e-9, 1.0)),
        ("patience", count(1)),
        ("width", count(2, 4096)),
        ("layers", count(1, 64)),
        ("heads", count(1, 64)),
        ("hidden", count(1, 16_384)),
        ("dropout", number_between(0.0, 0.9)),
    ):
        to.add_argument(f"--{name}", type=kind, metavar="N", help=argparse.SUPPRESS)
