"""Where the shipped configuration lies, and how a TOML file becomes a typed value."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from drumigen.errors import DrumigenError

T = TypeVar("T")

TOML_MAX = 256 * 1024
"""Bytes; a settings file has some thousands."""
DEPTH_MAX = 16
"""Tables and lists within one another; ours need three."""
DIGITS_MAX = 100
"""Characters of one number."""
_SHOWN_MAX = 60

_TOKENS = re.compile(
    # strings and comments, closed or not, so that every character is looked at once only
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{0,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{0,5}"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|(?P<word>[A-Za-z0-9_+-]++)"
    r"|(?P<mark>[\n=,.\[\]{}])",
    re.DOTALL,
)

_PACKAGE = Path(__file__).resolve().parent


def config_path(*parts: str) -> Path:
    """Return a path below the shipped configuration, whether or not a file is there.

    In an installed wheel that is ``drumigen/config``; in a checkout the repository's ``config``.
    """
    installed = _PACKAGE / "config"
    root = installed if installed.is_dir() else _PACKAGE.parent / "config"
    return root.joinpath(*parts)


@cache
def bank_names() -> tuple[str, ...]:
    """Return the names of the bar banks, in order."""
    return tuple(sorted(path.stem for path in (_PACKAGE / "bank" / "bars").glob("*.mid")))


def bank_path(name: str) -> Path:
    """Return the path of the bar bank ``name``, whether or not it exists."""
    return _PACKAGE / "bank" / "bars" / f"{name}.mid"


def openings_path() -> Path:
    """Return the path of what the bars of each bank say of first bars."""
    return _PACKAGE / "bank" / "bars" / "openings.toml"


def checkpoint_path(name: str = "drummer") -> Path:
    """Return the path of the shipped checkpoint ``name``, whether or not it exists."""
    return _PACKAGE / "model" / "checkpoints" / f"{name}.safetensors"


def load_toml(path: Path, error: type[DrumigenError]) -> dict[str, Any]:
    """Read the tables of ``path``, unchecked.

    Raises:
        DrumigenError: the given ``error``; one line that names the file.
    """
    text = toml_text(path, error)
    try:
        return tomllib.loads(text)
    except ValueError as failure:
        why = " ".join(str(failure).split())
        message = f"{path}: not valid TOML: {why}"
        raise error(message) from failure


def toml_value(text: str) -> Any:  # noqa: ANN401 - TOML holds anything
    """Return a value written as in a TOML file: ``["a", "b"]``, ``{ kick = -3 }``.

    Raises:
        ValueError: it is none, or nested too deep.
    """
    if "\n" in text or _beyond_bounds(text):
        raise ValueError
    tables = tomllib.loads(f"value = {text}")
    return tables["value"]


def toml_text(path: Path, error: type[DrumigenError]) -> str:
    """Read ``path``, a TOML file that any parser reads in a moment; whether it is one, it says.

    Parsers of TOML take quadratic time for dotted keys of many parts, recurse for what is nested,
    and refuse numbers of thousands of digits in words for programmers; so that is looked at first.

    Raises:
        DrumigenError: the given ``error``: there is no such file, it is too large, no text, or
            nested deeper than anybody would by hand; one line that names the file.
    """
    try:
        if path.exists() and not path.is_file():
            # a pipe would block, and a device never end
            message = f"{path}: not a file; check the path"
            raise error(message)
        if path.stat().st_size > TOML_MAX:
            message = f"{path}: larger than {TOML_MAX // 1024} kB; check the path"
            raise error(message)
        with path.open("rb") as file:
            text = file.read(TOML_MAX).decode("utf-8-sig")
    except OSError as failure:
        message = f"{path}: cannot be read ({failure.strerror}); check the path"
        raise error(message) from failure
    except UnicodeDecodeError as failure:
        line = failure.object[: failure.start].count(b"\n") + 1
        message = f"{path}: not valid TOML: line {line} is no UTF-8 text"
        raise error(message) from failure
    except ValueError as failure:
        message = f"{str(path)!r}: not a path; check it"
        raise error(message) from failure
    problem = _beyond_bounds(text)
    if problem:
        message = f"{path}: {problem}"
        raise error(message)
    return text


def _beyond_bounds(text: str) -> str:
    """Return what in ``text`` is nested too deep, or too long, and where; empty if all is well."""
    depth = parts = 0
    for found in _TOKENS.finditer(text):
        word, mark = found["word"], found["mark"]
        if word is not None:
            if word.lstrip("+-")[:1].isdigit() and len(word) > DIGITS_MAX:
                where = text.count("\n", 0, found.start()) + 1
                return f"line {where}: a number has at most {DIGITS_MAX} digits"
            continue
        if mark is None:
            continue
        depth = max(0, depth + (mark in "[{") - (mark in "]}"))
        parts = parts + 1 if mark == "." else 0
        if max(depth, parts) >= DEPTH_MAX:
            line = text.count("\n", 0, found.start()) + 1
            return f"line {line}: more than {DEPTH_MAX} tables or lists within one another"
    return ""


def read_toml(path: Path, kind: type[T], error: type[DrumigenError]) -> T:
    """Read ``path`` as a value of ``kind``, checked by msgspec.

    Raises:
        DrumigenError: the given ``error``; its one line names file, key, value and what is
            allowed there.
    """
    raw = load_toml(path, error)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as failure:
        message = f"{path}: {_explained(raw, str(failure))}"
        raise error(message) from failure


def _explained(raw: Any, complaint: str) -> str:  # noqa: ANN401 - TOML holds anything
    """Turn "Expected ... - at `$.a.b`" into "a.b = value: expected ..."."""
    found = re.fullmatch(r"(.*) - at (?:`key` in )?`\$\.?(.*?)`", complaint)
    if found is None:
        return _lowered(complaint)
    text, key = found.groups()
    value = raw
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal():
            value = value[int(part)]
        else:
            return f"{key}: {_lowered(text)}"
    text_of = "" if isinstance(value, dict | list) else repr(value)
    if len(text_of) > _SHOWN_MAX:
        text_of = f"{text_of[:_SHOWN_MAX]}..."
    shown = f" = {text_of}" if text_of else ""
    return f"{key}{shown}: {_lowered(text)}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
