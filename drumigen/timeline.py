"""The map between musical ticks and seconds, and the arithmetic of bars."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Self

from drumigen.errors import PatternError
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick, seconds_per_tick

_DENOMINATORS = (2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A straight line through (tick_origin, time_origin): a bijection of ticks and seconds.

    ``tick_origin`` may be fractional, so that re-anchoring loses nothing.  A tempo change is
    a new value made by :meth:`with_tempo`.
    """

    tempo: Bpm
    tick_origin: float
    time_origin: Seconds

    @property
    def seconds_per_tick(self) -> float:
        """Length of one tick in seconds."""
        return seconds_per_tick(self.tempo)

    def time_of(self, tick: float) -> Seconds:
        """Return when ``tick`` sounds, in monotonic seconds."""
        return Seconds(self.time_origin + (tick - self.tick_origin) * self.seconds_per_tick)

    def tick_at(self, time: float) -> float:
        """Return the (fractional) tick that sounds at ``time``."""
        return self.tick_origin + (time - self.time_origin) / self.seconds_per_tick

    def with_tempo(self, tempo: Bpm, at: Seconds) -> Self:
        """Return the timeline that meets this one at ``at`` and goes on at ``tempo``."""
        return type(self)(tempo, self.tick_at(at), at)

    def shifted(self, ticks: float) -> Self:
        """Return the same timeline with every tick renamed ``tick + ticks``."""
        return type(self)(self.tempo, self.tick_origin + ticks, self.time_origin)


@dataclass(frozen=True, slots=True)
class Meter:
    """A time signature: 2/4 to 15/16, or anything else of 1 to 32 over 2, 4, 8 or 16.

    Raises:
        PatternError: outside those ranges, or longer than 8 quarter notes.
    """

    numerator: int = 4
    denominator: int = 4

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if (
            self.denominator not in _DENOMINATORS
            or not 1 <= self.numerator <= 32
            or not TICKS_PER_SIXTEENTH <= self.ticks <= 8 * TICKS_PER_BEAT
        ):
            message = (
                f"metre {self.numerator}/{self.denominator} is out of range: "
                "use 1 to 32 over 2, 4, 8 or 16, at most eight quarter notes"
            )
            raise PatternError(message)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"7/8"``.

        Raises:
            PatternError: the text is not a metre.
        """
        top, slash, bottom = text.partition("/")
        if not (slash and top.strip().isdecimal() and bottom.strip().isdecimal()):
            message = f"metre {text!r} is not of the form 4/4"
            raise PatternError(message)
        return cls(int(top), int(bottom))

    @property
    def ticks(self) -> int:
        """Length of one bar in ticks."""
        return self.numerator * self.beat_ticks

    @property
    def beat_ticks(self) -> int:
        """Length of the written beat (the denominator) in ticks."""
        return 4 * TICKS_PER_BEAT // self.denominator

    @property
    def sixteenths(self) -> int:
        """Length of one bar in sixteenths."""
        return self.ticks // TICKS_PER_SIXTEENTH

    def __str__(self) -> str:
        """Return ``"4/4"``."""
        return f"{self.numerator}/{self.denominator}"


@dataclass(frozen=True, slots=True)
class MeterChange:
    """From bar ``bar`` (counted from 0), which starts at ``tick``, the metre is ``meter``."""

    bar: int
    tick: Tick
    meter: Meter


@dataclass(frozen=True)
class MeterMap:
    """The metre of every bar of the song, by song tick; the first entry is bar 0 at tick 0."""

    changes: tuple[MeterChange, ...] = (MeterChange(0, Tick(0), Meter()),)

    @classmethod
    def constant(cls, meter: Meter) -> Self:
        """Return the map of a song that is in ``meter`` throughout."""
        return cls((MeterChange(0, Tick(0), meter),))

    @cached_property
    def _ticks(self) -> tuple[int, ...]:
        return tuple(change.tick for change in self.changes)

    @cached_property
    def _bars(self) -> tuple[int, ...]:
        return tuple(change.bar for change in self.changes)

    def _change_before(self, bar: int) -> MeterChange:
        return self.changes[max(0, bisect_right(self._bars, bar) - 1)]

    def bar_at(self, tick: float) -> int:
        """Return the number of the bar that holds ``tick``; ticks before 0 are in bar 0."""
        change = self.changes[max(0, bisect_right(self._ticks, tick) - 1)]
        return change.bar + max(0, int((tick - change.tick) // change.meter.ticks))

    def meter_of(self, bar: int) -> Meter:
        """Return the metre of bar ``bar``."""
        return self._change_before(bar).meter

    def start_of(self, bar: int) -> Tick:
        """Return the tick of the bar line that opens bar ``bar``."""
        change = self._change_before(bar)
        return Tick(change.tick + (bar - change.bar) * change.meter.ticks)

    def changed(self, bar: int, meter: Meter) -> "MeterMap":
        """Return the map with ``meter`` from bar ``bar`` on; later changes are dropped."""
        if self.meter_of(bar) == meter and all(c.bar <= bar for c in self.changes):
            return self
        kept = tuple(change for change in self.changes if change.bar < bar)
        return MeterMap((*kept, MeterChange(bar, self.start_of(bar), meter)))


@dataclass(frozen=True)
class TempoMap:
    """The tempo of a song by song tick: each tempo holds from its tick on, the first from 0.

    Ticks before 0 go on at the first tempo.
    """

    changes: tuple[tuple[Tick, Bpm], ...]

    @classmethod
    def constant(cls, tempo: Bpm) -> Self:
        """Return the map of a song that keeps ``tempo``."""
        return cls(((Tick(0), tempo),))

    @cached_property
    def _ticks(self) -> tuple[int, ...]:
        return tuple(tick for tick, _ in self.changes)

    @cached_property
    def _seconds(self) -> tuple[float, ...]:
        """When each change sounds."""
        spans = (
            (after - before) * seconds_per_tick(tempo)
            for (before, tempo), (after, _) in pairwise(self.changes)
        )
        return tuple(accumulate(spans, initial=0.0))

    def _change_at(self, tick: float) -> int:
        return max(0, bisect_right(self._ticks, tick) - 1)

    def tempo_at(self, tick: float) -> Bpm:
        """Return the tempo in force at ``tick``."""
        return self.changes[self._change_at(tick)][1]

    def seconds_at(self, tick: float) -> float:
        """Return the seconds from tick 0 to ``tick``."""
        number = self._change_at(tick)
        start, tempo = self.changes[number]
        return self._seconds[number] + (tick - start) * seconds_per_tick(tempo)

    def milliseconds(self, start: float, end: float) -> float:
        """Return how long it is from tick ``start`` to tick ``end``; negative if that is before."""
        return 1000 * (self.seconds_at(end) - self.seconds_at(start))

    def mean(self, start: float, end: float) -> Bpm:
        """Return the mean tempo of the ticks from ``start`` to ``end``, which is later."""
        seconds = self.seconds_at(end) - self.seconds_at(start)
        return Bpm((end - start) / TICKS_PER_BEAT * 60 / seconds)

    def range(self, start: float, end: float) -> tuple[Bpm, Bpm]:
        """Return the lowest and the highest tempo from ``start`` to ``end``."""
        inside = [tempo for tick, tempo in self.changes if start < tick < end]
        tempos = [self.tempo_at(start), *inside]
        return min(tempos), max(tempos)


def tempo_map_of(tempo: Bpm | TempoMap) -> TempoMap:
    """Return ``tempo`` as a map."""
    return tempo if isinstance(tempo, TempoMap) else TempoMap.constant(tempo)


def bar_lines(meters: Iterable[Meter]) -> tuple[Tick, ...]:
    """Return the tick at which each bar begins, where one follows another from tick 0 on."""
    starts = accumulate((meter.ticks for meter in meters), initial=0)
    return tuple(map(Tick, starts))[:-1]
