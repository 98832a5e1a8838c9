"""What a bar has to strike, seen to on a device: :mod:`drumigen.model.demands` in torch.

The same laws, for all rows of a batch at once.  B are rows, P the sixteenths of the longest bar, V
voices, E events.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drumigen.kit import LIMBS_OF_A_KIND
from drumigen.model.demands import ACCENT_BIN, HANDS, LAST_SNARE, SNARE_PLACES, Owed
from drumigen.model.torch_drawing import NEVER, indices
from drumigen.model.vocabulary import (
    BAR_LINE,
    EVENTS,
    OFFSET_ZERO,
    OFFSETS,
    POSITIONS,
    VELOCITIES,
    VOICE_ORDER,
)

_VOICES = len(VOICE_ORDER)


class _Tables(NamedTuple):
    """What rows owe at first; each tensor stays where it is."""

    eighths: Tensor  # (B, P) sixteenths that are eighths to keep time on
    beats: Tensor  # (B, P) felt beats to keep time on
    way: Tensor  # (B, P) where the backbeat is...
    other_way: Tensor  # (B, P) ...or may be as well
    has_other: Tensor  # (B,)
    keeping: Tensor  # (B, V) voices that keep time
    last_keeping: Tensor  # (B,) the last of them; -1 for none
    may_miss: Tensor  # (B,) eighths that may be missed; -1 where none count
    firm: Tensor  # (B,) bins either way that a stroke may be off
    forced: Tensor  # (B,)


class _Struck(NamedTuple):
    """What rows have struck; changed in place."""

    kept: Tensor  # (B, P) where time was kept
    accents: Tensor  # (B, P) where the snare was struck loud
    hands: Tensor  # (B, V) hands of the last position


class Due(NamedTuple):
    """What is due next in each row, (B,): a sixteenth, or -1."""

    time: Tensor
    accent: Tensor
    position: Tensor
    """Of the last stroke, and..."""
    voice: Tensor
    """...its voice; -1 before any."""
    no_hand_left: Tensor


class TorchDemands:
    """What the rows of a work space owe."""

    def __init__(self, rows: int, device: torch.device) -> None:
        """Owe nothing."""

        def whole(*shape: int) -> Tensor:
            return torch.zeros((rows, *shape), dtype=torch.long, device=device)

        def switches(*shape: int) -> Tensor:
            return torch.zeros((rows, *shape), dtype=torch.bool, device=device)

        self.tables = _Tables(
            switches(POSITIONS),
            switches(POSITIONS),
            switches(POSITIONS),
            switches(POSITIONS),
            switches(),
            switches(_VOICES),
            whole(),
            whole(),
            whole(),
            switches(),
        )
        self.struck = _Struck(switches(POSITIONS), switches(POSITIONS), switches(_VOICES))
        voices = np.arange(_VOICES)
        self._hands = torch.tensor(np.isin(voices, sorted(HANDS)), device=device)  # (V,)
        self._snares = torch.tensor(np.isin(voices, sorted(SNARE_PLACES)), device=device)  # (V,)
        places = np.arange(EVENTS)
        self._place_of = torch.tensor(places // _VOICES, device=device)  # (E,)
        self._voice_of = torch.tensor(places % _VOICES, device=device)  # (E,)

    def due(self, last: Tensor) -> Due:
        """Return what is due after the event ``last`` (B,)."""
        tables, struck = self.tables, self.struck
        at = last.where(last != BAR_LINE, -1)
        position = torch.div(at.clamp(min=0), _VOICES, rounding_mode="floor")
        no_hand_left = struck.hands.sum(-1) >= LIMBS_OF_A_KIND
        order = indices(POSITIONS, last.device)
        shut = (order == position[:, None]) & no_hand_left[:, None]  # (B, P)

        missing = (tables.eighths | tables.beats) & ~struck.kept
        missed = (missing & tables.eighths).cumsum(-1)
        left_a_beat = (missing & tables.beats).cumsum(-1) > 0
        short = (missed > tables.may_miss[:, None]) & left_a_beat
        still = order * _VOICES + tables.last_keeping[:, None] > at[:, None]
        time = _first(missing & short & still & ~shut)

        missing = (tables.way | tables.other_way) & ~struck.accents
        no_way = (missing & tables.way).cumsum(-1) > 0
        no_other = ((missing & tables.other_way).cumsum(-1) > 0) | ~tables.has_other[:, None]
        still = order * _VOICES + LAST_SNARE > at[:, None]
        accent = _first(missing & no_way & no_other & still & ~shut)
        return Due(time, accent, position, (at - position * _VOICES).clamp(min=-1), no_hand_left)

    def events(self, logits: Tensor, due: Due, given: Tensor) -> Tensor:
        """Return logits (B, E) of the events before which nothing is due, where that is forced."""
        tables = self.tables
        order = indices(EVENTS, logits.device)
        late = self._late(order[None], due)
        at_time = self._place_of == due.time[:, None]  # (B, E)
        here = (due.time == due.position) & (due.position != due.accent)
        here = here & self.struck.hands.any(-1)
        others = (self._hands & ~tables.keeping)[:, self._voice_of]  # (B, V) -> (B, E)
        third = at_time & here[:, None] & others
        at_last = (self._place_of == due.position[:, None]) & due.no_hand_left[:, None]
        hand = self._hands[self._voice_of] & (self._voice_of != due.voice[:, None])
        hidden = (late | third | (at_last & hand)) & (tables.forced & ~given)[:, None]
        return logits.masked_fill(hidden, NEVER)

    def ended(self, event: Tensor, due: Due, given: Tensor) -> Tensor:
        """Return ``event`` (B,), or the bar line where it leaves out something that is due."""
        left_out = self._late(event[:, None], due)[:, 0]
        return event.masked_fill(left_out & ~given, BAR_LINE)

    def _late(self, event: Tensor, due: Due) -> Tensor:
        """Return whether events (B, N) or (1, N) come too late for what is due, (B, N)."""
        end = due.time * _VOICES + self.tables.last_keeping
        late = (due.time >= 0)[:, None] & (event > end[:, None])
        end = due.accent * _VOICES + LAST_SNARE
        return late | ((due.accent >= 0)[:, None] & (event > end[:, None]))

    def velocities(self, logits: Tensor, event: Tensor, due: Due) -> Tensor:
        """Return logits (B, velocities) of ``event``: no ghost where an accent is due."""
        place, voice = self._place_of[event], self._voice_of[event]
        loud = self.tables.forced & (place == due.accent) & self._snares[voice]
        hidden = loud[:, None] & (indices(VELOCITIES, logits.device) < ACCENT_BIN)
        return logits.masked_fill(hidden, NEVER)

    def offsets(self, logits: Tensor, event: Tensor, last: Tensor, due: Due) -> Tensor:
        """Return logits (B, offsets) of ``event``: near the sixteenth where time is due."""
        tables = self.tables
        place, voice = self._place_of[event], self._voice_of[event]
        keeps = tables.keeping.gather(1, voice[:, None])[:, 0]
        firm = tables.forced & (event != last) & (place == due.time) & keeps
        away = (indices(OFFSETS, logits.device) - OFFSET_ZERO).abs()
        return logits.masked_fill(firm[:, None] & (away > tables.firm[:, None]), NEVER)

    def strike(self, note: tuple[Tensor, Tensor, Tensor], due: Due, on: Tensor) -> None:
        """Take note of event, velocity and offset (B,) of the rows that are ``on``."""
        event, velocity, offset = note
        tables, struck = self.tables, self.struck
        place, voice = self._place_of[event], self._voice_of[event]
        here = (indices(POSITIONS, event.device) == place[:, None]) & on[:, None]  # (B, P)
        keeps = tables.keeping.gather(1, voice[:, None])[:, 0]
        in_time = keeps & ((offset - OFFSET_ZERO).abs() <= tables.firm)
        loud = self._snares[voice] & (velocity >= ACCENT_BIN)
        struck.kept.logical_or_(here & in_time[:, None])
        struck.accents.logical_or_(here & loud[:, None])
        hand = (indices(_VOICES, event.device) == voice[:, None]) & self._hands
        same = (place == due.position) | ~on
        struck.hands.copy_((struck.hands & same[:, None]) | (hand & on[:, None]))


def tables_of(owed: Sequence[Owed | None], rows: int) -> tuple[NDArray[np.generic], ...]:
    """Return what :class:`TorchDemands` holds of each row; None owes nothing."""
    eighths, beats, way, other_way = np.zeros((4, rows, POSITIONS), bool)
    has_other, forced = np.zeros((2, rows), bool)
    keeping = np.zeros((rows, _VOICES), bool)
    last_keeping, may_miss, firm = np.zeros((3, rows), np.int64)
    last_keeping[:] = may_miss[:] = -1
    for row, one in enumerate(owed):
        if one is None:
            continue
        forced[row], firm[row] = one.forced, one.firm
        keeping[row, sorted(one.keeping)] = True
        last_keeping[row] = one.last_keeping
        if one.keeping:
            eighths[row, sorted(one.eighths)] = True
            beats[row, sorted(one.beats)] = True
            may_miss[row] = one.may_miss if one.eighths else -1
        for number, places in enumerate(one.ways):
            (way, other_way)[number][row, sorted(places)] = True
        has_other[row] = len(one.ways) > 1
    return (
        eighths,
        beats,
        way,
        other_way,
        has_other,
        keeping,
        last_keeping,
        may_miss,
        firm,
        forced,
    )


def _first(due: Tensor) -> Tensor:
    """Return the first place of each row of (B, P) that is due, (B,); -1 for none."""
    order = indices(POSITIONS, due.device)
    first = order.where(due, POSITIONS).amin(-1)
    return first.where(first < POSITIONS, -1)
