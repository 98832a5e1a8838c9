"""The network on a device, with caches that stay where they are.

The third form of :mod:`drumigen.model.transformer`: steps of many rows go through it with no copy
to or from the host, and every tensor has its place, so that a step can be recorded as a CUDA graph.
Few and plain operations, for a small step costs as many launches as it has: embeddings lie in one
table, the rotary turn is two products (the projection returns each head also with its halves
swapped), and the heads are one matrix.

B are rows, T steps of each, P places of a cache, C the width, S heads of keys and values with G
heads of queries each, D the width of a head, E events, H the width of the two heads for details.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.network import CONTEXT_BARS, ModelConfig, wavelengths, weight_shapes
from drumigen.model.transformer import normed
from drumigen.model.vocabulary import EVENTS, POSITIONS

TIMES: Final = (CONTEXT_BARS + 1) * POSITIONS
"""Sixteenths from the first bar line of a context, at most."""

Weights = Mapping[str, NDArray[np.generic]]


class Caches:
    """Keys and values of B rows with P places each: (L, 2, B * S, P, D)."""

    def __init__(self, config: ModelConfig, rows: int, places: int, device: torch.device) -> None:
        """Make room."""
        heads = rows * config.kv_heads
        shape = config.layers, 2, heads, places, config.head_width
        self.past = torch.zeros(shape, device=device)
        self.rows, self.places = rows, places
        self._layers = [(part[0], part[1]) for part in self.past]
        self._first = (torch.arange(heads, device=device) * places).view(rows, config.kv_heads)
        self._order = torch.arange(places, device=device)

    def layer(self, number: int) -> tuple[Tensor, Tensor]:
        """Return keys and values of a layer, (B * S, P, D) each."""
        return self._layers[number]

    def index(self, place: Tensor) -> Tensor:
        """Return where steps at ``place`` (B, T) go, among all places of all heads, (B * S * T)."""
        return (self._first[:, :, None] + place[:, None]).view(-1)  # (B, S, T) -> (B * S * T)

    def hidden_after(self, place: Tensor) -> Tensor:
        """Return what hides from steps at ``place`` (B, T) all later ones, (B, 1, 1, T, P)."""
        later = self._order > place[:, None, None, :, None]
        return torch.zeros((), device=place.device).masked_fill(later, float("-inf"))


class Network:
    """The weights, laid out for steps on a device."""

    def __init__(
        self, config: ModelConfig, weights: Weights, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Put the weights on ``device``; matrices and what goes into them as ``dtype``.

        Raises:
            ValueError: a weight is missing or of another shape.
        """
        self.config, self._device, self._dtype = config, device, dtype
        shapes = weight_shapes(config)
        if wrong := [name for name in shapes if weights[name].shape != shapes[name]]:
            message = f"{wrong[0]} is {weights[wrong[0]].shape}, not {shapes[wrong[0]]}"
            raise ValueError(message)

        def weight(name: str) -> Tensor:
            return torch.tensor(np.asarray(weights[name], np.float32))

        self._steps, self._first_rows = self._table(weight)
        self._condition = weight("condition.weight").to(device)
        sizes = list(CONDITION_SIZES.values())
        self._firsts = torch.tensor(np.cumsum([0, *sizes[:-1]]), device=device)
        self._style = weight("style.weight").to(device)
        self._layers = [
            self._projections(weight(f"blocks.{n}.into.weight"), weight(f"blocks.{n}.out.weight"))
            for n in range(config.layers)
        ]
        ends = torch.cat([weight("event_head.weight"), weight("detail_head.weight")])
        self._ends = self._matrix(ends)
        self._end_biases = torch.cat([weight("event_head.bias"), weight("detail_head.bias")])
        self._end_biases = self._end_biases.to(device)
        self._event_detail = weight("event_detail.weight").to(device)
        self._velocity_detail = weight("velocity_detail.weight").to(device)
        self._velocity_head = self._matrix(weight("velocity_head.weight"))
        self._velocity_bias = weight("velocity_head.bias").to(device)
        self._offset_head = self._matrix(weight("offset_head.weight"))
        self._offset_bias = weight("offset_head.bias").to(device)
        # in 64 bits, as in numpy: the shortest wave turns hundreds of times in a context
        angles = np.arange(TIMES)[:, None] * (2 * np.pi / np.array(wavelengths(config)))
        turns = np.hstack([np.cos(angles)] * 2 + [np.sin(angles)] * 2)
        self._turns = torch.tensor(turns, dtype=torch.float32, device=device)  # (times, 2 D)

    def _table(self, weight: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Return all that is added up to a step as one table, and where each of five begins."""
        position, voice = weight("position.weight"), weight("voice.weight")
        notes = (position[:-1, None] + voice[None, :-1]).flatten(0, 1)  # -> (E - 1, C)
        events = torch.cat([notes, (position[-1] + voice[-1])[None]])  # -> (E, C)
        names = ("velocity.weight", "offset.weight", "count.weight", "due.weight")
        parts = [events, *map(weight, names)]
        firsts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        return torch.cat(parts).to(self._device), torch.tensor(firsts, device=self._device)

    def _projections(self, into: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the layer's matrices: (C, 6 C + 3 S D), and two of (4 C, C) and (C, C).

        The first ends in queries and keys again, with the halves of each head swapped.
        """
        width, head = self.config.width, self.config.head_width
        keys = self.config.kv_heads * head
        inner, query, key, value = torch.split(into, [4 * width, width, keys, keys])
        query = query * head**-0.5  # the scale of attention
        both = torch.cat([query, key])
        one, two = both.view(-1, 2, head // 2, width).unbind(1)  # halves of (heads * D, C)
        swapped = torch.stack([-two, one], 1).flatten(0, 2)  # -> (C + S D, C)
        in_proj = torch.cat([inner, both, value, swapped])
        return (
            self._matrix(in_proj),
            self._matrix(out[:, : 4 * width]),
            self._matrix(out[:, 4 * width :]),
        )

    def _matrix(self, weights: Tensor) -> Tensor:
        return weights.T.contiguous().to(self._device, self._dtype)  # (O, C) -> (C, O)

    def bar_embedding(self, conditions: Tensor, shares: Tensor) -> Tensor:
        """Return what conditions (N, 13) and shares (N, styles) add to a bar's steps, (N, C)."""
        bins = functional.embedding(conditions + self._firsts, self._condition).sum(1)
        return torch.addmm(bins, shares, self._style)

    def embedding(self, parts: Tensor, bars: Tensor) -> Tensor:
        """Return steps as the layers take them, (..., C).

        ``parts`` (..., 5) are event, velocity, offset, hits before it and hits due; ``bars``
        (..., C) is from :meth:`bar_embedding`.
        """
        return functional.embedding(parts + self._first_rows, self._steps).sum(-2) + bars

    def forward(self, x: Tensor, time: Tensor, place: Tensor, caches: Caches) -> Tensor:
        """Put steps x (B, T, C) at ``time`` (B, T) into ``place`` (B, T) of the caches.

        Returns their hidden state, (B, T, C).
        """
        config = self.config
        rows, steps, width = x.shape
        head, kv_heads, heads = config.head_width, config.kv_heads, config.heads
        keys, inner, both = kv_heads * head, 4 * width, 5 * width
        turns = functional.embedding(time, self._turns)[:, :, None]  # -> (B, T, 1, 2 D)
        cos, sin = turns[..., :head], turns[..., head:]
        index, hide = caches.index(place), caches.hidden_after(place)
        group = heads // kv_heads
        hide = hide.expand(rows, kv_heads, group, steps, caches.places)
        hide = hide.reshape(rows * kv_heads, group * steps, caches.places)
        x = x.flatten(0, 1)  # (B, T, C) -> (B * T, C)
        for layer, (in_proj, inner_out, mixed_out) in enumerate(self._layers):
            y = self._product(normed(x), in_proj)  # -> (B * T, 6 C + 3 S D)
            straight = y[:, inner : both + keys].view(rows, steps, heads + kv_heads, head)
            swapped = y[:, both + 2 * keys :].view(rows, steps, heads + kv_heads, head)
            rotary = torch.addcmul(straight * cos, swapped, sin)  # (B, T, heads + S, D)
            value = y[:, both + keys : both + 2 * keys].view(rows, steps, kv_heads, head)
            key = rotary[:, :, heads:].transpose(1, 2).reshape(-1, head)  # -> (B * S * T, D)
            value = value.transpose(1, 2).reshape(-1, head)  # -> (B * S * T, D)
            query = rotary[:, :, :heads].view(rows, steps, kv_heads, group, head)
            query = query.permute(0, 2, 3, 1, 4).reshape(-1, group * steps, head)  # B S, G T, D
            past_keys, past_values = caches.layer(layer)
            past_keys.view(-1, head).index_copy_(0, index, key)
            past_values.view(-1, head).index_copy_(0, index, value)
            scores = torch.baddbmm(hide, query, past_keys.transpose(1, 2))  # -> (B S, G T, P)
            mixed = torch.bmm(scores.softmax(-1), past_values)  # -> (B S, G T, D)
            mixed = mixed.view(rows, kv_heads, group, steps, head).permute(0, 3, 1, 2, 4)
            mixed = mixed.reshape(-1, width)  # (B, T, S, G, D) -> (B * T, C)
            x = self._product(y[:, :inner].relu().square(), inner_out, x)
            x = self._product(mixed, mixed_out, x)
        return normed(x).view(rows, steps, width)

    def ends(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the next event, (B, E), and what :meth:`velocities` needs, (B, 2 H)."""
        ends = self._product(hidden, self._ends, self._end_biases)
        return ends[:, :EVENTS], ends[:, EVENTS:]

    def velocities(self, details: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs, (B, H)."""
        both = details + functional.embedding(event, self._event_detail)
        one, two = both.chunk(2, dim=-1)  # (B, 2 H) -> 2 of (B, H)
        logits = self._product(one.relu().square(), self._velocity_head, self._velocity_bias)
        return logits, two

    def offsets(self, details: Tensor, velocity: Tensor) -> Tensor:
        """Return logits of offset given events and velocities, (B, offsets)."""
        inner = details + functional.embedding(velocity, self._velocity_detail)
        return self._product(inner.relu().square(), self._offset_head, self._offset_bias)

    def _product(self, x: Tensor, matrix: Tensor, added: Tensor | None = None) -> Tensor:
        """Return x @ matrix + added; sums and what is added are of 32 bits."""
        if self._dtype != torch.float32:
            found = (x.to(self._dtype) @ matrix).float()
            return found if added is None else found + added
        return x @ matrix if added is None else torch.addmm(added, x, matrix)
