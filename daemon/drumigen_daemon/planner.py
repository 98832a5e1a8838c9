"""The planner: keeps the next bars ready ahead of the playhead, whatever else fails.  Sans I/O.

It is told where the engine is and what the generator has written; it answers with plans for the
engine and requests for the generator.  Every bar it plans comes from the best source at hand, in
this order: sounded here before; written for this place; written for another place and not yet
played; the last bar, varied; the style's bank.  A better bar replaces a worse one until its bar
line, so that the engine is never without, and a late bar is a normal outcome that is counted.
"""

import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from drumigen.bank import Bank
from drumigen.pattern import Bar
from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Seconds, Tick
from drumigen.variation import vary
from drumigen_daemon.messages import (
    BarEntered,
    EngineState,
    Origin,
    Plan,
    PlannedBar,
    TransportState,
)
from drumigen_daemon.session import Quantum, Session
from drumigen_daemon.status import PlanCounters

LOOK_AHEAD_BARS: Final = 2
"""Bars after the one that sounds that are planned: 4 s at 120 BPM in 4/4."""
MEMORY_BARS: Final = 4096
"""Sounded bars that are remembered: two hours at 140 BPM."""
SWITCH_MARGIN: Final = 0.015
"""Seconds before a boundary within which a change is too late for it and takes the next."""
VARIATIONS_RUNNING: Final = 3
"""Varied bars in a row before the bank takes over: variations of variations lose the groove."""
FILL_EVERY: Final = 8
"""Every so many bars the last one is a fill."""


class BarRequest(msgspec.Struct, frozen=True):
    """A bar to be written: all that its content depends on."""

    style: str
    number: int
    meter: Meter
    seed: int
    fill: bool = False
    after_fill: bool = False
    """The bar before it was a fill: land on the one."""


class BarReply(msgspec.Struct, frozen=True):
    """The bar that was written for ``request``."""

    request: BarRequest
    bar: Bar


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a bar of the song is going to be, what for, and what was used up for it."""

    planned: PlannedBar
    request: BarRequest
    used: BarRequest | None = None


class Planner:
    """Plans one song; the session and the engine's state are told to it as they change."""

    def __init__(self, session: Session, bank_of: Callable[[str], Bank]) -> None:
        """Plan for ``session``, with ``bank_of(style)`` as the last resort."""
        self._session = session
        self._bank_of = bank_of
        self.meters = MeterMap.constant(session.meter)
        self.counters = PlanCounters()
        self._rolling = False
        self._line: Timeline | None = None
        self._tick = 0
        self._moves = 0
        self._bar = 0
        self._boundary = Tick(0)
        self._sent: dict[int, _Choice] = {}
        self._memory: dict[BarRequest, Bar] = {}
        self._written: dict[BarRequest, Bar] = {}
        self._asked: dict[BarRequest, bool] = {}  # whether its bar line was still to come
        self._last: dict[tuple[str, Meter], Bar] = {}

    # --- what it is told -------------------------------------------------------------------

    def set_session(self, session: Session, now: Seconds) -> None:
        """Take changed settings: a style at its quantum, a metre at the next bar line."""
        before, self._session = self._session, session
        if session.meter != before.meter:
            first = self.meters.bar_at(self._next(Quantum.BAR, now)) if self._rolling else self._bar
            self.meters = self.meters.changed(first, session.meter)
            self._reopen(first)
        if session.style != before.style:
            self._boundary = self._next(session.quantum, now) if self._rolling else Tick(0)
            self._reopen(self.meters.bar_at(self._boundary))
        if session.seed != before.seed:
            self._reopen(self._bar + 1 if self._rolling else 0)

    def engine_is(self, state: EngineState) -> None:
        """Take the engine's state."""
        moved = state.located != self._moves
        self._rolling = state.transport is TransportState.ROLLING
        self._line = state.line
        self._tick = max(0, state.tick)
        if moved:
            self._moves = state.located
            self._boundary = Tick(0)
        if moved or not self._rolling:
            self._bar = self.meters.bar_at(self._tick)

    def bar_entered(self, entered: BarEntered) -> None:
        """Take note that a bar has begun to sound."""
        counters = self.counters
        origins = dict(counters.by_origin)
        origins[entered.origin] = origins.get(entered.origin, 0) + 1
        self.counters = replace(
            counters,
            bars=counters.bars + 1,
            fallback_bars=counters.fallback_bars + entered.origin.fallback,
            by_origin=origins,
        )
        self._bar = entered.number
        choice = self._sent.get(entered.number)
        if choice is not None and entered.origin is not Origin.REPEATED:
            self._remember(choice)
        for number in [n for n in self._sent if 1 < n < entered.number - 2]:
            del self._sent[number]
        for request in [r for r in self._written if r.number < entered.number - FILL_EVERY]:
            del self._written[request]

    def bars_written(self, replies: Iterable[BarReply]) -> None:
        """Take what the generator wrote."""
        for reply in replies:
            ahead = self._asked.pop(reply.request, False)
            if reply.bar.meter != reply.request.meter:
                continue
            self._written[reply.request] = reply.bar
            if ahead and self._rolling and reply.request.number <= self._bar:
                self.counters = replace(self.counters, late_bars=self.counters.late_bars + 1)

    def generator_lost(self) -> None:
        """Forget what was asked: nobody is going to answer."""
        self._asked.clear()

    def engine_lost(self) -> None:
        """Forget what was sent: a new engine holds nothing."""
        self._sent.clear()
        self._rolling = False

    # --- what it answers -------------------------------------------------------------------

    def plan(self) -> Plan | None:
        """Return the bars that the engine lacks, or has in a worse version; None if none."""
        bars = []
        for number in self._wanted():
            sent = self._sent.get(number)
            if sent is not None and self._begun(number):
                continue
            choice = self._choose(number, sent)
            if choice is not sent:
                self._sent[number] = choice
                bars.append(choice.planned)
        return Plan(tuple(bars), self._boundary) if bars else None

    @property
    def bar(self) -> int:
        """The bar that sounds, or with which the song will go on; from 0."""
        return self._bar

    def sent_bar(self, number: int) -> PlannedBar | None:
        """Return bar ``number`` as the engine has it, if it was sent lately."""
        choice = self._sent.get(number)
        return None if choice is None else choice.planned

    @property
    def ahead(self) -> tuple[PlannedBar, ...]:
        """The bar that sounds or is to begin, and those after it, as the engine has them."""
        bars = map(self.sent_bar, range(self._bar, self._bar + LOOK_AHEAD_BARS + 1))
        return tuple(bar for bar in bars if bar is not None)

    def requests(self) -> tuple[BarRequest, ...]:
        """Return the bars that the generator should write now, the most urgent first."""
        requests = []
        for number in self._wanted():
            request = self._request(number)
            known = request in self._memory or request in self._written
            if not known and request not in self._asked and not self._begun(number):
                requests.append(request)
        self._asked.update((r, not self._rolling or r.number > self._bar) for r in requests)
        return tuple(requests)

    # --- how it chooses --------------------------------------------------------------------

    def _wanted(self) -> list[int]:
        ahead = list(range(self._bar, self._bar + LOOK_AHEAD_BARS + 1))
        # a Start may come at any time, and its first bar must be there at once
        return ahead + [number for number in (0, 1) if number not in ahead]

    def _begun(self, number: int) -> bool:
        """Whether it is too late to change a bar."""
        if not self._rolling or number != self._bar:
            return False
        return self._boundary <= self._tick

    def _reopen(self, first: int) -> None:
        for number in [n for n in self._sent if n >= first]:
            del self._sent[number]

    def _next(self, quantum: Quantum, now: Seconds) -> Tick:
        """Return the tick of the next boundary that can still be kept."""
        tick = self._line.tick_at(now + SWITCH_MARGIN) if self._line is not None else self._tick
        bar = self.meters.bar_at(tick)
        start, meter = self.meters.start_of(bar), self.meters.meter_of(bar)
        length = {
            Quantum.STEP: TICKS_PER_SIXTEENTH,
            Quantum.BEAT: meter.beat_ticks,
            Quantum.BAR: meter.ticks,
        }[quantum]
        return Tick(start + math.ceil(max(0.0, tick - start) / length) * length)

    def _request(self, number: int) -> BarRequest:
        fill = number % FILL_EVERY == FILL_EVERY - 1
        session = self._session
        return BarRequest(session.style, number, self.meters.meter_of(number), session.seed, fill)

    def _choose(self, number: int, sent: _Choice | None) -> _Choice:
        request = self._request(number)
        if sent is not None and sent.request == request:
            better = request in self._memory or request in self._written
            if not sent.planned.origin.fallback or not better:
                return sent
        bar, origin, used = self._best(request)
        if self._session.variation and self._repeats(number, bar):
            bar = vary(bar, _seed(request))
        planned = PlannedBar(number, self.meters.start_of(number), bar, request.style, origin)
        return _Choice(planned, request, used)

    def _best(self, request: BarRequest) -> tuple[Bar, Origin, BarRequest | None]:
        if request in self._memory:
            return self._memory[request], Origin.REMEMBERED, None
        if request in self._written:
            return self._written[request], Origin.GENERATED, request
        for other, bar in self._written.items():
            alike = (other.style, other.meter) == (request.style, request.meter)
            if alike and not other.fill and other.number < self._bar:
                return bar, Origin.OLDER, other
        last = self._last.get((request.style, request.meter))
        if last is not None and not self._varied_enough(request.number):
            return vary(last, _seed(request)), Origin.VARIATION, None
        bank = self._bank_of(request.style)
        return from_bank(bank, request), Origin.BANK, None

    def _varied_enough(self, number: int) -> bool:
        before = [self._sent.get(n) for n in range(number - VARIATIONS_RUNNING, number)]
        return all(c is not None and c.planned.origin is Origin.VARIATION for c in before)

    def _repeats(self, number: int, bar: Bar) -> bool:
        before = [self._sent.get(n) for n in (number - 1, number - 2)]
        return all(choice is not None and choice.planned.bar == bar for choice in before)

    def _remember(self, choice: _Choice) -> None:
        request, bar = choice.request, choice.planned.bar
        if choice.used is not None:
            self._written.pop(choice.used, None)
        self._memory[request] = bar
        if len(self._memory) > MEMORY_BARS:
            del self._memory[next(iter(self._memory))]
        if not request.fill:
            self._last[request.style, request.meter] = bar


def from_bank(bank: Bank, request: BarRequest) -> Bar:
    """Return what ``bank`` has for ``request``."""
    return bank.bar(
        request.number,
        request.seed,
        request.meter,
        fill=request.fill,
        after_fill=request.after_fill,
    )


def _seed(request: BarRequest) -> int:
    """Return a stable number for what is asked, so that the same song varies the same way."""
    return zlib.crc32(msgspec.json.encode(request))
