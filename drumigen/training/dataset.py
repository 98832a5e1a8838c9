"""Takes as arrays of steps, and the windows of them that the network is trained on."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drumigen.fitting import fit
from drumigen.kit import Voice
from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.network import COUNT_MAX, ModelConfig
from drumigen.model.tokens import BinnedNote, notes_of
from drumigen.model.transformer import Steps
from drumigen.model.vocabulary import (
    BAR_LINE,
    LIKENESS_LAGS,
    OFFSET_ZERO,
    OFFSETS,
    VELOCITIES,
    VOICE_ORDER,
)
from drumigen.timeline import Meter
from drumigen.training.labels import conditions_of
from drumigen.training.takes import Take

Ints = NDArray[np.int64]

FIELDS: Final = tuple(CONDITION_SIZES)
UNTOLD: Final = {
    "tempo": 0.05,
    "meter": 0.0,
    "density": 0.3,
    "intensity": 0.4,
    "fill": 0.3,
    "section": 0.5,
    "phrase": 0.2,
    "lean": 0.4,
    "drummer": 0.4,
    "part": 0.3,
    "keeper": 0.3,
    "busy": 0.4,
    "likeness": 0.3,
}
"""How often a window is not told a condition, so that the network also knows what to do without;
the style is kept from it as often as the tempo."""
STYLE_UNTOLD: Final = 0.05
ODD_METERS: Final = tuple(
    Meter.parse(text)
    for text in (
        "2/4",
        "3/4",
        "5/4",
        "6/4",
        "7/4",
        "5/8",
        "6/8",
        "7/8",
        "9/8",
        "12/8",
        "11/8",
        "15/16",
        "13/16",
    )
)
ODD_BARS: Final = 16
_SWAPS: Final = (
    ((Voice.CLOSED_HAT, Voice.RIDE), (Voice.OPEN_HAT, Voice.CRASH)),
    ((Voice.LOW_TOM, Voice.HIGH_TOM),),
)
"""Voices that change places in a window: hat and ride, and the toms of a mirrored kit."""


@dataclass(frozen=True)
class Line:
    """One take as steps: its arrays are as long as its notes and bar lines.

    ``firsts`` are the steps of its bar lines, one more than bars; ``conditions`` is
    [bars, C], ``style`` the index of its style.
    """

    name: str
    style: int
    tempo: float
    event: Ints
    velocity: Ints
    offset: Ints
    firsts: Ints
    sixteenths: Ints
    conditions: Ints

    @property
    def bars(self) -> int:
        """How many bars there are."""
        return len(self.sixteenths)


def sequence_of(take: Take, config: ModelConfig) -> Line:
    """Return ``take`` as steps.

    Raises:
        ValueError: its style is not one of the network's.
    """
    rows, _ = notes_of(take.bars)
    told = [under.ids() for under in conditions_of(take, config.drummers)]
    line = BinnedNote(BAR_LINE, VELOCITIES, OFFSETS)
    steps = [note for row in rows for note in (line, *row)]
    table = np.array([*steps, line], dtype=np.int64)
    firsts = np.cumsum([0, *(len(row) + 1 for row in rows)])
    return Line(
        take.name,
        config.styles.index(take.style),
        take.tempo,
        table[:, 0],
        table[:, 1],
        table[:, 2],
        firsts.astype(np.int64),
        np.array([bar.meter.sixteenths for bar in take.bars], dtype=np.int64),
        np.array(told, dtype=np.int64).reshape(-1, len(FIELDS)),
    )


def in_odd_meters(takes: Sequence[Take], rng: random.Random, share: float) -> Iterator[Take]:
    """Yield a ``share`` of the takes again, in a metre that hardly anybody has recorded."""
    for take in takes:
        bars = [bar for bar in take.bars if bar.meter == Meter()]
        if len(bars) >= 4 and rng.random() < share:
            meter = rng.choice(ODD_METERS)
            first = rng.randrange(max(1, len(bars) - ODD_BARS))
            fitted = tuple(fit(bar, meter) for bar in bars[first : first + ODD_BARS])
            yield replace(take, name=f"{take.name} in {meter}", bars=fitted)


@dataclass(frozen=True)
class BarWindow:
    """Bars ``first`` to ``last`` of a sequence, the last not among them."""

    sequence: Line
    first: int
    last: int

    @property
    def steps(self) -> int:
        """How many steps it has, the closing bar line not counted."""
        firsts = self.sequence.firsts
        return int(firsts[self.last] - firsts[self.first])


def windows(sequences: Sequence[Line], length: int, rng: random.Random) -> list[BarWindow]:
    """Return windows of at most ``length`` steps that cover all bars once, cut anew each time."""
    found = []
    for sequence in sequences:
        # the first cut falls anywhere, so that every bar is seen at every depth of context
        most = length if sequence.firsts[-1] <= length else rng.randint(length // 3, length)
        first = 0
        for bar in range(1, sequence.bars + 1):
            if sequence.firsts[bar] - sequence.firsts[first] > most:
                if bar - 1 > first:
                    found.append(BarWindow(sequence, first, bar - 1))
                first, most = bar - 1, length
        if sequence.firsts[-1] - sequence.firsts[first] <= length:
            found.append(BarWindow(sequence, first, sequence.bars))
    return found


def batches(found: Sequence[BarWindow], steps: int, rng: random.Random) -> list[list[BarWindow]]:
    """Return the windows in batches of about ``steps`` steps, alike in length, in any order."""
    ordered = sorted(found, key=lambda window: (window.steps + rng.randint(0, 40), rng.random()))
    made: list[list[BarWindow]] = []
    batch: list[BarWindow] = []
    for window in ordered:
        if batch and (len(batch) + 1) * max(w.steps for w in (*batch, window)) > steps:
            made.append(batch)
            batch = []
        batch.append(window)
    if batch:
        made.append(batch)
    rng.shuffle(made)
    return made


@dataclass(frozen=True)
class Example:
    """A batch for training: what is seen, and what comes next.

    ``event``, ``velocity`` and ``offset`` are int64 [B, T]; ``note`` is true where the next event
    is a hit, ``real`` where there is a next event at all; ``before`` and ``room`` are what the
    grammar needs: the offset before any corruption, and the sixteenths of the bar.
    """

    steps: Steps
    event: Tensor
    velocity: Tensor
    offset: Tensor
    note: Tensor
    real: Tensor
    before: Tensor
    room: Tensor


def collated(
    batch: Sequence[BarWindow],
    config: ModelConfig,
    rng: np.random.Generator | None = None,
    *,
    augmented: bool = False,
    told: Sequence[str] = FIELDS,
) -> Example:
    """Return a batch of windows as tensors.

    With ``rng`` conditions are withheld by chance and inputs corrupted a little, as in training;
    without it nothing but the conditions ``told`` and the style is known.  ``augmented`` also
    scales velocities and lets voices change places in some windows.
    """
    length = max(window.steps for window in batch)
    bars = max(window.last - window.first for window in batch)
    rows = len(batch)
    event = np.full((rows, length + 1), BAR_LINE, np.int64)
    velocity = np.full((rows, length + 1), VELOCITIES, np.int64)
    offset = np.full((rows, length + 1), OFFSETS, np.int64)
    count = np.zeros((rows, length + 1), np.int64)
    bar = np.zeros((rows, length + 1), np.int64)
    time = np.zeros((rows, length + 1), np.float32)
    room = np.full((rows, length + 1), 16, np.int64)
    conditions = np.zeros((rows, bars, len(FIELDS)), np.int64)
    styles = np.zeros((rows, bars, len(config.styles)), np.float32)
    real = np.zeros((rows, length), bool)
    for row, window in enumerate(batch):
        seq, steps = window.sequence, window.steps
        start = seq.firsts[window.first]
        here = slice(start, start + steps + 1)
        event[row, : steps + 1] = seq.event[here]
        velocity[row, : steps + 1] = seq.velocity[here]
        offset[row, : steps + 1] = seq.offset[here]
        real[row, :steps] = True
        spans = np.diff(seq.firsts[window.first : window.last + 1])
        numbers = np.repeat(np.arange(len(spans)), spans)
        bar[row, :steps] = numbers
        count[row, :steps] = (
            np.arange(steps) - (seq.firsts[window.first : window.last] - start)[numbers]
        )
        sixteenths = seq.sixteenths[window.first : window.last]
        line = np.cumsum([0, *sixteenths])[:-1]
        position = np.where(
            event[row, :steps] == BAR_LINE, 0, event[row, :steps] // len(VOICE_ORDER)
        )
        time[row, :steps] = line[numbers] + position
        room[row, :steps] = sixteenths[numbers]
        conditions[row, : len(spans)] = seq.conditions[window.first : window.last]
        _forget_unseen(conditions[row])
        styles[row, : len(spans), seq.style] = 1.0
    if augmented and rng is not None:
        _augment(event, velocity, offset, conditions, rng)
    seen_velocity, seen_offset = velocity[:, :-1].copy(), offset[:, :-1].copy()
    if rng is not None:
        _withhold(conditions, styles, rng)
        _corrupt(seen_velocity, VELOCITIES, rng)
        _corrupt(seen_offset, OFFSETS, rng)
    else:
        for place, name in enumerate(FIELDS):
            if name not in told:
                conditions[:, :, place] = 0
    note = real & (event[:, 1:] != BAR_LINE)
    tensor = torch.from_numpy
    return Example(
        Steps(
            tensor(event[:, :-1].copy()),
            tensor(seen_velocity),
            tensor(seen_offset),
            tensor(np.minimum(count[:, :-1], COUNT_MAX - 1)),
            tensor(time[:, :-1].copy()),
            tensor(bar[:, :-1].copy()),
            tensor(conditions),
            tensor(styles),
        ),
        tensor(event[:, 1:].copy()),
        tensor(velocity[:, 1:].copy()),
        tensor(offset[:, 1:].copy()),
        tensor(note),
        tensor(real),
        tensor(offset[:, :-1].copy()),
        tensor(room[:, :-1].copy()),
    )


def _forget_unseen(conditions: Ints) -> None:
    """Say nothing of a likeness to a bar that lies before the window."""
    column = conditions[:, FIELDS.index("likeness")]
    lags = (column - 2) % LIKENESS_LAGS + 1  # the first two are unknown, and like none
    column[(column >= 2) & (lags > np.arange(len(column)))] = 0


def _withhold(conditions: Ints, styles: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Blur the density a little, and keep conditions from some rows."""
    rows, bars = conditions.shape[:2]
    density = FIELDS.index("density")
    shift = rng.choice((-1, 0, 1), (rows, bars), p=(0.15, 0.7, 0.15))
    column = conditions[:, :, density]
    moved = np.clip(column + shift, 1, CONDITION_SIZES["density"] - 1)
    conditions[:, :, density] = np.where(column > 0, moved, 0)
    for place, name in enumerate(FIELDS):
        conditions[rng.random(rows) < UNTOLD[name], :, place] = 0
    styles[rng.random(rows) < STYLE_UNTOLD] = 0.0


def _corrupt(bins: Ints, unknown: int, rng: np.random.Generator) -> None:
    """Move some bins by one and hide others, so that the network bears its own errors."""
    told = bins < unknown
    moved = np.clip(bins + rng.integers(-1, 2, bins.shape), 0, unknown - 1)
    chance = rng.random(bins.shape)
    bins[:] = np.where(told & (chance < 0.15), moved, bins)
    bins[:] = np.where(told & (chance > 0.97), unknown, bins)


def _augment(
    event: Ints, velocity: Ints, offset: Ints, conditions: Ints, rng: np.random.Generator
) -> None:
    """Play some rows louder or softer, tighter or looser, and with voices that change places."""
    voices = len(VOICE_ORDER)
    for row in range(len(event)):
        told = velocity[row] < VELOCITIES - 1  # what clipped at 127 stays there
        if rng.random() < 0.25:
            scaled = np.clip(np.round(velocity[row] * rng.uniform(0.85, 1.12)), 0, VELOCITIES - 2)
            velocity[row] = np.where(told, scaled.astype(np.int64), velocity[row])
            conditions[row, :, FIELDS.index("intensity")] = 0
        if rng.random() < 0.25:
            near = (offset[row] - OFFSET_ZERO) * rng.uniform(0.85, 1.12) + OFFSET_ZERO
            moved = np.clip(np.round(near), 0, OFFSETS - 1).astype(np.int64)
            straight = np.abs(offset[row] - OFFSET_ZERO) < OFFSETS // 5  # not rolls and swing
            offset[row] = np.where(straight & (event[row] != BAR_LINE), moved, offset[row])
        if rng.random() < 0.12:
            _swap(event[row], velocity[row], offset[row], _SWAPS[int(rng.integers(2))], voices)
            conditions[row, :, FIELDS.index("section")] = 0
            conditions[row, :, FIELDS.index("drummer")] = 0
            conditions[row, :, FIELDS.index("keeper")] = 0


def _swap(
    event: Ints,
    velocity: Ints,
    offset: Ints,
    pairs: Sequence[tuple[Voice, Voice]],
    voices: int,
) -> None:
    table = np.arange(voices)
    for one, two in pairs:
        first, second = VOICE_ORDER.index(one), VOICE_ORDER.index(two)
        table[first], table[second] = second, first
    hit = event != BAR_LINE
    event[hit] = event[hit] // voices * voices + table[event[hit] % voices]
    lines = [*np.flatnonzero(~hit), len(event)]
    for start, end in pairwise(lines):
        order = start + 1 + np.lexsort((offset[start + 1 : end], event[start + 1 : end]))
        event[start + 1 : end] = event[order]
        velocity[start + 1 : end] = velocity[order]
        offset[start + 1 : end] = offset[order]
