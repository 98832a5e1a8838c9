"""Which bar sounds, and what has sounded in it: kept by the player, reported by the engine."""

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from drumigen.timeline import Timeline
from drumigen.units import TEMPO_MAX, TEMPO_MIN, TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm
from drumigen_daemon.engine.messages import PlannedBar, PlayedNote

TEMPO_TURN: Final = 0.5
"""BPM by which a tempo must differ to be a turn of it: a followed clock never stands still."""

TURN_TICKS: Final = TICKS_PER_SIXTEENTH // 2
"""Ticks between two turns, at least; what lies between them is in their mean."""


class _Turn(NamedTuple):
    """At ``tick``, which sounded at ``time``, the tempo became ``tempo``."""

    tick: float
    time: float
    tempo: Bpm


@dataclass(slots=True)
class _OpenBar:
    """A bar that sounds, or whose last notes may still sound."""

    planned: PlannedBar
    began: float
    tempo: Bpm
    turns: list[_Turn] = field(default_factory=list)
    """Where the tempo was turned within the bar."""
    tempos: tuple[tuple[int, Bpm], ...] = ()

    def settle(self, ended: float) -> None:
        """Work out the tempi from the ticks and the seconds that passed: ``ended`` is its end."""
        start, end = self.planned.start, self.planned.end
        if ended <= self.began:
            return
        self.tempo = _tempo(end - start, ended - self.began)
        ends = _Turn(start, self.began, self.tempo), _Turn(end, ended, self.tempo)
        turns = [ends[0], *self.turns, ends[1]]
        spans = [(a, b) for a, b in pairwise(turns) if b.tick > a.tick and b.time > a.time]
        if self.turns and spans:
            self.tempos = tuple(
                (max(0, round(a.tick - start)), _tempo(b.tick - a.tick, b.time - a.time))
                for a, b in spans
            )


@dataclass(frozen=True, slots=True)
class FinishedBar:
    """A bar that is over: what sounded, and its mean tempo.

    ``tempos`` are (ticks from its bar line, tempo), where that was turned within the bar.
    """

    planned: PlannedBar
    tempo: Bpm
    notes: tuple[PlayedNote, ...]
    tempos: tuple[tuple[int, Bpm], ...] = ()


class BarLog:
    """Bars as they are entered and finished."""

    def __init__(self) -> None:
        """Know of no bar."""
        self.current: PlannedBar | None = None
        """The bar that the playhead is in."""
        self.entered: deque[PlannedBar] = deque()
        """Bars whose bar line was crossed, until somebody takes them."""
        self.finished: deque[FinishedBar] = deque()
        """Bars that are over, until somebody takes them."""
        self._open: list[_OpenBar] = []
        self._notes: dict[int, list[PlayedNote]] = {}

    def enter(self, bar: PlannedBar, timeline: Timeline) -> None:
        """Take note that the playhead crossed the bar line of ``bar``."""
        began = timeline.time_of(bar.start)
        if self._open and self._open[-1].planned.end == bar.start:
            self._open[-1].settle(began)
        self.current = bar
        self.entered.append(bar)
        self._open.append(_OpenBar(bar, began, timeline.tempo))

    def follow(self, timeline: Timeline, now: float) -> None:
        """Take note that the song goes on along ``timeline``, which may have another tempo."""
        if not self._open:
            return
        bar = self._open[-1]
        tick = timeline.tick_at(now)
        last = bar.turns[-1] if bar.turns else _Turn(bar.planned.start, bar.began, bar.tempo)
        inside = last.tick + TURN_TICKS <= tick <= bar.planned.end - TURN_TICKS
        if inside and abs(timeline.tempo - last.tempo) >= TEMPO_TURN:
            bar.turns.append(_Turn(tick, now, timeline.tempo))

    def sounded(self, bar: int, note: PlayedNote) -> None:
        """Take note of a note that left; it is written in bar number ``bar``."""
        self._notes.setdefault(bar, []).append(note)

    def close_before(self, tick: float) -> None:
        """Finish the bars that end at ``tick`` or earlier."""
        while self._open and self._open[0].planned.end <= tick:
            over = self._open.pop(0)
            self._finish(over, self._notes_of(over))

    def close_all(self) -> None:
        """Finish every bar: the song stops or jumps."""
        for over in self._open:
            notes = self._notes_of(over)
            # a bar that was cut off before its first note has not been played
            if notes:
                self._finish(over, notes)
        self._open.clear()
        self._notes.clear()
        self.current = None

    @property
    def all_closed(self) -> bool:
        """Whether no bar waits to be finished."""
        return not self._open

    def _notes_of(self, bar: _OpenBar) -> tuple[PlayedNote, ...]:
        notes = self._notes.pop(bar.planned.number, [])
        return tuple(sorted(notes, key=lambda note: note.tick))

    def _finish(self, bar: _OpenBar, notes: tuple[PlayedNote, ...]) -> None:
        self.finished.append(FinishedBar(bar.planned, bar.tempo, notes, bar.tempos))


def _tempo(ticks: float, seconds: float) -> Bpm:
    return Bpm(min(TEMPO_MAX, max(TEMPO_MIN, 60.0 * ticks / TICKS_PER_BEAT / seconds)))
