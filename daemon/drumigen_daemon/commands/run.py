"""``drumigen run``: the daemon, until a signal ends it."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from drumigen.errors import DrumigenError
from drumigen_daemon.app import Daemon, Desk
from drumigen_daemon.binding import load_controller
from drumigen_daemon.cli import settings_of
from drumigen_daemon.control_socket import ControlSocket
from drumigen_daemon.learned import load_learned
from drumigen_daemon.settings import (
    Settings,
    adopted,
    learned_path,
    restart_needed,
    scenes_path,
    socket_paths,
)
from drumigen_daemon.values import one_line, shipped_styles

log = logging.getLogger(__name__)

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main(options: argparse.Namespace) -> int:
    """Run the daemon."""
    settings = settings_of(options)
    log_to_stderr(settings.log.level)
    asyncio.run(_serve(settings, options))
    return 0


def end_on_signals(end: Callable[[], None]) -> None:
    """Call ``end`` in the running loop when this process is told to end."""
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))
        else:
            loop.add_signal_handler(number, end)


def make_daemon(settings: Settings) -> Daemon:
    """Return the daemon that ``settings`` describe.

    Raises:
        SettingsError: a controller map, or what was learned or stored, is wrong.
    """
    maps = [load_controller(name) for name in settings.control.maps]
    learned = learned_path(settings, os.environ)
    if learned is not None:
        maps.append(load_learned(learned))
    return Daemon(
        settings.session,
        shipped_styles(),
        settings.engine_setup,
        settings.generator_setup,
        settings.capture.bars,
        desk=Desk(
            tuple(maps),
            learned,
            scenes_path(settings, os.environ),
            feedback=bool(settings.midi.feedback_outputs),
        ),
    )


class _OneLine(logging.Formatter):
    """One line an event, whatever a port is called."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record)) if not record.exc_info else super().format(record)


def log_to_stderr(level: str) -> None:
    """Log one line an event; with the time where no journal adds it."""
    when = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"{when}%(levelname)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _Reloader:
    """Reads the settings again, and gives the daemon what has changed."""

    def __init__(self, daemon: Daemon, settings: Settings, options: argparse.Namespace) -> None:
        self._daemon = daemon
        self._settings = settings
        self._options = options

    def reload(self) -> None:
        """Adopt good settings as far as they are live; keep the old ones if they are wrong."""
        try:
            new = settings_of(self._options)
        except DrumigenError as error:
            log.error("reload: %s; the settings stay as they were", error)  # noqa: TRY400 - one line
            return
        old, self._settings = self._settings, new
        logging.getLogger().setLevel(new.log.level.upper())
        self._daemon.adopt(adopted(self._daemon.controls.session, old, new))
        waiting = restart_needed(old, new)
        if waiting:
            log.warning("settings reloaded; only a restart changes %s", ", ".join(waiting))
        else:
            log.info("settings reloaded")


async def _serve(settings: Settings, options: argparse.Namespace) -> None:
    daemon = make_daemon(settings)
    end_on_signals(daemon.end)
    if sys.platform == "win32":
        log.warning("no local socket and no reload on Windows: end it with Ctrl-C")
        await daemon.run()
        return
    reloader = _Reloader(daemon, settings, options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.reload)
    path = socket_paths(settings, os.environ)[0]
    async with ControlSocket(path, daemon):
        log.info("control socket: %s", path)
        await daemon.run()
    log.info("ended")
