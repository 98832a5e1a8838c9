"""The drum sets that a General MIDI instrument has, by the numbers of Roland's GS.

Program changes on channel 10; GM Level 2 has the same sets under the same numbers (MMA RP-024).
"""

from enum import StrEnum


class DrumSound(StrEnum):
    """A set of drum sounds; an instrument that lacks it plays its standard one."""

    STANDARD = "standard"
    ROOM = "room"
    POWER = "power"
    ELECTRONIC = "electronic"
    TR_808 = "tr-808"
    JAZZ = "jazz"
    BRUSH = "brush"

    @property
    def program(self) -> int:
        """The program change as on the wire, 0 to 127; GS's lists count from 1."""
        return _PROGRAMS[self]


_PROGRAMS = {
    DrumSound.STANDARD: 0,
    DrumSound.ROOM: 8,
    DrumSound.POWER: 16,
    DrumSound.ELECTRONIC: 24,
    DrumSound.TR_808: 25,
    DrumSound.JAZZ: 32,
    DrumSound.BRUSH: 40,
}
