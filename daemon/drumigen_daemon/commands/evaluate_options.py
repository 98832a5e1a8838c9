"""What ``drumigen eval`` takes: apart from it, for that loads libraries which may be missing."""

import argparse
from pathlib import Path

from drumigen_daemon.commands.arguments import RANDOM_SEED_MAX, count


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument(
        "folder", nargs="?", type=Path, help="the Groove MIDI Dataset, or a folder a style"
    )
    to.add_argument(
        "--feel",
        action="store_const",
        const="feel",
        dest="module",
        help="measure the feel of every style instead; needs no folder",
    )
    to.add_argument("--bank", action="store_true", help="with --feel: the bar bank, no model")
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint; by default the shipped")
    to.add_argument("--split", default="validation", choices=("validation", "test"))
    to.add_argument(
        "--seed", type=count(0, RANDOM_SEED_MAX), default=1, metavar="N", help="the first seed"
    )
    to.add_argument(
        "--seeds", type=count(1, 100), default=3, metavar="N", help="how many are averaged"
    )
    to.add_argument("--strict", action="store_true", help="exit with 1 if a goal is missed")
