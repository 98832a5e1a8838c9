"""Laws of the producers' training corpora: in style, playable, varied, the same every time."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import pytest

from drumigen.bank.grammars import PERFORMERS
from drumigen.bank.grammars.human_timing import correlated
from drumigen.kit import VOICES, Voice
from drumigen.pattern import Bar, Hit, problems
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.training.producers import BARS_MAX, BARS_MIN, producer_takes
from drumigen.training.takes import Take
from drumigen.units import Bpm, Tick

pytestmark = pytest.mark.slow

STYLES = tuple(PERFORMERS)
FOUR = Meter()
BEAT, STEP = 1920, 480
HUMAN_TEMPO = 92.0

every_style = pytest.mark.parametrize("style", STYLES)


def human_take(name: str, style: str, split: str, *, fill: bool = False) -> Take:
    """Play as a funk drummer would, unevenly: backbeat, ghosts, a kick of its own, a fill."""
    rng = random.Random(name)
    bars = []
    for number in range(28):
        strokes = [(step, Voice.CLOSED_HAT, rng.randint(40, 100)) for step in range(0, 16, 2)]
        strokes += [(step, Voice.CLOSED_HAT, 40) for step in rng.sample(range(1, 16, 2), 3)]
        strokes += [(step, Voice.SNARE, rng.randint(90, 127)) for step in (4, 12)]
        strokes += [(rng.choice((7, 9, 15)), Voice.SNARE, 25), (0, Voice.KICK, 90)]
        strokes += [(step, Voice.KICK, 80) for step in rng.sample((3, 6, 8, 10, 11), 2)]
        if number % 8 == 7:
            strokes = [(step, Voice.HIGH_TOM, 100) for step in range(16)]
        placed = {(step, voice): velocity for step, voice, velocity in strokes}
        hits = [
            Hit(Tick(step * STEP), voice, velocity, rng.randint(-60, 60))
            for (step, voice), velocity in placed.items()
        ]
        bars.append(Bar(FOUR, tuple(hits)))
    return Take(name, style, "drummer1", Bpm(HUMAN_TEMPO), tuple(bars), split, fill)


HUMAN = (
    *(human_take(f"one/{number}", "funk", "train") for number in range(12)),
    human_take("two", "soul", "validation"),
    human_take("three", "hiphop", "test"),
    human_take("four", "jazz", "train"),
    human_take("five", "funk", "train", fill=True),
)


@cache
def corpus() -> tuple[Take, ...]:
    return tuple(producer_takes(HUMAN, 3, 1200))


@cache
def of_grammars() -> tuple[Take, ...]:
    """Without a human take to lend from."""
    return tuple(producer_takes((), 5, 2400))


def takes_of(style: str, *, meter: Meter | None = FOUR) -> list[Take]:
    takes = [take for take in corpus() if take.style == style]
    return [take for take in takes if meter in (None, take.bars[0].meter)]


def grooves(take: Take) -> list[Bar]:
    """Leave out where fills may be, at the end of each eight bars, and the bar after."""
    return [bar for number, bar in enumerate(take.bars) if number % 8 not in (7, 0)]


def milliseconds(take: Take, ticks: float) -> float:
    return ticks * 60_000 / (take.tempo * BEAT)


def snares(bar: Bar) -> Iterator[Hit]:
    return (hit for hit in bar.hits if VOICES[hit.voice].class_of_nine is Voice.SNARE)


def grid(bar: Bar) -> frozenset[tuple[int, Voice]]:
    return frozenset((round(h.tick / STEP), VOICES[h.voice].class_of_nine) for h in bar.hits)


def test_the_same_seed_gives_the_same_corpus_and_another_gives_another() -> None:
    once, again, another = (producer_takes(HUMAN, seed, 400) for seed in (3, 3, 4))
    assert once == again
    assert {take.bars for take in once}.isdisjoint(take.bars for take in another)


@every_style
def test_a_style_has_the_bars_asked_for_in_whole_takes(style: str) -> None:
    takes = takes_of(style, meter=None)
    assert 1200 <= sum(len(take.bars) for take in takes) < 1200 + BARS_MAX
    written = [len(take.bars) for take in takes if "/grammar/" in take.name]
    assert {*written} <= {*range(BARS_MIN, BARS_MAX + 1)}
    assert len({take.name for take in corpus()}) == len(corpus())


@every_style
def test_tempi_spread_over_the_range_of_the_style(style: str) -> None:
    low, high = load_styles().find(style).tempo
    tempos = [take.tempo for take in takes_of(style, meter=None)]
    assert low <= min(tempos)
    assert max(tempos) <= high
    assert max(tempos) - min(tempos) > 0.7 * (high - low)


@every_style
def test_every_bar_can_be_played_in_its_metre(style: str) -> None:
    takes = takes_of(style, meter=None)
    assert [found for take in takes for bar in take.bars for found in problems(bar)] == []
    assert all(len({bar.meter for bar in take.bars}) == 1 for take in takes)


def test_some_takes_are_in_odd_metres_and_most_in_four() -> None:
    meters = Counter(str(take.bars[0].meter) for take in of_grammars())
    assert {*meters} == {"4/4", "3/4", "5/4", "6/8", "7/8"}
    assert 0.03 < 1 - meters["4/4"] / meters.total() < 0.15


@every_style
def test_a_bar_is_seldom_heard_twice(style: str) -> None:
    bars = [grid(bar) for take in takes_of(style) for bar in take.bars]
    assert len(set(bars)) >= 0.6 * len(bars)
    elsewhere = {grid(bar) for take in producer_takes((), 4, 600) for bar in take.bars}
    written = [grid(bar) for t in takes_of(style) if "/grammar/" in t.name for bar in t.bars]
    assert sum(bar in elsewhere for bar in written) < 0.05 * len(written)


@every_style
def test_a_bar_is_like_the_bars_of_its_own_take(style: str) -> None:
    def alike(one: Bar, two: Bar) -> float:
        return len(grid(one) & grid(two)) / len(grid(one) | grid(two))

    takes = [take for take in takes_of(style) if "/grammar/" in take.name]
    within, between = [], []
    for take, other in pairwise(takes):
        within += [alike(one, two) for one, two in pairwise(take.bars)]
        between += [alike(one, two) for one, two in zip(take.bars, other.bars, strict=False)]
    assert statistics.mean(within) > statistics.mean(between) + 0.15


def test_metro_has_its_backbeat_on_three_alone() -> None:
    for take in takes_of("metro_boomin"):
        for bar in grooves(take):
            assert {hit.tick for hit in snares(bar)} == {2 * BEAT}


def test_metro_claps_on_three_in_other_metres_too_and_in_fills_of_hats() -> None:
    bars = 0
    for take in of_grammars():
        if take.style == "metro_boomin" and take.bars[0].meter in (Meter(3, 4), Meter(7, 8)):
            for bar in take.bars:
                if all(hit.velocity > 100 for hit in snares(bar)):
                    assert {hit.tick for hit in snares(bar)} == {2 * BEAT}
                    bars += 1
    assert bars >= BARS_MIN


def test_metro_rolls_in_32nds_and_triplets_in_nearly_every_bar() -> None:
    bars = [bar for take in takes_of("metro_boomin") for bar in grooves(take)]
    off = [{h.tick % STEP for h in bar.hits if h.voice is Voice.CLOSED_HAT} - {0} for bar in bars]
    assert sum(bool(ticks) for ticks in off) > 0.8 * len(bars)
    assert {240, 160, 320} <= set.union(*off)


def test_metro_has_sparse_kicks_and_keeps_the_grid_to_two_milliseconds() -> None:
    for take in takes_of("metro_boomin"):
        kicks = [sum(h.voice is Voice.KICK for h in bar.hits) for bar in grooves(take)]
        assert max(kicks) <= 5
        offsets = [milliseconds(take, h.offset) for bar in take.bars for h in bar.hits]
        assert statistics.pstdev(offsets) <= 2


@pytest.mark.parametrize("style", ["j_dilla", "questlove"])
def test_the_backbeat_is_on_two_and_four(style: str) -> None:
    for take in takes_of(style):
        for bar in grooves(take):
            loud = {hit.tick for hit in snares(bar) if hit.velocity > 80}
            assert loud == {BEAT, 3 * BEAT}


def test_dilla_has_ghosts_on_the_kick_and_none_on_the_snare() -> None:
    bars = [bar for take in takes_of("j_dilla") for bar in grooves(take)]
    assert [hit for bar in bars for hit in snares(bar) if hit.velocity < 80] == []
    ghosts = [h for bar in bars for h in bar.hits if h.voice is Voice.KICK and h.velocity < 60]
    assert 0.4 < len(ghosts) / len(bars) < 2.5


def test_dilla_has_an_early_snare_and_a_late_kick() -> None:
    for take in takes_of("j_dilla"):
        hits = [hit for bar in grooves(take) for hit in bar.hits]
        snare = [milliseconds(take, h.offset) for h in hits if h.voice in (Voice.SNARE, Voice.CLAP)]
        assert all(-34 <= ms <= -4 for ms in snare)
        kick = [
            milliseconds(take, h.offset)
            for h in hits
            if h.voice is Voice.KICK and not h.tick % (2 * STEP)
        ]
        assert all(-4 <= ms <= 31 for ms in kick)


def test_dilla_repeats_every_deviation_through_a_take() -> None:
    for take in takes_of("j_dilla"):
        places: dict[tuple[int, str, bool], list[float]] = {}
        for bar in grooves(take):
            for hit in bar.hits:
                key = hit.tick, hit.voice, hit.velocity > 80
                places.setdefault(key, []).append(milliseconds(take, hit.offset))
        spreads = [statistics.stdev(ms) for ms in places.values() if len(ms) >= 8]
        assert spreads
        assert max(spreads) <= 2


def test_dilla_swings_one_voice_more_than_the_other() -> None:
    for take in takes_of("j_dilla"):
        swung = {
            voice: [
                h.offset
                for bar in grooves(take)
                for h in bar.hits
                if h.voice is voice and h.tick % (2 * STEP) == STEP
            ]
            for voice in (Voice.KICK, Voice.CLOSED_HAT)
        }
        if all(len(offsets) >= 8 for offsets in swung.values()):
            assert max(statistics.median(offsets) for offsets in swung.values()) > 30


def test_questlove_whispers_one_to_three_ghosts_a_bar_beside_the_backbeat() -> None:
    bars = [bar for take in takes_of("questlove") for bar in grooves(take)]
    ghosts = [hit for bar in bars for hit in snares(bar) if hit.velocity < 60]
    assert 1.3 <= len(ghosts) / len(bars) <= 2.7
    assert statistics.quantiles([hit.velocity for hit in ghosts], n=20)[-1] <= 40
    places = Counter(hit.tick // STEP for hit in ghosts)
    assert {step for step, _ in places.most_common(3)} == {7, 9, 15}


def test_questlove_lays_a_loud_backbeat_behind_the_hats() -> None:
    for take in takes_of("questlove"):
        hats: list[float] = []
        late: list[float] = []
        for bar in grooves(take):
            for hit in bar.hits:
                if hit.tick % (2 * BEAT) == BEAT and hit.voice in (Voice.CLOSED_HAT, Voice.RIDE):
                    hats.append(milliseconds(take, hit.offset))
                elif hit.tick % (2 * BEAT) == BEAT and hit.voice in (Voice.SNARE, Voice.SIDE_STICK):
                    late.append(milliseconds(take, hit.offset))
        assert 7 <= statistics.mean(late) - statistics.mean(hats) <= 28


def test_questlove_has_a_human_residual() -> None:
    spreads = []
    for take in takes_of("questlove"):
        hats = [
            milliseconds(take, h.offset)
            for bar in grooves(take)
            for h in bar.hits
            if h.voice is Voice.CLOSED_HAT and not h.tick % BEAT
        ]
        spreads += [statistics.stdev(hats)] if len(hats) > 32 else []
    assert 5 <= statistics.median(spreads) <= 10


def test_the_human_residual_has_a_long_memory() -> None:
    exponents = [_dfa(correlated(random.Random(seed), 2048)[::4]) for seed in range(12)]
    assert 0.6 <= statistics.mean(exponents) <= 0.9


def _dfa(values: Sequence[float]) -> float:
    """Return the exponent of first-order detrended fluctuation analysis, windows 8 to N / 4."""
    mean = statistics.mean(values)
    profile = [0.0]
    for value in values:
        profile.append(profile[-1] + value - mean)
    points = []
    window = 8
    while window <= len(values) // 4:
        squares = []
        for start in range(0, len(profile) - window, window):
            part = profile[start : start + window]
            slope, intercept = statistics.linear_regression(range(window), part)
            squares += [(y - slope * x - intercept) ** 2 for x, y in enumerate(part)]
        points.append((math.log(window), math.log(statistics.mean(squares)) / 2))
        window *= 2
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def test_human_takes_lend_their_bars_to_dilla_and_questlove_alone() -> None:
    lent = Counter(take.style for take in corpus() if "/human/" in take.name)
    assert {*lent} == {"j_dilla", "questlove"}
    for style, share in (("j_dilla", 0.2), ("questlove", 0.25)):
        bars = sum(len(t.bars) for t in corpus() if t.style == style and "/human/" in t.name)
        assert 0.5 * share < bars / 1200 <= share


def test_what_a_human_lends_keeps_its_kick_line() -> None:
    lines = {
        frozenset(h.tick for h in bar.hits if h.voice is Voice.KICK)
        for take in HUMAN
        for bar in take.bars
    }
    borrowed = [take for take in takes_of("questlove") if "/human/" in take.name]
    assert borrowed
    for take in borrowed:
        for bar in take.bars:
            assert frozenset(h.tick for h in bar.hits if h.voice is Voice.KICK) in lines


def test_a_human_test_take_is_never_lent_and_splits_stay_apart() -> None:
    only = producer_takes([take for take in HUMAN if take.split != "train"], 3, 1200)
    lent = [take for take in only if "/human/" in take.name]
    assert {take.split for take in lent} == {"validation"}
    assert {take.split for take in corpus()} == {"train", "validation"}
    test = producer_takes([take for take in HUMAN if take.split == "test"], 3, 200)
    assert [take.name for take in test if "/human/" in take.name] == []


def test_some_of_the_grammars_takes_are_for_validation() -> None:
    takes = [take for take in of_grammars() if "/grammar/" in take.name]
    held = sum(take.split == "validation" for take in takes)
    assert 0.02 < held / len(takes) < 0.08
