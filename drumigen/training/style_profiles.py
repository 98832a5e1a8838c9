"""How each style is usually played, as far as its network cannot know it by itself.

A free performance begins by choosing somebody to be: how dense, how loud, how early, which
drummer.  These are drawn together from the takes of the style, so that they fit one another.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from drumigen.model.conditions import density_of
from drumigen.model.network import ModelConfig
from drumigen.model.persona import HUMAN_LAGS
from drumigen.model.vocabulary import PHRASE_BARS
from drumigen.timekeeping import Keeper, busyness, has_backbeat, keeper_of, keeps_time
from drumigen.training.labels import (
    EDGE_BARS,
    GROOVE_SHARE,
    fills_of,
    intensity_of,
    keepers_of,
    lean_of,
    likenesses_of,
)
from drumigen.training.takes import Take

PERSONAS_MAX: Final = 192
"""For each style, spread over its takes."""
PERSONA_BARS: Final = 8
WEIGHT_MAX: Final = 64
"""Bars: longer takes would outweigh the others."""
QUANTILES: Final = 20


def profile_of(takes: Sequence[Take], config: ModelConfig) -> dict[str, Any]:
    """Return, by style, its personas, how density varies from bar to bar, and where fills are.

    What each means is said in :mod:`drumigen.model.persona`.
    """
    by_style: defaultdict[str, list[Take]] = defaultdict(list)
    for take in takes:
        whole = len(take.bars) >= PERSONA_BARS and not take.fill
        if take.split == "train" and whole and take.style in config.styles:
            by_style[take.style].append(take)
    return {style: _style(found, config) for style, found in sorted(by_style.items())}


def _style(takes: Sequence[Take], config: ModelConfig) -> dict[str, Any]:
    chosen = takes[:: -(-len(takes) // PERSONAS_MAX)]
    fills: list[list[bool]] = [[] for _ in range(PHRASE_BARS)]
    for take in takes:
        for number, fill in enumerate(fills_of(take)):
            fills[number % PHRASE_BARS].append(fill)
    return {
        "personas": [_persona(take, config) for take in chosen],
        "spread": _spread(takes),
        "fills": [round(statistics.fmean(place), 3) if place else 0.0 for place in fills],
        "lags": _lags(takes),
    }


def _lags(takes: Sequence[Take]) -> list[float]:
    """Return how often a bar that comes back is the one 1, 2 ... 8 bars ago.

    As in all of the takes of a style; beside it 20 such bars as all styles have them.
    """
    counts = [20 * lag for lag in HUMAN_LAGS]
    for take in takes:
        for likeness in likenesses_of(take):
            if likeness > 0:
                counts[likeness - 1] += 1
    total = sum(counts)
    return [round(count / total, 4) for count in counts]


def _spread(takes: Sequence[Take]) -> list[float]:
    """Return quantiles of a bar's log density about its take's, fills and edges left out."""
    shifts = []
    for take in takes:
        usual = statistics.median(density_of(bar) for bar in take.bars)
        fills = fills_of(take)
        inner = range(EDGE_BARS, len(take.bars) - EDGE_BARS)
        dense = [density_of(take.bars[n]) for n in inner if not fills[n] and take.bars[n].hits]
        shifts += [math.log(density / usual) for density in dense if usual]
    if len(shifts) < QUANTILES:
        return [0.0]
    cuts = statistics.quantiles(shifts, n=QUANTILES, method="inclusive")
    return [round(cut, 3) for cut in (min(shifts), *cuts, max(shifts))]


def _persona(take: Take, config: ModelConfig) -> list[float | int | str | None]:
    full = [bar for bar in take.bars if bar.hits]
    density = statistics.median(density_of(bar) for bar in full)
    levels = [level for bar in full if (level := intensity_of(bar)) is not None]
    lean = lean_of(take)
    drummer = config.drummers.index(take.drummer) if take.drummer in config.drummers else None
    return [
        round(density, 2),
        round(statistics.fmean(levels), 1),
        None if lean is None else round(lean, 1),
        drummer,
        min(WEIGHT_MAX, len(take.bars)),
        *_groove(take),
    ]


def _groove(take: Take) -> tuple[bool, str, float, float, float, float]:
    """Return whether it is one, who keeps time, how busy, how much comes back, and backbeats."""
    keepers = keepers_of(take)
    bars = take.bars[1:-1]
    count = len(bars)
    grooves = sum(keeps_time(bar, keepers) for bar in bars) >= GROOVE_SHARE * count
    usual = Counter(keeper for bar in bars if (keeper := keeper_of(bar)) is not Keeper.NONE)
    alike = likenesses_of(take)[1:-1]
    return (
        grooves,
        str(usual.most_common(1)[0][0]) if grooves and usual else "",
        round(statistics.median(map(busyness, bars)), 2),
        round(sum(one > 0 for one in alike) / count, 3),
        round(sum(one < 0 for one in alike) / count, 3),
        round(sum(map(has_backbeat, bars)) / count, 3),
    )
