"""An e-kit's ceiling is spread, and nothing else is lost."""

import random

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.training.declipping import CEILING, KNEE, TAIL, declipped, fitted, laid_below
from drumigen.training.takes import Take
from drumigen.units import Bpm, Tick


def take(name: str = "one", bars: int = 12) -> Take:
    rng = random.Random(name)
    made = []
    for _ in range(bars):
        hits = tuple(
            Hit(Tick(480 * step), Voice.SNARE, max(1, min(127, round(rng.gauss(105, 30)))))
            for step in range(16)
        )
        made.append(Bar(Meter(), hits))
    return Take(name, "rock", "", Bpm(100.0), tuple(made))


def velocities(one: Take) -> list[int]:
    return [hit.velocity for bar in one.bars for hit in bar.hits]


def test_the_ceiling_is_spread_and_what_is_below_the_knee_stays() -> None:
    before = take()
    after = declipped([before], 1)[0]
    for old, new in zip(velocities(before), velocities(after), strict=True):
        if old < KNEE:
            assert new == old
        elif old < CEILING:
            assert KNEE <= new < TAIL
        else:
            assert TAIL <= new <= CEILING
    spread = [
        new
        for old, new in zip(velocities(before), velocities(after), strict=True)
        if old == CEILING
    ]
    assert len(set(spread)) >= 6
    assert spread.count(CEILING) <= 0.3 * len(spread)


def test_the_order_of_strokes_is_kept() -> None:
    laid = [laid_below(velocity) for velocity in range(1, CEILING)]
    assert laid == sorted(laid)
    assert max(laid) < TAIL


def test_the_same_seed_spreads_alike_and_another_otherwise() -> None:
    takes = [take("a"), take("b")]
    assert declipped(takes, 1) == declipped(takes, 1)
    assert declipped(takes, 1) != declipped(takes, 2)
    assert declipped(takes[:1], 1)[0] == declipped(takes, 1)[0]


def test_a_cut_distribution_is_found_again() -> None:
    rng = random.Random(5)
    drawn = [min(127, round(rng.gauss(110, 25))) for _ in range(4000)]
    levels = fitted(drawn)
    assert abs(levels.mean - 110) < 3
    assert abs(levels.sd - 25) < 3
