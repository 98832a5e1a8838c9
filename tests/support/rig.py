"""Virtual time for the engine: hours of music in seconds, and a MIDI master to follow.

Nothing here sleeps.  ``Rig`` steps an :class:`Engine` from one moment of interest to the next,
as the real loop does, and ``RecordingOutput`` keeps what leaves.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from drumigen.kit import Voice, load_kit
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, MeterMap
from drumigen.units import Seconds, Tick
from drumigen_daemon.engine.engine import Engine
from drumigen_daemon.engine.inbox import MidiInbox
from drumigen_daemon.engine.messages import (
    AnyReport,
    Command,
    EngineCounters,
    EngineState,
    Plan,
    PlannedBar,
    TransportState,
)

BEGIN = 1_234.5  # no test may depend on time beginning at 0
CLOCK, START, CONTINUE, STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"


def song_position(sixteenths: int) -> bytes:
    return bytes([0xF2, sixteenths & 0x7F, sixteenths >> 7])


@dataclass(frozen=True)
class Sent:
    at: float
    port: str
    data: bytes

    @property
    def is_on(self) -> bool:
        return self.data[0] & 0xF0 == 0x90

    @property
    def is_off(self) -> bool:
        return self.data[0] & 0xF0 == 0x80


class RecordingOutput:
    """An output that plays what it is given when its time comes, and remembers it."""

    def __init__(self, lead: float = 0.010) -> None:
        self.lead = Seconds(lead)
        self.now = BEGIN
        self.sent: list[Sent] = []
        self._queue: list[tuple[float, int, Sent]] = []
        self._order = itertools.count()
        self.withdrawn = self.dropped = 0
        self.horizon = 0.0
        """Seconds ahead within which nothing can be taken back, as of a period of JACK's."""

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        at = Seconds(max(at, self.now))
        heapq.heappush(self._queue, (at, next(self._order), Sent(at, port, data)))

    def withdraw(self) -> Seconds:
        self.withdrawn += len(self._queue)
        self.play(self.now)
        horizon = math.nextafter(self.now + self.horizon, math.inf)
        self._queue = [event for event in self._queue if event[0] < horizon]
        heapq.heapify(self._queue)
        return Seconds(horizon)

    def play(self, now: float) -> None:
        self.now = now
        while self._queue and self._queue[0][0] <= now:
            self.sent.append(heapq.heappop(self._queue)[2])

    @property
    def queued(self) -> int:
        return len(self._queue)

    def notes(self, *, since: float = 0.0) -> list[Sent]:
        return [sent for sent in self.sent if sent.is_on and sent.at >= since]

    def hanging(self) -> list[tuple[int, int]]:
        """Notes that were begun and never ended, as (channel, note)."""
        ringing: dict[tuple[int, int], int] = {}
        for sent in self.sent:
            key = (sent.data[0] & 0x0F, sent.data[1] if len(sent.data) > 1 else 0)
            if sent.is_on:
                ringing[key] = 1
            elif sent.is_off:
                ringing.pop(key, None)
        return list(ringing)


@dataclass
class Rig:
    """An engine on virtual time."""

    lead: float = 0.010
    now: float = BEGIN
    reports: list[AnyReport] = field(default_factory=list)
    on_report: Callable[[AnyReport], None] | None = None
    delay: float = 0.0
    """Seconds from a message's stamp until it reaches the engine, as of a period of JACK's."""
    horizon: float = 0.0
    """Seconds ahead within which nothing can be taken back, as of such a period."""

    def __post_init__(self) -> None:
        self.output = RecordingOutput(self.lead)
        self.output.horizon = self.horizon
        self.engine = Engine(self.output, Seconds(self.now))
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wake = self.now
        self._called = False
        self.calls = 0
        """Times that MIDI woke the engine."""
        self.inbox = MidiInbox(self._call)

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), action))

    def hear(self, data: bytes, at: float | None = None, source: str = "daw") -> None:
        """Let a MIDI message arrive, now or later."""
        if at is None:
            self.inbox.put(source, data, Seconds(self.now))
            self._step()
        else:
            self.at(at + self.delay, lambda: self.inbox.put(source, data, Seconds(at)))

    def obey(self, command: Command) -> None:
        self.engine.obey(command, Seconds(self.now))
        self._step()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self._step()
        while True:
            following = min(self._wake, self._agenda[0][0] if self._agenda else end, end)
            self.now = max(self.now, following)
            self.output.play(self.now)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            if self._wake <= self.now or self._called:
                self._step()
            if self.now >= end and not (self._agenda and self._agenda[0][0] <= end):
                self._step()
                self.output.play(self.now)
                return

    def _call(self) -> None:
        self._called = True
        self.calls += 1

    def _step(self) -> None:
        self.output.now = max(self.output.now, self.now)
        self._called = False
        for source, data, at in self.inbox.take(most=1_000_000):
            self.engine.hear(source, data, at)
        self.inbox.expect(self.engine.expected_pulses)
        for _ in range(1000):
            self._wake = self.engine.advance(Seconds(self.now))
            for report in self.engine.take_reports():
                self.reports.append(report)
                if self.on_report is not None:
                    self.on_report(report)
            if self._wake > self.now:
                return
        message = f"the engine wants to be called again and again at {self.now}"
        raise AssertionError(message)

    def told(self, kind: type[Any]) -> list[Any]:
        return [report for report in self.reports if isinstance(report, kind)]

    @property
    def state(self) -> EngineState:
        state = self.told(EngineState)[-1]
        assert isinstance(state, EngineState)
        return state

    @property
    def rolling(self) -> bool:
        return self.state.transport is TransportState.ROLLING

    def held(self, tick: float) -> PlannedBar | None:
        """Return the bar at ``tick`` as the engine has it.

        The engine tells numbers only, for whole bars would be much to tell: so this looks inside.
        """
        return self.engine._score.at(tick)

    @property
    def dropped_notes(self) -> int:
        """Strokes that were too late to be struck, up to the counters told last."""
        return max((told.dropped_notes for told in self.told(EngineCounters)), default=0)

    def plan(self, bars: Iterable[PlannedBar], from_tick: int = 0) -> None:
        self.obey(Plan(tuple(bars), Tick(from_tick)))


@dataclass
class Master:
    """A DAW: clock pulses by a tempo map, with jitter, losses and all."""

    rig: Rig
    bpm: float = 120.0
    jitter: Callable[[], float] = lambda: 0.0
    source: str = "daw"

    def __post_init__(self) -> None:
        self.next_at = self.rig.now
        self.pulses: list[float] = []
        """When each pulse should have been, free of jitter."""

    @property
    def period(self) -> float:
        return 60.0 / self.bpm / 24

    def clock(self, pulses: int, *, lost: Callable[[int], bool] = lambda _: False) -> None:
        """Schedule pulses from where the last ones ended."""
        for index in range(pulses):
            at = self.next_at + index * self.period
            self.pulses.append(at)
            if not lost(index):
                self.rig.hear(CLOCK, max(at + self.jitter(), self.rig.now), self.source)
        self.next_at += pulses * self.period

    def say(self, message: bytes, before: float = 0.002) -> None:
        """Schedule a message just before the next pulse."""
        self.rig.hear(message, max(self.rig.now, self.next_at - before), self.source)

    def finish(self) -> None:
        """Let everything that was scheduled happen."""
        self.rig.run(max(0.0, self.next_at - self.rig.now))


def gaussian(sigma: float, seed: int = 1) -> Callable[[], float]:
    source = random.Random(seed)
    return lambda: source.gauss(0.0, sigma)


FOUR_FOUR = Meter(4, 4)


def quarter_bar(voice: Voice = Voice.KICK, meter: Meter = FOUR_FOUR) -> Bar:
    """A bar with one hit on each quarter."""
    ticks = range(0, meter.ticks, 1920)
    return Bar(meter, tuple(Hit(Tick(tick), voice, 100) for tick in ticks))


def song(bar: Bar, bars: int, first: int = 0, style: str = "test") -> list[PlannedBar]:
    """The same bar again and again, from bar ``first`` on."""
    meters = MeterMap.constant(bar.meter)
    return [
        PlannedBar(number, meters.start_of(number), bar, style)
        for number in range(first, first + bars)
    ]


def note_of(voice: Voice) -> int:
    return load_kit("gm").note_of(voice).note
