"""Which audio systems are here to play sound."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from drumigen_daemon.listen.messages import ListenSetup

DRIVERS: Final = ("pipewire", "pulseaudio", "jack", "alsa", "coreaudio", "wasapi", "dsound")
"""FluidSynth's names for the audio systems, in the order in which they are tried."""
SOUND_CARDS: Final = Path("/dev/snd")
TITLES: Final = {
    "pipewire": "PipeWire",
    "pulseaudio": "PulseAudio",
    "jack": "JACK",
    "alsa": "ALSA",
    "coreaudio": "CoreAudio",
    "wasapi": "Windows",
    "dsound": "Windows",
}


def candidates(
    setup: ListenSetup, environment: Mapping[str, str], cards: Path = SOUND_CARDS
) -> list[str]:
    """Return the drivers of FluidSynth's to try, the best first.

    A sound server that does not run is not tried: libraries would start one, or wait for it.
    """
    if setup.driver != "auto":
        return [setup.driver]
    match sys.platform:
        case "darwin":
            here = {"coreaudio", "jack"}
        case "win32":
            here = {"wasapi", "dsound"}
        case _:
            here = _on_linux(environment, cards)
    first = ["jack"] if setup.jack_first and "jack" in here else []
    return [*first, *(each for each in DRIVERS if each in here and each not in first)]


def nothing_found(setup: ListenSetup) -> str:
    """Return the line that says that nothing plays sound here."""
    driver = setup.driver
    if driver != "auto":
        return f"{TITLES[driver]} takes no sound; sound.driver = auto looks for others"
    return "no sound server takes sound, and no sound card"


def _on_linux(environment: Mapping[str, str], cards: Path) -> set[str]:
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    pipewire = Path(environment.get("PIPEWIRE_RUNTIME_DIR") or runtime)
    pulse = Path(environment.get("PULSE_RUNTIME_PATH") or runtime / "pulse")
    found = {"jack"}  # told not to start a server
    if (pipewire / environment.get("PIPEWIRE_REMOTE", "pipewire-0")).exists():
        found.add("pipewire")
    if environment.get("PULSE_SERVER") or (pulse / "native").exists():
        found.add("pulseaudio")
    if any(cards.glob("pcmC*p")):
        found.add("alsa")
    return found
