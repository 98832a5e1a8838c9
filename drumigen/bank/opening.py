"""How the songs of a style begin: shares of the bars of its bank, kept in a small file beside them.

To read the banks themselves takes the generator most of a second, in which it should write.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from drumigen.bank.bank import Bank
from drumigen.errors import PatternError
from drumigen.kit import TOMS, VOICES, Voice
from drumigen.pattern import Bar
from drumigen.resources import openings_path, read_toml
from drumigen.timekeeping import Keeper, cells

ON_THE_ONE: Final = 0.75
"""Share of a style's bars with a kick on the one from which its songs begin with one."""
OPENING_SHARE: Final = 0.2
"""Share of its bars that have many toms, or crashes, from which its songs may begin so."""
TOMS_MANY: Final = 3
CRASHES_MANY: Final = 2
"""Strokes in a song's first bar that are many."""
CRASHES_AS_TIME: Final = 3
"""Crashes in a bar from which it keeps its time on them."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first bar of a style's songs is like, by shares (0-1) of the bars of its takes.

    A listener learns from it where the one is, and all bars that follow are written in view of it.
    """

    kick_on_the_one: float = 0.0
    many_toms: float = 1.0
    many_crashes: float = 1.0

    def suits(self, bar: Bar, keeper: Keeper | None = None) -> bool:
        """Tell whether a song may begin with ``bar``; ``keeper`` is who keeps time in it."""
        toms = self.many_toms >= OPENING_SHARE or keeper is Keeper.TOM
        return (
            (self.kick_on_the_one < ON_THE_ONE or _kicks_on_the_one(bar))
            and (toms or not _has_many_toms(bar))
            and (self._may_crash(keeper) or not _has_many_crashes(bar))
        )

    def goes_on_with(self, bar: Bar, keeper: Keeper | None = None) -> bool:
        """Tell whether a song may go on with ``bar``: its time is on the crash where that is so."""
        return self._may_crash(keeper) or _crashes_in(bar) < CRASHES_AS_TIME

    def _may_crash(self, keeper: Keeper | None) -> bool:
        return self.many_crashes >= OPENING_SHARE or keeper is Keeper.CRASH


def opening_of(bank: str) -> Opening:
    """Return how the songs of a style begin whose bars are those of ``bank``.

    One that is not shipped asks for nothing.
    """
    return _openings().get(bank, Opening())


def measured_opening(bank: Bank) -> Opening:
    """Return what the bars of ``bank`` themselves say, to two places."""
    bars = [bar for phrase in bank.phrases for bar in phrase]

    def share(has: Callable[[Bar], bool]) -> float:
        return round(sum(map(has, bars)) / max(1, len(bars)), 2)

    return Opening(share(_kicks_on_the_one), share(_has_many_toms), share(_has_many_crashes))


@cache
def _openings() -> dict[str, Opening]:
    return read_toml(openings_path(), dict[str, Opening], PatternError)


def _kicks_on_the_one(bar: Bar) -> bool:
    return (0, Voice.KICK) in cells(bar)


def _has_many_toms(bar: Bar) -> bool:
    return sum(hit.voice in TOMS for hit in bar.hits) >= TOMS_MANY


def _has_many_crashes(bar: Bar) -> bool:
    return _crashes_in(bar) >= CRASHES_MANY


def _crashes_in(bar: Bar) -> int:
    """Return how often a crash is struck in ``bar``."""
    return sum(VOICES[hit.voice].class_of_nine is Voice.CRASH for hit in bar.hits)
