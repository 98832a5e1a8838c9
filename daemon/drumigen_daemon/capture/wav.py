"""Sound from a song, through FluidSynth where it is installed: as loud as any other song."""

import math
import os
import re
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from drumigen.drum_sound import DrumSound
from drumigen.errors import SoundError
from drumigen.kit import KitMap, load_kit
from drumigen.midi.song import Song
from drumigen.styles import StyleCatalogue
from drumigen.units import Tick
from drumigen_daemon.sound.fluidsynth import BLOCK, DRUMS, INSTALL_FLUIDSYNTH, Synth, library
from drumigen_daemon.sound.fonts import sound_font
from drumigen_daemon.sound.loudness import RATE, SILENT_DB, Loudness, Sound

LOUDNESS: Final = -23.0
"""LUFS of every song, as EBU R 128 has it: the peaks of a sparse one are not in the way."""
PEAK_MAX: Final = 10 ** (-1.0 / 20)
"""Of full scale, 1 dB below it: what lies between samples, and a coder, need some room."""
RENDER_GAIN: Final = 0.5
"""What is rendered is in floats: nothing is clipped before it is made as loud as it should be."""
DECAY_MAX: Final = 12.0
"""Seconds for which the last stroke may ring."""
FADED: Final = 10 ** (-70.0 / 20)
"""Of the peak: what rings below that is not heard."""
CHUNK_FRAMES: Final = RATE // 2 // BLOCK * BLOCK
"""Frames that are rendered, or read, at once."""
_MORE: Final = re.compile(r" (fill|\([a-z-]+\))$")
"""What a marker says beside the name of the style."""
_FRAME: Final = 8
"""Bytes of a frame of floats."""

Sounds = Sequence[tuple[Tick, DrumSound]]
Act = Callable[[], object]


def synthesizer() -> bool:
    """Tell whether FluidSynth is installed."""
    return library() is not None


def in_general_midi(song: Song, kit: KitMap) -> Song:
    """Return ``song``, which plays ``kit``, as it is for a General MIDI kit."""
    general = load_kit()
    notes = []
    for note in song.notes:
        voice = kit.voice_of(note.note, note.channel)
        if voice is not None:
            place = general.note_of(voice)
            notes.append(replace(note, channel=place.channel, note=place.note))
    return replace(song, notes=tuple(notes))


def write_wav(  # noqa: PLR0913 - what is played, on what, to where
    song: Song,
    kit: KitMap,
    wav: Path,
    progress: Callable[[float], None] | None = None,
    *,
    styles: StyleCatalogue | None = None,
    font: str = "",
) -> None:
    """Render ``song``, which plays ``kit``, to ``wav``: 16 bit stereo at 48 kHz, not clipped.

    It is :data:`LOUDNESS` loud where its peaks allow it, and ends when its last stroke has died
    away.  Each style sounds on its drum set, where ``styles`` are given; ``font`` is the sound
    font if not the best that is installed.  The file is there when it is whole; one that was there
    stays until then.  ``progress`` is told the share that is done, 0 to 1.

    Raises:
        SoundError: FluidSynth or a sound font is missing, or it failed; one line.
    """
    path = sound_font(font)
    if font and path is None:
        message = f"sound.font: there is no file {font}; check the path"
        raise SoundError(message)
    if not synthesizer() or path is None:
        missing = "FluidSynth" if not synthesizer() else "a sound font"
        message = f"{missing} is not installed, so there is no {wav}: {INSTALL_FLUIDSYNTH}"
        raise SoundError(message)
    # beside its place, so that it can take that whole
    new = wav.absolute().with_name(f".{wav.stem[:40]}.{os.getpid()}.wav")
    raw = new.with_suffix(".f32")
    synth = Synth(path, rate=RATE, gain=RENDER_GAIN)
    sounds = sounds_of(song, styles) if styles is not None else ()
    loudness = Loudness()
    try:
        with raw.open("wb") as file:
            for sound in _rendered(synth, in_general_midi(song, kit), sounds, progress):
                loudness.hear(sound)
                file.write(sound.tobytes())
        with raw.open("rb") as file, new.open("wb") as target:
            _write(file, target, loudness)
        new.replace(wav)
    except OSError as error:
        message = f"{wav}: cannot be written ({error.strerror}); check folder and permissions"
        raise SoundError(message) from error
    finally:
        synth.close()
        raw.unlink(missing_ok=True)
        new.unlink(missing_ok=True)


def sounds_of(song: Song, styles: StyleCatalogue) -> Sounds:
    """Return the drum sets of the styles that the markers of ``song`` name, each from a tick on.

    At the name of a style that is not known the set stays.
    """
    sounds: list[tuple[Tick, DrumSound]] = []
    for marker in song.markers:
        name = _MORE.sub("", marker.text)
        if styles.knows(name):
            sound = styles.find(name).sound
            if not sounds or sounds[-1][1] is not sound:
                sounds.append((marker.tick, sound))
    return sounds


def gain_for(loudness: float, peak: float) -> float:
    """Return the factor that makes sound of ``loudness`` (LUFS) and ``peak`` as loud as it may be.

    That is :data:`LOUDNESS`, or less where its peak would be above :data:`PEAK_MAX`.
    """
    if loudness == SILENT_DB or peak <= 0.0:
        return 1.0
    return float(min(10 ** ((LOUDNESS - loudness) / 20), PEAK_MAX / peak))


def _rendered(
    synth: Synth, song: Song, sounds: Sounds, progress: Callable[[float], None] | None
) -> Iterator[Sound]:
    """Yield the sound of ``song``, until its last stroke has died away."""
    moments = sorted(_moments(synth, song, sounds), key=lambda moment: moment[0])
    end = max(1, moments[-1][0] if moments else 1)
    at = 0
    for frame, act in moments:
        while at < frame:
            frames = min(CHUNK_FRAMES, frame - at)
            yield _frames(synth, frames)
            at += frames
            if progress is not None:
                progress(min(1.0, at / end))
        act()
    for _ in range(math.ceil(DECAY_MAX * RATE / CHUNK_FRAMES)):
        yield _frames(synth, CHUNK_FRAMES)
        if not synth.voices:
            yield _frames(synth, CHUNK_FRAMES)  # what the room still answers
            return


def _moments(synth: Synth, song: Song, sounds: Sounds) -> Iterator[tuple[int, Act]]:
    """Yield what happens, and the frame at which: sets, then offs, then ons."""

    def frame(tick: int) -> int:
        return round(song.tempo_map.seconds_at(Tick(tick)) * RATE)

    drums = [note for note in song.notes if note.channel == DRUMS]
    for tick, sound in sounds:
        yield frame(tick), partial(synth.choose, sound.program)
    for note in drums:
        yield frame(note.tick + note.duration), partial(synth.note_off, note.note)
    for note in drums:
        yield frame(note.tick), partial(synth.note_on, note.note, note.velocity)


def _frames(synth: Synth, frames: int) -> Sound:
    return np.frombuffer(synth.render(frames), np.float32).reshape(-1, 2)


def _write(raw: BinaryIO, target: BinaryIO, loudness: Loudness) -> None:
    """Write the floats of ``raw`` as a WAV file, as loud as they should be."""
    gain = gain_for(loudness.integrated(), loudness.peak)
    faded = FADED * loudness.peak
    silence: list[Sound] = []  # written when something follows it
    with wave.open(target, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        while data := raw.read(CHUNK_FRAMES * _FRAME):
            sound = np.frombuffer(data, np.float32).reshape(-1, 2)
            (loud,) = np.nonzero(np.abs(sound).max(axis=1) > faded)
            if not len(loud):
                silence.append(sound)
                continue
            last = int(loud[-1]) + 1
            for part in (*silence, sound[:last]):
                whole = np.rint(part * (gain * 32767.0)).astype("<i2")
                file.writeframesraw(whole.tobytes())
            silence = [sound[last:]]
