"""The whole network: a decoder that takes one step per hit.

At each step it says which event comes next (a position and a voice, or the bar line), then how
hard, given the event, and how far off its sixteenth, given both.  Steps see one another by
musical time: the rotary embedding turns with sixteenths, not with places in the sequence, so
that "what happened here a bar ago" is always at the same distance.  Attention and feed-forward
stand side by side and share their two matrix products, as small steps are bound by their number.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from drumigen.model.conditions import CONDITION_SIZES, DENSITIES
from drumigen.model.network import (
    COUNT_MAX,
    DENSITY,
    DUE_MAX,
    EPSILON,
    METER,
    ModelConfig,
    file_name,
    wavelengths,
)
from drumigen.model.vocabulary import BAR_LINE, EVENTS, OFFSETS, POSITIONS, VELOCITIES, VOICE_ORDER


class Steps(NamedTuple):
    """A batch of B rows of T steps in N bars, each row as long as its own notes.

    Attributes:
        event: int64 (B, T); ``BAR_LINE`` opens a bar.
        velocity: int64 (B, T), bins; ``VELOCITIES`` at a bar line, or where it is not told.
        offset: int64 (B, T), bins; ``OFFSETS`` likewise.
        nth: int64 (B, T), hits of the bar before this one, from 0 at the bar line.
        time: float32 (B, T), sixteenths from the first bar line.
        bar: int64 (B, T), which of the N bars a step is in.
        conditions: int64 (B, N, 13), as :meth:`Conditions.ids` gives them.
        styles: float32 (B, N, styles), shares; all zero where the style is not told.
    """

    event: Tensor
    velocity: Tensor
    offset: Tensor
    nth: Tensor
    time: Tensor
    bar: Tensor
    conditions: Tensor
    styles: Tensor


class Block(nn.Module):
    """Attention and a squared-ReLU feed-forward, side by side."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the layer's two matrices."""
        super().__init__()
        width = config.width
        self.head_width = config.head_width
        self.keys = config.head_width * config.kv_heads
        self.in_proj = nn.Linear(width, 5 * width + 2 * self.keys, bias=False)
        self.out_proj = nn.Linear(5 * width, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.in_proj.weight, std=0.02)
        nn.init.normal_(self.out_proj.weight, std=0.02 / math.sqrt(2 * config.layers))

    def forward(
        self,
        x: Tensor,
        angle: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return x (B, T, C) after the layer, and the keys and values of its steps, (B, S, T, D).

        Without ``mask`` no step sees a later one; ``past`` are keys and values of earlier steps,
        (B, S, P, D), and needs one.
        """
        rows, steps, width = x.shape
        y = self.in_proj(normed(x))  # (B, T, C) -> (B, T, 5 C + 2 S D)
        inner, query, key, value = y.split([4 * width, width, self.keys, self.keys], dim=-1)
        query, key, value = (  # (B, T, heads * D) -> (B, heads, T, D)
            part.view(rows, steps, -1, self.head_width).transpose(1, 2)
            for part in (query, key, value)
        )
        key = rotary(key, *angle)
        keys, values = key, value
        if past is not None:
            keys, values = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        mixed = functional.scaled_dot_product_attention(  # (B, heads, T, D)
            rotary(query, *angle), keys, values, mask, is_causal=mask is None, enable_gqa=True
        )
        mixed = mixed.transpose(1, 2).reshape(rows, steps, width)  # -> (B, T, C)
        both = torch.cat([functional.relu(inner).square(), mixed], -1)  # -> (B, T, 5 C)
        return x + self.dropout(self.out_proj(both)), key, value  # out_proj: (B, T, C)


class DrumPatternTransformer(nn.Module):
    """Says what a drummer does next."""

    firsts: Tensor
    densities: Tensor
    turns: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Make a network of random weights."""
        super().__init__()
        self.config = config
        width, detail = config.width, config.detail_width
        voices = len(VOICE_ORDER)
        self.position = nn.Embedding(POSITIONS + 1, width)
        self.voice = nn.Embedding(voices + 1, width)
        self.velocity = nn.Embedding(VELOCITIES + 1, width)
        self.offset = nn.Embedding(OFFSETS + 1, width)
        self.count = nn.Embedding(COUNT_MAX, width)
        self.due = nn.Embedding(DUE_MAX, width)
        self.style = nn.Embedding(len(config.styles), width)
        self.condition = nn.Embedding(sum(CONDITION_SIZES.values()), width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.event_head = nn.Linear(width, EVENTS)
        self.detail_head = nn.Linear(width, 2 * detail)
        self.event_detail = nn.Embedding(EVENTS, 2 * detail)
        self.velocity_detail = nn.Embedding(VELOCITIES, detail)
        self.velocity_head = nn.Linear(detail, VELOCITIES)
        self.offset_head = nn.Linear(detail, OFFSETS)
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        firsts = [0]
        for size in CONDITION_SIZES.values():
            firsts.append(firsts[-1] + size)
        self.register_buffer("firsts", torch.tensor(firsts[:-1]), persistent=False)
        densities = torch.tensor([0.0, *DENSITIES])
        self.register_buffer("densities", densities, persistent=False)
        waves = torch.tensor(wavelengths(config), dtype=torch.float32)
        self.register_buffer("turns", 2 * math.pi / waves, persistent=False)

    def condition_embedding(self, conditions: Tensor, styles: Tensor) -> Tensor:
        """Return what conditions (..., 13) and shares (..., styles) add to a step, (..., C)."""
        bins: Tensor = self.condition(conditions + self.firsts).sum(-2)  # (..., 13) -> (..., C)
        return bins + styles @ self.style.weight  # (..., styles) -> (..., C)

    def count_embedding(self, conditions: Tensor, nth: Tensor) -> Tensor:
        """Return what the number of a step in its bar adds to it, (..., C).

        ``conditions`` (..., 13) are its bar's, ``nth`` (...) are the hits before it; see
        :func:`drumigen.model.network.due_hits`.
        """
        density = conditions[..., DENSITY]
        quarters = torch.div(conditions[..., METER] - 1, 2, rounding_mode="floor") / 4
        due = (self.densities[density] * quarters).round().long() - nth
        due = torch.where((density > 0) & (quarters > 0), due.clamp(0, DUE_MAX - 2) + 1, 0)
        found: Tensor = self.count(nth.clamp(max=COUNT_MAX - 1)) + self.due(due)
        return found

    def embedded(self, event: Tensor, velocity: Tensor, offset: Tensor) -> Tensor:
        """Return what is seen of the hits of steps (B, T) themselves, (B, T, C)."""
        voices = len(VOICE_ORDER)
        voice = torch.where(event == BAR_LINE, voices, event % voices)
        seen: Tensor = (
            self.position(torch.div(event, voices, rounding_mode="floor"))
            + self.voice(voice)
            + self.velocity(velocity)
            + self.offset(offset)
        )
        return seen

    def forward(self, steps: Steps) -> Tensor:
        """Return the hidden state after each step, (B, T, C)."""
        bars = self.condition_embedding(steps.conditions, steps.styles)  # (B, N, C)
        counts = self.count_embedding(_of_bars(steps.conditions, steps.bar), steps.nth)
        hits = self.embedded(steps.event, steps.velocity, steps.offset)
        x = self.dropout(hits + (_of_bars(bars, steps.bar) + counts))  # (B, T, C)
        angle = self.angle(steps.time)
        for block in self.blocks:
            x, _, _ = block(x, angle)
        return normed(x)

    def angle(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of the rotary turns at ``time`` (B, T), (B, 1, T, D / 2) each."""
        angle = time.unsqueeze(1).unsqueeze(-1) * self.turns
        return angle.cos(), angle.sin()

    def details(self, hidden: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inner layers of the two heads; the offset's is yet to be told the velocity."""
        both = self.detail_head(hidden) + self.event_detail(event)
        velocity, offset = both.chunk(2, dim=-1)
        return velocity, offset

    def heads(self, hidden: Tensor, event: Tensor, velocity: Tensor) -> tuple[Tensor, ...]:
        """Return logits of the next event, and of velocity and offset given what it truly is."""
        one, two = self.details(hidden, event)
        two = two + self.velocity_detail(velocity)
        return (
            self.event_head(hidden),
            self.velocity_head(functional.relu(one).square()),
            self.offset_head(functional.relu(two).square()),
        )


def _of_bars(values: Tensor, bar: Tensor) -> Tensor:
    """Return what each step's bar has: values (B, N, X) by bar (B, T), as (B, T, X)."""
    return values.gather(1, bar.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def weights_of(model: DrumPatternTransformer) -> dict[str, Tensor]:
    """Return the weights of ``model``, by their names in files."""
    return {file_name(name): tensor for name, tensor in model.state_dict().items()}


def load_weights(model: DrumPatternTransformer, weights: Mapping[str, Tensor]) -> None:
    """Give ``model`` weights by their names in files.

    Raises:
        RuntimeError: one is missing, superfluous or of another shape.
    """
    own = {file_name(name): name for name in model.state_dict()}
    model.load_state_dict({own.get(name, name): tensor for name, tensor in weights.items()})


def of_weights(
    config: ModelConfig, weights: Mapping[str, NDArray[np.generic]]
) -> DrumPatternTransformer:
    """Return the network with these weights, for use and not for training.

    Raises:
        ValueError: a weight is missing, superfluous or of another shape.
    """
    model = DrumPatternTransformer(config)
    try:
        load_weights(model, {name: torch.tensor(array) for name, array in weights.items()})
    except RuntimeError as error:
        raise ValueError(error) from error
    return model.eval().requires_grad_(requires_grad=False)


def normed(x: Tensor) -> Tensor:
    """Return x with its last axis at unit mean square."""
    return functional.rms_norm(x, (x.shape[-1],), eps=EPSILON)


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x (B, H, T, D) with each pair of its halves turned by its time's angle."""
    one, two = x.chunk(2, dim=-1)
    return torch.cat([one * cos - two * sin, one * sin + two * cos], dim=-1)


def legal_events(event: Tensor, offset: Tensor, position_count: Tensor) -> Tensor:
    """Return which events may follow ``event`` (...), in a bar so many sixteenths long: (..., E).

    Later ones in the order of the grammar, or the same voice again at the same sixteenth where
    there is room after ``offset``; at any time the bar line.
    """
    order = torch.arange(EVENTS, device=event.device)
    first = torch.where(event == BAR_LINE, 0, event + (offset >= OFFSETS - 1).long())
    inside = order < position_count.unsqueeze(-1) * len(VOICE_ORDER)
    return ((order >= first.unsqueeze(-1)) & inside) | (order == BAR_LINE)
