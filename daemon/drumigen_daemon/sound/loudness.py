"""How loud sound is: integrated loudness by ITU-R BS.1770-4, which EBU R 128 goes by."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 48_000
"""Frames a second: those for which the standard tabulates its filter."""
SILENT_DB: Final = -math.inf

# tables 1 and 2 of the standard: numerator and denominator of the shelf, then of the high-pass
_SHELF: Final = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (1.0, -1.69065929318241, 0.73248077421585),
)
_HIGH_PASS: Final = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
_OFFSET: Final = -0.691
_STEP: Final = RATE // 10
"""Frames from one gating block to the next; a block is four of them, 400 ms."""
_STEPS: Final = 4
_ABSOLUTE_GATE: Final = -70.0
_RELATIVE_GATE: Final = -10.0
_FFT: Final = 2**17
_MEMORY: Final = RATE // 4
"""Frames that the filter remembers: by then its high-pass has died away by more than 100 dB."""

Sound = NDArray[np.float32]
"""Frames of stereo: shape (frames, 2), 1 is full scale."""


class Loudness:
    """Measures sound that comes in pieces."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self._response = _response(_FFT)
        self._waiting: Sound = np.zeros((_MEMORY, 2), np.float32)
        self._rest: NDArray[np.float64] = np.zeros(0)
        self._powers: list[float] = []
        self.peak = 0.0
        """The largest sample so far."""

    def hear(self, sound: Sound) -> None:
        """Take the frames that follow."""
        if len(sound):
            self.peak = max(self.peak, float(np.abs(sound).max()))
        self._waiting = np.concatenate((self._waiting, sound))
        while len(self._waiting) >= _FFT:
            self._weigh(self._waiting[:_FFT])
            self._waiting = self._waiting[_FFT - _MEMORY :]

    def integrated(self) -> float:
        """Return the loudness of all that was heard, in LUFS; of silence minus infinity."""
        if len(self._waiting) > _MEMORY:
            self._weigh(self._waiting)
            self._waiting = self._waiting[-_MEMORY:]
        steps = np.array(self._powers)
        if len(steps) < _STEPS:  # shorter than one block: the whole of it
            return _level(float(steps.mean())) if len(steps) else SILENT_DB
        blocks = np.convolve(steps, np.full(_STEPS, 1 / _STEPS), "valid")
        heard = blocks[blocks > _power(_ABSOLUTE_GATE)]
        if not len(heard):
            return SILENT_DB
        heard = heard[heard > _power(_level(float(heard.mean())) + _RELATIVE_GATE)]
        return _level(float(heard.mean()))

    def _weigh(self, sound: Sound) -> None:
        # overlap and save: the first frames are those of the piece before, for the filter's memory
        weighted = np.fft.irfft(np.fft.rfft(sound, _FFT, axis=0) * self._response, axis=0)
        power = (weighted[_MEMORY : len(sound)] ** 2).sum(axis=1)
        power = np.concatenate((self._rest, power))
        whole = len(power) // _STEP * _STEP
        self._powers += power[:whole].reshape(-1, _STEP).mean(axis=1).tolist()
        self._rest = power[whole:]


def energy(sound: Sound) -> float:
    """Return the weighted power of a short sound times its seconds, full scale being 1."""
    size = 1 << math.ceil(math.log2(len(sound) + _MEMORY))
    power: NDArray[np.float64] = np.abs(np.fft.rfft(sound, size, axis=0) * _response(size)) ** 2
    power[1:-1] *= 2.0  # and those of negative frequencies
    return float(power.sum()) / size / RATE


def pieces(sound: Sound, frames: int = RATE) -> Iterator[Sound]:
    """Yield ``sound`` in pieces of so many frames."""
    for first in range(0, len(sound), frames):
        yield sound[first : first + frames]


@lru_cache(2)
def _response(size: int) -> NDArray[np.complex128]:
    """Return what the two filters make of each frequency, as a column."""
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(len(delay), np.complex128)
    for above, below in (_SHELF, _HIGH_PASS):
        response *= np.polyval(above[::-1], delay) / np.polyval(below[::-1], delay)
    return response[:, None]


def _level(power: float) -> float:
    return _OFFSET + 10 * math.log10(power) if power > 0.0 else SILENT_DB


def _power(level: float) -> float:
    return float(10 ** ((level - _OFFSET) / 10))
