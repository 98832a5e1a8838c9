"""Every control there is, and how it makes the next session: one table.  Sans I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from drumigen.arrange import Section
from drumigen.errors import ControlError, DrumigenError
from drumigen.kit import Voice
from drumigen.styles import StyleCatalogue
from drumigen.units import Seconds, Tick
from drumigen_daemon.controls.tap_tempo import TapTempo
from drumigen_daemon.controls.values import (
    BAR,
    BLEND,
    BUILD_BARS,
    COUNT_IN,
    FILL_EVERY,
    KIT,
    LEVEL,
    METER,
    NUDGE_MS,
    OFFSET_MS,
    PERCENT,
    PHRASE,
    POINTS,
    PUSH_MS,
    READING,
    SCENE,
    SEED,
    STYLE,
    SWING,
    SWITCH,
    TEMPERATURE,
    TEMPO,
    TEXT_MAX,
    Allowed,
    choice,
    choice_or_installed,
    plain,
    shown,
)
from drumigen_daemon.engine.messages import (
    CLOCK_GROUP,
    ClockSource,
    Command,
    Continue,
    DropOut,
    Locate,
    Nudge,
    Panic,
    ReOne,
    Start,
    Stop,
)
from drumigen_daemon.session import Call, Quantum, Session, SongForm, Stutter

_PARAMETERS: Final[Mapping[str, Allowed[Any]]] = {
    "tempo": TEMPO,
    "source": choice_or_installed(ClockSource, CLOCK_GROUP),
    "drop_out": choice(DropOut),
    "start_on_clock": SWITCH,
    "clock_out": SWITCH,
    "reading": READING,
    "offset_ms": OFFSET_MS,
    "kit": KIT,
}

_OWN: Final[Mapping[str, Allowed[Any]]] = {
    "style": STYLE,
    "seed": SEED,
    "meter": METER,
    "quantum": choice(Quantum),
    "variation": SWITCH,
    "density": POINTS,
    "intensity": POINTS,
    "busy": POINTS,
    "temperature": TEMPERATURE,
    "blend": BLEND,
    "share": PERCENT,
    "section": choice(Section),
    "phrase": PHRASE,
    "fill_every": FILL_EVERY,
    "fill_amount": POINTS,
    "form": choice(SongForm),
    "build_bars": BUILD_BARS,
    "count_in": COUNT_IN,
    "half_time": SWITCH,
    "drop": SWITCH,
    "stutter": choice(Stutter),
    "hold": SWITCH,
}

_FELT: Final[Mapping[str, tuple[str, Allowed[Any]]]] = {
    "swing": ("swing", SWING),
    "push": ("push_ms", PUSH_MS),
    "humanize": ("humanize", PERCENT),
}
"""Controls of feel, each with its field in :class:`FeelKnobs`."""

_VOICED: Final[Mapping[str, Allowed[Any]]] = {
    "offset_ms": OFFSET_MS,
    "push": PUSH_MS,
    "level": LEVEL,
    "mute": SWITCH,
    "solo": SWITCH,
}
"""Controls that every voice has, as in ``mute.snare``."""

_COMMANDS: Final[Mapping[str, Callable[[], Command]]] = {
    "start": Start,
    "continue": Continue,
    "stop": Stop,
    "re-one": ReOne,
    "panic": Panic,
}


def _learnable(value: str) -> str:
    """Return the control's own name; empty for off.

    Raises:
        ControlError: there is none of that name.
    """
    name = ALIASES.get(value.strip(), value.strip())
    if name == "off":
        return ""
    if name not in VALUES or name in ("learn", "forget", "bar"):
        message = f"{shown(value)} is no control that a knob can move"
        raise ControlError(message)
    return name


VALUES: Final[Mapping[str, Allowed[Any] | None]] = {
    **_OWN,
    **_PARAMETERS,
    **{name: allowed for name, (_, allowed) in _FELT.items()},
    **{f"{name}.{voice}": allowed for name, allowed in _VOICED.items() for voice in Voice},
    "bar": BAR,
    "nudge": NUDGE_MS,
    "scene": SCENE,
    "store_scene": SCENE,
    "learn": Allowed("the name of a control, or off", (str,), _learnable),
    "forget": Allowed("the name of a control that was learned", (str,), _learnable),
    "tap": None,
    **dict.fromkeys(Call),
    **dict.fromkeys(_COMMANDS),
}
"""Everything that can be controlled, and what it takes; None for actions, which take nothing."""

CONTROLS: Final[Mapping[str, str]] = {
    str(name): "" if allowed is None else allowed.said for name, allowed in VALUES.items()
}
"""The same for people."""

ALIASES: Final[Mapping[str, str]] = {
    "metre": "meter",
    "bpm": "tempo",
    "cycle": "phrase",
    "morph": "share",
    "reroll": "re-roll",
}


STANDING: Final = tuple(
    str(name)
    for name, allowed in VALUES.items()
    if allowed is not None
    and name not in ("bar", "nudge", "scene", "store_scene", "learn", "forget")
)
"""Controls that stand at something: what is neither an action nor a movement."""


def own_name(name: str) -> str:
    """Return a control's own name.

    Raises:
        ControlError: there is none of that name, or alias.
    """
    name = ALIASES.get(name, name)
    if name not in VALUES:
        near = get_close_matches(name[:TEXT_MAX], (*CONTROLS, *ALIASES), n=1)
        hint = f"did you mean {near[0]}?" if near else "drumigen control --list names them"
        message = f"no control {shown(name)}: {hint}"
        raise ControlError(message)
    return name


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall a scene at the bar line."""

    scene: int


@dataclass(frozen=True, slots=True)
class Store:
    """Store all live parameters as a scene."""

    scene: int


@dataclass(frozen=True, slots=True)
class Learn:
    """Bind the next knob that is moved to a control; to none if it is empty."""

    control: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Take away what was learned for a control."""

    control: str


_TOLD: Final[Mapping[str, Callable[[Any], "Outcome"]]] = {
    "nudge": Nudge,
    "scene": Recall,
    "store_scene": Store,
    "learn": Learn,
    "forget": Forget,
}

AT_ONCE: Final = Seconds(0.0)
"""The time where none is told."""

Outcome = Command | Call | Recall | Store | Learn | Forget | None
"""What a control comes to besides a changed session."""


def value_of(session: Session, name: str) -> object:
    """Return what setting ``name`` of :data:`VALUES` stands at; None for actions."""
    kind, _, of = name.partition(".")
    if name in _OWN:
        return getattr(session, name)
    if name in _PARAMETERS:
        return getattr(session.parameters, name)
    if name in _FELT:
        return getattr(session.feel, _FELT[name][0])
    if of:
        return _of_voice(session, kind, Voice(of))
    return None


class Controls:
    """The one owner of the session: takes named controls, gives the new session or a command."""

    def __init__(self, styles: StyleCatalogue, session: Session) -> None:
        """Begin with ``session``."""
        self._styles = styles
        self._taps = TapTempo()
        self.session = session

    def apply(
        self,
        name: str,
        value: object = None,
        *,
        bar_tick: Callable[[int], Tick],
        now: Seconds = AT_ONCE,
    ) -> Outcome:
        """Carry out control ``name``; return what has to be told besides settings, and to whom.

        A command is for the engine, a call for the planner, the rest for the daemon.
        ``bar_tick`` gives the tick of a bar line, for ``bar`` (counted from 1, as on screen);
        ``now`` is when the control was moved.

        Raises:
            ControlError: no such control, or a value it does not take; nothing has changed.
        """
        name = own_name(name)
        try:
            return self._apply(name, value, bar_tick, now)
        except DrumigenError as error:
            message = f"{name}: {error}"
            raise ControlError(message) from error

    def shown(self, name: str = "") -> dict[str, str]:
        """Return what control ``name`` stands at, or all of them, as the text that it takes.

        Raises:
            ControlError: there is no such control, or it stands at nothing.
        """
        if not name:
            return {each: plain(self.value_of(each)) for each in STANDING}
        name = own_name(name)
        if name not in STANDING:
            takes = CONTROLS[name] and f"; it takes {CONTROLS[name]}"
            message = f"{name} is done and over, and stands at nothing{takes}"
            raise ControlError(message)
        return {name: plain(self.value_of(name))}

    def value_of(self, name: str) -> object:
        """Return what setting ``name`` of :data:`VALUES` stands at; None for actions."""
        return value_of(self.session, name)

    def song_stopped(self) -> None:
        """Let an ending be over: the next start begins without a section."""
        if self.session.section is Section.ENDING:
            self.session = replace(self.session, section=Section.NONE)

    def _apply(
        self, name: str, value: object, bar_tick: Callable[[int], Tick], now: Seconds
    ) -> Outcome:
        allowed = VALUES[name]
        if allowed is None:
            return self._act(name, now)
        taken: Any
        if name == "style":
            taken = self._styles.find(str(value)[:TEXT_MAX]).name
        else:
            taken = allowed.take(value)
        kind, _, of = name.partition(".")
        if name == "bar":
            return Locate(bar_tick(taken - 1))
        if name in _TOLD:
            return _TOLD[name](taken)
        if name in _OWN:
            self.session = replace(self.session, **{name: taken})
        elif name in _PARAMETERS:
            self._set_parameters(**{name: taken})
        elif name in _FELT:
            feel = replace(self.session.feel, **{_FELT[name][0]: taken})
            self.session = replace(self.session, feel=feel)
        else:
            self._set_voice(kind, Voice(of), taken)
        return None

    def _act(self, name: str, now: Seconds) -> Outcome:
        if name == "tap":
            tempo = self._taps.tap(now)
            if tempo is not None:
                self._set_parameters(tempo=tempo)
            return None
        return _COMMANDS[name]() if name in _COMMANDS else Call(name)

    def _set_voice(self, kind: str, voice: Voice, taken: Any) -> None:  # noqa: ANN401 - checked
        session = self.session
        feel, mix = session.feel, session.mix
        match kind:
            case "offset_ms":
                self._set_parameters(
                    voice_offsets_ms={**session.parameters.voice_offsets_ms, voice: taken}
                )
            case "push":
                feel = replace(feel, voice_push_ms={**feel.voice_push_ms, voice: taken})
            case "level":
                mix = replace(mix, levels={**mix.levels, voice: taken})
            case "mute":
                mix = replace(mix, muted=_with(mix.muted, voice, wanted=taken))
            case "solo":
                mix = replace(mix, soloed=_with(mix.soloed, voice, wanted=taken))
        self.session = replace(self.session, feel=feel, mix=mix)

    def _set_parameters(self, **changed: object) -> None:
        parameters = msgspec.structs.replace(self.session.parameters, **changed)
        self.session = replace(self.session, parameters=parameters)


def _with(voices: frozenset[Voice], voice: Voice, *, wanted: bool) -> frozenset[Voice]:
    return voices | {voice} if wanted else voices - {voice}


def _of_voice(session: Session, kind: str, voice: Voice) -> object:
    return {
        "offset_ms": session.parameters.voice_offsets_ms.get(voice, 0.0),
        "push": session.feel.voice_push_ms.get(voice, 0.0),
        "level": session.mix.levels.get(voice, 100),
        "mute": voice in session.mix.muted,
        "solo": voice in session.mix.soloed,
    }[kind]
