"""Where the shipped configuration lies, and how a TOML file becomes a typed value."""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from drumigen.errors import DrumigenError

T = TypeVar("T")

TOML_MAX = 1_000_000
"""Bytes; a settings file has some thousands."""

_PACKAGE = Path(__file__).resolve().parent


def config_path(*parts: str) -> Path:
    """Return a path below the shipped configuration, whether or not a file is there.

    In an installed wheel that is ``drumigen/config``; in a checkout the repository's ``config``.
    """
    installed = _PACKAGE / "config"
    root = installed if installed.is_dir() else _PACKAGE.parent / "config"
    return root.joinpath(*parts)


def bank_path(name: str) -> Path:
    """Return the path of the bar bank ``name``, whether or not it exists."""
    return _PACKAGE / "bank" / "bars" / f"{name}.mid"


def checkpoint_path(name: str = "drummer") -> Path:
    """Return the path of the shipped checkpoint ``name``, whether or not it exists."""
    return _PACKAGE / "model" / "checkpoints" / f"{name}.safetensors"


def load_toml(path: Path, error: type[DrumigenError]) -> dict[str, Any]:
    """Read the tables of ``path``, unchecked.

    Raises:
        DrumigenError: the given ``error``; one line that names the file.
    """
    try:
        if path.exists() and not path.is_file():
            # a pipe would block, and a device never end
            message = f"{path}: not a file; check the path"
            raise error(message)
        if path.stat().st_size > TOML_MAX:
            message = f"{path}: larger than {TOML_MAX} bytes; check the path"
            raise error(message)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        message = f"{path}: cannot be read ({failure.strerror}); check the path"
        raise error(message) from failure
    except (ValueError, RecursionError) as failure:
        # also what tomllib lets through: numbers of thousands of digits, endless nesting
        why = " ".join(str(failure).split())
        message = f"{path}: not valid TOML: {why}"
        raise error(message) from failure


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
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    return f"{key}{shown}: {_lowered(text)}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
