"""``drumigen run``: the daemon, until a signal ends it."""

import argparse
import asyncio

from drumigen_daemon.app import serve
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_song_flags
from drumigen_daemon.process.log_format import log_to_stderr


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_song_flags(to)
    to.add_argument(
        "--backend",
        help="MIDI system: auto, jack, alsa, rtmidi, null, or one that a package brings",
    )
    to.add_argument("--socket", metavar="PATH", help="local socket to be controlled through")
    to.add_argument("--listen", action="store_true", help="sound live, through FluidSynth")


def main(options: argparse.Namespace) -> int:
    """Run the daemon."""
    preset = {"sound.listen": "on"} if options.listen else {}
    settings = settings_of(options, preset)
    log_to_stderr(settings.log.level)
    asyncio.run(serve(settings, lambda: settings_of(options, preset, keep_styles=True)))
    return 0
