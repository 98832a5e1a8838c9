"""The control map at work: what is heard becomes moves of controls, and is shown in return.

Sans I/O.  It reads where controls stand, so that encoders, toggles, soft takeover and lamps go by
the truth, whoever changed it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from drumigen_daemon.controls.binding import RELATIVE, Binding, ControllerMap, Mode
from drumigen_daemon.engine.messages import Heard

CC, NOTE_ON, NOTE_OFF, PROGRAM = 0xB0, 0x90, 0x80, 0xC0
_KINDS: Final = {CC: "cc", NOTE_ON: "note", NOTE_OFF: "note", PROGRAM: "program"}

OWN_PORTS: Final = ("in",)
"""Sources that do not tell who is heard: JACK mixes all that is connected to a port."""
CAUGHT: Final = 2.5 / 127
"""How near a knob must come to where its control stands, to take it over."""


class Move(NamedTuple):
    """A control that is moved; actions have no value."""

    control: str
    value: object = None


@dataclass(slots=True)
class _State:
    """What is remembered of one binding."""

    coarse: int = 0
    position: float | None = None
    caught: bool = False
    before: object = None
    shown: bytes = b""


class _Place(NamedTuple):
    """Where a row belongs: the port it hears, and which map it is of; the last counts most."""

    port: str
    map: int


class ControlMap:
    """Binds what is heard to controls; state is per binding and small."""

    def __init__(
        self,
        maps: Iterable[ControllerMap],
        value_of: Callable[[str], object],
        names_of: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """Use ``maps``, later ones before earlier where both bind the same knob.

        ``value_of`` gives where a control stands, ``names_of`` the names it steps through where
        its table does not say, as with styles.
        """
        self._value_of = value_of
        self._names_of = names_of
        self._rows: dict[Binding, _Place] = {}
        self._states: dict[Binding, _State] = {}
        self._maps = 0
        for controller in maps:
            self._maps += 1
            for binding in controller.controls:
                self._add(binding, controller.port)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The rows in use."""
        return tuple(self._rows)

    def bind(self, binding: Binding, port: str = "") -> None:
        """Add a row, which counts more than all there are."""
        self._maps += 1
        self._add(binding, port)

    def _add(self, binding: Binding, port: str) -> None:
        self._rows[binding] = _Place(port.lower(), self._maps)
        self._states[binding] = _State()

    def heard(self, heard: Heard) -> Iterator[Move]:
        """Yield what a MIDI message moves; carry out each move before the next is asked for."""
        for binding in self._bound_to(heard):
            values: tuple[int, ...] = ()
            if binding.takeover or binding.how is not Mode.ABSOLUTE:
                values = heard.earlier
            for data in (*((*heard.data[:2], value) for value in values), heard.data):
                move = self._move(binding, data)
                if move is not None:
                    yield move

    def _bound_to(self, heard: Heard) -> list[Binding]:
        """Return the rows for a message: those of the last map that has any."""
        status, channel = heard.data[0] & 0xF0, (heard.data[0] & 0x0F) + 1
        kind, number = _KINDS.get(status), heard.data[1] + (status == PROGRAM)
        found: dict[int, list[Binding]] = {}
        for binding, (port, number_of_map) in self._rows.items():
            own, of = binding.sign
            fine = binding.bits == 14 and number == int(of) + 32
            meant = own == kind and (of in (number, "any") or fine)
            if meant and binding.channel in (None, channel) and _hears(port, heard.source):
                found.setdefault(number_of_map, []).append(binding)
        return found[max(found)] if found else []

    def shows(self) -> list[bytes]:
        """Return the messages that bring lamps and rings up to date."""
        messages = []
        for binding, state in self._states.items():
            message = self._shown(binding)
            if message and message != state.shown:
                state.shown = message
                messages.append(message)
        return messages

    def forget_shown(self) -> None:
        """Show everything again: the controller is another, or was off."""
        for state in self._states.values():
            state.shown = b""

    # --- from the controller ---------------------------------------------------------------

    def _move(self, binding: Binding, data: tuple[int, ...]) -> Move | None:
        status = data[0] & 0xF0
        if status == PROGRAM:
            return self._program(binding, data[1] + 1)
        value, fine = data[2], data[1] != binding.sign[1]
        how, state = binding.how, self._states[binding]
        if how in RELATIVE:
            return self._turned(binding, _delta(how, value))
        if how is Mode.ABSOLUTE:
            if binding.bits == 14:
                state.coarse = state.coarse if fine else value
                return self._placed(binding, state.coarse << 7 | (value if fine else 0), 16383)
            return self._placed(binding, value, 127)
        pressed = value >= 64 if status == CC else status == NOTE_ON and value > 0
        return self._pressed(binding, pressed=pressed)

    def _program(self, binding: Binding, program: int) -> Move | None:
        if binding.program == "any":
            names = self._names(binding)
            if not names:
                return Move(binding.name, program)
            return Move(binding.name, names[program - 1]) if program <= len(names) else None
        return self._pressed(binding, pressed=True)

    def _placed(self, binding: Binding, value: int, most: int) -> Move | None:
        state, position = self._states[binding], value / most
        if binding.takeover and not self._catches(binding, state, position):
            state.position = position
            return None
        state.position = position
        return Move(binding.name, self._value_at(binding, position))

    def _catches(self, binding: Binding, state: _State, position: float) -> bool:
        stands = self._position(binding)
        if stands is None:
            return True
        was = state.position
        if state.caught and was is not None and self._stands_where_put(binding, was):
            return True
        crossed = was is not None and (was - stands) * (position - stands) <= 0
        state.caught = crossed or abs(position - stands) <= CAUGHT
        return state.caught

    def _stands_where_put(self, binding: Binding, position: float) -> bool:
        """Whether nobody else has moved a control since its knob was at ``position``."""
        if binding.allowed is None:
            return False
        put = binding.allowed.take(self._value_at(binding, position))
        return put == self._value_of(binding.name)

    def _turned(self, binding: Binding, delta: int) -> Move | None:
        if not delta:
            return None
        names = self._names(binding)
        if names:
            stands = str(self._value_of(binding.name))
            index = names.index(stands) if stands in names else 0
            index = max(0, min(len(names) - 1, index + (1 if delta > 0 else -1)))
            return Move(binding.name, names[index])
        low, high = _ends(binding)
        stands_at = self._number(binding)
        step = (high - low) / 127
        if binding.allowed is not None and abs(step) < 1 and _is_whole(binding):
            step = 1.0 if high > low else -1.0
        value = max(min(low, high), min(max(low, high), stands_at + delta * step))
        return Move(binding.name, round(value) if _is_whole(binding) else round(value, 4))

    def _pressed(self, binding: Binding, *, pressed: bool) -> Move | None:
        if binding.allowed is None:
            return Move(binding.name) if pressed else None
        if binding.how is Mode.MOMENTARY:
            return self._while_pressed(binding, pressed=pressed)
        value = binding.value if binding.value is not None else self._next_value(binding)
        return Move(binding.name, value) if pressed and value is not None else None

    def _while_pressed(self, binding: Binding, *, pressed: bool) -> Move:
        state = self._states[binding]
        if binding.value is None:
            return Move(binding.name, pressed)
        if pressed:
            state.before = _plain(self._value_of(binding.name))
            return Move(binding.name, binding.value)
        return Move(binding.name, state.before)

    def _next_value(self, binding: Binding) -> object:
        """Return what a press goes on to: the other of two, or the next name; None for numbers."""
        stands = self._value_of(binding.name)
        if isinstance(stands, bool):
            return not stands
        names = self._names(binding)
        if not names:
            return None
        index = names.index(str(stands)) if str(stands) in names else -1
        return names[(index + 1) % len(names)]

    # --- to the controller -----------------------------------------------------------------

    def _shown(self, binding: Binding) -> bytes:
        kind, number = binding.sign
        allowed = binding.allowed
        if kind == "program" or not binding.feedback or allowed is None:
            return b""
        stands = self._value_of(binding.name)
        if binding.value is not None:
            level = 127 if _plain(stands) == _taken(binding) else 0
        elif isinstance(stands, bool):
            level = 127 if stands else 0
        else:
            position = self._position(binding)
            if position is None:
                return b""
            level = round(position * 127)
        status = CC if kind == "cc" else NOTE_ON
        return bytes([status | ((binding.channel or 1) - 1), int(number), level])

    # --- between positions and values ------------------------------------------------------

    def _names(self, binding: Binding) -> Sequence[str]:
        allowed = binding.allowed
        return (allowed.names if allowed is not None else ()) or self._names_of(binding.name)

    def _number(self, binding: Binding) -> float:
        stands: Any = self._value_of(binding.name)
        low, high = _ends(binding)
        return float(stands) if isinstance(stands, int | float) else (low + high) / 2

    def _position(self, binding: Binding) -> float | None:
        """Return where a control stands between the ends of its knob, 0 to 1."""
        names = self._names(binding)
        if names:
            stands = str(self._value_of(binding.name))
            if stands not in names:
                return None
            return (names.index(stands) + 0.5) / len(names)
        low, high = _ends(binding)
        if low == high:
            return None
        share = max(0.0, min(1.0, (self._number(binding) - low) / (high - low)))
        return float(share ** (1 / binding.curve))

    def _value_at(self, binding: Binding, position: float) -> object:
        names = self._names(binding)
        if names:
            return names[min(len(names) - 1, int(position * len(names)))]
        if binding.allowed is not None and bool in binding.allowed.kinds:
            return position >= 0.5
        low, high = _ends(binding)
        value = low + (high - low) * position**binding.curve
        return round(value) if _is_whole(binding) else round(value, 4)


def _hears(port: str, source: str) -> bool:
    return not port or source in OWN_PORTS or port in source.lower()


def _delta(how: Mode, value: int) -> int:
    if how is Mode.OFFSET:
        return value - 64
    if how is Mode.SIGN:
        return -(value & 0x3F) if value & 0x40 else value
    return value - 128 if value & 0x40 else value


def _is_whole(binding: Binding) -> bool:
    return binding.allowed is not None and binding.allowed.whole


def _ends(binding: Binding) -> tuple[float, float]:
    allowed = binding.allowed
    low = allowed.low if allowed is not None and allowed.low is not None else 0.0
    high = allowed.high if allowed is not None and allowed.high is not None else 1.0
    return (
        low if binding.low is None else binding.low,
        high if binding.high is None else binding.high,
    )


def _taken(binding: Binding) -> object:
    return _plain(binding.allowed.take(binding.value)) if binding.allowed is not None else None


def _plain(value: object) -> object:
    """Return a value as it may be given: names as text, and the word for the style's own."""
    if value is None:
        return "style"
    return str(value) if isinstance(value, StrEnum) else value
