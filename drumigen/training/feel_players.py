"""Who plays when feel is measured: drumigen, and what it is held against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from drumigen.bank.bank import load_bank
from drumigen.feel.drift import uniform
from drumigen.feel.feel import Dynamics
from drumigen.feel.humanize import humanize
from drumigen.pattern import Bar, Hit
from drumigen.styles import Style
from drumigen.timeline import Meter
from drumigen.training.takes import Take
from drumigen.units import TICKS_PER_BEAT, Bpm

PLAYERS: Final = ("drumigen", "on a plain grid", "uniform jitter", "quantised")
"""Bars of the source with feel; the same made plain first; and what they are held against."""

_FOUR: Final = Meter()

BarsOf = Callable[[Style, int, int], Sequence[Bar]]
"""Style, seed, count -> consecutive bars in 4/4."""


def from_bank(style: Style, seed: int, count: int) -> list[Bar]:
    """Return the first ``count`` bars of the walk of ``seed`` through the style's bar bank."""
    bank = load_bank(style.bank)
    return [bank.bar(number, seed, _FOUR) for number in range(count)]


def plain(bar: Bar) -> Bar:
    """Return the bar on its written grid."""
    return replace(bar, hits=tuple(replace(hit, offset=0) for hit in bar.hits))


def jittered(bar: Bar, style: str, tempo: Bpm, seed: int, number: int) -> Bar:
    """Return the bar as "humanize" is often built: uniform noise on a grid, a note at a time.

    With the figures of the batch program that drumigen's idea comes from: milliseconds either
    way, velocity 90 and a share of it either way, kept from going before the bar line.
    """
    spread_ms, share = _JITTER.get(style, (10.0, 0.10))
    ticks = spread_ms * tempo * TICKS_PER_BEAT / 60_000
    hits = []
    for index, hit in enumerate(bar.hits):
        late = (2 * uniform(seed, number, index, 1) - 1) * ticks
        level = 90 * (1 + share * (2 * uniform(seed, number, index, 2) - 1))
        offset = max(-int(hit.tick), round(late))
        hits.append(Hit(hit.tick, hit.voice, max(1, min(127, round(level))), offset))
    return replace(bar, hits=tuple(hits))


_JITTER: Final = {"j_dilla": (20.0, 0.15), "metro_boomin": (5.0, 0.08), "questlove": (12.0, 0.20)}


@dataclass(frozen=True, slots=True)
class Performance:
    """Bars as played, and as the style's template alone would have them."""

    take: Take
    template: tuple[Bar, ...]


def played_by(
    style: Style, player: str, seed: int, source: Sequence[Bar], number: int
) -> Performance:
    """Return ``source`` as ``player`` plays it at the middle of the style's tempi."""
    tempo = Bpm(sum(style.tempo) / 2)
    rigid = replace(style.feel, keep=0.0, residual_ms=0.0, spread_ms=0.0, dynamics=Dynamics())
    template = []
    bars = []
    for index, bar in enumerate(source):
        before = plain(bar) if player != PLAYERS[0] else bar
        template.append(humanize(plain(bar), rigid, seed, index, tempo=tempo))
        match player:
            case "uniform jitter":
                bars.append(jittered(before, style.name, tempo, seed, index))
            case "quantised":
                bars.append(before)
            case _:
                bars.append(humanize(before, style.feel, seed, index, tempo=tempo))
    take = Take(f"{style.name}/{player}/{number}", style.name, "", tempo, tuple(bars))
    return Performance(take, tuple(template))
