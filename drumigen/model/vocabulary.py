"""The vocabulary: every token by kind, and the bins that velocities and offsets fall in."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from drumigen.kit import Voice
from drumigen.units import TICKS_PER_SIXTEENTH

POSITIONS: Final = 32
"""Sixteenths that the longest bar holds."""
VOICE_ORDER: Final = tuple(Voice)
"""In which order voices at one position follow one another."""
EVENTS: Final = POSITIONS * len(VOICE_ORDER) + 1
BAR_LINE: Final = EVENTS - 1
"""The event that ends a bar; the others are ``position * len(VOICE_ORDER) + voice``."""

OFFSET_STEP: Final = 10
"""Ticks: 2.6 ms at 120 BPM."""
OFFSETS: Final = TICKS_PER_SIXTEENTH // OFFSET_STEP
OFFSET_ZERO: Final = OFFSETS // 2
"""The bin of a hit that sounds exactly on its sixteenth."""

VELOCITY_STEP: Final = 4
VELOCITIES: Final = 33
"""32 bins of 4 velocities, the last of them short by one, and 127 by itself: a tenth of the hits
in the Groove MIDI Dataset."""

PHRASE_BARS: Final = 8
LIKENESS_LAGS: Final = 8
"""Bars back that a bar can be told to be like."""

PAD, BOS, EOS = 0, 1, 2


class Range(NamedTuple):
    """Consecutive tokens of one kind: ``first`` to ``first + size - 1``."""

    first: int
    size: int

    def __contains__(self, token: object) -> bool:
        """Tell whether ``token`` is of this kind."""
        return isinstance(token, int) and self.first <= token < self.first + self.size


VOCABULARY: Final[Mapping[str, Range]] = {
    "PAD": Range(PAD, 1),
    "BOS": Range(BOS, 1),
    "EOS": Range(EOS, 1),
    "BAR": Range(10, 10),
    "POSITION": Range(20, POSITIONS),
    "NOTE_ON": Range(100, 100),
    "VELOCITY": Range(200, 128),
    "OFFSET": Range(400, OFFSETS),
    "STYLE": Range(500, 100),
    "TEMPO": Range(600, 24),
    "METER": Range(640, 2 * (POSITIONS + 1)),
    "DENSITY": Range(710, 20),
    "INTENSITY": Range(740, 13),
    "FILL": Range(760, 2),
    "SECTION": Range(770, 5),
    "PHRASE": Range(780, PHRASE_BARS),
    "LEAN": Range(790, 9),
    "DRUMMER": Range(800, 20),
    "PART": Range(830, 3),
    "KEEPER": Range(840, 6),
    "BUSY": Range(850, 10),
    "LIKENESS": Range(870, 2 * LIKENESS_LAGS + 1),
}
"""Every token, by kind.  PAD to VELOCITY are those of the batch prototype's format (BAR is the
bar's number modulo 10, NOTE_ON 100 + General MIDI key, VELOCITY 200 + velocity), so that its
streams decode; POSITION goes on to 32 sixteenths, and the rest is new."""

SIZE: Final = max(r.first + r.size for r in VOCABULARY.values())

ADDED_LATER: Final = ("part", "keeper", "busy", "likeness")
"""Conditions that checkpoints of before know nothing of; those are told nothing of them."""

STYLES_MAX: Final = VOCABULARY["STYLE"].size
