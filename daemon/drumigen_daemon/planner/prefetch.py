"""What the generator should write next: the song first, then what a switch of style would need."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from drumigen.model.network import CONTEXT_BARS
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import EVERYTHING, BarRequest, Item, WrittenBar
from drumigen_daemon.planner.arrangement import Arrangement
from drumigen_daemon.planner.bar_choice import BarChoice
from drumigen_daemon.planner.playhead import Playhead
from drumigen_daemon.planner.song_memory import SongMemory

READY_BARS: Final = 2
"""Bars, from the one that sounds on, that are ready in every style, and as a fill."""

OTHER_STYLES_MAX: Final = 18
"""Bars in other styles that are asked for at once: the song never waits long for its own.  A new
bar wants 34, a groove and a fill for each style that is shipped, and so takes two batches."""


CATCH_UP_BARS: Final = 8
"""Bars that are written after something else has sounded in their place: of more, the oldest are
given up, and the song goes on from what was heard."""

REFUSED_MAX: Final = 256
"""Refused requests that are remembered, so as not to be asked again; the oldest give way."""

_Line = tuple[BarRequest | None, tuple[BarRequest, ...]]
"""Of another style: the bar that must be there first, if any; and what is missing after it."""


class Prefetch:
    """Keeps track of what was asked; a bar is asked for once the bar it continues is known."""

    def __init__(self, arrangement: Arrangement, memory: SongMemory, styles: Sequence[str]) -> None:
        """Look ahead by ``arrangement``, and keep ``styles`` ready besides the one that plays."""
        self._arrangement = arrangement
        self._memory = memory
        self._styles = tuple(styles)
        self._asked: dict[BarRequest, bool] = {}  # whether its bar line was still to come
        self._owed: dict[tuple[str, int], BarRequest] = {}
        self._refused: dict[BarRequest, None] = {}
        self._complete = False
        self._song_complete = False
        self._switch: tuple[_Line, ...] | None = None

    def changed(self) -> None:
        """Look again for what is missing: the song has moved on, or is to be another."""
        self._complete = self._song_complete = False
        self._switch = None

    def items(
        self,
        playhead: Playhead,
        planned: Mapping[int, BarChoice],
        tempo_of: Callable[[int], Bpm],
        most: int = EVERYTHING,
    ) -> tuple[Item, ...]:
        """Return what to write now, together, ``most`` bars; it counts as asked for.

        If that is not everything, what is bound to be played comes before what might be.  All of
        them are for one tempo, that of the first; ``tempo_of`` tells that of a bar.
        """
        if most < CATCH_UP_BARS:
            self._owed.clear()  # whoever is slow does not write what is over
        if self._complete:
            return ()
        items: tuple[Item, ...] = ()
        if not self._song_complete:
            items = self._missing(self._for_the_song(playhead), playhead, planned)
            # nothing was asked for, so no answer can bring up another bar of the song
            self._song_complete = not (items or self._asked)
        if len(items) > most:
            items = tuple(sorted(items, key=lambda item: self._is_spare(item.request))[:most])
        if not items:
            others = islice(self._for_a_switch(playhead), min(OTHER_STYLES_MAX, most))
            items = self._missing(others, playhead, planned)
        self._complete = not items
        items = tuple(
            item
            for item in items
            if tempo_of(item.request.number) == tempo_of(items[0].request.number)
        )
        for item in items:
            self._asked[item.request] = not playhead.has_begun(item.request.number)
        return items

    def answered(self, request: BarRequest) -> bool:
        """Take note of an answer; tell whether its bar line was still to come when it was asked."""
        self._complete = False
        place = (request.style, request.number)
        if self._owed.get(place) == request:
            del self._owed[place]
        return self._asked.pop(request, False)

    def owe(self, request: BarRequest) -> None:
        """Take note that a fallback sounds in place of what was to be written.

        It is still to be written, though nobody will hear it: the bars after it continue it, and
        so the song is the one that it would have been.
        """
        answered = request in self._refused or self._memory.by_bank(request)
        if not answered and self._memory.own(request) is None:
            self._owed[request.style, request.number] = request
            if len(self._owed) > CATCH_UP_BARS:
                del self._owed[next(iter(self._owed))]

    def owes(self, request: BarRequest) -> bool:
        """Whether an answer to ``request`` comes after something else has sounded in its place."""
        return self._owed.get((request.style, request.number)) == request

    def refused(self, request: BarRequest) -> None:
        """Take note that a request cannot be served: it counts as answered, by whatever plays."""
        self.answered(request)
        self._refused[request] = None
        if len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]

    def forget(self) -> None:
        """Forget what was asked: nobody is going to answer."""
        self._complete = self._song_complete = False
        self._asked.clear()

    def _missing(
        self, requests: Iterable[BarRequest], playhead: Playhead, planned: Mapping[int, BarChoice]
    ) -> tuple[Item, ...]:
        contexts: dict[tuple[str, int], tuple[WrittenBar, ...]] = {}
        items: dict[BarRequest, Item] = {}
        for request in requests:
            if request in self._asked or (self._is_settled(request) and not self.owes(request)):
                continue
            place = (request.style, request.number)
            if place not in contexts:
                contexts[place] = self._context(*place, playhead, planned)
            items[request] = Item(request, contexts[place])
        return tuple(items.values())

    def _for_the_song(self, playhead: Playhead) -> Iterator[BarRequest]:
        """Yield what the song as it stands needs, the most urgent first."""
        arrangement = self._arrangement
        for (style, number), request in self._owed.items():
            if (style, number - 1) not in self._owed:
                yield request
        for number in playhead.wanted:
            if self._is_owed(number) or self._is_owed(number - 1):
                continue
            if number not in (0, playhead.bar) and not self._is_known(number - 1, playhead):
                continue
            if arrangement.given(number) is None:
                underway = playhead.has_begun(number) and number == playhead.bar
                for tick, request in arrangement.parts(number):
                    if not underway or tick > playhead.tick:
                        yield request
            if playhead.bar <= number < playhead.bar + READY_BARS:
                yield arrangement.fill_of(number)

    def _for_a_switch(self, playhead: Playhead) -> Iterator[BarRequest]:
        """Yield what a switch to any other style would need and nobody was asked for."""
        if self._switch is None:
            self._switch = tuple(self._lines(playhead))
        for before, requests in self._switch:
            if before is None or self._is_there(before):
                for request in requests:
                    if not (request in self._asked or self._is_there(request)):
                        yield request

    def _is_spare(self, request: BarRequest) -> bool:
        """Whether a bar of the song is only there to be called for."""
        return all(request != part for _, part in self._arrangement.parts(request.number))

    def _lines(self, playhead: Playhead) -> Iterator[_Line]:
        arrangement = self._arrangement
        others = [style for style in self._styles if style != arrangement.conditions.last.style]
        before: dict[str, BarRequest] = {}
        for number in range(playhead.bar, playhead.bar + READY_BARS):
            for style in others:
                requests = arrangement.in_style(number, style)
                missing = tuple(r for r in requests if not self._is_there(r))
                if missing:
                    yield before.get(style), missing
                before[style] = requests[0]

    def _is_there(self, request: BarRequest) -> bool:
        """Whether a bar is there that serves for a switch, if written under other conditions.

        A knob that is turned is no reason to write all styles anew: rules make up for it.
        """
        return self._is_settled(request) or self._memory.near(request) is not None

    def _is_settled(self, request: BarRequest) -> bool:
        """Whether the very bar is there, or nobody can write it."""
        return request in self._refused or self._memory.find(request) is not None

    def _is_owed(self, number: int) -> bool:
        """Whether a bar of the song is over, or begun, and still to be written."""
        return bool(self._owed) and (self._arrangement.at_start(number).style, number) in self._owed

    def _is_known(self, number: int, playhead: Playhead) -> bool:
        """Whether a bar of the song is there, or is over, so that the next can continue it."""
        if self._is_owed(number):
            return False
        if playhead.has_begun(number) or self._arrangement.given(number) is not None:
            return True
        requests = (request for _, request in self._arrangement.parts(number))
        return all(self._is_settled(request) for request in requests)

    def _context(
        self, style: str, number: int, playhead: Playhead, planned: Mapping[int, BarChoice]
    ) -> tuple[WrittenBar, ...]:
        bars: list[WrittenBar] = []
        while len(bars) < CONTEXT_BARS and len(bars) < number:
            before = number - 1 - len(bars)
            choice = planned.get(before)
            part = choice.part_of(style) if choice is not None and before >= playhead.bar else None
            own = self._memory.own_at(style, before)
            if own is not None:
                bar: WrittenBar | None = own
            elif part is not None:
                bar = WrittenBar(part.made_for or part.request, part.bar)
            else:
                bar = self._memory.stands_at(style, before, sounded=before <= playhead.bar)
            if bar is None:
                break
            bars.append(bar)
        return tuple(reversed(bars))
