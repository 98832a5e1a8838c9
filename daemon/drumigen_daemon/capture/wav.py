"""Sound from a song, through FluidSynth where it is installed."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from drumigen.errors import SoundError
from drumigen.kit import KitMap, load_kit
from drumigen.midi.file import song_to_bytes
from drumigen.midi.song import Song

SOUNDFONTS: Final = (
    "/usr/share/sounds/sf3/default-GM.sf3",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf2/TimGM6mb.sf2",
    "/usr/share/soundfonts/default.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/usr/local/share/soundfonts/default.sf2",
    "/usr/local/share/fluidsynth/sf2/VintageDreamsWaves-v2.sf2",
    "/opt/homebrew/share/fluidsynth/sf2/VintageDreamsWaves-v2.sf2",
)
"""Where Debian, Arch, Fedora and Homebrew put them."""
HOW_TO_GET: Final = (
    "apt install fluidsynth timgm6mb-soundfont, or on macOS brew install fluid-synth"
)
SYNTH_SECONDS_MAX: Final = 600.0
"""Seconds; an hour of drums takes about one minute."""
LOOK: Final = 0.5
"""Seconds between two looks at how far it is."""
BYTES_PER_SECOND: Final = 44_100 * 2 * 2


def soundfont(candidates: Sequence[str] = SOUNDFONTS) -> Path | None:
    """Return a soundfont that is installed."""
    return next((Path(path) for path in candidates if Path(path).is_file()), None)


def synthesizer() -> str | None:
    """Return the path of FluidSynth."""
    return shutil.which("fluidsynth")


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


def write_wav(
    song: Song, kit: KitMap, wav: Path, progress: Callable[[float], None] | None = None
) -> None:
    """Render ``song``, which plays ``kit``, to ``wav``: 16 bit stereo at 44.1 kHz.

    The file is there when it is whole; one that was there stays until then.  ``progress`` is
    told the share that is done, 0 to 1, twice a second.

    Raises:
        SoundError: FluidSynth or a soundfont is missing, or it failed; one line.
    """
    program, font = synthesizer(), soundfont()
    if program is None or font is None:
        missing = "FluidSynth" if program is None else "a soundfont"
        message = f"{missing} is not installed, so there is no {wav}: {HOW_TO_GET}"
        raise SoundError(message)
    length = max(1.0, song.tempo_map.seconds_at(song.end)) * BYTES_PER_SECOND
    with TemporaryDirectory(prefix="drumigen-") as folder:
        midi = Path(folder) / "song.mid"
        midi.write_bytes(song_to_bytes(in_general_midi(song, kit)))
        # beside its place, so that it can take that whole; FluidSynth goes by the ending
        new = wav.absolute().with_name(f".{wav.stem[:40]}.{os.getpid()}.wav")
        command = [program, "-ni", "-q", "-g", "1", "-r", "44100", "-F", str(new)]

        def show() -> None:
            if progress and new.is_file():
                progress(min(1.0, new.stat().st_size / length))

        try:
            _run([*command, str(font), str(midi)], wav, new, show)
            new.replace(wav)
        except OSError as error:
            message = f"{wav}: cannot be written ({error.strerror}); check folder and permissions"
            raise SoundError(message) from error
        finally:
            new.unlink(missing_ok=True)


def _run(command: list[str], wav: Path, new: Path, show: Callable[[], None]) -> None:
    program = command[0]
    patience = time.monotonic() + SYNTH_SECONDS_MAX
    try:
        child = subprocess.Popen(  # noqa: S603 - the program was found on PATH
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
    except OSError as error:
        message = f"{program} did not make {wav}: {error}"
        raise SoundError(message) from error
    try:
        while True:
            try:
                _, said = child.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                show()
                if time.monotonic() > patience:
                    limit = f"{SYNTH_SECONDS_MAX:g} s"
                    message = f"{program} did not make {wav} in {limit}; render fewer bars"
                    raise SoundError(message) from None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode or not new.is_file():
        why = (said.strip().splitlines() or ["it did not say why"])[-1]
        message = f"{program} did not make {wav}: {why}"
        raise SoundError(message)
