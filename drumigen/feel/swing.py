"""Swing as a warp of time, and the swing that a bar has by itself."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from drumigen.feel.feel import SwingUnit
from drumigen.fitting import felt_beat
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.units import TICKS_PER_BEAT

OWN_LATE_MAX: Final = 0.5
"""Largest swing that a bar is found to have: the second note half its length late, 75 percent."""

_EVIDENCE: Final = {SwingUnit.EIGHTH: 1, SwingUnit.SIXTEENTH: 2}
"""So many written triplets of the form long-short make a bar a swung one, and no triplet roll."""


HAND: Final = dict.fromkeys(
    (Voice.CLOSED_HAT, Voice.OPEN_HAT, Voice.RIDE, Voice.RIDE_BELL), Voice.CLOSED_HAT
)
"""Hats and ride are one hand, which keeps the time."""


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

    A pair of notes written long-short, as a triplet, is one swung at 66.7 percent: where nothing
    else of the triplet sounds, or on eighths where hats or ride leave out its middle, which then
    is half of the long note.  Of sixteenths, a bar needs two such pairs.
    """
    pair = 2 * unit.ticks
    last = bar.meter.ticks // pair * pair
    swingable = not (unit is SwingUnit.EIGHTH and felt_beat(bar.meter) != TICKS_PER_BEAT)
    all_of: defaultdict[int, set[int]] = defaultdict(set)
    hand_of: defaultdict[int, set[int]] = defaultdict(set)
    for hit in bar.hits:
        index, local = divmod(hit.tick, pair)
        all_of[index].add(local)
        if hit.voice in HAND:
            hand_of[index].add(local)
    swung = {
        index
        for index, local in all_of.items()
        if _is_long_short(local, hand_of[index], unit) and index * pair < last
    }
    if unit is SwingUnit.SIXTEENTH:
        # in a beat of eighth triplets the second is on a pair's last third, the third on a first
        swung -= {index for index in swung if pair // 3 in all_of[index ^ 1]}
    if len(swung) < _EVIDENCE[unit] or not swingable:
        swung = set()
    third = pair // 3
    rolled = {
        index
        for index, local in all_of.items()
        if index not in swung and any(_is_triplet(tick, third) for tick in local)
    }
    written_as = {2 * third: unit.ticks, third: unit.ticks // 2}
    placed = []
    for hit in bar.hits:
        index, local = divmod(hit.tick, pair)
        tick = index * pair + (written_as.get(local, local) if index in swung else local)
        swings = swingable and hit.tick < last and index not in rolled
        placed.append(Placed(hit, tick, hit.offset + hit.tick - tick, swings))
    return placed


def _is_long_short(everyone: set[int], hand: set[int], unit: SwingUnit) -> bool:
    """Tell whether a pair of notes, by where hits are written in it, is one swung at 66.7."""
    third = unit.ticks * 2 // 3
    if 2 * third not in everyone or everyone & {third // 2, unit.ticks, third * 5 // 2}:
        return False
    if third not in everyone:
        return True
    led = unit is SwingUnit.EIGHTH and 2 * third in hand and third not in hand
    return led and unit.ticks // 2 not in everyone


def _is_triplet(local: int, third: int) -> bool:
    return local % (third // 2) == 0 and local % (third * 3 // 2) != 0


def own_lateness(placed: Sequence[Placed], unit: SwingUnit) -> Callable[[Placed], float]:
    """Return by how many ticks a hit of a bar is late because the bar swings by itself.

    The swing is how much later than the first notes around them the second notes of the pairs
    are, on average; a voice without second notes is taken to swing as the others do.  Hats and
    ride are one hand, which may go from one to the other within a pair.  Where triplets are
    written, it is the last of them that may lean.
    """
    pair = 2 * unit.ticks
    last_third = pair // 3 * 2
    firsts: defaultdict[Voice, dict[int, float]] = defaultdict(dict)
    seconds: defaultdict[tuple[Voice, bool], list[tuple[int, float]]] = defaultdict(list)
    for place in placed:
        start, local = place.tick // pair * pair, place.tick % pair
        voice = HAND.get(place.hit.voice, place.hit.voice)
        if local == 0:
            firsts[voice][start] = place.offset
        elif local == (unit.ticks if place.swings else last_third):
            seconds[voice, place.swings].append((start, place.offset))
    anywhere = fmean([offset for row in firsts.values() for offset in row.values()] or [0.0])
    late: dict[tuple[Voice, bool], float] = {}
    usual = {True: 0.0, False: 0.0}
    for (voice, swings), row in seconds.items():
        on = firsts.get(voice, {})
        mean = fmean(on.values()) if on else anywhere
        gaps = [offset - _around(on, start, pair, mean) for start, offset in row]
        late[voice, swings] = fmean(gaps)
        share = len(row) / sum(len(r) for (_, s), r in seconds.items() if s is swings)
        usual[swings] += share * late[voice, swings]

    def lateness(place: Placed) -> float:
        knee = unit.ticks if place.swings else last_third
        local = place.tick % pair
        share = local / knee if local <= knee else (pair - local) / (pair - knee)
        voice = HAND.get(place.hit.voice, place.hit.voice)
        most = late.get((voice, place.swings), usual[place.swings])
        return max(-OWN_LATE_MAX * knee, min(OWN_LATE_MAX * knee, most)) * share

    return lateness


def _around(on: Mapping[int, float], start: int, pair: int, otherwise: float) -> float:
    """Return the offset of the first notes before and after a second one, of those there are."""
    here = [on[tick] for tick in (start, start + pair) if tick in on]
    return sum(here) / len(here) if here else otherwise
