"""What crosses the seam between the daemon and the process that speaks to the MQTT broker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from drumigen_daemon.controls.values import SWITCH, absolute_path, number, text, whole, word
from drumigen_daemon.process.log_line import LogLine

PASSWORD_VARIABLE: Final = "DRUMIGEN_MQTT_PASSWORD"  # noqa: S105 - its name
"""Where a password may be given; it is in no settings file, no log and no list of processes."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker, and who we are there."""

    host: Annotated[str, text(0, 253, "the name or address of a broker", " /")] = ""
    """Empty for no MQTT at all."""
    port: Annotated[int, whole(0, 65_535)] = 0
    """0 for 1883, or 8883 with TLS."""
    id: Annotated[str, word(1, 32, "1 to 32 letters, digits, - or _")] = "drumigen"
    group: Annotated[str, word(0, 32, "at most 32 letters, digits, - or _")] = ""
    username: Annotated[str, text(0, 200, "at most 200 characters")] = ""
    password_file: Annotated[str, absolute_path()] = ""
    tls: Annotated[bool, SWITCH] = False
    ca_file: Annotated[str, absolute_path()] = ""
    """Empty for the authorities that the system trusts."""
    cert_file: Annotated[str, absolute_path()] = ""
    key_file: Annotated[str, absolute_path()] = ""
    discovery: Annotated[bool, SWITCH] = True
    discovery_prefix: Annotated[str, word(1, 64, "1 to 64 letters, digits, - or _")] = (
        "homeassistant"
    )
    telemetry_seconds: Annotated[float, number(1.0, 3600.0)] = 5.0


class ToBridge(msgspec.Struct, frozen=True, tag=True):
    """Root of what the daemon tells."""


class Hello(ToBridge, frozen=True):
    """The first message: whom to speak to, and the values that only the daemon knows."""

    settings: MqttSettings
    version: str
    options: dict[str, tuple[str, ...]] = {}
    """Values of controls that take a name."""


class StateUpdate(ToBridge, frozen=True):
    """How everything stands; sent when it changes, some times a second at most."""

    values: dict[str, str]
    """What each control is set to."""
    song: dict[str, Any]
    """What a stage would show: transport, bar, beat, tempo, lock, style."""
    telemetry: dict[str, Any]
    """Counters and figures."""


class Ahead(ToBridge, frozen=True):
    """Bars that were planned, or planned anew, before they sound."""

    bars: tuple[Mapping[str, Any], ...]


class Refused(ToBridge, frozen=True):
    """A command that was not carried out, and why: one line."""

    control: str
    problem: str


class FromBridge(msgspec.Struct, frozen=True, tag=True):
    """Root of what the bridge tells."""


class ControlRequest(FromBridge, frozen=True):
    """Someone asked for a control."""

    control: str
    value: str | int | float | bool | None = None


class Link(FromBridge, frozen=True):
    """A sign of life, every few seconds and at every change."""

    connected: bool
    connections: int = 0
    received: int = 0
    ignored: int = 0
    """Messages that meant nothing: oversized, malformed, of unknown topics, retained."""
    dropped: int = 0
    """Of ours, that the broker was too slow to take."""


AnyToBridge = Hello | StateUpdate | Ahead | Refused
AnyFromBridge = ControlRequest | Link | LogLine
