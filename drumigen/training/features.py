"""What a classifier sees of a take: excerpts of whole bars on the grid of sixteenths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from drumigen.training.strokes import CLASSES, FOUR, Ints, Strokes
from drumigen.units import TICKS_PER_SIXTEENTH

Cells = npt.NDArray[np.float32]

STEPS: Final = FOUR.sixteenths
"""Sixteenths in a bar of 4/4, the only metre judged here."""

HIT, VELOCITY, OFFSET = range(3)
"""What a cell holds: whether it is struck, how hard (0-1), and how far off (-0.5 to 0.5 of a
sixteenth, negative is early)."""


@dataclass(frozen=True, eq=False)
class Excerpts:
    """Excerpts of equal length: ``cells`` by excerpt, step, class and what a cell holds.

    ``takes`` numbers the take that each was cut from, ``styles`` names its style.
    """

    cells: Cells
    takes: Ints
    styles: npt.NDArray[np.str_]

    def __len__(self) -> int:
        """Return how many excerpts there are."""
        return len(self.cells)

    def __getitem__(self, which: Ints | npt.NDArray[np.bool_]) -> "Excerpts":
        """Return the excerpts ``which``."""
        return Excerpts(self.cells[which], self.takes[which], self.styles[which])

    @property
    def flat(self) -> Cells:
        """All that the cells hold, a row an excerpt."""
        return self.cells.reshape(len(self.cells), -1)

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Only which cells are struck, a row an excerpt."""
        return self.cells[..., HIT].reshape(len(self.cells), -1) > 0

    def sounding(self) -> "Excerpts":
        """Return the excerpts in which anything is struck."""
        return self[self.hits.any(axis=1)]


def grid(strokes: Strokes) -> Cells:
    """Return the cells of a take in 4/4, by step and class; the loudest of several in one stays."""
    cells = np.zeros((strokes.bars * STEPS, len(CLASSES), 3), dtype=np.float32)
    inside = (strokes.steps >= 0) & (strokes.steps < len(cells))
    # of several assignments to one cell the last holds
    order = np.argsort(strokes.velocities, kind="stable")
    order = order[inside[order]]
    steps, classes = strokes.steps[order], strokes.classes[order]
    cells[steps, classes, HIT] = 1
    cells[steps, classes, VELOCITY] = strokes.velocities[order] / 127
    cells[steps, classes, OFFSET] = strokes.offsets[order] / TICKS_PER_SIXTEENTH
    return cells


def excerpts(takes: Sequence[Strokes], bars: int) -> Excerpts:
    """Cut ``takes`` into excerpts of ``bars`` bars, one after another from the first.

    What is left at the end of a take is left out.
    """
    shape = (-1, bars * STEPS, len(CLASSES), 3)
    empty = np.zeros((0, *shape[1:]), dtype=np.float32)
    cut = [grid(take)[: take.bars // bars * bars * STEPS].reshape(shape) for take in takes]
    counts = [len(part) for part in cut]
    return Excerpts(
        cells=np.concatenate([empty, *cut]),
        takes=np.repeat(np.arange(len(takes)), counts),
        styles=np.repeat(np.array([take.style for take in takes], dtype=np.str_), counts),
    )
