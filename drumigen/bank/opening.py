"""How the songs of a style begin, learnt from the bars of its bank."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from drumigen.bank.bank import Bank
from drumigen.kit import TOMS, VOICES, Voice
from drumigen.pattern import Bar
from drumigen.timekeeping import Keeper, cells

ON_THE_ONE: Final = 0.75
"""Share of a style's bars with a kick on the one from which its songs begin with one."""
USUAL: Final = 0.2
"""Share of its bars that have many toms, or crashes, from which its songs may begin so."""
TOMS_MANY: Final = 3
CRASHES_MANY: Final = 2
"""Strokes in a bar that are many."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first bar of a style's songs is like.

    A listener learns from it where the one is, and all bars that follow are written in view of it.
    """

    kick_on_the_one: bool = False
    many_toms: bool = True
    many_crashes: bool = True

    def suits(self, bar: Bar, keeper: Keeper | None = None) -> bool:
        """Tell whether a song may begin with ``bar``; ``keeper`` is who keeps time in it."""
        return (
            (not self.kick_on_the_one or _kicks_on_the_one(bar))
            and (self.many_toms or keeper is Keeper.TOM or not _has_many_toms(bar))
            and (self.many_crashes or keeper is Keeper.CRASH or not _has_many_crashes(bar))
        )


@lru_cache(64)
def opening_of(bank: Bank) -> Opening:
    """Return how the songs of a style begin whose bars those of ``bank`` are."""
    bars = [bar for phrase in bank.phrases for bar in phrase]

    def share(has: Callable[[Bar], bool]) -> float:
        return sum(map(has, bars)) / max(1, len(bars))

    return Opening(
        share(_kicks_on_the_one) >= ON_THE_ONE,
        share(_has_many_toms) >= USUAL,
        share(_has_many_crashes) >= USUAL,
    )


def _kicks_on_the_one(bar: Bar) -> bool:
    return (0, Voice.KICK) in cells(bar)


def _has_many_toms(bar: Bar) -> bool:
    return sum(hit.voice in TOMS for hit in bar.hits) >= TOMS_MANY


def _has_many_crashes(bar: Bar) -> bool:
    crashes = sum(VOICES[hit.voice].class_of_nine is Voice.CRASH for hit in bar.hits)
    return crashes >= CRASHES_MANY
