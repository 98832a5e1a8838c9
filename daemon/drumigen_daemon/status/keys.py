"""What the keys of the screens do.  Sans I/O."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from drumigen.arrange import Section
from drumigen.kit import Voice
from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.status.view_state import ViewState

HINTS: Final = (
    ("space", "start, stop"),
    ("f", "fill"),
    ("s S", "style"),
    ("/", "style by name"),
    ("+ -", "tempo"),
    ("t", "tap"),
    ("1-6", "section"),
    ("m", "mute"),
    ("r", "re-roll"),
    ("h", "hold"),
    ("d", "drop"),
    ("q", "end"),
)
"""Keys, and in a word what each does; the most needed first."""
HELP: Final = ("?", "all keys")
"""The key that shows them where there is no room for all."""
ACTIONS: Final = {"f": "fill", "r": "re-roll", "t": "tap"}
SWITCHES: Final = {"h": "hold", "d": "drop"}
SECTIONS: Final = dict(
    zip("123456", [each for each in Section if each.value != "none"], strict=True)
)
MUTES: Final[Mapping[str, tuple[Voice, ...]]] = {
    "k": (Voice.KICK,),
    "s": (Voice.SNARE, Voice.SIDE_STICK, Voice.CLAP),
    "h": (Voice.CLOSED_HAT, Voice.PEDAL_HAT, Voice.OPEN_HAT),
    "t": (Voice.LOW_TOM, Voice.MID_TOM, Voice.HIGH_TOM),
    "c": (Voice.CRASH, Voice.SPLASH, Voice.CHINA, Voice.RIDE, Voice.RIDE_BELL),
}
MUTE_PROMPT: Final = ("mute:", "k kick", "s snare", "h hats", "t toms", "c cymbals")
TEMPO_STEP: Final = 1.0
NAME_MAX: Final = 40

_ENTER, _ESCAPE, _INTERRUPT = "\r\n", "\x1b", "\x03"
_BACKSPACE = "\x7f\x08"

Move = tuple[str, Any]
"""A control, and its value; None for an action."""


class Keyboard:
    """Turns keys into controls; knows what was begun: a name, a mute, or a look at all keys."""

    def __init__(self, styles: Sequence[str], find: Callable[[str], str]) -> None:
        """Step through ``styles``; ``find`` returns the style of a typed name, or raises."""
        self._styles = tuple(styles)
        self._find = find
        self._typed: str | None = None
        self._mutes = False
        self._helps = False
        self.ended = False
        """Whether it was told to end."""

    @property
    def prompt(self) -> tuple[str, ...]:
        """What is being asked, in place of the keys, in parts; empty if nothing is."""
        if self._typed is not None:
            return f"style: {self._typed}_", "(Enter, or Esc)"
        if self._helps:
            return (*(f"{key} {does}" for key, does in HINTS), "Esc back")
        return MUTE_PROMPT if self._mutes else ()

    def press(self, key: str, state: ViewState) -> Iterator[Move]:
        """Yield what ``key`` asks for, where ``state`` is what is shown.

        Raises:
            DrumigenError: no style is called as typed.
        """
        if key == _INTERRUPT:
            self.ended = True
        elif self._typed is not None:
            yield from self._type(key)
        elif self._mutes:
            self._mutes = False
            voices = MUTES.get(key, ())
            muted = any(str(voice) in state.muted for voice in voices)
            for voice in voices:
                yield f"mute.{voice}", not muted
        else:
            self._helps = key == HELP[0] and not self._helps
            yield from self._command(key, state)

    def _command(self, key: str, state: ViewState) -> Iterator[Move]:
        if key == "q":
            self.ended = True
        elif key == " ":
            stopped = state.transport is TransportState.STOPPED
            yield ("start" if stopped else "stop"), None
        elif key in "sS" and self._styles:
            yield "style", self._next_style(state, 1 if key == "s" else -1)
        elif key == "/":
            self._typed = ""
        elif key in "+=-_":
            step = TEMPO_STEP if key in "+=" else -TEMPO_STEP
            yield "tempo", round(state.tempo + step)
        elif key == "m":
            self._mutes = True
        elif key in SECTIONS:
            section = SECTIONS[key]
            yield "section", "none" if state.section == section else str(section)
        elif key in ACTIONS:
            yield ACTIONS[key], None
        elif key in SWITCHES:
            name = SWITCHES[key]
            yield name, name not in state.flags

    def _type(self, key: str) -> Iterator[Move]:
        typed, self._typed = self._typed or "", None
        if key in _ENTER:
            if typed:
                yield "style", self._find(typed)
        elif key in _BACKSPACE:
            self._typed = typed[:-1]
        elif key != _ESCAPE:
            self._typed = (typed + key)[:NAME_MAX] if key.isprintable() else typed

    def _next_style(self, state: ViewState, step: int) -> str:
        wanted = state.next_style or state.style
        here = self._styles.index(wanted) if wanted in self._styles else -step
        return self._styles[(here + step) % len(self._styles)]


def moved(state: ViewState, move: Move) -> ViewState:
    """Return ``state`` as it will be after ``move``, so that keys pressed at once add up."""
    control, value = move
    if control == "tempo":
        return msgspec.structs.replace(state, tempo=float(value))
    if control == "style":
        return msgspec.structs.replace(state, next_style=value)
    if control == "section":
        return msgspec.structs.replace(state, section=value)
    if control in SWITCHES.values():
        return msgspec.structs.replace(state, flags=_with(state.flags, control, on=value))
    if control.startswith("mute."):
        voice = control.removeprefix("mute.")
        return msgspec.structs.replace(state, muted=_with(state.muted, voice, on=value))
    return state


def _with(names: tuple[str, ...], name: str, *, on: bool) -> tuple[str, ...]:
    others = tuple(each for each in names if each != name)
    return (*others, name) if on else others
