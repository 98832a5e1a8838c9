"""Drawing from what the network says, on its device: :mod:`drumigen.model.sampling` in torch.

Only tensors go in and come out, of fixed shapes, so that all of it can be recorded in a graph.  B
are rows, N is what can be drawn.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from drumigen.model.vocabulary import BAR_LINE, EVENTS, OFFSETS, VOICE_ORDER

NEVER: Final = float("-inf")


class Limits(NamedTuple):
    """What top-k and top-p leave of what can be drawn, for each row (B,)."""

    top_k: Tensor
    """N where there is none."""
    top_p: Tensor
    """1 where there is none."""


@lru_cache(16)
def indices(count: int, device: torch.device) -> Tensor:
    """Return the numbers from 0 on, so many of them; made once."""
    return torch.arange(count, device=device)


def draw(
    logits: Tensor, chance: Tensor, sharpness: Tensor, limits: Limits | None
) -> tuple[Tensor, Tensor]:
    """Return for each row of ``logits`` (B, N) the index that its chance, (B,), falls on.

    ``sharpness`` (B,) is 1 / temperature.  Sums are of the type of ``chance``.  The second tensor
    tells of each row whether its logits are numbers, and one of them is possible.
    """
    most = logits.amax(-1, keepdim=True)
    weights = ((logits - most) * sharpness[:, None]).exp()  # (B, N)
    if limits is not None:
        weights = _likeliest(weights, limits, chance.dtype)
    sums = weights.cumsum(-1, dtype=chance.dtype)  # (B, N)
    reached = chance * sums[:, -1]
    drawn = (sums <= reached[:, None]).sum(-1).clamp(max=logits.shape[-1] - 1)  # -> (B,)
    return drawn, most[:, 0].isfinite()


def _likeliest(weights: Tensor, limits: Limits, exact: torch.dtype) -> Tensor:
    """Return the weights with those that top-k and top-p exclude at zero."""
    ranked, order = weights.sort(dim=-1, descending=True, stable=True)
    rank = indices(weights.shape[-1], weights.device)
    ranked = ranked.where(rank < limits.top_k[:, None], 0.0)
    sums = ranked.cumsum(-1, dtype=exact)  # (B, N)
    enough = (sums < (limits.top_p.to(exact) * sums[:, -1])[:, None]).sum(-1, keepdim=True)
    ranked = ranked.where((rank <= enough) | (limits.top_p >= 1)[:, None], 0.0)
    return torch.zeros_like(weights).scatter(-1, order, ranked)


def allowed_events(logits: Tensor, last: Tensor, offset: Tensor, ends: Tensor) -> Tensor:
    """Return logits (B, E) of the events that may follow ``last`` (B,) with its ``offset`` (B,).

    Those are the bar line, a later event before ``ends`` (B,), or the same one again where a later
    offset is left.
    """
    order = indices(EVENTS, logits.device)
    next_one = torch.minimum(ends, last + (offset >= OFFSETS - 1))
    first = next_one.where(last != BAR_LINE, 0)
    inside = (order >= first[:, None]) & (order < ends[:, None])
    return logits.where(inside | (order == BAR_LINE), NEVER)


def allowed_offsets(logits: Tensor, event: Tensor, last: Tensor, offset: Tensor) -> Tensor:
    """Return logits (B, offsets) of a stroke of ``event``: after ``offset`` if it is ``last``."""
    order = indices(OFFSETS, logits.device)
    hidden = (event == last)[:, None] & (order <= offset[:, None])
    return logits.masked_fill(hidden, NEVER)


def sixteenth(event: Tensor) -> Tensor:
    """Return the sixteenth of ``event`` in its bar; 0 for the bar line that opens it."""
    place = torch.div(event, len(VOICE_ORDER), rounding_mode="floor")
    return place.where(event != BAR_LINE, 0)
