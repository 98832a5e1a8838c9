"""Learning: a gesture on a controller becomes a binding.  Sans I/O."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from drumigen.midi.status import CONTROL_CHANGE, NOTE_OFF, NOTE_ON, PROGRAM_CHANGE
from drumigen.units import Seconds
from drumigen_daemon.controls.binding import (
    ADDRESSES,
    CHANNEL_MODE,
    Binding,
    Mode,
)
from drumigen_daemon.controls.parameters import DATA_ENTRY, STEPS, Entry
from drumigen_daemon.engine.messages import ControlInput

PREFIXES: Final = (0, 32, 88)
"""CCs that go before a program change (bank select) or a note (its finer velocity); a fader may
send them too (nanoKONTROL2), and is moved."""
PREFIX_MOVES: Final = 4
"""Values that tell a fader from a prefix."""
LEARN_SECONDS_MAX: Final = Seconds(60.0)
"""Seconds that a gesture is waited for; until then controllers move nothing."""
PAIR_SECONDS: Final = 0.05
"""Seconds between the halves of a 14-bit value at most."""
RELEASE_SECONDS: Final = 0.5
"""Seconds in which a button that was pressed in passing is let go..."""
LATCH_SECONDS: Final = 1.0
"""...and after which what it sends next is another press."""
TURN_VALUES: Final = 3
"""Different values, some of them between the ends, that make a knob."""
ENCODER_MESSAGES: Final = 4
"""Messages, one of them twice running, that make an encoder: a knob never says the same twice."""
GESTURE_MAX: Final = 64
"""Messages of a gesture that are looked at: what is not known by then is left as it is."""

_Sign = tuple[str, str, int, int]
"""Source, kind, number and channel (from 0) of a knob or button."""


@dataclass(slots=True)
class _Gesture:
    """What was heard of the knob or button that was learned, until its kind is known."""

    binding: Binding
    sign: _Sign
    values: list[tuple[int, Seconds]] = field(default_factory=list)
    count: int = 0
    turned: dict[_Sign, set[int]] = field(default_factory=dict)
    """What was moved while a note was down, and its values: a fader may tell when it is touched."""


class Learner:
    """Finds out what was moved, at once, and of which kind it is, as soon as that shows.  Sans I/O.

    Never learned are what moves nothing by itself: addresses of parameters, channel mode messages,
    what goes before a program change or a note, releases, pitch bend and pressure.
    """

    def __init__(self) -> None:
        """Learn nothing yet."""
        self.control = ""
        """The control that the next gesture is bound to; empty for none."""
        self._since = Seconds(0.0)
        self._prefixes: dict[_Sign, set[int]] = {}
        self._gestures: dict[Binding, _Gesture] = {}
        self._last: _Sign | None = None
        self._asked_by: _Sign | None = None

    def learn(self, control: str, now: Seconds) -> None:
        """Bind the next gesture to ``control``; to none if it is empty."""
        self.control = control
        self._since = now
        self._prefixes.clear()
        # a pad that asks for learning is let go after that
        self._asked_by = self._last

    def forget(self, binding: Binding) -> None:
        """Look no more at what was learned as ``binding``."""
        self._gestures.pop(binding, None)

    def expired(self, at: Seconds) -> bool:
        """Tell whether nobody has made a gesture for too long; nothing is learned then."""
        if not self.control or at - self._since <= LEARN_SECONDS_MAX:
            return False
        self.control = ""
        return True

    def heard(
        self, heard: ControlInput, entry: Entry | None
    ) -> tuple[Binding | None, Binding] | None:
        """Return what a message teaches: the binding it takes the place of, if any, and a binding.

        ``entry`` is the parameter that it enters data for.
        """
        taught = None
        for value in (*heard.earlier, heard.data[-1]):
            data = (*heard.data[:-1], value)
            sign = _sign(heard.source, data, entry)
            if sign is None:
                continue
            binding = self._begin(sign, data, heard.at) if self.control else None
            found = (None, binding) if binding is not None else self._refine(sign, data, heard.at)
            if found is not None:
                taught = (found[0] if taught is None else taught[0], found[1])
            self._last = sign
        return taught

    # --- which knob ------------------------------------------------------------------------

    def _begin(self, sign: _Sign, data: tuple[int, ...], at: Seconds) -> Binding | None:
        _, kind, number, channel = sign
        status, value = data[0] & 0xF0, data[-1]
        if status == NOTE_OFF or (status == NOTE_ON and value == 0):
            return None
        if sign == self._asked_by and value < 64:
            self._asked_by = None
            return None
        if kind == "cc" and number in PREFIXES:
            seen = self._prefixes.setdefault(sign, set())
            seen.add(value)
            if len(seen) < PREFIX_MOVES:
                return None
        own: dict[str, Any] = {kind: number}
        binding = Binding(self.control, **own, channel=channel + 1)
        self.control = ""
        self._gestures = {
            old: kept
            for old, kept in self._gestures.items()
            if kept.sign != sign and old.name != binding.name
        }
        if kind != "program":
            gesture = self._gestures[binding] = _Gesture(binding, sign)
            self._add(gesture, sign, data, at)
        return binding

    # --- of which kind ---------------------------------------------------------------------

    def _refine(
        self, sign: _Sign, data: tuple[int, ...], at: Seconds
    ) -> tuple[Binding, Binding] | None:
        for gesture in list(self._gestures.values()):
            before = gesture.binding
            better = self._touched(gesture, sign, data, at) or self._add(gesture, sign, data, at)
            if better is not None:
                return before, better
        return None

    def _touched(
        self, gesture: _Gesture, sign: _Sign, data: tuple[int, ...], at: Seconds
    ) -> Binding | None:
        """Return the binding of the fader that was moved, if the note was but its touch."""
        binding = gesture.binding
        down = binding.note is not None and bool(gesture.values) and gesture.values[-1][0] > 0
        other = sign[0] != gesture.sign[0] or sign[1] not in ("cc", "nrpn")
        if not down or other or _is_switch(binding):
            return None
        seen = gesture.turned.setdefault(sign, set())
        seen.add(data[-1])
        if len(seen) < TURN_VALUES:
            return None
        own: dict[str, Any] = {sign[1]: sign[2]}
        better = Binding(binding.name, **own, channel=sign[3] + 1)
        self._gestures.pop(binding, None)
        moved = self._gestures[better] = _Gesture(better, sign)
        self._add(moved, sign, data, at)
        return better

    def _add(
        self, gesture: _Gesture, sign: _Sign, data: tuple[int, ...], at: Seconds
    ) -> Binding | None:
        """Add a message to a gesture; return the better binding that follows, if one does."""
        binding = gesture.binding
        if sign != gesture.sign and not _is_half(gesture.sign, sign):
            return None
        gesture.count += 1
        changes: dict[str, Any] = {}
        if _is_half(gesture.sign, sign) or _is_fine(sign, data):
            changes = self._halves(gesture, sign, at)
        else:
            gesture.values.append((_value(data), at))
            changes = _kind_of(binding, gesture.values)
        if _is_known(gesture, changes):
            del self._gestures[binding]
        if not changes or all(getattr(binding, key) == new for key, new in changes.items()):
            return None
        better = msgspec.structs.replace(binding, **changes)
        if binding in self._gestures:
            del self._gestures[binding]
            self._gestures[better] = gesture
        gesture.binding = better
        return better

    def _halves(self, gesture: _Gesture, sign: _Sign, at: Seconds) -> dict[str, Any]:
        """Return what follows from a message of the other half of a 14-bit value."""
        binding = gesture.binding
        if _is_switch(binding):
            return {}
        if sign[1] == "nrpn":
            return {"bits": 14}
        near = bool(gesture.values) and at - gesture.values[-1][1] <= PAIR_SECONDS
        return {"cc": min(sign[2], gesture.sign[2]), "bits": 14} if near else {}


def _sign(source: str, data: tuple[int, ...], entry: Entry | None) -> _Sign | None:
    """Return what a message is of; None for what can never be learned."""
    status, channel, number = data[0] & 0xF0, data[0] & 0x0F, data[1]
    if status in (NOTE_ON, NOTE_OFF):
        return source, "note", number, channel
    if status == PROGRAM_CHANGE:
        return source, "program", number + 1, channel
    if status != CONTROL_CHANGE or number in CHANNEL_MODE or number in ADDRESSES:
        return None
    if entry is not None and entry.fresh:
        return None if entry.registered else (source, "nrpn", entry.number, channel)
    return source, "cc", number, channel


def _is_half(one: _Sign, other: _Sign) -> bool:
    """Tell whether two CCs may be the halves of one 14-bit value."""
    low, high = sorted((one[2], other[2]))
    same = (one[0], one[1], one[3]) == (other[0], other[1], other[3])
    return same and one[1] == "cc" and low < 32 and high == low + 32


def _is_fine(sign: _Sign, data: tuple[int, ...]) -> bool:
    return sign[1] == "nrpn" and data[1] == DATA_ENTRY[1]


def _value(data: tuple[int, ...]) -> int:
    if data[0] & 0xF0 == NOTE_OFF:
        return 0
    if data[0] & 0xF0 == CONTROL_CHANGE and data[1] in STEPS:
        return 127
    return data[-1]


def _is_switch(binding: Binding) -> bool:
    """Tell whether presses are meant: on and off, or an action."""
    return binding.allowed is None or bool in binding.allowed.kinds


def _kind_of(binding: Binding, values: Sequence[tuple[int, Seconds]]) -> dict[str, Any]:
    """Return what follows from the values of a knob or button so far."""
    seen = [value for value, _ in values]
    if binding.note is None:
        if not _is_switch(binding):
            return {} if binding.bits == 14 else {"mode": _encoder(seen) or Mode.AUTO}
        if len({*seen}) >= TURN_VALUES and {*seen} - {0, 127}:
            return {} if binding.allowed is None else {"mode": Mode.ABSOLUTE}
        if any(0 < value < 64 for value in seen):
            return {}  # a knob on its way
        if seen[0] == 0 and any(seen):
            return {"mode": Mode.LATCHING}  # let go, it was pressed before: this press said off
    pauses = _down_for(values)
    late = any(pause >= LATCH_SECONDS for pause in pauses)
    # one that springs back may have been held for long, once
    springs_back = len(pauses) > 1 and max(pauses[-2:]) <= RELEASE_SECONDS
    return {"mode": Mode.LATCHING if late and not springs_back else Mode.AUTO}


def _down_for(values: Sequence[tuple[int, Seconds]]) -> list[float]:
    """Return the seconds from each press to what looks like its release."""
    return [
        at - was
        for (before, was), (after, at) in itertools.pairwise(values)
        if before > 0 and after == 0
    ]


def _is_known(gesture: _Gesture, changes: dict[str, Any]) -> bool:
    """Tell whether there is nothing more to find out."""
    mode = changes.get("mode", Mode.AUTO)
    if gesture.count >= GESTURE_MAX or mode is Mode.ABSOLUTE:
        return True
    if mode is Mode.LATCHING:
        return False
    let_go = any(pause <= RELEASE_SECONDS for pause in _down_for(gesture.values))
    return let_go and (gesture.binding.note is not None or _is_switch(gesture.binding))


def _encoder(seen: Sequence[int]) -> Mode | None:
    """Return the mode of an encoder, if the values are such as none but an encoder sends."""
    twice = any(one == other for one, other in itertools.pairwise(seen))
    if len(seen) < ENCODER_MESSAGES or not twice:
        return None
    kinds = {next((kind for kind, of in _STEPS if value in of), "none") for value in seen}
    # turned up only, offset and sign are one to another what down is: the former is more usual
    for mode, allowed in (
        (Mode.OFFSET, {"below", "above"}),
        (Mode.TWOS, {"up", "down"}),
        (Mode.SIGN, {"up", "above"}),
    ):
        if kinds <= allowed:
            return mode
    return None


_STEPS: Final = (
    ("up", range(1, 9)),
    ("below", range(56, 64)),
    ("above", range(65, 73)),
    ("down", range(120, 128)),
)
"""What encoders say when they are turned a little."""
