"""Strokes: a take as arrays, each stroke placed by when it sounds and not by how it is written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from drumigen.kit import VOICES, Voice
from drumigen.timeline import Meter
from drumigen.training.takes import Take
from drumigen.units import TICKS_PER_SIXTEENTH, ms_per_tick

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

CLASSES: Final = tuple(dict.fromkeys(row.class_of_nine for row in VOICES.values()))
"""The nine classes of the Groove MIDI Dataset's reduced map (Gillick et al. 2019)."""

FOUR: Final = Meter()

_VOICES: Final = tuple(Voice)
_NUMBER: Final = {voice: number for number, voice in enumerate(_VOICES)}
_CLASS: Final[Ints] = np.array([CLASSES.index(VOICES[voice].class_of_nine) for voice in _VOICES])


@dataclass(frozen=True, eq=False)
class Strokes:
    """The strokes of a take, in order of sounding.

    ``ticks`` count from the take's first bar line to where a stroke sounds, and are below 0 for
    one ahead of it.  ``voices`` number :class:`~drumigen.kit.Voice` in its order.  The last three
    arrays are of one length; ``bar_steps`` is the sixteenths in a bar.
    """

    name: str
    style: str
    tempo: float
    bars: int
    bar_steps: int
    ticks: Ints
    voices: Ints
    velocities: Ints

    @cached_property
    def steps(self) -> Ints:
        """The sixteenth nearest to each stroke, counted from the take's start."""
        return np.floor_divide(self.ticks + TICKS_PER_SIXTEENTH // 2, TICKS_PER_SIXTEENTH)

    @cached_property
    def positions(self) -> Ints:
        """The same, counted from the bar line."""
        return np.mod(self.steps, self.bar_steps)

    @cached_property
    def offsets(self) -> Ints:
        """Ticks from the nearest sixteenth, -240 to 239; negative is early."""
        return self.ticks - TICKS_PER_SIXTEENTH * self.steps

    @property
    def ms_per_tick(self) -> float:
        """Length of a tick in milliseconds."""
        return ms_per_tick(self.tempo)

    @cached_property
    def offsets_ms(self) -> Doubles:
        """Milliseconds from the nearest sixteenth; negative is early."""
        return self.offsets.astype(np.float64) * self.ms_per_tick

    @cached_property
    def classes(self) -> Ints:
        """The class of each stroke, numbered as in :data:`CLASSES`."""
        return _CLASS[self.voices]

    @property
    def seconds(self) -> float:
        """Length of the take."""
        return self.bars * self.bar_steps * TICKS_PER_SIXTEENTH * self.ms_per_tick / 1000

    def of(self, *voices: Voice) -> npt.NDArray[np.bool_]:
        """Return which strokes are on one of ``voices``."""
        return np.isin(self.voices, [_NUMBER[voice] for voice in voices])


def strokes_of(take: Take, bars: int | None = None) -> Strokes:
    """Return the strokes of ``take``, or of no more than its first ``bars`` bars.

    The take is in the metre of its first bar throughout (see :func:`in_four`).
    """
    kept = take.bars[:bars]
    bar_ticks = kept[0].meter.ticks if kept else FOUR.ticks
    rows = sorted(
        (number * bar_ticks + hit.sounding_tick, _NUMBER[hit.voice], hit.velocity)
        for number, bar in enumerate(kept)
        for hit in bar.hits
    )
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Strokes(
        name=take.name,
        style=take.style,
        tempo=float(take.tempo),
        bars=len(kept),
        bar_steps=bar_ticks // TICKS_PER_SIXTEENTH,
        ticks=table[:, 0],
        voices=table[:, 1],
        velocities=table[:, 2],
    )


def first_bars(strokes: Strokes, bars: int) -> Strokes:
    """Return what sounds in the first ``bars`` bars."""
    if strokes.bars <= bars:
        return strokes
    inside = strokes.steps < bars * strokes.bar_steps
    return replace(
        strokes,
        bars=bars,
        ticks=strokes.ticks[inside],
        voices=strokes.voices[inside],
        velocities=strokes.velocities[inside],
    )


def in_four(takes: Sequence[Take], *, fills: bool = False) -> list[Take]:
    """Return the takes that are in 4/4 throughout; fills only if asked for."""
    return [
        take
        for take in takes
        if take.bars and (fills or not take.fill) and all(bar.meter == FOUR for bar in take.bars)
    ]
