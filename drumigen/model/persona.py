"""Who plays: what a performance chooses once, and keeps to, before it plays a note.

A drummer of a style is drawn by seed from those it was learnt from: how many hits, how loud, how
far ahead or behind, whose hands.  The network is told so in every bar; left to itself it would
wander from one to the next.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from drumigen.errors import ModelError, ModelLoadError
from drumigen.model.vocabulary import PHRASE_BARS

_DENSITY_KNOB: Final = (0.35, 2.2)
_INTENSITY_KNOB: Final = (34.0, 116.0)
"""Where the knobs end: times the persona's density, and mean velocities."""
_LEAN_MAX: Final = 9.0
"""Milliseconds either way that a performer on stage may be off the clock by as a whole."""
_DENSITY_MAX: Final = 100.0
"""Hits a quarter note: more than a drummer, and than any bar holds."""
_LEAN_LIMIT: Final = 1000.0
"""Milliseconds: half a sixteenth at any tempo there is."""
_SPREAD_LIMIT: Final = 10.0
_WEIGHT_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Persona:
    """One of a style's drummers: hits a quarter, mean velocity, ms off the beat, who it is.

    ``weight`` is how much of the style was learnt from this one, and how often it is drawn.
    """

    density: float
    intensity: float
    lean: float | None = None
    drummer: int | None = None
    weight: int = 1

    def __post_init__(self) -> None:
        """Refuse whom nobody can be.

        Raises:
            ModelError: a value is out of range, or no number.
        """
        whole = all(isinstance(n, int) for n in (self.weight, self.drummer or 0))
        if not (
            0 < self.density <= _DENSITY_MAX
            and 1 <= self.intensity <= 127
            and (self.lean is None or abs(self.lean) <= _LEAN_LIMIT)
            and whole
            and 0 <= (self.drummer or 0) <= _WEIGHT_MAX
            and 1 <= self.weight <= _WEIGHT_MAX
        ):
            message = f"nobody plays like {self}"
            raise ModelError(message)


@dataclass(frozen=True, slots=True)
class Profile:
    """A style's drummers; quantiles of a bar's log density about theirs; chances of a fill.

    ``spread`` are quantiles from 0 to 1 in equal steps, ``fills`` chances by place in a phrase
    of 8.
    """

    personas: tuple[Persona, ...]
    spread: tuple[float, ...] = (0.0,)
    fills: tuple[float, ...] = (0.0,) * PHRASE_BARS

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from.

        Raises:
            ModelError: there is nobody, or a value is out of range or no number.
        """
        if not (
            self.personas
            and self.spread
            and self.fills
            and all(abs(shift) <= _SPREAD_LIMIT for shift in self.spread)
            and all(0 <= chance <= 1 for chance in self.fills)
        ):
            message = "a profile lacks drummers, or its densities or fills are out of range"
            raise ModelError(message)

    def persona(self, seed: int, *, on_stage: bool = True) -> Persona:
        """Return the drummer whom ``seed`` names; ``on_stage`` only those who keep to the clock."""
        found: Sequence[Persona] = self.personas
        if on_stage:
            near = [p for p in found if p.lean is None or abs(p.lean) <= _LEAN_MAX]
            found = near or found
        weights = [persona.weight for persona in found]
        return _rng("persona", seed).choices(found, weights)[0]

    def density(self, persona: Persona, seed: int, bar: int, *, on_stage: bool = True) -> float:
        """Return the hits a quarter for bar ``bar``.

        ``on_stage`` stays in the middle half of what is usual: no bar is suddenly empty.
        """
        quantile = _rng("density", seed, bar).random()
        if on_stage:
            quantile = 0.25 + quantile / 2
        place = quantile * (len(self.spread) - 1)
        low = int(place)
        high = min(low + 1, len(self.spread) - 1)
        shift = self.spread[low] + (self.spread[high] - self.spread[low]) * (place - low)
        return persona.density * math.exp(shift)

    def is_fill(self, seed: int, bar: int) -> bool:
        """Tell whether bar ``bar`` of a free performance ends in a fill."""
        return _rng("fill", seed, bar).random() < self.fills[bar % len(self.fills)]


def profiles_of(metadata: Mapping[str, Any]) -> dict[str, Profile]:
    """Return the profiles in a checkpoint's metadata, by style.

    Raises:
        ModelLoadError: they are not what a training run writes.
    """
    try:
        return {
            style: Profile(
                tuple(Persona(*persona) for persona in entry["personas"]),
                tuple(entry["spread"]),
                tuple(entry["fills"]),
            )
            for style, entry in metadata.get("profile", {}).items()
            if entry["personas"]
        }
    except (TypeError, KeyError, AttributeError, ValueError, ModelError) as error:
        message = "the checkpoint's profile of styles is not readable; train it again"
        raise ModelLoadError(message) from error


def turned_density(density: float, knob: int) -> float:
    """Return the hits a quarter for a density knob of 0 to 100; 50 leaves them as they are."""
    low, high = _DENSITY_KNOB
    share = abs(knob - 50) / 50
    return float(density * (high if knob > 50 else low) ** share)


def turned_intensity(intensity: float, knob: int) -> float:
    """Return the mean velocity for an intensity knob of 0 to 100; 50 leaves it as it is."""
    low, high = _INTENSITY_KNOB
    share = abs(knob - 50) / 50
    return intensity + ((high if knob > 50 else low) - intensity) * share


def _rng(*key: object) -> random.Random:
    return random.Random("/".join(map(str, key)))  # noqa: S311 - music; a text seeds alike anywhere
