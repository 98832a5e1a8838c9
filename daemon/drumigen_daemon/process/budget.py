"""How much of a core a part of the control plane may take while a flood lasts.  Sans I/O."""

from typing import Final

BURST_SECONDS: Final = 0.04
"""Seconds of work that are done at once, whatever they are: a bar, a switch and a scene."""
SHARE: Final = 0.5
"""Of a core, that may be taken for long."""


class Budget:
    """A bucket that work empties and time fills: who works little never waits."""

    def __init__(self) -> None:
        """Have done nothing."""
        self._spent = 0.0
        self._at = 0.0

    def worked(self, begun: float, now: float) -> None:
        """Take note of work that lasted from ``begun`` to ``now``."""
        self._spent = max(0.0, self._spent - SHARE * max(0.0, begun - self._at)) + now - begun
        self._at = now

    def wait(self, now: float) -> float:
        """Return the seconds until there is something to spend again; 0 for now."""
        spent = self._spent - SHARE * max(0.0, now - self._at)
        return max(0.0, (spent - BURST_SECONDS) / SHARE)
