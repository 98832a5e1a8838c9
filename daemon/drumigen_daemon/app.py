"""The composition root: what runs, in which order it starts, and how it ends."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from drumigen.bank.bank import load_bank
from drumigen.errors import DrumigenError, PortError, SettingsError
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
    Shutdown,
)
from drumigen_daemon.generator.link import GeneratorLink
from drumigen_daemon.generator.messages import BANK, BarRequest, GeneratorSetup, WrittenBar
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.process.budget import Budget
from drumigen_daemon.process.garbage import sweep
from drumigen_daemon.process.log_limit import LimitedLog
from drumigen_daemon.process.log_line import LogLine
from drumigen_daemon.process.parent import end_orphans
from drumigen_daemon.process.supervision import Runner, beside
from drumigen_daemon.session import Session
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ENGINE_ENDING_SECONDS_MAX: Final = 2.0
"""Seconds that the engine has to end once it was told to."""


class Daemon:
    """The control plane with its processes, on real time; one per process."""

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
        """Wire the parts; :meth:`run` starts them, the engine as ``python -m engine_module``.

        Raises:
            SettingsError: the file of scenes is wrong.
        """
        self._styles = styles
        self.plane = ControlPlane(session, styles, setup=controllers)
        self.capture = Capture(captured_bars)
        self._listeners: list[Callable[[], None]] = []
        self._failed_listeners: set[Callable[[], None]] = set()
        self._ended = asyncio.Event()
        self._complaint = ""
        self._log = LimitedLog(log)
        self._turn: asyncio.TimerHandle | asyncio.Handle | None = None
        self._is_soon = False
        self._budget = Budget()
        self._files: asyncio.Queue[FileJob] = asyncio.Queue()
        self._engine = engine_child(
            engine,
            on_report=self._reported,
            on_start=self._engine_started,
            on_loss=self._engine_lost,
            module=engine_module,
        )
        self._generator = GeneratorLink(
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
            generator=self._generator.state,
            processes={"engine": self._engine.pid, "generator": self._generator.child.pid},
            plan=replace(
                status.plan,
                generator_restarts=self._generator.child.restarts,
                engine_restarts=self._engine.restarts,
            ),
            writing=self._generator.times.histogram,
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
        """Ask :meth:`run` to return."""
        self._ended.set()

    async def run(self) -> None:
        """Start everything, play until :meth:`end`, and leave nothing sounding.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        if left := await asyncio.to_thread(end_orphans):
            log.warning("a daemon that died had left %d processes hanging: ended them", left)
        # the first bar needs it anyway; and msgspec must not meet a type for the first time in two
        # threads at once, or it crashes
        load_bank(self._styles.find(self.controls.session.style).bank)
        parts: dict[str, Runner] = {
            "banks": self._load_banks,
            "garbage": lambda: sweep(lambda: self.plane.rolling),
            "files": self._write_files,
        }
        async with beside(parts):
            await self._play()
        self._write_the_rest()

    async def _play(self) -> None:
        engine = asyncio.create_task(self._engine.run(), name="engine")
        generator = asyncio.create_task(self._generator.run(), name="generator")
        ended = asyncio.create_task(self._ended.wait(), name="ended")
        tasks = (engine, generator, ended)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except PortError as error:
            raise PortError(self._complaint or str(error)) from error
        finally:
            # the engine silences what sounds and ends by itself; only then the others
            self._engine.end(Shutdown())
            await asyncio.wait((engine,), timeout=ENGINE_ENDING_SECONDS_MAX)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._turn is not None:
                self._turn.cancel()

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

    def _write_the_rest(self) -> None:
        while not self._files.empty():
            _written(self._files.get_nowait())

    # --- what the processes say --------------------------------------------------------------

    def _reported(self, report: AnyReport) -> None:
        match report:
            case PlayedBar():
                self.capture.add(report)
            case Ready():
                log.info("playing through %s: %s", report.backend, ", ".join(report.ports))
                log.info("engine: %s", report.detail)
            case LogLine():
                self._log.log(LEVELS[report.level], report.text, _now())
                if report.level == "error":
                    self._complaint = report.text
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
        room = self._generator.room(bar_seconds)
        if room:
            items, tempo = self.plane.requests(room)
            if items:
                self._generator.ask(items, tempo, bar_seconds)
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
            self._engine.send(command)


def _written(write: FileJob) -> None:
    try:
        write()
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - one line


def _now() -> Seconds:
    return Seconds(time.monotonic())
