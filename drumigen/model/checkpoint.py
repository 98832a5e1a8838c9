"""Checkpoints: weights, configuration and vocabulary in one safetensors file; and loading them."""

import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from drumigen.atomic_file import write_atomically
from drumigen.errors import DeviceFullError, ModelLoadError
from drumigen.model.network import ModelConfig
from drumigen.model.numpy_decoder import Decoder
from drumigen.model.stepper import Stepper
from drumigen.model.tokens import vocabulary_hash
from drumigen.model.vocabulary import STYLES_MAX
from drumigen.resources import checkpoint_path

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Weights = Mapping[str, NDArray[np.generic]]

CACHED_MODELS: Final = 4
SIZE_MAX: Final = 256 * 1024 * 1024
"""Bytes; the shipped one has a fiftieth of it."""
_LIMITS: Final = {"width": 2048, "layers": 64, "heads": 64, "shared": 64, "hidden": 2048}


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to play, and what its file says about it.

    ``device`` is ``cpu``, ``cuda:0``, ``mps``; ``metadata`` holds how it was trained and the
    profile of its styles; ``weights`` are float32 by name.
    """

    path: Path
    device: str
    config: ModelConfig
    metadata: Mapping[str, Any] = field(hash=False)
    weights: Weights = field(hash=False, repr=False)

    @cached_property
    def stepper(self) -> Stepper:
        """What generation drives: numpy on the CPU, torch elsewhere."""
        if self.device == "cpu":
            return Decoder(self.config, self.weights)
        from drumigen.model.torch_decoder import TorchDecoder  # noqa: PLC0415 - not needed on a CPU

        return TorchDecoder(self.config, self.weights, self.device)


_cache: OrderedDict[tuple[Path, str], tuple[int, Checkpoint]] = OrderedDict()


def save_checkpoint(
    config: ModelConfig, weights: Weights, path: Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write the weights as 16-bit floats, with configuration, vocabulary hash and ``metadata``.

    The file appears whole or not at all.
    """
    tensors = {name: np.asarray(tensor, np.float16) for name, tensor in weights.items()}
    texts = {
        "format": "drumigen/1",
        "config": json.dumps(asdict(config)),
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

    The four last used are kept in memory, by path and device; a file that has changed is read
    again.  A GPU without room for the weights is passed over for the CPU, with a warning.

    Raises:
        ModelLoadError: the file is missing, damaged, of another vocabulary or not a checkpoint;
            or there is no such device.  One line that says what to do.
    """
    file = Path(path) if path is not None else checkpoint_path()
    where = detect_device(device)
    try:
        key, stamp = (file.resolve(), where), file.stat().st_mtime_ns
    except OSError as error:
        message = (
            f"{file}: no checkpoint here ({error.strerror}); check the path, "
            "or train one with drumigen train"
        )
        raise ModelLoadError(message) from error
    if key in _cache and _cache[key][0] == stamp:
        _cache.move_to_end(key)
        return _cache[key][1]
    checkpoint = _read(file, where)
    try:
        _ = checkpoint.stepper
    except DeviceFullError:
        log.warning("%s has no room for %s: using the CPU", where, file.name)
        clear_gpu_cache()
        return load_model(file, "cpu")
    except (KeyError, ValueError) as error:
        raise _damaged(file, error) from error
    _cache[key] = stamp, checkpoint
    while len(_cache) > CACHED_MODELS:
        _cache.popitem(last=False)
    return checkpoint


def on_cpu(checkpoint: Checkpoint) -> Checkpoint:
    """Return the same model on the CPU, for when its GPU has no room; said in a warning."""
    log.warning("%s has no room for what is asked: using the CPU", checkpoint.device)
    clear_gpu_cache()
    return load_model(checkpoint.path, "cpu")


def detect_device(device: str | None = None) -> str:
    """Return the device of that name, or for None or ``auto`` the best: CUDA, else MPS, else CPU.

    Torch is loaded only where something else than the CPU may be meant.

    Raises:
        ModelLoadError: there is no such device here.
    """
    if device == "cpu":
        return device
    import torch  # noqa: PLC0415 - a CPU needs none

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device is None or device == "auto":
        return next(name for name, found in there.items() if found)
    kind, _, index = device.partition(":")
    found = there.get(kind, False) and (not index or index.isdecimal())
    if not found or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        seen = ", ".join(name for name, found in there.items() if found)
        message = f"device {device!r} cannot be used here; use auto or one of {seen}"
        raise ModelLoadError(message)
    return device


def get_gpu_memory_info(device: "str | torch.device | None" = None) -> dict[str, int] | None:
    """Return bytes ``total``, ``free``, ``allocated`` and ``reserved`` of a CUDA device.

    None where there is none.
    """
    import torch  # noqa: PLC0415 - a CPU needs none

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info(device)
    return {
        "total": total,
        "free": free,
        "allocated": torch.cuda.memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
    }


def clear_gpu_cache() -> None:
    """Give unused memory back to the GPU; nothing where there is none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return  # nobody has used one
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def clear_model_cache() -> None:
    """Forget every loaded model."""
    _cache.clear()
    clear_gpu_cache()


def read_texts(path: Path) -> dict[str, str]:
    """Return the texts of a checkpoint without loading its weights.

    Raises:
        ModelLoadError: it is no safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ModelLoadError:
    why = " ".join(str(error).split())[:120]
    return ModelLoadError(
        f"{path}: not a whole checkpoint ({why}); get the file again, "
        "or train one with drumigen train"
    )


def _read(path: Path, device: str) -> Checkpoint:
    if path.stat().st_size > SIZE_MAX:
        message = f"{path}: larger than {SIZE_MAX} bytes, so no checkpoint of ours; check the path"
        raise ModelLoadError(message)
    texts = read_texts(path)
    if texts.get("vocabulary") != vocabulary_hash():
        message = (
            f"{path}: made for vocabulary {texts.get('vocabulary', 'unknown')!r}, this drumigen "
            f"has {vocabulary_hash()!r}; use the drumigen it was made with, or train it again"
        )
        raise ModelLoadError(message)
    try:
        config = msgspec.json.decode(texts.get("config", ""), type=ModelConfig)
        metadata = msgspec.json.decode(texts.get("metadata", "{}"), type=dict[str, Any])
        _check(config)
        with safe_open(path, "np") as file:
            names = sorted(file.keys())
            weights = {name: np.asarray(file.get_tensor(name), np.float32) for name in names}
        _check_numbers(weights)
    except (msgspec.MsgspecError, SafetensorError, ValueError, TypeError, OSError) as error:
        raise _damaged(path, error) from error
    return Checkpoint(path, device, config, metadata, weights)


def _check_numbers(weights: Weights) -> None:
    for name, tensor in weights.items():
        if not np.isfinite(tensor).all():
            message = f"{name} holds what is no number"
            raise ValueError(message)


def _check(config: ModelConfig) -> None:
    """Refuse sizes that nobody means, before memory is taken for them."""
    for name, most in _LIMITS.items():
        if not 1 <= getattr(config, name) <= most:
            message = f"{name} {getattr(config, name)} is outside 1 to {most}"
            raise ValueError(message)
    uneven = config.width % (2 * config.heads) or config.heads % config.shared
    if uneven or not 1 <= len(config.styles) <= STYLES_MAX:
        message = f"width {config.width} with {config.heads} heads, {len(config.styles)} styles"
        raise ValueError(message)
