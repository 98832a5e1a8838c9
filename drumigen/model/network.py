"""What the network's weights fit, said without torch: sizes, names, constants of its arithmetic."""

from collections.abc import Sequence
from typing import Final

import msgspec

from drumigen.model.conditions import CONDITION_SIZES, DENSITIES
from drumigen.model.vocabulary import EVENTS, OFFSETS, POSITIONS, VELOCITIES, VOICE_ORDER

CONTEXT_BARS = 8
"""Bars before it that a bar continues from, at most."""
COUNT_MAX = 64
"""Hits of a bar that are told apart by their number."""
DUE_MAX = 64
"""Hits still due in a bar that are told apart; 0 is a bar whose density is not told."""
WAVES = (2.0, 1024.0)
"""Shortest and longest wavelength of the rotary embedding, in sixteenths."""
DENSITY, METER = list(CONDITION_SIZES).index("density"), list(CONDITION_SIZES).index("meter")
"""Places of these two among the conditions."""
EPSILON = 1e-6
"""Added to the mean square in normalisation."""


_IN_FILES: Final = {"kv_heads": "shared", "detail_width": "hidden"}
"""What two sizes are called in files."""
_MODULES_IN_FILES: Final = {"in_proj": "into", "out_proj": "out"}
"""What two parts of a layer are called in files."""


class ModelConfig(msgspec.Struct, frozen=True, rename=_IN_FILES):
    """Sizes, and the names that styles and drummers go by."""

    styles: tuple[str, ...]
    drummers: tuple[str, ...] = ()
    width: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    """Heads of keys and values, each shared by as many heads of queries."""
    detail_width: int = 128
    """Width of the two heads that say velocity and offset."""
    dropout: float = 0.12

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def file_name(name: str) -> str:
    """Return what a weight of :class:`DrumPatternTransformer` is called in files."""
    return ".".join(_MODULES_IN_FILES.get(part, part) for part in name.split("."))


def wavelengths(config: ModelConfig) -> list[float]:
    """Return the rotary embedding's wavelengths in sixteenths, half as many as a head is wide."""
    count = config.head_width // 2
    low, high = WAVES
    return [low * (high / low) ** (place / max(1, count - 1)) for place in range(count)]


def due_hits(conditions: Sequence[int], nth: int) -> int:
    """Return how many hits are due after ``nth``, plus 1, in a bar of these condition bins.

    0 where the density is not told.  Without it the network would have to count.
    """
    density, sixteenths = conditions[DENSITY], (conditions[METER] - 1) // 2
    if not density or sixteenths < 1:
        return 0
    return max(0, min(DUE_MAX - 2, round(DENSITIES[density - 1] * sixteenths / 4) - nth)) + 1


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of the network, by its name in files."""
    width, detail = config.width, config.detail_width
    voices = len(VOICE_ORDER)
    shapes: dict[str, tuple[int, ...]] = {
        "position.weight": (POSITIONS + 1, width),
        "voice.weight": (voices + 1, width),
        "velocity.weight": (VELOCITIES + 1, width),
        "offset.weight": (OFFSETS + 1, width),
        "count.weight": (COUNT_MAX, width),
        "due.weight": (DUE_MAX, width),
        "style.weight": (len(config.styles), width),
        "condition.weight": (sum(CONDITION_SIZES.values()), width),
        "event_head.weight": (EVENTS, width),
        "event_head.bias": (EVENTS,),
        "detail_head.weight": (2 * detail, width),
        "detail_head.bias": (2 * detail,),
        "event_detail.weight": (EVENTS, 2 * detail),
        "velocity_detail.weight": (VELOCITIES, detail),
        "velocity_head.weight": (VELOCITIES, detail),
        "velocity_head.bias": (VELOCITIES,),
        "offset_head.weight": (OFFSETS, detail),
        "offset_head.bias": (OFFSETS,),
    }
    for layer in range(config.layers):
        inner = 5 * width + 2 * config.kv_heads * config.head_width
        shapes[f"blocks.{layer}.into.weight"] = (inner, width)
        shapes[f"blocks.{layer}.out.weight"] = (width, 5 * width)
    return shapes
