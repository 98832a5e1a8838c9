"""The training corpora of the three producers: grammar, and material of human takes."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from drumigen.bank.grammars import PERFORMERS
from drumigen.bank.grammars.chance import Chance
from drumigen.bank.grammars.performance import performed
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.training.human_material import HUMAN_MATERIAL, usable_windows
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

    ``human`` are takes of the Groove MIDI Dataset, of which the fitting ones give material, up
    to a quarter for Questlove and a fifth for J Dilla; those of the test split never are, and
    what comes of one stays in its split.  Of the grammar's takes every twentieth is for
    validation.  The same takes and seed give the same corpus.
    """
    tempos = {style.name: style.tempo for style in load_styles()}
    takes: list[Take] = []
    for style in PERFORMERS:
        low, high = tempos[style]
        of_humans = list(_from_humans(style, human, seed, (low, high), bars_per_style))
        left = bars_per_style - sum(len(take.bars) for take in of_humans)
        takes += [*_written(style, seed, (low, high), left), *of_humans]
    return takes


def _written(style: str, seed: int, tempo: tuple[Bpm, Bpm], budget: int) -> Iterator[Take]:
    number = 0
    while budget > 0:
        number += 1
        name = f"{style}/grammar/{number}"
        chance = _chance(name, seed, tempo)
        performer = PERFORMERS[style]
        length = chance.rng.choice(range(BARS_MIN, BARS_MAX + 1, 4))
        played = performed(chance, performer.idiom(chance), length)
        meter = chance.rng.choice(_ODD_METERS[style]) if chance.happens(ODD_SHARE) else Meter()
        bars = performer.feel(chance, [one.fitted(meter) for one in played])
        split = "train" if number % _VALIDATION_EVERY else "validation"
        budget -= len(bars)
        yield Take(name, style, "", chance.tempo, bars, split)


def _from_humans(
    style: str, human: Sequence[Take], seed: int, tempo: tuple[Bpm, Bpm], bars_per_style: int
) -> Iterator[Take]:
    if style not in HUMAN_MATERIAL:
        return
    material = HUMAN_MATERIAL[style]
    usable = [window for window in usable_windows(human) if window.split != "test"]
    _random(f"{style}/loans", seed).shuffle(usable)
    budget = material.share * bars_per_style
    for number, window in enumerate(usable, start=1):
        if budget < len(window.bars):
            break
        name = f"{style}/human/{number}"
        chance = _chance(name, seed, tempo)
        bars = PERFORMERS[style].feel(chance, material.adapted(chance, window))
        budget -= len(bars)
        yield Take(name, style, "", chance.tempo, bars, window.split)


def _chance(name: str, seed: int, tempo: tuple[Bpm, Bpm]) -> Chance:
    rng = _random(name, seed)
    return Chance(rng, Bpm(round(rng.uniform(*tempo), 1)))


def _random(name: str, seed: int) -> random.Random:
    return random.Random(f"{seed}/{name}")  # noqa: S311 - music
