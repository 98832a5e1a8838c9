"""How loud each drum of a sound font is, in each of its sets: fonts differ by more than drummers.

Measured by striking them, which takes a tenth of a second a set, so a thread does it.
"""

import threading
from pathlib import Path
from typing import Final

from drumigen.drum_sound import DrumSound
from drumigen.errors import SoundError
from drumigen.kit import Voice, load_kit
from drumigen_daemon.listen.song_level import StrokeSums
from drumigen_daemon.sound.fluidsynth import Synth

_GATE: Final = 4_800
_FRAMES: Final = 24_000
"""Of sound that a stroke is given; what rings after them adds next to nothing."""
_LEAST: Final = 1e-9
"""Of a drum that the font lacks."""

# TimGM6mb's standard drums at our gain, until the font itself is measured
_DECIBELS: Final = {
    Voice.KICK: -30.9,
    Voice.SNARE: -28.7,
    Voice.SIDE_STICK: -35.8,
    Voice.CLAP: -33.1,
    Voice.CLOSED_HAT: -41.1,
    Voice.PEDAL_HAT: -38.7,
    Voice.OPEN_HAT: -41.1,
    Voice.LOW_TOM: -28.2,
    Voice.MID_TOM: -29.2,
    Voice.HIGH_TOM: -29.5,
    Voice.CRASH: -29.5,
    Voice.SPLASH: -32.5,
    Voice.CHINA: -30.6,
    Voice.RIDE: -42.9,
    Voice.RIDE_BELL: -41.3,
    Voice.COWBELL: -33.9,
    Voice.TAMBOURINE: -31.9,
    Voice.SHAKER: -38.1,
    Voice.PERCUSSION: -31.8,
}
TYPICAL_STROKES: Final[StrokeSums] = {
    voice: 10 ** (level / 10) for voice, level in _DECIBELS.items()
}


class StrokeEnergies:
    """The energy of every drum of a font, as soon as it is known."""

    def __init__(self, font: Path, rate: int, gain: float) -> None:
        """Measure ``font``, rendered at ``rate`` and ``gain``, when :meth:`start` is called."""
        self._font, self._rate, self._gain = font, rate, gain
        self._known: dict[int, StrokeSums] = {}
        self._asked = 0

    def start(self) -> None:
        """Measure in a thread that nobody waits for."""
        threading.Thread(target=self.measure, name="measuring the font", daemon=True).start()

    def of(self, program: int) -> StrokeSums:
        """Return the energies of the set ``program``: measured, or what is usual."""
        self._asked = program
        return self._known.get(program, TYPICAL_STROKES)

    def measure(self) -> None:
        """Measure all sets, one after the other: that which was asked for last before others."""
        try:
            synth = Synth(self._font, rate=self._rate, gain=self._gain)
        except SoundError:
            return  # who sounds says so
        try:
            left = [sound.program for sound in DrumSound]
            while left:
                program = self._asked if self._asked in left else left[0]
                left.remove(program)
                synth.choose(program)
                self._known[program] = {voice: _energy(synth, voice) for voice in Voice}
        finally:
            synth.close()


def _energy(synth: Synth, voice: Voice) -> float:
    import numpy as np  # noqa: PLC0415 - slow to load, and the thread has the time

    from drumigen_daemon.sound.loudness import energy  # noqa: PLC0415

    note = load_kit().note_of(voice).note
    synth.note_on(note, 127)
    struck = synth.render(_GATE)
    synth.note_off(note)
    sound = np.frombuffer(struck + synth.render(_FRAMES - _GATE), np.float32)
    synth.render(_FRAMES)  # it dies away before the next is struck
    return max(energy(sound.reshape(-1, 2)), _LEAST)
