"""The bars of the song as they are known: written, sounded; each style has a history of its own.

So going back repeats what was heard.  That a seed gives the same song in another life is the
writers' doing: every draw is keyed by seed and place.
"""

from collections.abc import Collection, Iterator
from typing import Final

from drumigen.arrange import Section
from drumigen.model.network import CONTEXT_BARS
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen_daemon.engine.messages import Origin
from drumigen_daemon.generator.messages import BarRequest, WrittenBar

SOUNDED_MAX: Final = 4096
"""Played bars that are remembered: two hours at 140 BPM."""
OWN_BARS_MAX: Final = 256
"""Bars that are remembered as they were to be where something else sounded."""
VERSIONS_MAX: Final = 16
"""Written versions of one bar of one style that are kept: its fill, and what knobs went through."""
BY_BANK_MAX: Final = 1024
"""Requests of which it is remembered that the generator had the bank write them."""

BY_WORKERS_MAX: Final = 1024
"""Requests of which it is remembered that a worker has written them."""

StyleBar = tuple[str, int]
"""A style, and a bar of the song."""


class SongMemory:
    """Bounded: what sounded is kept for long, what was only written while it is near."""

    def __init__(self) -> None:
        """Know nothing."""
        self._sounded: dict[BarRequest, Bar] = {}
        self._sounded_at: dict[StyleBar, WrittenBar] = {}
        self._written: dict[StyleBar, dict[BarRequest, Bar]] = {}
        self._own: dict[StyleBar, WrittenBar] = {}
        self._by_workers: dict[BarRequest, None] = {}
        self._by_bank: dict[BarRequest, None] = {}

    def __len__(self) -> int:
        """Return how many bars are held."""
        return len(self._sounded) + sum(map(len, self._written.values()))

    def keep_written(self, written: WrittenBar) -> None:
        """Take a bar from the generator."""
        request = written.request
        versions = self._written.setdefault((request.style, request.number), {})
        versions.pop(request, None)
        versions[request] = written.bar
        self._by_bank.pop(request, None)
        if written.by_bank:
            self._by_bank[request] = None
            if len(self._by_bank) > BY_BANK_MAX:
                del self._by_bank[next(iter(self._by_bank))]
        while len(versions) > VERSIONS_MAX:
            del versions[next(iter(versions))]
        self._by_workers.pop(request, None)
        if written.by_worker:
            self._by_workers[request] = None
            if len(self._by_workers) > BY_WORKERS_MAX:
                del self._by_workers[next(iter(self._by_workers))]

    def by_worker(self, request: BarRequest) -> bool:
        """Tell whether a worker on another machine wrote what answers ``request``."""
        return request in self._by_workers

    def keep_sounded(self, request: BarRequest, bar: Bar) -> None:
        """Take note that ``bar`` sounds in answer to ``request``."""
        place = (request.style, request.number)
        self._sounded.pop(request, None)
        self._sounded_at.pop(place, None)
        self._sounded[request] = bar
        self._sounded_at[place] = WrittenBar(request, bar)
        if len(self._sounded) > SOUNDED_MAX:
            del self._sounded[next(iter(self._sounded))]
        if len(self._sounded_at) > SOUNDED_MAX:
            del self._sounded_at[next(iter(self._sounded_at))]

    def keep_own(self, written: WrittenBar) -> None:
        """Take what was to sound where something else did: what comes after it continues it."""
        place = (written.request.style, written.request.number)
        self._own[place] = written
        if len(self._own) > OWN_BARS_MAX:
            del self._own[next(iter(self._own))]

    def sounded_as(self, request: BarRequest) -> None:
        """Take note that an answer to ``request`` sounds where something else was to be once."""
        if self.own(request) is None:
            self._own.pop((request.style, request.number), None)

    def own_at(self, style: str, number: int) -> WrittenBar | None:
        """Return what was to sound in a bar of a style where something else did, if it is known."""
        return self._own.get((style, number))

    def own(self, request: BarRequest) -> WrittenBar | None:
        """Return the same, if it answers ``request``."""
        own = self.own_at(request.style, request.number)
        return own if own is not None and own.request == request else None

    def use_up(self, request: BarRequest) -> None:
        """Forget a written bar that has been played, there or elsewhere."""
        versions = self._written.get((request.style, request.number))
        if versions is not None:
            versions.pop(request, None)

    def find(self, request: BarRequest) -> tuple[Bar, Origin] | None:
        """Return the very bar that is asked for, if it sounded or was written."""
        if request in self._sounded:
            return self._sounded[request], Origin.REMEMBERED
        written = self._written.get((request.style, request.number), {}).get(request)
        return None if written is None else (written, self.origin(request))

    def origin(self, request: BarRequest) -> Origin:
        """Return who wrote what answers ``request``: the generator's writer, or its bank."""
        return Origin.BANK if self.by_bank(request) else Origin.GENERATED

    def by_bank(self, request: BarRequest) -> bool:
        """Tell whether the generator had its bank answer ``request``, for its writer could not."""
        return request in self._by_bank

    def near(self, request: BarRequest) -> WrittenBar | None:
        """Return the latest bar written for the same place under other conditions."""
        versions = self._written.get((request.style, request.number), {})
        for other, bar in reversed(versions.items()):
            if (other.meter, other.fill) == (request.meter, request.fill):
                return WrittenBar(other, bar)
        return None

    def unplayed(self, style: str, meter: Meter, before: int) -> WrittenBar | None:
        """Return the oldest bar, no fill, that was written for a place before ``before``."""
        for number in sorted(n for s, n in self._written if s == style and n < before):
            for request, bar in self._written[style, number].items():
                if not request.fill and request.meter == meter:
                    return WrittenBar(request, bar)
        return None

    def stands_at(self, style: str, number: int, *, sounded: bool) -> WrittenBar | None:
        """Return what the history of ``style`` holds in a bar: what ``sounded``, or the latest."""
        place = (style, number)
        versions = self._written.get(place, {})
        groove = [WrittenBar(r, bar) for r, bar in versions.items() if not r.fill]
        latest = [*groove, *(WrittenBar(r, bar) for r, bar in versions.items() if r.fill)]
        written = groove[-1] if groove else latest[-1] if latest else None
        heard = self._sounded_at.get(place)
        return (heard or written) if sounded else (written or heard)

    def forget_far(self, bar: int, near: Collection[int]) -> None:
        """Forget what was written for bars out of reach of ``bar`` and not ``near`` it."""
        for place in list(self._far(bar, near)):
            del self._written[place]

    def _far(self, bar: int, near: Collection[int]) -> Iterator[StyleBar]:
        for style, number in self._written:
            if number not in near and not bar - CONTEXT_BARS <= number <= bar:
                yield style, number


class PhraseMemory:
    """How each section was played when it was first there, so that A can return as A."""

    def __init__(self) -> None:
        """Know no section."""
        self._phrases: dict[tuple[str, Meter, Section], tuple[int, list[Bar]]] = {}

    def keep(self, request: BarRequest, since: int, bar: Bar, most: int) -> None:
        """Take the next bar of a section that began with bar ``since``, up to ``most`` bars."""
        if request.section is Section.NONE or request.number < since:
            return
        key = (request.style, request.meter, request.section)
        begun, bars = self._phrases.setdefault(key, (since, []))
        if begun == since and len(bars) < most and request.number == since + len(bars):
            bars.append(bar)

    def recall(self, request: BarRequest, since: int) -> Bar | None:
        """Return how this bar of the section was played when it was there before."""
        key = (request.style, request.meter, request.section)
        begun, bars = self._phrases.get(key, (since, []))
        place = request.number - since
        return bars[place] if begun != since and 0 <= place < len(bars) else None
