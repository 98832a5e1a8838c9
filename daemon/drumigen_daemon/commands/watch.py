"""``drumigen watch``: the screen of `drumigen play`, of a daemon that runs."""

import argparse
import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from drumigen_daemon.app import end_on_signals
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_socket
from drumigen_daemon.commands.screen import is_screen, open_lines, open_screen
from drumigen_daemon.control_socket import ask
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.settings.paths import socket_paths
from drumigen_daemon.status.keys import Keyboard, Move
from drumigen_daemon.status.view_state import ViewState

FRAME: Final = 0.1
"""Seconds from one look to the next."""
ANSWER_SECONDS_MAX: Final = 3.0


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_socket(to)
    to.add_argument("--once", action="store_true", help="show it once, and end")


def main(options: argparse.Namespace) -> int:
    """Show it until told to end."""
    settings = settings_of(options)
    paths = socket_paths(settings, os.environ)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_watch(paths, options.once))
    return 0


async def _watch(paths: Sequence[Path], once: bool) -> None:  # noqa: FBT001 - a flag of the command
    """Look and draw.

    Raises:
        ControlError: no daemon runs there, or it has ended; one line.
    """
    state = _look(paths)
    styles = known_styles()
    keyboard = Keyboard(styles.names, lambda name: styles.find(name).name)
    ended = asyncio.Event()
    end_on_signals(ended.set)

    def move(wanted: Move) -> None:
        control, value = wanted
        ask(paths, {"control": control, "value": value}, ANSWER_SECONDS_MAX)

    opened = open_screen if is_screen() else open_lines
    with opened(keyboard, move) as draw:
        while True:
            draw(state)
            if once:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FRAME):
                    await ended.wait()
            if ended.is_set() or keyboard.ended:
                return
            state = await asyncio.to_thread(_look, paths)


def _look(paths: Sequence[Path]) -> ViewState:
    reply = ask(paths, {"view": True}, ANSWER_SECONDS_MAX)
    return msgspec.convert(reply["view"], ViewState)
