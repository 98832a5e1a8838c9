"""Which parameter a data entry is for: NRPN and RPN (MIDI 1.0).  Sans I/O."""

from dataclasses import dataclass
from typing import Final

from drumigen.units import Seconds

DATA_ENTRY: Final = (6, 38)
"""CCs of a parameter's value, coarse and fine."""
STEPS: Final = {96: 1, 97: -1}
"""CCs that move a parameter by one."""
FRESH_SECONDS: Final = 1.0
"""Seconds after which CC 6 and 38 may be knobs again, for who binds them as such."""
_NULL: Final = 0x3FFF


@dataclass(slots=True)
class _Address:
    high: int = 0x7F
    low: int = 0x7F
    registered: bool = False
    at: Seconds = Seconds(0.0)


class Parameters:
    """Follows the parameter addresses of every source and channel."""

    def __init__(self) -> None:
        """Begin with no address."""
        self._addresses: dict[tuple[str, int], _Address] = {}

    def take(self, source: str, data: tuple[int, ...], at: Seconds) -> None:
        """Take an address: CC 98 to 101."""
        address = self._addresses.setdefault((source, data[0] & 0x0F), _Address())
        number, value = data[1], data[2]
        registered = number >= 100
        if registered is not address.registered:
            address.registered, address.high, address.low = registered, 0x7F, 0x7F
        if number in (99, 101):
            address.high = value
        else:
            address.low = value
        address.at = at

    def entered(self, source: str, data: tuple[int, ...], at: Seconds) -> "Entry | None":
        """Return which parameter a CC is a data entry for; None if it is a CC like any other."""
        address = self._addresses.get((source, data[0] & 0x0F))
        if address is None or (data[1] not in DATA_ENTRY and data[1] not in STEPS):
            return None
        number = address.high << 7 | address.low
        if number == _NULL:
            return None
        fresh = at - address.at <= FRESH_SECONDS
        address.at = at
        return Entry(number, registered=address.registered, fresh=fresh)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a data entry is for."""

    number: int
    registered: bool
    """An RPN: pitch bend range and the like, which is no business of ours."""
    fresh: bool
    """Whether the address was told just before; otherwise it may be a knob like any other."""
