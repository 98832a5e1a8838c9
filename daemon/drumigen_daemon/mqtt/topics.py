"""The topics of one drumigen, and what a message on them means.  Sans I/O.

``drumigen/<id>/<control>/set`` asks, ``drumigen/<id>/<control>/state`` tells.  The controls are
those of :data:`drumigen_daemon.controls.table.VALUES`, and ``playing``, which is on or off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from drumigen_daemon.controls.table import VALUES
from drumigen_daemon.controls.values import SWITCH, TEXT_MAX, Allowed
from drumigen_daemon.mqtt.messages import ControlRequest

TOPIC_ROOT: Final = "drumigen"
ONLINE, OFFLINE = "online", "offline"
PLAYING: Final = "playing"

CONTROLLED: Final[Mapping[str, Allowed[Any] | None]] = {
    **{str(name): allowed for name, allowed in VALUES.items()},
    PLAYING: SWITCH,
}
"""Everything that has a command topic, and what it takes."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish."""

    topic: str
    payload: str
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of one drumigen's topics."""

    id: str
    group: str = ""

    @property
    def base(self) -> str:
        """What all but the group's begin with."""
        return f"{TOPIC_ROOT}/{self.id}"

    @property
    def availability(self) -> str:
        """``online`` or ``offline``, retained; the broker says offline in our place."""
        return f"{self.base}/status"

    @property
    def presence(self) -> str:
        """Where each that has this id says who it is, so that two of one id notice each other."""
        return f"{self.base}/instance"

    @property
    def commands(self) -> tuple[str, ...]:
        """What to subscribe to, to be controlled."""
        group = (f"{TOPIC_ROOT}/group/{self.group}/+/set",) if self.group else ()
        return (f"{self.base}/+/set", *group)

    def command(self, control: str) -> str:
        """Where ``control`` is asked for."""
        return f"{self.base}/{control}/set"

    def state(self, control: str) -> str:
        """Where it is told what ``control`` is set to."""
        return f"{self.base}/{control}/state"

    def told(self, what: str) -> str:
        """Where ``song``, ``bars``, ``telemetry`` and ``error`` are told, in JSON."""
        return f"{self.base}/{what}"

    def wanted(
        self, topic: str, payload: bytes, *, retained: bool = False
    ) -> ControlRequest | None:
        """Return what a message asks for; None if it is none of ours or makes no sense.

        A retained command is none: it would start the band whenever the network comes back.
        Whether the value is allowed is for the daemon to say.
        """
        if retained or len(payload) > TEXT_MAX:
            return None
        prefix, _, rest = topic.rpartition("/set")
        own, _, control = prefix.rpartition("/")
        group = f"{TOPIC_ROOT}/group/{self.group}" if self.group else self.base
        if rest or own not in (self.base, group) or control not in CONTROLLED:
            return None
        if CONTROLLED[control] is None:
            return ControlRequest(control)
        try:
            return ControlRequest(control, _value(payload.decode()))
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None


class _Valued(msgspec.Struct, forbid_unknown_fields=True):
    value: str | int | float | bool


_VALUED: Final = msgspec.json.Decoder(_Valued)


def _value(text: str) -> str | int | float | bool:
    """Return what is in a payload: plain text, or a value in JSON under "value"."""
    text = text.strip()
    if not text.isprintable():
        raise ValueError
    return _VALUED.decode(text).value if text.startswith("{") else text
