"""What a network on a device is asked for: whole bars, so that nothing comes back before they end.

A decoder that draws on the device where it computes (:mod:`drumigen.model.torch_decoder`) is given
everything a bar depends on at once, as :class:`Draft`, and returns its notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from drumigen.model.demands import Owed
from drumigen.model.sampling import Sampling
from drumigen.model.tokens import BinnedNote


class Told(NamedTuple):
    """What a bar is played under: bins of its conditions, and shares of the styles."""

    conditions: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class UnreadBar:
    """A bar of a context that has not been read yet: ``start`` is its first sixteenth."""

    notes: Sequence[BinnedNote]
    start: int
    told: Told


@dataclass(frozen=True, slots=True)
class Draft:
    """A bar to be written.

    Attributes:
        cache: what its context left, from :meth:`BarDecoder.read`.
        start: sixteenths from the context's first bar line to its own.
        sixteenths: its length.
        most: hits that it may have.
        told: what it is played under.
        chances: (most + 1, 3) numbers from 0 up to 1: event, velocity and offset of each hit.
        sampling: how events and offsets are drawn; velocities by its ``of_velocity``.
        events: what is struck, if that is given; empty if it is drawn.
        owed: what has to be struck, before anything of it is; None for nothing.
        kept: whether its cache is wanted.
    """

    cache: Any
    start: int
    sixteenths: int
    most: int
    told: Told
    chances: NDArray[np.float64]
    sampling: Sampling
    events: tuple[int, ...] = ()
    owed: Owed | None = None
    kept: bool = True


class Drawn(NamedTuple):
    """The notes of a bar, and the cache of its context and itself, for bars that continue it.

    The cache is None where it was not wanted.
    """

    notes: list[BinnedNote]
    cache: Any


class BarDecoder(Protocol):
    """A network that writes whole bars; a cache is only given back to whom it came from."""

    def cache(self) -> Any:  # noqa: ANN401 - its own
        """Return the cache of a row that has seen nothing."""

    def read(self, pasts: Sequence[tuple[Any, Sequence[UnreadBar]]]) -> list[Any]:
        """Return the caches of rows that have seen more bars, each from the cache it has.

        Raises:
            DeviceError: the device failed.
        """

    def write(self, drafts: Sequence[Draft]) -> list[Drawn]:
        """Return the notes of each draft.

        Raises:
            DeviceError: the device failed.
            ModelError: the network's output is no number.
        """
