"""What was played: the last bars, kept for export, and the song that they make."""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, overload

import msgspec

from drumigen.midi.song import Marker, MeterMark, Note, Song, TempoMark
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.engine.messages import PlayedBar

MARKED_TEMPO_STEP: Final = 0.05
"""BPM by which the tempo must differ to be marked anew: a followed clock never stands still."""


_DECODER: Final = msgspec.json.Decoder(PlayedBar)


class Kept(Sequence[PlayedBar]):
    """Bars packed small: two hours in some 2 MB; each is unpacked when it is looked at."""

    def __init__(self, packed: Sequence[bytes]) -> None:
        """Hold what :func:`pack` made."""
        self._packed = packed

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> PlayedBar: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PlayedBar, ...]: ...
    def __getitem__(self, index: int | slice) -> PlayedBar | tuple[PlayedBar, ...]:
        """Return a bar, or some."""
        if isinstance(index, slice):
            return tuple(map(unpack, self._packed[index]))
        return unpack(self._packed[index])


def pack(bar: PlayedBar) -> bytes:
    """Return ``bar`` in a few hundred bytes."""
    return zlib.compress(msgspec.json.encode(bar), 1)


def unpack(data: bytes) -> PlayedBar:
    """Return the bar that :func:`pack` packed."""
    return _DECODER.decode(zlib.decompress(data))


class Capture:
    """The last bars that sounded, oldest first."""

    def __init__(self, limit: int) -> None:
        """Keep at most ``limit`` bars."""
        self._bars: deque[bytes] = deque(maxlen=limit)
        self._listeners: list[Callable[[PlayedBar], None]] = []

    def listen(self, listener: Callable[[PlayedBar], None]) -> None:
        """Call ``listener`` with every bar that is over."""
        self._listeners.append(listener)

    def restore(self, bars: Iterable[PlayedBar]) -> None:
        """Take the bars of the time before, as at a start; nobody is told."""
        self._bars.extendleft(reversed([pack(bar) for bar in bars]))

    def add(self, bar: PlayedBar) -> None:
        """Take a bar that is over."""
        self._bars.append(pack(bar))
        for listener in self._listeners:
            listener(bar)

    def last(self, bars: int) -> Kept:
        """Return the last ``bars`` bars."""
        return Kept(tuple(self._bars)[-bars:] if bars > 0 else ())


def song_of(bars: Iterable[PlayedBar], name: str = "") -> Song:
    """Return ``bars`` one after another as they were played, in the order they were played.

    A marker opens each stretch of one style and names where bars came from that were a
    fallback.  A bar that was stopped and continued is one bar.
    """
    notes: list[Note] = []
    tempos: list[TempoMark] = []
    meters: list[MeterMark] = []
    markers: list[Marker] = []
    start = end = 0
    before: PlayedBar | None = None
    tempo = 0.0
    for bar in bars:
        if before is None or not _continues(before, bar):
            start = end
        meter = Meter.parse(bar.meter)
        end = start + meter.ticks
        here = Tick(start)
        for tick, there in bar.tempos or ((0, bar.tempo),):
            if abs(there - tempo) >= MARKED_TEMPO_STEP:
                tempo = there
                tempos.append(TempoMark.of(there, Tick(start + tick)))
        if before is None or before.meter != bar.meter:
            meters.append(MeterMark(here, meter))
        if before is None or _label(before) != _label(bar):
            markers.append(Marker(here, _label(bar)))
        moved = start - bar.start
        notes += [
            Note(Tick(max(0, n.tick + moved)), n.channel, n.note, n.velocity, max(1, n.duration))
            for n in bar.notes
        ]
        before = bar
    return Song(tuple(notes), tuple(tempos), tuple(meters), tuple(markers), name, Tick(end))


def _continues(before: PlayedBar, bar: PlayedBar) -> bool:
    if (before.number, before.start, before.meter) != (bar.number, bar.start, bar.meter):
        return False
    return not before.notes or not bar.notes or before.notes[-1].tick < bar.notes[0].tick


def _label(bar: PlayedBar) -> str:
    return f"{bar.style} ({bar.origin})" if bar.origin.fallback else bar.style
