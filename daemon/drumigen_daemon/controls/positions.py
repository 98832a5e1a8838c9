"""Between where a knob is, 0 to 1, and what its control stands at.  Sans I/O."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from drumigen_daemon.controls.binding import Binding


class Positions:
    """Where controls stand on the knobs bound to them, by the truth, whoever moved them."""

    def __init__(
        self,
        value_of: Callable[[str], object],
        names_of: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """Ask ``value_of`` where a control stands.

        ``names_of`` gives the names it steps through where its table does not say, as with styles.
        """
        self.value_of = value_of
        self._names_of = names_of

    def names(self, binding: Binding) -> Sequence[str]:
        """Return the names that a control steps through; none for numbers and switches."""
        allowed = binding.allowed
        return (allowed.names if allowed is not None else ()) or self._names_of(binding.name)

    def number(self, binding: Binding) -> float:
        """Return the number a control stands at; the middle where it is left to the style."""
        stands: Any = self.value_of(binding.name)
        low, high = ends(binding)
        return float(stands) if isinstance(stands, int | float) else (low + high) / 2

    def of(self, binding: Binding) -> float | None:
        """Return where a control stands between the ends of its knob, 0 to 1; None for nowhere."""
        names = self.names(binding)
        if names:
            stands = str(self.value_of(binding.name))
            if stands not in names:
                return None
            return (names.index(stands) + 0.5) / len(names)
        low, high = ends(binding)
        if low == high:
            return None
        share = max(0.0, min(1.0, (self.number(binding) - low) / (high - low)))
        return float(share ** (1 / binding.curve))

    def level(self, binding: Binding, most: int) -> int | None:
        """Return where a control stands, from 0 to ``most``: what is shown; None for nowhere."""
        stands = self.value_of(binding.name)
        if binding.value is not None:
            return most if as_given(stands) == _taken(binding) else 0
        if isinstance(stands, bool):
            return most if stands else 0
        position = self.of(binding)
        return None if position is None else round(position * most)

    def stands_at(self, binding: Binding, level: int, most: int) -> bool:
        """Tell whether a number stands where ``level`` of ``most`` means: moving it there is none.

        What is shown is rounded, so a knob that is there already must not round its control.
        """
        stands: Any = self.value_of(binding.name)
        if isinstance(stands, bool) or not isinstance(stands, int | float):
            return False
        low, high = sorted(ends(binding))
        return low <= stands <= high and self.level(binding, most) == level

    def value_at(self, binding: Binding, position: float) -> object:
        """Return the value that a knob at ``position`` means."""
        names = self.names(binding)
        if names:
            return names[min(len(names) - 1, int(position * len(names)))]
        if binding.allowed is not None and bool in binding.allowed.kinds:
            return position >= 0.5
        low, high = ends(binding)
        value = low + (high - low) * position**binding.curve
        return round(value) if is_whole(binding) else round(value, 4)


def ends(binding: Binding) -> tuple[float, float]:
    """Return the values at both ends of a knob."""
    allowed = binding.allowed
    low = allowed.low if allowed is not None and allowed.low is not None else 0.0
    high = allowed.high if allowed is not None and allowed.high is not None else 1.0
    return (
        low if binding.low is None else binding.low,
        high if binding.high is None else binding.high,
    )


def is_whole(binding: Binding) -> bool:
    """Tell whether a control takes whole numbers only."""
    return binding.allowed is not None and binding.allowed.whole


def as_given(value: object) -> object:
    """Return a value as it may be given: names as text, and the word for the style's own."""
    if value is None:
        return "style"
    return str(value) if isinstance(value, StrEnum) else value


def _taken(binding: Binding) -> object:
    return as_given(binding.allowed.take(binding.value)) if binding.allowed is not None else None
