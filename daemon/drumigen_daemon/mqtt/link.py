"""The daemon's side of MQTT: tells the bridge's process how all stands, and obeys what it wants.

Nothing here waits for a broker.  A bridge that does not read is told less, one that hangs is
replaced; what it wants is limited there and checked here, like any control.
"""

import asyncio
import logging
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from drumigen.errors import DrumigenError
from drumigen.units import Seconds
from drumigen_daemon.controls.table import VALUES
from drumigen_daemon.controls.values import SWITCH, known_styles, leaves_to_style, plain
from drumigen_daemon.engine.messages import PlannedBar, TransportState
from drumigen_daemon.generator.messages import WorkersReport
from drumigen_daemon.mqtt.messages import (
    Ahead,
    AnyFromBridge,
    ControlRequest,
    Hello,
    Link,
    MqttSettings,
    Refused,
    StateUpdate,
)
from drumigen_daemon.mqtt.topics import PLAYING
from drumigen_daemon.process.companion import Companion, Telling
from drumigen_daemon.process.log_line import LogLine
from drumigen_daemon.session import Session
from drumigen_daemon.status.running import RunningDaemon
from drumigen_daemon.status.status import Status, described

log = logging.getLogger(__name__)

TELLING_PERIOD: Final = 0.1
"""Seconds between two tellings at least."""
BACKLOG_MAX: Final = 100_000
"""Bytes; a bridge that leaves more unread is told nothing until it has read them."""
SONG_FIELDS: Final = (
    "transport",
    "bar",
    "meter",
    "tempo",
    "lock",
    "master",
    "style",
    "bar_style",
    "origin",
    "kit",
    "seed",
    "backend",
    "generator",
    "ready",
)
"""What of the status is told when it changes."""


class MqttLink:
    """Keeps a bridge to the broker that the settings name, if they name one."""

    def __init__(self, settings: MqttSettings, daemon: RunningDaemon) -> None:
        """Speak for ``daemon``; :meth:`run` does it."""
        self._settings = settings
        self._daemon = daemon
        self._bridge: Companion[AnyFromBridge] = Companion(
            "drumigen_daemon.mqtt.process",
            kind=AnyFromBridge,
            backlog_max=BACKLOG_MAX,
            telling=Telling(
                wanted=lambda: bool(self._settings.host),
                started=self._started,
                lost=self._lost,
                tell=self._tell,
                pause=lambda: TELLING_PERIOD,
                heard=self._heard,
            ),
        )
        self._told: dict[int, PlannedBar] = {}
        self._session: Session | None = None
        self._values: dict[str, str] = {}
        self._telemetry_due = 0.0
        self._born = 0.0
        self.link = Link(connected=False)
        """What the bridge told last."""

    @property
    def restarts(self) -> int:
        """How many bridges had to be replaced."""
        return self._bridge.restarts

    def figures(self) -> Mapping[str, float]:
        """Return what metrics tell of it; nothing while no broker is set."""
        if not self._settings.host:
            return {}
        return {
            "mqtt_connected": self.link.connected,
            "mqtt_connections": self.link.connections,
            "mqtt_messages_ignored": self.link.ignored,
            "mqtt_bridge_restarts": self.restarts,
        }

    def take(self) -> None:
        """Hear that something may have changed."""
        self._bridge.take()

    def adopt(self, settings: MqttSettings) -> None:
        """Go over to other settings, as after a reload."""
        if settings != self._settings:
            self._settings = settings
            self._bridge.renew()

    async def run(self) -> None:
        """Be there, with a bridge while the settings name a broker."""
        await self._bridge.run()

    # --- to the bridge ----------------------------------------------------------------------

    def _started(self) -> None:
        self._told.clear()
        self._telemetry_due = 0.0
        options = {"style": tuple(style.name for style in known_styles())}
        self._bridge.send(Hello(self._settings, _version(), options))

    def _lost(self) -> None:
        self.link = Link(connected=False)

    def _tell(self) -> None:
        status, now = self._daemon.status, Seconds(asyncio.get_running_loop().time())
        self._bridge.send(self._shown(status, now))
        bars = self._new_bars(status, now)
        if bars:
            self._bridge.send(Ahead(bars))

    def _shown(self, status: Status, now: Seconds) -> StateUpdate:
        session = self._daemon.controls.session
        if session != self._session:
            self._session = session
            self._values = dict(self._stands_at())
        said = described(status, now)
        song = {name: said[name] for name in SONG_FIELDS}
        song["tempo"] = round(status.timeline.tempo, 1)
        song["locked"] = status.lock in ("locked", "internal")
        telemetry: dict[str, Any] = {}
        if now >= self._telemetry_due:
            self._telemetry_due = now + self._settings.telemetry_seconds
            self._born = self._born or now
            up = round(now - self._born)
            telemetry = {"up_seconds": up, "lock": status.lock, **said["counters"]}
            if "workers" in said:
                telemetry["workers"] = {**said["workers"], **_milliseconds(status.workers)}
        return StateUpdate(self._values, song, telemetry)

    def _stands_at(self) -> Iterator[tuple[str, str]]:
        """Yield what every setting stands at, as the text that it takes."""
        for name, allowed in VALUES.items():
            value = self._daemon.controls.value_of(name)
            if value is not None or (allowed is not None and leaves_to_style(allowed)):
                yield str(name), plain(value)

    def _new_bars(self, status: Status, now: Seconds) -> tuple[Mapping[str, Any], ...]:
        """Return the bars that were planned since the last time, and have not begun."""
        told = self._told
        self._told = {planned.number: planned for planned in status.ahead}
        rolling = status.transport is TransportState.ROLLING
        return tuple(
            _bar(planned, status.timeline.time_of(planned.start) - now if rolling else None)
            for planned in status.ahead
            if told.get(planned.number) != planned
            and not (rolling and status.timeline.time_of(planned.start) <= now)
        )

    # --- from the bridge --------------------------------------------------------------------

    def _heard(self, message: AnyFromBridge) -> None:
        match message:
            case ControlRequest():
                self._obey(message)
            case Link():
                if message.connections != self.link.connections:
                    # bars are told once: to those who were there
                    self._told.clear()
                    self._bridge.take()
                self.link = message
            case LogLine():
                log.log(logging.getLevelNamesMapping()[message.level.upper()], "%s", message.text)

    def _obey(self, wanted: ControlRequest) -> None:
        try:
            if wanted.control == PLAYING:
                self._play(on=SWITCH.take(wanted.value))
            else:
                self._daemon.control(wanted.control, wanted.value)
        except DrumigenError as error:
            self._bridge.send(Refused(wanted.control, str(error)))

    def _play(self, *, on: bool) -> None:
        stopped = self._daemon.status.transport is TransportState.STOPPED
        if on == stopped:
            self._daemon.control("start" if on else "stop")


def _bar(planned: PlannedBar, seconds: float | None) -> Mapping[str, Any]:
    """Return a planned bar for programs: from 1, as on screen; hits by tick, voice, velocity."""
    return {
        "bar": planned.number + 1,
        "meter": str(planned.bar.meter),
        "style": planned.style,
        "origin": planned.origin,
        "in_seconds": None if seconds is None else round(seconds, 3),
        "hits": [[hit.tick + hit.offset, hit.voice, hit.velocity] for hit in planned.bar.hits],
    }


def _milliseconds(report: WorkersReport | None) -> dict[str, float | None]:
    """Return what half of the requests to workers, and 99 of 100, do not exceed; None is beyond."""
    if report is None:
        return {}
    told = {}
    for name in ("queue_wait", "bar_time", "round_trip"):
        for share in (50, 99):
            bound = getattr(report, name).quantile(share / 100)
            told[f"{name}_ms_p{share}"] = None if bound == math.inf else round(1000 * bound, 3)
    bars = report.batch_bars
    told["batch_bars_mean"] = round(bars.sum / bars.count, 1) if bars.count else None
    return told


def _version() -> str:
    try:
        return version("drumigen")
    except PackageNotFoundError:
        return "unknown"
