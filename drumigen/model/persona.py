"""Who plays: what a performance chooses once, and keeps to, before it plays a note.

A drummer of a style is drawn by seed from those it was learnt from: how many hits, how loud, how
far ahead or behind, whose hands.  The network is told so in every bar; left to itself it would
wander from one to the next.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from drumigen.errors import ModelError, ModelLoadError
from drumigen.model.vocabulary import LIKENESS_LAGS, PHRASE_BARS
from drumigen.timekeeping import Keeper

_DENSITY_KNOB: Final = (0.35, 2.2)
_SAME_LEAST, _SAME_MORE, _SAME_MAX, _VERSIONS_LESS = 0.15, 1.18, 0.95, 0.2
"""Bars come back more often than they are told to have done: some that should have cannot, as
fills are not returned to; and what is new is like what was there without being told so."""
_BUSY_KNOB: Final = (0.45, 2.6)
_INTENSITY_KNOB: Final = (34.0, 116.0)
"""Where the knobs end: times the persona's density, and mean velocities."""
_LEAN_MAX: Final = 9.0
"""Milliseconds either way that a performer on stage may be off the clock by as a whole."""
_BACKBEAT_LEAST: Final = 0.5
"""Share of bars with a backbeat below which nobody is in a style that has one."""
_DENSITY_MAX: Final = 100.0
"""Hits a quarter note: more than a drummer, and than any bar holds."""
_LEAN_LIMIT: Final = 1000.0
"""Milliseconds: half a sixteenth at any tempo there is."""
_SPREAD_LIMIT: Final = 10.0
_WEIGHT_MAX: Final = 1_000_000


HUMAN_LAGS: Final = (0.146, 0.05, 0.018, 0.034, 0.009, 0.011, 0.007, 0.015)
"""How often a bar of the Groove MIDI Dataset is the one 1, 2 ... 8 bars ago once more."""


@dataclass(frozen=True, slots=True)
class Persona:
    """One of a style's drummers: hits a quarter, mean velocity, ms off the beat, who it is.

    ``weight`` is how many bars of the style were learnt from this one.
    ``grooves`` tells that most of the bars keep time, ``keeper`` is what on (a name of
    :class:`~drumigen.timekeeping.Keeper`), ``busy`` the strokes a quarter beside it.  ``same`` and
    ``versions`` are the shares of bars that are one of the last eight again, and a version of one;
    ``backbeat`` is the share of those that have one, None if it is not known.
    """

    density: float
    intensity: float
    lean: float | None = None
    drummer: int | None = None
    weight: int = 1
    grooves: bool = True
    keeper: str = ""
    busy: float | None = None
    same: float = 0.25
    versions: float = 0.38
    backbeat: float | None = None

    def __post_init__(self) -> None:
        """Refuse whom nobody can be.

        Raises:
            ModelError: a value is out of range, or no number.
        """
        whole = all(isinstance(n, int | None) for n in (self.weight, self.drummer))
        if not (
            _within(self.density, 0, _DENSITY_MAX)
            and self.density > 0
            and _within(self.intensity, 1, 127)
            and (self.lean is None or _within(self.lean, -_LEAN_LIMIT, _LEAN_LIMIT))
            and whole
            and (self.drummer is None or _within(self.drummer, 0, _WEIGHT_MAX))
            and _within(self.weight, 1, _WEIGHT_MAX)
            and isinstance(self.grooves, bool)
            and self.keeper in ("", *Keeper)
            and (self.busy is None or _within(self.busy, 0, _DENSITY_MAX))
            and _within(self.same, 0, 1)
            and _within(self.versions, 0, 1)
            and (self.backbeat is None or _within(self.backbeat, 0, 1))
        ):
            message = f"nobody plays like {self}"
            raise ModelError(message)


@dataclass(frozen=True, slots=True)
class Profile:
    """A style's drummers; quantiles of a bar's log density about theirs; chances of a fill.

    ``spread`` are quantiles from 0 to 1 in equal steps, ``fills`` chances by place in a phrase
    of 8, ``lags`` how often a bar that comes back is the one 1, 2 ... 8 bars ago.
    """

    personas: tuple[Persona, ...]
    spread: tuple[float, ...] = (0.0,)
    fills: tuple[float, ...] = (0.0,) * PHRASE_BARS
    lags: tuple[float, ...] = HUMAN_LAGS

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from.

        Raises:
            ModelError: there is nobody, or a value is out of range or no number.
        """
        if not (
            self.personas
            and self.spread
            and self.fills
            and all(_within(shift, -_SPREAD_LIMIT, _SPREAD_LIMIT) for shift in self.spread)
            and all(_within(chance, 0, 1) for chance in self.fills)
            and len(self.lags) == LIKENESS_LAGS
            and all(_within(chance, 0, 1) for chance in self.lags)
            and sum(self.lags) > 0
        ):
            message = "a profile lacks drummers, or its densities or fills are out of range"
            raise ModelError(message)

    def persona(self, seed: int, *, on_stage: bool = True, keepers: Sequence[str] = ()) -> Persona:
        """Return the drummer whom ``seed`` names.

        ``on_stage`` only those who play a groove, on one of ``keepers``; and whoever is far off
        the clock is told to keep closer to it.
        """
        found: Sequence[Persona] = self.personas
        if on_stage:
            found = [p for p in found if p.grooves] or found
            if keepers:
                found = [p for p in found if p.keeper in ("", *keepers)] or found
        # by its root: else a few drummers' long takes would be most of a style
        weights = [math.sqrt(persona.weight) for persona in found]
        drawn = _rng("persona", seed).choices(found, weights)[0]
        if on_stage and drawn.lean is not None:
            drawn = replace(drawn, lean=max(-_LEAN_MAX, min(_LEAN_MAX, drawn.lean)))
        return drawn

    def density(self, persona: Persona, seed: int, bar: int, *, on_stage: bool = True) -> float:
        """Return the hits a quarter for bar ``bar``.

        ``on_stage`` leaves the outermost tenth either way alone: no bar is suddenly empty.
        """
        quantile = _rng("density", seed, bar).random()
        if on_stage:
            quantile = 0.1 + 0.8 * quantile
        place = quantile * (len(self.spread) - 1)
        low = int(place)
        high = min(low + 1, len(self.spread) - 1)
        shift = self.spread[low] + (self.spread[high] - self.spread[low]) * (place - low)
        return persona.density * math.exp(shift)

    def likeness(self, persona: Persona, seed: int, bar: int, returns: float = 1.0) -> int:
        """Return which bar ``bar`` comes back to, as conditions say it: N, -N, or 0 for none.

        ``returns`` is times how often one does.
        """
        rng = _rng("likeness", seed, bar)
        chance = rng.random()
        lag = rng.choices(range(1, LIKENESS_LAGS + 1), self.lags)[0]
        same = min(_SAME_MAX, returns * (_SAME_LEAST + _SAME_MORE * persona.same))
        if chance < same:
            return lag
        return -lag if chance < same + _VERSIONS_LESS * persona.versions else 0

    def is_backbeat_due(
        self, persona: Persona, seed: int, bar: int, usual: float, free: float
    ) -> bool:
        """Tell whether bar ``bar`` has to have a backbeat, whatever the network says.

        ``usual`` is the share (0-1) of the style's bars that have one: where few do nothing is
        forced.  Of the drummer's own share a part, ``free`` (0-1), comes unasked; those that are
        due make up for the rest, not for the bars that are to have none.
        """
        if usual < _BACKBEAT_LEAST:
            return False
        share = max(_BACKBEAT_LEAST, usual if persona.backbeat is None else persona.backbeat)
        unasked = free * share
        due = (share - unasked) / (1 - unasked)
        return _rng("backbeat", seed, bar).random() < due

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
                *([tuple(entry["lags"])] if "lags" in entry else []),
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


def turned_busy(busy: float, knob: int) -> float:
    """Return the strokes a quarter beside the time for a knob of 0 to 100; 50 leaves them."""
    low, high = _BUSY_KNOB
    return float(busy * (high if knob > 50 else low) ** (abs(knob - 50) / 50))


def turned_intensity(intensity: float, knob: int) -> float:
    """Return the mean velocity for an intensity knob of 0 to 100; 50 leaves it as it is."""
    low, high = _INTENSITY_KNOB
    share = abs(knob - 50) / 50
    return intensity + ((high if knob > 50 else low) - intensity) * share


def _within(value: object, low: float, high: float) -> bool:
    """Tell whether ``value``, which may be of any kind, is a number in the range."""
    return isinstance(value, int | float) and low <= value <= high


def _rng(*key: object) -> random.Random:
    return random.Random("/".join(map(str, key)))  # noqa: S311 - music; a text seeds alike anywhere
