"""A song on request: what is asked for, and what a worker tells of it.

The same values cross to a worker process of ours and, one day, to workers on other machines.
"""

from typing import Annotated, Final

import msgspec

from drumigen.arrange import Section
from drumigen.errors import DrumigenError

BARS_MAX: Final = 64
_NAME: Final = msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^/\\]*$")


class JobError(DrumigenError):
    """A song cannot be rendered, or there is no room for another."""


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A song to be rendered, as ``drumigen render`` does; what is left out the style decides."""

    style: Annotated[str, _NAME] = "rock"
    bars: Annotated[int, msgspec.Meta(ge=1, le=BARS_MAX)] = 4
    tempo: Annotated[float, msgspec.Meta(ge=20, le=400)] | None = None
    """BPM; left out, a tempo at which the style is at home."""
    meter: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,2}/[0-9]{1,2}$")] = "4/4"
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1
    kit: Annotated[str, _NAME] = "gm"
    density: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    intensity: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0.05, le=2.0)] = 1.0
    blend: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^/\\]*$")] = ""
    share: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    section: Section = Section.NONE
    fill_every: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    fill_amount: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    variation: bool = True
    swing: Annotated[float, msgspec.Meta(ge=50, le=75)] | None = None
    push: Annotated[float, msgspec.Meta(ge=-60, le=60)] = 0.0
    humanize: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100


class JobProgress(msgspec.Struct, frozen=True, tag=True):
    """So many bars are written."""

    bars: int


class JobDone(msgspec.Struct, frozen=True, tag=True):
    """The song, as a Standard MIDI File."""

    midi: bytes
    style: str
    tempo: float


class JobFailed(msgspec.Struct, frozen=True, tag=True):
    """Why not: one line."""

    problem: str


AnyFromWorker = JobProgress | JobDone | JobFailed
