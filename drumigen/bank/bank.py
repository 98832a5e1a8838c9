"""The built-in bar bank: real bars of a style, enough of them that nothing loops.

``python -m drumigen.bank.builder build /path/to/groove-midi`` writes the banks anew.
"""

import random
from dataclasses import dataclass
from functools import cache

from drumigen.fitting import fit
from drumigen.kit import load_kit
from drumigen.midi.file import read_song
from drumigen.midi.song import Song, bars_from_song
from drumigen.pattern import Bar, spliced
from drumigen.resources import bank_path
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT
from drumigen.variation import with_crash

PHRASE_MARKER = "phrase"
FILL_MARKER = "fill"
"""First words of the markers that open a phrase or a fill; its source follows."""


@dataclass(frozen=True)
class Bank:
    """Phrases of consecutive bars, and fills; a fill may rest until the beat it starts on."""

    name: str
    phrases: tuple[tuple[Bar, ...], ...]
    fills: tuple[Bar, ...]

    def bar(
        self,
        song_bar: int,
        seed: int,
        meter: Meter,
        *,
        fill: bool = False,
        after_fill: bool = False,
    ) -> Bar:
        """Return what sounds in bar ``song_bar`` of the walk that ``seed`` names.

        A pure function.  Whole phrases follow one another, each once before any comes again.
        With ``fill`` the bar ends in a fill, another one than near it; with ``after_fill`` it
        has a crash on one.
        """
        bar = fit(self._groove(song_bar, seed), meter)
        if fill and self.fills:
            bar = _ending_in(bar, fit(self._fill(song_bar, seed), meter, tail=True))
        return with_crash(bar) if after_fill else bar

    def _groove(self, song_bar: int, seed: int) -> Bar:
        cycle, left = divmod(song_bar, sum(map(len, self.phrases)))
        for index in self._order(cycle, seed):
            phrase = self.phrases[index]
            if left < len(phrase):
                return phrase[left]
            left -= len(phrase)
        message = "a cycle holds every phrase"
        raise AssertionError(message)

    def _order(self, cycle: int, seed: int) -> list[int]:
        count = len(self.phrases)
        if count < 3:
            return list(range(count))
        order, before = (_shuffled(count, f"{seed}/{number}") for number in (cycle, cycle - 1))
        if order[0] == before[-1]:
            order[0], order[1] = order[1], order[0]
        return order

    def _fill(self, song_bar: int, seed: int) -> Bar:
        order = _shuffled(len(self.fills), f"{seed}/fills")
        # neighbours differ, and so do bars that are a number of bars apart which divides them all
        return self.fills[order[(song_bar + song_bar // len(order)) % len(order)]]


@cache
def load_bank(name: str) -> Bank:
    """Read the shipped bank ``name``; once, as it is a frozen value.

    Raises:
        MidiFileError: there is none of that name.
    """
    return bank_from_song(name, read_song(bank_path(name)))


def bank_from_song(name: str, song: Song) -> Bank:
    """Return the bank whose phrases and fills are opened by the song's markers."""
    bars = bars_from_song(song, load_kit())
    meters = song.meter_map
    starts = [meters.bar_at(marker.tick) for marker in song.markers]
    parts = [
        (marker.text, tuple(bars[start:end]))
        for marker, start, end in zip(song.markers, starts, [*starts[1:], len(bars)], strict=True)
    ]
    phrases = tuple(part for text, part in parts if text.startswith(PHRASE_MARKER))
    fills = tuple(bar for text, part in parts if text.startswith(FILL_MARKER) for bar in part)
    return Bank(name, phrases, fills)


def _shuffled(count: int, key: str) -> list[int]:
    order = list(range(count))
    random.Random(key).shuffle(order)  # noqa: S311 - music; a text seeds the same everywhere
    return order


def _ending_in(groove: Bar, fill: Bar) -> Bar:
    """Return ``groove`` up to the beat on which ``fill`` starts, and the fill from there."""
    if not fill.hits:
        return groove
    start = fill.hits[0].tick // TICKS_PER_BEAT * TICKS_PER_BEAT
    return spliced(groove, fill, start)
