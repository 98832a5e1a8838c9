"""The composition root: what runs, in which order it starts, and how it ends."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from drumigen.bank.bank import load_bank
from drumigen.errors import PortError
from drumigen.styles import StyleCatalogue
from drumigen.units import Seconds
from drumigen_daemon.capture.capture import Capture
from drumigen_daemon.controls.controllers import Desk, Hands
from drumigen_daemon.controls.table import Controls, Learn, Recall, Store
from drumigen_daemon.engine.engine import FEEDBACK_PORT
from drumigen_daemon.engine.messages import (
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
from drumigen_daemon.generator.link import ProcessBarSource
from drumigen_daemon.generator.messages import BANK, GeneratorSetup, WrittenBar
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.process.child import Child
from drumigen_daemon.process.garbage import sweep
from drumigen_daemon.session import Call, Quantum, Session
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ENGINE_PATIENCE: Final = 1.0
"""Seconds that the engine has to end once it was told to."""
HEARTBEAT_CHECK: Final = 0.5
"""Seconds between two looks at whether the engine beats."""
MISSED_BEATS: Final = 4
"""Looks without a sign of life after which a playing engine hangs, and is replaced..."""
MISSED_AT_START: Final = 120
"""...and after which one has hung while it opened its ports."""


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
        desk: Desk | None = None,
        engine_module: str = "drumigen_daemon.engine.process",
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
        self._hands = Hands(desk or Desk(), self, styles)
        self._status = Status(style=session.style)
        self._listeners: list[Callable[[], None]] = []
        self._failed_listeners: set[Callable[[], None]] = set()
        self._ended = asyncio.Event()
        self._engine_ready = False
        self._heartbeats = 0
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
            ready=self._engine_ready and self._heartbeats > 0 and self._has_first_bar,
            heartbeats=self._heartbeats,
            writing=self._source.times.histogram,
            ahead=self.planner.ahead,
        )

    @property
    def _has_first_bar(self) -> bool:
        return self.planner.sent_bar(self.planner.bar) is not None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever the status may have changed."""
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
        self.session_changed(before)
        match told:
            case None:
                pass
            case Call():
                self.planner.call(told, Seconds(time.monotonic()))
                self._replan_soon()
            case Recall() | Store() | Learn():
                self._hands.act(told)
            case _:
                self._engine.send(told)

    def adopt(self, session: Session) -> None:
        """Take a whole session, as after a reload of the settings."""
        before = self.controls.session
        self.controls.session = session
        self.session_changed(before)

    def end(self) -> None:
        """Ask :meth:`run` to return."""
        self._ended.set()

    async def run(self) -> None:
        """Start everything, play until :meth:`end`, and leave nothing sounding.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        # the first bar needs it anyway; and msgspec must not meet a type for the first time in two
        # threads at once, or it crashes
        load_bank(self._styles.find(self.controls.session.style).bank)
        # a bank takes some 50 ms to load: not when a switch of style needs it
        banks = asyncio.create_task(asyncio.to_thread(self._load_banks), name="banks")
        engine = asyncio.create_task(self._engine.run(), name="engine")
        source = asyncio.create_task(self._source.run(), name="generator")
        heartbeat = asyncio.create_task(self._mind_heartbeat(), name="heartbeat")
        ended = asyncio.create_task(self._ended.wait(), name="ended")
        garbage = asyncio.create_task(sweep(self._rolling), name="garbage")
        try:
            done, _ = await asyncio.wait(
                (engine, source, heartbeat, ended), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        except PortError as error:
            raise PortError(self._complaint or str(error)) from error
        finally:
            # the engine silences what sounds and ends by itself; only then the others
            self._engine.end(Shutdown())
            await asyncio.wait((engine,), timeout=ENGINE_PATIENCE)
            tasks = (engine, source, heartbeat, ended, garbage)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, banks, return_exceptions=True)

    async def _mind_heartbeat(self) -> None:
        """Replace an engine that lives and does not beat: the music is worth more than it is.

        Looks are counted rather than seconds, so that one who was held up himself, by a suspended
        machine or a debugger, first hears what he has missed.
        """
        seen, missed = None, 0
        while True:
            await asyncio.sleep(HEARTBEAT_CHECK)
            sign = (self._heartbeats, self._engine.pid, self._engine_ready)
            missed = 0 if sign != seen or self._engine.pid is None else missed + 1
            seen = sign
            if missed >= (MISSED_BEATS if self._engine_ready else MISSED_AT_START):
                log.error("the engine hangs: replacing it")
                missed = 0
                self._engine.kill()

    def _rolling(self) -> bool:
        return self._status.transport is TransportState.ROLLING

    def _load_banks(self) -> None:
        for style in self._styles:
            if self._ended.is_set():
                return
            load_bank(style.bank)

    # --- what the engine and the generator say ---------------------------------------------

    def _reported(self, report: AnyReport) -> None:
        match report:
            case EngineState():
                self._heartbeats += 1
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
                    self.session_changed(before)
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
            case Heard():
                self._hands.heard(report)
            case PortMoved():
                if report.up and report.port in ("", FEEDBACK_PORT):
                    self._hands.replugged()
        self._replan_soon()

    def _engine_started(self) -> None:
        self._engine.send(self.controls.session.tune)
        self._replan()
        if self._rolling():
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
        shown = self._hands.shown()
        if shown is not None:
            self._engine.send(shown)
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                # who shows how it goes must not stop it
                if listener not in self._failed_listeners:
                    log.exception("one who shows the status failed; playing on")
                    self._failed_listeners.add(listener)

    def until_bar_line(self) -> float:
        """Return the seconds until the next bar line; 0 at rest."""
        return self.planner.until_bar_line(Seconds(time.monotonic()))

    def session_changed(self, before: Session, quantum: Quantum | None = None) -> None:
        """Act on a session that was ``before``; all of it at ``quantum`` if that is given."""
        session = self.controls.session
        if session == before:
            return
        self.planner.set_session(session, Seconds(time.monotonic()), quantum)
        if session.tune != before.tune:
            self._engine.send(session.tune)
        self._replan_soon()
