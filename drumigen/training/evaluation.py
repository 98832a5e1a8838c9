"""The whole judgement of a model: what is generated, held against what humans played."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from drumigen.errors import CorpusError
from drumigen.training.baselines import fit_of, jittered, quantised
from drumigen.training.classifiers import auc, genre_accuracy, styles_told_apart, verbatim
from drumigen.training.features import Excerpts, excerpts
from drumigen.training.feel_statistics import feel_statistics
from drumigen.training.overlap import growth, overlaps
from drumigen.training.report import Figure, Report, TeacherForced
from drumigen.training.strokes import Strokes, in_four, strokes_of
from drumigen.training.takes import Take

TAKE_BARS_MAX: Final = 64
"""Bars of a human take that count, from its first: long takes would outweigh the others."""

AUC_GOAL: Final = 0.60
GROWTH_GOAL: Final = 0.05
GENRE_GOAL: Final = 0.90
VERBATIM_GOAL: Final = 0.03
PRODUCERS_GOAL: Final = 0.90
PRODUCER_VERBATIM_GOAL: Final = 0.20
TIMING_MAE_GOAL: Final = 13.0
TIMING_KL_GOAL: Final = 0.05


def like(human: Sequence[Take], count: int, seed: int) -> list[Take]:
    """Return ``count`` takes whose styles and tempi to generate in, to be held against ``human``.

    From its beats in 4/4, each as often as the bars of it that count (at most 64) are a share of
    all: systematic sampling from a start by ``seed``, so that no mix of styles comes by luck.

    Raises:
        CorpusError: there is no beat in 4/4.
    """
    takes = in_four(human)
    if not takes:
        message = "no take is a beat in 4/4, so there is nothing to generate the like of"
        raise CorpusError(message)
    ends = np.cumsum([min(TAKE_BARS_MAX, len(take.bars)) for take in takes])
    start = np.random.default_rng(seed).random()
    places = (np.arange(count) + start) / count * ends[-1]
    return [takes[number] for number in np.searchsorted(ends, places, side="right")]


@dataclass(frozen=True)
class Generated:
    """What a model generated, all in 4/4, by seed where there is a choice of seeds.

    ``by_seed`` is held against humans: 80 takes of 16 bars from each seed, in styles and tempi of
    :func:`like`.  ``producers_by_seed`` are told apart and looked up by their style.
    ``long_takes``, of 60 s or more, are for what only long takes tell.
    """

    by_seed: Mapping[int, Sequence[Take]]
    producers_by_seed: Mapping[int, Sequence[Take]] = field(default_factory=dict)
    long_takes: Sequence[Take] = ()


def evaluate(
    human: Sequence[Take],
    train: Sequence[Take],
    generated: Generated,
    producer_corpus: Sequence[Take] = (),
    teacher: TeacherForced | None = None,
) -> Report:
    """Judge what a model generated, and return all figures with their goals.

    ``human`` is the split judged by and ``train`` what the model learnt from; their beats in 4/4
    count, at most 64 bars of each, and for bars found verbatim all that is in 4/4.
    ``producer_corpus`` is what the producers were learnt from beside ``train``.  Without
    producers or ``teacher`` the report leaves out what hangs on them.

    Raises:
        CorpusError: fewer than five takes on a side, or nothing generated.
    """
    if not generated.by_seed or not all(generated.by_seed.values()):
        message = "nothing was generated, so there is nothing to judge; give one seed or more"
        raise CorpusError(message)
    seeds = list(generated.by_seed)
    played = [strokes_of(take, TAKE_BARS_MAX) for take in in_four(human)]
    learnt = [strokes_of(take, TAKE_BARS_MAX) for take in in_four(train)]
    made = [[strokes_of(take) for take in generated.by_seed[seed]] for seed in seeds]
    known = excerpts([strokes_of(take) for take in in_four(train, fills=True)], 1)
    shared = overlaps(played, learnt, made, seeds[0])
    figures = [
        *_realism(played, learnt, made, seeds),
        *(
            Figure(
                f"overlap of {one.measure}",
                one.generated,
                one.human,
                f">= human - SD {one.sd:.3f}",
                one.is_human,
            )
            for one in shared
        ),
        _growth(played + learnt, made),
        *_bars(played, learnt, made, known, seeds[0]),
        *_producers(generated.producers_by_seed, producer_corpus, known),
        *_teacher(teacher),
    ]
    everything = [take for takes in made for take in takes]
    everything += [strokes_of(take) for take in generated.long_takes]
    velocity = round(float(np.mean(np.concatenate([take.velocities for take in learnt]))))
    rng = np.random.default_rng(seeds[0])
    still = [quantised(take, velocity) for take in played]
    shaken = [jittered(take, rng) for take in played]
    return Report(
        figures=tuple(figures),
        feel_statistics={
            "human": feel_statistics(played, played),
            "human train": feel_statistics(learnt, played),
            "generated": feel_statistics(everything, played),
            "quantised": feel_statistics(still, played),
            "jitter": feel_statistics(shaken, played),
        },
        fits={"quantised": fit_of(played, still), "jitter": fit_of(played, shaken)},
        teacher=teacher,
    )


def _realism(
    played: Sequence[Strokes],
    learnt: Sequence[Strokes],
    generated: Sequence[Sequence[Strokes]],
    seeds: Sequence[int],
) -> list[Figure]:
    """Tell two-bar windows apart, and human ones from one another by the same seeds."""
    human, others = excerpts(played, 2), excerpts(learnt, 2)
    found = [
        auc(human, excerpts(takes, 2), seed) for takes, seed in zip(generated, seeds, strict=True)
    ]
    between = [auc(human, others, seed) for seed in seeds]
    mean = float(np.mean(found))
    goal = f"<= {AUC_GOAL:.2f}"
    return [
        Figure("AUC, two bars, mean", mean, float(np.mean(between)), goal, mean <= AUC_GOAL),
        *(
            Figure(f"  seed {seed}", value, own)
            for seed, value, own in zip(seeds, found, between, strict=True)
        ),
    ]


def _growth(human: Sequence[Strokes], generated: Sequence[Sequence[Strokes]]) -> Figure:
    """Hold the growth of generated takes against that of all human ones: a split alone has few."""
    own, value = growth(human), float(np.mean([growth(takes) for takes in generated]))
    met = abs(value - own) <= GROWTH_GOAL
    return Figure("density, bars 9-16 / 2-4", value, own, f"human +- {GROWTH_GOAL:.2f}", met)


def _bars(
    played: Sequence[Strokes],
    learnt: Sequence[Strokes],
    generated: Sequence[Sequence[Strokes]],
    known: Excerpts,
    seed: int,
) -> list[Figure]:
    human, sets = excerpts(played, 1), [excerpts(takes, 1) for takes in generated]
    own, genre = genre_accuracy(excerpts(learnt, 1), human, sets, seed)
    copied = float(np.mean([verbatim(bars, known) for bars in sets]))
    original = verbatim(human, known)
    return [
        Figure(
            "genre told from one bar",
            genre,
            own,
            f">= {GENRE_GOAL:.0%} of human",
            genre >= GENRE_GOAL * own,
        ),
        Figure(
            "bars verbatim in training",
            copied,
            original,
            f"<= human + {VERBATIM_GOAL:.2f}",
            copied <= original + VERBATIM_GOAL,
        ),
    ]


def _producers(
    by_seed: Mapping[int, Sequence[Take]], corpus: Sequence[Take], known: Excerpts
) -> list[Figure]:
    if not any(by_seed.values()):
        return []
    sets = [excerpts([strokes_of(take) for take in takes], 1) for takes in by_seed.values()]
    own = excerpts([strokes_of(take) for take in in_four(corpus, fills=True)], 1)
    all_known = own.joined(known)
    styles = sorted(set(np.concatenate([bars.styles for bars in sets])))
    figures = []
    if len(styles) > 1:  # a drummer of one's own may have learnt a single one
        told = styles_told_apart(sets, next(iter(by_seed)))
        met = told >= PRODUCERS_GOAL
        goal = f">= {PRODUCERS_GOAL:.2f}"
        figures.append(Figure("producers told apart by hits", told, None, goal, met))
    for style in styles:
        shares = [verbatim(bars[bars.styles == style], all_known) for bars in sets]
        copied = float(np.nanmean(shares))
        met = copied <= PRODUCER_VERBATIM_GOAL
        goal = f"<= {PRODUCER_VERBATIM_GOAL:.2f}"
        figures.append(Figure(f"bars verbatim, {style}", copied, None, goal, met))
    return figures


def _teacher(teacher: TeacherForced | None) -> list[Figure]:
    if teacher is None:
        return []
    mae, divergence = teacher.timing_mae_ms, teacher.timing_kl
    return [
        Figure(
            "timing MAE of the median, ms",
            mae,
            None,
            f"<= {TIMING_MAE_GOAL:.0f}",
            mae <= TIMING_MAE_GOAL,
        ),
        Figure(
            "timing KL, sampled",
            divergence,
            None,
            f"<= {TIMING_KL_GOAL:.2f}",
            divergence <= TIMING_KL_GOAL,
        ),
    ]
