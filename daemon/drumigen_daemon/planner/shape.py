"""What is done to a bar between its writing and its sounding: one frozen value says all of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from drumigen.arrange import (
    Section,
    adapted,
    built_up,
    half_time,
    in_section,
    only,
    stuttered,
)
from drumigen.feel.blend import blended
from drumigen.feel.feel import Feel
from drumigen.feel.humanize import humanize
from drumigen.kit import TIMEKEEPERS
from drumigen.pattern import Bar
from drumigen.voice_mixer import Mix, mixed
from drumigen_daemon.planner.calls import Piece
from drumigen_daemon.session import FeelKnobs

FEELS_MAX: Final = 64
"""Feels that are kept blended and turned: a knob's way leaves that many behind."""


class FeelBlender:
    """Blends and turns the feels of styles, and keeps what it has made."""

    def __init__(self, feel_of: Callable[[str], Feel]) -> None:
        """Know the feel of each style by ``feel_of``."""
        self._feel_of = feel_of
        self._made: dict[tuple[str, str, int, FeelKnobs], Feel] = {}

    def feel(self, style: str, blend: str, share: int, knobs: FeelKnobs) -> Feel:
        """Return the feel of ``style``, ``share`` percent of the way to ``blend``, turned."""
        key = (style, blend, share, knobs)
        if key not in self._made:
            feel = self._feel_of(style)
            if share and blend not in ("", style):
                feel = blended(feel, self._feel_of(blend), share / 100)
            if len(self._made) >= FEELS_MAX:
                self._made.clear()
            self._made[key] = knobs.turned(feel)
        return self._made[key]


@dataclass(frozen=True, slots=True)
class BarPlace:
    """Where in which song a bar is, for what depends on it."""

    number: int
    start: int
    seed: int
    tempo: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What is done to one bar, in this order: by rule, in form, in time, in the mix."""

    place: BarPlace
    feel: Feel
    density: int = 0
    """Points of a hundred by which the bar is to be busier than it was written."""
    intensity: int = 0
    section: Section = Section.NONE
    half_time: bool = False
    build: tuple[float, float] | None = None
    piece: Piece | None = None
    drop: bool = False
    mix: Mix = Mix()

    def applied(self, bar: Bar) -> Bar:
        """Return ``bar`` as it sounds."""
        # mutes and levels come often, and what comes before them is what takes time
        felt = _felt(bar, replace(self, drop=False, mix=Mix()))
        return mixed(only(felt, TIMEKEEPERS) if self.drop else felt, self.mix)

    def felt(self, bar: Bar) -> Bar:
        """Return ``bar`` as it is played, before the mix."""
        place = self.place
        bar = adapted(bar, self.density, self.intensity, place.seed + place.number)
        bar = in_section(bar, self.section)
        if self.half_time:
            bar = half_time(bar, second=place.number % 2 == 1)
        if self.build is not None:
            bar = built_up(bar, *self.build)
        if self.piece is not None:
            bar = stuttered(bar, self.piece.hits, self.piece.length, self.piece.begin)
        return humanize(
            bar, self.feel, place.seed, place.number, start=place.start, tempo=place.tempo
        )


@lru_cache(maxsize=32)
def _felt(bar: Bar, shape: Shape) -> Bar:
    return shape.felt(bar)
