"""Human bars as material for a producer: their hits kept where they fit, their feel left behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drumigen.bank.grammars.chance import GRAMMAR_METER, GRAMMAR_STEPS, Chance, playable
from drumigen.kit import VOICES, Voice
from drumigen.pattern import Bar, Hit
from drumigen.training.takes import Take
from drumigen.units import TICKS_PER_SIXTEENTH, Tick

STYLES: Final = ("hiphop", "funk", "soul")
HUMAN_TEMPI: Final = (65.0, 130.0)
"""Nearest human styles and tempi, in BPM; slower or faster ones have other figures."""

LENGTH_MIN, LENGTH_MAX = 8, 32
_BACKBEAT = (4, 12)
_ACCENT = 68
_GHOSTS_MAX = 4
_GHOST_STEPS = (7, 9, 15, 13)
_KICKS = range(2, 7)

DrumParts = Mapping[Voice, Mapping[int, int]]
"""Velocity by sixteenth, for kick, snare, closed and open hat."""


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive bars of one human take that keep the backbeat on two and four."""

    split: str
    bars: tuple[DrumParts, ...]


def usable_windows(takes: Sequence[Take]) -> Iterator[Window]:
    """Yield what can be used of ``takes``: 8 to 32 bars each, no bar twice.

    A bar that keeps no backbeat (a fill, a break) is passed over: its neighbours meet.
    """
    for take in takes:
        low, high = HUMAN_TEMPI
        if take.fill or take.style not in STYLES or not low <= take.tempo <= high:
            continue
        kept = [parts for bar in take.bars if (parts := _drum_parts(bar)) and _has_groove(parts)]
        for start in range(0, len(kept), LENGTH_MAX):
            part = tuple(kept[start : start + LENGTH_MAX])
            if len(part) >= LENGTH_MIN:
                yield Window(take.split, part)


def _drum_parts(bar: Bar) -> DrumParts | None:
    """Return the bar on sixteenths, the louder of two hits at one place; None if not in 4/4."""
    if bar.meter != GRAMMAR_METER:
        return None
    parts: dict[Voice, dict[int, int]] = {
        voice: {} for voice in (Voice.KICK, Voice.SNARE, Voice.CLOSED_HAT, Voice.OPEN_HAT)
    }
    for hit in bar.hits:
        step = round(hit.tick / TICKS_PER_SIXTEENTH)
        voice = VOICES[hit.voice].class_of_nine
        if hit.voice is Voice.PEDAL_HAT or step >= GRAMMAR_STEPS:
            continue
        part = parts.get(Voice.CLOSED_HAT if voice is Voice.RIDE else voice)
        if part is not None:
            part[step] = max(hit.velocity, part.get(step, 0))
    return parts


def _has_groove(parts: DrumParts) -> bool:
    snare = parts[Voice.SNARE]
    accents = {step for step, velocity in snare.items() if velocity >= _ACCENT}
    hats = parts[Voice.CLOSED_HAT].keys() | parts[Voice.OPEN_HAT].keys()
    return (
        accents >= {*_BACKBEAT}
        and len(accents) <= 4
        and len(parts[Voice.KICK]) in _KICKS
        and len(hats) >= 4
        and len(parts[Voice.OPEN_HAT]) <= 3
    )


def as_questlove(chance: Chance, window: Window) -> list[Bar]:
    """Return the bars with one to four ghosts, a loud backbeat, and hats dry but for few."""
    return [_as_questlove(chance, parts) for parts in window.bars]


def _as_questlove(chance: Chance, parts: DrumParts) -> Bar:
    snare = parts[Voice.SNARE]
    rest = sorted((step for step in snare if step not in _BACKBEAT), key=lambda s: (-snare[s], s))
    ghosts = rest[:_GHOSTS_MAX] or [chance.rng.choice(_GHOST_STEPS)]
    hits = [_hit(step, Voice.SNARE, chance.drawn(110, 122)) for step in _BACKBEAT]
    hits += [_hit(step, Voice.SNARE, chance.drawn(18, 36)) for step in ghosts]
    opened = [step for step in sorted(parts[Voice.OPEN_HAT]) if chance.happens(0.3)][:1]
    hats = {**parts[Voice.OPEN_HAT], **parts[Voice.CLOSED_HAT]}
    hits += [_hit(step, Voice.OPEN_HAT, 84) for step in opened]
    hits += [
        _hit(step, Voice.CLOSED_HAT, (88, 48, 68, 48)[step % 4])
        for step in sorted(hats)
        if step not in opened
    ]
    hits += [_hit(step, Voice.KICK, 106 if step % 8 == 0 else 95) for step in parts[Voice.KICK]]
    return playable(hits)


def as_dilla(chance: Chance, window: Window) -> list[Bar]:
    """Return kick and hats with no ghost on the snare; soft kicks are ghosts, some kicks move.

    A kick that moves does so by one sixteenth, and in every bar of the window that has it.
    """
    moves = {step: chance.rng.choice((-1, 1)) for step in (2, 6, 8, 10, 14) if chance.happens(0.4)}
    added = [step for step in (3, 5, 9, 11, 13) if chance.happens(0.3)]
    return [_as_dilla(chance, parts, moves, added) for parts in window.bars]


def _as_dilla(
    chance: Chance, parts: DrumParts, moves: Mapping[int, int], added: Sequence[int]
) -> Bar:
    kicks = {step + moves.get(step, 0): velocity for step, velocity in parts[Voice.KICK].items()}
    loud = max(kicks.values())
    hits = [_hit(step, Voice.SNARE, 116) for step in _BACKBEAT]
    for step, velocity in kicks.items():
        level = 46 if velocity < 0.4 * loud else 112 if step == 0 else 99
        hits.append(_hit(step, Voice.KICK, level))
    hits += [
        _hit(step, Voice.KICK, 46) for step in added if step not in kicks and chance.happens(0.6)
    ]
    opened = parts[Voice.OPEN_HAT]
    hits += [_hit(step, Voice.OPEN_HAT, 82) for step in [*opened][:1]]
    hits += [
        _hit(step, Voice.CLOSED_HAT, (72, 58, 66, 58)[step % 4])
        for step in {**parts[Voice.CLOSED_HAT], **opened}
    ]
    return playable(hits)


def _hit(step: int, voice: Voice, velocity: int) -> Hit:
    return Hit(Tick(step * TICKS_PER_SIXTEENTH), voice, velocity)


@dataclass(frozen=True, slots=True)
class HumanMaterial:
    """How much of a producer's corpus is of human takes, and how it is made his own."""

    share: float
    adapted: Callable[[Chance, Window], list[Bar]]


HUMAN_MATERIAL: Final[Mapping[str, HumanMaterial]] = {
    "j_dilla": HumanMaterial(0.2, as_dilla),
    "questlove": HumanMaterial(0.25, as_questlove),
}
"""There are no human takes near enough to Metro Boomin: his is all grammar."""
