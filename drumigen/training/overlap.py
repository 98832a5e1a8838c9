"""How far the distributions of two sets of takes overlap, and how sure one can be of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from drumigen.kit import Voice
from drumigen.training.features import BAR_STEPS
from drumigen.training.rhythm import TIMING_EDGES, VELOCITY_EDGES
from drumigen.training.strokes import CLASSES, Doubles, Ints, Strokes

METRIC_WEIGHTS: Final[Ints] = np.array(
    [0, -4, -3, -4, -2, -4, -3, -4, -1, -4, -3, -4, -2, -4, -3, -4]
)
"""Of the sixteenths of 4/4, by Longuet-Higgins & Lee (1984): the bar is 0, each halving 1 less."""

SYNCOPATED: Final = (Voice.KICK, Voice.SNARE)
"""The classes whose syncopation is counted, each as a part of its own."""

DRAWS: Final = 500


def density(strokes: Strokes) -> Ints:
    """Return the strokes of each bar."""
    bars = strokes.steps // BAR_STEPS
    bars = bars[(bars >= 0) & (bars < strokes.bars)]
    counts: Ints = np.bincount(bars, minlength=strokes.bars)
    return counts


def syncopation(strokes: Strokes) -> Ints:
    """Return the syncopation of each bar by Longuet-Higgins & Lee (1984), kick and snare added.

    A stroke counts where the part then rests on a sixteenth of greater metric weight, by the
    difference to the greatest that passes before it sounds again.  The bar is taken as a loop.
    """
    total: Ints = np.zeros(strokes.bars, dtype=np.int64)
    for voice in SYNCOPATED:
        struck = np.zeros(strokes.bars * BAR_STEPS, dtype=bool)
        steps = strokes.steps[strokes.classes == CLASSES.index(voice)]
        struck[steps[(steps >= 0) & (steps < len(struck))]] = True
        bars = struck.reshape(-1, BAR_STEPS)
        for step in range(BAR_STEPS):
            resting = bars[:, step].copy()
            greatest = np.zeros(strokes.bars, dtype=np.int64)
            for later in range(step + 1, step + BAR_STEPS):
                resting &= ~bars[:, later % BAR_STEPS]
                gain = METRIC_WEIGHTS[later % BAR_STEPS] - METRIC_WEIGHTS[step]
                greatest[resting] = np.maximum(greatest[resting], gain)
            total += greatest
    return total


def _velocities(strokes: Strokes) -> Ints:
    return strokes.velocities


def _offsets_ms(strokes: Strokes) -> Doubles:
    return strokes.offsets_ms


MEASURES: Final[Mapping[str, tuple[Callable[[Strokes], Doubles | Ints], Doubles]]] = {
    "density": (density, np.arange(0.0, 65.0, 2.0)),
    "velocity": (_velocities, VELOCITY_EDGES),
    "timing": (_offsets_ms, TIMING_EDGES),
    "syncopation": (syncopation, np.arange(-0.5, 33.0, 1.0)),
}
"""What is compared, and the edges of its bins: strokes a bar in twos, MIDI velocity in fours,
milliseconds in 3.9, syncopation a bar one by one.  What lies beyond is counted outermost."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """The overlapping area (0-1) of one measure with the human split, and that of human takes.

    ``human`` is the mean over bootstrap draws and ``sd`` their standard deviation.
    """

    measure: str
    generated: float
    human: float
    sd: float

    @property
    def is_human(self) -> bool:
        """Whether the generated overlap is at most one deviation below the human one."""
        return self.generated >= self.human - self.sd


def overlaps(
    human: Sequence[Strokes],
    train: Sequence[Strokes],
    generated: Sequence[Sequence[Strokes]],
    seed: int,
) -> tuple[Overlap, ...]:
    """Return the overlap of each of :data:`MEASURES`, ``generated`` being sets of takes.

    The overlapping area (Yang & Lerch 2020) of two sets is the sum of the lesser of their shares
    over the bins; every stroke or bar counts alike.  Each of 500 draws takes as many takes as
    ``human`` has from it, with replacement; beside them as many as a generated set has from
    ``train`` for the human value, and from that set for the generated one, whose mean is over
    draws and sets.  So both values carry the same noise of small sets.
    """
    rng = np.random.default_rng(seed)
    size = max(len(takes) for takes in generated)
    draws = _draws(rng, len(human), len(human))
    peers = _draws(rng, len(train), size)
    own = [_draws(rng, len(takes), len(takes)) for takes in generated]
    found = []
    for name, (measure, edges) in MEASURES.items():
        reference = draws @ _counts(human, measure, edges)
        between = _shared(reference, peers @ _counts(train, measure, edges))
        values = [
            _shared(reference, weights @ _counts(takes, measure, edges)).mean()
            for takes, weights in zip(generated, own, strict=True)
        ]
        found.append(
            Overlap(name, float(np.mean(values)), float(between.mean()), float(between.std()))
        )
    return tuple(found)


def _draws(rng: np.random.Generator, count: int, size: int) -> Ints:
    """Return how often each of ``count`` takes is drawn, a row a draw of ``size``."""
    drawn: Ints = rng.multinomial(size, np.full(count, 1 / count), DRAWS)
    return drawn


def _counts(
    takes: Sequence[Strokes], measure: Callable[[Strokes], Doubles | Ints], edges: Doubles
) -> Ints:
    """Return the histogram of each take, a row a take."""
    return np.array(
        [np.histogram(np.clip(measure(take), edges[0], edges[-1]), edges)[0] for take in takes]
    )


def _shared(ones: Ints, others: Ints) -> Doubles:
    """Return the overlapping area of each row with its fellow."""
    one, other = (rows / rows.sum(axis=1, keepdims=True) for rows in (ones, others))
    area: Doubles = np.minimum(one, other).sum(axis=1)
    return area


def growth(takes: Sequence[Strokes]) -> float:
    """Return the strokes a bar in bars 9-16 over those in bars 2-4, bars counted from 1.

    Takes of at least 16 bars count, each alike; nan if there are none.
    """
    bars = np.array([density(take)[:16] for take in takes if take.bars >= 16])
    early = bars[:, 1:4].mean() if len(bars) else 0.0
    return float(bars[:, 8:16].mean() / early) if early > 0 else float("nan")
