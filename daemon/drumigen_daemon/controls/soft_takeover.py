"""Soft takeover: a knob moves its control only once it has come to where the control stands.

Sans I/O.  So a control that was moved by somebody else, or by a scene, does not jump.
"""

from dataclasses import dataclass
from typing import Final

from drumigen_daemon.controls.binding import Binding
from drumigen_daemon.controls.positions import Positions

CAUGHT: Final = 2.5 / 127
"""How near a knob must come to where its control stands, to take it over."""


@dataclass(slots=True)
class Knob:
    """Where one knob was last, from 0 to 1, and whether it has its control."""

    position: float | None = None
    caught: bool = False

    def takes_over(self, binding: Binding, positions: Positions, position: float) -> bool:
        """Tell whether the knob, now at ``position``, moves the control of ``binding``."""
        stands = positions.of(binding)
        if stands is None:
            return True
        was = self.position
        if self.caught and was is not None and _stands_where_put(binding, positions, was):
            return True
        crossed = was is not None and (was - stands) * (position - stands) <= 0
        self.caught = crossed or abs(position - stands) <= CAUGHT
        return self.caught


def _stands_where_put(binding: Binding, positions: Positions, position: float) -> bool:
    """Whether nobody else has moved a control since its knob was at ``position``."""
    if binding.allowed is None:
        return False
    put = binding.allowed.take(positions.value_at(binding, position))
    return put == positions.value_of(binding.name)
