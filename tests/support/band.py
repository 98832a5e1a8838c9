"""Engine, planner and a generator that can be made to fail, together on virtual time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from drumigen.pattern import Bar
from drumigen.units import Bpm, Seconds
from drumigen_daemon.control_plane import ControlPlane
from drumigen_daemon.controls.binding import ControllerMap
from drumigen_daemon.controls.controllers import ControllerSetup
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.engine import Engine
from drumigen_daemon.engine.messages import (
    AnyReport,
    BarEntered,
    Command,
    ControlInput,
    EngineState,
)
from drumigen_daemon.generator.messages import BarRequest, BatchReply, Item, batch_of
from drumigen_daemon.generator.process import batch_reply
from drumigen_daemon.generator.writers import BankWriter, BarWriter
from drumigen_daemon.planner.bar_choice import BarChoice
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.session import Session
from rig import Rig


class ScriptedSource:
    """Writes bars after a delay; can be dead, hung or late as the script says."""

    def __init__(self, rig: Rig, writer: BarWriter, answer: Callable[[BatchReply], None]) -> None:
        self.rig = rig
        self.writer = writer
        self.delay = 0.02
        self.alive = True
        self.busy = False
        self.asked: list[BarRequest] = []
        self.batches: list[tuple[Item, ...]] = []
        self._answer = answer

    @property
    def idle(self) -> bool:
        return self.alive and not self.busy

    def ask(self, items: Sequence[Item], tempo: Bpm) -> None:
        self.busy = True
        self.batches.append(tuple(items))
        self.asked += [item.request for item in items]
        reply = batch_reply(self.writer, batch_of(len(self.batches), tuple(items), tempo))

        def tell() -> None:
            if self.alive and self.busy:
                self.busy = False
                self._answer(reply)

        self.rig.at(self.rig.now + self.delay, tell)


class Band:
    """The control plane that ships, with an engine and a generator on virtual time."""

    def __init__(
        self,
        session: Session,
        writer: BarWriter | None = None,
        styles: Sequence[str] = (),
        maps: Sequence[ControllerMap] = (),
    ) -> None:
        self.rig = Rig()
        self.plane = ControlPlane(
            session, known_styles(), ready=styles, setup=ControllerSetup(tuple(maps))
        )
        self.source = ScriptedSource(self.rig, writer or BankWriter(), self._written)
        self.entered: list[BarEntered] = []
        self.played: list[Bar] = []
        """As they sounded."""
        self.written: list[Bar] = []
        """Before anything was done to them."""
        self.choices: list[BarChoice | None] = []
        """What they were put together from; None for one that was never sent so."""
        self.engine_lives = True
        self._advancing = self._again = False
        self.rig.on_report = self._reported
        self.start_engine()

    @property
    def planner(self) -> Planner:
        return self.plane.planner

    @property
    def session(self) -> Session:
        return self.plane.controls.session

    def control(self, name: str, value: object = None) -> None:
        """Turn a control, as through any door of the daemon."""
        self.plane.control(name, value, now=Seconds(self.rig.now))
        self._obey(self.plane.urgent())
        self.replan()

    def change(self, **changes: object) -> None:
        self.plane.adopt(replace(self.session, **changes))  # type: ignore[arg-type]
        self.replan()

    def start_engine(self) -> None:
        """Let there be an engine, in place of one that died if there was one."""
        if not self.engine_lives:
            self.rig.engine = Engine(self.rig.output, Seconds(self.rig.now))
        self.engine_lives = True
        self.plane.engine_started(Seconds(self.rig.now))
        self.replan()

    def kill_engine(self) -> None:
        """Let the engine die: what it held is gone, and nobody takes what is sent."""
        self.engine_lives = False
        self.rig.output.withdraw()
        self.rig.engine = Engine(self.rig.output, Seconds(self.rig.now))
        self.plane.engine_lost()
        self.replan()

    def kill_generator(self) -> None:
        self.source.alive = False
        self.source.busy = False
        self.plane.generator_lost()

    def revive_generator(self) -> None:
        self.source.alive = True
        self.replan()

    def replan(self) -> None:
        """Do what is to be done, as the daemon does, and again if that had consequences."""
        self._again = True
        while self._again and not self._advancing:
            self._again, self._advancing = False, True
            turn = self.plane.advance(Seconds(self.rig.now))
            self._obey(turn.commands)
            for write in turn.files:
                write()
            if self.source.idle:
                items, tempo = self.plane.requests()
                if items:
                    self.source.ask(items, tempo)
            if turn.wake < math.inf:
                self.rig.at(turn.wake, self.replan)
            self._advancing = False

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if self.engine_lives:
                self.rig.obey(command)

    def _written(self, reply: BatchReply) -> None:
        self.plane.bars_written(reply.bars, reply.refused)
        self.replan()

    def _reported(self, report: AnyReport) -> None:
        if not self.engine_lives:
            return
        if isinstance(report, BarEntered):
            self.entered.append(report)
            planned = self.rig.held(self.planner.meters.start_of(report.number))
            assert planned is not None
            self.played.append(planned.bar)
            choice = self.planner.choice_of(report.number)
            self.choices.append(choice)
            self.written.append(choice.written if choice is not None else planned.bar)
        self.plane.reported(report, Seconds(self.rig.now))
        if isinstance(report, EngineState | BarEntered | ControlInput):
            self._obey(self.plane.urgent())
            self.replan()
