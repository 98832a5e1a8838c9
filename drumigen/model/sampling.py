"""Drawing from what the network says: temperature, top-k, top-p, and what the grammar allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from drumigen.errors import ModelError
from drumigen.model.stepper import Floats
from drumigen.model.tokens import BinnedNote
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, VOICE_ORDER

TEMPERATURE_RANGE: Final = (0.05, 5.0)
LENGTH_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw.

    Attributes:
        temperature: 0.05 to 5; 1 as learnt, less is more usual.
        top_k: draw among so many of the likeliest; 0 among all.
        top_p: draw among the likeliest that together have this chance, above 0 to 1; 1 among all.
        dynamics: the temperature of velocities, in parts of ``temperature``, 0.05 to 5.

    Raises:
        ModelError: one of them is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    dynamics: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn with; NaN is out of every range."""
        low, high = TEMPERATURE_RANGE
        for name in ("temperature", "dynamics"):
            if not low <= getattr(self, name) <= high:
                message = f"{name} {getattr(self, name)}: use {low:g} to {high:g}"
                raise ModelError(message)
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 0:
            message = f"top_k {self.top_k}: use a whole number, 0 for no limit"
            raise ModelError(message)
        if not 0 < self.top_p <= 1:
            message = f"top_p {self.top_p}: use a number above 0 and at most 1, 1 for no limit"
            raise ModelError(message)

    @property
    def of_velocity(self) -> "Sampling":
        """How velocities are drawn."""
        low, high = TEMPERATURE_RANGE
        temperature = max(low, min(high, self.temperature * self.dynamics))
        return replace(self, temperature=temperature, dynamics=1.0)


def draw(logits: Floats, chances: Sequence[float], samplings: Sequence[Sampling]) -> list[int]:
    """Return for each row of ``logits`` [R, N] the index that its chance (0 up to 1) falls on.

    Raises:
        ModelError: the logits are no numbers, or none is possible.
    """
    most = np.maximum.reduce(logits, axis=1, keepdims=True)
    if not all(map(math.isfinite, most.ravel().tolist())):
        message = "the network's output is no number; load another checkpoint"
        raise ModelError(message)
    weights = logits - most
    temperatures = [sampling.temperature for sampling in samplings]
    if set(temperatures) != {1}:
        weights *= np.array([[1 / temperature] for temperature in temperatures], np.float32)
    np.exp(weights, out=weights)
    for row, sampling in zip(weights, samplings, strict=True):
        if sampling.top_k or sampling.top_p < 1:
            row[:] = _likeliest(row, sampling)
    sums = np.add.accumulate(weights, axis=1, dtype=np.float64)
    last = sums.shape[1] - 1
    return [
        min(int(row.searchsorted(chance * row[last], side="right")), last)
        for row, chance in zip(sums, chances, strict=True)
    ]


def _likeliest(weights: Floats, sampling: Sampling) -> Floats:
    """Return the weights with those that top-k and top-p exclude at zero."""
    order = np.argsort(-weights, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    if sampling.top_p < 1:
        sums = weights[order].cumsum(dtype=np.float64)
        order = order[: int(sums.searchsorted(sampling.top_p * sums[-1])) + 1]
    kept = np.zeros_like(weights)
    kept[order] = weights[order]
    return kept


def draw_events(
    logits: Floats,
    lasts: Sequence[BinnedNote],
    sixteenths: Sequence[int],
    chances: Sequence[float],
    samplings: Sequence[Sampling],
) -> list[int]:
    """Return for each row an event that may follow its last in a bar of so many sixteenths.

    That is: the bar line, a later event, or the same one again where a later offset is left; the
    last event is ``BAR_LINE`` at the start of a bar.  The logits of others are overwritten.
    """
    ends = [length * len(VOICE_ORDER) for length in sixteenths]
    firsts = [
        0 if last.event == BAR_LINE else min(end, last.event + (last.offset >= OFFSETS - 1))
        for last, end in zip(lasts, ends, strict=True)
    ]
    low, line = min(firsts), max(ends)
    logits[:, line] = logits[:, BAR_LINE]
    for row, first, end in zip(logits, firsts, ends, strict=True):
        row[low:first] = row[end:line] = -np.inf
    drawn = draw(logits[:, low : line + 1], chances, samplings)
    return [BAR_LINE if low + place == line else low + place for place in drawn]


def draw_offsets(
    logits: Floats,
    events: Sequence[int],
    lasts: Sequence[BinnedNote],
    chances: Sequence[float],
    samplings: Sequence[Sampling],
) -> list[int]:
    """Return for each row an offset for its event; a later one than the last's if it is the same.

    The logits of others are overwritten.
    """
    for row, event, last in zip(logits, events, lasts, strict=True):
        if event == last.event:
            row[: last.offset + 1] = -np.inf
    return draw(logits, chances, samplings)
