"""Which device is quicker: measured once, and kept for this machine, model and driver."""

import hashlib
import logging
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

from drumigen.atomic_file import write_atomically
from drumigen.model.devices import driver

log = logging.getLogger(__name__)

KEPT_MAX: Final = 16
"""Verdicts in a file: models and drivers that were tried, the latest last."""
VERDICTS_BYTES_MAX: Final = 64 * 1024
_MACHINE: Final = Path("/etc/machine-id")


class Verdict(msgspec.Struct, frozen=True):
    """What a trial found."""

    key: str
    """Of the machine, the model and the driver: see :func:`verdict_key`."""
    device: str
    cpu_seconds: float = 0.0
    """The next bars and fills of all styles, on the CPU..."""
    device_seconds: float = 0.0
    """...and on the device."""
    fault: str = ""
    """Why the device cannot be used; empty if it can."""

    @property
    def is_quicker(self) -> bool:
        """Whether the device writes quicker than the CPU."""
        return not self.fault and 0 < self.device_seconds < self.cpu_seconds

    def __str__(self) -> str:
        """Return it in words."""
        if self.fault:
            return self.fault
        cpu, device = 1000 * self.cpu_seconds, 1000 * self.device_seconds
        return (
            f"the next bars and fills of all styles take {device:.1f} ms on {self.device}, "
            f"{cpu:.1f} ms on the CPU"
        )


def verdict_key(model: Path, device: str) -> str:
    """Return what a verdict holds for: this machine, this model, this driver and this torch.

    Raises:
        OSError: the model cannot be read.
    """
    try:
        machine = _MACHINE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine = platform.node()
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    parts = machine, platform.machine(), str(os.cpu_count()), digest, driver(), torch, device
    told = "\0".join([*parts, os.environ.get("CUDA_VISIBLE_DEVICES", "")])
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def find(file: Path | None, key: str) -> Verdict | None:
    """Return the verdict of that key, if it is kept."""
    return next((verdict for verdict in _read(file) if verdict.key == key), None)


def keep(file: Path | None, verdict: Verdict) -> None:
    """Keep ``verdict`` in place of that of the same key; the log says where that is impossible."""
    if file is None:
        return
    others = [other for other in _read(file) if other.key != verdict.key]
    kept = [*others, verdict][-KEPT_MAX:]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.encode(kept))
    except OSError as error:
        log.warning("%s: %s; the GPU is tried again at the next start", file, error.strerror)


def _read(file: Path | None) -> list[Verdict]:
    if file is None:
        return []
    try:
        with file.open("rb") as opened:
            return msgspec.json.decode(opened.read(VERDICTS_BYTES_MAX), type=list[Verdict])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s: %s; what it says of devices is passed over", file, error)
        return []
