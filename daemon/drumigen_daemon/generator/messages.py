"""What the generator is asked for and what it answers: the seam to whoever writes bars."""

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from drumigen.arrange import NEUTRAL, Section, adapted
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen.units import TEMPO_DEFAULT, Bpm
from drumigen_daemon.histogram import Histogram

if TYPE_CHECKING:
    from drumigen.bank.bank import Bank  # whoever has one has loaded it


class WorkersAddress(msgspec.Struct, frozen=True):
    """Where writers on other machines are asked; the password is not in it."""

    broker: str
    """A URL, ``redis://`` or ``rediss://``."""
    password_file: str = ""
    ca_file: str = ""
    queue: str = "drumigen"
    deadline: float = 0.5
    """Seconds that an answer is waited for."""
    max_queue: int = 256
    """Requests that may wait in Redis."""
    result_ttl: int = 3600
    """Seconds for which a rendered song is kept."""


class GeneratorSetup(msgspec.Struct, frozen=True):
    """What the generator is told before it begins."""

    writer: str
    """A name in ``writers.WRITERS``, or of an entry point ``drumigen.writers``."""
    model: str = ""
    """Path of a checkpoint; empty for the shipped one."""
    device: str = "cpu"
    """``cpu``, ``auto``, ``mps``, ``cuda``, ``cuda:1`` ...; what else than the CPU is used only by
    a generator that plays."""
    top_k: int = 0
    """Draw among so many of the likeliest events; 0 among all."""
    top_p: float = 1.0
    """Draw among the likeliest that together have this chance, above 0 to 1; 1 among all."""
    verdicts: str = ""
    """File in which it is kept which device is quicker; empty for none."""
    styles: str = ""
    """Folder of one's own styles; empty for none."""
    log_level: str = "warning"
    """Least severe of what is logged: ``debug``, ``info``, ``warning`` or ``error``."""
    workers: WorkersAddress | None = None
    """Where the writer ``celery`` asks for bars."""

    @property
    def at_home(self) -> "GeneratorSetup":
        """The same for bars that this machine writes whatever workers there are."""
        writer = "model" if self.writer == "celery" else self.writer
        return msgspec.structs.replace(self, writer=writer, workers=None)


EVERYTHING: Final = 1_000
"""Bars; more than are ever missing at a time."""

BANK = GeneratorSetup("bank")
"""The writer that needs nothing but the shipped banks."""


class BarRequest(msgspec.Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """A bar to be written, and all that it is remembered by.

    The bars before it and the tempo help to write it but do not tell one request from another.
    """

    style: str
    number: int
    """Of the song, from 0."""
    meter: Meter
    seed: int
    fill: bool = False
    after_fill: bool = False
    """The bar before it was a fill: land on the one."""
    density: int | None = None
    """0 (sparse) to 100 (busy); None leaves it to the style."""
    intensity: int | None = None
    """0 (soft) to 100 (loud); None leaves it to the style."""
    temperature: float = 1.0
    """How daring, 0.05 to 2 in steps of 0.05; 1 is as the model was trained."""
    section: Section = Section.NONE
    blend: str = ""
    """A second style that is mixed in; empty for none."""
    share: int = 0
    """Percent of the second style, 0 to 100 in steps of 10."""
    take: int = 0
    """Counts re-rolls: another take is another bar."""
    busy: int | None = None
    """0 (simple) to 100 (a solo) of what is played beside the time; None leaves it to the style."""


class WrittenBar(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bar, and the request that it answers."""

    request: BarRequest
    bar: Bar
    by_worker: bool = False
    """Whether a worker wrote it, and not this machine's generator."""
    by_bank: bool = False
    """Whether the bar bank wrote it, as what was to write could not."""


class Item(NamedTuple):
    """One bar to write: ``context`` are the bars of its style just before it, oldest first.

    There are up to :data:`~drumigen.model.network.CONTEXT_BARS` of them, without a gap, the last
    being the bar before.  They are what the style's own history holds there, sounded
    or not, each with the request that it answered.  No context means a beginning.
    """

    request: BarRequest
    context: tuple[WrittenBar, ...] = ()


class Continuation(msgspec.Struct, frozen=True):
    """Requests that all continue the same bars."""

    context: tuple[WrittenBar, ...]
    requests: tuple[BarRequest, ...]


class Batch(msgspec.Struct, frozen=True):
    """Requests that are answered together; ``number`` tells answers apart."""

    number: int
    tempo: Bpm = TEMPO_DEFAULT
    parts: tuple[Continuation, ...] = ()
    song: int = 0
    """Counts songs that were started; 0 while none rolls.  Within a song the writer stays."""

    @property
    def items(self) -> tuple[Item, ...]:
        """What is to be written, one by one; items that share a context share the object."""
        return tuple(
            Item(request, part.context) for part in self.parts for request in part.requests
        )


class WorkersReport(msgspec.Struct, frozen=True):
    """How it goes with the workers, as the generator sees it; counts since it started.

    Each request has one outcome: ``asked`` is the sum of ``answered``, ``missed``, ``refused``,
    ``corrupt`` and ``lost``.
    """

    state: str = "connecting"
    """``connecting``, ``ready``, ``late``, ``full``, ``none``, ``mismatch`` or ``unreachable``."""
    live: int = 0
    """Workers with our model that were heard of in the last seconds."""
    said: str = ""
    """Why none is used, or what was last refused; empty while all is well."""
    asked: int = 0
    answered: int = 0
    missed: int = 0
    """Not answered by the deadline."""
    refused: int = 0
    """Refused by a worker: too busy, or another model or style than ours."""
    corrupt: int = 0
    """Answered by what is no answer."""
    lost: int = 0
    """The broker could not be reached, or its queue was full."""
    bars: int = 0
    """Bars that workers wrote."""
    local_bars: int = 0
    """Bars that this machine's CPU wrote in their place."""
    queue_wait: Histogram = Histogram()
    """Seconds from asking until a worker began, for each answer."""
    batch_bars: Histogram = Histogram()
    """Bars that the worker wrote together with ours, for each answer; no seconds."""
    bar_time: Histogram = Histogram()
    """Seconds that the worker took for each bar of that batch."""
    round_trip: Histogram = Histogram()
    """Seconds from asking until the answer was here."""


class DeviceReport(msgspec.Struct, frozen=True, tag=True):
    """What the network runs on; told whenever it changes."""

    device: str = "cpu"
    """What writes: ``cpu``, ``cuda``, ``mps`` ...; ``none`` where the bank does, for the network
    cannot be loaded."""
    state: str = "cpu"
    """``cpu``, ``absent`` (no GPU, or no torch), ``trying``, ``loading``, ``slower`` (than the
    CPU), ``waiting`` (for the next start of a song), ``playing`` or ``failed``."""
    cpu_seconds: float = 0.0
    """What the next bars and fills of all styles took on the CPU, and..."""
    device_seconds: float = 0.0
    """...on the device; 0 where it was not measured."""
    faults: int = 0
    """Devices that failed."""
    said: str = ""
    """The last fault, or what is missing; one line."""


class StillWriting(msgspec.Struct, frozen=True, tag=True):
    """A sign of life: batch ``number`` takes its time."""

    number: int


class BatchReply(msgspec.Struct, frozen=True, tag=True):
    """The answer to a batch; number 0, empty, says that the writer is loaded."""

    number: int
    bars: tuple[WrittenBar, ...] = ()
    refused: tuple[BarRequest, ...] = ()
    """What the writer cannot write..."""
    why: str = ""
    """...and what it said of the last of them; one line."""
    workers: WorkersReport | None = None
    """How it goes with the workers, if the writer asks any."""


def batch_of(number: int, items: tuple[Item, ...], tempo: Bpm, song: int = 0) -> Batch:
    """Return ``items`` as one message, in which a shared context is sent once."""
    shared: dict[int, tuple[tuple[WrittenBar, ...], list[BarRequest]]] = {}
    for item in items:
        shared.setdefault(id(item.context), (item.context, []))[1].append(item.request)
    parts = tuple(Continuation(context, tuple(requests)) for context, requests in shared.values())
    return Batch(number, tempo, parts, song)


def from_bank(bank: "Bank", request: BarRequest) -> Bar:
    """Return what ``bank`` has for ``request``, made busier and louder by rule as it asks.

    Each take walks through the bank in another order.
    """
    bar = bank.bar(
        request.number,
        request.seed + 7919 * request.take,
        request.meter,
        fill=request.fill,
        after_fill=request.after_fill,
    )
    density, intensity = (
        0 if points is None else points - NEUTRAL for points in (request.density, request.intensity)
    )
    return adapted(bar, density, intensity, request.seed + request.number)
