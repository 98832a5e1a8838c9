"""What bars are written under, and from which tick of the song on."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from drumigen.arrange import Section
from drumigen.units import Tick


@dataclass(frozen=True, slots=True)
class SongConditions:
    """What conditions the bars at a tick of the song; see ``BarRequest`` for ranges."""

    style: str = "rock"
    seed: int = 1
    density: int | None = None
    intensity: int | None = None
    busy: int | None = None
    temperature: float = 1.0
    section: Section = Section.NONE
    since: int = 0
    """The bar that the section began with."""
    blend: str = ""
    share: int = 0
    half_time: bool = False


@dataclass(frozen=True, slots=True)
class Automation:
    """The conditions of every tick of the song: the first hold from its beginning."""

    changes: tuple[tuple[Tick, SongConditions], ...]

    @classmethod
    def constant(cls, conditions: SongConditions) -> Self:
        """Return the map of a song under the same conditions throughout."""
        return cls(((Tick(0), conditions),))

    def at(self, tick: float) -> SongConditions:
        """Return what holds at ``tick``."""
        return self.changes[self._index(tick)][1]

    def within(self, start: Tick, end: Tick) -> Iterator[tuple[Tick, SongConditions]]:
        """Yield what holds from ``start`` to before ``end``, each with the tick it begins at."""
        yield start, self.at(start)
        for tick, conditions in self.changes:
            if start < tick < end:
                yield tick, conditions

    def changed(self, tick: Tick, **fields: object) -> "Automation":
        """Return the map in which ``fields`` hold from ``tick`` on, also after later changes."""
        kept = [change for change in self.changes if change[0] < tick]
        ahead = [(tick, self.at(tick)), *(c for c in self.changes if c[0] > tick)]
        for at, conditions in ahead:
            kept.append((at, replace(conditions, **fields)))  # type: ignore[arg-type]
        return Automation(tuple(kept)).simplified()

    def settled(self, tick: float) -> "Automation":
        """Return the map without what has changed before ``tick``."""
        index = self._index(tick)
        first, *later = self.changes[index:]
        return Automation(((Tick(0), first[1]), *later))

    def simplified(self) -> "Automation":
        """Return the map without changes that change nothing."""
        kept = [self.changes[0]]
        for change in self.changes[1:]:
            if change[1] != kept[-1][1]:
                kept.append(change)
        return Automation(tuple(kept))

    @property
    def last(self) -> SongConditions:
        """What holds in the end."""
        return self.changes[-1][1]

    def _index(self, tick: float) -> int:
        return max(0, bisect_right(self.changes, tick, key=lambda change: change[0]) - 1)
