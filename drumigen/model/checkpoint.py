"""Checkpoints: weights, configuration and vocabulary in one safetensors file; and loading them."""

import hashlib
import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from drumigen.atomic_file import write_atomically
from drumigen.errors import DeviceError, ModelLoadError
from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.devices import (
    FAULTS,
    clear_gpu_cache,
    detect_device,
    get_gpu_memory_info,
    gpu_memory_line,
)
from drumigen.model.learnt_styles import names_learnt
from drumigen.model.network import ModelConfig, weight_shapes
from drumigen.model.numpy_decoder import Decoder
from drumigen.model.persona import profiles_of
from drumigen.model.stepper import Stepper
from drumigen.model.tensor_file import read_tensors
from drumigen.model.tensor_header import (
    damaged,
    decoded_text,
    located,
    opened_file,
    read_header,
)
from drumigen.model.tokens import vocabulary_hash
from drumigen.model.vocabulary import ADDED_LATER, STYLES_MAX
from drumigen.model.whole_bars import BarDecoder
from drumigen.resources import checkpoint_path

__all__ = [
    "Checkpoint",
    "clear_gpu_cache",
    "clear_model_cache",
    "detect_device",
    "get_gpu_memory_info",
    "load_model",
    "read_texts",
    "save_checkpoint",
    "write_tensors",
]

log = logging.getLogger(__name__)

Weights = Mapping[str, NDArray[np.generic]]

CACHED_MODELS: Final = 4
WEIGHTS_MAX: Final = 64_000_000
"""Numbers in a network, 256 MB of them in memory; the shipped one has two million."""
LEARNT_NAME_MAX: Final = 100
"""Characters in the name of a style or drummer."""
UNSURE_SECONDS: Final = 0.1
"""A file that changed so short a time before it was read may change again unseen: file systems
count time in steps of up to 10 ms."""
_LIMITS: Final = {"width": 2048, "layers": 64, "heads": 64, "kv_heads": 64, "detail_width": 2048}


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to play, and what its file says about it.

    ``device`` is ``cpu``, ``cuda:0``, ``mps``; ``metadata`` holds how it was trained and the
    profile of its styles; ``weights`` are float32 by name.  Any number of threads may use one.
    """

    path: Path
    device: str
    config: ModelConfig
    metadata: Mapping[str, Any] = field(hash=False)
    weights: Weights = field(hash=False, repr=False)

    @cached_property
    def stepper(self) -> Stepper:
        """What writes on the CPU, step by step, in numpy."""
        return Decoder(self.config, self.weights)

    @cached_property
    def decoder(self) -> BarDecoder | None:
        """What writes whole bars on another device; None on the CPU."""
        if self.device == "cpu":
            return None
        from drumigen.model.torch_decoder import TorchDecoder  # noqa: PLC0415 - not needed on a CPU

        return TorchDecoder(self.config, self.weights, self.device)

    @cached_property
    def on_cpu(self) -> "Checkpoint":
        """The same model on the CPU."""
        return self if self.device == "cpu" else replace(self, device="cpu")

    @cached_property
    def learnt(self) -> frozenset[str]:
        """The styles that it can play; see :func:`drumigen.model.learnt_styles.names_learnt`."""
        return names_learnt(self.config, self.metadata)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A loaded model, and the file as it was then."""

    stamp: tuple[int, ...]
    settled: bool
    """Whether any later change of the file would show in its stamp."""
    digest: bytes
    checkpoint: Checkpoint


_cache: OrderedDict[tuple[Path, str], _Kept] = OrderedDict()
_cache_lock = threading.Lock()
_loading = threading.Lock()
"""Held while a model is loaded: who waits for it finds that model in the cache."""


def save_checkpoint(
    config: ModelConfig, weights: Weights, path: Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write the weights as 16-bit floats, with configuration, vocabulary hash and ``metadata``.

    The file appears whole or not at all.
    """
    tensors = {name: np.asarray(tensor, np.float16) for name, tensor in weights.items()}
    texts = {
        "format": "drumigen/1",
        "config": json.dumps(msgspec.to_builtins(config)),
        "vocabulary": vocabulary_hash(),
        "metadata": json.dumps(dict(metadata or {})),
    }
    write_tensors(tensors, path, texts)


def write_tensors(tensors: Weights, path: Path, texts: Mapping[str, str]) -> None:
    """Write a safetensors file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_atomically(path, save(whole, dict(texts)))


def load_model(path: str | Path | None = None, device: str | None = None) -> Checkpoint:
    """Return the model of a checkpoint, by default the shipped one on the best device.

    The four last used are kept in memory, by path and device, for all threads; a file that has
    changed is read again.  Where a GPU fails the CPU is used, for good, and a warning logged.

    Raises:
        ModelLoadError: the file is missing, damaged, hostile or made for another vocabulary,
            or there is no such device.  One line that says what to do.
    """
    where = detect_device(device)
    where = "cpu" if FAULTS.of(where) else where
    file = located(path if path is not None else checkpoint_path())
    found = _cached(file, where)
    if found is not None:
        return found
    with _loading:
        found = _cached(file, where)  # somebody else may have loaded it meanwhile
        if found is not None:
            return found
        try:
            return _load(file, where)
        except DeviceError as error:
            FAULTS.add(where, str(error))
            clear_gpu_cache()
    return load_model(file, "cpu")


def clear_model_cache() -> None:
    """Forget every loaded model."""
    with _cache_lock:
        _cache.clear()
    clear_gpu_cache()


def read_texts(path: Path) -> dict[str, str]:
    """Return the texts of a checkpoint without loading its weights.

    Raises:
        ModelLoadError: it is no safetensors file.
    """
    try:
        with opened_file(path) as file:
            return dict(read_header(file).texts)
    except ValueError as error:
        raise damaged(path, error) from error


def _cached(file: Path, device: str) -> Checkpoint | None:
    """Return the model of an unchanged file, if it is kept."""
    stamp = _stamp(file)
    with _cache_lock:
        kept = _cache.get((file, device))
        if kept is None or kept.stamp != stamp:
            return None
        _cache.move_to_end((file, device))
    if not kept.settled:
        settled = _has_settled(kept.stamp)
        if _digest(file) != kept.digest:
            return None
        _keep((file, device), _Kept(kept.stamp, settled, kept.digest, kept.checkpoint))
    return kept.checkpoint


def _load(file: Path, device: str) -> Checkpoint:
    stamp = _stamp(file)
    settled = _has_settled(stamp)
    digest = b"" if settled else _digest(file)
    checkpoint = _read(file, device)
    try:
        _ = checkpoint.decoder or checkpoint.stepper
    except (KeyError, ValueError) as error:
        raise damaged(file, error) from error
    _keep((file, device), _Kept(stamp, settled, digest, checkpoint))
    memory = gpu_memory_line(device)
    if memory is not None:
        log.info("%s is on %s: %s", file.name, device, memory)
    return checkpoint


def _keep(key: tuple[Path, str], kept: _Kept) -> None:
    with _cache_lock:
        _cache[key] = kept
        _cache.move_to_end(key)
        while len(_cache) > CACHED_MODELS:
            _cache.popitem(last=False)


def _stamp(file: Path) -> tuple[int, ...]:
    """Return what changes when a file does; its modification time alone can be set by anybody."""
    try:
        found = file.stat()
    except OSError as error:
        raise damaged(file, error.strerror or error) from error
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def _has_settled(stamp: tuple[int, ...]) -> bool:
    """Tell whether a file was last changed long enough ago: see :data:`FRESH_SECONDS`."""
    return time.time_ns() - stamp[0] > UNSURE_SECONDS * 1e9


def _digest(file: Path) -> bytes:
    with opened_file(file) as contents:
        return hashlib.file_digest(contents, "blake2b").digest()


def _read(path: Path, device: str) -> Checkpoint:
    try:
        with opened_file(path) as file:
            header = read_header(file)
            lacking = _lacking(path, header.texts)
            config: ModelConfig = decoded_text(header.texts.get("config", ""), ModelConfig)
            metadata = decoded_text(header.texts.get("metadata", "{}"), dict[str, Any])
            shapes = _checked_shapes(config)
            added = sum(CONDITION_SIZES[name] for name in lacking)
            rows, width = shapes["condition.weight"]
            shapes["condition.weight"] = rows - added, width
            if os.fstat(file.fileno()).st_size > file.tell() + 8 * WEIGHTS_MAX:
                message = "larger than any network of ours"
                raise ValueError(message)  # noqa: TRY301 - one place says what is wrong
            weights = dict(read_tensors(file, header, shapes))
        # to what it does not know, nothing is said
        told = np.pad(weights["condition.weight"], ((0, added), (0, 0)))
        weights["condition.weight"] = told
        profiles_of(metadata)  # whoever plays by them finds them whole
    except ValueError as error:
        raise damaged(path, error) from error
    return Checkpoint(path, device, config, metadata, weights)


def _lacking(path: Path, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the conditions that a checkpoint of before does not know."""
    made_for = texts.get("vocabulary", "unknown")
    for lacking in ((), ADDED_LATER):
        if made_for == vocabulary_hash(lacking):
            return lacking
    message = (
        f"{path}: made for vocabulary {made_for[:40]!r}, this drumigen has "
        f"{vocabulary_hash()!r}; use the drumigen it was made with, or train it again"
    )
    raise ModelLoadError(message)


def _checked_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of its weights; sizes that nobody means are refused."""
    for name, most in _LIMITS.items():
        if not 1 <= getattr(config, name) <= most:
            message = f"{name} {getattr(config, name)} is outside 1 to {most}"
            raise ValueError(message)
    uneven = config.width % (2 * config.heads) or config.heads % config.kv_heads
    if uneven or not 1 <= len(config.styles) <= STYLES_MAX or not 0 <= config.dropout < 1:
        message = (
            f"width {config.width} with {config.heads} heads, {len(config.styles)} styles, "
            f"dropout {config.dropout}"
        )
        raise ValueError(message)
    for names in (config.styles, config.drummers):
        wrong = [
            name for name in names if not (name.isprintable() and 0 < len(name) <= LEARNT_NAME_MAX)
        ]
        if wrong or len(set(names)) < len(names):
            message = "a style or drummer has no name, a wrong one, or that of another"
            raise ValueError(message)
    shapes = weight_shapes(config)
    count = sum(prod(shape) for shape in shapes.values())
    if count > WEIGHTS_MAX:
        message = f"{count} weights, more than {WEIGHTS_MAX}"
        raise ValueError(message)
    return shapes
