"""The form of a style: who keeps time, on which backbeat, where fills are and how long."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from drumigen.arrange import Section
from drumigen.errors import SettingsError
from drumigen.timekeeping import CYMBALS, Keeper

FILL_CYCLE_BARS: Final = 8
"""Bars over which chances of a fill come again."""
REMEMBERED: Final = 1024
"""Draws that are kept for who asks again."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a style goes through its bars; figures are shares of bars of the style's takes.

    Attributes:
        keepers: what keeps time in every bar that is no fill; any of them, or all together.
        backbeat: share (0-1) of such bars that have a backbeat.
        fills: chance (0-1) that a bar ends in a fill, by its place in a phrase of eight.
        fill_beats: beats that fills are written for, each as likely; within them one may begin
            later.
        returns: times how often a bar comes back, as the style's drummers do it (0-3): what the
            network writes anew is liker what was there in some styles than in others.

    Raises:
        SettingsError: a figure is out of range; the line names it.
    """

    keepers: tuple[Keeper, ...] = CYMBALS
    backbeat: float = 0.0
    fills: tuple[float, ...] = (0.05, 0.05, 0.05, 0.2, 0.05, 0.05, 0.05, 0.4)
    fill_beats: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)
    returns: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no style can have."""
        if not self.keepers or Keeper.NONE in self.keepers:
            message = "form.keepers: name one or more of hat, ride, crash, snare, tom"
            raise SettingsError(message)
        _within("backbeat", (self.backbeat,), 0.0, 1.0)
        _within("fills", self.fills, 0.0, 1.0)
        _within("fill_beats", self.fill_beats, 0.5, 4.0)
        _within("returns", (self.returns,), 0.0, 3.0)
        if len(self.fills) != FILL_CYCLE_BARS or not self.fill_beats:
            message = (
                f"form.fills has {len(self.fills)} chances: give {FILL_CYCLE_BARS}; "
                "and some fill_beats"
            )
            raise SettingsError(message)

    def fill_at(self, seed: int, number: int) -> float:
        """Return the beats that the fill of bar ``number`` takes; 0 for none.

        No fill follows a fill, and a song does not begin with one.
        """
        if number == 0 or not self._draws(seed, number):
            return 0.0
        if self._draws(seed, number - 1) and number > 1:
            return 0.0
        return self.fill_length(seed, number)

    def fill_length(self, seed: int, number: int) -> float:
        """Return the beats that a fill takes if there is one in bar ``number``."""
        return self.fill_beats[_choice("fill length", seed, number, len(self.fill_beats))]

    def has_backbeat(self, seed: int, number: int) -> bool:
        """Tell whether bar ``number`` is to have a backbeat."""
        return _share("backbeat", seed, number) < self.backbeat

    def _draws(self, seed: int, number: int) -> bool:
        return _share("fill", seed, number) < self.fills[number % FILL_CYCLE_BARS]


SONG_SECTIONS: Final = (
    (Section.INTRO, 8),
    (Section.A, 16),
    (Section.B, 8),
    (Section.A, 16),
    (Section.B, 16),
    (Section.BREAK, 8),
    (Section.B, 16),
    (Section.A, 8),
    (Section.B, 16),
)
"""Sections of a song with a form of its own, each with its bars; after the last the second."""


def section_at(number: int) -> tuple[Section, int]:
    """Return the section of bar ``number`` of a song with a form, and the bar it began with."""
    whole = sum(bars for _, bars in SONG_SECTIONS)
    intro = SONG_SECTIONS[0][1]
    since = 0
    if number >= whole:
        rounds, _ = divmod(number - intro, whole - intro)
        since = rounds * (whole - intro)
    for section, bars in SONG_SECTIONS:
        if number < since + bars:
            return section, since
        since += bars
    return SONG_SECTIONS[-1][0], since


def _within(name: str, values: Collection[float], low: float, high: float) -> None:
    for value in values:
        if not low <= value <= high:
            message = f"form.{name} = {value:g}: use {low:g} to {high:g}"
            raise SettingsError(message)


# A planner asks for the bars around the playhead again and again: a seeded generator costs 40 us.
@lru_cache(REMEMBERED)
def _share(what: str, seed: int, number: int) -> float:
    return _rng(what, seed, number).random()


@lru_cache(REMEMBERED)
def _choice(what: str, seed: int, number: int, among: int) -> int:
    return _rng(what, seed, number).randrange(among)


def _rng(*key: object) -> random.Random:
    return random.Random("/".join(map(str, key)))  # noqa: S311 - music; a text seeds alike anywhere
