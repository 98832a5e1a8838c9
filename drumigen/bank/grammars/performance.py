"""Long performances: drum parts drawn by chance, kept and varied over eight-bar sections."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from drumigen.bank.grammars.chance import GRAMMAR_STEPS, Chance, playable
from drumigen.fitting import fit
from drumigen.kit import HATS, VOICES, Voice
from drumigen.pattern import Bar, Hit, repaired
from drumigen.timeline import Meter
from drumigen.units import Tick

GHOST_MAX = 40
"""Velocity up to which a snare is a ghost note."""

BarSteps = Mapping[str, frozenset[int]]
"""The sixteenths of a bar on which each part strikes, by name of part."""


_MOVES_MIN = 1.5


@dataclass(frozen=True, slots=True)
class DrumPart:
    """One drum part of a bar: the chance of every sixteenth, and how many strokes.

    ``change`` is the chance that a variation of the bar touches this part, ``low`` and
    ``high`` the least and most strokes, ``run`` the most on sixteenths in a row.
    """

    chances: tuple[float, ...]
    low: int
    high: int
    change: float
    run: int = GRAMMAR_STEPS

    @classmethod
    def of(
        cls, percent: str, low: int, high: int, change: float, run: int = GRAMMAR_STEPS
    ) -> "DrumPart":
        """Return the part whose chances are given in percent, beats parted by bars."""
        chances = tuple(int(word) / 100 for word in percent.replace("|", " ").split())
        assert len(chances) == GRAMMAR_STEPS
        return cls(chances, low, high, change, run)

    def drawn(self, chance: Chance) -> frozenset[int]:
        """Return a new part."""
        return self._within(
            chance, {step for step in range(GRAMMAR_STEPS) if chance.happens(self.chances[step])}
        )

    def varied(self, chance: Chance, steps: frozenset[int], start: int = 0) -> frozenset[int]:
        """Return ``steps`` with up to three strokes more or less, none of them before ``start``.

        A thin part is often left as it is, so that variation does not thicken it.
        """
        changed = set(steps)
        for _ in range(1 + chance.happens(0.45) + chance.happens(0.2)):
            odds = [self._odds(step, step in changed) for step in range(start, GRAMMAR_STEPS)]
            still = max(0.0, _MOVES_MIN - sum(odds))
            picked = chance.rng.choices([*range(start, GRAMMAR_STEPS), None], [*odds, still])[0]
            changed ^= set() if picked is None else {picked}
        return self._within(chance, changed)

    def steady(self, steps: frozenset[int], kept: float, added: float) -> "DrumPart":
        """Return the part that mostly strikes ``steps``: ``added`` scales the chance of others."""
        chances = [
            max(kept, odds) if step in steps else added * odds
            for step, odds in enumerate(self.chances)
        ]
        return replace(self, chances=tuple(chances))

    def _odds(self, step: int, struck: bool) -> float:  # noqa: FBT001 - a state, not an option
        odds = self.chances[step]
        return 1 - odds if struck else odds

    def _within(self, chance: Chance, steps: set[int]) -> frozenset[int]:
        for step in sorted(steps):
            row = range(step - self.run, step + 1)
            if steps.issuperset(row):
                steps.remove(min(row, key=lambda step: self.chances[step]))
        while len(steps) > self.high:
            there = sorted(steps)
            steps.remove(
                chance.rng.choices(there, [1.001 - self.chances[step] for step in there])[0]
            )
        while len(steps) < self.low:
            missing = [s for s in range(GRAMMAR_STEPS) if s not in steps and self.chances[s]]
            steps.add(chance.rng.choices(missing, [self.chances[step] for step in missing])[0])
        return frozenset(steps)


Bed = tuple[float, float, float, float]
"""Chance of a hat on beats, on the eighths between and on other sixteenths; and how often this
bed is chosen among others."""


def drawn_bed(chance: Chance, beds: Sequence[Bed], low: int, high: int, change: float) -> DrumPart:
    """Return the part of the hats in one of ``beds``; see :class:`DrumPart` for the rest."""
    beat, eighth, other, _ = chance.rng.choices(beds, [bed[-1] for bed in beds])[0]
    return DrumPart(tuple((beat, other, eighth, other) * 4), low, high, change)


@dataclass(frozen=True, slots=True)
class Idiom:
    """What stays through a performance: its drum parts, how they are written out, its fills.

    ``fills`` is the chance that a section of eight bars ends with a fill, ``crashes`` that a crash
    follows one.
    """

    parts: Mapping[str, DrumPart]
    written: Callable[[Chance, BarSteps], Bar]
    fill: Callable[[Chance], Bar]
    fills: float
    crashes: float


@dataclass(frozen=True, slots=True)
class Performer:
    """One producer at length: what each of his performances keeps, and how it feels."""

    idiom: Callable[[Chance], Idiom]
    feel: Callable[[Chance, Sequence[Bar]], tuple[Bar, ...]]


@dataclass(frozen=True, slots=True)
class Played:
    """A bar of a performance, and the fill that it ends in, if any; both in 4/4 on the grid."""

    groove: Bar
    fill: Bar | None = None

    def fitted(self, meter: Meter) -> Bar:
        """Return the bar in ``meter``: the first beats of the groove, the last of the fill."""
        groove = fit(self.groove, meter)
        return ended(groove, fit(self.fill, meter, tail=True)) if self.fill else groove


_FORMS = (
    "A  A' A  B  A  A' A' F",
    "A  B  A  B' A' B  A' F",
    "A  B  A  B+ A  B' A' F",
    "A  A' B  A+ A  A' B  F",
    "A  A' A' A+ B  B' A' F",
    "A  B  A' B  A  B' A  F",
)
"""Sections of eight bars: A and B are the motifs, ' is a variation, + a turnaround in the second
half of the bar, F the fill or else a turnaround of the first."""


def performed(chance: Chance, idiom: Idiom, bars: int) -> tuple[Played, ...]:
    """Return about ``bars`` bars on the grid, in whole sections; the last may be cut short."""
    played: list[Played] = []
    first = {name: part.drawn(chance) for name, part in idiom.parts.items()}
    while len(played) < bars:
        second = _varied(chance, idiom, first, always=True)
        if chance.happens(0.6):
            fresh = chance.rng.choice(sorted(idiom.parts))
            second |= {fresh: idiom.parts[fresh].drawn(chance)}
        motifs = {
            "A": (first, idiom.written(chance, first)),
            "B": (second, idiom.written(chance, second)),
        }
        for place in chance.rng.choice(_FORMS).split():
            crash = played and played[-1].fill and chance.happens(idiom.crashes)
            now = _at_place(chance, idiom, motifs, place)
            played.append(replace(now, groove=crashed(now.groove)) if crash else now)
        first = _varied(chance, idiom, first, always=True)
    return tuple(played[:bars])


def _at_place(
    chance: Chance, idiom: Idiom, motifs: Mapping[str, tuple[BarSteps, Bar]], place: str
) -> Played:
    steps, bar = motifs.get(place[0], motifs["A"])
    if place == "F" and chance.happens(idiom.fills):
        return Played(bar, idiom.fill(chance))
    if place in motifs:
        return Played(bar)
    half = 0 if place.endswith("'") else GRAMMAR_STEPS // 2
    varied = _varied(chance, idiom, steps, always=half > 0, start=half)
    return Played(idiom.written(chance, varied))


def _varied(
    chance: Chance, idiom: Idiom, steps: BarSteps, *, always: bool, start: int = 0
) -> dict[str, frozenset[int]]:
    """Return ``steps`` with some parts varied, at least one."""
    sure = chance.rng.choice([name for name, part in idiom.parts.items() if part.change])
    return {
        name: part.varied(chance, steps[name], start)
        if name == sure or (part.change and always) or chance.happens(part.change)
        else steps[name]
        for name, part in idiom.parts.items()
    }


def ended(bar: Bar, fill: Bar) -> Bar:
    """Return ``bar`` up to where ``fill`` starts, and ``fill`` from there, all on the grid.

    The backbeat of ``bar`` goes on until the fill itself strikes a snare.
    """
    if not fill.hits:
        return bar
    start = fill.hits[0].tick
    struck = min((hit.tick for hit in fill.hits if _is_snare(hit)), default=bar.meter.ticks)
    head = [hit for hit in bar.hits if hit.tick < (struck if _is_snare(hit) else start)]
    tail = (replace(hit, offset=0) for hit in fill.hits)
    return repaired(replace(bar, hits=(*head, *tail)))


def _is_snare(hit: Hit) -> bool:
    return VOICES[hit.voice].class_of_nine is Voice.SNARE and hit.velocity > GHOST_MAX


def crashed(bar: Bar) -> Bar:
    """Return ``bar`` with a crash and a kick on one, where the hat rests."""
    one = (Hit(Tick(0), Voice.CRASH, 108), Hit(Tick(0), Voice.KICK, 112))
    gone = {*HATS, Voice.RIDE, Voice.KICK, Voice.CRASH}
    return playable([*one, *(hit for hit in bar.hits if hit.tick or hit.voice not in gone)])
