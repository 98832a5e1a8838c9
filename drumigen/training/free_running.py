"""Free performances of the network, to be judged beside human takes."""

from collections.abc import Iterable, Sequence
from typing import Final

from drumigen.model.checkpoint import Checkpoint
from drumigen.model.conditions import SECTION_NAMES, Conditions
from drumigen.model.generation import ConditionedBar, Contexts, Row, generate_batch
from drumigen.model.network import CONTEXT_BARS
from drumigen.model.persona import Profile, profiles_of
from drumigen.model.sampling import Sampling
from drumigen.training.takes import Take

BATCH: Final = 16
INTRO_BARS: Final = 2
UNLIMITED: Final = Sampling()


def perform(
    checkpoint: Checkpoint,
    wanted: Sequence[Take],
    seed: int,
    bars: int = 16,
    sampling: Sampling = UNLIMITED,
) -> list[Take]:
    """Return a performance in the style and at the tempo of each of ``wanted``, from nothing.

    Each draws its drummer, densities and fills as the style's takes have them; their hits are the
    network's alone.
    """
    found: list[Take] = []
    for first in range(0, len(wanted), BATCH):
        part = wanted[first : first + BATCH]
        seeds = [1000 * seed + first + place for place in range(len(part))]
        found += _together(checkpoint, part, seeds, bars, sampling)
    return found


def _together(
    checkpoint: Checkpoint,
    wanted: Sequence[Take],
    seeds: Sequence[int],
    bars: int,
    sampling: Sampling,
) -> Iterable[Take]:
    profiles = profiles_of(checkpoint.metadata)
    played: list[list[ConditionedBar]] = [[] for _ in wanted]
    kept = Contexts()
    for number in range(bars):
        rows = [
            Row(
                free_conditions(profiles.get(take.style), take, one, number),
                one,
                number,
                tuple(past[-CONTEXT_BARS:]),
                sampling,
            )
            for take, one, past in zip(wanted, seeds, played, strict=True)
        ]
        for row, bar, past in zip(
            rows, generate_batch(checkpoint, rows, kept), played, strict=True
        ):
            past.append((bar, row.conditions))
    for take, one, past in zip(wanted, seeds, played, strict=True):
        name = f"generated/{take.style}/{one}"
        yield Take(name, take.style, "", take.tempo, tuple(bar for bar, _ in past), "generated")


def free_conditions(profile: Profile | None, take: Take, seed: int, number: int) -> Conditions:
    """Return what is told of bar ``number`` of a free performance in the manner of ``take``."""
    intro = SECTION_NAMES[0] if number < INTRO_BARS else None
    styles = ((take.style, 1.0),)
    if profile is None:
        return Conditions(styles, take.tempo, section=intro, phrase=number)
    persona = profile.persona(seed, on_stage=False)
    fill = profile.is_fill(seed, number)
    density = None if intro or fill else profile.density(persona, seed, number, on_stage=False)
    return Conditions(
        styles,
        take.tempo,
        density=density,
        intensity=persona.intensity,
        fill=fill,
        section=intro,
        phrase=number,
        lean=persona.lean,
        drummer=persona.drummer,
    )
