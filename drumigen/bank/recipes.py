"""Which takes of the Groove MIDI Dataset make the bank of each style."""

from collections.abc import Mapping
from dataclasses import dataclass

from drumigen.kit import Voice
from drumigen.units import TICKS_PER_BEAT

_EIGHTH = TICKS_PER_BEAT // 2
_BACKBEAT = (TICKS_PER_BEAT, 3 * TICKS_PER_BEAT)
_HALF_TIME = (2 * TICKS_PER_BEAT,)
_DOUBLE_TIME = tuple(range(_EIGHTH, 4 * TICKS_PER_BEAT, TICKS_PER_BEAT))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which takes make a bank: the dataset's styles, tempi, and what a bar must have.

    ``backbeats`` are the ticks of which one set has a snare of 60 or more through the phrase;
    ``toms`` is the most hits on toms in a bar; ``needs`` is struck three times in each.
    """

    styles: tuple[str, ...]
    tempo: tuple[int, int]
    backbeats: tuple[tuple[int, ...], ...] = (_BACKBEAT,)
    toms: int = 2
    needs: Voice | None = None


RECIPES: Mapping[str, Recipe] = {
    "rock": Recipe(("rock", "rock/indie", "rock/folk"), (80, 145)),
    "funk": Recipe(("funk", "funk/fast", "funk/rock", "funk/latin", "jazz/funk"), (80, 130)),
    "jazz": Recipe(("jazz", "jazz/swing", "jazz/mediumfast"), (100, 215), ((),), 3, Voice.RIDE),
    "hiphop": Recipe(("hiphop",), (67, 112)),
    "soul": Recipe(("soul", "soul/motown"), (90, 148)),
    "latin": Recipe(
        (
            "latin",
            "latin/bounce",
            "latin/brazilian",
            "latin/brazilian-baiao",
            "latin/brazilian-bossa",
            "latin/brazilian-samba",
            "latin/brazilian-songo",
            "latin/samba",
        ),
        (84, 130),
        ((),),
        16,
    ),
    "afrocuban": Recipe(
        ("afrocuban", "afrocuban/bembe", "afrocuban/rhumba", "afrocuban/calypso"),
        (105, 128),
        ((),),
        16,
    ),
    "afrobeat": Recipe(("afrobeat", "highlife"), (90, 126), ((),), 6),
    "punk": Recipe(("punk",), (120, 180), (_BACKBEAT, _DOUBLE_TIME)),
    "neworleans": Recipe(
        ("neworleans/funk", "neworleans/secondline", "neworleans/shuffle"), (80, 124), ((),), 6
    ),
    "reggae": Recipe(("reggae", "reggae/slow"), (60, 130), ((),)),
    "country": Recipe(("country",), (70, 130), (_BACKBEAT, _DOUBLE_TIME)),
    "pop": Recipe(("pop", "pop/soft"), (80, 145), (_BACKBEAT, _HALF_TIME)),
    "dance": Recipe(("dance/disco", "dance/breakbeat"), (110, 175)),
    "blues": Recipe(("blues/shuffle", "rock/shuffle"), (70, 135)),
}
