"""A clock that begins to run without a Start: it may have been sent before we listened."""

from typing import Final

LOST_START_PULSES: Final = 24
"""Pulses without a Start after which it counts as lost, where that is the setting."""


class LostStart:
    """Counts the pulses of a clock that has begun, until there is no doubt any more."""

    def __init__(self) -> None:
        """Know of no clock."""
        self.first_pulse = 0
        """The number of the first pulse of the clock."""
        self._possible = True

    def begins(self, pulse: int) -> None:
        """Take note that a clock has begun with ``pulse``."""
        self.first_pulse = pulse
        self._possible = True

    def is_none(self) -> None:
        """Take note that the master has said what it does."""
        self._possible = False

    def is_certain_at(self, pulse: int) -> bool:
        """Tell once, at ``pulse``, that a Start must have been lost."""
        certain = self._possible and pulse - self.first_pulse >= LOST_START_PULSES
        self._possible = self._possible and not certain
        return certain
