"""The composition root: what runs is put together, started in order and stopped in reverse here."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from drumigen.errors import DrumigenError, PortError
from drumigen.units import Seconds
from drumigen_daemon.capture.journal import CaptureJournal
from drumigen_daemon.control_socket import ControlSocket
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.controls.controllers import ControllerSetup
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.daemon import Daemon
from drumigen_daemon.engine.messages import Shutdown, TransportState
from drumigen_daemon.listen.link import ListenLink
from drumigen_daemon.mqtt.link import MqttLink
from drumigen_daemon.process.parent import end_orphans
from drumigen_daemon.process.realtime import go_before_others
from drumigen_daemon.process.supervision import Runner, beside
from drumigen_daemon.settings.paths import (
    journal_folder,
    learned_path,
    live_generator_setup,
    scenes_path,
    socket_paths,
    token_path,
)
from drumigen_daemon.settings.sections import Settings, StartMode, adopted, restart_needed
from drumigen_daemon.status.advice_log import AdviceLog
from drumigen_daemon.status.prometheus import MetricsServer
from drumigen_daemon.status.systemd import Notifier
from drumigen_daemon.status.tempo_advice import TempoAdvice
from drumigen_daemon.web.link import WebLink, greeting

log = logging.getLogger(__name__)

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
ENGINE_ENDING_SECONDS_MAX: Final = 2.0
"""Seconds that the engine has to end once it was told to."""


# --- what is put together ---------------------------------------------------------------------


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
        live_generator_setup(settings, os.environ),
        settings.capture.bars,
        controllers=ControllerSetup(
            maps,
            learned_path(settings, os.environ),
            scenes_path(settings, os.environ),
            feedback=bool(settings.midi.feedback_outputs),
        ),
    )


def make_web(settings: Settings, daemon: Daemon) -> WebLink:
    """Return what keeps the panel and the API of ``daemon``, and is told what changes there."""
    tokens, writer = _web_tokens(settings), settings.generator_setup
    web = WebLink(daemon, greeting(settings.web, tokens, version("drumigen"), writer))
    daemon.listen(web.take)
    return web


def _web_tokens(settings: Settings) -> Path:
    """Return where the panel's pairing tokens are kept."""
    found = token_path(settings, os.environ)
    return Path(tempfile.gettempdir()) / "drumigen-web-token" if found is None else found


def make_listening(settings: Settings, daemon: Daemon) -> ListenLink:
    """Return what makes the song of ``daemon`` sound here, and is told what changes there."""
    listening = ListenLink(settings.sound, daemon)
    daemon.listen(listening.take)
    return listening


def _make_mqtt(settings: Settings, daemon: Daemon) -> MqttLink:
    mqtt = MqttLink(settings.mqtt, daemon)
    daemon.listen(mqtt.take)
    return mqtt


def _make_notifier(daemon: Daemon) -> Notifier:
    notifier = Notifier(os.environ)
    if notifier.wanted:
        daemon.listen(lambda: notifier.take(daemon.status))
    return notifier


def _make_journal(settings: Settings, daemon: Daemon) -> CaptureJournal | None:
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


class _StartAtOnce:
    """Starts the song by itself, as soon as its first bar is there; once."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        daemon.begins_by_itself = True
        daemon.listen(self._look)

    def _look(self) -> None:
        daemon = self._daemon
        if not daemon.begins_by_itself:
            return
        status = daemon.status
        begun = status.transport is not TransportState.STOPPED
        if begun or status.ready:
            daemon.begins_by_itself = False
        if status.ready and not begun:
            daemon.control("start")


# --- how it is started and stopped ------------------------------------------------------------


async def run_daemon(daemon: Daemon, runners: Mapping[str, Runner] | None = None) -> None:
    """Play until the daemon is told to end, and leave nothing sounding.

    ``runners`` are kept running beside it: started before it, stopped after it.

    Raises:
        PortError: the MIDI system that was asked for cannot be used.
    """
    if left := await asyncio.to_thread(end_orphans):
        log.warning("a daemon that died had left %d processes hanging: ended them", left)
    daemon.prepare()
    try:
        async with beside({**daemon.runners, **(runners or {})}):
            await _play(daemon)
    finally:
        daemon.close()


async def _play(daemon: Daemon) -> None:
    """Run generator and engine; the engine ends first, for it silences what sounds."""
    generator = asyncio.create_task(daemon.generator.run(), name="generator")
    engine = asyncio.create_task(daemon.engine.run(), name="engine")
    ended = asyncio.create_task(daemon.ended(), name="ended")
    tasks = (engine, generator, ended)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except PortError as error:
        raise PortError(daemon.complaint or str(error)) from error
    finally:
        daemon.engine.end(Shutdown())
        await asyncio.wait((engine,), timeout=ENGINE_ENDING_SECONDS_MAX)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Run a daemon and all that surrounds it, as ``drumigen run`` does, until a signal ends it.

    ``reread`` returns the settings as they are now, for a reload by SIGHUP.

    Raises:
        PortError: the MIDI system that was asked for cannot be used.
        SettingsError: a controller map, or what was learned or stored, is wrong.
        ControlError: another daemon has the control socket.
    """
    go_before_others()
    daemon = make_daemon(settings)
    advice = TempoAdvice(daemon.styles)
    daemon.listen(lambda: advice.look(daemon.status))
    notifier = _make_notifier(daemon)
    told = AdviceLog()
    daemon.listen(lambda: told.look(daemon.status, Seconds(time.monotonic())))
    if settings.clock.start is StartMode.AT_ONCE:
        _StartAtOnce(daemon)

    def end() -> None:
        notifier.stopping()
        daemon.end()

    end_on_signals(end)
    if sys.platform == "win32":
        log.warning("no local socket and no reload on Windows: end it with Ctrl-C")
        await run_daemon(daemon)
        return
    mqtt = _make_mqtt(settings, daemon)
    web = make_web(settings, daemon)
    runners: dict[str, Runner] = {
        "MQTT": mqtt.run,
        "web": web.run,
        "sound": make_listening(settings, daemon).run,
    }
    if settings.metrics.port:
        numbers = settings.metrics
        server = MetricsServer(numbers.host, numbers.port, lambda: daemon.status, mqtt.figures)
        runners["metrics"] = server.run
    journal = _make_journal(settings, daemon)
    if journal is not None:
        runners["capture"] = journal.run
    adopters = (
        lambda new: mqtt.adopt(new.mqtt),
        lambda new: web.adopt(new.web, _web_tokens(new)),
    )
    reloader = _Reloader(daemon, settings, reread, notifier, adopters)
    _reload_or_end_on_hangup(reloader.reload, end)
    path = socket_paths(settings, os.environ)[0]
    async with ControlSocket(path, daemon):
        log.info("control socket: %s", path)
        await run_daemon(daemon, runners)
    if journal is not None:
        with contextlib.suppress(OSError):
            journal.flush()
    log.info("ended")


def end_on_signals(end: Callable[[], None]) -> None:
    """Call ``end`` in the running loop when this process is told to end."""
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))
        else:
            loop.add_signal_handler(number, end)


def _reload_or_end_on_hangup(reload: Callable[[], None], end: Callable[[], None]) -> None:
    """Call ``reload`` on SIGHUP, but ``end`` where it says that our terminal has been closed.

    Who was started by ``nohup`` or without a terminal outlives it.
    """
    ends = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and _has_terminal()

    def hung_up() -> None:
        if ends and not _has_terminal():
            log.info("the terminal was closed")
            end()
        else:
            reload()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    os.close(terminal)
    return True


class _Reloader:
    """Reads the settings again, and gives the daemon what has changed."""

    def __init__(
        self,
        daemon: Daemon,
        settings: Settings,
        reread: Callable[[], Settings],
        notifier: Notifier,
        adopters: Sequence[Callable[[Settings], None]],
    ) -> None:
        self._daemon = daemon
        self._settings = settings
        self._reread = reread
        self._notifier = notifier
        self._adopters = adopters

    def reload(self) -> None:
        """Adopt good settings as far as they are live; keep the old ones if they are wrong."""
        self._notifier.reloading()
        try:
            new = self._reread()
        except DrumigenError as error:
            log.error("reload: %s; the settings stay as they were", error)  # noqa: TRY400 - one line
            self._notifier.reloaded(str(error))
            return
        old, self._settings = self._settings, new
        logging.getLogger().setLevel(new.log.level.upper())
        self._daemon.adopt(adopted(self._daemon.controls.session, old, new))
        for adopt in self._adopters:
            adopt(new)
        waiting = restart_needed(old, new)
        if waiting:
            log.warning("settings reloaded; only a restart changes %s", ", ".join(waiting))
        else:
            log.info("settings reloaded")
        self._notifier.reloaded()
