"""What was played: the last bars, kept for export, and the song that they make."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from drumigen.song import Marker, MeterMark, Note, Song, TempoMark
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.messages import Sounded

TEMPO_STEP: Final = 0.05
"""BPM by which the tempo must differ to be marked anew: a followed clock never stands still."""


class Capture:
    """The last bars that sounded, oldest first."""

    def __init__(self, limit: int) -> None:
        """Keep at most ``limit`` bars."""
        self._bars: deque[Sounded] = deque(maxlen=limit)

    def add(self, bar: Sounded) -> None:
        """Take a bar that is over."""
        self._bars.append(bar)

    def last(self, bars: int) -> tuple[Sounded, ...]:
        """Return the last ``bars`` bars."""
        return tuple(self._bars)[-bars:] if bars > 0 else ()


def song_of(bars: Iterable[Sounded], name: str = "") -> Song:
    """Return ``bars`` one after another as they were played, in the order they were played.

    A marker opens each stretch of one style and names where bars came from that were a
    fallback.  A bar that was stopped and continued is one bar.
    """
    notes: list[Note] = []
    tempos: list[TempoMark] = []
    meters: list[MeterMark] = []
    markers: list[Marker] = []
    start = end = 0
    before: Sounded | None = None
    tempo = 0.0
    for bar in bars:
        if before is None or not _continues(before, bar):
            start = end
        meter = Meter.parse(bar.meter)
        end = start + meter.ticks
        here = Tick(start)
        if abs(bar.tempo - tempo) >= TEMPO_STEP:
            tempo = bar.tempo
            tempos.append(TempoMark.of(bar.tempo, here))
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


def _continues(before: Sounded, bar: Sounded) -> bool:
    if (before.number, before.start, before.meter) != (bar.number, bar.start, bar.meter):
        return False
    return not before.notes or not bar.notes or before.notes[-1].tick < bar.notes[0].tick


def _label(bar: Sounded) -> str:
    return f"{bar.style} ({bar.origin})" if bar.origin.fallback else bar.style
