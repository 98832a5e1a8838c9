"""The process that sounds: ``python -m drumigen_daemon.listen.process HANDLE SETUP``.

It looks for an audio system that takes its sound, for as long as it lives: one that goes is looked
for again.  A library that crashes, or a sound server that hangs, ends or hangs this process only.
"""

import math
import os
import select
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from drumigen.errors import ChannelClosedError, SoundError
from drumigen.units import Seconds
from drumigen_daemon.listen.drivers import TITLES, candidates, nothing_found
from drumigen_daemon.listen.messages import (
    AnyToListener,
    DrumSet,
    ListenPlan,
    ListenSetup,
    ListenSign,
    ListenState,
    Sounding,
    Unheard,
)
from drumigen_daemon.listen.performance import SoundingSong
from drumigen_daemon.listen.song_level import SongLevel
from drumigen_daemon.listen.stroke_energies import StrokeEnergies
from drumigen_daemon.process.channel import Channel
from drumigen_daemon.process.parent import end_with_parent
from drumigen_daemon.sound.fluidsynth import INSTALL_FLUIDSYNTH, LiveSynth, library
from drumigen_daemon.sound.fonts import sound_font

RATE: Final = 48_000
PERIODS: Final = {"pulseaudio": 2048, "pipewire": 1024, "alsa": 512}
"""Frames that are rendered at once.  PulseAudio is asked to hold one period, ALSA holds four; a
JACK server has its own."""
PERIOD_FRAMES: Final = 1024
SYNTH_GAIN: Final = 0.5
TURN_PERIOD: Final = 0.02
"""Seconds between two looks at what sounds soon."""
SIGN_PERIOD: Final = 0.25
PROBE: Final = 1.0
"""Seconds in which an audio system must have asked for sound."""
STANDSTILL: Final = 2.0
"""Seconds without such a request after which it is given up."""
DRIVER_PERIOD: Final = 3.0
"""Seconds between two searches for one."""


class ListenProcess:
    """Joins the daemon, the performance and the audio system."""

    def __init__(self, channel: Channel[AnyToListener], setup: ListenSetup, font: Path) -> None:
        """Load ``font``.

        Raises:
            SoundError: FluidSynth is not installed, or cannot read it.
        """
        self._channel = channel
        self._setup = setup
        self._font = font
        self._synth = LiveSynth(font, rate=RATE, gain=SYNTH_GAIN)
        self._energies = StrokeEnergies(font, RATE, SYNTH_GAIN)
        self._level = SongLevel(self._energies.of)
        self._level_db = math.nan
        for name, value in (
            ("audio.periods", 4),
            ("audio.jack.autoconnect", 1),
            ("audio.jack.id", "drumigen-sound"),
            ("audio.pulseaudio.media-role", "music"),
            ("audio.pipewire.media-category", "Playback"),
            ("audio.pipewire.media-role", "Music"),
        ):
            self._synth.set(name, value)
        self._delay = Seconds(setup.delay_ms / 1000)
        self._performance = SoundingSong(self._synth, self._delay)
        self._program = -1
        self._state: ListenState | None = None
        self._plan = ListenPlan(())
        self._told = ""

    def run(self) -> None:
        """Sound until the channel closes."""
        self._energies.start()
        try:
            while True:
                driver = self._found()
                if driver:
                    self._sound(driver)
                else:
                    self._unheard(nothing_found(self._setup))
                    self._hear_for(DRIVER_PERIOD)
        finally:
            self._synth.close()

    def _found(self) -> str:
        """Open the first audio system that asks for sound; return its name, empty if none does."""
        for driver in candidates(self._setup, os.environ):
            self._synth.set("audio.period-size", PERIODS.get(driver, PERIOD_FRAMES))
            if self._synth.open(driver):
                before = self._synth.millisecond
                end = time.monotonic() + PROBE
                while time.monotonic() < end:
                    self._hear_for(TURN_PERIOD)
                    if self._synth.millisecond > before:
                        return driver
            self._synth.end()
        return ""

    def _sound(self, driver: str) -> None:
        """Play through ``driver`` until it asks for sound no more."""
        self._performance = performance = SoundingSong(self._synth, self._delay)
        performance.plan(self._plan, _now())
        moved, millisecond = _now(), self._synth.millisecond
        told = False
        sign_due = 0.0
        while True:
            self._hear_for(TURN_PERIOD)
            now = _now()
            performance.advance(now)
            if self._state is not None and performance.clock.settled:
                if not told:
                    told, self._told = True, ""
                    self._channel.send(Sounding(driver, self._font.name))
                performance.go(self._state, now)
            if now >= sign_due:
                sign_due = now + SIGN_PERIOD
                self._channel.send(ListenSign(self._synth.voices, performance.late))
            if self._synth.millisecond != millisecond:
                moved, millisecond = now, self._synth.millisecond
            elif now - moved > STANDSTILL:
                server = TITLES.get(driver, driver)
                self._unheard(f"{server} takes no sound any more; looking for what does")
                self._synth.end()
                return

    def _hear_for(self, seconds: float) -> None:
        """Take what the daemon says, for so long."""
        end = time.monotonic() + seconds
        while True:
            readable, _, _ = select.select(
                [self._channel], [], [], max(0.0, end - time.monotonic())
            )
            if not readable:
                return
            for message in self._channel.receive():
                self._take(message)
            self._set_level()
            self._channel.flush()

    def _set_level(self) -> None:
        """Sound as loud as the song has to."""
        if self._state is None:
            return
        level = self._setup.level_db + self._level.gain(self._plan.bars, self._state)
        if level != self._level_db:
            self._level_db = level
            self._synth.set_gain(SYNTH_GAIN * 10 ** (level / 20))

    def _take(self, message: AnyToListener) -> None:
        match message:
            case ListenPlan():
                self._plan = message
                self._performance.plan(message, _now())
            case ListenState():
                if message.program != self._program:
                    self._program = message.program
                    self._channel.send(DrumSet(self._synth.choose(message.program)))
                self._state = message
                if self._performance.clock.settled:
                    self._performance.go(message, _now())
                    self._performance.advance(_now())

    def _unheard(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            self._channel.send(Unheard(reason))
        self._channel.send(ListenSign())


def main() -> int:
    """Sound for the daemon that started this process."""
    end_with_parent()
    _silence_libraries()
    channel: Channel[AnyToListener] = Channel.inherited(sys.argv[1], AnyToListener)
    setup = msgspec.json.decode(sys.argv[2], type=ListenSetup)
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    font = sound_font(setup.font)
    try:
        try:
            process = ListenProcess(channel, setup, _checked(font, setup.font))
        except SoundError as error:
            _wait(channel, str(error))
        else:
            process.run()
    except ChannelClosedError:
        return 0
    return 0


def _checked(font: Path | None, wanted: str) -> Path:
    if library() is None:
        message = f"FluidSynth is not installed: {INSTALL_FLUIDSYNTH}"
        raise SoundError(message)
    if font is None:
        message = (
            f"sound.font: there is no file {wanted}; check the path"
            if wanted
            else f"no sound font is installed: {INSTALL_FLUIDSYNTH}"
        )
        raise SoundError(message)
    return font


def _wait(channel: Channel[AnyToListener], reason: str) -> None:
    """Say why there is no sound, and stay, for another of us would find nothing else.

    Raises:
        ChannelClosedError: the daemon is gone.
    """
    channel.send(Unheard(reason))
    while True:
        select.select([channel], [], [], 1.0)
        channel.receive()
        channel.send(ListenSign())


def _silence_libraries() -> None:
    """Keep what C libraries print off the terminal, and what Python says on it."""
    ours = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = os.fdopen(ours, "w", buffering=1)


def _now() -> Seconds:
    return Seconds(time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
