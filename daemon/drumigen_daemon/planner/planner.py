"""The planner: keeps the next bars ready ahead of the playhead, whatever else fails.  Sans I/O.

It is told where the engine is and what the generator has written; it answers with plans for the
engine and requests for the generator.  Every bar it plans comes from the best source at hand, in
this order: sounded here before; written for this place; written for it under other conditions;
written for another place and not yet played; the last bar, varied; the style's bank.  A better
bar replaces a worse one until it begins, so that the engine is never without, and a late bar is a
normal outcome that is counted.

Of every other style the bar that sounds, the next one and a fill of each are kept ready too,
continuing that style's own history, so that a switch has nothing to wait for.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from drumigen.bank.bank import Bank
from drumigen.feel.feel import Feel
from drumigen.form import Form
from drumigen.pattern import Bar, Hit
from drumigen.timeline import MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import (
    BarEntered,
    EngineState,
    Origin,
    Plan,
    PlannedBar,
    TransportState,
)
from drumigen_daemon.generator.messages import EVERYTHING, BarRequest, Item, WrittenBar
from drumigen_daemon.planner.arrangement import CONDITIONED, Arrangement, point, points
from drumigen_daemon.planner.automation import Automation
from drumigen_daemon.planner.bar_choice import BarChoice, BarPart, continued, joined
from drumigen_daemon.planner.calls import Build, Held, Piece
from drumigen_daemon.planner.fallback import Fallback, unlike
from drumigen_daemon.planner.nominal_tempo import NominalTempo
from drumigen_daemon.planner.playhead import LOOK_AHEAD_BARS, Playhead
from drumigen_daemon.planner.prefetch import Prefetch
from drumigen_daemon.planner.shape import BarPlace, FeelBlender, Shape
from drumigen_daemon.session import Call, Quantum, Session, Stutter
from drumigen_daemon.status.status import PlanCounters

VARIATIONS_RUNNING: Final = 3
"""Varied bars in a row before the bank takes over: variations of variations lose the groove."""
STILL_HEARD: Final = 1.0
"""Seconds after its end for which a bar is left as it was played."""
FEEL_TEMPO_STEP: Final = 0.03
"""Share by which our own tempo must have moved before feel, in milliseconds, follows it."""
FEEL_TEMPO_STEP_UNLOCKED: Final = 0.08
"""The same while the tempo of a master is not known well yet."""
TEMPI_KEPT: Final = 64
"""Bars either way of the playhead of which it is known for which tempo they were written."""

_QUANTISED: Final = ("style", "section", "half_time")
"""Conditions that wait for the quantum; the others take the next bar line."""
_LIVE: Final = ("density", "intensity", "blend", "share", "feel", "mix", "drop", "stutter")
"""What acts at the next step, by rule where the bars have to be written for it."""


class Planner:
    """Plans one song; the session and the engine's state are told to it as they change."""

    def __init__(
        self,
        session: Session,
        bank_of: Callable[[str], Bank],
        styles: Sequence[str] = (),
        feel_of: Callable[[str], Feel] = lambda _: Feel(amount=0.0),
        form_of: Callable[[str], Form] = lambda _: Form(),
    ) -> None:
        """Plan for ``session``, with ``bank_of(style)`` as the last resort.

        ``styles`` are those between which the performer may switch: they are kept ready.
        """
        self.counters = PlanCounters()
        self._arrangement = Arrangement(session, form_of)
        self._fallback = Fallback(bank_of)
        self._prefetch = Prefetch(self._arrangement, self._fallback.memory, styles)
        self._feels = FeelBlender(feel_of)
        self._feel_tempo = round(session.parameters.tempo)
        self._nominal_tempo = NominalTempo()
        self._nominal: Bpm | None = None
        self._tempo_told: dict[int, Bpm] = {}
        self._playhead = Playhead()
        self._follows = False
        self._moves: int | None = 0
        self._open_from = Tick(0)
        self._grid = 0
        self._opened = False
        self._planned = False
        self._sent: dict[int, BarChoice] = {}

    @property
    def meters(self) -> MeterMap:
        """The metre of every bar of the song."""
        return self._arrangement.meters

    @property
    def tempo(self) -> Bpm:
        """The song's tempo now: the master's, or what our own clock is set to."""
        timeline = self._playhead.timeline
        return (
            timeline.tempo
            if timeline and self._follows
            else self._arrangement.session.parameters.tempo
        )

    def tempo_told(self, number: int) -> Bpm:
        """Return the tempo for which bar ``number`` is written, whenever it is asked for.

        The first bars of a song lie ready before anybody plays: they are written for the tempo
        that is set.  Later ones are written for the nominal tempo of when they were first due.
        """
        if number <= LOOK_AHEAD_BARS:
            return self._arrangement.session.parameters.tempo
        return self._tempo_told.setdefault(number, self._tempo_now)

    @property
    def _tempo_now(self) -> Bpm:
        """The tempo to write and feel for: what jitter does not change."""
        return self._nominal if self._follows and self._nominal else self.tempo

    # --- what it is told -------------------------------------------------------------------

    def set_session(self, session: Session, now: Seconds, quantum: Quantum | None = None) -> None:
        """Take changed settings; all of them at ``quantum`` if that is given.

        A style takes its quantum; sections and half time the next bar line, or phrase if that is
        the quantum; a metre, and what conditions bars, the next bar line; the rest the next step.
        """
        arrangement = self._arrangement
        before, arrangement.session = arrangement.session, session
        names = (*CONDITIONED, *_LIVE)
        changed = {name for name in names if getattr(session, name) != getattr(before, name)}
        if session.meter != before.meter:
            first = self.meters.bar_at(self._next(Quantum.BAR, now))
            arrangement.meters = self.meters.changed(first, session.meter)
            for number in [n for n in self._sent if n >= first]:
                del self._sent[number]
        for name in (name for name in CONDITIONED if name in changed):
            self._change(name, getattr(session, name), now, quantum)
        if "stutter" in changed:
            arrangement.form.piece = self._piece(session.stutter, now)
        self._changed()
        if changed.intersection(_LIVE):
            self._open(quantum or Quantum.STEP, now)
        if session.hold != before.hold:
            arrangement.form.held = self._held(self._playhead.bar) if session.hold else None

    def call(self, call: Call, now: Seconds) -> None:
        """Take what the performer calls for, once."""
        form, bar_line = self._arrangement.form, self._next(Quantum.BAR, now)
        following = self.meters.bar_at(bar_line)
        self._changed()
        match call:
            case Call.FILL:
                self._fill_now(now)
            case Call.FILL_NEXT:
                form.fills[following] = bar_line
            case Call.AGAIN:
                held = self._held(following - 1)
                if held is not None:
                    form.repeats[following] = held
            case Call.REROLL | Call.BACK:
                boundary = self._open(self._arrangement.session.quantum, now)
                (form.reroll if call is Call.REROLL else form.back)(boundary)
            case Call.BUILD:
                form.build = Build(following, self._arrangement.session.build_bars)

    def engine_is(self, state: EngineState) -> None:
        """Take the engine's state."""
        # an engine that has just taken the song over counts its moves anew
        moved = state.moves != (state.moves if self._moves is None else self._moves)
        self._moves = state.moves
        rolling = state.transport is TransportState.ROLLING
        tick = max(0, state.tick)
        placed = moved or not rolling
        bar = self.meters.bar_at(tick) if placed else self._playhead.bar
        self._playhead = Playhead(rolling, state.timeline, tick, bar)
        self._follows = state.lock != "internal"
        self._take_tempo(locked=state.lock == "locked")
        if moved:
            self._open_from, self._grid = Tick(0), 0
            here = replace(self._arrangement.conditions.last, since=bar)
            self._arrangement.conditions = Automation.constant(here)
            self._arrangement.form.relocated()
        if placed:
            self._changed()
            self._forget_far()

    def _take_tempo(self, *, locked: bool) -> None:
        """Have feel, which is in milliseconds, follow the tempo.

        What is measured before the clock is locked says little, and would differ from one life to
        the next; but far off is far off.
        """
        if locked:
            self._nominal = self._nominal_tempo.of(self.tempo)
        step = FEEL_TEMPO_STEP if self._nominal or not self._follows else FEEL_TEMPO_STEP_UNLOCKED
        exact = self._follows and self._nominal is not None
        tempo = self._tempo_now
        moved = abs(tempo - self._feel_tempo)
        if moved >= 1.0 if exact else moved > step * self._feel_tempo:
            self._feel_tempo = round(tempo)
            self._planned = False

    def bar_entered(self, entered: BarEntered) -> None:
        """Take note that a bar has begun to sound."""
        if entered.number < 0:
            return
        self._count(entered)
        self._changed()
        number, arrangement = entered.number, self._arrangement
        if number == self._playhead.bar + 1:
            self._remember(self._playhead.bar)  # it may have changed since it was entered
        self._playhead = replace(self._playhead, bar=number)
        for old in [n for n in self._tempo_told if abs(n - number) > TEMPI_KEPT]:
            del self._tempo_told[old]
        self.tempo_told(number + LOOK_AHEAD_BARS)
        arrangement.conditions = arrangement.conditions.settled(self.meters.start_of(number))
        arrangement.form.passed(number)
        if entered.origin is not Origin.REPEATED:
            self._remember(number)
        held = arrangement.form.held
        style = arrangement.at_start(number).style
        if arrangement.session.hold and (held is None or held.request.style != style):
            arrangement.form.held = self._held(number)
        for old in [n for n in self._sent if 1 < n < number - 2]:
            del self._sent[old]
        self._forget_far()

    def bars_written(self, bars: Iterable[WrittenBar]) -> None:
        """Take what the generator wrote."""
        late = 0
        played = {part.request.style for choice in self._sent.values() for part in choice.parts}
        for written in bars:
            request = written.request
            if self._prefetch.owes(request):
                self._fallback.memory.keep_own(written)
            self._planned = self._planned and request.style not in played
            ahead = self._prefetch.answered(request)
            if written.bar.meter != request.meter:
                continue
            self._fallback.memory.keep_written(written)
            late += ahead and self._playhead.has_begun(request.number) and self._used(request)
        self.counters = replace(self.counters, late_bars=self.counters.late_bars + late)

    def bars_refused(self, requests: Sequence[BarRequest]) -> None:
        """Take note that nobody can write these: what is played in their place stays."""
        for request in requests:
            self._prefetch.refused(request)
        refused = self.counters.refused_bars + len(requests)
        self.counters = replace(self.counters, refused_bars=refused)

    def generator_lost(self) -> None:
        """Forget what was asked: nobody is going to answer."""
        self._prefetch.forget()

    def engine_lost(self) -> None:
        """Forget what was sent: a new engine holds nothing."""
        self._sent.clear()
        self._planned = False
        self._playhead = replace(self._playhead, rolling=False)

    def rejoined(self, timeline: Timeline, now: Seconds) -> None:
        """Go on where ``timeline`` says that the song is, with a new engine that takes it over."""
        tick = Tick(max(0, math.floor(timeline.tick_at(now))))
        self._playhead = Playhead(
            rolling=True, timeline=timeline, tick=tick, bar=self.meters.bar_at(tick)
        )
        self._moves = None
        self._changed()

    def engine_holds(self, numbers: Collection[int]) -> None:
        """Take which bars the engine holds, while none is on its way: others it does not have."""
        for number in self._playhead.wanted:
            if number in self._sent and number not in numbers:
                del self._sent[number]
                self._planned = False

    # --- what it answers -------------------------------------------------------------------

    def plan(self, now: Seconds) -> Plan | None:
        """Return the bars that the engine lacks, or has in a worse version; None if none."""
        if self._planned:
            return None
        begun = self._playhead.tick_at(now) if self._playhead.rolling else -1.0
        bars = []
        if self._playhead.rolling and self._open_from < begun:
            # that boundary is over: what changes now does so from the next one of its kind
            grid = self._grid or TICKS_PER_SIXTEENTH
            late = math.ceil((begun - self._open_from) / grid)
            self._open_from = Tick(self._open_from + late * grid)
        behind = self._playhead.tick_at(now - STILL_HEARD)
        put_off = False
        for number in self._playhead.wanted:
            sent = self._sent.get(number)
            if number < self._playhead.bar and sent and self._arrangement.end_of(number) > behind:
                put_off = True  # a late hit of it may still be waiting
                continue
            choice = self._choose(number, sent, begun if number >= self._playhead.bar else -1.0)
            if sent is None or choice.planned != sent.planned:
                bars.append(choice.planned)
            self._sent[number] = choice
        self._opened = False
        self._planned = not put_off
        return Plan(tuple(bars), self._open_from, self._grid) if bars else None

    def until_bar_line(self, now: Seconds) -> Seconds:
        """Return the seconds until the next bar line; 0 at rest."""
        playhead = self._playhead
        if not playhead.rolling or playhead.timeline is None:
            return Seconds(0.0)
        return Seconds(playhead.timeline.time_of(self._arrangement.end_of(playhead.bar)) - now)

    def is_fill(self, number: int) -> bool:
        """Tell whether bar ``number`` has a fill, as far as is known now."""
        return self._arrangement.fill_from(number) is not None

    def sent_bar(self, number: int) -> PlannedBar | None:
        """Return bar ``number`` as the engine has it, if it was sent lately."""
        choice = self._sent.get(number)
        return None if choice is None else choice.planned

    def choice_of(self, number: int) -> BarChoice | None:
        """Return what bar ``number`` was put together from, if it was sent lately."""
        return self._sent.get(number)

    @property
    def bar(self) -> int:
        """The bar that sounds, or with which the song will go on; from 0."""
        return self._playhead.bar

    @property
    def ahead(self) -> tuple[PlannedBar, ...]:
        """The bar that sounds or is to begin, and those after it, as the engine has them."""
        first = self._playhead.bar
        bars = map(self.sent_bar, range(first, first + LOOK_AHEAD_BARS + 1))
        return tuple(bar for bar in bars if bar is not None)

    def requests(self, most: int = EVERYTHING) -> tuple[Item, ...]:
        """Return what the generator should write now, together: the active style comes first."""
        return self._prefetch.items(self._playhead, self._sent, self.tempo_told, most)

    # --- when it changes -------------------------------------------------------------------

    def _changed(self) -> None:
        """Look again at what is planned, and at what is missing."""
        self._planned = False
        self._prefetch.changed()

    def _next(self, quantum: Quantum, now: Seconds) -> Tick:
        phrase = self._arrangement.session.phrase
        return self._playhead.boundary(quantum, self.meters, phrase, now)

    def _open(self, quantum: Quantum, now: Seconds) -> Tick:
        """Let the song change from the next boundary on; return it.

        The bar that sounds may change from there, or from where it still may anyway.
        """
        tick = self._next(quantum, now)
        ahead = self._playhead.rolling and self._open_from >= self._playhead.tick_at(now)
        if not (ahead or self._opened) or tick <= self._open_from:
            beat = self.meters.meter_of(self._playhead.bar).beat_ticks
            self._open_from = tick
            self._grid = {Quantum.STEP: TICKS_PER_SIXTEENTH, Quantum.BEAT: beat}.get(quantum, 0)
        self._opened = True
        return tick

    def _change(self, name: str, value: object, now: Seconds, quantum: Quantum | None) -> None:
        own = quantum or self._arrangement.session.quantum
        quantised = name == "style" or (name in _QUANTISED and own is Quantum.PHRASE)
        boundary = self._open(own if quantised else Quantum.BAR, now)
        if not self._playhead.rolling:
            boundary = Tick(0)
        fields = {name: value}
        if name == "section":
            here = boundary if self._playhead.rolling else self._playhead.tick
            fields["since"] = self.meters.bar_at(here)
        self._arrangement.conditions = self._arrangement.conditions.changed(boundary, **fields)

    def _fill_now(self, now: Seconds) -> None:
        tick = self._open(Quantum.STEP, now)
        number = self.meters.bar_at(tick)
        if self._arrangement.end_of(number) - tick < self.meters.meter_of(number).beat_ticks:
            number += 1
            tick = self.meters.start_of(number)
        fills = self._arrangement.form.fills
        fills[number] = min(tick, fills.get(number, tick))

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

    def _choose(self, number: int, sent: BarChoice | None, begun: float) -> BarChoice:
        """Return what a bar is to be; what of it has begun by tick ``begun`` stays as it is."""
        start = self.meters.start_of(number)
        if (
            sent is not None
            and start < begun
            and self._open_from >= self._arrangement.end_of(number)
        ):
            return sent  # what has changed begins after it
        parts = [part for part in sent.parts if part.tick <= begun] if sent is not None else []
        given = self._arrangement.given(number)
        if given is not None and not parts:
            parts = [given]
        elif given is None or not parts[-1].given:
            self._complete(number, parts, sent)
        shapes = tuple(self._shape(number, start, part) for part in parts)
        if sent is not None and tuple(parts) == sent.parts and shapes == sent.shapes:
            return sent
        known = sent.known if sent is not None else {}
        shaped = tuple(
            known.get((part.bar, shape)) or shape.applied(part.bar)
            for part, shape in zip(parts, shapes, strict=True)
        )
        bar = joined(start, parts, shaped)
        if sent is not None and begun > start:
            bar = continued(sent.planned.bar, bar, self._open_from - start)
        last = parts[-1]
        planned = PlannedBar(number, start, bar, last.request.style, last.origin)
        return BarChoice(planned, tuple(parts), shapes, shaped)

    def _complete(self, number: int, parts: list[BarPart], sent: BarChoice | None) -> None:
        """Add to the parts of a bar that have begun those that are still to come."""
        after = parts[-1].tick if parts else -1
        old = {(p.tick, p.request): p for p in sent.parts if not p.given} if sent else {}
        for tick, request in self._arrangement.parts(number):
            if tick > after:
                part = self._fallback.part(
                    tick,
                    request,
                    old.get((tick, request)),
                    since=self._arrangement.at_start(number).since,
                    playhead=self._playhead.bar,
                    variation=self._arrangement.session.variation,
                    varied_enough=self._varied_enough(number),
                )
                parts.append(part)
        if after < 0 and self._is_third_of_a_kind(number, parts[0]):
            parts[0] = unlike(parts[0])

    def _shape(self, number: int, start: Tick, part: BarPart) -> Shape:
        arrangement, session = self._arrangement, self._arrangement.session
        conditions, form = arrangement.under(number, part.tick), arrangement.form
        place = BarPlace(number, start, conditions.seed, self._feel_tempo)
        feel = self._feels.feel(part.request.style, session.blend, session.share, session.feel)
        if not part.kept:
            return Shape(place, feel, mix=session.mix)
        made = part.made_for or part.request
        density, intensity = points(
            replace(conditions, density=session.density, intensity=session.intensity)
        )
        piece = form.piece
        return Shape(
            place,
            feel,
            density=point(density) - point(made.density),
            intensity=point(intensity) - point(made.intensity),
            section=part.request.section,
            half_time=conditions.half_time,
            build=form.build.part(number) if form.build is not None else None,
            piece=piece.in_bar(start)
            if piece is not None and piece.begin < arrangement.end_of(number)
            else None,
            drop=session.drop,
            mix=session.mix,
        )

    def _varied_enough(self, number: int) -> bool:
        before = [self._sent.get(n) for n in range(number - VARIATIONS_RUNNING, number)]
        return all(c is not None and c.planned.origin is Origin.VARIATION for c in before)

    def _is_third_of_a_kind(self, number: int, part: BarPart) -> bool:
        """Whether a bar would sound verbatim a third time running, and is not meant to."""
        if not self._arrangement.session.variation or part.given:
            return False
        before = [self._sent.get(n) for n in (number - 1, number - 2)]
        return all(c is not None and c.parts[0].bar == part.bar for c in before)

    # --- what it keeps in mind -------------------------------------------------------------

    def _count(self, entered: BarEntered) -> None:
        counters = self.counters
        origins = dict(counters.by_origin)
        origins[entered.origin] = origins.get(entered.origin, 0) + 1
        self.counters = replace(
            counters,
            bars=counters.bars + 1,
            fallback_bars=counters.fallback_bars + entered.origin.fallback,
            worker_bars=counters.worker_bars + self._by_worker(entered),
            by_origin=origins,
        )

    def _by_worker(self, entered: BarEntered) -> bool:
        """Whether workers wrote all that sounds, and for this place."""
        choice = self._sent.get(entered.number)
        if choice is None or entered.origin is not Origin.GENERATED:
            return False
        by_worker = self._fallback.memory.by_worker
        return all(
            part.origin is Origin.GENERATED and by_worker(part.made_for or part.request)
            for part in choice.parts
        )

    def _used(self, request: BarRequest) -> bool:
        """Whether the song had a place for what was asked."""
        choice = self._sent.get(request.number)
        return choice is not None and any(part.request == request for part in choice.parts)

    def _remember(self, number: int) -> None:
        choice = self._sent.get(number)
        if choice is not None:
            arrangement = self._arrangement
            since = arrangement.at_start(number).since
            self._fallback.remember(choice, since, arrangement.session.phrase)
            for part in choice.parts:
                if part.origin.fallback and part.kept and not part.given:
                    self._prefetch.owe(part.request)
                else:
                    self._fallback.memory.sounded_as(part.request)

    def _forget_far(self) -> None:
        self._fallback.memory.forget_far(self._playhead.bar, self._playhead.wanted)
