"""What controllers are shown: LEDs and LED rings, and what comes back of it.  Sans I/O.

Some controllers, and some cables, send back what they are sent.  What we have just shown is no
move: it is remembered for as long as an echo may take.  Until then all that says the same is an
echo, for it may come back from two devices; but what follows another message of its button is a
press.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drumigen.midi.status import CONTROL_CHANGE, NOTE_OFF, NOTE_ON
from drumigen.units import Seconds
from drumigen_daemon.controls.binding import ADDRESSES, Binding
from drumigen_daemon.controls.positions import Positions
from drumigen_daemon.engine.messages import ControlInput

ECHO_SECONDS: Final = 0.15
"""Seconds in which an echo comes: two long JACK periods, or a radio link.  Nobody presses a button
again so soon after its LED has changed."""
WIRE_SECONDS: Final = 0.001
"""Seconds that a message takes on a MIDI cable (three bytes of ten bits, at 31,250 a second)."""
LATE_SECONDS: Final = 1.0
"""Seconds in which a late echo comes, as of a network.  The first ones count as presses; once two
have taken about as long, more are waited for..."""
LATE_ALIKE: Final = 0.03
"""...within so many seconds."""
ECHOES_MAX: Final = 4096
"""Messages that are waited for at most."""

_Sign = tuple[int, int]
"""Status, that of a release for every note, and number."""


@dataclass(slots=True)
class _Shown:
    """A message that has been sent to a controller, and may come back."""

    message: bytes
    at: Seconds
    is_back: bool = False


class Feedback:
    """Brings LEDs and LED rings up to date, and knows what was shown when it comes back."""

    def __init__(self, positions: Positions) -> None:
        """Show where controls stand by ``positions``; nothing until :meth:`add`."""
        self._positions = positions
        self._shown: dict[Binding, tuple[bytes, ...]] = {}
        self._heard: dict[Binding, bytes] = {}
        self._sent: dict[_Sign, list[_Shown]] = {}
        self._waiting = 0
        self._patience = ECHO_SECONDS
        self._late = 0.0

    def add(self, binding: Binding) -> None:
        """Show the control of ``binding`` from now on."""
        self._shown.setdefault(binding, ())

    def remove(self, binding: Binding) -> None:
        """Show it no more."""
        self._shown.pop(binding, None)
        self._heard.pop(binding, None)

    def knob_is_at(self, binding: Binding, data: Sequence[int]) -> None:
        """Take note that a knob was turned: it knows where it is, and need not be told."""
        self._heard[binding] = _normal(data)

    def shows(self, now: Seconds) -> list[bytes]:
        """Return the messages that bring LEDs and LED rings up to date, to be sent ``now``."""
        messages: list[bytes] = []
        for binding, shown in self._shown.items():
            due = self._messages(binding)
            if due == shown:
                continue
            self._shown[binding] = due
            if len(due) != 1 or _normal(due[0]) != self._heard.get(binding):
                messages += due
        for place, message in enumerate(messages):
            if message[0] & 0xF0 == CONTROL_CHANGE and message[1] in ADDRESSES:
                continue  # moves nothing, and must be heard by whoever enters data
            if self._waiting >= ECHOES_MAX:
                self._sent.clear()
                self._waiting = 0
            leaves = Seconds(now + place * WIRE_SECONDS)
            sent = _Shown(_normal(message), leaves)
            self._sent.setdefault(_sign(sent.message), []).append(sent)
            self._waiting += 1
        return messages

    def forget_shown(self) -> None:
        """Show everything again: the controller is another, or was off."""
        self._shown = dict.fromkeys(self._shown, ())
        self._heard.clear()

    def without_echoes(self, heard: ControlInput) -> ControlInput | None:
        """Return what of ``heard`` is no echo; None if all of it is."""
        if not self._sent:
            return heard
        data, values = heard.data, (*heard.earlier, heard.data[-1])
        if len(data) < 3:
            return heard
        left = [v for v in values if not self._is_echo((*data[:2], v), heard.at)]
        if len(left) == len(values):
            return heard
        if not left:
            return None
        return ControlInput(heard.source, (*data[:2], left[-1]), heard.at, tuple(left[:-1]))

    def _is_echo(self, data: Sequence[int], at: Seconds) -> bool:
        message = _normal(data)
        sign = _sign(message)
        sent = self._sent.get(sign)
        if sent is None:
            return False
        self._waiting -= len(sent)
        sent = [shown for shown in sent if at - shown.at <= LATE_SECONDS]
        like = [shown for shown in sent if shown.message == message]
        patience = self._patience
        due = [shown for shown in like if at - shown.at <= patience]
        if due:
            next((shown for shown in due if not shown.is_back), due[0]).is_back = True
        else:
            if like and not like[-1].is_back:
                self._hear_late(at - like[-1].at)
            # its button has been touched: what comes now and says the same is a press
            sent = [shown for shown in sent if not shown.is_back and at - shown.at <= patience]
        self._waiting += len(sent)
        if sent:
            self._sent[sign] = sent
        else:
            del self._sent[sign]
        return bool(due)

    def _hear_late(self, after: float) -> None:
        """Take note of what may have been an echo, but came late."""
        if abs(after - self._late) <= LATE_ALIKE:
            self._patience = min(after + ECHO_SECONDS, LATE_SECONDS)
        self._late = after

    def _messages(self, binding: Binding) -> tuple[bytes, ...]:
        kind, number = binding.sign
        if kind == "program" or not binding.feedback or binding.allowed is None:
            return ()
        most = 16383 if binding.bits == 14 else 127
        level = self._positions.level(binding, most)
        if level is None:
            return ()
        channel, number = (binding.channel or 1) - 1, int(number)
        if kind == "note":
            return (bytes((NOTE_ON | channel, number, level)),)
        coarse, fine = (level >> 7, level & 0x7F) if binding.bits == 14 else (level, None)
        pairs = [(99, number >> 7), (98, number & 0x7F)] if kind == "nrpn" else []
        number = 6 if kind == "nrpn" else number
        pairs.append((number, coarse))
        if fine is not None:
            pairs.append((number + 32, fine))
        return tuple(bytes((CONTROL_CHANGE | channel, *pair)) for pair in pairs)


def _normal(data: Sequence[int]) -> bytes:
    """Return a message as it may come back: a note that is let go has two forms."""
    if data[0] & 0xF0 == NOTE_OFF or (data[0] & 0xF0 == NOTE_ON and data[2] == 0):
        return bytes((NOTE_OFF | data[0] & 0x0F, data[1], 0))
    return bytes(data)


def _sign(message: bytes) -> _Sign:
    """Return whose message a normal one is."""
    note = message[0] & 0xF0 in (NOTE_ON, NOTE_OFF)
    return (NOTE_OFF | message[0] & 0x0F if note else message[0]), message[1]
