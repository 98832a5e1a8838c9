"""What a safetensors file says it holds: read from its beginning, in bounded time and memory.

It needs no numpy: a daemon asks a checkpoint which styles it has learnt.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from drumigen.errors import ModelLoadError

HEADER_MAX: Final = 4 * 1024 * 1024
"""Bytes of names, shapes and texts; the shipped checkpoint has 27,000."""

_TEXTS: Final = "__metadata__"
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says it holds: texts, and of its tensors names, shapes and types."""

    texts: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]


def located(path: str | Path) -> Path:
    """Return ``path`` made absolute, ``~`` expanded and links followed.

    Raises:
        ModelLoadError: it is no path, or nothing is there.
    """
    try:
        return Path(path).expanduser().resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        # also a NUL in it, a user without a home, and links that lead in a circle
        why = getattr(error, "strerror", None) or str(error)
        message = (
            f"{shown_path(path)}: no checkpoint here ({_line(why)}); check the path, "
            "or train one with drumigen train"
        )
        raise ModelLoadError(message) from error


def damaged(path: Path, why: object) -> ModelLoadError:
    """Return the error that says that a file is no checkpoint, and why."""
    return ModelLoadError(
        f"{shown_path(path)}: not a whole checkpoint ({_line(why)}); get the file again, "
        "or train one with drumigen train"
    )


def shown_path(path: object) -> str:
    """Return a path as one printable line, whatever is in it."""
    return "".join(c if c.isprintable() else "?" for c in str(path))[:300]


def _line(why: object) -> str:
    return " ".join(str(why).split())[:120]


@contextmanager
def opened_file(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; what could block for ever is refused.

    Raises:
        ModelLoadError: it is something else, cannot be opened, or cannot be read.
    """
    wait = getattr(os, "O_NONBLOCK", 0)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            message = "not a file"
            raise damaged(path, message)
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | wait)) as file:
            # looked at again: it may have become something else
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                message = "not a file"
                raise damaged(path, message)
            yield file
    except OSError as error:
        raise damaged(path, error.strerror or error) from error


def read_header(file: BufferedReader) -> Header:
    """Read what a file says it holds, from its beginning.

    Raises:
        ValueError: it is no safetensors file, or larger than any of ours.
    """
    length = int.from_bytes(_exactly(file, 8), "little")
    if length > HEADER_MAX:
        message = f"its header would take {length} bytes"
        raise ValueError(message)
    raw = _decoded(_exactly(file, length), dict[str, Any])
    try:
        texts = msgspec.convert(raw.pop(_TEXTS, {}), dict[str, str])
        entries = msgspec.convert(raw, dict[str, _Entry])
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(error) from error
    return Header(
        texts,
        {name: entry.shape for name, entry in entries.items()},
        {name: entry.dtype for name, entry in entries.items()},
    )


def decoded_text(text: str, kind: Any) -> Any:  # noqa: ANN401 - whatever is asked for
    """Return the value of a JSON text as ``kind``.

    Raises:
        ValueError: it is none, or nested without end.
    """
    return _decoded(text.encode(), kind)


def _decoded(text: bytes, kind: Any) -> Any:  # noqa: ANN401 - as above
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ValueError(error) from error


def _exactly(file: BufferedReader, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        message = "it ends too early"
        raise ValueError(message)
    return found
