"""What an arranger does to a bar by rule: sections, half time, builds, stutters, more and less.

All of it is pure and at once: it serves the moment until bars come that were written so.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from drumigen.fitting import felt_beat
from drumigen.kit import SNARES, TIMEKEEPERS, Voice
from drumigen.pattern import Bar, Hit, louder, repaired
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick
from drumigen.variation import GHOST_LOOSE_MAX

NEUTRAL: Final = 50
"""Density and intensity where none is set."""


class Section(StrEnum):
    """The part of the song that a bar belongs to."""

    NONE = "none"
    INTRO = "intro"
    A = "a"
    B = "b"
    BREAK = "break"
    ENDING = "ending"
    SOLO = "solo"


@dataclass(frozen=True, slots=True)
class SectionRow:
    """What a section is made of: what is added to density and intensity, who plays, on what."""

    density: int = 0
    intensity: int = 0
    silent: frozenset[Voice] = frozenset()
    moved: Mapping[Voice, Voice] | None = None
    """Voices that another one plays: the ride takes over the hat's part."""


SECTION_ROWS: Final[Mapping[Section, SectionRow]] = {
    Section.NONE: SectionRow(),
    Section.INTRO: SectionRow(-20, -15, SNARES),
    Section.A: SectionRow(),
    Section.B: SectionRow(15, 15, moved={Voice.CLOSED_HAT: Voice.RIDE}),
    Section.BREAK: SectionRow(-40, -20, SNARES | {Voice.CRASH}),
    Section.ENDING: SectionRow(),
    Section.SOLO: SectionRow(),
}
"""By rule, for every style; the fill and the last stroke of an ending are the planner's."""


def in_section(bar: Bar, section: Section) -> Bar:
    """Return ``bar`` as it is played in ``section``; density and intensity are for the writer."""
    row = SECTION_ROWS[section]
    if not row.silent and not row.moved:
        return bar
    moved = row.moved or {}
    hits = (
        replace(hit, voice=moved.get(hit.voice, hit.voice))
        for hit in bar.hits
        if hit.voice not in row.silent
    )
    return repaired(replace(bar, hits=tuple(hits)))


def only(bar: Bar, voices: Iterable[Voice]) -> Bar:
    """Return ``bar`` with nothing but ``voices``."""
    kept = frozenset(voices)
    return replace(bar, hits=tuple(hit for hit in bar.hits if hit.voice in kept))


def count_in(meter: Meter) -> Bar:
    """Return a bar of sticks on every felt beat, the first accented."""
    beat = felt_beat(meter)
    ticks = range(0, meter.ticks, beat)
    return Bar(meter, tuple(Hit(Tick(t), Voice.SIDE_STICK, 90 if t else 112) for t in ticks))


def last_stroke(meter: Meter) -> Bar:
    """Return the bar after the last: kick and crash on the one, and nothing more."""
    return Bar(meter, (Hit(Tick(0), Voice.KICK, 118), Hit(Tick(0), Voice.CRASH, 118)))


def half_time(bar: Bar, *, second: bool) -> Bar:
    """Return ``bar`` felt at half the tempo: who keeps time goes on, the pattern takes twice.

    Two bars make one: the first (or the ``second``) half of the pattern is stretched over the
    whole bar, so that backbeats on two and four of a bar of four become one on three.
    """
    half = bar.meter.ticks // 2
    begin = half if second else 0
    stretched = (
        replace(hit, tick=Tick(2 * (hit.tick - begin)))
        for hit in bar.hits
        if hit.voice not in TIMEKEEPERS and begin <= hit.tick < begin + half
    )
    kept = (hit for hit in bar.hits if hit.voice in TIMEKEEPERS)
    return repaired(replace(bar, hits=(*kept, *stretched)))


def stuttered(bar: Bar, piece: Iterable[Hit], length: int, begin: int) -> Bar:
    """Return ``bar`` up to tick ``begin``, and from there ``piece`` again every ``length`` ticks.

    The ticks of ``piece`` count from its own beginning.  ``begin`` may lie before the bar line:
    then the piece began in an earlier bar and goes on without a break.
    """
    piece = tuple(piece)
    hits = [hit for hit in bar.hits if hit.tick < begin]
    for start in range(begin, bar.meter.ticks, length):
        within = (hit for hit in piece if 0 <= start + hit.tick < bar.meter.ticks)
        hits += [replace(hit, tick=Tick(start + hit.tick)) for hit in within]
    return replace(bar, hits=tuple(hits))


def built_up(bar: Bar, begin: float, end: float) -> Bar:
    """Return ``bar`` as a piece of a build that goes from 0 to 1, from ``begin`` to ``end`` of it.

    A snare roll grows over the pulse: eighths, from half-way sixteenths, in the last eighth
    32nds; it swells from 40 to 120, and in the last quarter the kick holds its breath.
    """
    kept = [
        hit
        for hit in bar.hits
        if hit.voice in TIMEKEEPERS or (hit.voice is Voice.KICK and _reached(bar, hit, begin, end))
    ]
    ticks, tick = bar.meter.ticks, 0
    roll = []
    while tick < ticks:
        progress = begin + (end - begin) * tick / ticks
        roll.append(Hit(Tick(tick), Voice.SNARE, round(40 + 80 * progress)))
        tick += _roll_step(progress)
    return repaired(replace(bar, hits=(*kept, *roll)))


def _reached(bar: Bar, hit: Hit, begin: float, end: float) -> bool:
    return begin + (end - begin) * hit.tick / bar.meter.ticks < 0.75


def _roll_step(progress: float) -> int:
    if progress >= 0.875:
        return TICKS_PER_SIXTEENTH // 2
    return TICKS_PER_SIXTEENTH if progress >= 0.5 else TICKS_PER_BEAT // 2


def adapted(bar: Bar, density: int, intensity: int, seed: int) -> Bar:
    """Return ``bar`` made busier and louder by so many points of a hundred; negative is less.

    Less drops off-beats and soft hits first, and at -100 all but the kick on one and the
    backbeats; more adds ghost notes and soft timekeeping on free sixteenths, at 100 on all of
    them.  Loudness moves each velocity by up to half.
    """
    if density < 0:
        bar = _thinned(bar, -density / 100)
    elif density > 0:
        bar = _thickened(bar, density / 100, seed)
    return louder(bar, 1 + intensity / 200) if intensity else bar


def _thinned(bar: Bar, share: float) -> Bar:
    loose = [hit for hit in bar.hits if not _carries(hit)]
    random.Random(len(loose)).shuffle(loose)  # noqa: S311 - which of equals goes first
    loose.sort(key=lambda hit: (hit.tick % TICKS_PER_BEAT == 0, hit.velocity))
    gone = set(loose[: round(share * len(loose))])
    return replace(bar, hits=tuple(hit for hit in bar.hits if hit not in gone))


def _carries(hit: Hit) -> bool:
    return (hit.voice is Voice.KICK and hit.tick == 0) or (
        hit.voice in SNARES and hit.velocity > GHOST_LOOSE_MAX
    )


def _thickened(bar: Bar, share: float, seed: int) -> Bar:
    rng = random.Random(seed)  # noqa: S311 - music
    pulse = [hit for hit in bar.hits if hit.voice in TIMEKEEPERS]
    keeper = max(pulse, key=lambda hit: (hit.voice is not Voice.OPEN_HAT, -hit.tick), default=None)
    softest = min((hit.velocity for hit in pulse), default=40)
    added = []
    for tick in range(TICKS_PER_SIXTEENTH, bar.meter.ticks, TICKS_PER_SIXTEENTH):
        near = [h for h in bar.hits if abs(h.tick - tick) < TICKS_PER_SIXTEENTH // 2]
        wanted = rng.random() < share
        if not wanted or tick % TICKS_PER_BEAT == 0:
            continue
        offset = near[0].offset if near else 0
        if keeper is not None and not any(h.voice in TIMEKEEPERS for h in near):
            added.append(Hit(Tick(tick), keeper.voice, max(1, softest - 6), offset))
        elif not near or all(h.voice in TIMEKEEPERS for h in near):
            added.append(Hit(Tick(tick), Voice.SNARE, rng.randint(18, 36), offset))
    return repaired(replace(bar, hits=(*bar.hits, *added)))
