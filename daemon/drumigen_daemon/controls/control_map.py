"""The control map at work: what is heard becomes moves of controls, and is shown in return.

Sans I/O.  It reads where controls stand, so that encoders, toggles, soft takeover and LEDs go by
the truth, whoever changed it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from drumigen.midi.status import CONTROL_CHANGE, NOTE_OFF, NOTE_ON, PROGRAM_CHANGE
from drumigen.units import Seconds
from drumigen_daemon.controls.binding import ADDRESSES, RELATIVE, Binding, ControllerMap, Mode
from drumigen_daemon.controls.feedback import Feedback
from drumigen_daemon.controls.parameters import DATA_ENTRY, STEPS, Entry, Parameters
from drumigen_daemon.controls.positions import Positions, as_given, ends, is_whole
from drumigen_daemon.controls.soft_takeover import Knob
from drumigen_daemon.engine.messages import ControlInput

_KINDS: Final = {CONTROL_CHANGE: "cc", NOTE_ON: "note", NOTE_OFF: "note", PROGRAM_CHANGE: "program"}

OWN_PORTS: Final = ("in",)
"""Sources that do not tell who is heard: JACK mixes all that is connected to a port."""
KNOB_PAUSE: Final = 0.5
"""Seconds within which another value above the middle is a knob on its way, not another press."""


class ControlMove(NamedTuple):
    """A control that is moved; actions have no value."""

    control: str
    value: object = None


@dataclass(slots=True)
class _BindingState:
    """What is remembered of one binding."""

    coarse: int = 0
    knob: Knob = field(default_factory=Knob)
    pressed: bool = False
    before: object = None
    level: int | None = None
    level_at: Seconds = Seconds(0.0)


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

        ``value_of`` and ``names_of`` are those of
        :class:`~drumigen_daemon.controls.positions.Positions`.
        """
        self._positions = Positions(value_of, names_of)
        self._feedback = Feedback(self._positions)
        self._parameters = Parameters()
        self._rows: dict[Binding, _Place] = {}
        self._by_sign: dict[tuple[str, int | str], list[Binding]] = {}
        self._states: dict[Binding, _BindingState] = {}
        self._maps = 0
        for controller in maps:
            self._maps += 1
            for binding in controller.controls:
                self._add(binding, controller.port)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The rows in use."""
        return tuple(self._rows)

    def bind(self, binding: Binding, like: Binding | None = None) -> None:
        """Add a row, which counts more than all there are.

        It goes on from where the knob of the row ``like`` was, if there is one.
        """
        self._maps += 1
        state = self._states.get(like) if like is not None else None
        self._add(binding, "")
        if state is not None:
            self._states[binding] = state

    def unbind(self, binding: Binding) -> None:
        """Take a row away, if it is there; what it gave way to counts again."""
        if self._rows.pop(binding, None) is None:
            return
        del self._states[binding]
        self._feedback.remove(binding)
        for sign in _signs(binding):
            self._by_sign[sign].remove(binding)

    def _add(self, binding: Binding, port: str) -> None:
        self.unbind(binding)
        self._rows[binding] = _Place(port.lower(), self._maps)
        self._states[binding] = _BindingState()
        self._feedback.add(binding)
        for sign in _signs(binding):
            self._by_sign.setdefault(sign, []).append(binding)

    def news(self, heard: ControlInput) -> tuple[ControlInput | None, Entry | None]:
        """Return what of ``heard`` is no echo of ours, and which parameter it enters, if any.

        To be asked once of every message, in order.
        """
        data = heard.data
        if data[0] & 0xF0 != CONTROL_CHANGE:
            return self._feedback.without_echoes(heard), None
        if data[1] in ADDRESSES:
            self._parameters.take(heard.source, data, heard.at)
            return heard, None
        entry = self._parameters.entered(heard.source, data, heard.at)
        return self._feedback.without_echoes(heard), entry

    def heard(self, heard: ControlInput) -> Iterator[ControlMove]:
        """Yield what a MIDI message moves; carry out each move before the next is asked for."""
        news, entry = self.news(heard)
        if news is not None:
            yield from self.moves(news, entry)

    def moves(self, heard: ControlInput, entry: Entry | None = None) -> Iterator[ControlMove]:
        """Yield what a message that is :meth:`news` moves."""
        for binding in self._bound_to(heard, entry):
            values: tuple[int, ...] = ()
            if binding.takeover or binding.how is not Mode.ABSOLUTE:
                values = heard.earlier
            for data in (*((*heard.data[:2], value) for value in values), heard.data):
                move = self._move(binding, data, heard.at)
                if move is not None:
                    yield move

    def _bound_to(self, heard: ControlInput, entry: Entry | None) -> list[Binding]:
        """Return the rows for a message: those of the last map that has any."""
        status, number = heard.data[0] & 0xF0, heard.data[1]
        kind = _KINDS.get(status)
        if kind is None:
            return []
        if entry is not None:
            rows = [] if entry.registered else self._rows_of(heard, "nrpn", entry.number)
            if rows or entry.fresh:
                return rows
        if kind == "program":
            return self._rows_of(heard, kind, number + 1, "any")
        return self._rows_of(heard, kind, number)

    def _rows_of(self, heard: ControlInput, kind: str, *numbers: int | str) -> list[Binding]:
        channel = (heard.data[0] & 0x0F) + 1
        found: dict[int, list[Binding]] = {}
        for number in numbers:
            for binding in self._by_sign.get((kind, number), ()):
                port, map_number = self._rows[binding]
                if binding.channel in (None, channel) and _hears(port, heard.source):
                    found.setdefault(map_number, []).append(binding)
        return found[max(found)] if found else []

    def shows(self, now: Seconds) -> list[bytes]:
        """Return the messages that bring LEDs and LED rings up to date, to be sent ``now``."""
        return self._feedback.shows(now)

    def forget_shown(self) -> None:
        """Show everything again: the controller is another, or was off."""
        self._feedback.forget_shown()

    # --- from the controller ---------------------------------------------------------------

    def _move(self, binding: Binding, data: tuple[int, ...], at: Seconds) -> ControlMove | None:
        status = data[0] & 0xF0
        if status == PROGRAM_CHANGE:
            return self._program(binding, data[1] + 1)
        kind, number = binding.sign
        if kind == "nrpn" and data[1] in STEPS:
            return self._turned(binding, STEPS[data[1]])
        fine = data[1] != (DATA_ENTRY[0] if kind == "nrpn" else number)
        if binding.how is Mode.ABSOLUTE and not (fine and binding.bits == 7):
            return self._placed(binding, data, fine=fine)
        if fine:
            return None
        if binding.how in RELATIVE:
            return self._turned(binding, _delta(binding.how, data[2]))
        return self._button(binding, status, data[2], at)

    def _button(self, binding: Binding, status: int, value: int, at: Seconds) -> ControlMove | None:
        if binding.how is Mode.MOMENTARY:
            return self._held(binding, pressed=_is_down(status, value))
        pressed = binding.how is Mode.LATCHING or self._is_press(binding, status, value, at)
        return self._pressed(binding) if pressed else None

    def _program(self, binding: Binding, program: int) -> ControlMove | None:
        if binding.program == "any":
            names = self._positions.names(binding)
            if not names:
                return ControlMove(binding.name, program)
            return ControlMove(binding.name, names[program - 1]) if program <= len(names) else None
        return self._pressed(binding)

    def _placed(self, binding: Binding, data: tuple[int, ...], *, fine: bool) -> ControlMove | None:
        state, level, most = self._states[binding], data[2], 127
        state.coarse = state.coarse if fine else level
        if binding.bits == 14:
            level, most = state.coarse << 7 | (level if fine else 0), 16383
        else:
            self._feedback.knob_is_at(binding, data)
        position = level / most
        if self._positions.stands_at(binding, level, most):
            state.knob.position, state.knob.caught = position, True
            return None
        moves = not binding.takeover or state.knob.takes_over(binding, self._positions, position)
        state.knob.position = position
        if not moves:
            return None
        return ControlMove(binding.name, self._positions.value_at(binding, position))

    def _turned(self, binding: Binding, delta: int) -> ControlMove | None:
        if not delta:
            return None
        names = self._positions.names(binding)
        if names:
            stands = str(self._positions.value_of(binding.name))
            index = names.index(stands) if stands in names else 0
            index = max(0, min(len(names) - 1, index + (1 if delta > 0 else -1)))
            return ControlMove(binding.name, names[index])
        low, high = ends(binding)
        stands_at = self._positions.number(binding)
        step = (high - low) / 127
        if binding.allowed is not None and abs(step) < 1 and is_whole(binding):
            step = 1.0 if high > low else -1.0
        value = max(min(low, high), min(max(low, high), stands_at + delta * step))
        return ControlMove(binding.name, round(value) if is_whole(binding) else round(value, 4))

    def _is_press(self, binding: Binding, status: int, value: int, at: Seconds) -> bool:
        """Tell a press from a release, and from a knob that is on its way above the middle."""
        state = self._states[binding]
        if not _is_down(status, value):
            state.level = None
            return False
        was, was_at = state.level, state.level_at
        state.level, state.level_at = value, at
        # what sends no releases says the same again at each press
        return status != CONTROL_CHANGE or was in (None, value) or at - was_at > KNOB_PAUSE

    def _pressed(self, binding: Binding) -> ControlMove | None:
        if binding.allowed is None:
            return ControlMove(binding.name)
        value = binding.value if binding.value is not None else self._next_value(binding)
        return None if value is None else ControlMove(binding.name, value)

    def _held(self, binding: Binding, *, pressed: bool) -> ControlMove | None:
        state = self._states[binding]
        if pressed is state.pressed:
            return None
        state.pressed = pressed
        if binding.allowed is None:
            return ControlMove(binding.name) if pressed else None
        if binding.value is None:
            return ControlMove(binding.name, pressed)
        if pressed:
            state.before = as_given(self._positions.value_of(binding.name))
            return ControlMove(binding.name, binding.value)
        return ControlMove(binding.name, state.before)

    def _next_value(self, binding: Binding) -> object:
        """Return what a press goes on to: the other of two, or the next name; None for numbers."""
        stands = self._positions.value_of(binding.name)
        if isinstance(stands, bool):
            return not stands
        names = self._positions.names(binding)
        if not names:
            return None
        index = names.index(str(stands)) if str(stands) in names else -1
        return names[(index + 1) % len(names)]


def _signs(binding: Binding) -> Iterator[tuple[str, int | str]]:
    kind, number = binding.sign
    yield kind, number
    if kind == "cc" and binding.bits == 14:
        yield kind, int(number) + 32


def _hears(port: str, source: str) -> bool:
    own = source.rpartition(":")[2]
    return not port or own in OWN_PORTS or _no_colon(port) in _no_colon(source)


def _no_colon(name: str) -> str:
    # an input of ours that is there for one controller bears its name, but for the colon
    return name.lower().replace(":", " ")


def _is_down(status: int, value: int) -> bool:
    return value >= 64 if status == CONTROL_CHANGE else status == NOTE_ON and value > 0


def _delta(how: Mode, value: int) -> int:
    if how is Mode.OFFSET:
        return value - 64
    if how is Mode.SIGN:
        return -(value & 0x3F) if value & 0x40 else value
    return value - 128 if value & 0x40 else value
