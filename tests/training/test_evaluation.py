"""Laws of judging: what must count as human, what must not, and what a report says of it."""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest

from drumigen.errors import CorpusError
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.training.baselines import fit_of, jittered, quantised
from drumigen.training.classifiers import auc, genre_accuracy, styles_told_apart, verbatim
from drumigen.training.evaluation import Generated, evaluate, like
from drumigen.training.features import HIT, OFFSET, VELOCITY, excerpts
from drumigen.training.overlap import density, growth, overlaps, syncopation
from drumigen.training.report import Figure, Report, TeacherForced
from drumigen.training.strokes import CLASSES, Strokes, first_bars, in_four, strokes_of
from drumigen.training.takes import Take
from drumigen.units import Bpm, Tick

pytestmark = pytest.mark.slow

FOUR = Meter()
STEP = 480


def bar_of(*strokes: tuple[int, Voice, int], offset: int = 0) -> Bar:
    """A bar of (sixteenth, voice, velocity)."""
    return Bar(FOUR, tuple(Hit(Tick(STEP * step), v, vel, offset) for step, v, vel in strokes))


def take_of(*bars: Bar, style: str = "funk", name: str = "made") -> Take:
    return Take(name, style, "", Bpm(125), bars)


GROOVES = {
    "funk": ((0, Voice.KICK), (4, Voice.SNARE), (7, Voice.SNARE), (10, Voice.KICK)),
    "rock": ((0, Voice.KICK), (4, Voice.SNARE), (8, Voice.KICK), (12, Voice.SNARE)),
}


def drummer(
    seed: int, takes: int, bars: int, style: str = "funk", extra: float = 0.15
) -> list[Take]:
    """Takes of somebody with a groove, ghost notes now and then, and a hand that wavers."""
    rng = np.random.default_rng(seed)

    def bar() -> Bar:
        strokes = [*GROOVES[style], *((step, Voice.CLOSED_HAT) for step in range(0, 16, 2))]
        strokes += [(step, Voice.SNARE) for step in (2, 9, 15) if rng.random() < extra]
        strokes += [(step, Voice.CLOSED_HAT) for step in (3, 5, 13) if rng.random() < extra]
        return Bar(
            FOUR,
            tuple(
                Hit(
                    Tick(STEP * step),
                    voice,
                    int(np.clip(rng.normal(80, 20), 1, 127)),
                    int(np.clip(rng.normal(0, 70), -200, 200)),
                )
                for step, voice in dict.fromkeys(strokes)
            ),
        )

    return [
        take_of(*(bar() for _ in range(bars)), style=style, name=f"{seed}-{number}")
        for number in range(takes)
    ]


def all_strokes(takes: Sequence[Take]) -> list[Strokes]:
    return [strokes_of(take) for take in takes]


def test_a_window_holds_what_sounds_and_the_loudest_of_a_cell() -> None:
    late = Hit(Tick(0), Voice.SNARE, 127, 360)
    quiet = Hit(Tick(STEP), Voice.SIDE_STICK, 20)
    early = Hit(Tick(0), Voice.KICK, 64, -48)
    take = take_of(Bar(FOUR, (late, quiet)), Bar(FOUR, (early,)), Bar(FOUR, (late,)))
    windows = excerpts([strokes_of(take)], 2)
    assert windows.cells.shape == (1, 32, 9, 3)
    snare = windows.cells[0, 1, CLASSES.index(Voice.SNARE)]
    kick = windows.cells[0, 16, CLASSES.index(Voice.KICK)]
    assert snare == pytest.approx([1, 1, -0.25])
    assert kick[[HIT, VELOCITY, OFFSET]] == pytest.approx([1, 64 / 127, -0.1])
    assert windows.cells[..., HIT].sum() == 2


def test_windows_follow_one_another_from_the_first_bar_and_know_their_take() -> None:
    takes = [take_of(*[bar_of((step, Voice.KICK, 90)) for step in range(n)]) for n in (5, 4, 1)]
    windows = excerpts(all_strokes(takes), 2)
    assert list(windows.takes) == [0, 0, 1, 1]
    assert [int(row[:16].argmax()) // 9 for row in windows.hits[:2].reshape(2, -1)] == [0, 0]
    firsts = [int(np.flatnonzero(window[:16, 0, HIT])[0]) for window in windows.cells]
    assert firsts == [0, 2, 0, 2]


def test_only_beats_in_four_are_judged() -> None:
    waltz = take_of(Bar(Meter(3, 4), (Hit(Tick(0), Voice.KICK, 90),)))
    beat = take_of(bar_of((0, Voice.KICK, 90)))
    fill = replace(beat, fill=True)
    takes = [beat, fill, waltz, take_of()]
    assert in_four(takes) == [beat]
    assert in_four(takes, fills=True) == [beat, fill]


def test_the_first_bars_of_a_take_are_the_take_that_ends_there() -> None:
    take = drummer(1, 1, 6)[0]
    cut, short = first_bars(strokes_of(take), 4), strokes_of(replace(take, bars=take.bars[:4]))
    assert cut.bars == short.bars == 4
    assert len(cut.ticks) == pytest.approx(len(short.ticks), abs=1)
    assert first_bars(cut, 9) is cut


def test_one_drummer_cannot_be_told_from_himself() -> None:
    one, other = (excerpts(all_strokes(drummer(seed, 12, 8)), 2) for seed in (1, 2))
    found = auc(one, other, 1)
    assert 0.3 < found < 0.7
    assert auc(one, other, 1) == found


def test_the_bare_grid_is_told_from_a_drummer_always() -> None:
    one, other = (all_strokes(drummer(seed, 12, 8)) for seed in (1, 2))
    still = [quantised(take, 90) for take in other]
    assert auc(excerpts(one, 2), excerpts(still, 2), 1) > 0.99


def test_a_side_with_fewer_takes_than_folds_is_refused() -> None:
    one, few = (
        excerpts(all_strokes(drummer(1, 8, 4)), 2),
        excerpts(all_strokes(drummer(2, 4, 8)), 2),
    )
    with pytest.raises(CorpusError, match="5 takes"):
        auc(one, few, 1)


def test_a_loop_from_the_corpus_is_verbatim_whatever_its_feel() -> None:
    corpus = drummer(1, 3, 4)
    played = [*corpus[0].bars[2].hits]
    loop = take_of(*[Bar(FOUR, tuple(replace(h, velocity=64, offset=0) for h in played))] * 8)
    known = excerpts(all_strokes(corpus), 1)
    assert verbatim(excerpts([strokes_of(loop)], 1), known) == 1


def test_a_bar_with_one_more_stroke_is_a_bar_of_its_own() -> None:
    bar = bar_of((0, Voice.KICK, 90), (4, Voice.SNARE, 90))
    more = bar_of((0, Voice.KICK, 90), (4, Voice.SNARE, 90), (15, Voice.SNARE, 30))
    known = excerpts([strokes_of(take_of(bar))], 1)
    assert verbatim(excerpts([strokes_of(take_of(bar, more))], 1), known) == 0.5


def test_an_empty_bar_is_copied_from_nobody() -> None:
    bar, rest = bar_of((0, Voice.KICK, 90)), Bar(FOUR)
    known = excerpts([strokes_of(take_of(rest))], 1)
    assert verbatim(excerpts([strokes_of(take_of(bar, rest))], 1), known) == 0
    assert isnan(verbatim(excerpts([strokes_of(take_of(rest))], 1), known))


def test_growth_is_late_bars_over_early_ones_and_deaf_to_the_first() -> None:
    thin, four, five = (
        bar_of(*((step, Voice.CLOSED_HAT, 80) for step in range(count))) for count in (1, 4, 5)
    )
    take = take_of(*[thin], *[four] * 7, *[five] * 8)
    short = take_of(*[five] * 15)
    assert growth(all_strokes([take, short])) == pytest.approx(1.25)
    assert isnan(growth(all_strokes([short])))


@pytest.mark.parametrize(
    ("strokes", "expected"),
    [
        ([], 0),
        ([(0, Voice.KICK)], 0),
        ([(0, Voice.KICK), (8, Voice.KICK), (4, Voice.SNARE), (12, Voice.SNARE)], 1 + 2),
        # an eighth ahead of the bar line, which is silent
        ([(14, Voice.KICK)], 3),
        ([(14, Voice.KICK), (0, Voice.KICK)], 0),
        # a sixteenth ahead of the second half
        ([(7, Voice.SNARE), (0, Voice.SNARE)], 3),
        ([(14, Voice.CLOSED_HAT)], 0),
    ],
)
def test_syncopation_is_how_much_stronger_the_rest_is(
    strokes: list[tuple[int, Voice]], expected: int
) -> None:
    take = take_of(bar_of(*((step, voice, 90) for step, voice in strokes)))
    assert list(syncopation(strokes_of(take))) == [expected]


def test_an_early_downbeat_is_of_the_bar_that_it_opens() -> None:
    early = Bar(FOUR, (Hit(Tick(0), Voice.KICK, 90, -100),))
    assert list(density(strokes_of(take_of(early, early)))) == [1, 1]


def test_one_drummer_overlaps_himself_as_other_takes_of_his_do() -> None:
    played, learnt, made = (all_strokes(drummer(seed, 20, 16)) for seed in (1, 2, 3))
    found = {one.measure: one for one in overlaps(played, learnt, [made], 1)}
    assert set(found) == {"density", "velocity", "timing", "syncopation"}
    for one in found.values():
        assert one.human - 3 * one.sd < one.generated <= 1
        assert 0 < one.sd < 0.2


def test_what_is_played_too_much_and_too_straight_overlaps_less() -> None:
    played, learnt = (all_strokes(drummer(seed, 20, 16)) for seed in (1, 2))
    busy = [quantised(take, 90) for take in all_strokes(drummer(3, 20, 16, extra=0.9))]
    found = {one.measure: one for one in overlaps(played, learnt, [busy], 1)}
    assert not any(found[measure].is_human for measure in ("density", "velocity", "timing"))


def test_genres_are_told_as_well_from_the_same_drummers_and_not_from_mixed_up_ones() -> None:
    def both(seed: int) -> list[Take]:
        return [*drummer(seed, 8, 8, "funk"), *drummer(seed + 50, 8, 8, "rock")]

    swapped = [replace(t, style="rock" if t.style == "funk" else "funk") for t in both(3)]
    train, human, same, other = (
        excerpts(all_strokes(takes), 1) for takes in (both(1), both(2), both(3), swapped)
    )
    assert genre_accuracy(train, human, [same], 1) == pytest.approx((1, 1), abs=0.1)
    assert genre_accuracy(train, human, [other], 1) == pytest.approx((1, 0), abs=0.1)
    assert all(
        isnan(share)
        for share in genre_accuracy(train, human, [human[np.array([], dtype=np.int64)]], 1)
    )


def test_styles_are_told_apart_by_their_hits_and_only_if_these_differ() -> None:
    def both(seed: int, other: str) -> list[Take]:
        named = [replace(take, style="metro") for take in drummer(seed + 50, 8, 8, other)]
        return [*(replace(take, style="dilla") for take in drummer(seed, 8, 8, "funk")), *named]

    apart, alike = (
        [excerpts(all_strokes(both(seed, other)), 1) for seed in (1, 2)]
        for other in ("rock", "funk")
    )
    assert styles_told_apart(apart, 1) > 0.95
    assert 0.3 < styles_told_apart(alike, 1) < 0.7
    with pytest.raises(CorpusError):
        styles_told_apart(apart[:1], 1)


def test_shaking_by_chance_is_further_from_the_drummer_than_the_bare_grid() -> None:
    played = all_strokes(drummer(1, 8, 16))
    still = fit_of(played, [quantised(take, 80) for take in played])
    rng = np.random.default_rng(1)
    shaken = fit_of(played, [jittered(take, rng) for take in played])
    offsets = np.concatenate([take.offsets_ms for take in played])
    assert still.timing_mae_ms == pytest.approx(float(np.abs(offsets).mean()))
    assert shaken.timing_mae_ms > still.timing_mae_ms
    assert shaken.timing_kl < still.timing_kl
    assert fit_of(played, played).timing_kl == fit_of(played, played).velocity_mae == 0


def test_jitter_stays_within_20_ms_and_15_percent() -> None:
    take = jittered(strokes_of(drummer(1, 1, 32)[0]), np.random.default_rng(1))
    assert np.abs(take.offsets_ms).max() <= 20
    assert take.velocities.min() >= 76
    assert take.velocities.max() <= 104


def test_what_to_generate_has_the_styles_of_the_human_takes_by_their_length() -> None:
    long, short = drummer(1, 1, 60, "funk")[0], drummer(2, 1, 20, "rock")[0]
    drawn = like([long, short, replace(short, fill=True, style="jazz")], 400, 1)
    assert drawn == like([long, short], 400, 1)
    assert sum(take.style == "funk" for take in drawn) == pytest.approx(300, abs=1)
    with pytest.raises(CorpusError):
        like([replace(short, fill=True)], 4, 1)


TEACHER = TeacherForced(6.5, {"position": 0.5, "offset": 6.0}, 12.9, 0.026, 14.0, 0.03, 1000)


def test_a_report_holds_every_goal_and_tells_a_drummer_from_a_machine() -> None:
    human, train = drummer(1, 10, 16), drummer(2, 20, 16)
    made = drummer(3, 10, 16)
    loop = [replace(take, bars=train[0].bars[:1] * 16) for take in made]
    producers = {
        seed: [replace(take, style=style) for style in ("dilla", "metro") for take in loop[:3]]
        for seed in (1, 2)
    }
    good = evaluate(human, train, Generated({1: made}), teacher=TEACHER)
    bad = evaluate(human, train, Generated({1: loop}, producers))
    names = [figure.name for figure in good.figures]
    assert len(names) == len(set(names)) == 11
    goals = {figure.name: figure for figure in good.figures}
    assert goals["density, bars 9-16 / 2-4"].met
    assert goals["timing MAE of the median, ms"].met
    assert "AUC, two bars, mean" not in {figure.name for figure in good.missed}
    missed = {figure.name for figure in bad.missed}
    assert {"AUC, two bars, mean", "bars verbatim in training"} <= missed
    assert {"bars verbatim, dilla", "producers told apart by hits"} <= missed
    one = {
        seed: [take for take in takes if take.style == "dilla"] for seed, takes in producers.items()
    }
    alone = evaluate(human, train, Generated({1: loop}, one))
    told = {figure.name for figure in alone.figures} - set(names)
    assert told == {"bars verbatim, dilla"}
    assert good.feel_statistics["human"].timing_kl == 0
    assert (
        good.feel_statistics["quantised"].timing_explained
        != good.feel_statistics["human"].timing_explained
    )
    assert "NLL a stroke, teacher-forced: 6.50 nats = position 0.50 + offset 6.00" in good.text()


def test_nothing_generated_is_nothing_to_judge() -> None:
    with pytest.raises(CorpusError, match="nothing was generated"):
        evaluate(drummer(1, 5, 4), drummer(2, 5, 4), Generated({}))


def test_a_table_says_what_is_missed_and_what_is_unknown() -> None:
    report = Report(
        (Figure("one", 0.5, 0.25, "<= 0.4", met=False), Figure("two", nan), Figure("three", 12.34)),
        {},
        {},
        None,
    )
    lines = report.text().splitlines()
    assert lines[2].split() == ["one", "0.500", "0.250", "<=", "0.4", "MISSED"]
    assert lines[3].split() == ["two", "-", "-"]
    assert lines[4].split() == ["three", "12.3", "-"]
    assert len({len(line) for line in lines[:2]}) <= 2
