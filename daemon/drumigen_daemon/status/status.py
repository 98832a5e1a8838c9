"""One frozen snapshot of the daemon: what the terminal, the socket, MQTT and the log show."""

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TEMPO_DEFAULT, Seconds, Tick
from drumigen_daemon.engine.messages import (
    ClockSource,
    EngineCounters,
    Origin,
    PlannedBar,
    TransportState,
)
from drumigen_daemon.generator.messages import DeviceReport, WorkersReport
from drumigen_daemon.histogram import Histogram
from drumigen_daemon.status.advice import advice
from drumigen_daemon.status.connections import PortsStanding


@dataclass(frozen=True, slots=True)
class PlanCounters:
    """Counts of the control plane since it started."""

    bars: int = 0
    fallback_bars: int = 0
    """Bars that sounded and were not the generator's own for that place."""
    late_bars: int = 0
    """Bars that the generator delivered after their bar line, or not at all."""
    refused_bars: int = 0
    """Bars that no writer could write."""
    worker_bars: int = 0
    """Bars that sounded and were written by workers, for that place."""
    by_origin: dict[Origin, int] = field(default_factory=dict)
    generator_restarts: int = 0
    engine_restarts: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """Where everything stands."""

    transport: TransportState = TransportState.STOPPED
    lock: str = "unlocked"
    """``internal``, ``unlocked``, ``locking``, ``locked`` or ``coasting``."""
    master: str = ""
    timeline: Timeline = Timeline(TEMPO_DEFAULT, 0.0, Seconds(0.0))
    """Song ticks against monotonic seconds; gives the tempo, and the playhead while rolling."""
    stored_tick: Tick = Tick(0)
    """Where the song will start, while it does not roll."""
    meters: MeterMap = MeterMap()
    style: str = ""
    bar_style: str = ""
    """Style of the bar that sounds."""
    origin: Origin | None = None
    """Where the bar that sounds came from."""
    kit: str = "gm"
    seed: int = 1
    backend: str = ""
    ports: tuple[str, ...] = ()
    detail: str = ""
    """How the engine runs: realtime or not."""
    sound: str = ""
    """What sounds live, or why nothing does; empty if nobody asked for it."""
    generator: str = "starting"
    """``starting``, ``ready``, ``too slow`` or ``restarting``."""
    processes: dict[str, int | None] = field(default_factory=dict)
    """Process ids of ``engine`` and ``generator``."""
    writing: Histogram = Histogram()
    """How long the generator took for each batch of bars."""
    workers: WorkersReport | None = None
    """How it goes with the workers, if the generator asks any."""
    device: DeviceReport = DeviceReport()
    """What the network runs on."""
    plan: PlanCounters = PlanCounters()
    engine: EngineCounters = EngineCounters()
    ready: bool = False
    """Ports are open and the first bar is there."""
    heartbeats: int = 0
    """Times that the engine has told its state; grows at least once a second."""
    source: str = ClockSource.AUTO
    """Who is to give the tempo."""
    begins_by_itself: bool = False
    """Whether the song is about to begin although nobody says so."""
    hears_foreign: bool = False
    """Whether a second clock was heard, and ignored, within the last second."""
    connections: PortsStanding = PortsStanding()
    """Who is connected with our ports, who is missing, and who could be."""
    ahead: tuple[PlannedBar, ...] = ()
    """The bar that sounds or is to begin, and those planned after it."""

    @property
    def fresh_rate(self) -> float | None:
        """Of the bars that were not heard before, the share that workers wrote; None without any.

        Such a bar is written by a worker for its place; what is remembered counts neither way.
        """
        new = self.plan.bars - self.plan.by_origin.get(Origin.REMEMBERED, 0)
        return self.plan.worker_bars / new if self.workers is not None and new > 0 else None

    @property
    def song(self) -> str:
        """What makes the song the one that it is: style, seed, and what writes it."""
        where = {"cpu": "the CPU", "none": "the bar bank"}.get(self.device.device)
        return f"{self.style}, seed {self.seed}, written by {where or self.device.device}"

    def tick_at(self, now: Seconds) -> float:
        """Return where the playhead is."""
        if self.transport is TransportState.ROLLING:
            return self.timeline.tick_at(now)
        return float(self.stored_tick)

    def place_at(self, now: Seconds) -> tuple[int, int, Meter]:
        """Return bar and beat as on screen (both from 1), and the metre."""
        tick = max(0.0, self.tick_at(now))
        bar = self.meters.bar_at(tick)
        meter = self.meters.meter_of(bar)
        beat = int((tick - self.meters.start_of(bar)) // meter.beat_ticks)
        return bar + 1, beat + 1, meter


def described(status: Status, now: Seconds) -> dict[str, Any]:
    """Return ``status`` as plain values, for programs: bars and beats as on screen."""
    bar, beat, meter = status.place_at(now)
    return {
        "transport": status.transport,
        "bar": bar,
        "beat": beat,
        "meter": str(meter),
        "tempo": round(status.timeline.tempo, 3),
        "lock": status.lock,
        "master": status.master,
        "style": status.style,
        "bar_style": status.bar_style,
        "origin": status.origin,
        "kit": status.kit,
        "seed": status.seed,
        "song": status.song,
        "backend": status.backend,
        "ports": status.ports,
        "connections": asdict(status.connections),
        "advice": advice(status),
        "engine": status.detail,
        "sound": status.sound,
        "generator": status.generator,
        "device": msgspec.structs.asdict(status.device),
        "ready": status.ready,
        "processes": status.processes,
        "counters": described_counters(status),
        "histograms": msgspec.to_builtins(histograms(status)),
        **described_workers(status),
    }


def described_workers(status: Status) -> dict[str, Any]:
    """Return how it goes with workers, under ``workers``; nothing where none are asked."""
    report = status.workers
    if report is None:
        return {}
    told = {
        name: value
        for name, value in msgspec.structs.asdict(report).items()
        if not isinstance(value, Histogram)
    }
    rate = status.fresh_rate
    return {"workers": {**told, "fresh_rate": None if rate is None else round(rate, 5)}}


def described_counters(status: Status) -> dict[str, Any]:
    """Return all counts by name; ``by_origin`` is a table of its own."""
    engine = msgspec.structs.asdict(status.engine)
    for histogram in ("lateness", "clock_error"):
        del engine[histogram]
    return {**asdict(status.plan), "device_faults": status.device.faults, **engine}


def histograms(status: Status) -> dict[str, Histogram]:
    """Return all histograms by name."""
    report = status.workers
    of_workers = (
        {}
        if report is None
        else {
            "worker_queue_wait": report.queue_wait,
            "worker_batch_bars": report.batch_bars,
            "worker_bar_time": report.bar_time,
            "worker_round_trip": report.round_trip,
        }
    )
    return {
        "output_lateness": status.engine.lateness,
        "clock_phase_error": status.engine.clock_error,
        "generation": status.writing,
        **of_workers,
    }
