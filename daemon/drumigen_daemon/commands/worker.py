"""``drumigen worker``: write bars and render songs for drummers on other machines."""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path

from drumigen.errors import SettingsError
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_set
from drumigen_daemon.process.log_format import log_to_stderr
from drumigen_daemon.process.parent import PARENT, end_with_parent

NICENESS = 15
"""Of songs: bars come first."""


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument(
        "--lane",
        choices=("both", "bars", "songs"),
        default="both",
        help="bars for those who play, songs on request, or both",
    )
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint that writes the bars")
    add_set(to)


def main(options: argparse.Namespace) -> int:
    """Work until a signal ends it."""
    settings = settings_of(options)
    log_to_stderr(settings.log.level)
    address = settings.workers.address
    if address is None:
        message = "a worker needs a broker: set workers.broker, as redis://HOST (docs/WORKERS.md)"
        raise SettingsError(message)
    # not imported above: the extra may be missing, and everything else goes without it
    worker = importlib.import_module("drumigen_daemon.workers.worker")
    setup = settings.generator_setup
    if options.lane == "songs":
        end_with_parent(by=signal.SIGTERM)
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        return int(worker.render_songs(address, setup))
    songs = None
    if options.lane == "both":
        command = [sys.executable, "-m", "drumigen_daemon", *sys.argv[1:], "--lane", "songs"]
        songs = worker.SongsBeside(command, {**os.environ, PARENT: str(os.getpid())})
    return int(worker.write_bars(address, setup, songs))
