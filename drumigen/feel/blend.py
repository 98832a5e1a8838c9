"""Two styles blended: the feel that lies between theirs.

Their bars are blended by the network, which is told both styles (``generator.model_writer``).
"""

from collections.abc import Mapping
from dataclasses import replace

from drumigen.feel.feel import Feel, Ornaments
from drumigen.kit import Voice


def blended(one: Feel, two: Feel, share: float) -> Feel:
    """Return the feel ``share`` (0-1) of the way from ``one`` to ``two``.

    Numbers lie between the two; what is no number (model, swing unit, templates and levels
    of different lengths) is the nearer one's.
    """
    share = min(1.0, max(0.0, share))
    near = two if share > 0.5 else one

    def between(a: float, b: float) -> float:
        return a + (b - a) * share

    def maps(a: Mapping[Voice, float], b: Mapping[Voice, float], rest: float) -> dict[Voice, float]:
        return {v: between(a.get(v, rest), b.get(v, rest)) for v in dict.fromkeys((*a, *b))}

    dynamics = replace(
        near.dynamics,
        levels=_rows_between(one.dynamics.levels, two.dynamics.levels, share),
        pull=between(one.dynamics.pull, two.dynamics.pull),
        ghost=between(one.dynamics.ghost, two.dynamics.ghost),
        spread=between(one.dynamics.spread, two.dynamics.spread),
        variety=between(one.dynamics.variety, two.dynamics.variety),
    )
    names = ("ghosts", "flams", "drags", "rolls")
    wanted = {n: between(getattr(one.ornaments, n), getattr(two.ornaments, n)) for n in names}
    return replace(
        near,
        amount=between(one.amount, two.amount),
        swing=between(one.swing, two.swing),
        swing_spread=between(one.swing_spread, two.swing_spread),
        swing_shares=maps(one.swing_shares, two.swing_shares, 1.0),
        push_ms=maps(one.push_ms, two.push_ms, 0.0),
        push_spread_ms=between(one.push_spread_ms, two.push_spread_ms),
        wobble_ms=between(one.wobble_ms, two.wobble_ms),
        residual_ms=between(one.residual_ms, two.residual_ms),
        spread_ms=between(one.spread_ms, two.spread_ms),
        keep=between(one.keep, two.keep),
        dynamics=dynamics,
        ornaments=Ornaments(**wanted),
    )


def _rows_between(
    one: Mapping[Voice, tuple[float, ...]], two: Mapping[Voice, tuple[float, ...]], share: float
) -> dict[Voice, tuple[float, ...]]:
    near = two if share > 0.5 else one
    rows = dict(near)
    for voice, row in near.items():
        a, b = one.get(voice, row), two.get(voice, row)
        if len(a) == len(b):
            rows[voice] = tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))
    return rows
