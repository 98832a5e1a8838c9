"""The writer of bars that is a neural network; what controls ask for becomes what it is told."""

import logging
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Final

from drumigen.arrange import Section
from drumigen.bank.opening import opening_of
from drumigen.errors import DrumigenError, ModelError, ModelLoadError
from drumigen.feel.feel import SwingUnit
from drumigen.fills import fill_ticks, is_fill, usual_drums
from drumigen.fitting import felt_beat
from drumigen.form import Form
from drumigen.kit import VOICES, Voice
from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.model.conditions import SECTION_NAMES, Conditions, density_of, tempo_heard
from drumigen.model.demands import FIRM, Demands
from drumigen.model.generation import CACHES_MAX, ConditionedBar, Contexts, Row, generate_batch
from drumigen.model.habit import as_before, near_the_clock
from drumigen.model.persona import (
    Persona,
    Profile,
    profiles_of,
    turned_busy,
    turned_density,
    turned_intensity,
)
from drumigen.model.sampling import TEMPERATURE_RANGE, Sampling
from drumigen.model.tokens import notes_of, velocity_span
from drumigen.pattern import Bar, louder
from drumigen.styles import Style, StyleCatalogue, load_styles
from drumigen.timekeeping import CYMBALS, SAME, Keeper, amended, cells, has_backbeat, keeps_time
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm, Tick, ticks_per_ms
from drumigen.variation import with_crash
from drumigen_daemon.generator.messages import BarRequest, Item
from drumigen_daemon.generator.writers import BankWriter

log = logging.getLogger(__name__)

TOLD_MAX: Final = 1024
"""Bars whose conditions are kept: eight of each style, with fills, and more."""
ATTEMPTS: Final = 4
"""How often a bar is written at most, if what comes is no groove or next to empty."""
FIRST_ATTEMPTS: Final = 8
FILL_ATTEMPTS: Final = 3
"""The same of a song's first bar, and of a fill."""
THIN: Final = 1.0
"""Hits a quarter note below which a bar is next to empty."""
STAGE_DYNAMICS: Final = 0.95
"""Of :class:`Sampling`: on stage a velocity is voice and place before it is chance, as humans'."""
SOFTER: Final = 8.0
"""Velocity by which a persona is told to be softer than it was: so much louder than told it plays,
measured on 60 songs."""
STEADIED_MAX: Final = 20.0
"""Velocity by which a bar is told to be louder or softer, at most, because those before it were
not as loud as they were to be."""
NEWER: Final = 1.15
"""Times the temperature of bars that come back to none: what is new is to be so."""
CALMER: Final = 0.85
"""Times the temperature with each attempt at a song's first bar: all else is written in view of
it, so it is to be usual.  In other bars it would make songs too alike."""
OFF_MOST_MS: Final = 25.0
"""Milliseconds by which a bar may be earlier or later than its drummer is."""
LOUDER_FREELY: Final = 8.0
"""Velocity by which a bar may be louder or softer than an intensity that is asked for..."""
SCALED: Final = (0.55, 1.6)
"""...and times which it is struck at most to get there."""
BUSIER_FILL: Final = 1.4
"""Strokes a quarter by which people are busier on drums in a fill: the mean of 1,743 of them."""
LOUDER_FILL: Final = 7.0
"""Velocity by which a fill is told to be louder than the bars around it: people's are by 10, of
which some comes by itself.  Four in five of people's are like no bar that was."""
FILL_SHORTER: Final = TICKS_PER_BEAT
"""Ticks by which a fill may be shorter than the form has room for."""
SWUNG_FROM: Final = 58.0
"""MPC percent from which the second of two eighths is nearer to another sixteenth."""
FREE: Final = 0.9
"""Part of a drummer's backbeats that the network plays without being asked, in 4/4; in other
metres, of which it has heard few, it cannot be counted on for any."""
DROPPED: Final = 0.5
"""Share of bars that come back less one soft stroke, with who comes back seldom; with who plays a
loop none do.  Of the human ones 44 % are not exact."""
SOFT: Final = 60
SOLO_BUSY: Final = 90
"""Where the knob ``busy`` asks for a solo."""
_BLAND: Final = Profile((Persona(4.0, 75.0),))
"""Of a style that the checkpoint says nothing of."""


class ModelWriter:
    """Writes with the checkpoint of each style; what it cannot, the bank does, and the log says."""

    def __init__(  # noqa: PLR0913 - each of them is a setting
        self,
        path: Path | None = None,
        device: str = "cpu",
        styles: StyleCatalogue | None = None,
        *,
        caches: int = CACHES_MAX,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> None:
        """Load the checkpoint at ``path``, by default the shipped one.

        ``styles`` are by default the shipped ones.  Where a checkpoint of one of them cannot be
        used, the common one plays it.  ``top_k`` and ``top_p`` are those of :class:`Sampling`.
        ``caches`` is how many contexts are kept read, of half a megabyte each.

        Raises:
            ModelLoadError: it cannot be used.
            ModelError: ``top_k`` or ``top_p`` is out of range.
        """
        self._styles = styles or load_styles()
        self._device = device
        self._sampling = Sampling(top_k=top_k, top_p=top_p)
        self._caches = caches
        self._common = _Player(load_model(path, device), self._styles, self._sampling, caches)
        self._own: dict[str, _Player] = {}
        for style in self._styles:
            self._load_own(style)
        self._bank = BankWriter(self._styles)
        self._failed = False
        self.by_bank: Sequence[bool] = ()
        """Of each bar of the last call of :meth:`write`, whether the bank wrote it."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for."""
        return self.write_at(items, [tempo] * len(items))

    def write_at(self, items: Sequence[Item], tempi: Sequence[Bpm]) -> list[Bar]:
        """Return a bar for each item, of songs each at a tempo of its own."""
        written: dict[int, Bar] = {}
        players = [self._player(item) for item in items]
        for player in {id(p): p for p in players}.values():
            places = [
                place
                for place, item in enumerate(items)
                if players[place] is player and player.name_of(item.request.style)
            ]
            try:
                bars = player.write(
                    [items[place] for place in places], [tempi[place] for place in places]
                )
            except ModelError:
                if not self._failed:
                    log.exception("the model cannot write; the bank goes on")
                self._failed = True
                continue
            found = zip(places, bars, strict=True)
            written.update((place, bar) for place, bar in found if bar.hits)
        self.by_bank = [place not in written for place in range(len(items))]
        return [
            written[place] if place in written else self._bank.write([item], tempo)[0]
            for place, (item, tempo) in enumerate(zip(items, tempi, strict=True))
        ]

    def _player(self, item: Item) -> "_Player":
        name = item.request.style
        if name not in self._own:  # one that was given by a path, while we ran
            self._own[name] = self._common
            with suppress(DrumigenError):
                self._load_own(self._styles.find(name))
        return self._own[name]

    def _load_own(self, style: Style) -> None:
        """Let a style's own checkpoint play it; if it cannot be used, only this style lacks it."""
        self._own[style.name] = self._common
        if style.model is None:
            return
        try:
            checkpoint = load_model(style.model, self._device)
            self._own[style.name] = _Player(checkpoint, self._styles, self._sampling, self._caches)
        except ModelLoadError as error:
            log.warning("%s: %s; the common drummer plays it", style.name, error)


class _Player:
    """One checkpoint, and what it has read."""

    def __init__(
        self, checkpoint: Checkpoint, styles: StyleCatalogue, sampling: Sampling, caches: int
    ) -> None:
        self._checkpoint = checkpoint
        self._sampling = sampling
        self._styles = styles
        self._profiles = profiles_of(checkpoint.metadata)
        self._contexts = Contexts(caches)
        # a bar is context to eight others, and what it was told costs drawing lots
        self._told = lru_cache(TOLD_MAX)(self._conditions)

    def name_of(self, style: str) -> str:
        """Return the name by which it has learnt ``style``; empty if it has not."""
        found = self._style(style)
        names = (style,) if found is None else found.learnt_as
        return next((name for name in names if name in self._checkpoint.learnt), "")

    def _style(self, name: str) -> Style | None:
        try:
            return self._styles.find(name) if name else None
        except DrumigenError:
            return None

    def write(self, items: Sequence[Item], tempi: Sequence[Bpm]) -> list[Bar]:
        """Return a bar for each item.

        Raises:
            ModelError: its output is no number.
        """
        bars = [Bar(item.request.meter) for item in items]
        worth = [-1.0] * len(items)
        left = list(range(len(items)))
        for attempt in range(FIRST_ATTEMPTS):
            rows = [self._row(items[place], tempi[place], attempt) for place in left]
            written = generate_batch(self._checkpoint, rows, self._contexts)
            for place, bar in zip(left, written, strict=True):
                value = self._worth(bar, items[place])
                if value > worth[place]:
                    bars[place], worth[place] = bar, value
            left = [
                place
                for place in left
                if worth[place] < 1 and attempt + 1 < _attempts(items[place].request)
            ]
            if not left:
                break
        bars = [
            bar if value >= 1 else self._mended(bar, item.request)
            for bar, value, item in zip(bars, worth, items, strict=True)
        ]
        return [
            _landed(self._settled(bar, item, tempo), item.request)
            for bar, item, tempo in zip(bars, items, tempi, strict=True)
        ]

    def _settled(self, bar: Bar, item: Item, tempo: Bpm) -> Bar:
        """Return ``bar`` near to where its drummer is, struck as before, and as loud as asked.

        A fill and a solo are struck as they are written.
        """
        request = item.request
        lean = self._persona(request).lean
        if lean is not None:
            before = [old.bar for old in item.context if old.bar.meter == bar.meter]
            in_ticks = ticks_per_ms(tempo)
            bar = near_the_clock(bar, before, lean * in_ticks, OFF_MOST_MS * in_ticks)
        if not request.fill and not _is_solo(request):
            bar = as_before(bar, _grooves_before(item))
        told = self._told(request, self._heard(request, tempo)).intensity
        if request.intensity is None or told is None:
            return bar
        return _as_loud_as_asked(bar, told + SOFTER)

    def _worth(self, bar: Bar, item: Item) -> float:
        """Return how much of what is asked ``bar`` does, 0 to 1; from 1 on it will do."""
        request = item.request
        if _is_thin(bar):
            return 0.05 * len(bar.hits) / (len(bar.hits) + 1)
        if _is_solo(request):
            return 1.0
        if request.fill:
            return self._worth_as_fill(bar, item)
        wanted = self._is_backbeat_due(request)
        swung = self._is_swung(request)
        keeps = keeps_time(bar, self._keepers(request), within=FIRM, swung=swung)
        worth = 0.1 + 0.6 * keeps + 0.3 * (not wanted or has_backbeat(bar))
        return worth if self._suits(bar, request) else worth - 0.2

    def _worth_as_fill(self, bar: Bar, item: Item) -> float:
        """Return the same of a fill: it is to be one beside the bars before it, without a hole.

        What sounds of it is its end, by default as long as the form of its style has room for: it
        is to fill that, and soon.
        """
        request = item.request
        grooves = _grooves_before(item)
        room = round(TICKS_PER_BEAT * self._form(request).fill_length(request.seed, request.number))
        begin = bar.meter.ticks - room
        end = replace(bar, hits=tuple(hit for hit in bar.hits if hit.tick >= begin))
        filled = fill_ticks(end, usual_drums(grooves)) >= min(room, bar.meter.ticks) - FILL_SHORTER
        return 0.1 + 0.4 * is_fill(end, grooves) + 0.3 * (not _has_hole(bar)) + 0.2 * filled

    def _suits(self, bar: Bar, request: BarRequest) -> bool:
        """Tell whether a song in its style may begin, or go on, with ``bar``."""
        style = self._style(request.style)
        own = self._persona(request).keeper
        opening = opening_of("" if style is None else style.bank)
        suits = opening.goes_on_with if request.number else opening.suits
        return suits(bar, Keeper(own) if own else None)

    def _mended(self, bar: Bar, request: BarRequest) -> Bar:
        """Return ``bar`` with what nobody wrote in all attempts, by rule; nothing stays nothing."""
        if not bar.hits or _is_solo(request) or request.fill:
            return bar
        wanted = self._is_backbeat_due(request)
        swung = self._is_swung(request)
        return amended(bar, self._keepers(request), backbeat=wanted, swung=swung)

    def _keepers(self, request: BarRequest) -> tuple[Keeper, ...]:
        """Return what the drummer of ``request`` keeps time on; cymbals count together."""
        own = self._persona(request).keeper
        if own in CYMBALS:
            return CYMBALS
        return (Keeper(own),) if own else self._form(request).keepers

    def _form(self, request: BarRequest) -> Form:
        style = self._style(request.style)
        return Form() if style is None else style.form

    def _is_swung(self, request: BarRequest) -> bool:
        """Tell whether the eighths of its style are swung."""
        style = self._style(request.style)
        feel = None if style is None else style.feel
        return feel is not None and feel.swing_unit is SwingUnit.EIGHTH and feel.swing > SWUNG_FROM

    def _persona(self, request: BarRequest) -> Persona:
        profile = self._profiles.get(self.name_of(request.style), _BLAND)
        return profile.persona(request.seed, keepers=self._form(request).keepers)

    def _row(self, item: Item, tempo: Bpm, attempt: int) -> Row:
        request = item.request
        context: list[ConditionedBar] = [
            (written.bar, self._told(written.request, self._heard(written.request, tempo)))
            for written in item.context
        ]
        style = self._style(request.style)
        label = request.style if style is None else style.label  # a file may be moved
        key = f"{request.seed}/{request.take}/{label}/{request.fill}/{attempt}"
        told = self._told(request, self._heard(request, tempo))
        events: tuple[int, ...] = ()
        source = None if attempt else self._source(item, told)
        if source is not None:
            same = self._persona(request).same
            events = _events(source, key, DROPPED * (1 - same))
            told = replace(told, density=density_of(source))
        elif told.likeness:
            told = replace(told, likeness=min(0, told.likeness))
        told = _steadied(told, context)
        calm = CALMER**attempt if request.number == 0 else 1.0
        newer = 1.0 if told.likeness else NEWER
        heat = request.temperature * newer * calm
        low, high = TEMPERATURE_RANGE
        return Row(
            told,
            zlib.crc32(key.encode()),
            request.number,
            tuple(context),
            replace(
                self._sampling,
                temperature=max(low, min(high, heat)),
                dynamics=STAGE_DYNAMICS / newer / calm,
            ),
            events=events,
            demands=self._demands(request, forced=attempt + 1 == _attempts(request)),
        )

    def _demands(self, request: BarRequest, *, forced: bool) -> Demands:
        """Return what a bar that answers ``request`` has to strike."""
        if request.fill or _is_solo(request):
            return Demands()
        return Demands(
            self._keepers(request),
            self._is_backbeat_due(request),
            self._is_swung(request),
            forced,
        )

    def _is_backbeat_due(self, request: BarRequest) -> bool:
        profile = self._profiles.get(self.name_of(request.style), _BLAND)
        usual = self._form(request).backbeat
        persona = self._persona(request)
        free = FREE if request.meter == Meter() else 0.0
        return profile.is_backbeat_due(persona, request.seed, request.number, usual, free)

    def _source(self, item: Item, told: Conditions) -> Bar | None:
        """Return the bar that is to come back, if there is one that was asked for alike."""
        lag = told.likeness or 0
        if lag < 1:
            return None
        last = len(item.context)
        for back in (lag, *range(lag + 1, last + 1), *range(min(lag, last + 1) - 1, 0, -1)):
            if back <= last:
                written = item.context[-back]
                alike = _asked_alike(written.request, item.request)
                if alike and self._worth(written.bar, item) >= 1:
                    bar: Bar = written.bar
                    return bar
        return None

    def _conditions(self, request: BarRequest, tempo: Bpm) -> Conditions:
        """Return what the network is told of a bar that answers ``request``."""
        profile = self._profiles.get(self.name_of(request.style), _BLAND)
        persona = self._persona(request)
        density = profile.density(persona, request.seed, request.number)
        if request.density is not None:
            density = turned_density(density, request.density)
        intensity = max(1.0, persona.intensity - SOFTER)
        if request.intensity is not None:
            intensity = turned_intensity(intensity, request.intensity)
        busy = persona.busy
        if busy is not None and request.busy is not None:
            busy = turned_busy(busy, request.busy)
        section = str(request.section)
        part = "fill" if request.fill else "solo" if _is_solo(request) else "groove"
        groove = part == "groove"
        likeness = None
        if groove:
            returns = self._form(request).returns
            likeness = profile.likeness(persona, request.seed, request.number, returns)
        elif part == "fill":
            busy = None if busy is None else busy + BUSIER_FILL
            intensity = min(127.0, intensity + LOUDER_FILL)
            likeness = 0
        return Conditions(
            self._shares(request),
            tempo,
            request.meter,
            # a fill is as dense as it has to be, unless somebody says how dense
            None if request.fill and request.density is None else density,
            intensity,
            request.fill,
            section if section in SECTION_NAMES else None,
            request.number,
            persona.lean,
            persona.drummer,
            part,
            _told_keeper(persona, request) if groove else None,
            busy if part != "solo" or request.busy is not None else None,
            likeness,
        )

    def _heard(self, request: BarRequest, tempo: Bpm) -> Bpm:
        """Return the nearest tempo that the style was learnt at: of others nothing is known."""
        style = self._style(request.style)
        low, high = (tempo, tempo) if style is None else style.tempo
        return tempo_heard(Bpm(max(low, min(high, tempo))))

    def _shares(self, request: BarRequest) -> tuple[tuple[str, float], ...]:
        name, blend = self.name_of(request.style), self.name_of(request.blend)
        if blend and request.share:
            share = request.share / 100
            return (name, 1 - share), (blend, share)
        return ((name, 1.0),)


def _steadied(told: Conditions, context: Sequence[ConditionedBar]) -> Conditions:
    """Return ``told`` for a song that is to stay as loud as it was to be.

    A bar is written like those before it, so what these are off by would go on and grow.
    """
    missed = [
        under.intensity - fmean(hit.velocity for hit in bar.hits)
        for bar, under in context
        if bar.hits and under.intensity is not None and not under.fill
    ]
    if told.intensity is None or not missed:
        return told
    away = max(-STEADIED_MAX, min(STEADIED_MAX, fmean(missed)))
    return replace(told, intensity=max(1.0, min(127.0, told.intensity + away)))


def _grooves_before(item: Item) -> list[Bar]:
    """Return the bars before that are neither fill nor solo, in the metre that is asked for."""
    return [
        old.bar
        for old in item.context
        if old.bar.meter == item.request.meter
        and not old.request.fill
        and not _is_solo(old.request)
    ]


def _as_loud_as_asked(bar: Bar, level: float) -> Bar:
    """Return ``bar`` not much louder or softer than ``level``, its mean velocity.

    The network plays on as it played before, however it is told to be: a knob that is turned to
    the end is to be heard in the next bar.
    """
    if not bar.hits:
        return bar
    mean = fmean(hit.velocity for hit in bar.hits)
    wanted = max(level - LOUDER_FREELY, min(level + LOUDER_FREELY, mean))
    low, high = SCALED
    factor = max(low, min(high, wanted / mean))
    return louder(bar, factor)


def _attempts(request: BarRequest) -> int:
    """Return how often the bar of ``request`` is written at most."""
    if request.fill:
        return FILL_ATTEMPTS
    return ATTEMPTS if request.number else FIRST_ATTEMPTS


def _told_keeper(persona: Persona, request: BarRequest) -> Keeper | None:
    """Return what the network is told to keep time on: in the B section hats go to the ride."""
    if request.section is Section.B and persona.keeper == Keeper.HAT:
        return Keeper.RIDE
    return Keeper(persona.keeper) if persona.keeper else None


def _has_hole(bar: Bar) -> bool:
    """Tell whether nothing at all sounds on one of the felt beats of ``bar``."""
    steps = {step for step, _ in cells(bar)}
    beat = felt_beat(bar.meter) // TICKS_PER_SIXTEENTH
    return not steps.issuperset(range(0, bar.meter.sixteenths, beat))


def _is_solo(request: BarRequest) -> bool:
    """Tell whether nobody is asked to keep time."""
    return request.section is Section.SOLO or (request.busy or 0) >= SOLO_BUSY


def _asked_alike(old: BarRequest, new: BarRequest) -> bool:
    """Tell whether one bar can come back in place of another: grooves asked for alike."""
    names = ("style", "meter", "take", "density", "section", "blend", "share", "busy")
    same = all(getattr(old, name) == getattr(new, name) for name in names)
    return same and not (old.fill or old.after_fill or new.fill)


def _events(bar: Bar, key: str, dropped: float) -> tuple[int, ...]:
    """Return what ``bar`` strikes, for it to be played again; by chance less a soft stroke."""
    (notes,), _ = notes_of([bar])
    chance = zlib.crc32(f"again/{key}".encode()) / 2**32
    events = [note.event for note in notes]
    soft = [place for place, note in enumerate(notes) if velocity_span(note.velocity)[1] < SOFT]
    if chance < dropped and len(soft) > 1 and len(events) > 1 / (1 - SAME):
        del events[soft[int(chance / dropped * len(soft))]]
    return tuple(events)


def _is_thin(bar: Bar) -> bool:
    """Tell whether there is next to nothing in ``bar``: on stage that is a hole."""
    return len(bar.hits) < THIN * bar.meter.ticks / TICKS_PER_BEAT


def _landed(bar: Bar, request: BarRequest) -> Bar:
    """Return ``bar`` with a crash on one if it follows a fill and has no cymbal there."""
    on_one = {VOICES[hit.voice].class_of_nine for hit in bar.at(Tick(0))}
    if not request.after_fill or Voice.CRASH in on_one:
        return bar
    loudest = max((hit.velocity for hit in bar.hits), default=100)
    return with_crash(bar, max(70, min(118, loudest)))
