"""What a bar has to strike, seen to while it is drawn: who keeps time, and the backbeat.

A network that is told to play a groove leaves its time out now and then.  Such a bar is given up
where it does so, and another one drawn: what is forced to keep time by the stroke is no groove.  In
a last attempt it is forced: as long as a stroke can still be missed everything may come, and where
it cannot, the bar does not go on without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Final

import numpy as np

from drumigen.fitting import felt_beat
from drumigen.kit import LIMBS_OF_A_KIND, VOICES, Limb, Voice
from drumigen.model.stepper import Floats
from drumigen.model.tokens import BinnedNote, velocity_bin
from drumigen.model.vocabulary import BAR_LINE, OFFSET_STEP, OFFSET_ZERO, VOICE_ORDER
from drumigen.timekeeping import EIGHTHS_SHARE, Keeper, backbeats_of, classes_of
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_SIXTEENTH
from drumigen.variation import GHOST_LOOSE_MAX

_VOICES: Final = len(VOICE_ORDER)
FIRM: Final = 220
"""Ticks by which a stroke may be off a sixteenth to keep time there, before it gets its feel: all
that is nearest to it, less what feel may add.  At half of it who swings was given up, and time
was too straight."""
_FREE: Final = FIRM // OFFSET_STEP
_FORCED: Final = 80 // OFFSET_STEP
"""In bins; what is forced is nearer."""
ACCENT_BIN: Final = velocity_bin(GHOST_LOOSE_MAX) + 1
SNARE_PLACES: Final = frozenset(
    place for place, voice in enumerate(VOICE_ORDER) if VOICES[voice].class_of_nine is Voice.SNARE
)
HANDS: Final = frozenset(
    place for place, voice in enumerate(VOICE_ORDER) if VOICES[voice].limb is Limb.HAND
)
LAST_SNARE: Final = max(SNARE_PLACES)
_FOUR: Final = Meter()
_HALF_TIME: Final = frozenset((8,))
"""Of 4/4: a backbeat as well as that on two and four."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What is demanded of a bar.

    ``keepers`` together strike three quarters of its eighths or all felt beats, where eighths are
    to be ``swung`` all felt beats (see :func:`drumigen.timekeeping.keeps_time`), and a foot on the
    hat does not count; nobody keeps time if there are none.  With ``backbeat`` the snare strikes
    its backbeat, louder than a ghost.  A bar that leaves something out ends there; if it is
    ``forced`` it cannot.
    """

    keepers: tuple[Keeper, ...] = ()
    backbeat: bool = False
    swung: bool = False
    forced: bool = False

    def of(self, meter: Meter) -> "Owed":
        """Return what a bar of ``meter`` owes before anything of it is drawn."""
        return Owed(self, meter)

    def kept(self, notes: Sequence[BinnedNote], meter: Meter) -> list[BinnedNote]:
        """Return the notes of a whole bar up to where it leaves something out, and ends."""
        owed = self.of(meter)
        for place, note in enumerate(notes):
            if owed.leaves_out(note.event):
                return list(notes[:place])
            owed.struck(note)
        return list(notes)


@lru_cache(64)
def _keeping(keepers: tuple[Keeper, ...]) -> frozenset[int]:
    voices = classes_of(keepers)
    return frozenset(
        place
        for place, voice in enumerate(VOICE_ORDER)
        if VOICES[voice].class_of_nine in voices and VOICES[voice].limb is Limb.HAND
    )


class Owed:
    """What a bar that is being drawn still owes."""

    def __init__(self, demands: Demands, meter: Meter) -> None:
        """Owe all of it."""
        self.forced = demands.forced
        self.firm = _FORCED if demands.forced else _FREE
        self.keeping = _keeping(demands.keepers)
        self.last_keeping = max(self.keeping, default=-1)
        eighths = range(0, meter.sixteenths, 2)
        beats = range(0, meter.sixteenths, felt_beat(meter) // TICKS_PER_SIXTEENTH)
        self.eighths = frozenset(() if demands.swung else eighths)
        self.beats = frozenset(beats)
        self.may_miss = len(self.eighths) - ceil(EIGHTHS_SHARE * len(self.eighths))
        self._times = sorted(self.eighths | self.beats) if self.keeping else []
        self.ways = [frozenset(backbeats_of(meter))] if demands.backbeat else []
        if self.ways and meter == _FOUR:
            self.ways.append(_HALF_TIME)
        self._accent_places = sorted(frozenset[int]().union(*self.ways))
        self._kept: set[int] = set()
        self._accents: set[int] = set()
        self._hands: set[int] = set()
        self._last = BinnedNote(BAR_LINE, 0, 0)
        self._position, self._voice = 0, -1
        self._time, self._accent = self._time_due(), self._accent_due()

    def struck(self, note: BinnedNote) -> None:
        """Take note of a stroke; they come in the order of the grammar."""
        position, voice = divmod(note.event, _VOICES)
        if position != self._position:
            self._hands.clear()
        self._last, self._position, self._voice = note, position, voice
        if voice in HANDS:
            self._hands.add(voice)
        if voice in self.keeping and abs(note.offset - OFFSET_ZERO) <= self.firm:
            self._kept.add(position)
        if voice in SNARE_PLACES and note.velocity >= ACCENT_BIN:
            self._accents.add(position)
        self._time, self._accent = self._time_due(), self._accent_due()

    def leaves_out(self, event: int) -> bool:
        """Tell whether ``event``, as the next one, leaves out something that is due."""
        late = self._time >= 0 and event > self._time * _VOICES + self.last_keeping
        return late or (self._accent >= 0 and event > self._accent * _VOICES + LAST_SNARE)

    def hide_events(self, logits: Floats) -> None:
        """Take from the logits of the next event [E] those before which something is due."""
        if not self.forced:
            return
        if self._time >= 0:
            start = self._time * _VOICES
            logits[start + self.last_keeping + 1 :] = -np.inf
            if self._time == self._position != self._accent and self._hands:
                logits[[start + voice for voice in HANDS - self.keeping]] = -np.inf
        if self._accent >= 0:
            logits[self._accent * _VOICES + LAST_SNARE + 1 :] = -np.inf
        if self._no_hand_left:
            # a third hand's stroke would be left out again, and a hat's is the first to go
            start = self._position * _VOICES
            logits[[start + voice for voice in HANDS if voice != self._voice]] = -np.inf

    def hide_velocities(self, logits: Floats, event: int) -> None:
        """Take from the logits of the velocity of ``event`` those of a ghost, for an accent due."""
        position, voice = divmod(event, _VOICES)
        if self.forced and position == self._accent and voice in SNARE_PLACES:
            logits[:ACCENT_BIN] = -np.inf

    def hide_offsets(self, logits: Floats, event: int) -> None:
        """Take from the logits of the offset of ``event`` what is off, if it is to keep time."""
        position, voice = divmod(event, _VOICES)
        if not self.forced or event == self._last.event:
            return
        if position == self._time and voice in self.keeping:
            logits[: OFFSET_ZERO - self.firm] = -np.inf
            logits[OFFSET_ZERO + self.firm + 1 :] = -np.inf

    def _open(self, position: int, last: int) -> bool:
        """Tell whether a stroke on voices up to the ``last`` can still come at ``position``."""
        if position == self._position and self._no_hand_left:
            return False
        return (position, last) > (self._position, self._voice)

    @property
    def _no_hand_left(self) -> bool:
        return len(self._hands) >= LIMBS_OF_A_KIND

    def _time_due(self) -> int:
        """Return the sixteenth by which time is next to be kept; -1 for none."""
        missed, beats = 0, True
        for place in self._times:
            if place in self._kept:
                continue
            missed += place in self.eighths
            beats = beats and place not in self.beats
            enough = missed <= self.may_miss and self.eighths
            if not (enough or beats) and self._open(place, self.last_keeping):
                return place
        return -1

    def _accent_due(self) -> int:
        """Return the sixteenth by which an accent is next to come; -1 for none."""
        ways = self.ways
        for place in self._accent_places:
            if place in self._accents:
                continue
            ways = [way for way in ways if place not in way]
            if not ways and self._open(place, LAST_SNARE):
                return place
        return -1
