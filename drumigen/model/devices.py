"""Which device the network runs on, and the memory there; torch is loaded only for a GPU."""

import ctypes
import importlib
import logging
import os
import platform
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drumigen.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DEVICE_KINDS: Final = ("cuda", "mps", "cpu")
"""The best first."""
INSTALL_TORCH: Final = "pip install 'drumigen[gpu]'"

_NVIDIA_FILES: Final = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
"""What NVIDIA's driver leaves on Linux, and Windows' below WSL."""
_AMD_FILES: Final = ("/dev/kfd",)
_CUDA_LIBRARIES: Final = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")


def gpu_may_be_here() -> bool:
    """Tell, without loading torch, whether there may be a GPU that torch could use."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if sys.platform != "win32" and any(Path(path).exists() for path in _AMD_FILES):
        return True
    files = sys.platform == "win32" or any(Path(path).exists() for path in _NVIDIA_FILES)
    return files and cuda_devices() > 0


@cache
def cuda_devices() -> int:
    """Return how many GPUs NVIDIA's driver has for us, asked without torch."""
    for name in _CUDA_LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int()
        found = library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0
        return count.value if found else 0
    return 0


def driver() -> str:
    """Return what tells one GPU driver from another, without torch; empty where nothing does."""
    try:
        lines = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return platform.version()
    return lines[0] if lines else ""


class Faults:
    """Which devices failed since this process began: what failed once is not tried again."""

    def __init__(self) -> None:
        """Know of none."""
        self._said: dict[str, str] = {}

    def add(self, device: str, why: str) -> None:
        """Remember that ``device`` failed; logged the first time."""
        if device not in self._said:
            log.warning("%s; the network goes on on the CPU", why)
        self._said.setdefault(device, why)

    def of(self, device: str) -> str:
        """Return why ``device`` failed, or nothing."""
        return self._said.get(device, "")

    def forget(self) -> None:
        """Let every device be tried again."""
        self._said.clear()


FAULTS: Final = Faults()


def torch_is_installed() -> bool:
    """Tell, without loading it, whether torch is installed."""
    return "torch" in sys.modules or find_spec("torch") is not None


def detect_device(device: str | None = None) -> str:
    """Return the device of that name, or for None or ``auto`` the best: CUDA, else MPS, else CPU.

    Torch is loaded only where there may be a GPU: it takes seconds, and 200 MB.

    Raises:
        ModelLoadError: there is no such device here, or torch, which it needs, is not installed.
    """
    best = device is None or device == "auto"
    if device == "cpu":
        return device
    if best and not (gpu_may_be_here() or "torch" in sys.modules):
        return "cpu"
    if best and not torch_is_installed():
        log.info("there may be a GPU here, but torch is not installed: %s", INSTALL_TORCH)
        return "cpu"
    there = {"cpu": True, **_torch_devices(str(device))}
    if best:
        return next(kind for kind in DEVICE_KINDS if there[kind])
    name = str(device)
    kind, _, index = name.partition(":")
    found = there.get(kind, False) and (not index or index.isdecimal())
    if found and kind == "cuda" and index:
        found = int(index) < _torch().cuda.device_count()
    if not found:
        seen = ", ".join(kind for kind in DEVICE_KINDS if there[kind])
        message = f"device {name[:40]!r} cannot be used here; use auto or one of {seen}"
        raise ModelLoadError(message)
    return name


def _torch_devices(device: str) -> dict[str, bool]:
    """Return which devices torch finds; nothing is loaded for a name that none has."""
    if device.partition(":")[0] not in (*DEVICE_KINDS, "auto", "None"):
        return {"cuda": False, "mps": False}
    if not torch_is_installed():
        message = f"device {device!r} needs torch: {INSTALL_TORCH}, or use cpu"
        raise ModelLoadError(message)
    torch = _torch()
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def _torch() -> Any:  # noqa: ANN401 - a module
    return importlib.import_module("torch")


def get_gpu_memory_info(device: "str | torch.device | None" = None) -> dict[str, int] | None:
    """Return bytes ``total``, ``free``, ``allocated`` and ``reserved`` of a CUDA device.

    None where there is none, or ``device`` is of another kind.

    Raises:
        ModelLoadError: there is no such CUDA device.
    """
    if device is not None and not str(device).startswith("cuda"):
        return None
    if "torch" not in sys.modules and not (gpu_may_be_here() and torch_is_installed()):
        return None
    torch = _torch()
    if not torch.cuda.is_available():
        return None
    if device is not None:
        detect_device(str(device))
    free, total = torch.cuda.mem_get_info(device)
    return {
        "total": total,
        "free": free,
        "allocated": torch.cuda.memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
    }


def gpu_memory_line(device: str | None = None) -> str | None:
    """Return the memory of a CUDA device in one line, or None where there is none."""
    found = get_gpu_memory_info(device)
    if found is None:
        return None
    free, total, ours = (found[name] / 2**30 for name in ("free", "total", "reserved"))
    return f"{free:.1f} of {total:.1f} GiB of its memory are free, {ours:.2f} are ours"


def clear_gpu_cache() -> None:
    """Give unused memory back to the GPU; nothing where there is none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return  # nobody has used one
    try:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        elif torch.backends.mps.is_available():
            torch.mps.empty_cache()
    except RuntimeError as error:  # a device that failed may answer nothing any more
        log.debug("the GPU's memory cannot be cleared: %s", error)
