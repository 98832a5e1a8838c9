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
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from drumigen.arrange import NEUTRAL, SECTIONS, Section, count_in, last_stroke
from drumigen.bank import Bank
from drumigen.feel import Feel
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick
from drumigen.variation import vary, with_crash
from drumigen_daemon.bar_request import CONTEXT_BARS, BarRequest, Item, WrittenBar
from drumigen_daemon.bar_writer import from_bank
from drumigen_daemon.conditions import ConditionMap, Conditions
from drumigen_daemon.form import Build, Call, Form, Held, Piece, Stutter
from drumigen_daemon.messages import (
    BarEntered,
    EngineState,
    Origin,
    Plan,
    PlannedBar,
    TransportState,
)
from drumigen_daemon.session import Quantum, Session
from drumigen_daemon.shape import FeelKnobs, Place, Shape
from drumigen_daemon.song_memory import PhraseMemory, SongMemory
from drumigen_daemon.status import PlanCounters

LOOK_AHEAD_BARS: Final = 2
"""Bars after the one that sounds that are planned: 4 s at 120 BPM in 4/4."""
READY_BARS: Final = 2
"""Bars, from the one that sounds on, that are ready in every style, and as a fill."""
SWITCH_MARGIN: Final = 0.005
"""Seconds before a boundary within which a change is too late for it and takes the next."""
VARIATIONS_RUNNING: Final = 3
"""Varied bars in a row before the bank takes over: variations of variations lose the groove."""
TEMPO_STEP: Final = 0.03
"""Share by which the tempo must have moved before feel, which is in milliseconds, follows it."""

FEELS_MAX: Final = 64
"""Feels that are kept mixed and turned."""

_QUANTISED: Final = ("style", "section", "half_time")
"""Conditions that wait for the quantum; the others take the next bar line."""
_CONDITIONS: Final = (
    *_QUANTISED,
    "seed",
    "density",
    "intensity",
    "temperature",
    "blend",
    "share",
)
_LIVE: Final = ("density", "intensity", "blend", "share", "feel", "mix", "drop", "stutter")
"""What acts at the next step, by rule where the bars have to be written for it."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a bar is from ``tick`` on: a bar of some source, made for ``request``."""

    tick: Tick
    request: BarRequest
    bar: Bar
    origin: Origin
    exact: bool = True
    """Whether it is the very bar that was asked for."""
    made_for: BarRequest | None = None
    """What it was written for, if that is not what was asked."""
    used: BarRequest | None = None
    """What was used up for it."""
    given: bool = False
    """Whether the form says what it is: nobody has to write it."""
    kept: bool = True
    """Whether it is worth remembering once it has sounded."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a bar of the song is going to be, and what it is made of."""

    planned: PlannedBar
    parts: tuple[_Part, ...]
    shapes: tuple[Shape, ...]
    shaped: tuple[Bar, ...]
    """Each part as it sounds."""

    @property
    def known(self) -> dict[tuple[Bar, Shape], Bar]:
        """What has been shaped, by what it was shaped from."""
        written = [part.bar for part in self.parts]
        return dict(zip(zip(written, self.shapes, strict=True), self.shaped, strict=True))

    @property
    def written(self) -> Bar:
        """The bar before anything was done to it."""
        return _joined(self.planned.start, self.parts, [part.bar for part in self.parts])


class Planner:
    """Plans one song; the session and the engine's state are told to it as they change."""

    def __init__(
        self,
        session: Session,
        bank_of: Callable[[str], Bank],
        styles: Sequence[str] = (),
        feel_of: Callable[[str], Feel] = lambda _: Feel(amount=0.0),
    ) -> None:
        """Plan for ``session``, with ``bank_of(style)`` as the last resort.

        ``styles`` are those between which the performer may switch: they are kept ready.
        """
        self._session = session
        self._bank_of = bank_of
        self._feel_of = feel_of
        self._styles = tuple(styles)
        self.meters = MeterMap.constant(session.meter)
        self.counters = PlanCounters()
        self._conditions = ConditionMap.constant(_conditions_of(session))
        self._form = Form()
        self._rolling = False
        self._line: Timeline | None = None
        self._feel_tempo = round(session.tune.tempo)
        self._tick = 0
        self._moves = 0
        self._bar = 0
        self._open_from = Tick(0)
        self._opened = False
        self._sent: dict[int, _Choice] = {}
        self._memory = SongMemory()
        self._phrases = PhraseMemory()
        self._asked: dict[BarRequest, bool] = {}  # whether its bar line was still to come
        self._last: dict[tuple[str, Meter], WrittenBar] = {}
        self._feels: dict[tuple[str, str, int, FeelKnobs], Feel] = {}

    # --- what it is told -------------------------------------------------------------------

    def set_session(self, session: Session, now: Seconds) -> None:
        """Take changed settings.

        A style takes its quantum; sections and half time the next bar line, or phrase if that is
        the quantum; a metre, and what conditions bars, the next bar line; the rest the next step.
        """
        before, self._session = self._session, session
        changed = {
            name
            for name in (*_CONDITIONS, *_LIVE)
            if getattr(session, name) != getattr(before, name)
        }
        if session.meter != before.meter:
            first = self.meters.bar_at(self._next(Quantum.BAR, now))
            self.meters = self.meters.changed(first, session.meter)
            self._reopen(first)
        for name in (name for name in _CONDITIONS if name in changed):
            self._change(name, getattr(session, name), now)
        if "stutter" in changed:
            self._form.piece = self._piece(session.stutter, now)
        if changed.intersection(_LIVE):
            self._open(self._next(Quantum.STEP, now), now)
        if session.hold != before.hold:
            self._form.held = self._held(self._bar) if session.hold else None

    def call(self, call: Call, now: Seconds) -> None:
        """Take what the performer calls for, once."""
        form, bar_line = self._form, self._next(Quantum.BAR, now)
        following = self.meters.bar_at(bar_line)
        match call:
            case Call.FILL:
                self._fill_now(now)
            case Call.FILL_NEXT:
                form.fills[following] = bar_line
            case Call.AGAIN:
                held = self._held(following - 1)
                if held is not None:
                    form.repeats[following] = held
            case Call.REROLL:
                boundary = self._next(self._session.quantum, now)
                form.reroll(boundary)
                self._open(boundary, now)
            case Call.BACK:
                boundary = self._next(self._session.quantum, now)
                form.back(boundary)
                self._open(boundary, now)
            case Call.BUILD:
                form.build = Build(following, self._session.build_bars)

    def engine_is(self, state: EngineState) -> None:
        """Take the engine's state."""
        moved = state.located != self._moves
        self._rolling = state.transport is TransportState.ROLLING
        self._line = state.line
        self._tick = max(0, state.tick)
        if abs(state.line.tempo - self._feel_tempo) > TEMPO_STEP * self._feel_tempo:
            self._feel_tempo = round(state.line.tempo)
        if moved or not self._rolling:
            self._bar = self.meters.bar_at(self._tick)
        if moved:
            self._moves = state.located
            self._open_from = Tick(0)
            self._conditions = ConditionMap.constant(
                replace(self._conditions.last, since=self._bar)
            )
            self._form.relocated()
            if self._form.piece is not None:
                self._form.piece = replace(self._form.piece, begin=Tick(0))
        if moved or not self._rolling:
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
        self._form.passed(entered.number)
        if entered.origin is not Origin.REPEATED:
            self._remember(entered.number)
        held = self._form.held
        if self._session.hold and (
            held is None or held.request.style != self._conditions.last.style
        ):
            self._form.held = self._held(entered.number)
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
        begun = self._tick_at(now) if self._rolling else -math.inf
        bars = []
        for number in self._wanted():
            sent = self._sent.get(number)
            choice = self._choose(number, sent, begun if number >= self._bar else -math.inf)
            if sent is None or choice.planned != sent.planned:
                bars.append(choice.planned)
            self._sent[number] = choice
        self._opened = False
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
            if self._given(number) is None:
                underway = self._rolling and number == self._bar
                for tick, request in self._outlook(number):
                    if not underway or tick > self._tick:
                        yield request
            if self._bar <= number < self._bar + READY_BARS:
                tick = Tick(self._end_of(number) - 1)
                yield self._request(number, self._conditions.at(tick), tick, fill=True)

    def _ready_for_a_switch(self) -> Iterator[BarRequest]:
        """Yield what a switch to any other style would need."""
        last = self._conditions.last
        for number in range(self._bar, self._bar + READY_BARS):
            for style in self._styles:
                if style == last.style:
                    continue
                conditions = replace(last, style=style)
                if number > self._bar:
                    before = self._request(number - 1, conditions)
                    if self._memory.find(before) is None:
                        continue
                yield self._request(number, conditions)
                yield self._request(number, conditions, fill=True)

    def _is_known(self, number: int) -> bool:
        """Whether a bar of the song is there, or is over, so that the next can continue it."""
        over = number < self._bar or (self._rolling and number == self._bar)
        if over or self._given(number) is not None:
            return True
        return all(self._memory.find(request) is not None for _, request in self._outlook(number))

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
                if part.request.style == style and part.kept:
                    return WrittenBar(part.request, part.bar)
        return self._memory.stands_at(style, number, sounded=number <= self._bar)

    def _forget_far(self) -> None:
        self._memory.forget_far(self._bar, self._wanted())

    # --- what is to be where ---------------------------------------------------------------

    def _wanted(self) -> list[int]:
        ahead = list(range(self._bar, self._bar + LOOK_AHEAD_BARS + 1))
        # a Start may come at any time, and its first bar must be there at once
        return ahead + [number for number in (0, 1) if number not in ahead]

    def _reopen(self, first: int) -> None:
        for number in [n for n in self._sent if n >= first]:
            del self._sent[number]

    def _open(self, tick: Tick, now: Seconds) -> None:
        """Let the bar that sounds change from ``tick`` on, or from where it still may anyway."""
        ahead = self._opened or (self._rolling and self._open_from >= self._tick_at(now))
        self._open_from = min(self._open_from, tick) if ahead else tick
        self._opened = True

    def _end_of(self, number: int) -> Tick:
        return self.meters.start_of(number + 1)

    def _tick_at(self, now: float) -> float:
        return self._line.tick_at(now) if self._line is not None else float(self._tick)

    def _next(self, quantum: Quantum, now: Seconds) -> Tick:
        """Return the tick of the next boundary that can still be kept; at rest, of the bar."""
        if not self._rolling:
            return self.meters.start_of(self._bar)
        tick = self._tick_at(now + SWITCH_MARGIN)
        bar = self.meters.bar_at(tick)
        start, meter = self.meters.start_of(bar), self.meters.meter_of(bar)
        if quantum is Quantum.PHRASE:
            bar += tick > start
            return self.meters.start_of(-(-bar // self._session.phrase) * self._session.phrase)
        length = {
            Quantum.STEP: TICKS_PER_SIXTEENTH,
            Quantum.BEAT: meter.beat_ticks,
            Quantum.BAR: meter.ticks,
        }[quantum]
        return Tick(start + math.ceil(max(0.0, tick - start) / length) * length)

    def _change(self, name: str, value: object, now: Seconds) -> None:
        quantum = Quantum.BAR
        if name in _QUANTISED and (name == "style" or self._session.quantum is Quantum.PHRASE):
            quantum = self._session.quantum
        boundary = self._next(quantum, now) if self._rolling else Tick(0)
        fields = {name: value}
        if name == "section":
            fields["since"] = self.meters.bar_at(boundary) if self._rolling else self._bar
        self._conditions = self._conditions.changed(boundary, **fields)
        self._open(boundary, now)

    def _outlook(self, number: int) -> list[tuple[Tick, BarRequest]]:
        """Return what a bar is to be, each part with the tick of the song it begins at."""
        start, end = self.meters.start_of(number), self._end_of(number)
        fill_from = self._fill_from(number)
        ticks = {tick for tick, _ in self._conditions.within(start, end)}
        ticks.update(self._form.takes_within(start, end))
        if fill_from is not None:
            ticks.add(fill_from)
        return [
            (
                tick,
                self._request(
                    number,
                    self._conditions.at(tick),
                    tick,
                    fill=fill_from is not None and tick >= fill_from,
                ),
            )
            for tick in sorted(ticks)
        ]

    def _fill_from(self, number: int) -> Tick | None:
        """Return where in a bar its fill begins, if it has one."""
        start, meter = self.meters.start_of(number), self.meters.meter_of(number)
        conditions, session = self._conditions.at(start), self._session
        if conditions.section is Section.ENDING:
            return start if number == conditions.since else None
        begins = []
        if number in self._form.fills:
            begins.append(self._form.fills[number])
        every = session.fill_every
        if every and session.fill_amount and number % every == every - 1:
            beats = meter.numerator
            filled = max(1, round(session.fill_amount * beats / 100))
            begins.append(Tick(start + (beats - filled) * meter.beat_ticks))
        return min(begins, default=None)

    def _lands(self, number: int) -> bool:
        """Whether something leads to the one of a bar: a fill, a build, a count-in."""
        if number == 0:
            return False
        build = self._form.build
        built = build is not None and number == build.first + build.bars
        counted = number == self._session.count_in
        return built or counted or self._fill_from(number - 1) is not None

    def _request(
        self, number: int, conditions: Conditions, tick: Tick | None = None, *, fill: bool = False
    ) -> BarRequest:
        blended = conditions.share > 0 and conditions.blend not in ("", conditions.style)
        start = self.meters.start_of(number)
        density, intensity = _points(conditions)
        return BarRequest(
            conditions.style,
            number,
            self.meters.meter_of(number),
            conditions.seed,
            fill or (tick is None and self._fill_from(number) == start),
            self._lands(number),
            density,
            intensity,
            conditions.temperature,
            conditions.section,
            conditions.blend if blended else "",
            conditions.share if blended else 0,
            self._form.take_at(start if tick is None else tick),
        )

    def _given(self, number: int) -> _Part | None:
        """Return the bar that the form itself dictates at a place, if any."""
        start, meter = self.meters.start_of(number), self.meters.meter_of(number)
        conditions = self._conditions.at(start)
        request = self._request(number, conditions, start)
        if number < self._session.count_in:
            bar = count_in(meter)
            return _Part(start, request, bar, Origin.GENERATED, given=True, kept=False)
        if conditions.section is Section.ENDING and number > conditions.since:
            bar = last_stroke(meter) if number == conditions.since + 1 else Bar(meter)
            return _Part(start, request, bar, Origin.GENERATED, given=True, kept=False)
        held = self._form.repeats.get(number)
        if held is None and self._form.held is not None and number > self._form.held.number:
            held = self._form.held
        if held is None or (held.request.style, held.bar.meter) != (conditions.style, meter):
            return None
        made = held.request
        return _Part(start, request, held.bar, Origin.REMEMBERED, made_for=made, given=True)

    # --- what the performer calls for ------------------------------------------------------

    def _fill_now(self, now: Seconds) -> None:
        tick = self._next(Quantum.STEP, now)
        number = self.meters.bar_at(tick)
        if self._end_of(number) - tick < self.meters.meter_of(number).beat_ticks:
            number += 1
            tick = self.meters.start_of(number)
        self._form.fills[number] = min(tick, self._form.fills.get(number, tick))
        self._open(tick, now)

    def _held(self, number: int) -> Held | None:
        choice = self._sent.get(number)
        if choice is None:
            return None
        return Held(number, choice.parts[-1].request, choice.written)

    def _piece(self, stutter: Stutter, now: Seconds) -> Piece | None:
        """Return what is to be repeated from the next step on; what was just heard, if silent."""
        if stutter is Stutter.OFF:
            return None
        begin = self._next(Quantum.STEP, now)
        number = self.meters.bar_at(begin)
        choice = self._sent.get(number)
        bar = choice.written if choice is not None else Bar(self.meters.meter_of(number))
        first = begin - self.meters.start_of(number)
        hits: tuple[Hit, ...] = ()
        for start in (first, first - stutter.ticks):
            hits = hits or tuple(
                replace(hit, tick=Tick(hit.tick - start))
                for hit in bar.hits
                if start <= hit.tick < start + stutter.ticks
            )
        return Piece(begin, stutter.ticks, hits)

    # --- how it chooses --------------------------------------------------------------------

    def _choose(self, number: int, sent: _Choice | None, begun: float) -> _Choice:
        """Return what a bar is to be; what of it has begun by tick ``begun`` stays as it is."""
        start = self.meters.start_of(number)
        parts = [part for part in sent.parts if part.tick <= begun] if sent is not None else []
        given = self._given(number)
        if given is not None and not parts:
            parts = [given]
        elif given is None or not parts[-1].given:
            after = parts[-1].tick if parts else -1
            old = {(p.tick, p.request): p for p in sent.parts if not p.given} if sent else {}
            for tick, request in self._outlook(number):
                if tick > after:
                    parts.append(self._part(tick, request, old.get((tick, request))))
            if len(parts) == 1 and after < 0:
                parts[0] = self._unlike_before(number, parts[0])
        shapes = tuple(self._shape(number, start, part) for part in parts)
        if sent is not None and tuple(parts) == sent.parts and shapes == sent.shapes:
            return sent
        known = sent.known if sent is not None else {}
        shaped = tuple(
            known.get((part.bar, shape)) or shape.applied(part.bar)
            for part, shape in zip(parts, shapes, strict=True)
        )
        bar = _joined(start, parts, shaped)
        if sent is not None and begun > start:
            bar = _continued(sent.planned.bar, bar, self._open_from - start)
        last = parts[-1]
        planned = PlannedBar(number, start, bar, last.request.style, last.origin)
        return _Choice(planned, tuple(parts), shapes, shaped)

    def _part(self, tick: Tick, request: BarRequest, old: _Part | None) -> _Part:
        if old is not None and (old.exact or self._memory.find(request) is None):
            return old
        return self._best(tick, request)

    def _unlike_before(self, number: int, part: _Part) -> _Part:
        """Return ``part``, varied if it would be the third of a kind running."""
        before = [self._sent.get(n) for n in (number - 1, number - 2)]
        if not self._session.variation or part.given:
            return part
        if all(c is not None and len(c.parts) == 1 and c.parts[0].bar == part.bar for c in before):
            return replace(part, bar=vary(part.bar, _seed(part.request)))
        return part

    def _shape(self, number: int, start: Tick, part: _Part) -> Shape:
        conditions, session = self._conditions.at(part.tick), self._session
        place = Place(number, start, conditions.seed, self._feel_tempo)
        feel = self._feel(part.request.style)
        piece = self._form.piece
        if piece is not None:
            piece = piece.in_bar(start) if piece.begin < self._end_of(number) else None
        if part.given and not part.kept:
            return Shape(place, feel, mix=session.mix)
        made = part.made_for or part.request
        live = replace(conditions, density=session.density, intensity=session.intensity)
        wanted, written = _points(live), (made.density, made.intensity)
        density, intensity = (
            0 if want == have else _point(want) - _point(have)
            for want, have in zip(wanted, written, strict=True)
        )
        return Shape(
            place,
            feel,
            density,
            intensity,
            part.request.section,
            conditions.half_time,
            self._form.build.part(number) if self._form.build is not None else None,
            piece,
            session.drop,
            session.mix,
        )

    def _feel(self, style: str) -> Feel:
        """Return how a style feels, as the performer has mixed and turned it."""
        session = self._session
        key = (style, session.blend, session.share, session.feel)
        feel = self._feels.get(key)
        if feel is None:
            feel = self._feel_of(style)
            if session.share and session.blend not in ("", style):
                feel = feel.mixed(self._feel_of(session.blend), session.share / 100)
            feel = session.feel.turned(feel)
            if len(self._feels) > FEELS_MAX:
                self._feels.clear()
            self._feels[key] = feel
        return feel

    def _best(self, tick: Tick, request: BarRequest) -> _Part:
        """Return the best bar at hand for what is asked."""
        found = self._memory.find(request)
        if found is not None and found[1] is Origin.REMEMBERED:
            return _Part(tick, request, found[0], Origin.REMEMBERED)
        recalled = self._recalled(request)
        if recalled is not None:
            return _Part(tick, request, _landed(request, recalled), Origin.REMEMBERED)
        if found is not None:
            bar = _landed(request, found[0])
            return _Part(tick, request, bar, Origin.GENERATED, used=request)
        near = self._memory.near(request)
        if near is not None:
            return self._stand_in(tick, request, near, Origin.GENERATED, near.request)
        older = self._memory.unplayed(request.style, request.meter, self._bar)
        if older is not None and not request.fill:
            return self._stand_in(tick, request, older, Origin.OLDER, older.request)
        last = self._last.get((request.style, request.meter))
        if last is not None and not request.fill and not self._varied_enough(request.number):
            varied = WrittenBar(last.request, vary(last.bar, _seed(request)))
            return self._stand_in(tick, request, varied, Origin.VARIATION)
        bar = _landed(request, from_bank(self._bank_of(request.style), request))
        return _Part(tick, request, bar, Origin.BANK, exact=False)

    def _recalled(self, request: BarRequest) -> Bar | None:
        """Return the bar of a section that was there before, with variation."""
        if request.fill or request.take:
            return None
        since = self._conditions.at(self.meters.start_of(request.number)).since
        bar = self._phrases.recall(request, since)
        if bar is None or not self._session.variation:
            return bar
        return vary(bar, _seed(request), 0.2)

    def _stand_in(
        self,
        tick: Tick,
        request: BarRequest,
        other: WrittenBar,
        origin: Origin,
        used: BarRequest | None = None,
    ) -> _Part:
        bar = _landed(request, other.bar)
        return _Part(tick, request, bar, origin, exact=False, made_for=other.request, used=used)

    def _varied_enough(self, number: int) -> bool:
        before = [self._sent.get(n) for n in range(number - VARIATIONS_RUNNING, number)]
        return all(c is not None and c.planned.origin is Origin.VARIATION for c in before)

    def _used(self, request: BarRequest) -> bool:
        """Whether the song had a place for what was asked."""
        choice = self._sent.get(request.number)
        return choice is not None and any(part.request == request for part in choice.parts)

    def _remember(self, number: int) -> None:
        choice = self._sent.get(number)
        if choice is None:
            return
        since = self._conditions.at(choice.planned.start).since
        for part in choice.parts:
            if part.used is not None:
                self._memory.use_up(part.used)
            if not part.kept:
                continue
            self._memory.keep_sounded(part.request, part.bar)
            if not part.request.fill:
                made = part.made_for or part.request
                self._last[part.request.style, part.request.meter] = WrittenBar(made, part.bar)
        if len(choice.parts) == 1 and choice.parts[0].kept:
            only = choice.parts[0]
            self._phrases.keep(only.request, since, only.bar, self._session.phrase)


def _conditions_of(session: Session) -> Conditions:
    return Conditions(**{name: getattr(session, name) for name in _CONDITIONS})


def _point(points: int | None) -> int:
    return NEUTRAL if points is None else points


def _points(conditions: Conditions) -> tuple[int | None, int | None]:
    """Return density and intensity, with what the section adds."""
    row = SECTIONS[conditions.section]
    density, intensity = conditions.density, conditions.intensity
    if row.density:
        density = max(0, min(100, _point(density) + row.density))
    if row.intensity:
        intensity = max(0, min(100, _point(intensity) + row.intensity))
    return density, intensity


def _joined(start: Tick, parts: Sequence[_Part], bars: Sequence[Bar]) -> Bar:
    """Return the bar at ``start`` that is, from each part's tick on, that part's of ``bars``."""
    last = bars[-1]
    if len(parts) == 1:
        return last
    begins = [part.tick - start for part in parts]
    ends = [*begins[1:], last.meter.ticks]
    hits = [
        hit
        for bar, begin, end in zip(bars, begins, ends, strict=True)
        for hit in bar.hits
        if begin <= hit.tick < end
    ]
    return Bar(last.meter, tuple(hits))


def _continued(old: Bar, new: Bar, tick: int) -> Bar:
    """Return ``old`` up to ``tick``, and ``new`` from there: what the engine makes of a plan."""
    if not 0 < tick < new.meter.ticks or old.meter != new.meter:
        return new
    hits = (
        *(hit for hit in old.hits if hit.tick < tick),
        *(hit for hit in new.hits if hit.tick >= tick),
    )
    return Bar(new.meter, hits)


def _landed(request: BarRequest, bar: Bar) -> Bar:
    """Return ``bar`` with a crash on the one, if something leads to it."""
    if not request.after_fill or any(hit.voice is Voice.CRASH for hit in bar.at(0)):
        return bar
    return with_crash(bar)


def _seed(request: BarRequest) -> int:
    """Return a stable number for what is asked, so that the same song varies the same way."""
    return zlib.crc32(msgspec.json.encode(request))
