"""Conditions: what a bar is played under, and the bins in which the network is told of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from drumigen.errors import ModelError
from drumigen.fitting import felt_beat
from drumigen.model.vocabulary import LIKENESS_LAGS, PHRASE_BARS, VOCABULARY
from drumigen.pattern import Bar
from drumigen.timekeeping import Keeper
from drumigen.timeline import Meter
from drumigen.units import TEMPO_DEFAULT, TICKS_PER_BEAT, Bpm

SECTION_NAMES: Final = ("intro", "a", "b", "break", "ending")
PARTS: Final = ("groove", "fill", "solo")
"""What a bar is in a performance: it keeps time, leads on, or does neither."""

_DENSITY_FIRST, _DENSITY_RATIO = 0.75, 1.15
_TEMPO_FIRST, _TEMPO_RATIO = 48.0, 1.09
_BUSY_FIRST, _BUSY_RATIO = 0.75, 1.28


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which conditions a bar is played; None is unknown, and leaves it to the network.

    Attributes:
        styles: names with their shares, as in ``(("funk", 0.7), ("jazz", 0.3))``; empty unknown.
        tempo: BPM.
        meter: of the bar.
        density: hits per quarter note, 0.5 to 16.
        intensity: mean velocity, 1 to 127.
        fill: whether the bar ends in a fill.
        section: one of :data:`SECTIONS`.
        phrase: the bar's place in a phrase of eight, from 0.
        lean: mean offset of the hits on quarters, in ms; negative is early.
        drummer: index into the corpus's drummers.
        part: one of :data:`PARTS`.
        keeper: what keeps time.
        busy: strokes a quarter note on no cymbal, see :func:`drumigen.timekeeping.busyness`.
        likeness: 0 for a bar like none of the last eight, N (1 to 8) for the one N bars ago once
            more, -N for a version of it.
    """

    styles: tuple[tuple[str, float], ...] = ()
    tempo: Bpm = TEMPO_DEFAULT
    meter: Meter = Meter()
    density: float | None = None
    intensity: float | None = None
    fill: bool | None = None
    section: str | None = None
    phrase: int | None = None
    lean: float | None = None
    drummer: int | None = None
    part: str | None = None
    keeper: Keeper | None = None
    busy: float | None = None
    likeness: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no bar can be.

        Raises:
            ModelError: a section or part of another name, shares that do not add up to 1, or a
                value that is no number.
        """
        if self.section is not None and self.section not in SECTION_NAMES:
            message = f"section {self.section!r}: use one of {', '.join(SECTION_NAMES)}"
            raise ModelError(message)
        if self.part is not None and self.part not in PARTS:
            message = f"part {self.part!r}: use one of {', '.join(PARTS)}"
            raise ModelError(message)
        for name in (
            "tempo",
            "density",
            "intensity",
            "lean",
            "phrase",
            "drummer",
            "busy",
            "likeness",
        ):
            value = getattr(self, name)
            if value is not None and not _is_finite(value):
                message = f"{name} {value!r:.40}: use a number"
                raise ModelError(message)
        self._check_shares()

    def _check_shares(self) -> None:
        """See that shares add up to 1; those of one style count together."""
        shares: dict[str, float] = {}
        for name, share in self.styles:
            if not _is_finite(share) or share < 0:
                message = f"share {share!r:.40} of style {name!r:.40}: use a number from 0 to 1"
                raise ModelError(message)
            shares[name] = shares.get(name, 0.0) + share
        total = sum(shares.values())
        if shares and abs(total - 1) > 1e-6:
            message = f"shares of styles {tuple(shares.items())} add up to {total:g}; make it 1"
            raise ModelError(message)
        if len(shares) < len(self.styles):
            object.__setattr__(self, "styles", tuple(shares.items()))

    def ids(self) -> tuple[int, ...]:
        """Return the bin of every condition but the styles, in order; 0 is unknown."""
        return tuple(self._bin(name) + 1 for name in CONDITION_SIZES)

    def _bin(self, name: str) -> int:  # noqa: PLR0911, PLR0912 - a table of thirteen
        value: Any = getattr(self, name)
        if value is None:
            return -1
        last = CONDITION_SIZES[name] - 2
        match name:
            case "tempo":
                return _logarithmic(value, _TEMPO_FIRST, _TEMPO_RATIO, last)
            case "meter":
                return 2 * self.meter.sixteenths + (felt_beat(self.meter) != TICKS_PER_BEAT)
            case "density":
                return _logarithmic(value, _DENSITY_FIRST, _DENSITY_RATIO, last)
            case "intensity":
                return max(0, min(last, int(value // 10)))
            case "section":
                return SECTION_NAMES.index(str(value))
            case "part":
                return PARTS.index(str(value))
            case "keeper":
                return list(Keeper).index(value)
            case "busy":
                return _logarithmic(value, _BUSY_FIRST, _BUSY_RATIO, last)
            case "likeness":
                lag = min(LIKENESS_LAGS, abs(int(value)))
                return lag if value >= 0 else LIKENESS_LAGS + lag
            case "phrase":
                return int(value) % PHRASE_BARS
            case "lean":
                return max(0, min(last, round(float(value) / 6) + last // 2))
            case _:
                return max(0, min(last, int(value)))


CONDITION_SIZES: Final[Mapping[str, int]] = {
    f.name: VOCABULARY[f.name.upper()].size + 1 for f in fields(Conditions) if f.name != "styles"
}
"""How many bins each condition has, the unknown among them."""


DENSITIES: Final = tuple(
    _DENSITY_FIRST * _DENSITY_RATIO**place for place in range(VOCABULARY["DENSITY"].size)
)
"""Hits a quarter in the middle of each bin of density."""


def density_of(bar: Bar) -> float:
    """Return the hits per quarter note of ``bar``."""
    return len(bar.hits) * TICKS_PER_BEAT / bar.meter.ticks


def tempo_heard(tempo: Bpm) -> Bpm:
    """Return the tempo in the middle of the bin that ``tempo`` falls in: all that is told of it."""
    place = _logarithmic(tempo, _TEMPO_FIRST, _TEMPO_RATIO, CONDITION_SIZES["tempo"] - 2)
    return Bpm(_TEMPO_FIRST * _TEMPO_RATIO**place)


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - from a caller
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _logarithmic(value: float, first: float, ratio: float, last: int) -> int:
    edge, place = first, 0
    while place < last and value >= edge * ratio**0.5:
        edge *= ratio
        place += 1
    return place


def condition_bins(name: str) -> tuple[int, ...]:
    """Return the bins of values spread over a condition's range: what its numbers mean."""
    if name in ("meter", "section", "part", "keeper"):
        return (CONDITION_SIZES[name],)
    values = (*range(12), *range(12, 420, 7))
    return tuple(Conditions(**{name: v})._bin(name) for v in values)  # noqa: SLF001 - our own
