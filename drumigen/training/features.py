"""What a classifier sees of a take: excerpts of whole bars on the grid of sixteenths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from drumigen.training.strokes import CLASSES, FOUR, Ints, Strokes
from drumigen.units import TICKS_PER_SIXTEENTH

FeatureCells = npt.NDArray[np.float32]

BAR_STEPS: Final = FOUR.sixteenths
"""Sixteenths in a bar of 4/4, the only metre judged here."""

HIT, VELOCITY, OFFSET = range(3)
"""What a cell holds: whether it is struck, how hard (0-1), and how far off (-0.5 to 0.5 of a
sixteenth, negative is early)."""

CELL: Final = 3


@dataclass(frozen=True, eq=False)
class Excerpts:
    """Excerpts of equal length: ``cells`` by excerpt, step, class and what a cell holds.

    ``takes`` numbers the take that each was cut from, ``styles`` names its style.
    """

    cells: FeatureCells
    takes: Ints
    styles: npt.NDArray[np.str_]

    def __len__(self) -> int:
        """Return how many excerpts there are."""
        return len(self.cells)

    def __getitem__(self, which: Ints | npt.NDArray[np.bool_]) -> "Excerpts":
        """Return the excerpts ``which``."""
        return Excerpts(self.cells[which], self.takes[which], self.styles[which])

    def joined(self, other: "Excerpts") -> "Excerpts":
        """Return these and those of ``other``, its takes numbered after these."""
        return Excerpts(
            np.concatenate([self.cells, other.cells]),
            np.concatenate([self.takes, other.takes + self.takes.max(initial=-1) + 1]),
            np.concatenate([self.styles, other.styles]),
        )

    @property
    def flat(self) -> FeatureCells:
        """All that the cells hold, a row an excerpt."""
        return self.cells.reshape(len(self), math.prod(self.cells.shape[1:]))

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Only which cells are struck, a row an excerpt."""
        return self.flat[:, HIT::CELL] > 0

    def sounding(self) -> "Excerpts":
        """Return the excerpts in which anything is struck."""
        which: npt.NDArray[np.bool_] = np.any(self.hits, axis=1)
        return self[which]


def grid(strokes: Strokes) -> FeatureCells:
    """Return the cells of a take in 4/4, by step and class; the loudest of several in one stays."""
    cells = np.zeros((strokes.bars * BAR_STEPS, len(CLASSES), CELL), dtype=np.float32)
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
    shape = (-1, bars * BAR_STEPS, len(CLASSES), CELL)
    empty = np.zeros((0, *shape[1:]), dtype=np.float32)
    cut = [grid(take)[: take.bars // bars * bars * BAR_STEPS].reshape(shape) for take in takes]
    counts = [len(part) for part in cut]
    return Excerpts(
        cells=np.concatenate([empty, *cut]),
        takes=np.repeat(np.arange(len(takes)), counts),
        styles=np.repeat(np.array([take.style for take in takes], dtype=np.str_), counts),
    )
