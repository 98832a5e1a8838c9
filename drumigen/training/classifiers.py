"""Whether a classifier tells what is generated from what humans played, and style from style."""

from collections.abc import Sequence
from math import nan
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from drumigen.errors import CorpusError
from drumigen.training.features import Excerpts, FeatureCells

FOLDS: Final = 5


def auc(human: Excerpts, other: Excerpts, seed: int) -> float:
    """Return how well ``other`` is told from ``human``: 0.5 not at all, 1 always.

    As many excerpts of each side are drawn by ``seed``; five folds, no take in two of them; the
    scores of the excerpts that were held out make one area under the ROC curve.  A take must not
    be on both sides, nor a version of it, or the value falls below 0.5.

    Raises:
        CorpusError: a side has fewer takes than there are folds.
    """
    rng = np.random.default_rng(seed)
    count = min(len(human), len(other))
    drawn = [side[rng.permutation(len(side))[:count]] for side in (human, other)]
    fewest = min(len(np.unique(side.takes)) for side in drawn)
    if fewest < FOLDS:
        message = (
            f"telling two sides apart needs {FOLDS} takes in 4/4 on each, and finds {fewest}: "
            "add takes, or judge by another --split"
        )
        raise CorpusError(message)
    cells = np.concatenate([side.flat for side in drawn])
    cells = cells[:, _varying(cells)]
    sides = np.repeat([0, 1], count)
    # even numbers are human takes, odd ones the others
    takes = np.concatenate([2 * side.takes + which for which, side in enumerate(drawn)])
    scores = np.zeros(len(sides))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for learnt, held in folds.split(cells, sides, takes):
        judge = HistGradientBoostingClassifier(random_state=seed)
        judge.fit(cells[learnt], sides[learnt])
        scores[held] = judge.predict_proba(cells[held])[:, 1]
    return float(roc_auc_score(sides, scores))


def _varying(cells: FeatureCells) -> npt.NDArray[np.bool_]:
    """Return which columns are not the same throughout: no tree can split by the others."""
    varying: npt.NDArray[np.bool_] = np.ptp(cells, axis=0) > 0
    return varying


def genre_accuracy(
    train: Excerpts, human: Excerpts, generated: Sequence[Excerpts], seed: int
) -> tuple[float, float]:
    """Return how often the style of an excerpt is told right: of human ones, of generated ones.

    The same classifier as in :func:`auc` learns from ``train``.  Both shares are of the styles that
    all sides have, mixed as ``human`` is; nan if they share none.  Excerpts in which nothing sounds
    tell nothing and are left out.
    """
    train, human = train.sounding(), human.sounding()
    sets = [human, *(part.sounding() for part in generated)]
    common = sorted(set(train.styles).intersection(*(part.styles for part in sets)))
    if not common:
        return nan, nan
    judge = HistGradientBoostingClassifier(random_state=seed)
    varying = _varying(train.flat)
    judge.fit(train.flat[:, varying], train.styles)
    mix = np.array([np.mean(human.styles == style) for style in common])
    mix /= mix.sum()
    shares = []
    for part in sets:
        right = judge.predict(part.flat[:, varying]) == part.styles
        shares.append(float(mix @ [right[part.styles == style].mean() for style in common]))
    return shares[0], float(np.mean(shares[1:]))


def styles_told_apart(by_seed: Sequence[Excerpts], seed: int) -> float:
    """Return how often the style of an excerpt is told right from its hits alone.

    Each of the sets is judged by what was learnt from all the others; empty excerpts count as
    any other.

    Raises:
        CorpusError: fewer than two sets, or one style only.
    """
    if len(by_seed) < 2 or len(set(np.concatenate([part.styles for part in by_seed]))) < 2:
        message = "telling styles apart needs bars of two seeds and two styles; generate more"
        raise CorpusError(message)
    right = []
    for held, part in enumerate(by_seed):
        others = [other for number, other in enumerate(by_seed) if number != held]
        judge = HistGradientBoostingClassifier(random_state=seed)
        judge.fit(
            np.concatenate([other.hits for other in others]).astype(np.float32),
            np.concatenate([other.styles for other in others]),
        )
        right.append(judge.predict(part.hits.astype(np.float32)) == part.styles)
    return float(np.concatenate(right).mean())


def verbatim(bars: Excerpts, corpus: Excerpts) -> float:
    """Return the share of ``bars`` whose hits on the grid are those of a bar of ``corpus``.

    Bars in which nothing sounds are left out; nan if none is left.
    """
    known = {row.tobytes() for row in np.packbits(corpus.hits, axis=1)}
    rows = np.packbits(bars.sounding().hits, axis=1)
    return float(np.mean([row.tobytes() in known for row in rows])) if len(rows) else nan
