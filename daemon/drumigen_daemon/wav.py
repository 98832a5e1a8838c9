"""Sound from a MIDI file, through FluidSynth where it is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drumigen.errors import SoundError

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


def render_wav(midi: Path, wav: Path) -> None:
    """Render the file ``midi`` to ``wav``, 16 bit stereo at 44.1 kHz.

    Raises:
        SoundError: FluidSynth or a soundfont is missing, or it failed; one line.
    """
    program, font = synthesizer(), soundfont()
    if program is None or font is None:
        missing = "FluidSynth" if program is None else "a soundfont"
        message = f"{missing} is not installed, so there is no {wav}: {HOW_TO_GET}"
        raise SoundError(message)
    command = [program, "-ni", "-q", "-g", "1", "-r", "44100", "-F", str(wav), str(font), str(midi)]
    wav.unlink(missing_ok=True)
    try:
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
