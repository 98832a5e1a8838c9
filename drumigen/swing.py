"""Swing as a warp of time, and the swing that a bar has by itself."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from drumigen.feel import SWING_MIN, SwingUnit
from drumigen.fitting import felt_beat
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.units import TICKS_PER_BEAT

OWN_SHARE_MAX: Final = 0.5
"""Largest swing that a bar is found to have: the second note half its length late, 75 percent."""

_EVIDENCE: Final = 2
"""So many written triplets of the form long-short make a bar a swung one, and no triplet roll."""

_DOUBT: Final = 2.0
"""Weight of straight time against what n swung notes say, n squared: one alone may be an error."""

_VOICE_NOTES: Final = 3
"""So many swung notes of a voice tell its own swing; of fewer, that of all voices is taken."""


def warped(tick: float, percent: float, unit: int) -> float:
    """Return where ``tick`` (from the bar line) sounds at an MPC swing of ``percent``.

    Of every two notes of ``unit`` ticks the second comes at ``percent`` of both, and whatever
    lies between moves with it; where a pair begins nothing moves.  Rising in ``tick``.
    """
    pair, local = divmod(tick, 2 * unit)
    knee = 2 * unit * percent / 100
    if local <= unit:
        return pair * 2 * unit + local * knee / unit
    return pair * 2 * unit + knee + (local - unit) * (2 * unit - knee) / unit


@dataclass(frozen=True, slots=True)
class Placed:
    """A hit of a bar taken apart: its straight place, and how far off it that it was played.

    ``tick`` differs from the hit's where swing was written as triplets.  ``offset`` is in ticks
    from there.  ``swings`` says whether the pair of notes it belongs to can swing: not where
    triplets are written, in an incomplete pair before the bar line, or on eighths of 6/8.
    """

    hit: Hit
    tick: int
    offset: float
    swings: bool


def straight(bar: Bar, unit: SwingUnit) -> list[Placed]:
    """Return the hits of ``bar`` at their straight places, in its order.

    A long and a short note written as a triplet with a rest in it are two notes swung at 66.7
    percent, if the bar has at least two such pairs and nothing else of the triplet sounds there.
    """
    length = unit.ticks
    pair = 2 * length
    third = pair // 3
    last = bar.meter.ticks // pair * pair
    swingable = not (unit is SwingUnit.EIGHTH and felt_beat(bar.meter) != TICKS_PER_BEAT)
    found: defaultdict[int, set[int]] = defaultdict(set)
    for hit in bar.hits:
        found[hit.tick // pair].add(hit.tick % pair)
    early_third = {
        index * pair // TICKS_PER_BEAT for index, local in found.items() if third in local
    }
    fine = {third // 2, length, third * 5 // 2}
    long_short = {
        index
        for index, local in found.items()
        if 2 * third in local
        and not local & fine
        and index * pair // TICKS_PER_BEAT not in early_third
        and index * pair < last
    }
    if len(long_short) < _EVIDENCE or not swingable:
        long_short = set()
    rolled = {
        index
        for index, local in found.items()
        if index not in long_short and any(_is_triplet(tick, third) for tick in local)
    }
    placed = []
    for hit in bar.hits:
        index, local = divmod(hit.tick, pair)
        swings = swingable and hit.tick < last and index not in rolled
        tick = int(hit.tick)
        if index in long_short and local == 2 * third:
            tick = index * pair + length
        placed.append(Placed(hit, tick, hit.offset + hit.tick - tick, swings))
    return placed


def _is_triplet(local: int, third: int) -> bool:
    return local % (third // 2) == 0 and local % (third * 3 // 2) != 0


def own_swing(placed: Sequence[Placed], unit: SwingUnit) -> Callable[[Voice], float]:
    """Return the swing, in MPC percent by voice, that is in the offsets of a bar.

    It is how much later than the first notes of the pairs the second ones are, on average.  A
    voice with fewer than three of them is taken to swing as all do together; and the fewer there
    are, the less is believed.
    """
    length = unit.ticks
    first: list[float] = []
    seconds: defaultdict[Voice, list[float]] = defaultdict(list)
    firsts: defaultdict[Voice, list[float]] = defaultdict(list)
    for place in placed:
        local = place.tick % (2 * length)
        if place.swings and local == 0:
            first.append(place.offset)
            firsts[place.hit.voice].append(place.offset)
        elif place.swings and local == length:
            seconds[place.hit.voice].append(place.offset)
    everyone = _percent(first, [offset for row in seconds.values() for offset in row], length)
    by_voice = {
        voice: _percent(firsts[voice] or first, row, length)
        for voice, row in seconds.items()
        if len(row) >= _VOICE_NOTES
    }
    return lambda voice: by_voice.get(voice, everyone)


def _percent(first: Sequence[float], second: Sequence[float], length: int) -> float:
    if not second:
        return SWING_MIN
    count = len(second)
    late = fmean(second) - (fmean(first) if first else 0.0)
    share = late / length * count**2 / (count**2 + _DOUBT)
    return SWING_MIN * (1 + max(-OWN_SHARE_MAX, min(OWN_SHARE_MAX, share)))
