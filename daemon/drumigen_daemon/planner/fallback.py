"""Never silent: the best bar at hand for a place in the song, whatever is missing."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from drumigen.bank.bank import Bank
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen.variation import vary
from drumigen_daemon.engine.messages import Origin
from drumigen_daemon.generator.messages import BarRequest, WrittenBar, from_bank
from drumigen_daemon.planner.bar_choice import BarChoice, BarPart, landed
from drumigen_daemon.planner.song_memory import PhraseMemory, SongMemory

RETURN_AMOUNT: Final = 0.2
"""How much a section that returns is varied; two small changes a bar."""


class Fallback:
    """Finds bars, best first, in what sounded, what was written, and what can be made at once."""

    def __init__(self, bank_of: Callable[[str], Bank]) -> None:
        """Know no bar yet; ``bank_of(style)`` is the last resort."""
        self.memory = SongMemory()
        self._phrases = PhraseMemory()
        self._bank_of = bank_of
        self._last: dict[tuple[str, Meter], WrittenBar] = {}

    def part(  # noqa: PLR0913 - the ladder has that many rungs
        self,
        tick: Tick,
        request: BarRequest,
        old: BarPart | None,
        *,
        since: int,
        playhead: int,
        variation: bool,
        varied_enough: bool,
    ) -> BarPart:
        """Return the best bar for ``request``, to play from ``tick`` on.

        ``old`` is what is planned for it so far.  ``since`` is the bar its section began with,
        ``playhead`` the bar that sounds; ``varied_enough`` asks for no more variations.
        """
        if old is not None and (old.exact or self.memory.find(request) is None):
            return old
        return (
            self._known(tick, request, since, variation=variation)
            or self._written_elsewhere(tick, request, playhead)
            or self._made_up(tick, request, varied_enough=varied_enough)
        )

    def remember(self, choice: BarChoice, since: int, phrase: int) -> None:
        """Take note that a bar sounds, in a section since bar ``since``, phrases of ``phrase``."""
        for part in choice.parts:
            if part.used is not None:
                self.memory.use_up(part.used)
            if not part.kept:
                continue
            self.memory.keep_sounded(part.request, part.bar)
            if not part.request.fill:
                made = part.made_for or part.request
                self._last[part.request.style, part.request.meter] = WrittenBar(made, part.bar)
        first, *rest = choice.parts
        under = first.request.style, first.request.section
        if first.kept and all((p.request.style, p.request.section) == under for p in rest):
            # what a fill cuts short comes back whole: there may be none the next time
            self._phrases.keep(first.request, since, first.bar, phrase)

    def _known(
        self, tick: Tick, request: BarRequest, since: int, *, variation: bool
    ) -> BarPart | None:
        found = self.memory.find(request)
        if found is not None and found[1] is Origin.REMEMBERED:
            return BarPart(tick, request, found[0], Origin.REMEMBERED)
        recalled = None
        if not request.fill and not request.take:
            recalled = self._phrases.recall(request, since)
        if recalled is not None:
            bar = vary(recalled, seed_of(request), RETURN_AMOUNT) if variation else recalled
            return BarPart(tick, request, landed(request, bar), Origin.REMEMBERED)
        if found is not None:
            bar = landed(request, found[0])
            return BarPart(tick, request, bar, found[1], used=request)
        return None

    def _written_elsewhere(self, tick: Tick, request: BarRequest, playhead: int) -> BarPart | None:
        other, origin = self.memory.near(request), Origin.GENERATED
        if other is None and not request.fill:
            other = self.memory.unplayed(request.style, request.meter, playhead)
            origin = Origin.OLDER
        if other is None:
            return None
        if self.memory.origin(other.request) is Origin.BANK:
            origin = Origin.BANK
        return _stand_in(tick, request, other.bar, origin, other.request, used=other.request)

    def _made_up(self, tick: Tick, request: BarRequest, *, varied_enough: bool) -> BarPart:
        last = self._last.get((request.style, request.meter))
        if last is not None and not request.fill and not varied_enough:
            varied = vary(last.bar, seed_of(request))
            return _stand_in(tick, request, varied, Origin.VARIATION, last.request)
        bar = from_bank(self._bank_of(request.style), request)
        return _stand_in(tick, request, bar, Origin.BANK, request)


def unlike(part: BarPart) -> BarPart:
    """Return ``part`` varied, in place of one that would be the third of a kind running."""
    return replace(part, bar=vary(part.bar, seed_of(part.request)))


def seed_of(request: BarRequest) -> int:
    """Return a stable number for what is asked, so that the same song varies the same way."""
    return zlib.crc32(msgspec.json.encode(request))


def _stand_in(  # noqa: PLR0913, PLR0917 - what a part is made of
    tick: Tick,
    request: BarRequest,
    bar: Bar,
    origin: Origin,
    made_for: BarRequest,
    used: BarRequest | None = None,
) -> BarPart:
    bar = landed(request, bar)
    return BarPart(tick, request, bar, origin, exact=False, made_for=made_for, used=used)
