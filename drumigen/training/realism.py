"""Whether a classifier tells what is generated from what humans played, and one style from another.

The classifier is scikit-learn's HistGradientBoostingClassifier at its defaults.
"""

from typing import Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from drumigen.errors import CorpusError
from drumigen.training.features import Excerpts

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
    if min(len(np.unique(side.takes)) for side in drawn) < FOLDS:
        message = f"telling two sides apart needs {FOLDS} takes with excerpts on each; add takes"
        raise CorpusError(message)
    cells = np.concatenate([side.flat for side in drawn])
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
