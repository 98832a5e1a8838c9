"""Drawing from what the network says: temperature, top-k, top-p, and what the grammar allows."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from drumigen.errors import ModelError
from drumigen.stepper import Floats
from drumigen.tokens import Note
from drumigen.vocabulary import BAR_LINE, OFFSETS, VOICE_ORDER

TEMPERATURES: Final = (0.05, 5.0)
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
        low, high = TEMPERATURES
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
        low, high = TEMPERATURES
        temperature = max(low, min(high, self.temperature * self.dynamics))
        return replace(self, temperature=temperature, dynamics=1.0)


def draw(logits: Floats, chance: float, sampling: Sampling) -> int:
    """Return the index that ``chance`` (0 up to 1) falls on, among ``logits`` [N].

    Raises:
        ModelError: the logits are no numbers, or none is possible.
    """
    most = np.maximum.reduce(logits)
    if not -np.inf < most < np.inf:
        message = "the network's output is no number; load another checkpoint"
        raise ModelError(message)
    weights = logits - most
    if sampling.temperature != 1:
        weights *= np.float32(1 / sampling.temperature)
    np.exp(weights, out=weights)
    if sampling.top_k or sampling.top_p < 1:
        weights = _likeliest(weights, sampling)
    sums = np.add.accumulate(weights, dtype=np.float64)
    return min(int(sums.searchsorted(chance * sums[-1], side="right")), len(sums) - 1)


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


def draw_event(
    logits: Floats, last: Note, sixteenths: int, chance: float, sampling: Sampling
) -> int:
    """Return an event that may follow ``last`` in a bar of so many sixteenths.

    That is: the bar line, a later event, or the same one again where a later offset is left;
    ``last.event`` is ``BAR_LINE`` at the start of the bar.
    """
    first = 0 if last.event == BAR_LINE else last.event + (last.offset >= OFFSETS - 1)
    end = sixteenths * len(VOICE_ORDER)
    legal = np.append(logits[first:end], logits[BAR_LINE])
    drawn = draw(legal, chance, sampling)
    return BAR_LINE if drawn == len(legal) - 1 else first + drawn


def draw_offset(logits: Floats, event: int, last: Note, chance: float, sampling: Sampling) -> int:
    """Return an offset for ``event``; a later one than that of ``last`` if it is the same."""
    first = last.offset + 1 if event == last.event else 0
    return first + draw(logits[first:], chance, sampling)
