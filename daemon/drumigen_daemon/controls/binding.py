"""Which knob, pad or pedal moves which control: one frozen row each, read from TOML."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from drumigen.errors import SettingsError
from drumigen.resources import config_path, read_toml
from drumigen_daemon.controls.table import ALIASES, VALUES
from drumigen_daemon.controls.values import Allowed

"""Status bytes of what a controller sends, on channel 1."""
CHANNEL_MODE: Final = range(120, 128)
"""CCs that are channel mode messages (MIDI 1.0): never a knob."""
ADDRESSES: Final = range(98, 102)
"""CCs that say which parameter (NRPN 98 and 99, RPN 100 and 101) the next data entry is for."""


class Mode(StrEnum):
    """How what is heard becomes a value."""

    AUTO = "auto"
    """Trigger for actions and values, toggle for switches, absolute for the rest."""
    ABSOLUTE = "absolute"
    TOGGLE = "toggle"
    """Each press switches over, or goes on to the next name."""
    MOMENTARY = "momentary"
    """On, or ``value``, while pressed; off, or what it was, when let go."""
    LATCHING = "latching"
    """A button that stays on when it is let go: whatever it sends is a press."""
    TRIGGER = "trigger"
    """A press is enough: the action, or ``value``."""
    TWOS = "relative-twos"
    """An encoder: 1 to 63 up, 127 to 65 down (two's complement)."""
    SIGN = "relative-sign"
    """An encoder: 1 to 63 up, 65 to 127 down (bit 6 is the sign)."""
    OFFSET = "relative-offset"
    """An encoder: 65 and more up, 63 and less down (64 is the middle)."""


KINDS: Final = ("cc", "nrpn", "note", "program")
"""What a controller can send that a binding knows."""
RELATIVE: Final = frozenset((Mode.TWOS, Mode.SIGN, Mode.OFFSET))

_Seven = Annotated[int, msgspec.Meta(ge=0, le=127)]


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row: exactly one of ``cc``, ``nrpn``, ``note`` and ``program``, and what it moves."""

    control: str
    cc: _Seven | None = None
    note: _Seven | None = None
    program: Annotated[int, msgspec.Meta(ge=1, le=128)] | Literal["any"] | None = None
    """From 1, one above what is on the wire; any program counts as its number."""
    nrpn: Annotated[int, msgspec.Meta(ge=0, le=16383)] | None = None
    """A non-registered parameter: 128 times what CC 99 says, plus what CC 98 says."""
    channel: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    """None for any."""
    bits: Literal[7, 14] = 7
    """With 14 the CC has a finer half, 32 above it; for an NRPN, data entry has both halves."""
    mode: Mode = Mode.AUTO
    low: float | None = None
    """Value at the lower end, the control's lowest if not given; above ``high`` to turn round."""
    high: float | None = None
    curve: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 1.0
    """Exponent: above 1 finer below, below 1 finer above."""
    takeover: bool = False
    """A knob waits until it has reached where its control stands."""
    value: str | int | float | bool | None = None
    feedback: bool = True
    """Show the control on the same CC or note."""

    def __post_init__(self) -> None:
        """Refuse a row that could never work.

        Raises:
            ValueError: one line of why.
        """
        given = [s for s in (self.cc, self.nrpn, self.note, self.program) if s is not None]
        if len(given) != 1:
            message = f"{self.control}: give one of cc, nrpn, note and program"
            raise ValueError(message)
        if self.cc in CHANNEL_MODE:
            message = f"{self.control}: cc {self.cc} is a channel mode message: use 0 to 119"
            raise ValueError(message)
        if self.bits == 14 and self.nrpn is None and (self.cc is None or self.cc > 31):
            message = f"{self.control}: only cc 0 to 31 and nrpn have 14 bits"
            raise ValueError(message)
        if self.name not in VALUES:
            message = f"no control {self.control!r}: drumigen control --list names them"
            raise ValueError(message)

    @property
    def name(self) -> str:
        """The control's own name."""
        return ALIASES.get(self.control, self.control)

    @property
    def allowed(self) -> Allowed[object] | None:
        """What the control takes; None for an action."""
        return VALUES[self.name]

    @property
    def how(self) -> Mode:
        """The mode, with ``auto`` decided."""
        if self.mode is not Mode.AUTO:
            return self.mode
        allowed = self.allowed
        if allowed is None or self.value is not None:
            return Mode.TRIGGER
        if bool in allowed.kinds or self.note is not None:
            return Mode.TOGGLE
        return Mode.ABSOLUTE

    @property
    def sign(self) -> tuple[str, int | str]:
        """What it is on the controller, for telling bindings apart."""
        for kind in KINDS:
            number = getattr(self, kind)
            if number is not None:
                return kind, number
        message = "a binding has one of them"
        raise AssertionError(message)

    @property
    def source(self) -> str:
        """What it is on the controller, for people: "cc 20 on channel 1, 14 bits"."""
        kind, number = self.sign
        if isinstance(number, int) and kind == "program":
            number = f"{number} ({number - 1} on the wire)"
        channel = "" if self.channel is None else f" on channel {self.channel}"
        bits = ", 14 bits" if self.bits == 14 else ""
        mode = "" if self.mode is Mode.AUTO else f", {self.mode}"
        return f"{kind} {number}{channel}{bits}{mode}"


class ControllerMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a controller does."""

    title: str = ""
    port: str = ""
    """Part of the name of the MIDI input it is heard from; empty for any."""
    controls: tuple[Binding, ...] = ()


def controller_names() -> tuple[str, ...]:
    """Return the names of the shipped controller maps, in order."""
    return tuple(sorted(path.stem for path in config_path("controllers").glob("*.toml")))


def load_controller(name: str) -> ControllerMap:
    """Return a shipped map by name, or a user's by the path of its .toml file.

    Raises:
        SettingsError: there is none, or it is wrong; one line that says where.
    """
    path = Path(name).expanduser()
    if path.suffix != ".toml":
        names = controller_names()
        if name not in names:
            message = f"no controller {name!r}: use {', '.join(names)} or the path of a .toml file"
            raise SettingsError(message)
        path = config_path("controllers", f"{name}.toml")
    return read_toml(path, ControllerMap, SettingsError)
