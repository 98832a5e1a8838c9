"""Answers Prometheus over HTTP: ``/metrics``, and ``/health`` for who only asks if all is well.

The text format (version 0.0.4) is written by hand: it is a few lines, while the client library
keeps counts and threads of its own beside those that exist, and takes 2 MB.

Only reads.  Clients, bytes and patience are limited, and an answer is made at most twice a second,
however often it is asked for.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.histogram import Histogram
from drumigen_daemon.status.status import Status, described_counters, histograms

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SCRAPE_HEAD_MAX: Final = 8_192
CLIENTS_MAX: Final = 16
CLIENT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS: Final = 0.5
"""Seconds that an answer is given again."""


class MetricsServer:
    """Tells the status in numbers to whoever asks."""

    def __init__(
        self,
        host: str,
        port: int,
        status: Callable[[], Status],
        more: Callable[[], Mapping[str, float]],
    ) -> None:
        """Tell ``status``, and what ``more`` there is, at ``host``; :meth:`run` does it."""
        self._host = host
        self._wanted = port
        self._status = status
        self._more = more
        self._clients = 0
        self._made_at = -ANSWER_SECONDS
        self._answer = b""
        self.port = 0
        """The port that is listened on."""

    async def run(self) -> None:
        """Answer until cancelled.

        Raises:
            OSError: the port cannot be had.
        """
        server = await asyncio.start_server(
            self._welcome, self._host, self._wanted, limit=SCRAPE_HEAD_MAX
        )
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            log.info("metrics: http://%s:%d/metrics", self._host, self.port)
            await server.serve_forever()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._clients < CLIENTS_MAX:
                self._clients += 1
                try:
                    async with asyncio.timeout(CLIENT_SECONDS_MAX):
                        writer.write(await self._reply(reader))
                        await writer.drain()
                        writer.close()
                        await writer.wait_closed()
                finally:
                    self._clients -= 1
        except (TimeoutError, OSError):
            log.debug("metrics: a client left, or fell silent")
        finally:
            writer.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return _response("400 Bad Request", "this is no request\n")
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "only reading is possible here\n")
        if path == b"/metrics":
            answer = self._metrics()
        elif path == b"/health":
            ready = self._status().ready
            answer = _response(
                "200 OK" if ready else "503 Service Unavailable",
                "ready\n" if ready else "not ready\n",
            )
        else:
            answer = _response("404 Not Found", "there are /metrics and /health\n")
        return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def _metrics(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if now - self._made_at >= ANSWER_SECONDS:
            self._made_at = now
            self._answer = _response("200 OK", exposition(self._status(), self._more()))
        return self._answer


def _response(status: str, body: str) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


# --- the text --------------------------------------------------------------------------------

_COUNTERS: Final[Mapping[str, str]] = {
    "bars": "Bars that sounded.",
    "fallback_bars": "Bars that sounded and were not the generator's own for their place.",
    "late_bars": "Bars that the generator delivered after their bar line.",
    "refused_bars": "Bars that the generator could not write.",
    "generator_restarts": "Generators that had to be replaced.",
    "device_faults": "GPUs that failed, after which the network ran on the CPU.",
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
    "worker_bars": "Bars that sounded and were written by workers, for their place.",
}

_WORKER_COUNTERS: Final[Mapping[str, str]] = {
    "asked": "Requests for bars to workers; the five below are their outcomes.",
    "answered": "Requests that workers answered in time.",
    "missed": "Requests that were not answered by their deadline.",
    "refused": "Requests that a worker refused.",
    "corrupt": "Requests that were answered by what is no answer.",
    "lost": "Requests for which the broker could not be reached, or its queue was full.",
    "bars": "Bars that workers wrote.",
    "local_bars": "Bars that the CPU here wrote in place of workers.",
}

_HISTOGRAMS: Final[Mapping[str, str]] = {
    "output_lateness_seconds": "How late notes were handed to the MIDI system.",
    "clock_phase_error_seconds": "How far MIDI clock pulses came from where they were expected.",
    "generation_seconds": "How long the generator took for a batch of bars.",
    "worker_queue_wait_seconds": "From asking workers for bars until one began.",
    "worker_batch_bars": "Bars that a worker wrote together, for each answer.",
    "worker_bar_time_seconds": "How long a worker took for each bar of a batch.",
    "worker_round_trip_seconds": "From asking workers for bars until the answer was here.",
}


_MORE: Final[Mapping[str, tuple[str, str]]] = {
    "mqtt_connected": ("gauge", "Whether the MQTT broker is connected."),
    "mqtt_connections": ("counter", "Connections to the MQTT broker."),
    "mqtt_messages_ignored": ("counter", "MQTT messages that meant nothing."),
    "mqtt_bridge_restarts": ("counter", "MQTT bridges that had to be replaced."),
}
"""What only some have; their names came before the custom of ending counters with _total."""


def exposition(status: Status, more: Mapping[str, float]) -> str:
    """Return everything, with what ``more`` there is, by name."""
    return "\n".join([*_lines(status, more), ""])


def _lines(status: Status, more: Mapping[str, float]) -> Iterator[str]:
    counters = described_counters(status)
    for name, about in _COUNTERS.items():
        yield from _metric(f"{name}_total", "counter", about, counters[name])
    yield from _head("bars_by_origin_total", "counter", "Bars that sounded, by origin.")
    for origin, count in counters["by_origin"].items():
        yield f'drumigen_bars_by_origin_total{{origin="{origin}"}} {count}'
    for name, histogram in histograms(status).items():
        full = name if name in _HISTOGRAMS else f"{name}_seconds"
        yield from _histogram(full, _HISTOGRAMS[full], histogram)
    yield from _workers(status)
    yield from _head("device", "gauge", "What the network runs on, and how it came to that.")
    report = status.device
    yield f'drumigen_device{{device="{report.device}",state="{report.state}"}} 1'
    gauges: dict[str, tuple[str, Any]] = {
        "ready": ("Whether the ports are open and the first bar is there.", status.ready),
        "rolling": ("Whether it plays.", status.transport is TransportState.ROLLING),
        "locked": ("Whether the tempo is known.", status.lock in ("locked", "internal")),
        "device_trial_cpu_seconds": (
            "What the next bars and fills of all styles took on the CPU when a GPU was tried.",
            report.cpu_seconds,
        ),
        "device_trial_seconds": ("What they took on the GPU.", report.device_seconds),
        "tempo_bpm": ("Quarter notes per minute.", round(status.timeline.tempo, 3)),
    }
    for name, (about, value) in gauges.items():
        yield from _metric(name, "gauge", about, float(value))
    for name, value in more.items():
        kind, about = _MORE[name]
        yield from _metric(name, kind, about, value)


def _workers(status: Status) -> Iterator[str]:
    """Yield what is counted of workers, where any are asked."""
    report = status.workers
    if report is None:
        return
    for name, about in _WORKER_COUNTERS.items():
        yield from _metric(f"workers_{name}_total", "counter", about, getattr(report, name))
    yield from _metric("workers_live", "gauge", "Workers that can write our bars.", report.live)
    rate = status.fresh_rate
    if rate is not None:
        about = "Of the bars not heard before, the share that workers wrote for their place."
        yield from _metric("fresh_bar_rate", "gauge", about, rate)


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP drumigen_{name} {about}"
    yield f"# TYPE drumigen_{name} {kind}"


def _metric(name: str, kind: str, about: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, about)
    yield f"drumigen_{name} {float(value):g}" if kind == "gauge" else f"drumigen_{name} {value}"


def _histogram(name: str, about: str, histogram: Histogram) -> Iterator[str]:
    yield from _head(name, "histogram", about)
    reached = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        reached += count
        yield f'drumigen_{name}_bucket{{le="{bound:g}"}} {reached}'
    yield f'drumigen_{name}_bucket{{le="+Inf"}} {histogram.count}'
    yield f"drumigen_{name}_sum {histogram.sum:.9g}"
    yield f"drumigen_{name}_count {histogram.count}"
