"""The network step by step on a GPU: :mod:`drumigen.model.numpy_decoder`'s duties, by torch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drumigen.errors import DeviceFullError
from drumigen.model.network import COUNT_MAX, ModelConfig
from drumigen.model.stepper import Floats
from drumigen.model.tokens import Note
from drumigen.model.transformer import Cache, of_weights


class TorchCache:
    """What one row has seen, on its device."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.cache: Cache | None = None

    def copied(self) -> "TorchCache":
        """Return a cache that goes on from here by itself; tensors are never changed in place."""
        other = TorchCache()
        other.cache = self.cache
        return other


class TorchDecoder:
    """A :class:`drumigen.model.generation.Stepper` on any device that torch knows."""

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, NDArray[np.generic]], device: str
    ) -> None:
        """Put the weights on ``device``.

        Raises:
            DeviceFullError: it has no room for them.
            ValueError: one is missing, superfluous or of another shape.
        """
        self.config = config
        self._device = torch.device(device)
        with _full():
            self._model = of_weights(config, weights).to(self._device)

    def cache(self) -> TorchCache:
        """Return the cache of a row that has seen nothing."""
        return TorchCache()

    @torch.inference_mode()
    def condition_embedding(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what condition bins and shares of styles add to a bar's steps, by number."""
        with _full():
            bins = self._ints(list(conditions))
            found = self._model.condition_embedding(bins, self._floats(list(shares)))
            nth = torch.arange(COUNT_MAX, device=self._device)
            return _array(found + self._model.count_embedding(bins.expand(COUNT_MAX, -1), nth))

    @torch.inference_mode()
    def read(
        self,
        caches: Sequence[TorchCache],
        notes: Sequence[Note],
        times: Sequence[float],
        conditions: Floats,
    ) -> Floats:
        """Take the steps, one or several a row; return what is known after each, [R, W]."""
        spans = list(_runs(caches))
        lengths = {last - first for first, last in spans}
        if len(lengths) > 1:
            parts = [
                self.read(caches[a:b], notes[a:b], times[a:b], conditions[a:b]) for a, b in spans
            ]
            return np.concatenate(parts)
        shape = len(spans), lengths.pop()
        rows = [caches[first] for first, _ in spans]
        with _full():
            columns = zip(*notes, strict=True)
            x = self._model.embedded(*(self._ints(part).view(shape) for part in columns))
            x = x + self._floats(conditions).view(*shape, -1)
            pasts = [row.cache for row in rows]
            hidden, nexts = self._model.continued(x, self._floats(times).view(shape), pasts)
        for row, new in zip(rows, nexts, strict=True):
            row.cache = new
        return _array(hidden.flatten(0, 1))

    @torch.inference_mode()
    def events(self, hidden: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, and what :meth:`velocities` needs."""
        with _full():
            x = self._floats(hidden)
            return _array(self._model.event_head(x)), _array(self._model.detail_head(x))

    @torch.inference_mode()
    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""
        with _full():
            both = self._floats(details) + self._model.event_detail(self._ints(list(events)))
            one, two = both.chunk(2, dim=-1)
            return _array(self._model.velocity_head(one.relu().square())), _array(two)

    @torch.inference_mode()
    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
        with _full():
            told = self._model.velocity_detail(self._ints(list(velocities)))
            inner = (self._floats(details) + told).relu().square()
            return _array(self._model.offset_head(inner))

    def _ints(self, values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.long, device=self._device)

    def _floats(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=self._device)


def _runs(caches: Sequence[TorchCache]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of steps that are of one row."""
    first = 0
    for place in range(1, len(caches) + 1):
        if place == len(caches) or caches[place] is not caches[first]:
            yield first, place
            first = place


def _array(tensor: Tensor) -> Floats:
    found: Floats = tensor.float().cpu().numpy()
    return found


@contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = "the GPU has no room; close what else uses it, or use the CPU"
        raise DeviceFullError(message) from error
