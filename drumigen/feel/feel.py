"""Feel: how a style sits in time and how hard it strikes; frozen values, changed live by copy.

What frozen, human and tight do to a bar is :mod:`.humanize`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from drumigen.errors import SettingsError
from drumigen.kit import Voice
from drumigen.units import TICKS_PER_BEAT

SWING_MIN: Final = 50.0
SWING_MAX: Final = 75.0
"""MPC percent: where the second of two equal notes falls.  50 straight, 57.1 septuplet, 60
quintuplet, 66.7 triplet."""

PUSH_MAX_MS: Final = 60.0
"""Largest push (negative) or lay-back (positive) of a voice, in milliseconds; layers 50-80 ms
apart are heard as two beats, not as one that leans."""

RESIDUAL_MAX_MS: Final = 40.0
"""Largest standard deviation of what no template explains."""

TEMPLATE_BARS_MAX: Final = 2


class FeelModel(StrEnum):
    """Three different things that are all called feel."""

    FROZEN = "frozen"
    """Every deviation comes back exactly, as from a sampler; the bar's own timing is replaced."""
    HUMAN = "human"
    """Deviations drift: what is late stays late for a while (long-range correlation)."""
    TIGHT = "tight"
    """A machine's grid with a spread of a millisecond; the bar's own timing is replaced."""


class SwingUnit(StrEnum):
    """Which notes swing."""

    EIGHTH = "eighth"
    SIXTEENTH = "sixteenth"

    @property
    def ticks(self) -> int:
        """Length of the note that swings."""
        return TICKS_PER_BEAT // (2 if self is SwingUnit.EIGHTH else 4)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # nor is NaN
        message = f"feel.{name} = {value:g}: use {low:g} to {high:g}"
        raise SettingsError(message)


def _fits(name: str, row: Sequence[float], lengths: Sequence[int]) -> None:
    if len(row) not in lengths:
        allowed = ", ".join(map(str, lengths))
        message = f"feel.{name} has {len(row)} values: use one a sixteenth, {allowed} of them"
        raise SettingsError(message)


class SongBar(NamedTuple):
    """Which bar of which song: the song's seed, the bar's number, the tick of its bar line."""

    seed: int
    number: int
    start: int


@dataclass(frozen=True, slots=True)
class Ornaments:
    """What is added to a bar that has none of it.

    ``ghosts`` are soft snare strokes wanted in a bar, ``rolls`` bursts of closed hats; ``flams``
    and ``drags`` are the share (0-1) of loud snares that get one or two grace notes.  Bars that
    have ghosts or rolls already count towards what is wanted.
    """

    ghosts: float = 0.0
    flams: float = 0.0
    drags: float = 0.0
    rolls: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no number of ornaments."""
        for name, high in (("ghosts", 8.0), ("flams", 1.0), ("drags", 1.0), ("rolls", 4.0)):
            _within(f"ornaments.{name}", getattr(self, name), 0.0, high)


@dataclass(frozen=True, slots=True)
class Dynamics:
    """Velocity as a structure: how hard each voice strikes at each place of the bar.

    ``levels`` gives 4, 8, 16 or 32 velocities per voice, one a sixteenth, over and over from the
    bar line (32 are two bars).  ``ghost`` is the level of the snare's other mode, which a stroke
    on one of ``backbeats`` (sixteenths, 0-15, over and over) is not of, however soft.  ``pull``
    (0-1) is how far a bar's velocities go there; a voice that the bar strikes all alike takes the
    shape in any case, around its own level.  ``spread`` is the standard deviation, in velocity, of
    what ``pull`` replaces.  ``variety`` (0-0.5) is the standard deviation, from song to song, of
    how much harder than written each voice is struck, as a share: a drummer of the day.
    """

    levels: Mapping[Voice, tuple[float, ...]] = field(default_factory=dict, hash=False)
    pull: float = 0.0
    ghost: float = 28.0
    backbeats: tuple[int, ...] = ()
    spread: float = 4.0
    variety: float = 0.0

    def __post_init__(self) -> None:
        """Refuse levels that are no velocities, or do not fit a bar."""
        _within("dynamics.pull", self.pull, 0.0, 1.0)
        _within("dynamics.ghost", self.ghost, 1.0, 60.0)
        _within("dynamics.spread", self.spread, 0.0, 20.0)
        _within("dynamics.variety", self.variety, 0.0, 0.5)
        for sixteenth in self.backbeats:
            _within("dynamics.backbeats", sixteenth, 0, 15)
        for voice, levels in self.levels.items():
            _fits(f"dynamics.levels.{voice}", levels, (4, 8, 16, 32))
            for level in levels:
                _within(f"dynamics.levels.{voice}", level, 1.0, 127.0)


@dataclass(frozen=True, slots=True)
class Feel:
    """How a style sits in time; ``dataclasses.replace`` makes the one with a knob turned.

    Three fields are knobs.  ``amount`` (0-100 %) scales micro-timing and dynamics towards what is
    written; ``swing`` (MPC percent) is absolute, at any amount; ``push_ms`` is milliseconds per
    voice, early below zero.  Amount 0 at swing 50 is the written grid exactly.

    ``swing_spread`` is the standard deviation of swing from song to song, in MPC percent (0-5); a
    knob that says how much leaves none.  ``push_spread_ms`` is that of each voice's push (0-10),
    hats and ride together: no two drummers lay their kick alike against their hat.
    ``swing_shares`` is how much of the swing a voice takes: 0 straight, 1 (if not given) all.
    ``template`` adds milliseconds per voice and sixteenth, repeating over ``template_bars`` bars;
    ``wobble_ms`` is the spread of a template of that length drawn by the seed.  ``residual_ms``
    is the standard deviation, at 100 BPM, of the drift that all voices share, ``spread_ms`` that
    of what each has alone.  ``keep`` (0-1) is the share of a bar's own residual that stays; the
    drift is added to make up for the rest, never on top.

    Raises:
        SettingsError: a field is out of range; the line names it.
    """

    model: FeelModel = FeelModel.HUMAN
    amount: float = 100.0
    swing: float = 50.0
    swing_unit: SwingUnit = SwingUnit.SIXTEENTH
    swing_spread: float = 0.0
    swing_shares: Mapping[Voice, float] = field(default_factory=dict, hash=False)
    push_ms: Mapping[Voice, float] = field(default_factory=dict, hash=False)
    push_spread_ms: float = 0.0
    template: Mapping[Voice, tuple[float, ...]] = field(default_factory=dict, hash=False)
    template_bars: int = 1
    wobble_ms: float = 0.0
    residual_ms: float = 10.0
    spread_ms: float = 4.0
    keep: float = 1.0
    dynamics: Dynamics = Dynamics()
    ornaments: Ornaments = Ornaments()

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        _within("amount", self.amount, 0.0, 100.0)
        _within("swing", self.swing, SWING_MIN, SWING_MAX)
        _within("swing_spread", self.swing_spread, 0.0, 5.0)
        _within("push_spread_ms", self.push_spread_ms, 0.0, 10.0)
        _within("template_bars", self.template_bars, 1, TEMPLATE_BARS_MAX)
        _within("wobble_ms", self.wobble_ms, 0.0, RESIDUAL_MAX_MS)
        _within("residual_ms", self.residual_ms, 0.0, RESIDUAL_MAX_MS)
        _within("spread_ms", self.spread_ms, 0.0, RESIDUAL_MAX_MS)
        _within("keep", self.keep, 0.0, 1.0)
        for voice, share in self.swing_shares.items():
            _within(f"swing_shares.{voice}", share, 0.0, 2.0)
        for voice, push in self.push_ms.items():
            _within(f"push_ms.{voice}", push, -PUSH_MAX_MS, PUSH_MAX_MS)
        for voice, template in self.template.items():
            _fits(f"template.{voice}", template, (4, 8, 16, 32))
            for push in template:
                _within(f"template.{voice}", push, -PUSH_MAX_MS, PUSH_MAX_MS)

    def swing_of(self, voice: Voice) -> float:
        """Return the swing of ``voice`` in MPC percent."""
        share = self.swing_shares.get(voice, 1.0)
        return min(SWING_MAX, SWING_MIN + (self.swing - SWING_MIN) * share)
