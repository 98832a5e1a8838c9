"""The control plane: reports in; plans, requests and feedback out.  Sans I/O.

It joins the controls (what the performer wants) and the planner (what is played next).  It is told
what happens, with the time, and :meth:`ControlPlane.advance` returns what is to be done about it
all, so that a flood of controls is one change.  The daemon, ``drumigen render`` and the tests run
it: there is no other.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from drumigen.bank.bank import load_bank
from drumigen.errors import ControlError, KitError
from drumigen.kit import load_kit
from drumigen.styles import StyleCatalogue
from drumigen.units import TICKS_PER_BEAT, Bpm, Seconds, Tick
from drumigen_daemon.controls.binding import Binding
from drumigen_daemon.controls.controllers import Controllers, ControllerSetup, FileJob
from drumigen_daemon.controls.scenes import Scene, put_on
from drumigen_daemon.controls.table import Controls, Forget, Learn, Recall, Store
from drumigen_daemon.engine.messages import (
    FEEDBACK_PORT,
    NUDGE_LIMIT_MS,
    AnyReport,
    BarEntered,
    Command,
    Continue,
    ControlInput,
    EngineCounters,
    EngineState,
    Locate,
    Nudge,
    Panic,
    PortMoved,
    Ready,
    ReceiversSeen,
    Rejoin,
    Start,
    Stop,
    TransportState,
    UseKit,
)
from drumigen_daemon.generator.messages import EVERYTHING, BarRequest, Item, WrittenBar
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.process.log_limit import LimitedLog
from drumigen_daemon.session import Call, Quantum, Session
from drumigen_daemon.status.connections import Connections
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

RECALL_LEAD: Final = 0.03
"""Seconds before the bar line at which a scene is put on, to sound from the bar line on."""
COMMANDS_MAX: Final = 64
"""Commands that wait for the next turn, or for an engine; the oldest give way."""

_URGENT: Final = (Start, Continue, Stop, Panic)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done about everything that was told since the turn before."""

    commands: tuple[Command, ...]
    """For the engine, in this order."""
    files: tuple[FileJob, ...]
    """What is to be written where nobody waits for it, in this order."""
    wake: Seconds
    """When the next turn is due even if nothing is told; infinity for never."""


class ControlPlane:
    """The one owner of what is wanted and what is planned; one per engine."""

    def __init__(
        self,
        session: Session,
        styles: StyleCatalogue,
        *,
        ready: Sequence[str] | None = None,
        setup: ControllerSetup | None = None,
    ) -> None:
        """Plan for ``session``, with the controllers of ``setup``.

        ``ready`` are the styles between which a switch waits for nothing; by default all.

        Raises:
            SettingsError: the file of scenes is wrong.
        """
        names = styles.names if ready is None else tuple(ready)
        self.controls = Controls(styles, session)
        self.planner = Planner(
            session,
            lambda style: load_bank(styles.find(style).bank),
            names,
            lambda style: styles.find(style).feel,
            lambda style: styles.find(style).form,
        )
        self._controllers = Controllers(
            setup or ControllerSetup(),
            self.controls.value_of,
            lambda control: names if control in ("style", "blend") else (),
        )
        self._connections = Connections()
        self._log = LimitedLog(log)
        self._planned_for = session
        self._status = Status(style=session.style)
        self._commands: list[Command] = []
        self._calls: dict[Call, None] = {}
        self._recall: Scene | None = None
        self._engine_is_there = False
        self._commands_told = 0
        self._takeover: tuple[Command, ...] = ()
        self._taken_over_after: float = 0
        self._parameters_told: Command | None = None
        self._kit_told = ""

    # --- what others ask -------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Where everything stands, as far as it is known here: not what the processes are up to."""
        session = self.controls.session
        return replace(
            self._status,
            meters=self.planner.meters,
            style=session.style,
            kit=session.parameters.kit,
            seed=session.seed,
            plan=self.planner.counters,
            ready=self._status.ready and self._has_first_bar,
            ahead=self.planner.ahead,
            source=session.parameters.source,
            connections=self._connections.standing,
        )

    @property
    def learned(self) -> Sequence[Binding]:
        """What was learned from controllers."""
        return self._controllers.learned

    @property
    def rolling(self) -> bool:
        """Whether the song rolls, or would if there were an engine."""
        return self._status.transport is TransportState.ROLLING

    @property
    def _has_first_bar(self) -> bool:
        return self.planner.sent_bar(self.planner.bar) is not None

    # --- what it is told -------------------------------------------------------------------

    def control(
        self,
        name: str,
        value: Any = None,  # noqa: ANN401 - from outside
        *,
        now: Seconds,
        at: Seconds | None = None,
    ) -> None:
        """Carry out a control, moved at ``at`` or just now.

        Raises:
            ControlError: it is unknown or its value is wrong; nothing has changed.
        """

        def bar_tick(number: int) -> Tick:
            self._plan_for(self.controls.session, now)  # a metre may just have been set
            return self.planner.meters.start_of(number)

        moved = now if at is None else at
        match self.controls.apply(name, value, bar_tick=bar_tick, now=moved):
            case None:
                pass
            case Call() as call:
                self._calls[call] = None
            case Recall(number):
                self._recall = self._controllers.scene(number)
            case Store(number):
                self._controllers.store(number, self.controls.session)
            case Learn(control):
                self._controllers.learn(control, now)
            case Forget(control):
                self._controllers.forget(control)
            case command:
                self._tell(command, now)

    def adopt(self, session: Session) -> None:
        """Take a whole session, as after a reload of the settings."""
        self.controls.session = session

    def reported(self, report: AnyReport, now: Seconds) -> None:
        """Take what the engine says."""
        match report:
            case EngineState():
                self._engine_is(report)
            case BarEntered():
                self.planner.bar_entered(report)
                self._status = replace(self._status, bar_style=report.style, origin=report.origin)
            case EngineCounters():
                foreign = report.foreign_pulses > self._status.engine.foreign_pulses
                self._status = replace(self._status, engine=report, hears_foreign=foreign)
            case Ready():
                self._connections.begin(report)
                self._status = replace(
                    self._status, backend=report.backend, ports=report.ports, detail=report.detail
                )
            case ControlInput():
                self._heard(report, now)
            case PortMoved():
                self._connections.moved(report)
                if report.up and report.port in ("", FEEDBACK_PORT):
                    self._controllers.forget_shown()
            case ReceiversSeen():
                self._connections.receivers = report.names

    def engine_started(self, now: Seconds) -> None:
        """Tell a new engine everything: it holds nothing, and may have to take a song over."""
        self.planner.engine_lost()
        self._engine_is_there = True
        self._commands_told = 0
        self._parameters_told, self._kit_told = None, ""
        # the one before, of this daemon or of one that died, may have left notes sounding
        self._takeover, self._taken_over_after = (Panic(),), 0
        status = self._status
        before: list[Command] = []
        if self.rolling:
            self.planner.rejoined(status.timeline, now)
            self._takeover = (Panic(), Rejoin(status.timeline, status.lock != "internal"))
            self._taken_over_after = math.inf
        elif status.stored_tick:
            before.append(Locate(status.stored_tick))
        if status.transport is TransportState.ARMED:
            before.append(Continue() if status.stored_tick else Start())
        self._commands[:0] = before

    def engine_lost(self) -> None:
        """Take note that there is no engine: until there is, nobody has what is sent."""
        self._engine_is_there = False
        self._status = replace(self._status, ready=False)
        self.planner.engine_lost()

    def bars_written(self, bars: Sequence[WrittenBar], refused: Sequence[BarRequest] = ()) -> None:
        """Take what the generator wrote, and what it could not write."""
        self.planner.bars_written(bars)
        if refused:
            self.planner.bars_refused(refused)

    def generator_lost(self) -> None:
        """Take note that what was asked of the generator will not come."""
        self.planner.generator_lost()

    # --- what it answers -------------------------------------------------------------------

    def advance(self, now: Seconds) -> Turn:
        """Return what is to be done now about all that was told."""
        self._log.tell(now)
        self._plan_for(self.controls.session, now)
        calls, self._calls = self._calls, {}
        for call in calls:
            self.planner.call(call, now)
        wake = self._recall_in_time(now)
        commands = self._told(now) if self._engine_is_there else ()
        return Turn(commands, tuple(self._controllers.take_files()), wake)

    def urgent(self) -> tuple[Command, ...]:
        """Return what the engine is told before the turn, if anything: transport waits for nobody.

        What was set before it goes before it.
        """
        there = self._engine_is_there and not self._takeover
        if not there or not any(isinstance(command, _URGENT) for command in self._commands):
            return ()
        commands = (*self._settings(), *self._commands)
        self._commands = []
        self._commands_told += len(commands)
        return commands

    def requests(self, most: int = EVERYTHING) -> tuple[tuple[Item, ...], Bpm]:
        """Return what the generator should write next, ``most`` bars together, and at what tempo.

        They count as asked for.
        """
        items = self.planner.requests(most)
        number = items[0].request.number if items else self.planner.bar
        return items, self.planner.tempo_told(number)

    @property
    def bar_seconds(self) -> float:
        """How long the bar that sounds lasts, or the one to begin with."""
        bar = self.planner.meters.meter_of(self.planner.bar)
        return bar.ticks / TICKS_PER_BEAT * 60.0 / self.planner.tempo

    def _told(self, now: Seconds) -> tuple[Command, ...]:
        """Return what the engine is told: settings first, and transport before the bars."""
        commands = list(self._settings())
        plan = self.planner.plan(now)
        bars = () if plan is None else (plan,)
        if self._takeover:
            # a song that goes on needs its bars first
            commands += [*bars, *self._takeover]
            self._taken_over_after = self._commands_told + len(commands)
            self._takeover = bars = ()
        commands += [*self._commands, *bars]
        self._commands = []
        shown = self._controllers.shown(now)
        if shown is not None:
            commands.append(shown)
        self._commands_told += len(commands)
        return tuple(commands)

    def _settings(self) -> tuple[Command, ...]:
        """Return what brings the engine's settings up to date."""
        parameters = self.controls.session.parameters
        if parameters == self._parameters_told:
            return ()
        self._parameters_told = parameters
        return (*self._kit(parameters.kit), parameters)

    def _kit(self, name: str) -> tuple[Command, ...]:
        """Return what has the engine sound on the kit of that name or path, if it does not."""
        if name == self._kit_told:
            return ()
        self._kit_told = name
        try:
            return (UseKit.of(load_kit(name)),)
        except KitError as error:
            log.error("%s; the kit stays as it was", error)  # noqa: TRY400 - one line
            return ()

    def _plan_for(self, session: Session, now: Seconds, quantum: Quantum | None = None) -> None:
        """Have the planner know ``session``; all that is new in it at ``quantum``, if given."""
        if session != self._planned_for:
            self._planned_for = session
            self.planner.set_session(session, now, quantum)

    def _tell(self, command: Command, now: Seconds) -> None:
        """Keep a command for the next turn; what says the same again is said once."""
        if isinstance(command, Stop) and not self._engine_is_there and self.rolling:
            # there is nothing to stop, and nothing is to be taken over
            tick = Tick(max(0, math.floor(self._status.timeline.tick_at(now))))
            self._status = replace(self._status, transport=TransportState.STOPPED, stored_tick=tick)
        last = self._commands[-1] if self._commands else None
        if isinstance(command, Nudge) and isinstance(last, Nudge):
            ms = max(-NUDGE_LIMIT_MS, min(NUDGE_LIMIT_MS, last.ms + command.ms))
            self._commands[-1] = Nudge(ms)
        elif isinstance(command, Locate) and isinstance(last, Locate):
            self._commands[-1] = command
        elif command != last:
            self._commands.append(command)
            del self._commands[:-COMMANDS_MAX]

    def _engine_is(self, state: EngineState) -> None:
        status = replace(self._status, heartbeats=self._status.heartbeats + 1, ready=True)
        if state.obeyed < self._taken_over_after:
            self._status = status
            return  # it does not know yet that the song goes on
        ended = self.rolling and state.transport is TransportState.STOPPED
        self._status = replace(
            status,
            transport=state.transport,
            lock=state.lock,
            master=state.master,
            timeline=state.timeline,
            stored_tick=state.tick,
        )
        self.planner.engine_is(state)
        if state.obeyed == self._commands_told:
            # nothing is on its way: what it does not hold now, it does not have
            self.planner.engine_holds(state.bars)
        if ended:
            self.controls.song_stopped()

    def _heard(self, heard: ControlInput, now: Seconds) -> None:
        for move in self._controllers.heard(heard):
            try:
                self.control(move.control, move.value, now=now, at=heard.at)
            except ControlError as error:
                self._log.log(logging.INFO, str(error), now)

    def _recall_in_time(self, now: Seconds) -> Seconds:
        """Put a scene on that is due; return when to look again.  The last that was called counts.

        It sounds from the bar line on; at rest it is due at once.
        """
        if self._recall is None:
            return Seconds(math.inf)
        wait = self.planner.until_bar_line(now) - RECALL_LEAD
        if wait > 0:
            # the tempo may change meanwhile: look again when half of it is over
            return Seconds(now + (wait / 2 if wait > RECALL_LEAD else wait))
        scene, self._recall = self._recall, None
        put_on(self.controls, scene)
        self._controllers.forget_shown()
        self._plan_for(self.controls.session, now, Quantum.BAR)
        return Seconds(math.inf)
