"""``drumigen run``: the daemon, until a signal ends it."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from drumigen.errors import DrumigenError
from drumigen_daemon.app import Daemon
from drumigen_daemon.capture.journal import CaptureJournal
from drumigen_daemon.cli import settings_of
from drumigen_daemon.control_socket import ControlSocket
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.controls.controllers import ControllerSetup
from drumigen_daemon.controls.values import known_styles, one_line
from drumigen_daemon.mqtt.link import MqttLink
from drumigen_daemon.process.realtime import go_before_others
from drumigen_daemon.process.supervision import Runner, beside
from drumigen_daemon.settings import (
    Settings,
    adopted,
    journal_folder,
    learned_path,
    restart_needed,
    scenes_path,
    socket_paths,
    token_path,
)
from drumigen_daemon.status.prometheus import MetricsServer
from drumigen_daemon.status.systemd import Notifier
from drumigen_daemon.web.link import WebLink

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
    maps = tuple(load_controller(name) for name in settings.control.maps)
    return Daemon(
        settings.session,
        known_styles(),
        settings.engine_setup_for(maps),
        settings.generator_setup,
        settings.capture.bars,
        controllers=ControllerSetup(
            maps,
            learned_path(settings, os.environ),
            scenes_path(settings, os.environ),
            feedback=bool(settings.midi.feedback_outputs),
        ),
    )


def web_link(settings: Settings, daemon: Daemon) -> WebLink:
    """Return what keeps the panel and the API of ``daemon``."""
    tokens = token_path(settings, os.environ) or Path(tempfile.gettempdir()) / "drumigen-web-token"
    return WebLink(settings.web, daemon, known_styles(), tokens, version("drumigen"))


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

    def __init__(
        self,
        daemon: Daemon,
        settings: Settings,
        options: argparse.Namespace,
        notifier: Notifier,
        mqtt: MqttLink,
    ) -> None:
        self._daemon = daemon
        self._settings = settings
        self._options = options
        self._notifier = notifier
        self._mqtt = mqtt

    def reload(self) -> None:
        """Adopt good settings as far as they are live; keep the old ones if they are wrong."""
        self._notifier.reloading()
        try:
            new = settings_of(self._options, keep_styles=True)
        except DrumigenError as error:
            log.error("reload: %s; the settings stay as they were", error)  # noqa: TRY400 - one line
            self._notifier.reloaded(str(error))
            return
        old, self._settings = self._settings, new
        logging.getLogger().setLevel(new.log.level.upper())
        self._daemon.adopt(adopted(self._daemon.controls.session, old, new))
        self._mqtt.adopt(new.mqtt)
        waiting = restart_needed(old, new)
        if waiting:
            log.warning("settings reloaded; only a restart changes %s", ", ".join(waiting))
        else:
            log.info("settings reloaded")
        self._notifier.reloaded()


class TempoAdvice:
    """Says once of each style that the tempo it is played at is not one of its own."""

    def __init__(self, daemon: Daemon) -> None:
        """Look at what ``daemon`` plays."""
        self._daemon = daemon
        self._told: set[str] = set()

    def look(self) -> None:
        """Look at the style and the tempo now; a tempo counts once it is known."""
        status = self._daemon.status
        if status.style in self._told or status.lock not in ("internal", "locked"):
            return
        style = self._daemon.styles.find(status.style)
        advice = style.tempo_advice(round(status.timeline.tempo, 1))
        if advice:
            self._told.add(status.style)
            log.warning("%s", advice)


async def _serve(settings: Settings, options: argparse.Namespace) -> None:
    go_before_others()
    daemon = make_daemon(settings)
    daemon.listen(TempoAdvice(daemon).look)
    notifier = Notifier(os.environ)
    if notifier.wanted:
        daemon.listen(lambda: notifier.take(daemon.status))

    def end() -> None:
        notifier.stopping()
        daemon.end()

    end_on_signals(end)
    if sys.platform == "win32":
        log.warning("no local socket and no reload on Windows: end it with Ctrl-C")
        await daemon.run()
        return
    mqtt = MqttLink(settings.mqtt, daemon)
    daemon.listen(mqtt.take)
    reloader = _Reloader(daemon, settings, options, notifier, mqtt)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.reload)
    path = socket_paths(settings, os.environ)[0]
    parts: dict[str, Runner] = {"MQTT": mqtt.run}
    web = web_link(settings, daemon)
    daemon.listen(web.take)
    parts["web"] = web.run
    if settings.metrics.port:
        numbers = settings.metrics
        server = MetricsServer(numbers.host, numbers.port, lambda: daemon.status, mqtt.figures)
        parts["metrics"] = server.run
    journal = _journal(settings, daemon)
    if journal is not None:
        parts["capture"] = journal.run
    async with ControlSocket(path, daemon), beside(parts):
        log.info("control socket: %s", path)
        await daemon.run()
    if journal is not None:
        with contextlib.suppress(OSError):
            journal.flush()
    log.info("ended")


def _journal(settings: Settings, daemon: Daemon) -> CaptureJournal | None:
    """Return where played bars are kept, if anywhere; those of the last time are there again."""
    folder = journal_folder(settings, os.environ)
    if folder is None:
        return None
    journal = CaptureJournal(folder, settings.capture.bars)
    try:
        daemon.capture.restore(journal.load())
    except OSError as error:
        log.warning("capture: %s; playing on without what was played before", error)
    daemon.capture.listen(journal.add)
    return journal
