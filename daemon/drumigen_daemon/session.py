"""What the performer has set: one frozen value, and the controls that make the next one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

import msgspec

from drumigen.arrange import Section
from drumigen.errors import ControlError, DrumigenError
from drumigen.kit import Voice
from drumigen.styles import StyleCatalogue
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.messages import (
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
from drumigen_daemon.values import (
    BAR,
    KIT,
    METER,
    OFFSET_MS,
    READING,
    SEED,
    STYLE,
    SWITCH,
    TEMPO,
    TEXT_MAX,
    Allowed,
    choice,
    shown,
)


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
    density: int | None = None
    """0 (sparse) to 100 (busy); None leaves it to the style.  What conditions a bar is described
    in :class:`~drumigen_daemon.bar_request.BarRequest`."""
    intensity: int | None = None
    temperature: float = 1.0
    section: Section = Section.NONE
    blend: str = ""
    share: int = 0
    quantum: Quantum = Quantum.BEAT
    variation: bool = True
    """Vary a bar that would sound verbatim a third time running."""
    tune: Tune = Tune()


_TUNED: Final[Mapping[str, Allowed[Any]]] = {
    "tempo": TEMPO,
    "source": choice(ClockSource),
    "drop_out": choice(DropOut),
    "start_on_clock": SWITCH,
    "clock_out": SWITCH,
    "reading": READING,
    "offset_ms": OFFSET_MS,
    "kit": KIT,
}

_OWN: Final[Mapping[str, Allowed[Any]]] = {
    "seed": SEED,
    "meter": METER,
    "quantum": choice(Quantum),
    "variation": SWITCH,
}

_ACTIONS: Final[Mapping[str, Callable[[], Command]]] = {
    "start": Start,
    "continue": Continue,
    "stop": Stop,
    "re-one": ReOne,
    "panic": Panic,
}

_VOICE_OFFSET = "offset_ms."

CONTROLS: Final[Mapping[str, str]] = {
    "style": STYLE.said,
    **{name: allowed.said for name, allowed in {**_OWN, **_TUNED}.items()},
    **{f"{_VOICE_OFFSET}{voice}": OFFSET_MS.said for voice in Voice},
    "bar": BAR.said,
    **dict.fromkeys(_ACTIONS, ""),
}
"""Everything that can be controlled, and what it takes: settings, ``bar`` (relocate), actions."""

ALIASES: Final[Mapping[str, str]] = {"metre": "meter", "bpm": "tempo"}


class Controls:
    """The one owner of the session: takes named controls, gives the new session or a command."""

    def __init__(self, styles: StyleCatalogue, session: Session) -> None:
        """Begin with ``session``."""
        self._styles = styles
        self.session = session

    def apply(
        self, name: str, value: object = None, *, bar_tick: Callable[[int], Tick]
    ) -> Command | None:
        """Carry out control ``name``; return what the engine has to be told besides settings.

        ``bar_tick`` gives the tick of a bar line, for ``bar`` (counted from 1, as on screen).

        Raises:
            ControlError: no such control, or a value it does not take; nothing has changed.
        """
        name = ALIASES.get(name, name)
        if name not in CONTROLS:
            near = get_close_matches(name[:TEXT_MAX], CONTROLS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CONTROLS)}"
            message = f"no control {shown(name)}: {hint}"
            raise ControlError(message)
        try:
            return self._apply(name, value, bar_tick)
        except DrumigenError as error:
            message = f"{name}: {error}"
            raise ControlError(message) from error

    def _apply(self, name: str, value: object, bar_tick: Callable[[int], Tick]) -> Command | None:
        session = self.session
        if name in _ACTIONS:
            return _ACTIONS[name]()
        if name == "bar":
            return Locate(bar_tick(BAR.take(value) - 1))
        if name == "style":
            self.session = replace(session, style=self._styles.find(str(value)[:TEXT_MAX]).name)
        elif name in _OWN:
            self.session = replace(session, **{name: _OWN[name].take(value)})
        elif name in _TUNED:
            self._tune(**{name: _TUNED[name].take(value)})
        else:
            voice = Voice(name.removeprefix(_VOICE_OFFSET))
            offset = OFFSET_MS.take(value)
            self._tune(voice_offsets_ms={**session.tune.voice_offsets_ms, voice: offset})
        return None

    def _tune(self, **changed: object) -> None:
        tune = msgspec.structs.replace(self.session.tune, **changed)
        self.session = replace(self.session, tune=tune)
