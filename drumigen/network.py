"""What the network's weights fit, said without torch: sizes, names, constants of its arithmetic."""

from dataclasses import dataclass

COUNT_MAX = 64
"""Hits of a bar that are told apart by their number."""
WAVES = (2.0, 1024.0)
"""Shortest and longest wavelength of the rotary embedding, in sixteenths."""
EPSILON = 1e-6
"""Added to the mean square in normalisation."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes, and the names that styles and drummers go by."""

    styles: tuple[str, ...]
    drummers: tuple[str, ...] = ()
    width: int = 192
    layers: int = 4
    heads: int = 6
    shared: int = 2
    """Heads of keys and values, each shared by as many heads of queries."""
    hidden: int = 128
    """Width of the two heads that say velocity and offset."""
    dropout: float = 0.2

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def wavelengths(config: ModelConfig) -> list[float]:
    """Return the rotary embedding's wavelengths in sixteenths, half as many as a head is wide."""
    count = config.head_width // 2
    low, high = WAVES
    return [low * (high / low) ** (place / max(1, count - 1)) for place in range(count)]
