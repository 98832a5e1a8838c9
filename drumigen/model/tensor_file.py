"""Tensors of a safetensors file from anywhere: bounded before they are held.

What the file says it holds is read first (:mod:`drumigen.model.tensor_header`); only if that is
what the caller expects, to the last tensor, is memory taken for the tensors themselves.
"""

from collections.abc import Mapping
from io import BufferedReader
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from drumigen.model.tensor_header import Header, shown_path

DTYPES: Final[Mapping[str, type[np.floating[Any]]]] = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
"""What weights may be; anything else is none of ours."""

Floats = NDArray[np.float32]


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


def _check_entry(name: str, header: Header, expected: Mapping[str, tuple[int, ...]]) -> None:
    shown = shown_path(name)[:60]
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
