"""What crosses the seam between the daemon and the process that sounds."""

import msgspec

from drumigen.timeline import Timeline
from drumigen.units import Tick
from drumigen_daemon.engine.messages import PlannedBar


class ListenSetup(msgspec.Struct, frozen=True):
    """What the process is told before it begins."""

    driver: str = "auto"
    font: str = ""
    level_db: float = 0.0
    delay_ms: float = 100.0
    jack_first: bool = False
    """Whether the engine plays through JACK: who runs it wants to hear us there."""


class ToListener(msgspec.Struct, frozen=True, tag=True):
    """Root of what the daemon tells."""


class ListenState(ToListener, frozen=True):
    """Where the song is, and what it sounds on; sent when it changes."""

    rolling: bool
    line: Timeline
    """Song ticks against monotonic seconds."""
    tick: Tick
    """Where the song is or will start, while it does not roll."""
    program: int = 0
    """The drum set, as the program change on the wire."""
    offset_ms: float = 0.0
    level_db: float = 0.0
    """What the style usually needs to be as loud as others."""


class ListenPlan(ToListener, frozen=True):
    """The bar that sounds, and those planned after it."""

    bars: tuple[PlannedBar, ...]


class FromListener(msgspec.Struct, frozen=True, tag=True):
    """Root of what the process tells."""


class Sounding(FromListener, frozen=True):
    """It sounds from now on."""

    driver: str
    font: str


class DrumSet(FromListener, frozen=True):
    """What the sound font calls the set that is played."""

    name: str


class Unheard(FromListener, frozen=True):
    """It does not sound: why, and what would help, on one line."""

    reason: str


class ListenSign(FromListener, frozen=True):
    """A sign of life, several times a second."""

    voices: int = 0
    """Samples that sound."""
    late: int = 0
    """Notes that came too late to sound on time."""


AnyToListener = ListenState | ListenPlan
AnyFromListener = Sounding | DrumSet | Unheard | ListenSign
