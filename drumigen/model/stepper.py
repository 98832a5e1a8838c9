"""What generation needs of a network, whatever it runs on."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from drumigen.model.tokens import Note

Floats = NDArray[np.float32]


class Remembering(Protocol):
    """What one row of a batch has seen so far."""

    def copied(self) -> Self:
        """Return a memory that goes on from here by itself."""


class Stepper(Protocol):
    """A network that takes one step per hit; a memory is only given back to whom it came from."""

    def memory(self) -> Remembering:
        """Return the memory of a row that has seen nothing."""

    def told(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what condition bins and shares of styles add to the steps of a bar.

        It is [COUNT_MAX, W], by the number of hits in the bar before a step.
        """

    def read(
        self,
        memories: Sequence[Any],
        notes: Sequence[Note],
        times: Sequence[float],
        told: Floats,
    ) -> Floats:
        """Take one step in each row and return what is known after it, [R, W].

        ``times`` are sixteenths from the row's first bar line, ``told`` [R, W] is from
        :meth:`told`.  One row may come several times, its steps in order and side by side.

        Raises:
            DeviceFullError: there is no room on the device.
        """

    def events(self, known: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, [R, E], and what :meth:`velocities` needs."""

    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""

    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
