"""Reading of WAV files: 16 bit as we write them, and floats as pw-record does."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def frames_of(path: Path) -> NDArray[np.float32]:
    """Return the frames of a 16-bit stereo file, 1 being full scale."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        data = file.readframes(file.getnframes())
    return (np.frombuffer(data, "<i2").reshape(-1, 2) / 32767).astype(np.float32)


def floats_of(path: Path) -> NDArray[np.float32]:
    """Return the frames of a stereo file of 32-bit floats, whose length may not be stated yet."""
    data = path.read_bytes()
    begin = data.index(b"data") + 8
    whole = (len(data) - begin) // 8 * 8
    return np.frombuffer(data[begin : begin + whole], "<f4").reshape(-1, 2)
