"""What is to be where in the song: requests, fills, and bars that the form itself dictates."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from drumigen.arrange import NEUTRAL, SECTION_ROWS, Section, count_in, last_stroke
from drumigen.form import Form, section_at
from drumigen.pattern import Bar
from drumigen.timeline import MeterMap
from drumigen.units import TICKS_PER_BEAT, Tick
from drumigen_daemon.engine.messages import Origin
from drumigen_daemon.generator.messages import BarRequest
from drumigen_daemon.planner.automation import Automation, SongConditions
from drumigen_daemon.planner.bar_choice import BarPart
from drumigen_daemon.planner.calls import Calls
from drumigen_daemon.session import Session, SongForm

_NO_FORM = Form()
POINTS_STEP = 5
"""Density and intensity are asked for in such steps, so that a knob is no flood of requests."""
SHARE_STEP = 10


class Arrangement:
    """Answers for any bar of the song, from what is set, called for and changed on the way."""

    def __init__(
        self, session: Session, form_of: Callable[[str], Form] = lambda _: _NO_FORM
    ) -> None:
        """Look at a song that is as ``session`` says throughout, in styles of ``form_of``."""
        self._form_of = form_of
        self.session = session
        self.meters = MeterMap.constant(session.meter)
        self.conditions = Automation.constant(song_conditions_of(session))
        self.form = Calls()

    def end_of(self, number: int) -> Tick:
        """Return the tick of the bar line that ends a bar."""
        return self.meters.start_of(number + 1)

    def at_start(self, number: int) -> SongConditions:
        """Return the conditions that a bar begins under."""
        return self.under(number, self.meters.start_of(number))

    def under(self, number: int, tick: float) -> SongConditions:
        """Return the conditions of a bar at ``tick``, with the section that the form gives it."""
        conditions = self.conditions.at(tick)
        if self.session.form is SongForm.OFF or conditions.section is not Section.NONE:
            return conditions
        section, since = section_at(number)
        return replace(conditions, section=section, since=since)

    def parts(self, number: int) -> list[tuple[Tick, BarRequest]]:
        """Return what a bar is to be, each part with the tick of the song it begins at."""
        start, end = self.meters.start_of(number), self.end_of(number)
        fill_from = self.fill_from(number)
        ticks = {tick for tick, _ in self.conditions.within(start, end)}
        ticks.update(self.form.takes_within(start, end))
        if fill_from is not None:
            ticks.add(fill_from)
        return [
            (tick, self.request(number, tick, fill=fill_from is not None and tick >= fill_from))
            for tick in sorted(ticks)
        ]

    def fill_of(self, number: int) -> BarRequest:
        """Return the request for a bar as a fill, whether one is to come there or not."""
        return self.request(number, Tick(self.end_of(number) - 1), fill=True)

    def in_style(self, number: int, style: str) -> tuple[BarRequest, BarRequest]:
        """Return the requests for a bar of another style's history, and for a fill in its place."""
        fill = self.fill_from(number) == self.meters.start_of(number)
        tick = self.conditions.changes[-1][0]
        end = Tick(max(tick, self.end_of(number) - 1))
        request = self.request(number, end, fill=fill, style=style)
        return request, msgspec.structs.replace(request, fill=True)

    def request(
        self, number: int, tick: Tick, *, fill: bool = False, style: str = ""
    ) -> BarRequest:
        """Return the request for a bar as it is to be from ``tick`` on, in its style or another."""
        conditions = self.under(number, tick)
        style = style or conditions.style
        share = round(conditions.share / SHARE_STEP) * SHARE_STEP
        blended = share > 0 and conditions.blend not in ("", style)
        density, intensity = points(conditions)
        return BarRequest(
            style,
            number,
            self.meters.meter_of(number),
            conditions.seed,
            fill,
            self._lands(number),
            density,
            intensity,
            conditions.temperature,
            conditions.section,
            conditions.blend if blended else "",
            share if blended else 0,
            self.form.take_at(tick),
            None if conditions.busy is None else round(conditions.busy / POINTS_STEP) * POINTS_STEP,
        )

    def fill_from(self, number: int) -> Tick | None:
        """Return where in a bar its fill begins, if it has one."""
        start, meter = self.meters.start_of(number), self.meters.meter_of(number)
        conditions = self.under(number, start)
        if conditions.section is Section.ENDING:
            return start if number == conditions.since else None
        begins = []
        if number in self.form.fills:
            begins.append(self.form.fills[number])
        ticks = self._fill_ticks(number, conditions)
        if ticks:
            begins.append(Tick(start + meter.ticks - ticks))
        return min(begins, default=None)

    def _fill_ticks(self, number: int, conditions: SongConditions) -> int:
        """Return how long a fill is that comes by itself at the end of a bar; 0 for none."""
        session, meter = self.session, self.meters.meter_of(number)
        every, amount = session.fill_every, session.fill_amount
        form = self._form_of(conditions.style)
        if every is None:
            beats = form.fill_at(conditions.seed, number)
        else:
            due = every > 0 and number % every == every - 1
            beats = form.fill_length(conditions.seed, number) if due else 0.0
        if not beats or (session.bars and number >= session.bars):
            return 0
        if amount is not None:
            filled = round(amount * meter.numerator / 100)
            return (max(1, filled) if amount else 0) * meter.beat_ticks
        return min(meter.ticks, round(beats * TICKS_PER_BEAT))

    def given(self, number: int) -> BarPart | None:
        """Return the bar that the form itself dictates at a place, if any."""
        start, meter = self.meters.start_of(number), self.meters.meter_of(number)
        conditions = self.under(number, start)
        end = self.session.bars
        bar = None
        if end and number >= end:
            bar = last_stroke(meter) if number == end else Bar(meter)
        elif number < self.session.count_in:
            bar = count_in(meter)
        elif conditions.section is Section.ENDING and number > conditions.since:
            bar = last_stroke(meter) if number == conditions.since + 1 else Bar(meter)
        if bar is not None:
            request = self.request(number, start)
            return BarPart(start, request, bar, Origin.GENERATED, given=True, kept=False)
        held = self.form.held_in(number)
        if held is None or (held.request.style, held.bar.meter) != (conditions.style, meter):
            return None
        request, made = self.request(number, start), held.request
        return BarPart(start, request, held.bar, Origin.REMEMBERED, made_for=made, given=True)

    def _lands(self, number: int) -> bool:
        """Whether something that was asked for leads to the one of a bar: fill, build, count-in.

        After fills that come by themselves the writer is free: people strike a crash there in
        three cases of ten.
        """
        if number == 0:
            return False
        build = self.form.build
        built = build is not None and number == build.first + build.bars
        counted = number == self.session.count_in
        by_itself = self.session.fill_every is None and number - 1 not in self.form.fills
        return built or counted or (not by_itself and self.fill_from(number - 1) is not None)


CONDITIONED = (
    "style",
    "section",
    "half_time",
    "seed",
    "density",
    "intensity",
    "busy",
    "temperature",
    "blend",
    "share",
)
"""Fields of the session that condition bars."""


def song_conditions_of(session: Session) -> SongConditions:
    """Return what ``session`` has bars written under."""
    return SongConditions(**{name: getattr(session, name) for name in CONDITIONED})


def points(conditions: SongConditions) -> tuple[int | None, int | None]:
    """Return density and intensity in coarse steps, with what the section adds."""
    row = SECTION_ROWS[conditions.section]
    return _coarse(conditions.density, row.density), _coarse(conditions.intensity, row.intensity)


def point(value: int | None) -> int:
    """Return density or intensity as a number, also where it is the style's own."""
    return NEUTRAL if value is None else value


def _coarse(value: int | None, added: int) -> int | None:
    if value is None and not added:
        return None
    return max(0, min(100, round((point(value) + added) / POINTS_STEP) * POINTS_STEP))
