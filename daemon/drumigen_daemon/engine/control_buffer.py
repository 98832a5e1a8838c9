"""Control messages on their way to the control plane: floods are coalesced, and bounded.  Sans I/O.

However much comes, a delivery holds :data:`PIECE` messages at most, and while it goes on and on
there are :data:`1 / FLOOD_PERIOD` of them a second: each may have to be planned for.
"""

import math
from collections.abc import Iterator
from typing import Final

from drumigen.midi.status import CONTROL_CHANGE, NOTE_OFF, NOTE_ON, POLY_PRESSURE, PROGRAM_CHANGE
from drumigen.units import Seconds
from drumigen_daemon.engine.messages import ControlInput

BUFFER_PERIOD: Final = 0.005
"""Seconds between two deliveries..."""
FLOOD_PERIOD: Final = 0.02
"""...and while they follow on one another without a pause..."""
FLOOD_AFTER: Final = 10
"""...for so many of them."""
PIECE: Final = 32
"""Most messages in one delivery; the rest is delivered next."""
NOTES_MAX: Final = 256
"""Notes that wait: every one may be a press, so they are not coalesced, but bounded."""
EARLIER: Final = 32
"""Values of a control that are kept besides its last; more in one delivery are nobody's."""

_NOTES: Final = (NOTE_OFF, NOTE_ON, POLY_PRESSURE)
_ADDRESSES: Final = {99: (False, 7), 98: (False, 0), 101: (True, 7), 100: (True, 0)}
"""CCs that say which parameter is meant: whether it is a registered one, and which bits."""
_DATA_ENTRY: Final = (6, 38, 96, 97)

_Key = tuple[str, bytes | int, tuple[bool, int] | None]


class ControlBuffer:
    """Holds control messages until they are due."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[_Key, ControlInput] = {}
        self._addresses: dict[tuple[str, int], tuple[bool, int]] = {}
        self._told: dict[tuple[str, int], tuple[bool, int]] = {}
        self._notes = 0
        self._serial = 0
        self._last = -math.inf
        self._streak = 0
        self.due = math.inf
        """When the next delivery is due; infinity for none."""
        self.coalesced = 0
        """Messages that gave way to later ones, or were too many."""

    def put(self, source: str, message: bytes, at: Seconds) -> None:
        """Keep a message: of one control's values the last, in the place of the first."""
        kind, channel = message[0] & 0xF0, (source, message[0] & 0x0F)
        address = None
        if kind == CONTROL_CHANGE and message[1] in _ADDRESSES:
            self._take_address(channel, message)
            return
        if kind in _NOTES:
            if self._notes >= NOTES_MAX:
                self.coalesced += 1
                return
            self._notes += 1
            self._serial += 1
            key: _Key = (source, self._serial, None)
        else:
            if kind == CONTROL_CHANGE and message[1] in _DATA_ENTRY:
                address = self._addresses.get(channel)
            key = (
                source,
                message[:2] if kind in (CONTROL_CHANGE, PROGRAM_CHANGE) else message[:1],
                address,
            )
        # of several programs the one that was chosen last has to come last
        before = self._held.pop(key, None) if kind == PROGRAM_CHANGE else self._held.get(key)
        earlier: tuple[int, ...] = ()
        if before is not None:
            self.coalesced += 1
            if kind == CONTROL_CHANGE:
                earlier = (*before.earlier, before.data[2])[-EARLIER:]
        self._held[key] = ControlInput(source, tuple(message), at, earlier)
        self.due = min(self.due, max(at, self._last + self._period))

    def take(self) -> list[ControlInput]:
        """Return what is to be delivered now."""
        now = self.due
        # who goes on for long is waited for longer
        self._streak = self._streak + 1 if now - self._last <= 2 * self._period else 0
        self._last = now
        reports: list[ControlInput] = []
        for key in list(self._held)[:PIECE]:
            heard = self._held.pop(key)
            self._notes -= heard.data[0] & 0xF0 in _NOTES
            reports += self._addressed(heard, key[2])
            reports.append(heard)
        self.due = now + self._period if self._held else math.inf
        return reports

    @property
    def _period(self) -> float:
        return FLOOD_PERIOD if self._streak >= FLOOD_AFTER else BUFFER_PERIOD

    def _take_address(self, channel: tuple[str, int], message: bytes) -> None:
        """Follow which parameter is meant; it is told with the next data entry."""
        registered, shift = _ADDRESSES[message[1]]
        before, number = self._addresses.get(channel, (registered, 0x3FFF))
        if before is not registered:
            number = 0x3FFF
        number = number & ~(0x7F << shift) | message[2] << shift
        self._addresses[channel] = (registered, number)
        self._told.pop(channel, None)

    def _addressed(
        self, heard: ControlInput, address: tuple[bool, int] | None
    ) -> Iterator[ControlInput]:
        """Yield what says which parameter a data entry is for, if that was not said last."""
        channel = (heard.source, heard.data[0] & 0x0F)
        if address is None or self._told.get(channel) == address:
            return
        self._told[channel] = address
        registered, number = address
        status, first = heard.data[0], 101 if registered else 99
        for cc, value in ((first, number >> 7), (first - 1, number & 0x7F)):
            yield ControlInput(heard.source, (status, cc, value), heard.at)
