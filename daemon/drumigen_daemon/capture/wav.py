"""Sound from a song, through FluidSynth where it is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from drumigen.errors import SoundError
from drumigen.kit import KitMap, load_kit
from drumigen.midi.file import write_song
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
PATIENCE: Final = 600.0
"""Seconds; an hour of drums takes about one minute."""


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


def write_wav(song: Song, kit: KitMap, wav: Path) -> None:
    """Render ``song``, which plays ``kit``, to ``wav``: 16 bit stereo at 44.1 kHz.

    Raises:
        SoundError: FluidSynth or a soundfont is missing, or it failed; one line.
    """
    program, font = synthesizer(), soundfont()
    if program is None or font is None:
        missing = "FluidSynth" if program is None else "a soundfont"
        message = f"{missing} is not installed, so there is no {wav}: {HOW_TO_GET}"
        raise SoundError(message)
    with TemporaryDirectory(prefix="drumigen-") as folder:
        midi = Path(folder) / "song.mid"
        write_song(in_general_midi(song, kit), midi)
        command = [program, "-ni", "-q", "-g", "1", "-r", "44100", "-F", str(wav.absolute())]
        _run([*command, str(font), str(midi)], wav)


def _run(command: list[str], wav: Path) -> None:
    program = command[0]
    try:
        wav.unlink(missing_ok=True)
        done = subprocess.run(  # noqa: S603 - the program was found on PATH
            command, check=False, capture_output=True, text=True, errors="replace", timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{program} did not make {wav}: {error}"
        raise SoundError(message) from error
    if done.returncode or not wav.is_file():
        said = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        message = f"{program} did not make {wav}: {said}"
        raise SoundError(message)
