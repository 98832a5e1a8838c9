"""A generator whose GPU is there and fails, in the way that the setup's device names.

``python -m failing_device HANDLE SETUP``, or ``... doctor SETUP`` for what the doctor finds; the
device is ``cuda:N``, N a place in :data:`WAYS`.
"""

import json
import os
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import msgspec
import numpy as np
from numpy.typing import NDArray

from bars_by_numpy import BarsByNumpy
from drumigen.errors import DeviceError, DeviceFullError, ModelLoadError
from drumigen.model import checkpoint
from drumigen.model.network import ModelConfig
from drumigen.model.whole_bars import Draft, Drawn
from drumigen_daemon.commands import doctor
from drumigen_daemon.generator import device_writer, trial, verdicts
from drumigen_daemon.generator.device_writer import LOAD_SECONDS_MAX, DeviceWriter
from drumigen_daemon.generator.messages import Batch, GeneratorSetup
from drumigen_daemon.generator.process import serve
from drumigen_daemon.generator.verdicts import Verdict
from drumigen_daemon.process.channel import Channel
from drumigen_daemon.settings.sections import GeneratorSettings, Settings

WAYS: Final = (
    "well",
    "absent",
    "full at load",
    "hang at load",
    "full later",
    "no kernel image",
    "illegal access",
    "hang",
    "crash",
    "slower",
)
PLAYS: Final = threading.Event()
"""Set once a song is written on the device: only then does it fail, but for those at load."""


class Device(BarsByNumpy):
    """Numpy in place of a GPU, for so long as that goes well."""

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, NDArray[np.generic]], device: str
    ) -> None:
        self._way = WAYS[int(device.partition(":")[2])]
        if self._way == "full at load":
            message = f"{device} has no room; close what else uses it, or use the CPU"
            raise DeviceFullError(message)
        if self._way == "hang at load":
            threading.Event().wait()
        super().__init__(config, weights, device)
        self._called = 0

    def write(self, drafts: Sequence[Draft]) -> list[Drawn]:
        self._called += PLAYS.is_set()
        if self._called > 1:
            self._fail()
        return super().write(drafts)

    def _fail(self) -> None:
        if self._way == "full later":
            message = "cuda has no room; close what else uses it, or use the CPU"
            raise DeviceFullError(message)
        if self._way == "no kernel image":
            message = "cuda failed: CUDA error: no kernel image is available for execution"
            raise DeviceError(message)
        if self._way == "illegal access":
            message = "CUDA error: an illegal memory access was encountered"
            raise RuntimeError(message)  # as torch itself does, where we did not expect it
        if self._way == "hang":
            threading.Event().wait()
        if self._way == "crash":
            os._exit(139)


def found(device: str | None = None) -> str:
    if device == "cpu":
        return device
    if device and WAYS[int(device.partition(":")[2] or 0)] == "absent":
        message = f"device {device!r} cannot be used here; use auto or one of cpu"
        raise ModelLoadError(message)
    return device or "cuda:0"


def tried(setup: GeneratorSetup, device: str) -> Verdict:
    key = verdicts.verdict_key(trial.model_path(setup), device)
    slow = WAYS[int(device.partition(":")[2])] == "slower"
    return Verdict(key, device, 0.020, 0.030 if slow else 0.004)


class Writer(DeviceWriter):
    """Tells the device when a song is written on it; waits less for one that will not load."""

    def __init__(self, setup: GeneratorSetup, *more: Any) -> None:  # noqa: ANN401 - passed on
        hangs = setup.device == f"cuda:{WAYS.index('hang at load')}"
        super().__init__(setup, *more, load_seconds=0.5 if hangs else LOAD_SECONDS_MAX)

    def song(self, number: int) -> None:
        super().song(number)
        if self.report.state == "playing":
            PLAYS.set()


def with_failing_devices() -> None:
    """Put this module's device in the place of torch's."""
    module = types.ModuleType("drumigen.model.torch_decoder")
    patch.object(module, "TorchDecoder", Device, create=True).start()
    patch.dict(sys.modules, {module.__name__: module}).start()  # in place of torch's
    patch.object(checkpoint, "detect_device", found).start()
    patch.multiple(
        device_writer,
        gpu_may_be_here=lambda: True,
        detect_device=lambda _: os.environ.get("FOUND", "cuda:0"),
        tried=tried,
        FULL_CONTEXT=1,
        DeviceWriter=Writer,
    ).start()


def findings(ways: Sequence[str], model: str) -> dict[str, list[str]]:
    """Return what the doctor says of generator and GPU, by the way in which that fails."""
    found = {}
    PLAYS.set()
    for way in ways:
        if "hang" in way:
            patch.object(doctor, "DEVICE_SECONDS_MAX", 1.0).start()
        generator = GeneratorSettings(device=f"cuda:{WAYS.index(way)}", model=model)
        settings = replace(Settings(), generator=generator)
        choice = doctor._choice(settings)
        found[way] = [str(doctor._generator(settings, choice)), str(doctor._gpu(settings, choice))]
    return found


if __name__ == "__main__":
    with_failing_devices()
    if sys.argv[1] == "doctor":
        sys.stdout.write(json.dumps(findings(sys.argv[3:], sys.argv[2])))
        sys.exit()
    channel: Channel[Batch] = Channel.inherited(sys.argv[1], Batch)
    serve(channel, msgspec.json.decode(sys.argv[2], type=GeneratorSetup))
