"""The daemon: the control plane on real time, with the two processes that it plays through."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from drumigen.bank.bank import load_bank
from drumigen.errors import DrumigenError, SettingsError
from drumigen.styles import StyleCatalogue
from drumigen.units import Seconds
from drumigen_daemon.capture.capture import Capture
from drumigen_daemon.control_plane import ControlPlane
from drumigen_daemon.controls.binding import Binding
from drumigen_daemon.controls.controllers import ControllerSetup, FileJob
from drumigen_daemon.controls.table import Controls
from drumigen_daemon.engine.link import ENGINE_MODULE, engine_child
from drumigen_daemon.engine.messages import (
    AnyReport,
    Command,
    EngineSetup,
    PlayedBar,
    Ready,
)
from drumigen_daemon.generator.link import GeneratorLink
from drumigen_daemon.generator.messages import BANK, BarRequest, GeneratorSetup, WrittenBar
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.process.budget import Budget
from drumigen_daemon.process.garbage import sweep
from drumigen_daemon.process.log_limit import LimitedLog
from drumigen_daemon.process.log_line import LogLine
from drumigen_daemon.process.supervision import Runner
from drumigen_daemon.session import Session
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

LOGGING_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Daemon:
    """What goes to and fro between control plane, engine and generator; one per process.

    It starts nothing: :func:`drumigen_daemon.app.run_daemon` does.
    """

    def __init__(  # noqa: PLR0913 - the root takes what it is to put together
        self,
        session: Session,
        styles: StyleCatalogue,
        engine: EngineSetup,
        generator: GeneratorSetup = BANK,
        captured_bars: int = 4096,
        *,
        controllers: ControllerSetup | None = None,
        engine_module: str = ENGINE_MODULE,
    ) -> None:
        """Wire the parts; the engine will be ``python -m engine_module``.

        Raises:
            SettingsError: the file of scenes is wrong.
        """
        self._styles = styles
        self.plane = ControlPlane(session, styles, setup=controllers)
        self.capture = Capture(captured_bars)
        self.sound = ""
        """What sounds live, as the listening process says; for the status."""
        self.begins_by_itself = False
        """Whether the song is to begin as soon as it can; for the status."""
        self._listeners: list[Callable[[], None]] = []
        self._failed_listeners: set[Callable[[], None]] = set()
        self._ended = asyncio.Event()
        self.complaint = ""
        """The last error that the engine told of."""
        self._log = LimitedLog(log)
        self._turn: asyncio.TimerHandle | asyncio.Handle | None = None
        self._is_soon = False
        self._budget = Budget()
        self._files: asyncio.Queue[FileJob] = asyncio.Queue()
        self.engine = engine_child(
            engine,
            on_report=self._reported,
            on_start=self._engine_started,
            on_loss=self._engine_lost,
            module=engine_module,
        )
        self.generator = GeneratorLink(
            generator,
            on_bars=self._bars_written,
            on_change=self._advance_soon,
            on_loss=self._generator_lost,
        )

    # --- what others use -------------------------------------------------------------------

    @property
    def controls(self) -> Controls:
        """What can be turned, and where it stands."""
        return self.plane.controls

    @property
    def learned(self) -> Sequence[Binding]:
        """What was learned from controllers."""
        return self.plane.learned

    @property
    def styles(self) -> StyleCatalogue:
        """The styles that it plays."""
        return self._styles

    @property
    def planner(self) -> Planner:
        """What is played next."""
        return self.plane.planner

    @property
    def status(self) -> Status:
        """Where everything stands now."""
        status = self.plane.status
        return replace(
            status,
            generator=self.generator.state,
            sound=self.sound,
            begins_by_itself=self.begins_by_itself,
            processes={"engine": self.engine.pid, "generator": self.generator.child.pid},
            plan=replace(
                status.plan,
                generator_restarts=self.generator.child.restarts,
                engine_restarts=self.engine.restarts,
            ),
            writing=self.generator.times.histogram,
            workers=self.generator.workers,
            device=self.generator.device,
        )

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever the status may have changed."""
        self._listeners.append(listener)

    def control(self, name: str, value: Any = None) -> None:  # noqa: ANN401 - from outside
        """Carry out a control.

        Raises:
            ControlError: it is unknown or its value is wrong; nothing has changed.
        """
        self.plane.control(name, value, now=_now())
        self._send(self.plane.urgent())
        self._advance_soon()

    def adopt(self, session: Session) -> None:
        """Take a whole session, as after a reload of the settings."""
        self.plane.adopt(session)
        self._advance_soon()

    def end(self) -> None:
        """Ask for the end of :meth:`ended`."""
        self._ended.set()

    # --- what has it run ---------------------------------------------------------------------

    async def ended(self) -> None:
        """Wait for :meth:`end`."""
        await self._ended.wait()

    @property
    def runners(self) -> Mapping[str, Runner]:
        """What is to be kept running beside the engine and the generator, by name."""
        return {
            "banks": self._load_banks,
            "garbage": lambda: sweep(lambda: self.plane.rolling),
            "files": self._write_files,
        }

    def prepare(self) -> None:
        """Have what the first bar needs."""
        # msgspec must not meet a type for the first time in two threads at once, or it crashes
        load_bank(self._styles.find(self.controls.session.style).bank)

    def close(self) -> None:
        """Take no more turns, and write what is still to be written."""
        if self._turn is not None:
            self._turn.cancel()
        self._write_the_rest()

    def _write_the_rest(self) -> None:
        while not self._files.empty():
            _written(self._files.get_nowait())

    async def _load_banks(self) -> None:
        """Load every bank: it takes some 50 ms, not to be spent when a switch needs it."""
        for style in self._styles:
            try:
                await asyncio.to_thread(load_bank, style.bank)
            except DrumigenError as error:
                log.error("%s", error)  # noqa: TRY400 - one line

    async def _write_files(self) -> None:
        """Write what is learned and stored, one file after another, for ever."""
        while True:
            write = await self._files.get()
            await asyncio.to_thread(_written, write)

    # --- what the processes say --------------------------------------------------------------

    def _reported(self, report: AnyReport) -> None:
        match report:
            case PlayedBar():
                self.capture.add(report)
            case Ready():
                ports = f": {', '.join(report.ports)}" if report.ports else ""
                log.info("playing through %s%s", report.backend, ports)
                log.info("engine: %s", report.detail)
            case LogLine():
                self._log.log(LOGGING_LEVELS[report.level], report.text, _now())
                if report.level == "error":
                    self.complaint = report.text
        self.plane.reported(report, _now())
        self._send(self.plane.urgent())
        self._advance_soon()

    def _engine_started(self) -> None:
        self.plane.engine_started(_now())
        self._advance()

    def _engine_lost(self) -> None:
        self.plane.engine_lost()
        self._advance_soon()

    def _bars_written(self, bars: Sequence[WrittenBar], refused: Sequence[BarRequest]) -> None:
        self.plane.bars_written(bars, refused)

    def _generator_lost(self) -> None:
        self.plane.generator_lost()

    # --- what is done about it ---------------------------------------------------------------

    def _advance_soon(self) -> None:
        """Do it once for all that comes in together: a flood of controls is one change."""
        if self._is_soon:
            return
        if self._turn is not None:
            self._turn.cancel()  # it was to be at a bar line
        self._is_soon = True
        loop, wait = asyncio.get_running_loop(), self._budget.wait(_now())
        at_once = wait <= 0.0
        self._turn = (
            loop.call_soon(self._advance) if at_once else loop.call_later(wait, self._advance)
        )

    def _advance(self) -> None:
        """Send the engine what it lacks, and the generator what it should write next."""
        if self._turn is not None:
            self._turn.cancel()
        self._turn, self._is_soon = None, False
        begun = _now()
        self._log.tell(begun)
        turn = self.plane.advance(begun)
        self._send(turn.commands)
        for write in turn.files:
            self._files.put_nowait(write)
        bar_seconds = self.plane.bar_seconds
        self.generator.song(rolls=self.plane.rolling)
        room = self.generator.room(bar_seconds)
        if room:
            items, tempo = self.plane.requests(room)
            if items:
                self.generator.ask(items, tempo, bar_seconds)
        if turn.wake < math.inf:
            loop = asyncio.get_running_loop()
            self._turn = loop.call_later(turn.wake - _now(), self._advance)
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                # who shows how it goes must not stop it
                if listener not in self._failed_listeners:
                    log.exception("one who shows the status failed; playing on")
                    self._failed_listeners.add(listener)
        self._budget.worked(begun, _now())

    def _send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self.engine.send(command)


def _written(write: FileJob) -> None:
    try:
        write()
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - one line


def _now() -> Seconds:
    return Seconds(time.monotonic())
