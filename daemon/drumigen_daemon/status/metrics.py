"""What Prometheus reads, in its text format (version 0.0.4), made from the status.

Written by hand: the format is a few lines, while the client library keeps counts and threads of its
own beside those that exist, and takes 2 MB.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.histogram import Histogram
from drumigen_daemon.status.status import Status, described_counters, histograms

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS: Final[Mapping[str, str]] = {
    "bars": "Bars that sounded.",
    "fallback_bars": "Bars that sounded and were not the generator's own for their place.",
    "late_bars": "Bars that the generator delivered after their bar line.",
    "generator_restarts": "Generators that had to be replaced.",
    "engine_restarts": "Engines that had to be replaced.",
    "notes": "Notes that left.",
    "late_notes": "Notes that left more than 1 ms late: deadline misses.",
    "dropped_notes": "Notes that were too late to be played.",
    "repeated_bars": "Bars that the engine repeated because nobody planned.",
    "pulses": "MIDI clock pulses heard.",
    "lost_pulses": "MIDI clock pulses that were missing.",
    "duplicate_pulses": "MIDI clock pulses that came twice.",
    "foreign_pulses": "MIDI clock pulses of a second master.",
    "drop_outs": "Times that the MIDI clock fell silent.",
    "resyncs": "Times that the song was moved against the clock.",
    "port_losses": "MIDI ports, or systems, that went away.",
    "controls_coalesced": "Control messages of a flood that gave way to later ones.",
}

_HISTOGRAMS: Final[Mapping[str, str]] = {
    "output_lateness_seconds": "How late notes were handed to the MIDI system.",
    "clock_phase_error_seconds": "How far MIDI clock pulses came from where they were expected.",
    "generation_seconds": "How long the generator took for a batch of bars.",
}


def exposition(status: Status, more: Mapping[str, float]) -> str:
    """Return everything, with the gauges ``more`` by name."""
    return "\n".join([*_lines(status, more), ""])


def _lines(status: Status, more: Mapping[str, float]) -> Iterator[str]:
    counters = described_counters(status)
    for name, about in _COUNTERS.items():
        yield from _metric(f"{name}_total", "counter", about, counters[name])
    yield from _head("bars_by_origin_total", "counter", "Bars that sounded, by origin.")
    for origin, count in counters["by_origin"].items():
        yield f'drumigen_bars_by_origin_total{{origin="{origin}"}} {count}'
    for name, histogram in histograms(status).items():
        yield from _histogram(f"{name}_seconds", _HISTOGRAMS[f"{name}_seconds"], histogram)
    gauges: dict[str, tuple[str, Any]] = {
        "ready": ("Whether the ports are open and the first bar is there.", status.ready),
        "rolling": ("Whether it plays.", status.transport is TransportState.ROLLING),
        "locked": ("Whether the tempo is known.", status.lock in ("locked", "internal")),
        "tempo_bpm": ("Quarter notes per minute.", round(status.line.tempo, 3)),
        **{name: (name.replace("_", " "), value) for name, value in more.items()},
    }
    for name, (about, value) in gauges.items():
        yield from _metric(name, "gauge", about, float(value))


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP drumigen_{name} {about}"
    yield f"# TYPE drumigen_{name} {kind}"


def _metric(name: str, kind: str, about: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, about)
    yield f"drumigen_{name} {value:g}" if kind == "gauge" else f"drumigen_{name} {value}"


def _histogram(name: str, about: str, histogram: Histogram) -> Iterator[str]:
    yield from _head(name, "histogram", about)
    reached = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        reached += count
        yield f'drumigen_{name}_bucket{{le="{bound:g}"}} {reached}'
    yield f'drumigen_{name}_bucket{{le="+Inf"}} {histogram.count}'
    yield f"drumigen_{name}_sum {histogram.sum:.9g}"
    yield f"drumigen_{name}_count {histogram.count}"
