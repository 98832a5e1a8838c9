"""The composition root: what runs, in which order it starts, and how it ends."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from drumigen.bank import load_bank
from drumigen.errors import PortError
from drumigen.styles import StyleCatalogue
from drumigen.units import Seconds
from drumigen_daemon.bar_request import BANK, GeneratorSetup, WrittenBar
from drumigen_daemon.bar_source import ProcessBarSource
from drumigen_daemon.capture import Capture
from drumigen_daemon.child import Child
from drumigen_daemon.form import Call
from drumigen_daemon.messages import (
    AnyReport,
    BarEntered,
    EngineCounters,
    EngineSetup,
    EngineState,
    Heard,
    Panic,
    PortMoved,
    Ready,
    Rejoin,
    Remark,
    Shutdown,
    Sounded,
    TransportState,
)
from drumigen_daemon.planner import Planner
from drumigen_daemon.session import Controls, Session
from drumigen_daemon.status import Status

log = logging.getLogger(__name__)

LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ENGINE_PATIENCE: Final = 1.0
"""Seconds that the engine has to end once it was told to."""


class Daemon:
    """Everything of the control plane, wired together; one per process."""

    def __init__(  # noqa: PLR0913 - the root takes what it is to put together
        self,
        session: Session,
        styles: StyleCatalogue,
        engine: EngineSetup,
        generator: GeneratorSetup = BANK,
        captured_bars: int = 4096,
        *,
        engine_module: str = "drumigen_daemon.engine_process",
    ) -> None:
        """Wire the parts; :meth:`run` starts them, the engine as ``python -m engine_module``."""
        self._styles = styles
        self.controls = Controls(styles, session)
        self.planner = Planner(
            session,
            lambda style: load_bank(styles.find(style).bank),
            styles.names,
            lambda style: styles.find(style).feel,
        )
        self.capture = Capture(captured_bars)
        self._status = Status(style=session.style)
        self._listeners: list[Callable[[Status], None]] = []
        self._ended = asyncio.Event()
        self._engine_ready = False
        self._complaint = ""
        self._replanning = False
        self._engine: Child[AnyReport] = Child(
            engine_module,
            msgspec.json.encode(engine).decode(),
            kind=AnyReport,
            on_message=self._reported,
            on_start=self._engine_started,
            on_loss=self._engine_lost,
        )
        self._source = ProcessBarSource(
            generator,
            on_bars=self._bars_written,
            on_change=self._replan,
            on_loss=self.planner.generator_lost,
        )

    # --- what others use -------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Where everything stands now."""
        session = self.controls.session
        return replace(
            self._status,
            meters=self.planner.meters,
            style=session.style,
            kit=session.tune.kit,
            seed=session.seed,
            generator=self._source.state,
            processes={"engine": self._engine.pid, "generator": self._source.child.pid},
            plan=replace(
                self.planner.counters,
                generator_restarts=self._source.child.restarts,
                engine_restarts=self._engine.restarts,
            ),
            ready=self._engine_ready,
        )

    def listen(self, listener: Callable[[Status], None]) -> None:
        """Call ``listener`` with the status whenever the engine tells something new."""
        self._listeners.append(listener)

    def control(
        self,
        name: str,
        value: Any = None,  # noqa: ANN401 - from outside
        at: Seconds | None = None,
    ) -> None:
        """Carry out a control, moved at ``at`` or just now.

        Raises:
            ControlError: it is unknown or its value is wrong; nothing has changed.
        """
        before = self.controls.session
        now = Seconds(time.monotonic() if at is None else at)
        told = self.controls.apply(name, value, bar_tick=self.planner.meters.start_of, now=now)
        self._session_changed(before)
        if isinstance(told, Call):
            self.planner.call(told, Seconds(time.monotonic()))
            self._replan_soon()
        elif told is not None:
            self._engine.send(told)

    def adopt(self, session: Session) -> None:
        """Take a whole session, as after a reload of the settings."""
        before = self.controls.session
        self.controls.session = session
        self._session_changed(before)

    def end(self) -> None:
        """Ask :meth:`run` to return."""
        self._ended.set()

    async def run(self) -> None:
        """Start everything, play until :meth:`end`, and leave nothing sounding.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        # a bank takes some 50 ms to load: not when a switch of style needs it
        banks = asyncio.create_task(asyncio.to_thread(self._load_banks), name="banks")
        engine = asyncio.create_task(self._engine.run(), name="engine")
        source = asyncio.create_task(self._source.run(), name="generator")
        ended = asyncio.create_task(self._ended.wait(), name="ended")
        try:
            done, _ = await asyncio.wait(
                (engine, source, ended), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        except PortError as error:
            raise PortError(self._complaint or str(error)) from error
        finally:
            # the engine silences what sounds and ends by itself; only then the others
            self._engine.end(Shutdown())
            await asyncio.wait((engine,), timeout=ENGINE_PATIENCE)
            for task in (engine, source, ended):
                task.cancel()
            await asyncio.gather(engine, source, ended, banks, return_exceptions=True)

    def _load_banks(self) -> None:
        for style in self._styles:
            if self._ended.is_set():
                return
            load_bank(style.bank)

    # --- what the engine and the generator say ---------------------------------------------

    def _reported(self, report: AnyReport) -> None:
        match report:
            case EngineState():
                was, to = self._status.transport, report.transport
                ended = was is TransportState.ROLLING and to is TransportState.STOPPED
                self._status = replace(
                    self._status,
                    transport=report.transport,
                    lock=report.lock,
                    master=report.master,
                    line=report.line,
                    stored_tick=report.tick,
                )
                self.planner.engine_is(report)
                if ended:
                    before = self.controls.session
                    self.controls.song_stopped()
                    self._session_changed(before)
            case BarEntered():
                self.planner.bar_entered(report)
                self._status = replace(self._status, bar_style=report.style, origin=report.origin)
            case Sounded():
                self.capture.add(report)
            case EngineCounters():
                self._status = replace(self._status, engine=report)
            case Ready():
                self._engine_ready = True
                self._status = replace(
                    self._status, backend=report.backend, ports=report.ports, detail=report.detail
                )
                log.info("playing through %s: %s", report.backend, ", ".join(report.ports))
                log.info("engine: %s", report.detail)
            case Remark():
                log.log(LEVELS[report.level], "%s", report.text)
                if report.level == "error":
                    self._complaint = report.text
            case PortMoved() | Heard():
                pass
        self._replan_soon()

    def _engine_started(self) -> None:
        self._engine.send(self.controls.session.tune)
        self._replan()
        if self._status.transport is TransportState.ROLLING:
            # the one before left notes sounding, and the song goes on
            self._engine.send(Panic())
            external = self._status.lock != "internal"
            self._engine.send(Rejoin(self._status.line, external))

    def _engine_lost(self) -> None:
        self._engine_ready = False
        self.planner.engine_lost()

    def _bars_written(self, bars: Sequence[WrittenBar]) -> None:
        self.planner.bars_written(bars)

    def _replan_soon(self) -> None:
        """Replan once for all that comes in together: a flood of controls is one change."""
        if not self._replanning:
            self._replanning = True
            asyncio.get_running_loop().call_soon(self._replan)

    def _replan(self) -> None:
        """Send the engine what it lacks, and the generator what it should write next."""
        self._replanning = False
        plan = self.planner.plan(Seconds(time.monotonic()))
        if plan is not None:
            self._engine.send(plan)
        if self._source.idle:
            items = self.planner.requests()
            if items:
                self._source.ask(items, self.planner.tempo)
        if self._listeners:
            status = self.status
            for listener in self._listeners:
                listener(status)

    def _session_changed(self, before: Session) -> None:
        session = self.controls.session
        if session == before:
            return
        self.planner.set_session(session, Seconds(time.monotonic()))
        if session.tune != before.tune:
            self._engine.send(session.tune)
        self._replan_soon()
