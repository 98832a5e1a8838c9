"""The training corpora of the three producers: grammar and borrowed human takes."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from drumigen.bank.grammars import PERFORMERS
from drumigen.bank.grammars.chance import Pen
from drumigen.bank.grammars.performance import performed
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.training.human_material import LOANS, windows
from drumigen.training.takes import Take
from drumigen.units import Bpm

BARS_MIN, BARS_MAX = 16, 32
ODD_SHARE: Final = 0.08
"""Share of the takes from the grammar that are in another metre than 4/4."""

_THREE, _FIVE, _SIX, _SEVEN = Meter(3, 4), Meter(5, 4), Meter(6, 8), Meter(7, 8)
_ODD_METERS: Final[Mapping[str, tuple[Meter, ...]]] = {
    "j_dilla": (_THREE, _FIVE, _SIX, _SEVEN),
    # 6/8 has two beats, and no three to clap on
    "metro_boomin": (_THREE, _FIVE, _SEVEN),
    "questlove": (_THREE, _FIVE, _SIX, _SEVEN),
}
_VALIDATION_EVERY = 20


def producer_takes(human: Sequence[Take], seed: int, bars_per_style: int = 6000) -> list[Take]:
    """Return takes in the style of each producer, about ``bars_per_style`` bars of each.

    ``human`` are takes of the Groove MIDI Dataset, of which the fitting ones are borrowed from, up
    to a quarter for Questlove and a fifth for J Dilla; those of the test split never are, and
    what comes of one stays in its split.  Of the grammar's takes every twentieth is for
    validation.  The same takes and seed give the same corpus.
    """
    tempos = {style.name: style.tempo for style in load_styles()}
    takes: list[Take] = []
    for style in PERFORMERS:
        low, high = tempos[style]
        borrowed = list(_borrowed(style, human, seed, (low, high), bars_per_style))
        left = bars_per_style - sum(len(take.bars) for take in borrowed)
        takes += [*_written(style, seed, (low, high), left), *borrowed]
    return takes


def _written(style: str, seed: int, tempo: tuple[Bpm, Bpm], budget: int) -> Iterator[Take]:
    number = 0
    while budget > 0:
        number += 1
        name = f"{style}/grammar/{number}"
        pen = _pen(name, seed, tempo)
        performer = PERFORMERS[style]
        length = pen.rng.choice(range(BARS_MIN, BARS_MAX + 1, 4))
        played = performed(pen, performer.idiom(pen), length)
        meter = pen.rng.choice(_ODD_METERS[style]) if pen.chance(ODD_SHARE) else Meter()
        bars = performer.feel(pen, [one.fitted(meter) for one in played])
        split = "train" if number % _VALIDATION_EVERY else "validation"
        budget -= len(bars)
        yield Take(name, style, "", pen.tempo, bars, split)


def _borrowed(
    style: str, human: Sequence[Take], seed: int, tempo: tuple[Bpm, Bpm], bars_per_style: int
) -> Iterator[Take]:
    if style not in LOANS:
        return
    loan = LOANS[style]
    lent = [window for window in windows(human) if window.split != "test"]
    _random(f"{style}/loans", seed).shuffle(lent)
    budget = loan.share * bars_per_style
    for number, window in enumerate(lent, start=1):
        if budget < len(window.bars):
            break
        name = f"{style}/human/{number}"
        pen = _pen(name, seed, tempo)
        bars = PERFORMERS[style].feel(pen, loan.made_over(pen, window))
        budget -= len(bars)
        yield Take(name, style, "", pen.tempo, bars, window.split)


def _pen(name: str, seed: int, tempo: tuple[Bpm, Bpm]) -> Pen:
    rng = _random(name, seed)
    return Pen(rng, Bpm(round(rng.uniform(*tempo), 1)))


def _random(name: str, seed: int) -> random.Random:
    return random.Random(f"{seed}/{name}")  # noqa: S311 - music
