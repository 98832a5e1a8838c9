"""Mutes, solos and levels: which voices are heard, and how loud.

Two styles are blended elsewhere: see :mod:`drumigen.feel.blend`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drumigen.kit import Voice
from drumigen.pattern import Bar, struck

LEVEL_MAX = 150
"""Highest level of a voice in percent of its velocity."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What is done to each voice; ``levels`` are percent of its velocity, 0 to 150."""

    muted: frozenset[Voice] = frozenset()
    soloed: frozenset[Voice] = frozenset()
    levels: Mapping[Voice, int] = field(default_factory=dict, hash=False)

    def sounds(self, voice: Voice) -> bool:
        """Whether ``voice`` is heard: not muted, and soloed if anything is."""
        wanted = voice in self.soloed or not self.soloed
        return wanted and voice not in self.muted and self.levels.get(voice, 100) > 0


def mixed(bar: Bar, mix: Mix) -> Bar:
    """Return ``bar`` as ``mix`` has it; what is heard stays within velocity 1-127."""
    if mix == Mix():
        return bar
    hits = []
    for hit in bar.hits:
        if mix.sounds(hit.voice):
            level = mix.levels.get(hit.voice, 100)
            velocity = struck(hit.velocity, level / 100)
            hits.append(hit if level == 100 else replace(hit, velocity=velocity))
    return replace(bar, hits=tuple(hits))
