"""What a checkpoint says of styles that no catalogue knows: how fast they are, and their feel."""

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

from drumigen.feel.groove import extract
from drumigen.training.takes import Take
from drumigen.units import TEMPO_MAX, TEMPO_MIN

TEMPO_NEAR: Final = 0.15
"""Share by which a take's tempo may differ from the usual one and still tell of the feel."""
FEEL_BARS_MAX: Final = 512
"""Bars that a feel is taken from."""


def style_notes(takes: Sequence[Take], known: Collection[str]) -> dict[str, Any]:
    """Return for each style of ``takes`` that is not ``known`` its tempo and its feel.

    They are as :func:`drumigen.model.learnt_styles.learnt_styles` reads them: what a network
    learns of a style is its bars, and swing is what a feel takes out of bars and gives back.
    """
    by_style: defaultdict[str, list[Take]] = defaultdict(list)
    for take in takes:
        if take.split == "train" and take.style not in known and any(b.hits for b in take.bars):
            by_style[take.style].append(take)
    return {style: _described(found) for style, found in sorted(by_style.items())}


def _described(takes: Sequence[Take]) -> dict[str, Any]:
    tempi = [take.tempo for take in takes]
    usual = statistics.median_low(tempi)
    near = [take for take in takes if abs(take.tempo - usual) <= TEMPO_NEAR * usual]
    bars = [bar for take in near for bar in take.bars][:FEEL_BARS_MAX]
    feel = extract(bars, usual)
    return {
        "tempo": [
            max(TEMPO_MIN, float(math.floor(min(tempi)))),
            min(TEMPO_MAX, float(math.ceil(max(tempi)))),
        ],
        "feel": {
            "swing": feel.swing,
            "swing_unit": str(feel.swing_unit),
            "swing_shares": {str(voice): share for voice, share in feel.swing_shares.items()},
            "push_ms": {str(voice): push for voice, push in feel.push_ms.items()},
            # the rest is in the bars that the network writes
            "residual_ms": 0.0,
            "spread_ms": 0.0,
        },
    }
