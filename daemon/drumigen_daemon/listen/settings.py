"""The settings of live sound."""

from dataclasses import dataclass
from typing import Annotated

from drumigen_daemon.controls.values import SWITCH, number, one_of, text
from drumigen_daemon.listen.drivers import DRIVERS


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """What the song sounds on where we make the sound ourselves."""

    listen: Annotated[bool, SWITCH] = False
    """Sound live, through FluidSynth; ``drumigen play`` does unless told not to."""
    driver: Annotated[str, one_of("auto", *DRIVERS)] = "auto"
    font: Annotated[str, text(0, 1000, "the path of a sound font")] = ""
    """Empty for the best that is installed."""
    level_db: Annotated[float, number(-60.0, 12.0)] = 0.0
    """Added to the level of the live sound."""
    delay_ms: Annotated[float, number(-200.0, 500.0)] = 100.0
    """How much later than the MIDI notes it sounds, less what the audio system adds."""
