"""What crosses the seam between the engine and the control plane: small frozen values.

The engine is the process that keeps time: MIDI ports, clock follower, transport, player.  The
control plane decides what is played.  Commands go to the engine, reports come back; both are
JSON, so that a corrupted peer can say nonsense but never run code.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Self

import msgspec

from drumigen.kit import KitMap, KitNote, Voice
from drumigen.pattern import Bar
from drumigen.timeline import Timeline
from drumigen.units import TEMPO_DEFAULT, TEMPO_MAX, TEMPO_MIN, Bpm, Seconds, Tick
from drumigen_daemon.histogram import Histogram
from drumigen_daemon.ports import PortPlan
from drumigen_daemon.process.log_line import LogLine

FEEDBACK_PORT: Final = "feedback"
"""The output that shows on controllers where controls stand."""


class Origin(StrEnum):
    """Where a bar came from; all but the first two are fallbacks, best first."""

    GENERATED = "generated"
    """Written by the generator for this place in the song."""
    REMEMBERED = "remembered"
    """Sounded here before, and played again after a relocate."""
    OLDER = "older"
    """Written by the generator for another place, and not yet played."""
    VARIATION = "variation"
    """The last bar, varied by rule."""
    BANK = "bank"
    """From the style's built-in bar bank."""
    REPEATED = "repeated"
    """The engine repeated what it held, because the control plane sent nothing."""

    @property
    def fallback(self) -> bool:
        """Whether a fault made this bar necessary."""
        return self not in (Origin.GENERATED, Origin.REMEMBERED)


@dataclass(frozen=True, slots=True)
class PlannedBar:
    """A bar given its place: bar ``number`` of the song, whose bar line is at tick ``start``."""

    number: int
    start: Tick
    bar: Bar
    style: str = ""
    origin: Origin = Origin.GENERATED

    @property
    def end(self) -> Tick:
        """The tick of the next bar line."""
        return Tick(self.start + self.bar.meter.ticks)


class TransportState(StrEnum):
    """Stopped; armed: told to go and waiting for the pulse that says when; rolling."""

    STOPPED = "stopped"
    ARMED = "armed"
    ROLLING = "rolling"


class ClockSource(StrEnum):
    """Who gives the tempo."""

    AUTO = "auto"
    """A MIDI clock while one is heard, else our own."""
    MIDI = "midi"
    INTERNAL = "internal"


CLOCK_GROUP: Final = "drumigen.clocks"
"""Entry points of this group, called without arguments, return a
:class:`~drumigen_daemon.clock.source.BeatSource`."""


class DropOut(StrEnum):
    """What to do when the clock we follow falls silent while rolling."""

    FREE_RUN = "free-run"
    STOP = "stop"


class EngineSetup(msgspec.Struct, frozen=True):
    """What the engine is told before it begins."""

    plan: PortPlan = PortPlan()
    backend: str = "auto"
    api: str | None = None
    priority: int = 70
    """Of SCHED_FIFO; 0 asks for no realtime."""


class Command(msgspec.Struct, frozen=True, tag=True):
    """Root of what the control plane may ask."""


class Plan(Command, frozen=True):
    """From written tick ``from_tick`` on, the song is what ``bars`` say.

    A bar replaces the one of its number; if ``from_tick`` lies within it, hits of the old one
    that are written before stay.  Planned bars that overlap a new one are forgotten.
    """

    bars: tuple[PlannedBar, ...]
    from_tick: Tick = Tick(0)
    grid: int = 0
    """Ticks from one boundary to the next: where a hit of the old bar at ``from_tick`` can not be
    taken back any more, the bars hold from the next boundary on.  0 knows no other."""


class Start(Command, frozen=True):
    """Roll from tick 0 at the next pulse."""


class Continue(Command, frozen=True):
    """Roll from the stored position at the next pulse."""


class Stop(Command, frozen=True):
    """Stop, and silence what sounds; the position is kept."""


class Locate(Command, frozen=True):
    """Move the playhead to ``tick``, stopped or rolling."""

    tick: Tick


class ReOne(Command, frozen=True):
    """The beat nearest to now is the one: move the nearest bar line onto it."""


class Nudge(Command, frozen=True):
    """Move the song against our own clock's time by ``ms``; positive is later."""

    ms: float


class Rejoin(Command, frozen=True):
    """Roll where ``timeline`` says that the song is: for an engine that replaces a dead one."""

    timeline: Timeline
    external: bool


class SendFeedback(Command, frozen=True):
    """Send MIDI messages to the port ``feedback``, for LEDs and LED rings."""

    messages: tuple[tuple[int, ...], ...]


class UseKit(Command, frozen=True):
    """Sound on this kit from now on: a value, for the engine reads no files while it plays."""

    name: str
    notes: dict[Voice, KitNote]
    choked: dict[Voice, tuple[Voice, ...]]

    @classmethod
    def of(cls, kit: KitMap) -> Self:
        """Return the command for ``kit``."""
        return cls(kit.name, dict(kit.notes), dict(kit.choked))

    @property
    def kit(self) -> KitMap:
        """The kit, as far as it is played; nothing is read from it."""
        return KitMap(self.name, self.name, self.notes, {}, self.choked)


class Panic(Command, frozen=True):
    """Silence everything on every used channel: offs, then CC 123 and CC 120."""


class Shutdown(Command, frozen=True):
    """Silence everything and end the engine."""


class EngineParameters(Command, frozen=True):
    """Every live setting of the engine at once; a later one replaces an earlier one."""

    tempo: Bpm = TEMPO_DEFAULT
    """Of the internal clock, and of a follower that has heard no pulse."""
    source: str = ClockSource.AUTO
    """A :class:`ClockSource`, or the name of a clock that an installed package brings."""
    drop_out: DropOut = DropOut.FREE_RUN
    start_on_clock: bool = False
    """Roll when pulses come after silence although no Start was heard (a lost Start)."""
    reading: Literal["half", "normal", "double"] = "normal"
    """How the clock's beats are read; scales song position too."""
    clock_out: bool = True
    """Send our clock and transport to the ``clock`` port while we are the master."""
    offset_ms: float = 0.0
    """Added to the time of every note; negative is earlier.  -200 to 200."""
    voice_offsets_ms: dict[Voice, float] = {}
    """Added per voice on top of ``offset_ms``."""
    kit: str = "gm"
    """Its name or path, for people; what the engine plays comes by :class:`UseKit`."""

    def __post_init__(self) -> None:
        """Refuse what the engine could not play."""
        if not TEMPO_MIN <= self.tempo <= TEMPO_MAX:
            message = f"tempo {self.tempo} is outside {TEMPO_MIN:g}-{TEMPO_MAX:g} BPM"
            raise ValueError(message)
        offsets = (self.offset_ms, *self.voice_offsets_ms.values())
        if not all(abs(offset) <= OFFSET_LIMIT_MS for offset in offsets):
            message = f"an output offset is outside +-{OFFSET_LIMIT_MS:g} ms"
            raise ValueError(message)

    @property
    def reading_factor(self) -> float:
        """Song ticks per tick of the clock."""
        return {"half": 0.5, "normal": 1.0, "double": 2.0}[self.reading]


NUDGE_LIMIT_MS = 100.0
"""Largest nudge either way."""

OFFSET_LIMIT_MS = 200.0
"""Largest output offset either way."""

AnyCommand = (
    Plan
    | Start
    | Continue
    | Stop
    | Locate
    | ReOne
    | Nudge
    | SendFeedback
    | Rejoin
    | UseKit
    | Panic
    | Shutdown
    | EngineParameters
)


class EngineReport(msgspec.Struct, frozen=True, tag=True):
    """Root of what the engine tells."""


class Ready(EngineReport, frozen=True):
    """The ports are open."""

    backend: str
    ports: tuple[str, ...]
    detail: str = ""
    """One line: which MIDI system and why; realtime or not."""
    wanted: tuple[tuple[str, str], ...] = ()
    """The connections that are asked for: a port of ours, and a pattern of names."""


class EngineState(EngineReport, frozen=True):
    """Where the engine is; sent when any of it changes, and at least once a second.

    A tick that ``timeline`` foretells is no change.
    """

    transport: TransportState
    lock: str
    """``internal``, or how well the clock that is followed is known."""
    timeline: Timeline
    """Song ticks against monotonic seconds; while not rolling it only gives the tempo."""
    tick: Tick
    """Where the playhead is, or will start."""
    master: str = ""
    """Whose clock is followed; empty for our own."""
    moves: int = 0
    """Counts starts, continues and relocates, so that none goes unseen."""
    obeyed: int = 0
    """Commands carried out since this engine began: what was sent after them is on its way."""
    bars: tuple[int, ...] = ()
    """Numbers of the bars that it holds."""


class BarEntered(EngineReport, frozen=True):
    """The playhead crossed the bar line of ``number``."""

    number: int
    style: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class PlayedNote:
    """A note that left: song tick it was meant for (feel in, output offsets out)."""

    tick: int
    channel: int
    note: int
    velocity: int
    duration: int


class PlayedBar(EngineReport, frozen=True, tag="Sounded"):
    """The notes that left during one bar, or part of one if it was cut short."""

    number: int
    start: Tick
    meter: str
    style: str
    origin: Origin
    tempo: Bpm
    notes: tuple[PlayedNote, ...]
    tempos: tuple[tuple[int, Bpm], ...] = ()
    """(Ticks from the bar line, tempo), where that was turned within the bar."""


class ControlInput(EngineReport, frozen=True):
    """A MIDI message that is not clock or transport, for the controls."""

    source: str
    data: tuple[int, ...]
    at: Seconds
    earlier: tuple[int, ...] = ()
    """Values of the same control change that came just before, oldest first: a press among them
    counts, and so does every step of an encoder."""


class PortMoved(EngineReport, frozen=True):
    """A port, or the whole MIDI system, came or went."""

    port: str
    peer: str
    up: bool
    patterns: tuple[str, ...] = ()
    """Those that asked for it, of :attr:`Ready.wanted`."""


class ReceiversSeen(EngineReport, frozen=True):
    """The ports of others that could play our notes; told while none does, when they change."""

    names: tuple[str, ...]


class EngineCounters(EngineReport, frozen=True):
    """Counts since the engine started; times in microseconds over the last report period."""

    notes: int = 0
    late_notes: int = 0
    dropped_notes: int = 0
    repeated_bars: int = 0
    pulses: int = 0
    lost_pulses: int = 0
    duplicate_pulses: int = 0
    foreign_pulses: int = 0
    drop_outs: int = 0
    resyncs: int = 0
    port_losses: int = 0
    controls_coalesced: int = 0
    lateness_p50_us: float = 0.0
    lateness_p99_us: float = 0.0
    lateness_max_us: float = 0.0
    clock_jitter_us: float = 0.0
    """Standard deviation of the followed clock's pulses; 0 for our own."""
    lateness: Histogram = Histogram()
    """Of every note since the engine started, against the moment it was meant for."""
    clock_error: Histogram = Histogram()
    """Of every pulse, against the moment at which the follower expected it."""


AnyReport = (
    Ready
    | EngineState
    | BarEntered
    | PlayedBar
    | ControlInput
    | PortMoved
    | ReceiversSeen
    | LogLine
    | EngineCounters
)
