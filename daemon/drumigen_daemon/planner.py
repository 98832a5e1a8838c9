"""The planner: keeps the next bars ready ahead of the playhead, whatever else fails.  Sans I/O.

It is told where the engine is and what the generator has written; it answers with plans for the
engine and requests for the generator.  Every bar it plans comes from the best source at hand, in
this order: sounded here before; written for this place; written for it under other conditions;
written for another place and not yet played; the last bar, varied; the style's bank.  A better
bar replaces a worse one until it begins, so that the engine is never without, and a late bar is a
normal outcome that is counted.

Of every other style the bar that sounds, the next one and a fill of each are kept ready too,
continuing that style's own line through the song, so that a switch has nothing to wait for.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import msgspec

from drumigen.bank import Bank
from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick
from drumigen.variation import vary, with_crash
from drumigen_daemon.bar_request import CONTEXT_BARS, BarRequest, Item, WrittenBar
from drumigen_daemon.bar_writer import from_bank
from drumigen_daemon.conditions import ConditionMap, Conditions
from drumigen_daemon.messages import (
    BarEntered,
    EngineState,
    Origin,
    Plan,
    PlannedBar,
    TransportState,
)
from drumigen_daemon.session import Quantum, Session
from drumigen_daemon.song_memory import SongMemory
from drumigen_daemon.status import PlanCounters

LOOK_AHEAD_BARS: Final = 2
"""Bars after the one that sounds that are planned: 4 s at 120 BPM in 4/4."""
READY_BARS: Final = 2
"""Bars, from the one that sounds on, that are ready in every style, and as a fill."""
SWITCH_MARGIN: Final = 0.005
"""Seconds before a boundary within which a change is too late for it and takes the next."""
VARIATIONS_RUNNING: Final = 3
"""Varied bars in a row before the bank takes over: variations of variations lose the groove."""
FILL_EVERY: Final = 8
"""Every so many bars the last one is a fill."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a bar is from ``tick`` on: a bar of some source, made for ``request``."""

    tick: Tick
    request: BarRequest
    bar: Bar
    origin: Origin
    exact: bool = True
    """Whether it is the very bar that was asked for."""
    used: BarRequest | None = None
    """What was used up for it."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a bar of the song is going to be, and what it is made of."""

    planned: PlannedBar
    parts: tuple[_Part, ...]


class Planner:
    """Plans one song; the session and the engine's state are told to it as they change."""

    def __init__(
        self, session: Session, bank_of: Callable[[str], Bank], styles: Sequence[str] = ()
    ) -> None:
        """Plan for ``session``, with ``bank_of(style)`` as the last resort.

        ``styles`` are those between which the performer may switch: they are kept ready.
        """
        self._session = session
        self._bank_of = bank_of
        self._styles = tuple(styles)
        self.meters = MeterMap.constant(session.meter)
        self.counters = PlanCounters()
        self._conditions = ConditionMap.constant(_conditions_of(session))
        self._rolling = False
        self._line: Timeline | None = None
        self._tick = 0
        self._moves = 0
        self._bar = 0
        self._open_from = Tick(0)
        self._sent: dict[int, _Choice] = {}
        self._memory = SongMemory()
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
        old, new = _conditions_of(before), _conditions_of(session)
        for item in fields(Conditions):
            value = getattr(new, item.name)
            if value != getattr(old, item.name):
                quantum = session.quantum if item.name == "style" else Quantum.BAR
                boundary = self._next(quantum, now) if self._rolling else Tick(0)
                self._conditions = self._conditions.changed(boundary, **{item.name: value})
                if item.name == "style":
                    self._open_from = boundary

    def engine_is(self, state: EngineState) -> None:
        """Take the engine's state."""
        moved = state.located != self._moves
        self._rolling = state.transport is TransportState.ROLLING
        self._line = state.line
        self._tick = max(0, state.tick)
        if moved:
            self._moves = state.located
            self._open_from = Tick(0)
            self._conditions = ConditionMap.constant(self._conditions.last)
        if moved or not self._rolling:
            self._bar = self.meters.bar_at(self._tick)
            self._forget_far()

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
        if entered.number == self._bar + 1:
            self._remember(self._bar)  # it may have changed since it was entered
        self._bar = entered.number
        self._conditions = self._conditions.settled(self.meters.start_of(entered.number))
        if entered.origin is not Origin.REPEATED:
            self._remember(entered.number)
        for number in [n for n in self._sent if 1 < n < entered.number - 2]:
            del self._sent[number]
        self._forget_far()

    def bars_written(self, bars: Iterable[WrittenBar]) -> None:
        """Take what the generator wrote."""
        late = 0
        for written in bars:
            request = written.request
            ahead = self._asked.pop(request, False)
            if written.bar.meter != request.meter:
                continue
            self._memory.keep_written(written)
            late += ahead and self._rolling and request.number <= self._bar and self._used(request)
        self.counters = replace(self.counters, late_bars=self.counters.late_bars + late)

    def generator_lost(self) -> None:
        """Forget what was asked: nobody is going to answer."""
        self._asked.clear()

    def engine_lost(self) -> None:
        """Forget what was sent: a new engine holds nothing."""
        self._sent.clear()
        self._rolling = False

    # --- what it answers -------------------------------------------------------------------

    def plan(self, now: Seconds) -> Plan | None:
        """Return the bars that the engine lacks, or has in a worse version; None if none."""
        begun = self._begun(now)
        bars = []
        for number in self._wanted():
            sent = self._sent.get(number)
            choice = self._choose(number, sent, begun if number >= self._bar else -math.inf)
            if sent is None or choice.planned != sent.planned:
                bars.append(choice.planned)
            self._sent[number] = choice
        return Plan(tuple(bars), self._open_from) if bars else None

    def sent_bar(self, number: int) -> PlannedBar | None:
        """Return bar ``number`` as the engine has it, if it was sent lately."""
        choice = self._sent.get(number)
        return None if choice is None else choice.planned

    @property
    def tempo(self) -> Bpm:
        """The song's tempo now."""
        return self._line.tempo if self._line is not None else self._session.tune.tempo

    def requests(self) -> tuple[Item, ...]:
        """Return what the generator should write now, together: the active style comes first.

        A bar is asked for once the bar before it, which it continues, is known.
        """
        items = self._missing(self._needed()) or self._missing(self._ready_for_a_switch())
        for item in items:
            number = item.request.number
            self._asked[item.request] = not self._rolling or number > self._bar
        return items

    # --- what the generator is asked -------------------------------------------------------

    def _missing(self, requests: Iterable[BarRequest]) -> tuple[Item, ...]:
        contexts: dict[tuple[str, int], tuple[WrittenBar, ...]] = {}
        items: dict[BarRequest, Item] = {}
        for request in requests:
            if request in self._asked or self._memory.find(request) is not None:
                continue
            place = (request.style, request.number)
            if place not in contexts:
                contexts[place] = self._context(*place)
            items[request] = Item(request, contexts[place])
        return tuple(items.values())

    def _needed(self) -> Iterator[BarRequest]:
        """Yield what the song as it stands needs, the most urgent first."""
        for number in self._wanted():
            if number not in (0, self._bar) and not self._is_known(number - 1):
                continue
            underway = self._rolling and number == self._bar
            for tick, conditions in self._outlook(number):
                if not underway or tick > self._tick:
                    yield self._request(number, conditions)
            if self._bar <= number < self._bar + READY_BARS:
                last = self._conditions.at(self._end_of(number) - 1)
                yield self._request(number, last, fill=True)

    def _ready_for_a_switch(self) -> Iterator[BarRequest]:
        """Yield what a switch to any other style would need."""
        now = self._conditions.last
        for number in range(self._bar, self._bar + READY_BARS):
            for style in self._styles:
                if style == now.style:
                    continue
                conditions = replace(now, style=style)
                before = self._request(number - 1, conditions)
                if number > self._bar and self._memory.find(before) is None:
                    continue
                yield self._request(number, conditions)
                yield self._request(number, conditions, fill=True)

    def _is_known(self, number: int) -> bool:
        """Whether a bar of the song is there, or is over, so that the next can continue it."""
        if number < self._bar or (self._rolling and number == self._bar):
            return True
        requests = (self._request(number, c) for _, c in self._outlook(number))
        return all(self._memory.find(request) is not None for request in requests)

    def _context(self, style: str, number: int) -> tuple[WrittenBar, ...]:
        bars: list[WrittenBar] = []
        while len(bars) < CONTEXT_BARS and len(bars) < number:
            bar = self._stands_at(style, number - 1 - len(bars))
            if bar is None:
                break
            bars.append(bar)
        return tuple(reversed(bars))

    def _stands_at(self, style: str, number: int) -> WrittenBar | None:
        """Return what the line of ``style`` holds in a bar."""
        choice = self._sent.get(number)
        if choice is not None and number >= self._bar:
            for part in reversed(choice.parts):
                if part.request.style == style:
                    return WrittenBar(part.request, part.bar)
        return self._memory.stands_at(style, number, sounded=number <= self._bar)

    def _forget_far(self) -> None:
        self._memory.forget_far(self._bar, self._wanted())

    # --- how it chooses --------------------------------------------------------------------

    def _wanted(self) -> list[int]:
        ahead = list(range(self._bar, self._bar + LOOK_AHEAD_BARS + 1))
        # a Start may come at any time, and its first bar must be there at once
        return ahead + [number for number in (0, 1) if number not in ahead]

    def _begun(self, now: Seconds) -> float:
        """Return the tick from which on something can still be changed."""
        if not self._rolling or self._line is None:
            return -math.inf
        return self._line.tick_at(now + SWITCH_MARGIN)

    def _reopen(self, first: int) -> None:
        for number in [n for n in self._sent if n >= first]:
            del self._sent[number]

    def _end_of(self, number: int) -> Tick:
        return self.meters.start_of(number + 1)

    def _outlook(self, number: int) -> list[tuple[Tick, Conditions]]:
        """Return under what conditions a bar is, each with the tick of the song it begins at."""
        return list(self._conditions.within(self.meters.start_of(number), self._end_of(number)))

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

    def _request(self, number: int, conditions: Conditions, *, fill: bool = False) -> BarRequest:
        blended = conditions.share > 0 and conditions.blend not in ("", conditions.style)
        return BarRequest(
            conditions.style,
            number,
            self.meters.meter_of(number),
            conditions.seed,
            fill or _is_fill(number),
            number > 0 and _is_fill(number - 1),
            conditions.density,
            conditions.intensity,
            conditions.temperature,
            conditions.section,
            conditions.blend if blended else "",
            conditions.share if blended else 0,
        )

    def _choose(self, number: int, sent: _Choice | None, begun: float) -> _Choice:
        old = {(p.tick, p.request): p for p in sent.parts} if sent is not None else {}
        parts = []
        for tick, conditions in self._outlook(number):
            request = self._request(number, conditions)
            part = old.get((tick, request))
            settled = part is not None and (part.exact or tick <= begun)
            if part is None or not (settled or self._memory.find(request) is None):
                part = self._best(tick, request)
            parts.append(part)
        if sent is not None and tuple(parts) == sent.parts:
            return sent
        bar = _joined(self.meters.start_of(number), parts)
        if self._session.variation and self._repeats(number, bar):
            bar = vary(bar, _seed(parts[-1].request))
        last = parts[-1]
        start = self.meters.start_of(number)
        planned = PlannedBar(number, start, bar, last.request.style, last.origin)
        return _Choice(planned, tuple(parts))

    def _best(self, tick: Tick, request: BarRequest) -> _Part:
        found = self._memory.find(request)
        if found is not None:
            bar, origin = found
            used = request if origin is Origin.GENERATED else None
            return _Part(tick, request, _landed(request, bar), origin, used=used)
        near = self._memory.near(request)
        if near is not None:
            bar = _landed(request, near.bar)
            return _Part(tick, request, bar, Origin.GENERATED, exact=False, used=near.request)
        older = self._memory.unplayed(request.style, request.meter, self._bar)
        if older is not None and not request.fill:
            bar = _landed(request, older.bar)
            return _Part(tick, request, bar, Origin.OLDER, exact=False, used=older.request)
        last = self._last.get((request.style, request.meter))
        if last is not None and not request.fill and not self._varied_enough(request.number):
            bar = _landed(request, vary(last, _seed(request)))
            return _Part(tick, request, bar, Origin.VARIATION, exact=False)
        bar = _landed(request, from_bank(self._bank_of(request.style), request))
        return _Part(tick, request, bar, Origin.BANK, exact=False)

    def _varied_enough(self, number: int) -> bool:
        before = [self._sent.get(n) for n in range(number - VARIATIONS_RUNNING, number)]
        return all(c is not None and c.planned.origin is Origin.VARIATION for c in before)

    def _repeats(self, number: int, bar: Bar) -> bool:
        before = [self._sent.get(n) for n in (number - 1, number - 2)]
        return all(choice is not None and choice.planned.bar == bar for choice in before)

    def _used(self, request: BarRequest) -> bool:
        """Whether the song had a place for what was asked."""
        choice = self._sent.get(request.number)
        return choice is not None and any(part.request == request for part in choice.parts)

    def _remember(self, number: int) -> None:
        choice = self._sent.get(number)
        if choice is None:
            return
        whole = len(choice.parts) == 1
        for part in choice.parts:
            if part.used is not None:
                self._memory.use_up(part.used)
            bar = choice.planned.bar if whole else part.bar
            self._memory.keep_sounded(part.request, bar)
            if not part.request.fill:
                self._last[part.request.style, part.request.meter] = bar


def _conditions_of(session: Session) -> Conditions:
    return Conditions(**{item.name: getattr(session, item.name) for item in fields(Conditions)})


def _is_fill(number: int) -> bool:
    return number % FILL_EVERY == FILL_EVERY - 1


def _joined(start: Tick, parts: Sequence[_Part]) -> Bar:
    """Return the bar that starts at ``start`` and is, from each part's tick on, that part's."""
    last = parts[-1].bar
    if len(parts) == 1:
        return last
    ends = [*(part.tick - start for part in parts[1:]), last.meter.ticks]
    hits = [
        hit
        for part, end in zip(parts, ends, strict=True)
        for hit in part.bar.hits
        if part.tick - start <= hit.tick < end
    ]
    return Bar(last.meter, tuple(hits))


def _landed(request: BarRequest, bar: Bar) -> Bar:
    """Return ``bar`` with a crash on the one, if a fill leads to it."""
    if not request.after_fill or any(hit.voice is Voice.CRASH for hit in bar.at(0)):
        return bar
    return with_crash(bar)


def _seed(request: BarRequest) -> int:
    """Return a stable number for what is asked, so that the same song varies the same way."""
    return zlib.crc32(msgspec.json.encode(request))
