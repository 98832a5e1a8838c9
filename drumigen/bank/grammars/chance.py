"""What a grammar writes bars with: chance, swing, milliseconds at its own tempo."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit, repaired
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm, Tick, ticks_per_ms

GRAMMAR_METER = Meter()
EIGHTH = TICKS_PER_BEAT // 2
GRAMMAR_STEPS = GRAMMAR_METER.sixteenths

Phrase = tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """One producer: tempo of the written bars, and writers of phrases and fills by seed."""

    name: str
    tempo: Bpm
    phrase: Callable[["Chance"], Phrase]
    fill: Callable[["Chance"], Bar]
    phrase_count: int = 12
    fill_count: int = 8

    def phrases(self) -> Iterator[tuple[str, Phrase]]:
        """Yield (source, bars) of each phrase; the same every time."""
        for number in range(self.phrase_count):
            source = f"{self.name}/grammar/{number + 1}"
            yield source, self.phrase(Chance(random.Random(source), self.tempo))  # noqa: S311 - music

    def fills(self) -> Iterator[tuple[str, Bar]]:
        """Yield (source, bar) of each fill; the same every time."""
        for number in range(self.fill_count):
            source = f"{self.name}/grammar/fill/{number + 1}"
            yield source, self.fill(Chance(random.Random(source), self.tempo))  # noqa: S311 - music


@dataclass(frozen=True, slots=True)
class Chance:
    """A generator of random numbers, and the tempo that is written at."""

    rng: random.Random
    tempo: Bpm

    def ms(self, low: float, high: float | None = None) -> int:
        """Return ticks for ``low`` milliseconds, or for a draw between ``low`` and ``high``."""
        drawn = low if high is None else self.rng.uniform(low, high)
        return round(drawn * ticks_per_ms(self.tempo))

    def drawn(self, low: int, high: int) -> int:
        """Return a velocity from ``low`` to ``high``."""
        return self.rng.randint(low, high)

    def happens(self, probability: float) -> bool:
        """Return True with ``probability``."""
        return self.rng.random() < probability

    def some(self, steps: Sequence[int], low: int, high: int) -> list[int]:
        """Return ``low`` to ``high`` of ``steps``, in order."""
        count = min(len(steps), self.rng.randint(low, high))
        return sorted(self.rng.sample(steps, count))


def swung(step: int, percent: float) -> int:
    """Return the offset in ticks of a sixteenth at an MPC swing of ``percent``."""
    return round((percent - 50) / 100 * EIGHTH) if step % 2 else 0


def hit_at(step: int, voice: Voice, velocity: int, offset: int = 0) -> Hit:
    """Return a hit on sixteenth ``step`` of the bar."""
    return Hit(Tick(step * TICKS_PER_SIXTEENTH), voice, velocity, offset)


def playable(hits: Sequence[Hit]) -> Bar:
    """Return the bar of ``hits``, less what no drummer could play."""
    return repaired(Bar(GRAMMAR_METER, tuple(hits)))


def loosened(bar: Bar, chance: Chance, spread_ms: float, velocity: int) -> Bar:
    """Return the bar with a small residual on every hit: timing (SD, ms) and velocity (most)."""
    return replace(
        bar,
        hits=tuple(
            replace(
                hit,
                offset=hit.offset + round(chance.rng.gauss(0, chance.ms(spread_ms))),
                velocity=max(1, min(127, hit.velocity + chance.drawn(-velocity, velocity))),
            )
            for hit in bar.hits
        ),
    )
