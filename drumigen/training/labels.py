"""What is said of each bar of a take, so that the network learns what a control means."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Final

from drumigen.fills import fills_among
from drumigen.kit import Voice
from drumigen.model.conditions import SECTION_NAMES, Conditions, density_of
from drumigen.model.vocabulary import LIKENESS_LAGS
from drumigen.pattern import Bar
from drumigen.timekeeping import (
    ALIKE,
    CYMBALS,
    SAME,
    Keeper,
    busyness,
    keeper_of,
    keeps_time,
    likeness,
)
from drumigen.training.takes import Take
from drumigen.units import TICKS_PER_BEAT, ms_per_tick

_OPEN: Final = frozenset((Voice.RIDE, Voice.RIDE_BELL, Voice.CRASH, Voice.OPEN_HAT))
_CLOSED: Final = frozenset((Voice.CLOSED_HAT, Voice.PEDAL_HAT))
FORM_BARS: Final = 12
"""A shorter take has no form."""
EDGE_BARS: Final = 2
BREAK_SHARE: Final = 0.6
GROOVE_SHARE: Final = 0.6
"""Part of a take's bars that keep time, for it to be a groove: in others nobody is asked to."""
OWN_SHARE: Final = 0.5
"""Part of a take's bars that snare or toms keep time in, for them to be who keeps it there."""


def conditions_of(take: Take, drummers: Sequence[str] = ()) -> tuple[Conditions, ...]:
    """Return what holds for each bar of ``take``."""
    fills = fills_of(take)
    sections = sections_of(take)
    parts = parts_of(take)
    likenesses = likenesses_of(take)
    lean = lean_of(take)
    drummer = drummers.index(take.drummer) if take.drummer in drummers else None
    return tuple(
        Conditions(
            styles=((take.style, 1.0),),
            tempo=take.tempo,
            meter=bar.meter,
            density=density_of(bar),
            intensity=intensity_of(bar),
            fill=fills[number],
            section=sections[number],
            phrase=number,
            lean=lean,
            drummer=drummer,
            part=parts[number],
            keeper=keeper_of(bar),
            busy=busyness(bar),
            likeness=likenesses[number],
        )
        for number, bar in enumerate(take.bars)
    )


def parts_of(take: Take) -> tuple[str | None, ...]:
    """Return for each bar whether it is groove, fill or solo; None for what is none of them.

    A groove's bar keeps time, on cymbals or on what the take keeps it on.  A bar that does not is
    a solo's in a take that mostly keeps none (a solo, a tom study), else a break or an end.
    """
    if take.fill:
        return ("fill",) * len(take.bars)
    fills = fills_of(take)
    keepers = keepers_of(take)
    grooves = [keeps_time(bar, keepers) for bar in take.bars]
    keeps = sum(grooves) >= GROOVE_SHARE * len(grooves)
    return tuple(
        "fill" if fill else "groove" if groove else None if keeps else "solo"
        for fill, groove in zip(fills, grooves, strict=True)
    )


def keepers_of(take: Take) -> tuple[Keeper, ...]:
    """Return on what ``take`` keeps time: cymbals, and snare or toms where they do mostly."""
    counts = Counter(keeper_of(bar) for bar in take.bars)
    own = (Keeper.SNARE, Keeper.TOM)
    least = OWN_SHARE * len(take.bars)
    return (*CYMBALS, *(keeper for keeper in own if counts[keeper] >= least))


def likenesses_of(take: Take) -> tuple[int, ...]:
    """Return for each bar which of the last eight it is most like, as conditions say it.

    Of several equally like ones the nearest counts.
    """
    found = []
    for number, bar in enumerate(take.bars):
        lags = range(1, min(LIKENESS_LAGS, number) + 1)
        alike = {lag: likeness(bar, take.bars[number - lag]) for lag in lags}
        lag = max(lags, key=lambda lag: (alike[lag], -lag), default=0)
        most = alike.get(lag, 0.0)
        found.append(lag if most > SAME else -lag if most >= ALIKE else 0)
    return tuple(found)


def intensity_of(bar: Bar) -> float | None:
    """Return the mean velocity of ``bar``, or None if it is empty."""
    return statistics.fmean(hit.velocity for hit in bar.hits) if bar.hits else None


def lean_of(take: Take) -> float | None:
    """Return the mean offset in ms of the hits on quarters, or None if there are fewer than 8."""
    near = TICKS_PER_BEAT // 8
    offsets = [
        (hit.sounding_tick + near) % TICKS_PER_BEAT - near
        for bar in take.bars
        for hit in bar.hits
        if (hit.sounding_tick + near) % TICKS_PER_BEAT <= 2 * near
    ]
    if len(offsets) < 8:
        return None
    return statistics.fmean(offsets) * ms_per_tick(take.tempo)


def fills_of(take: Take) -> tuple[bool, ...]:
    """Return for each bar whether it is a fill: more toms, or a busier snare at its end."""
    if take.fill:
        return tuple(len(bar.hits) >= 4 for bar in take.bars)
    return fills_among(take.bars)


def sections_of(take: Take) -> tuple[str | None, ...]:
    """Return for each bar the part of the form it is in; None where a take is too short for one.

    The edges of a take are intro and ending; bars with little in them a break; otherwise B where
    ride, crash and open hat keep the time, A where the closed hat does.
    """
    count = len(take.bars)
    if take.fill or count < FORM_BARS:
        return (None,) * count
    usual = statistics.median(len(bar.hits) for bar in take.bars)
    return tuple(_section(bar, number, count, usual) for number, bar in enumerate(take.bars))


def _section(bar: Bar, number: int, count: int, usual: float) -> str:
    intro, a, b, rest, ending = SECTION_NAMES
    if number < EDGE_BARS:
        return intro
    if number >= count - EDGE_BARS:
        return ending
    if len(bar.hits) < BREAK_SHARE * usual:
        return rest
    voices = Counter(hit.voice for hit in bar.hits)
    opened = sum(voices[voice] for voice in _OPEN)
    return b if opened > sum(voices[voice] for voice in _CLOSED) else a
