"""The engine: MIDI in, commands in; notes, clock and reports out.  Sans I/O.

It is fed MIDI bytes with stamps and commands with the time, is advanced to a time, and says when
it wants to be called again.  ``engine/process.py`` runs it on real ports and real time; tests run
it on a recording output and virtual time.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from drumigen.kit import load_kit
from drumigen.midi.status import CONTINUE, SONG_POSITION, START, STOP
from drumigen.timeline import Timeline
from drumigen.units import Seconds, Tick
from drumigen_daemon.clock.midi_clock import ExpectedPulses
from drumigen_daemon.engine.conductor import Conductor
from drumigen_daemon.engine.control_buffer import ControlBuffer
from drumigen_daemon.engine.inbox import HEARD_TOGETHER
from drumigen_daemon.engine.messages import (
    FEEDBACK_PORT,
    AnyReport,
    BarEntered,
    Command,
    Continue,
    EngineCounters,
    EngineParameters,
    EngineState,
    Locate,
    Nudge,
    Origin,
    Panic,
    Plan,
    PlayedBar,
    PortMoved,
    ReceiversSeen,
    Rejoin,
    ReOne,
    SendFeedback,
    Shutdown,
    Start,
    Stop,
    TransportState,
    UseKit,
)
from drumigen_daemon.engine.output_protocol import NOTES_PORT, Output
from drumigen_daemon.engine.player import Player
from drumigen_daemon.engine.score import Score
from drumigen_daemon.histogram import LATENESS_BOUNDS, Tally
from drumigen_daemon.ports import PortChange
from drumigen_daemon.ports.midi import CLOCK_PULSE, MidiStream
from drumigen_daemon.process.log_line import LogLevel, LogLine

LINE_PERIOD: Final = 0.25
"""Seconds between two looks at whether the timeline that was told still holds: within..."""
LINE_HOLDS: Final = 0.0005
"""...so many seconds..."""
TEMPO_HOLDS: Final = 0.05
"""...and so many BPM, which is what anybody is shown."""
STATE_PERIOD: Final = 1.0
"""Seconds after which the state is told even so: our heartbeat."""
COUNTERS_PERIOD: Final = 1.0
REPORTED_EARLIER: Final = HEARD_TOGETHER
"""Seconds before its time within which a report is made when something else wakes us."""


class Engine:
    """Everything that must happen on time; owned by one thread."""

    def __init__(self, output: Output, now: Seconds, lateness: deque[float] | None = None) -> None:
        """Stand still at tick 0 with the default settings of :class:`EngineParameters`.

        ``lateness`` is where the output notes by how many seconds each note was late, if it
        knows better than the player.
        """
        self._parameters = EngineParameters()
        self._output = output
        self._score = Score()
        self._player = Player(output, self._score, load_kit())
        self._conductor = Conductor(self._player, output, self._log, now)
        self._controls = ControlBuffer()
        self._streams: dict[str, MidiStream] = {}
        self._reports: list[AnyReport] = []
        self._line_due = self._state_due = float(now)
        self._counters_due = now + COUNTERS_PERIOD
        self._told: tuple[object, ...] = ()
        self._told_timeline = self._conductor.timeline
        self._obeyed = 0
        self._repeated_bars = 0
        self._port_losses = 0
        self._players: set[str] = set()
        self._receivers: tuple[str, ...] | None = None
        self.stopped = False
        """True once it was shut down."""
        self._lateness = self._player.lateness if lateness is None else lateness
        self._lateness_tally = Tally(LATENESS_BOUNDS)

    def hear(self, source: str, data: bytes, at: Seconds) -> None:
        """Take bytes from a MIDI input; anything at all is allowed."""
        stream = self._streams.get(source)
        if stream is None:
            stream = self._streams[source] = MidiStream()
        for message in stream.feed(data):
            status = message[0]
            if message == CLOCK_PULSE:
                self._conductor.pulse(source, at)
            elif status in (START, CONTINUE, STOP, SONG_POSITION):
                self._conductor.message(source, message, at)
            elif status < 0xF0:
                self._controls.put(source, message, at)

    def obey(self, command: Command, now: Seconds) -> None:  # noqa: PLR0912 - one each
        """Carry out a command of the control plane."""
        self._obeyed += 1
        match command:
            case Plan():
                self._plan(command, now)
            case EngineParameters():
                self._apply(command, now)
            case Start():
                self._conductor.start(now)
            case Continue():
                self._conductor.continue_(now)
            case Stop():
                self._conductor.stop(now)
            case Locate():
                self._conductor.locate(command.tick, now)
            case ReOne():
                self._conductor.re_one(now)
            case Nudge():
                self._conductor.nudge(Seconds(command.ms / 1000.0), now)
            case SendFeedback():
                for message in command.messages:
                    self._output.send(FEEDBACK_PORT, bytes(message), now)
            case Rejoin():
                self._conductor.rejoin(command.timeline, now, external=command.external)
            case UseKit():
                self._player.set_kit(command.kit, now)
            case Panic():
                self._player.recall(now)
                self._player.panic(now)
            case Shutdown():
                self.shut_down(now)

    def _plan(self, plan: Plan, now: Seconds) -> None:
        self._player.recall(now)
        from_tick = self._player.first_open(plan.from_tick, plan.grid, now)
        # what began in a bar that is over by then began too late for it
        bars = (b for b in plan.bars if not b.start < plan.from_tick < b.end <= from_tick)
        self._score.plan(bars, from_tick)
        self._player.recall(now)

    def shut_down(self, now: Seconds) -> None:
        """End the song and everything that sounds, for good."""
        self._conductor.stop(now)
        self._player.clock.end()
        self._player.recall(now)
        self._player.panic(now)
        self._collect()
        self.stopped = True

    def ports_changed(self, changes: Sequence[PortChange], now: Seconds) -> None:
        """Take what the backend noticed; whoever is back may still hold notes from before."""
        for change in changes:
            self._reports.append(PortMoved(change.port, change.peer, change.up, change.patterns))
            self._played_by(change)
            name = (
                f"{change.peer} (connected to {change.port})" if change.port else "the MIDI system"
            )
            if change.up:
                self._log("info", f"{name} is there")
                if change.note:
                    self._log("warning", f"{name}: {change.note}")
                if change.port in ("", NOTES_PORT):
                    self._player.recall(now)
                    self._player.panic(now)
            else:
                self._port_losses += 1
                self._log("warning", f"lost {name}: waiting for it to come back")

    def _played_by(self, change: PortChange) -> None:
        """Keep count of who plays our notes."""
        if not change.port:
            self._players.clear()
        elif change.port == NOTES_PORT:
            (self._players.add if change.up else self._players.discard)(change.peer)

    @property
    def is_played(self) -> bool:
        """Whether anybody is known to play our notes."""
        return bool(self._players)

    def receivers_seen(self, names: Sequence[str]) -> None:
        """Take the ports that could play our notes."""
        if tuple(names) != self._receivers:
            self._receivers = tuple(names)
            self._reports.append(ReceiversSeen(self._receivers))

    def advance(self, now: Seconds) -> Seconds:
        """Do everything that is due; return when to be called again at the latest."""
        wake = self._conductor.advance(now)
        wake = min(wake, self._player.advance(now, early=self._conductor.steady))
        self._collect()
        if now >= self._controls.due:
            self._reports.extend(self._controls.take())
        self._report_state(now)
        if now >= self._counters_due - REPORTED_EARLIER:
            self._report_counters(now)
        return Seconds(min(wake, self._controls.due, self._line_due, self._counters_due))

    @property
    def at_rest(self) -> bool:
        """Whether the song neither rolls nor is about to."""
        return self._conductor.transport is TransportState.STOPPED

    @property
    def expected_pulses(self) -> ExpectedPulses | None:
        """The clock pulses that may wait for one another: they would be no news."""
        return self._conductor.expected_pulses

    def take_reports(self) -> list[AnyReport]:
        """Return what happened since the last call."""
        reports, self._reports = self._reports, []
        return reports

    def _apply(self, parameters: EngineParameters, now: Seconds) -> None:
        before, self._parameters = self._parameters, parameters
        if (parameters.offset_ms, parameters.voice_offsets_ms) != (
            before.offset_ms,
            before.voice_offsets_ms,
        ):
            by_voice = {voice: ms / 1000.0 for voice, ms in parameters.voice_offsets_ms.items()}
            self._player.set_offsets(Seconds(parameters.offset_ms / 1000.0), by_voice, now)
        self._conductor.apply(parameters, now)

    def _collect(self) -> None:
        log = self._player.log
        while log.entered:
            bar = log.entered.popleft()
            self._repeated_bars += bar.origin is Origin.REPEATED
            self._reports.append(BarEntered(bar.number, bar.style, bar.origin))
        while log.finished:
            over = log.finished.popleft()
            bar, meter = over.planned, str(over.planned.bar.meter)
            self._reports.append(
                PlayedBar(
                    bar.number,
                    bar.start,
                    meter,
                    bar.style,
                    bar.origin,
                    over.tempo,
                    over.notes,
                    over.tempos,
                )
            )

    def _report_state(self, now: Seconds) -> None:
        conductor = self._conductor
        bar = self._player.bar
        told = (conductor.transport, conductor.lock, conductor.master, conductor.moves, bar)
        if told == self._told and now < self._line_due - REPORTED_EARLIER:
            return
        timeline, tick = conductor.timeline, conductor.position
        self._line_due = _due_again(self._line_due, now, LINE_PERIOD)
        heard_of_us = now < self._state_due - REPORTED_EARLIER
        if told == self._told and heard_of_us and _holds(self._told_timeline, timeline, now):
            return
        self._told, self._told_timeline = told, timeline
        if conductor.transport is TransportState.ROLLING:
            tick = Tick(math.floor(timeline.tick_at(now)))
        self._reports.append(
            EngineState(
                conductor.transport,
                conductor.lock,
                timeline,
                tick,
                conductor.master,
                conductor.moves,
                self._obeyed,
                self._score.numbers,
            )
        )
        self._state_due = _due_again(self._state_due, now, STATE_PERIOD)

    def _report_counters(self, now: Seconds) -> None:
        for seconds in self._lateness:
            self._lateness_tally.add(max(0.0, seconds))
        lateness = sorted(max(0.0, 1e6 * seconds) for seconds in self._lateness)
        self._lateness.clear()

        def quantile(share: float) -> float:
            return lateness[int(share * (len(lateness) - 1))] if lateness else 0.0

        clock = self._conductor.follower.counters
        self._reports.append(
            EngineCounters(
                notes=self._player.notes,
                late_notes=self._player.late_notes,
                dropped_notes=self._player.dropped_notes + self._output.dropped,
                repeated_bars=self._repeated_bars,
                pulses=clock.pulses,
                lost_pulses=clock.lost,
                duplicate_pulses=clock.duplicates,
                foreign_pulses=clock.foreign,
                drop_outs=clock.drop_outs,
                resyncs=self._conductor.resyncs,
                port_losses=self._port_losses,
                controls_coalesced=self._controls.coalesced,
                lateness_p50_us=quantile(0.5),
                lateness_p99_us=quantile(0.99),
                lateness_max_us=quantile(1.0),
                clock_jitter_us=1e6 * self._conductor.jitter,
                lateness=self._lateness_tally.histogram,
                clock_error=self._conductor.clock_errors.histogram,
            )
        )
        self._counters_due = _due_again(self._counters_due, now, COUNTERS_PERIOD)

    def _log(self, level: LogLevel, text: str) -> None:
        self._reports.append(LogLine(level, text))


def _holds(told: Timeline, timeline: Timeline, now: Seconds) -> bool:
    """Tell whether who knows ``told`` knows ``timeline``."""
    tempo, moved = abs(timeline.tempo - told.tempo), abs(told.time_of(timeline.tick_at(now)) - now)
    return tempo <= TEMPO_HOLDS and moved <= LINE_HOLDS


def _due_again(due: float, now: float, period: float) -> float:
    """Return when a report is due again: a period on, though this one went a little early."""
    early = 0.0 < due - now <= REPORTED_EARLIER
    return (due if early else now) + period
