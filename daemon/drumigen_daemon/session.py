"""What the performer has set: one frozen value, and the controls that make the next one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import msgspec

from drumigen.errors import ControlError, DrumigenError
from drumigen.kit import Voice, load_kit
from drumigen.styles import StyleCatalogue
from drumigen.timeline import Meter
from drumigen.units import TEMPO_MAX, TEMPO_MIN, Tick
from drumigen_daemon.messages import (
    OFFSET_LIMIT_MS,
    ClockSource,
    Command,
    Continue,
    DropOut,
    Locate,
    Panic,
    ReOne,
    Start,
    Stop,
    Tune,
)

SEED_MAX: Final = 2**31 - 1


class Quantum(StrEnum):
    """The boundary at which a style switch takes effect."""

    STEP = "step"
    BEAT = "beat"
    BAR = "bar"


@dataclass(frozen=True, slots=True)
class Session:
    """Everything live that decides what is played and how."""

    style: str = "rock"
    seed: int = 1
    meter: Meter = Meter()
    quantum: Quantum = Quantum.BEAT
    variation: bool = True
    """Vary a bar that would sound verbatim a third time running."""
    tune: Tune = Tune()


def _number(value: Any, low: float, high: float) -> float:  # noqa: ANN401 - from outside
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        message = f"{value!r} is out of range: use {low:g} to {high:g}"
        raise ControlError(message)
    return number


def _choice(value: Any, kind: type[StrEnum]) -> Any:  # noqa: ANN401
    try:
        return kind(str(value))
    except ValueError:
        message = f"{value!r} is not one of {', '.join(kind)}"
        raise ControlError(message) from None


def _switch(value: Any) -> bool:  # noqa: ANN401
    named = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
    try:
        return named[str(value).lower()]
    except KeyError:
        message = f"{value!r} is not on or off"
        raise ControlError(message) from None


def _reading(value: Any) -> str:  # noqa: ANN401
    if value not in ("half", "normal", "double"):
        message = f"{value!r} is not one of half, normal, double"
        raise ControlError(message)
    return str(value)


def _kit(value: Any) -> str:  # noqa: ANN401
    load_kit(str(value))
    return str(value)


_TUNED: Final[Mapping[str, Callable[[Any], object]]] = {
    "tempo": lambda value: _number(value, TEMPO_MIN, TEMPO_MAX),
    "source": lambda value: _choice(value, ClockSource),
    "drop_out": lambda value: _choice(value, DropOut),
    "start_on_clock": _switch,
    "clock_out": _switch,
    "reading": _reading,
    "offset_ms": lambda value: _number(value, -OFFSET_LIMIT_MS, OFFSET_LIMIT_MS),
    "kit": _kit,
}

_OWN: Final[Mapping[str, Callable[[Any], object]]] = {
    "seed": lambda value: int(_number(value, 0, SEED_MAX)),
    "meter": lambda value: Meter.parse(str(value)),
    "quantum": lambda value: _choice(value, Quantum),
    "variation": _switch,
}

_ACTIONS: Final[Mapping[str, Callable[[], Command]]] = {
    "start": Start,
    "continue": Continue,
    "stop": Stop,
    "re-one": ReOne,
    "panic": Panic,
}

_VOICE_OFFSET = "offset_ms."

CONTROL_NAMES: Final = (
    "style",
    *_OWN,
    *_TUNED,
    *(f"{_VOICE_OFFSET}{voice}" for voice in Voice),
    "bar",
    *_ACTIONS,
)
"""Everything that can be controlled: settings with a value, ``bar`` (relocate), and actions."""


class Controls:
    """The one owner of the session: takes named controls, gives the new session or a command."""

    def __init__(self, styles: StyleCatalogue, session: Session) -> None:
        """Begin with ``session``."""
        self._styles = styles
        self.session = session

    def apply(
        self, name: str, value: Any = None, *, bar_tick: Callable[[int], Tick]
    ) -> Command | None:
        """Carry out control ``name``; return what the engine has to be told besides settings.

        ``bar_tick`` gives the tick of a bar line, for ``bar`` (counted from 1, as on screen).

        Raises:
            ControlError: no such control, or a value it does not take; nothing has changed.
        """
        try:
            return self._apply(name, value, bar_tick)
        except DrumigenError as error:
            message = f"{name}: {error}" if name in CONTROL_NAMES else str(error)
            raise ControlError(message) from error

    def _apply(self, name: str, value: Any, bar_tick: Callable[[int], Tick]) -> Command | None:  # noqa: ANN401
        session = self.session
        if name in _ACTIONS:
            return _ACTIONS[name]()
        if name == "bar":
            return Locate(bar_tick(int(_number(value, 1, 1_000_000)) - 1))
        if name == "style":
            self.session = replace(session, style=self._styles.find(str(value)).name)
        elif name in _OWN:
            self.session = replace(session, **{name: _OWN[name](value)})  # type: ignore[arg-type]
        elif name in _TUNED:
            changed = {name: _TUNED[name](value)}
            self.session = replace(session, tune=msgspec.structs.replace(session.tune, **changed))
        elif name.startswith(_VOICE_OFFSET):
            voice = _choice(name.removeprefix(_VOICE_OFFSET), Voice)
            offset = _number(value, -OFFSET_LIMIT_MS, OFFSET_LIMIT_MS)
            offsets = {**session.tune.voice_offsets_ms, voice: offset}
            tune = msgspec.structs.replace(session.tune, voice_offsets_ms=offsets)
            self.session = replace(session, tune=tune)
        else:
            message = f"no control {name!r}: there are {', '.join(CONTROL_NAMES)}"
            raise ControlError(message)
        return None
