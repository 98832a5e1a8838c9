"""A song on request: what is asked for, and what a worker tells of it.

The same values cross to a worker process of ours and, one day, to workers on other machines.
"""

from typing import Annotated, Final

import msgspec

from drumigen.arrange import Section
from drumigen.errors import DrumigenError
from drumigen.kit import Voice
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.session import SongForm

JOB_BARS_MAX: Final = 64
_NAME: Final = r"^[^/\\]*$"
"""A name, no path: files are for the command line of whoever owns them."""
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_NAME)]
_Points = Annotated[int, msgspec.Meta(ge=0, le=100)]


class JobError(DrumigenError):
    """A song cannot be rendered, or there is no room for another."""


class NoWorkersError(JobError):
    """Nobody is there who would render a song."""


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A song to be rendered, as ``drumigen render`` does; what is left out the style decides."""

    style: _Name = "rock"
    bars: Annotated[int, msgspec.Meta(ge=1, le=JOB_BARS_MAX)] = 4
    tempo: Annotated[float, msgspec.Meta(ge=20, le=400)] | None = None
    """BPM; left out, a tempo at which the style is at home."""
    meter: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,2}/[0-9]{1,2}$")] = "4/4"
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1
    kit: _Name = "gm"
    density: _Points | None = None
    intensity: _Points | None = None
    busy: _Points | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0.05, le=2.0)] = 1.0
    top_k: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Draw among so many of the likeliest events; 0 among all."""
    top_p: Annotated[float, msgspec.Meta(ge=0.01, le=1.0)] = 1.0
    """Draw among the likeliest that together have this chance."""
    blend: Annotated[str, msgspec.Meta(max_length=64, pattern=_NAME)] = ""
    share: _Points = 0
    section: Section = Section.NONE
    form: SongForm = SongForm.OFF
    phrase: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    fill_every: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    fill_amount: _Points | None = None
    count_in: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0
    """Bars that only count, among those asked for."""
    mute: frozenset[Voice] = frozenset()
    variation: bool = True
    swing: Annotated[float, msgspec.Meta(ge=50, le=75)] | None = None
    push: Annotated[float, msgspec.Meta(ge=-60, le=60)] = 0.0
    humanize: _Points = 100


class Assignment(msgspec.Struct, frozen=True):
    """A song for a worker, and who writes its bars."""

    request: JobRequest
    setup: GeneratorSetup


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
