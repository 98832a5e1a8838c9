"""What generation needs of a network, whatever it runs on.

In the shapes B are rows, C is the width of the network, E the number of events, H the width of the
two heads that say velocity and offset (:attr:`~drumigen.model.network.ModelConfig.detail_width`).
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from drumigen.model.tokens import BinnedNote
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, VELOCITIES

Floats = NDArray[np.float32]

LINE: Final = BinnedNote(BAR_LINE, VELOCITIES, OFFSETS)
"""The step that opens a bar."""


class RowCache(Protocol):
    """The keys and values of what one row of a batch has seen so far."""

    def copied(self) -> Self:
        """Return a cache that goes on from here by itself."""


class Stepper(Protocol):
    """A network that takes one step per hit; a cache is only given back to whom it came from."""

    def cache(self) -> RowCache:
        """Return the cache of a row that has seen nothing."""

    def condition_embedding(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what condition bins and shares of styles add to the steps of a bar.

        It is (COUNT_MAX, C), by the number of hits in the bar before a step.
        """

    def read(
        self,
        caches: Sequence[Any],
        notes: Sequence[BinnedNote],
        times: Sequence[float],
        conditions: Floats,
    ) -> Floats:
        """Take one step in each row and return its hidden state, (B, C).

        ``times`` are sixteenths from the row's first bar line, ``conditions`` (B, C) are from
        :meth:`condition_embedding`.  One row may come several times, its steps in order and side
        by side.

        Raises:
            DeviceFullError: there is no room on the device.
        """

    def events(self, hidden: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, (B, E), and what :meth:`velocities` needs, (B, 2 H)."""

    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs, (B, H)."""

    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
