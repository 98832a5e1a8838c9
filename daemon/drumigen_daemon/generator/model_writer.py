"""The writer of bars that is a neural network; what controls ask for becomes what it is told."""

import logging
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from drumigen.errors import ModelError
from drumigen.kit import VOICES, Voice
from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.model.conditions import SECTIONS, Conditions, tempo_heard
from drumigen.model.generation import Contexts, Played, Row, generate_batch
from drumigen.model.persona import Persona, Profile, profiles_of, turned_density, turned_intensity
from drumigen.model.sampling import Sampling
from drumigen.pattern import Bar
from drumigen.styles import load_styles
from drumigen.units import TICKS_PER_BEAT, Bpm, Tick
from drumigen.variation import with_crash
from drumigen_daemon.generator.messages import BarRequest, Item
from drumigen_daemon.generator.writers import BankWriter

log = logging.getLogger(__name__)

TOLD_MAX: Final = 1024
"""Bars whose conditions are kept: eight of each style, with fills, and more."""
ATTEMPTS: Final = 4
"""How often a bar is written that turns out to be next to empty; people begin with such bars."""
THIN: Final = 1.0
"""Hits a quarter note below which a bar is next to empty."""
STAGE_DYNAMICS: Final = 0.45
"""Of :class:`Sampling`: on stage velocity is structure.  Takes are told from human ones by less
than this takes away, but only there does anybody listen to one voice for an hour."""
_BLAND: Final = Profile((Persona(4.0, 75.0),))
"""Of a style that the checkpoint says nothing of."""


class ModelWriter:
    """Writes with the checkpoint of each style; what it cannot, the bank does, and the log says."""

    def __init__(self, path: Path | None = None, device: str = "cpu") -> None:
        """Load the checkpoint at ``path``, by default the shipped one, and those of the styles.

        Raises:
            ModelLoadError: it cannot be used.
        """
        self._common = _Player(load_model(path, device))
        self._own: dict[str, _Player] = {}
        for style in load_styles():
            if style.model is not None:
                self._own[style.name] = _Player(load_model(style.model, device))
        self._bank = BankWriter()
        self._failed = False

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for."""
        written: dict[int, Bar] = {}
        for player in {id(p): p for p in (self._common, *self._own.values())}.values():
            places = [
                place
                for place, item in enumerate(items)
                if self._player(item) is player and player.knows(item.request.style)
            ]
            try:
                bars = player.write([items[place] for place in places], tempo)
            except ModelError:
                if not self._failed:
                    log.exception("the model cannot write; the bank goes on")
                self._failed = True
                continue
            found = zip(places, bars, strict=True)
            written.update((place, bar) for place, bar in found if bar.hits)
        return [
            written[place] if place in written else self._bank.write([item], tempo)[0]
            for place, item in enumerate(items)
        ]

    def _player(self, item: Item) -> "_Player":
        return self._own.get(item.request.style, self._common)


class _Player:
    """One checkpoint, and what it has read."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._profiles = profiles_of(checkpoint.metadata)
        self._contexts = Contexts()
        self._tempi = {style.name: style.tempo for style in load_styles()}
        # a bar is context to eight others, and what it was told costs drawing lots
        self._told = lru_cache(TOLD_MAX)(self._conditions)

    def knows(self, style: str) -> bool:
        """Tell whether it was trained to play ``style``."""
        return style in self._checkpoint.config.styles

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item.

        Raises:
            ModelError: its output is no number.
        """
        bars = [Bar(item.request.meter) for item in items]
        left = list(range(len(items)))
        for attempt in range(ATTEMPTS):
            rows = [self._row(items[place], tempo, attempt) for place in left]
            written = generate_batch(self._checkpoint, rows, self._contexts)
            for place, bar in zip(left, written, strict=True):
                bars[place] = max(bars[place], bar, key=lambda each: len(each.hits))
            left = [place for place in left if _is_thin(bars[place])]
            if not left:
                break
        return [_landed(bar, item.request) for bar, item in zip(bars, items, strict=True)]

    def _row(self, item: Item, tempo: Bpm, attempt: int) -> Row:
        request = item.request
        context: list[Played] = [
            (written.bar, self._told(written.request, self._heard(written.request, tempo)))
            for written in item.context
        ]
        key = f"{request.seed}/{request.take}/{request.style}/{request.fill}/{attempt}"
        return Row(
            self._told(request, self._heard(request, tempo)),
            zlib.crc32(key.encode()),
            request.number,
            tuple(context),
            Sampling(request.temperature, dynamics=STAGE_DYNAMICS),
        )

    def _conditions(self, request: BarRequest, tempo: Bpm) -> Conditions:
        """Return what the network is told of a bar that answers ``request``."""
        profile = self._profiles.get(request.style, _BLAND)
        persona = profile.persona(request.seed)
        density = profile.density(persona, request.seed, request.number)
        if request.density is not None:
            density = turned_density(density, request.density)
        intensity = persona.intensity
        if request.intensity is not None:
            intensity = turned_intensity(intensity, request.intensity)
        section = str(request.section)
        return Conditions(
            self._styles(request),
            tempo,
            request.meter,
            # a fill is as dense as it has to be, unless somebody says how dense
            None if request.fill and request.density is None else density,
            intensity,
            request.fill,
            section if section in SECTIONS else None,
            request.number,
            persona.lean,
            persona.drummer,
        )

    def _heard(self, request: BarRequest, tempo: Bpm) -> Bpm:
        """Return the nearest tempo that the style was learnt at: of others nothing is known."""
        low, high = self._tempi.get(request.style, (tempo, tempo))
        return tempo_heard(Bpm(max(low, min(high, tempo))))

    def _styles(self, request: BarRequest) -> tuple[tuple[str, float], ...]:
        if self.knows(request.blend) and request.share:
            share = request.share / 100
            return (request.style, 1 - share), (request.blend, share)
        return ((request.style, 1.0),)


def _is_thin(bar: Bar) -> bool:
    """Tell whether there is next to nothing in ``bar``: on stage that is a hole."""
    return len(bar.hits) < THIN * bar.meter.ticks / TICKS_PER_BEAT


def _landed(bar: Bar, request: BarRequest) -> Bar:
    """Return ``bar`` with a crash on one if it follows a fill and has no cymbal there."""
    struck = {VOICES[hit.voice].class_of_nine for hit in bar.at(Tick(0))}
    if not request.after_fill or Voice.CRASH in struck:
        return bar
    loudest = max((hit.velocity for hit in bar.hits), default=100)
    return with_crash(bar, max(70, min(118, loudest)))
