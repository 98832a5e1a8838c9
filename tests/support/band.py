"""Engine, planner and a generator that can be made to fail, together on virtual time."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from drumigen.bank.bank import load_bank
from drumigen.pattern import Bar
from drumigen.units import Bpm, Seconds
from drumigen_daemon.controls.binding import ControllerMap
from drumigen_daemon.controls.controllers import RECALL_LEAD
from drumigen_daemon.controls.scenes import SceneBook, put_on, scene_of
from drumigen_daemon.controls.surface import Surface
from drumigen_daemon.controls.table import Controls, Learn, Recall, Store
from drumigen_daemon.controls.tap_tempo import TapTempo
from drumigen_daemon.controls.values import shipped_styles
from drumigen_daemon.engine.messages import BarEntered, EngineState, Heard, Report
from drumigen_daemon.generator.messages import BarRequest, Item, WrittenBar
from drumigen_daemon.generator.writers import BankWriter, BarWriter
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.session import Call, Quantum, Session
from rig import Rig


class ScriptedSource:
    """Writes bars after a delay; can be dead, hung or late as the script says."""

    def __init__(
        self, rig: Rig, writer: BarWriter, answer: Callable[[list[WrittenBar]], None]
    ) -> None:
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
        requests = [item.request for item in items]
        self.asked += requests
        bars = self.writer.write(items, tempo)

        def reply() -> None:
            if self.alive and self.busy:
                self.busy = False
                self._answer([WrittenBar(r, b) for r, b in zip(requests, bars, strict=True)])

        self.rig.at(self.rig.now + self.delay, reply)


class Band:
    """What :class:`drumigen_daemon.app.Daemon` wires, without processes."""

    def __init__(
        self,
        session: Session,
        writer: BarWriter | None = None,
        styles: Sequence[str] = (),
        maps: Sequence[ControllerMap] = (),
    ) -> None:
        self.rig = Rig()
        self.session = session
        find = shipped_styles().find
        self.planner = Planner(session, load_bank, styles, lambda style: find(style).feel)
        self.source = ScriptedSource(self.rig, writer or BankWriter(), self._written)
        self.entered: list[BarEntered] = []
        self.played: list[Bar] = []
        """As they sounded."""
        self.written: list[Bar] = []
        """Before anything was done to them."""
        self._taps = TapTempo()
        self.scenes = SceneBook()
        self.surface = Surface(
            maps, self.value_of, lambda name: styles if name in ("style", "blend") else ()
        )
        self.rig.on_report = self._reported
        self.rig.obey(session.tune)
        self.replan()

    def control(self, name: str, value: object = None) -> None:
        """Turn a control, as the daemon does."""
        controls = Controls(shipped_styles(), self.session)
        controls._taps = self._taps
        now = Seconds(self.rig.now)
        told = controls.apply(name, value, bar_tick=self.planner.meters.start_of, now=now)
        self._adopt(controls.session)
        match told:
            case None | Learn():
                pass
            case Call():
                self.planner.call(told, now)
                self.replan()
            case Recall():
                wait = self.planner.until_bar_line(now) - RECALL_LEAD
                self.rig.at(max(now, now + wait), lambda: self._put_on(told.scene))
            case Store():
                self.scenes.store(told.scene, scene_of(controls.session))
            case _:
                self.rig.obey(told)

    def _put_on(self, number: int) -> None:
        controls = Controls(shipped_styles(), self.session)
        scene = self.scenes.scene(number)
        assert scene is not None
        put_on(controls, scene)
        self._adopt(controls.session, Quantum.BAR)

    def value_of(self, name: str) -> object:
        return Controls(shipped_styles(), self.session).value_of(name)

    def change(self, **changes: object) -> None:
        self._adopt(replace(self.session, **changes))  # type: ignore[arg-type]

    def _adopt(self, session: Session, quantum: Quantum | None = None) -> None:
        self.session = session
        self.planner.set_session(session, Seconds(self.rig.now), quantum)
        self.rig.obey(session.tune)
        self.replan()

    def kill_generator(self) -> None:
        self.source.alive = False
        self.source.busy = False
        self.planner.generator_lost()

    def revive_generator(self) -> None:
        self.source.alive = True
        self.replan()

    def replan(self) -> None:
        plan = self.planner.plan(Seconds(self.rig.now))
        if plan is not None:
            self.rig.obey(plan)
        if self.source.idle:
            items = self.planner.requests()
            if items:
                self.source.ask(items, self.planner.tempo)

    def _written(self, bars: list[WrittenBar]) -> None:
        self.planner.bars_written(bars)
        self.replan()

    def _reported(self, report: Report) -> None:
        if isinstance(report, EngineState):
            self.planner.engine_is(report)
        elif isinstance(report, BarEntered):
            self.entered.append(report)
            planned = self.rig.engine._score.at(self.planner.meters.start_of(report.number))
            assert planned is not None
            self.played.append(planned.bar)
            self.planner.bar_entered(report)
            choice = self.planner._sent.get(report.number)
            self.written.append(choice.written if choice is not None else planned.bar)
        elif isinstance(report, Heard):
            for move in self.surface.heard(report):
                self.control(move.control, move.value)
        else:
            return
        self.replan()
