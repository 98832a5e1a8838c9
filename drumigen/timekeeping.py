"""What makes a bar a groove: who keeps time in it, its backbeat, and how alike two bars are.

All of it looks at what sounds: a hit is at the sixteenth it sounds nearest to, on one of the nine
classes of the Groove MIDI Dataset's reduced map.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from math import ceil
from statistics import median
from typing import Final

from drumigen.fitting import felt_beat
from drumigen.kit import VOICES, Limb, Voice
from drumigen.pattern import Bar, Hit, repaired
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick
from drumigen.variation import GHOST_LOOSE_MAX

EIGHTHS_SHARE: Final = 0.75
"""Part of a bar's eighths that who keeps time strikes: 6 of 8 in 4/4.  Or all felt beats."""
SAME: Final = 0.9
"""Likeness above which a bar is another one again."""
ALIKE: Final = 0.7
"""Likeness from which a bar is a version of another."""


class Keeper(StrEnum):
    """What keeps time in a bar."""

    HAT = "hat"
    RIDE = "ride"
    CRASH = "crash"
    SNARE = "snare"
    TOM = "tom"
    NONE = "none"


CYMBALS: Final = (Keeper.HAT, Keeper.RIDE, Keeper.CRASH)

_KEEPER_OF: Final[Mapping[Voice, Keeper]] = {
    Voice.CLOSED_HAT: Keeper.HAT,
    Voice.OPEN_HAT: Keeper.HAT,
    Voice.RIDE: Keeper.RIDE,
    Voice.CRASH: Keeper.CRASH,
    Voice.SNARE: Keeper.SNARE,
    Voice.LOW_TOM: Keeper.TOM,
    Voice.MID_TOM: Keeper.TOM,
    Voice.HIGH_TOM: Keeper.TOM,
}

_FOUR: Final = Meter()


def classes_of(keepers: Collection[Keeper]) -> frozenset[Voice]:
    """Return the classes that ``keepers`` strike."""
    return frozenset(voice for voice, keeper in _KEEPER_OF.items() if keeper in keepers)


Cells = frozenset[tuple[int, Voice]]
"""Which sixteenth of a bar is struck on which class."""


@lru_cache(4096)
def cells(bar: Bar) -> Cells:
    """Return what is struck in ``bar``; a hit that sounds outside it counts at its edge."""
    last = bar.meter.sixteenths - 1
    half = TICKS_PER_SIXTEENTH // 2
    return frozenset(
        (
            max(0, min(last, (hit.sounding_tick + half) // TICKS_PER_SIXTEENTH)),
            VOICES[hit.voice].class_of_nine,
        )
        for hit in bar.hits
    )


def likeness(one: Bar, two: Bar) -> float:
    """Return the Jaccard index (0-1) of what two bars strike; 1 for two empty ones."""
    first, second = cells(one), cells(two)
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def keeper_of(bar: Bar) -> Keeper:
    """Return what keeps time in ``bar``.

    Cymbals count together, and the one struck most is named; without them it may be the snare,
    or the toms.
    """
    struck = cells(bar)
    if _keeps(struck, bar.meter, CYMBALS):
        counts = {keeper: len(_steps(struck, (keeper,))) for keeper in CYMBALS}
        return max(CYMBALS, key=counts.__getitem__)
    for keeper in (Keeper.SNARE, Keeper.TOM):
        if _keeps(struck, bar.meter, (keeper,)):
            return keeper
    return Keeper.NONE


def keeps_time(
    bar: Bar,
    keepers: Collection[Keeper] = CYMBALS,
    *,
    within: int = TICKS_PER_SIXTEENTH // 2,
    swung: bool = False,
) -> bool:
    """Tell whether ``keepers`` together strike three quarters of the eighths, or all felt beats.

    ``within`` is how far off, in ticks, a stroke may sound: all that is nearest to it; or less for
    a bar that is yet to get its feel, of which only what is written there counts.  Where
    eighths are to be ``swung`` only beats count.
    """
    if 2 * within >= TICKS_PER_SIXTEENTH:
        return _keeps(cells(bar), bar.meter, keepers, swung=swung)
    near = frozenset(
        (hit.tick // TICKS_PER_SIXTEENTH, VOICES[hit.voice].class_of_nine)
        for hit in bar.hits
        if hit.tick % TICKS_PER_SIXTEENTH == 0 and abs(hit.offset) <= within
    )
    return _keeps(near, bar.meter, keepers, swung=swung)


def _steps(struck: Cells, keepers: Collection[Keeper]) -> set[int]:
    return {step for step, voice in struck if _KEEPER_OF.get(voice) in keepers}


def _keeps(
    struck: Cells, meter: Meter, keepers: Collection[Keeper], *, swung: bool = False
) -> bool:
    steps = _steps(struck, keepers)
    eighths = range(0, meter.sixteenths, 2)
    beats = range(0, meter.sixteenths, felt_beat(meter) // TICKS_PER_SIXTEENTH)
    enough = sum(step in steps for step in eighths) >= ceil(EIGHTHS_SHARE * len(eighths))
    return (enough and not swung) or all(step in steps for step in beats)


def beat_groups(meter: Meter) -> tuple[int, ...]:
    """Return how many felt units each group of ``meter`` has: 3 2 for 5/4, 2 2 3 for 7/4 and 7/8.

    Units are quarters in quarter metres, beats in compound ones, else the metre's own note; a
    three begins a five, as most of what is counted in it does, and ends a seven.
    """
    if meter.denominator <= 4:
        count = meter.numerator
    elif felt_beat(meter) != TICKS_PER_BEAT and meter.ticks % felt_beat(meter) == 0:
        return (2,) * (meter.ticks // felt_beat(meter) // 2) or (1,)
    else:
        count = meter.numerator
    if count <= 4:
        return {1: (1,), 2: (2,), 3: (3,), 4: (2, 2)}[count]
    if count % 2 == 0:
        return (2,) * (count // 2)
    return (3, *(2,) * (count // 2 - 1)) if count == 5 else (*(2,) * (count // 2 - 1), 3)


def backbeats_of(meter: Meter) -> tuple[int, ...]:
    """Return the sixteenths that the backbeat of ``meter`` falls on.

    In metres of quarters and compound ones that is the second unit of each group: 2 and 4 of 4/4,
    2 and 5 of 5/4.  Where eighths or sixteenths are counted groups are beats, and it is every
    other one: the second group of 2+2+3.
    """
    groups = beat_groups(meter)
    starts = [sum(groups[:number]) for number in range(len(groups))]
    compound = felt_beat(meter) != TICKS_PER_BEAT and meter.ticks % felt_beat(meter) == 0
    if meter.denominator <= 4 or compound:
        unit = felt_beat(meter) if compound else 4 * TICKS_PER_BEAT // meter.denominator
        places = [start + 1 for start, group in zip(starts, groups, strict=True) if group > 1]
    else:
        unit = 4 * TICKS_PER_BEAT // meter.denominator
        places = starts[1::2]
    return tuple(place * unit // TICKS_PER_SIXTEENTH for place in places)


def has_backbeat(bar: Bar) -> bool:
    """Tell whether a snare, stick or clap that is no ghost strikes all backbeats of ``bar``.

    In 4/4 the third beat alone will do: half time.
    """
    struck = {
        (hit.sounding_tick + TICKS_PER_SIXTEENTH // 2) // TICKS_PER_SIXTEENTH
        for hit in bar.hits
        if VOICES[hit.voice].class_of_nine is Voice.SNARE and hit.velocity > GHOST_LOOSE_MAX
    }
    return struck.issuperset(backbeats_of(bar.meter)) or (bar.meter == _FOUR and 8 in struck)


def amended(bar: Bar, keepers: Collection[Keeper], *, backbeat: bool, swung: bool = False) -> Bar:
    """Return ``bar`` with the strokes that it lacks to keep time on one of ``keepers``.

    What is struck on the keeper already gives level and timing; strokes are added on eighths.
    With ``backbeat`` the snare strikes the backbeats too.  A last resort: nobody wrote it so.
    """
    hits = list(bar.hits)
    if not keeps_time(bar, keepers, swung=swung):
        own = {v: k for v, k in _KEEPER_OF.items() if k in keepers}
        counts = [sum(VOICES[hit.voice].class_of_nine is v for hit in hits) for v in own]
        voice = list(own)[counts.index(max(counts))]
        if voice is Voice.OPEN_HAT:
            voice = Voice.CLOSED_HAT
        levels = [hit.velocity for hit in hits if _KEEPER_OF.get(hit.voice) in keepers]
        level = round(median(levels)) if levels else 70
        struck = _steps(cells(bar), keepers)
        for step in range(0, bar.meter.sixteenths, 2):
            if step not in struck:
                accent = 6 if step % 4 == 0 else -8
                velocity = max(1, min(118, level + accent))
                tick = Tick(step * TICKS_PER_SIXTEENTH)
                hits = [*_one_hand_free(hits, tick), Hit(tick, voice, velocity)]
    if backbeat and not has_backbeat(bar):
        for step in backbeats_of(bar.meter):
            tick = Tick(step * TICKS_PER_SIXTEENTH)
            hits = [h for h in hits if not (h.tick == tick and h.voice is Voice.SNARE)]
            hits.append(Hit(tick, Voice.SNARE, 100))
    return repaired(replace(bar, hits=tuple(hits)))


def _one_hand_free(hits: Sequence[Hit], tick: Tick) -> list[Hit]:
    """Return the hits with at most one hand busy at ``tick``: a snare's before any other."""
    hands = [h for h in hits if h.tick == tick and VOICES[h.voice].limb is Limb.HAND]
    hands.sort(key=lambda hit: (hit.voice is not Voice.SNARE, -hit.velocity))
    return [hit for hit in hits if hit not in hands[1:]]


def busyness(bar: Bar) -> float:
    """Return the strokes a quarter note that are on no cymbal: what is played beside the time."""
    drums = sum(_KEEPER_OF.get(VOICES[hit.voice].class_of_nine) not in CYMBALS for hit in bar.hits)
    return drums * TICKS_PER_BEAT / bar.meter.ticks
