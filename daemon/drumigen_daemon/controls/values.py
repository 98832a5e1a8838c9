"""What a single value from outside may be: settings, flags and controls share these ranges."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, NoReturn, TypeVar

from drumigen.catalogue import load_catalogue
from drumigen.errors import ControlError, DrumigenError
from drumigen.feel.feel import PUSH_MAX_MS, SWING_MAX, SWING_MIN
from drumigen.kit import Voice, load_kit
from drumigen.resources import toml_value
from drumigen.styles import StyleCatalogue
from drumigen.timeline import Meter
from drumigen.units import TEMPO_MAX, TEMPO_MIN
from drumigen.voice_mixer import LEVEL_MAX
from drumigen_daemon.engine.messages import NUDGE_LIMIT_MS, OFFSET_LIMIT_MS
from drumigen_daemon.process.plugins import installed

log = logging.getLogger(__name__)

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

SEED_MAX: Final = 2**31 - 1
TEXT_MAX: Final = 1000
"""Longest text that is looked at: longer than any path or name in use."""
LIST_MAX: Final = 64
_SHOWN_MAX: Final = 60


def shown(value: object) -> str:
    """Return ``value`` for an error message: one line, shortened."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a huge number"
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def plain(value: object) -> str:
    """Return ``value`` as the text that the control it came from takes.

    None is ``style``, where a control leaves it to the style; nothing chosen is ``none``.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or value == "":
        return "style" if value is None else "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def one_line(text: str) -> str:
    """Return ``text`` without line breaks or other control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


@dataclass(frozen=True, slots=True)
class Allowed(Generic[T]):
    """What may be given for one setting or control."""

    said: str
    """What is allowed, for people: "20 to 400"."""
    kinds: tuple[type, ...]
    """What it is in TOML or JSON; text stands for any of them on a command line."""
    parse: Callable[[Any], T]
    """Returns the value; raises ValueError, TypeError, OverflowError or a DrumigenError."""
    low: float | None = None
    """Lowest number, where numbers are taken: what a knob goes from, and to."""
    high: float | None = None
    whole: bool = False
    """Whether only whole numbers are taken."""
    names: tuple[str, ...] = ()
    """Names, where names are taken: what a knob steps through."""

    def take(self, value: object, *, strict: bool = False) -> T:
        """Return what ``value`` means; ``strict`` refuses text where it is not meant as such.

        Raises:
            ControlError: one line with the value and what is allowed.
        """
        text = isinstance(value, str)
        fits = isinstance(value, self.kinds)
        if isinstance(value, bool) and bool not in self.kinds:
            fits = False
        if not (fits or (text and not strict)) or (text and len(str(value)) > TEXT_MAX):
            self._refuse(value)
        try:
            return self.parse(value)
        except DrumigenError as error:
            raise ControlError(one_line(str(error))) from error
        except (TypeError, ValueError, OverflowError):
            self._refuse(value)

    def _refuse(self, value: object) -> NoReturn:
        message = f"{shown(value)} is not allowed: use {self.said}"
        raise ControlError(message) from None


def leaves_to_style(allowed: Allowed[Any]) -> bool:
    """Tell whether a control can be left to the style, which is what its value None means."""
    try:
        return allowed.take(plain(None)) is None
    except ControlError:
        return False


def number(low: float, high: float) -> Allowed[float]:
    """Allow numbers from ``low`` to ``high``."""

    def parse(value: Any) -> float:  # noqa: ANN401 - from outside
        read = float(value)
        if not low <= read <= high:  # nor is NaN
            raise ValueError
        return read

    return Allowed(f"{low:g} to {high:g}", (int, float), parse, low, high)


def whole(low: int, high: int) -> Allowed[int]:
    """Allow whole numbers from ``low`` to ``high``."""

    def parse(value: Any) -> int:  # noqa: ANN401 - from outside
        read = int(value)
        if not low <= read <= high or (isinstance(value, float) and value != read):
            raise ValueError
        return read

    said = f"a whole number from {low} to {high}"
    return Allowed(said, (int, float), parse, low, high, whole=True)


def or_style(allowed: Allowed[T]) -> Allowed[T | None]:
    """Allow what ``allowed`` does, or ``style`` (None): what the style has of its own."""

    def parse(value: Any) -> T | None:  # noqa: ANN401 - from outside
        own = isinstance(value, str) and value.strip().lower() == "style"
        return None if own else allowed.parse(value)

    said = f"{allowed.said}, or style"
    kinds = (*allowed.kinds, str)
    return Allowed(said, kinds, parse, allowed.low, allowed.high, allowed.whole)


def stepped(low: float, high: float, step: float) -> Allowed[float]:
    """Allow numbers from ``low`` to ``high``, taken to the nearest multiple of ``step``."""
    plain = number(low, high)
    said = f"{plain.said} in steps of {step:g}"
    return Allowed(
        said,
        plain.kinds,
        lambda value: round(round(plain.parse(value) / step) * step, 6),
        low,
        high,
    )


def choice(kind: type[E]) -> Allowed[E]:
    """Allow the values of an enumeration."""
    names = tuple(kind)
    return Allowed(_listed(names), (str,), lambda value: kind(value.strip().lower()), names=names)


def choice_or_installed(kind: type[StrEnum], group: str) -> Allowed[str]:
    """Allow what :func:`choice` does, and what installed packages bring, as below."""
    ours = one_of_or_installed(tuple(kind), group)
    return replace(ours, names=tuple(kind))


def one_of(*names: str) -> Allowed[str]:
    """Allow a few names."""

    def parse(value: str) -> str:
        return names[names.index(value.strip().lower())]

    return Allowed(_listed(names), (str,), parse, names=names)


def one_of_or_installed(names: tuple[str, ...], group: str) -> Allowed[str]:
    """Allow a few names, and those that installed packages bring as entry points of ``group``."""
    ours = one_of(*names)

    def parse(value: str) -> str:
        name = value.strip()
        return name if name.lower() not in names and installed(group, name) else ours.parse(name)

    return Allowed(f"{ours.said}, or the name of one that is installed", (str,), parse)


def text(low: int, high: int, said: str, without: str = "") -> Allowed[str]:
    """Allow a printable text of ``low`` to ``high`` characters, none of them in ``without``."""

    def parse(value: str) -> str:
        if not low <= len(value) <= high or not value.isprintable() or set(value) & set(without):
            raise ValueError
        return value

    return Allowed(said, (str,), parse)


def absolute_path() -> Allowed[str]:
    """Allow an absolute path, ``~`` for the home folder, or an empty text for none."""

    def parse(value: str) -> str:
        absolute = value == "" or value.startswith("~") or Path(value).is_absolute()
        if not absolute or not value.isprintable():
            raise ValueError
        return str(Path(value).expanduser()) if value else ""

    return Allowed("an absolute path", (str,), parse)


def word(low: int, high: int, said: str) -> Allowed[str]:
    """Allow ``low`` to ``high`` letters, digits, - and _: what may be part of a topic."""

    def parse(value: str) -> str:
        if not low <= len(value) <= high or not re.fullmatch(r"[A-Za-z0-9_-]*", value):
            raise ValueError
        return value

    return Allowed(said, (str,), parse)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


_SWITCH: Final = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def _switch(value: object) -> bool:
    named = _SWITCH.get(str(value).strip().lower())
    if named is None:
        raise ValueError
    return named


def _kit(value: str) -> str:
    load_kit(value)
    return value


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from outside
    parts = _listed_in(value) if isinstance(value, str) else list(value)
    parts = [part for part in parts if part != ""]
    if len(parts) > LIST_MAX:
        raise ValueError
    for part in parts:
        if not isinstance(part, str) or len(part) > TEXT_MAX or not part.isprintable():
            raise ValueError
    return tuple(parts)


def _listed_in(text: str) -> list[Any]:
    """Return what a text lists: as in a file, ``["a", "b"]``, or with commas alone, ``a, b``.

    A shell takes quotes away, so ``[a, b]`` is such a list too.
    """
    text = text.strip()
    if text.startswith("[") and (text.endswith("]") or set(text) & set("\"'")):
        if set(text) & set("\"'"):
            return list(toml_value(text))
        text = text[1:-1]
        if set(text) & set("[]"):
            raise ValueError
    return [part.strip() for part in text.split(",")]


def _device(value: str) -> str:
    name = value.strip().lower()
    kind, colon, index = name.partition(":")
    if kind == "cuda" and colon and index.isdecimal() and len(index) <= 3:
        return f"cuda:{int(index)}"
    return DEVICES[DEVICES.index(name)]


def _model(value: str) -> str:
    if value and not Path(value).expanduser().is_file():
        raise ValueError
    return str(Path(value).expanduser()) if value else ""


def _voice_offsets(value: Any) -> dict[Voice, float]:  # noqa: ANN401 - from outside
    if isinstance(value, str) and value.strip().startswith("{"):
        value = toml_value(value)
    if isinstance(value, str):
        pairs = [pair.partition("=")[::2] for pair in value.split(",") if pair.strip()]
        value = dict(pairs)
    offsets = {}
    for name, offset in value.items():
        voice = VOICE.take(str(name))
        try:
            offsets[voice] = OFFSET_MS.take(offset)
        except ControlError as error:
            message = f"{voice}: {error}"
            raise ControlError(message) from error
    return offsets


class _Sources:
    """Where this process finds styles besides the shipped ones: said once, by its settings."""

    folder: Path | None = None
    checkpoint: Path | None = None


def use_styles(folder: Path | None, checkpoint: Path | None) -> None:
    """Let this process know the styles in ``folder`` and those that ``checkpoint`` learnt too."""
    _Sources.folder, _Sources.checkpoint = folder, checkpoint


def known_styles() -> StyleCatalogue:
    """Return every style that this process knows, read once; see :func:`use_styles`.

    What is wrong with one that is not shipped is logged, a line each, and harms no other.

    Raises:
        SettingsError: a shipped style's file is wrong.
    """
    return _catalogue(_Sources.folder, _Sources.checkpoint)


@cache
def _catalogue(folder: Path | None, checkpoint: Path | None) -> StyleCatalogue:
    catalogue = load_catalogue(folder, checkpoint)
    for complaint in catalogue.complaints:
        log.warning("drumigen: %s", one_line(complaint))
    return catalogue


TEMPO: Final = number(TEMPO_MIN, TEMPO_MAX)
OFFSET_MS: Final = number(-OFFSET_LIMIT_MS, OFFSET_LIMIT_MS)
SEED: Final = whole(0, SEED_MAX)
BAR: Final = whole(1, 1_000_000)
"""A bar as on screen, from 1."""
PHRASE: Final = whole(1, 64)
"""Bars in a phrase."""
SCENE: Final = whole(1, 128)
"""A scene, by the number of the program change that recalls it."""
FILL_EVERY: Final = or_style(whole(0, 64))
"""Bars from fill to fill; 0 plays none."""
PERCENT: Final = whole(0, 100)
POINTS: Final = or_style(PERCENT)
"""Density, intensity, how busy, or how much of a bar a fill takes."""
TEMPERATURE: Final = stepped(0.05, 2.0, 0.05)
TOP_K: Final = whole(0, 1000)
"""Likeliest events that are drawn among; 0 for all."""
TOP_P: Final = number(0.01, 1.0)
"""Chance that the likeliest events, which are drawn among, have together."""
SWING: Final = or_style(number(SWING_MIN, SWING_MAX))
"""MPC percent."""
PUSH_MS: Final = number(-PUSH_MAX_MS, PUSH_MAX_MS)
LEVEL: Final = whole(0, LEVEL_MAX)
BUILD_BARS: Final = whole(1, 16)
COUNT_IN: Final = whole(0, 2)
NUDGE_MS: Final = number(-NUDGE_LIMIT_MS, NUDGE_LIMIT_MS)
SWITCH: Final = Allowed("on or off", (bool, int), _switch)
METER: Final = Allowed("a metre like 4/4 or 7/8", (str,), Meter.parse)
READING: Final = one_of("half", "normal", "double")
VOICE: Final = choice(Voice)
DEVICES: Final = ("cpu", "auto", "cuda", "mps")
KIT: Final = Allowed("the name of a kit, or the path of a .toml file", (str,), _kit)
DEVICE: Final = Allowed("cpu, auto, mps, cuda, or one of several as in cuda:1", (str,), _device)
MODEL: Final = Allowed("the path of a checkpoint that is there", (str,), _model)
STYLE: Final = Allowed(
    "the name of a style, or the path of a .toml file",
    (str,),
    lambda value: known_styles().find(value).name,
)
BLEND: Final = Allowed(
    "the name of a style, or none",
    (str,),
    lambda value: "" if value.strip().lower() in ("", "none") else STYLE.parse(value),
)
TEXTS: Final = Allowed(
    f'a list of at most {LIST_MAX} texts, as in ["a", "b"]', (list, tuple), _texts
)
VOICE_SET: Final = Allowed(
    "a list of voices",
    (list, tuple),
    lambda value: frozenset(VOICE.take(each) for each in _texts(value)),
)
VOICE_OFFSETS: Final[Allowed[Mapping[Voice, float]]] = Allowed(
    f"a table of voices with {OFFSET_MS.said} each", (dict,), _voice_offsets
)
