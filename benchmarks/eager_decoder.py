"""The network step by step by eager torch, as drumigen first ran it on a GPU: a peer to measure.

Caches grow by concatenation, every draw is made by the host, so each hit costs some sixteen copies.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drumigen.model.network import COUNT_MAX, ModelConfig
from drumigen.model.stepper import Floats
from drumigen.model.tokens import BinnedNote
from drumigen.model.transformer import DrumPatternTransformer, normed, of_weights

Cache = tuple[Tensor, Tensor]
"""Keys and values of the steps that one row has seen, (L, S, T, D)."""


def _joined(past: Cache, new: Cache) -> Cache:
    return torch.cat([past[0], new[0]], 2), torch.cat([past[1], new[1]], 2)


def _stacked(pasts: Sequence[Cache | None], layer: int, most: int, config: ModelConfig) -> Cache:
    """Return the layer's keys and values of all rows, filled up to ``most`` steps."""
    device = next((past[0].device for past in pasts if past is not None), None)
    keys = torch.zeros(len(pasts), config.kv_heads, most, config.head_width, device=device)
    values = torch.zeros_like(keys)
    for row, past in enumerate(pasts):
        if past is not None:
            length = past[0].shape[2]
            keys[row, :, :length], values[row, :, :length] = past[0][layer], past[1][layer]
    return keys, values


def continued(
    model: DrumPatternTransformer, x: Tensor, time: Tensor, pasts: Sequence[Cache | None]
) -> tuple[Tensor, list[Cache]]:
    """Go on from ``pasts``, one a row, with embedded steps x (B, T, C) at ``time`` (B, T).

    Returns the hidden state after each step, and the pasts of what comes next; a past is never
    changed in place.
    """
    rows, steps = time.shape
    lengths = [0 if past is None else past[0].shape[2] for past in pasts]
    most = max(lengths)
    mask = torch.ones(rows, 1, steps, most + steps, dtype=torch.bool, device=x.device)
    mask[..., most:] = torch.ones(steps, steps, dtype=torch.bool, device=x.device).tril()
    for row, length in enumerate(lengths):
        mask[row, ..., length:most] = False
    angle = model.angle(time)
    keys, values = [], []
    for layer, block in enumerate(model.blocks):
        past = _stacked(pasts, layer, most, model.config) if most else None
        x, key, value = block(x, angle, mask, past)
        keys.append(key)
        values.append(value)
    new = torch.stack(keys, 1), torch.stack(values, 1)
    nexts = [
        (new[0][row], new[1][row]) if old is None else _joined(old, (new[0][row], new[1][row]))
        for row, old in enumerate(pasts)
    ]
    return normed(x), nexts


class EagerCache:
    """What one row has seen, on its device."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.cache: Cache | None = None

    def copied(self) -> "EagerCache":
        """Return a cache that goes on from here by itself; tensors are never changed in place."""
        other = EagerCache()
        other.cache = self.cache
        return other


class EagerDecoder:
    """A :class:`drumigen.model.stepper.Stepper` on any device that torch knows."""

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, NDArray[np.generic]], device: str
    ) -> None:
        """Put the weights on ``device``."""
        self.config = config
        self._device = torch.device(device)
        self._model = of_weights(config, weights).to(self._device)

    def cache(self) -> EagerCache:
        """Return the cache of a row that has seen nothing."""
        return EagerCache()

    @torch.inference_mode()
    def condition_embedding(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what condition bins and shares of styles add to a bar's steps, by number."""
        bins = self._ints(list(conditions))
        found = self._model.condition_embedding(bins, self._floats(list(shares)))
        nth = torch.arange(COUNT_MAX, device=self._device)
        return _array(found + self._model.count_embedding(bins.expand(COUNT_MAX, -1), nth))

    @torch.inference_mode()
    def read(
        self,
        caches: Sequence[EagerCache],
        notes: Sequence[BinnedNote],
        times: Sequence[float],
        conditions: Floats,
    ) -> Floats:
        """Take the steps, one or several a row; return the hidden state after each, (B, C)."""
        spans = list(_runs(caches))
        lengths = {last - first for first, last in spans}
        if len(lengths) > 1:
            parts = [
                self.read(caches[a:b], notes[a:b], times[a:b], conditions[a:b]) for a, b in spans
            ]
            return np.concatenate(parts)
        shape = len(spans), lengths.pop()
        rows = [caches[first] for first, _ in spans]
        columns = zip(*notes, strict=True)
        x = self._model.embedded(*(self._ints(part).view(shape) for part in columns))
        x = x + self._floats(conditions).view(*shape, -1)
        pasts = [row.cache for row in rows]
        hidden, nexts = continued(self._model, x, self._floats(times).view(shape), pasts)
        for row, new in zip(rows, nexts, strict=True):
            row.cache = new
        return _array(hidden.flatten(0, 1))

    @torch.inference_mode()
    def events(self, hidden: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, and what :meth:`velocities` needs."""
        x = self._floats(hidden)
        return _array(self._model.event_head(x)), _array(self._model.detail_head(x))

    @torch.inference_mode()
    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""
        both = self._floats(details) + self._model.event_detail(self._ints(list(events)))
        one, two = both.chunk(2, dim=-1)
        return _array(self._model.velocity_head(one.relu().square())), _array(two)

    @torch.inference_mode()
    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
        told = self._model.velocity_detail(self._ints(list(velocities)))
        inner = (self._floats(details) + told).relu().square()
        return _array(self._model.offset_head(inner))

    def _ints(self, values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.long, device=self._device)

    def _floats(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=self._device)


def _runs(caches: Sequence[EagerCache]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of steps that are of one row."""
    first = 0
    for place in range(1, len(caches) + 1):
        if place == len(caches) or caches[place] is not caches[first]:
            yield first, place
            first = place


def _array(tensor: Tensor) -> Floats:
    found: Floats = tensor.float().cpu().numpy()
    return found
