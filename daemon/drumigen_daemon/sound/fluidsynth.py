"""FluidSynth's library, as far as we use it; the only module that loads it.

By ctypes and not through a package: there are some thirty functions, whose interface is stable
since version 2.0, and what matters here, sequencer and drivers, packages leave to ctypes as well.
"""

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from drumigen.errors import SoundError

INSTALL_FLUIDSYNTH: Final = (
    "apt install fluidsynth timgm6mb-soundfont, or on macOS brew install fluid-synth"
)
DRUMS: Final = 9
"""The channel of General MIDI's drums, counted from 0."""
BLOCK: Final = 64
"""Frames that FluidSynth renders at a time: what comes in between sounds with the next block."""

_NAMES: Final = ("libfluidsynth.so.3", "libfluidsynth.so.2", "libfluidsynth-3.dll")
_HOMEBREW: Final = ("/opt/homebrew/lib/libfluidsynth.dylib", "/usr/local/lib/libfluidsynth.dylib")
_LOG_LEVELS: Final = 5
_FAILED: Final = -1
_ANY: Final = -1

_pointer, _text, _int, _uint, _short, _double = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_short,
    ctypes.c_double,
)
# <fluidsynth.h>: what each returns, and what it takes
_FUNCTIONS: Final = {
    "fluid_set_log_function": (_pointer, _int, _pointer, _pointer),
    "new_fluid_settings": (_pointer,),
    "delete_fluid_settings": (None, _pointer),
    "fluid_settings_setstr": (_int, _pointer, _text, _text),
    "fluid_settings_setnum": (_int, _pointer, _text, _double),
    "fluid_settings_setint": (_int, _pointer, _text, _int),
    "new_fluid_synth": (_pointer, _pointer),
    "delete_fluid_synth": (None, _pointer),
    "fluid_synth_sfload": (_int, _pointer, _text, _int),
    "fluid_synth_program_change": (_int, _pointer, _int, _int),
    "fluid_synth_get_channel_preset": (_pointer, _pointer, _int),
    "fluid_preset_get_name": (_text, _pointer),
    "fluid_synth_set_gain": (None, _pointer, ctypes.c_float),
    "fluid_synth_noteon": (_int, _pointer, _int, _int, _int),
    "fluid_synth_noteoff": (_int, _pointer, _int, _int),
    "fluid_synth_write_float": (
        *(_int, _pointer, _int, _pointer, _int, _int, _pointer, _int, _int),
    ),
    "fluid_synth_get_active_voice_count": (_int, _pointer),
    "new_fluid_audio_driver": (_pointer, _pointer, _pointer),
    "delete_fluid_audio_driver": (None, _pointer),
    "new_fluid_sequencer2": (_pointer, _int),
    "delete_fluid_sequencer": (None, _pointer),
    "fluid_sequencer_register_fluidsynth": (_short, _pointer, _pointer),
    "fluid_sequencer_get_tick": (_uint, _pointer),
    "fluid_sequencer_send_at": (_int, _pointer, _pointer, _uint, _int),
    "fluid_sequencer_remove_events": (None, _pointer, _short, _short, _int),
    "new_fluid_event": (_pointer,),
    "delete_fluid_event": (None, _pointer),
    "fluid_event_set_source": (None, _pointer, _short),
    "fluid_event_set_dest": (None, _pointer, _short),
    "fluid_event_noteon": (None, _pointer, _int, _short, _short),
    "fluid_event_noteoff": (None, _pointer, _int, _short),
}


# takes a line of FluidSynth's log: a terminal on which we draw is no place for it
_unheard = ctypes.CFUNCTYPE(None, _int, _text, _pointer)(lambda *_: None)


@lru_cache(1)
def library() -> ctypes.CDLL | None:
    """Return FluidSynth's library, None if it is not installed."""
    found = ctypes.util.find_library("fluidsynth") if sys.platform != "linux" else None
    for name in (*_NAMES, found, *_HOMEBREW):
        if name is None:
            continue
        try:
            loaded = ctypes.CDLL(name)
            for function, (returns, *takes) in _FUNCTIONS.items():
                getattr(loaded, function).restype = returns
                getattr(loaded, function).argtypes = takes
        except (OSError, AttributeError):
            continue  # not there, or older than 2.0
        for level in range(_LOG_LEVELS):  # what is wrong is told by what its functions return
            loaded.fluid_set_log_function(level, _unheard, None)
        return loaded
    return None


class Synth:
    """A synthesizer with one sound font, whose drums are played."""

    def __init__(self, font: Path, *, rate: int, gain: float) -> None:
        """Load ``font`` to render at ``rate`` frames a second; ``gain`` 1 is full level.

        Raises:
            SoundError: FluidSynth is not installed, or ``font`` is no sound font.
        """
        loaded = library()
        if loaded is None:
            message = f"FluidSynth is not installed: {INSTALL_FLUIDSYNTH}"
            raise SoundError(message)
        self.lib: Final = loaded
        self.settings = loaded.new_fluid_settings()
        self.set("synth.sample-rate", float(rate))
        self.set("synth.gain", gain)
        self.set("synth.chorus.active", 0)
        self.handle = loaded.new_fluid_synth(self.settings)
        if loaded.fluid_synth_sfload(self.handle, str(font).encode(), 1) == _FAILED:
            self.close()
            message = f"{font}: FluidSynth can not read it; install another sound font"
            raise SoundError(message)

    def set(self, name: str, value: str | float) -> bool:
        """Set one of FluidSynth's settings; tell whether it has it and takes ``value``."""
        match value:
            case str():
                done = self.lib.fluid_settings_setstr(self.settings, name.encode(), value.encode())
            case int():
                done = self.lib.fluid_settings_setint(self.settings, name.encode(), value)
            case _:
                done = self.lib.fluid_settings_setnum(self.settings, name.encode(), value)
        return bool(done != _FAILED)

    def choose(self, program: int) -> str:
        """Have the drums sound as ``program`` (0 to 127), or as the standard set if it is missing.

        Return what the font calls the set that sounds; empty if it has no drums.
        """
        self.lib.fluid_synth_program_change(self.handle, DRUMS, program)
        preset = self.lib.fluid_synth_get_channel_preset(self.handle, DRUMS)
        if not preset:
            return ""
        return str((self.lib.fluid_preset_get_name(preset) or b"").decode("utf-8", "replace"))

    def set_gain(self, gain: float) -> None:
        """Sound so loud from now on; 1 is full level."""
        self.lib.fluid_synth_set_gain(self.handle, gain)

    def note_on(self, note: int, velocity: int) -> None:
        """Strike a drum now."""
        self.lib.fluid_synth_noteon(self.handle, DRUMS, note, velocity)

    def note_off(self, note: int) -> None:
        """Release a drum now."""
        self.lib.fluid_synth_noteoff(self.handle, DRUMS, note)

    @property
    def voices(self) -> int:
        """How many samples sound at this moment; 0 is silence."""
        return int(self.lib.fluid_synth_get_active_voice_count(self.handle))

    def render(self, frames: int) -> bytes:
        """Return the next ``frames``: stereo, interleaved, 32-bit floats of this machine."""
        buffer = (ctypes.c_float * (2 * frames))()
        self.lib.fluid_synth_write_float(self.handle, frames, buffer, 0, 2, buffer, 1, 2)
        return bytes(buffer)

    def close(self) -> None:
        """Give everything back.  Idempotent."""
        if self.settings is not None:
            if getattr(self, "handle", None):
                self.lib.delete_fluid_synth(self.handle)
            self.lib.delete_fluid_settings(self.settings)
            self.settings = None


class LiveSynth(Synth):
    """A synthesizer that a thread of FluidSynth's plays to an audio system, by its own clock.

    Notes are given with the millisecond of that clock at which they sound, ahead of it.
    """

    def __init__(self, font: Path, *, rate: int, gain: float) -> None:
        """Load ``font``; it does not sound before :meth:`open`."""
        super().__init__(font, rate=rate, gain=gain)
        self._driver: int | None = None
        self._sequencer: int | None = self.lib.new_fluid_sequencer2(0)
        self._destination = self.lib.fluid_sequencer_register_fluidsynth(
            self._sequencer, self.handle
        )
        self._event = self.lib.new_fluid_event()
        self.lib.fluid_event_set_source(self._event, _ANY)
        self.lib.fluid_event_set_dest(self._event, self._destination)

    def open(self, driver: str) -> bool:
        """Begin to sound through ``driver``, a name of FluidSynth's; tell whether that works."""
        if not self.set("audio.driver", driver):
            return False  # this FluidSynth was built without it
        self._driver = self.lib.new_fluid_audio_driver(self.settings, self.handle)
        return bool(self._driver)

    def end(self) -> None:
        """Sound no more, until another driver is opened."""
        if self._driver:
            self.lib.delete_fluid_audio_driver(self._driver)
            self._driver = None

    @property
    def millisecond(self) -> int:
        """The millisecond that is rendered next; it runs ahead of what is heard."""
        return int(self.lib.fluid_sequencer_get_tick(self._sequencer))

    def note_on_at(self, millisecond: int, note: int, velocity: int) -> None:
        """Strike a drum at ``millisecond``, or at once if that is over."""
        self.lib.fluid_event_noteon(self._event, DRUMS, note, velocity)
        self._send(millisecond)

    def note_off_at(self, millisecond: int, note: int) -> None:
        """Release a drum at ``millisecond``, or at once if that is over."""
        self.lib.fluid_event_noteoff(self._event, DRUMS, note)
        self._send(millisecond)

    def withdraw(self) -> int:
        """Take back every note that has not sounded; return the millisecond from which on."""
        self.lib.fluid_sequencer_remove_events(self._sequencer, _ANY, self._destination, _ANY)
        return self.millisecond + 1

    def close(self) -> None:
        """Give everything back.  Idempotent."""
        self.end()
        if self._sequencer is not None:
            self.lib.delete_fluid_event(self._event)
            self.lib.delete_fluid_sequencer(self._sequencer)
            self._sequencer = None
        super().close()

    def _send(self, millisecond: int) -> None:
        self.lib.fluid_sequencer_send_at(self._sequencer, self._event, max(0, millisecond), 1)


def opened(synth: LiveSynth, drivers: Sequence[str]) -> Iterator[str]:
    """Yield the names of those of ``drivers`` that open, one at a time, each while it is open."""
    for driver in drivers:
        if synth.open(driver):
            yield driver
            synth.end()
