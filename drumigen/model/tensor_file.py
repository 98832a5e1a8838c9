"""Safetensors files from anywhere: looked at before they are read, bounded before they are held.

A file says at its beginning what it holds.  That is read first, and only if it is what the
caller expects, to the last tensor, is memory taken for the tensors themselves.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from drumigen.errors import ModelLoadError

HEADER_MAX: Final = 4 * 1024 * 1024
"""Bytes of names, shapes and texts; the shipped checkpoint has 27,000."""
DTYPES: Final[Mapping[str, type[np.floating[Any]]]] = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
"""What weights may be; anything else is none of ours."""

Floats = NDArray[np.float32]

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
            f"{_shown(path)}: no checkpoint here ({_line(why)}); check the path, "
            "or train one with drumigen train"
        )
        raise ModelLoadError(message) from error


def damaged(path: Path, why: object) -> ModelLoadError:
    """Return the error that says that a file is no checkpoint, and why."""
    return ModelLoadError(
        f"{_shown(path)}: not a whole checkpoint ({_line(why)}); get the file again, "
        "or train one with drumigen train"
    )


def _shown(path: object) -> str:
    """Return a path as one printable line, whatever is in it."""
    return "".join(c if c.isprintable() else "?" for c in str(path))[:300]


def _line(why: object) -> str:
    return " ".join(str(why).split())[:120]


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
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


def read_tensors(
    file: BufferedReader, header: Header, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, Floats]:
    """Return the tensors of a file whose header was read, as float32: exactly those expected.

    Raises:
        ValueError: one is missing, superfluous, of another shape or type, or no number.
    """
    for name in sorted({*expected, *header.shapes}):
        _check_entry(name, header, expected)
    size = sum(prod(expected[name]) * _width(header.dtypes[name]) for name in expected)
    data = file.tell() + size
    file.seek(0)
    whole = file.read(data + 1)  # one more, so that what follows is noticed
    try:
        found = deserialize(whole)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(error) from error
    del whole
    weights = {}
    for name, tensor in found:
        array = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
        with np.errstate(over="ignore"):
            weights[name] = array.astype(np.float32)
        if not np.isfinite(weights[name]).all():
            message = f"{name} holds what is no number"
            raise ValueError(message)
    return dict(sorted(weights.items()))


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


def _check_entry(name: str, header: Header, expected: Mapping[str, tuple[int, ...]]) -> None:
    shown = _shown(name)[:60]
    if name not in expected:
        message = f"{shown} is no weight of this network"
    elif name not in header.shapes:
        message = f"{shown} is missing"
    elif header.shapes[name] != expected[name]:
        message = f"{shown} is {header.shapes[name]}, not {expected[name]}"
    elif header.dtypes[name] not in DTYPES:
        message = f"{shown} is of type {header.dtypes[name][:20]}, not one of {', '.join(DTYPES)}"
    else:
        return
    raise ValueError(message)


def _width(dtype: str) -> int:
    return np.dtype(DTYPES[dtype]).itemsize


def _exactly(file: BufferedReader, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        message = "it ends too early"
        raise ValueError(message)
    return found
