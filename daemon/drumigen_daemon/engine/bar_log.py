"""Which bar sounds, and what has sounded in it: kept by the player, reported by the engine."""

from collections import deque
from dataclasses import dataclass

from drumigen.timeline import Timeline
from drumigen.units import TEMPO_MAX, TEMPO_MIN, TICKS_PER_BEAT, Bpm
from drumigen_daemon.engine.messages import PlannedBar, SoundedNote


@dataclass(slots=True)
class _OpenBar:
    """A bar that sounds, or whose last notes may still sound."""

    planned: PlannedBar
    began: float
    tempo: Bpm


@dataclass(frozen=True, slots=True)
class FinishedBar:
    """A bar that is over: what sounded, and its mean tempo."""

    planned: PlannedBar
    tempo: Bpm
    notes: tuple[SoundedNote, ...]


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
        self._notes: dict[int, list[SoundedNote]] = {}

    def enter(self, bar: PlannedBar, line: Timeline) -> None:
        """Take note that the playhead crossed the bar line of ``bar``."""
        began = line.time_of(bar.start)
        if self._open and self._open[-1].planned.end == bar.start:
            before = self._open[-1]
            length = began - before.began
            if length > 0.0:
                beats = before.planned.bar.meter.ticks / TICKS_PER_BEAT
                before.tempo = Bpm(min(TEMPO_MAX, max(TEMPO_MIN, 60.0 * beats / length)))
        self.current = bar
        self.entered.append(bar)
        self._open.append(_OpenBar(bar, began, line.tempo))

    def sounded(self, bar: int, note: SoundedNote) -> None:
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

    def _notes_of(self, bar: _OpenBar) -> tuple[SoundedNote, ...]:
        notes = self._notes.pop(bar.planned.number, [])
        return tuple(sorted(notes, key=lambda note: note.tick))

    def _finish(self, bar: _OpenBar, notes: tuple[SoundedNote, ...]) -> None:
        self.finished.append(FinishedBar(bar.planned, bar.tempo, notes))
