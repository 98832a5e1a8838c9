"""The daemon's side of the web process: tells it how all stands, and obeys what panels want.

Nothing here waits for a client.  A web process that does not read is told less, one that hangs is
replaced.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace as replaced

from drumigen.errors import DrumigenError
from drumigen.styles import StyleCatalogue
from drumigen.units import Seconds
from drumigen_daemon.capture.capture import Capture
from drumigen_daemon.controls.table import VALUES
from drumigen_daemon.controls.values import Allowed, known_styles, leaves_to_style, one_line
from drumigen_daemon.engine.messages import PlannedBar, PlayedBar
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.process.companion import Companion, Telling
from drumigen_daemon.process.log_limit import LimitedLog
from drumigen_daemon.process.log_line import LogLine
from drumigen_daemon.session import Session
from drumigen_daemon.status.running import RunningDaemon
from drumigen_daemon.status.status import Status, described, described_counters
from drumigen_daemon.web.messages import (
    HISTORY_MAX,
    Answer,
    AnyFromWeb,
    ControlBatch,
    ControlInfo,
    HistoryRequest,
    TokensChanged,
    WebHello,
    WebPlan,
    WebSettings,
    WebSign,
    WebState,
)

log = logging.getLogger(__name__)

PANEL_PERIOD: Final = 0.05
"""Seconds between two states while a panel is open: 20 a second, as the panels are told."""
IDLE_PERIOD: Final = 0.5
"""The same while none is."""
BACKLOG_MAX: Final = 200_000
"""Bytes; a process that leaves more unread is told nothing until it has read them."""
ANSWER_BACKLOG: Final = 10
"""Times that which may be unread when somebody waits for an answer."""
_SONG: Final = (
    *("transport", "meter", "lock", "master", "style", "bar_style", "origin", "kit", "seed"),
    *("backend", "ports", "connections", "advice", "generator", "device", "ready"),
)


class DaemonForWeb(RunningDaemon, Protocol):
    """What is shown and controlled: the daemon."""

    capture: Capture


class LastProblem(logging.Handler):
    """Keeps the last warning or error of the log, for the panel's one line."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        super().__init__(logging.WARNING)
        self.line = ""
        self.at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep ``record``."""
        self.line = one_line(record.getMessage())
        self.at = time.monotonic()


def greeting(
    settings: WebSettings, token_path: Path, version: str, generator: GeneratorSetup
) -> WebHello:
    """Return what a web process is told first; songs on request are written as by ``generator``."""
    styles = tuple(described_styles(known_styles()))
    return WebHello(settings, version, str(token_path), control_table(), styles, generator)


class WebLink:
    """Keeps a web process that serves the panel and the API, if the settings name a port."""

    def __init__(self, daemon: DaemonForWeb, hello: WebHello) -> None:
        """Speak for ``daemon`` as ``hello`` says; :meth:`run` does it."""
        self._daemon = daemon
        self._hello = hello
        self._web: Companion[AnyFromWeb] = Companion(
            "drumigen_daemon.web.process",
            kind=AnyFromWeb,
            backlog_max=BACKLOG_MAX,
            telling=Telling(
                wanted=lambda: bool(self._hello.settings.port),
                started=self._started,
                lost=self._lost,
                tell=self._tell,
                pause=lambda: PANEL_PERIOD if self.sign.clients else IDLE_PERIOD,
                heard=self._heard,
            ),
        )
        self._told_plan: tuple[PlannedBar, ...] = ()
        self._told_session: Session | None = None
        self._problem = LastProblem()
        self._log = LimitedLog(log)
        self.sign = WebSign()
        """The last sign of life."""

    @property
    def restarts(self) -> int:
        """How many web processes had to be replaced."""
        return self._web.restarts

    @property
    def pid(self) -> int | None:
        """Process id of the living one."""
        return self._web.pid

    def figures(self) -> Mapping[str, float]:
        """Return what metrics tell of it."""
        return {
            "web_clients": self.sign.clients,
            "web_requests_refused": self.sign.refused,
            "web_restarts": self.restarts,
        }

    def take(self) -> None:
        """Hear that something may have changed."""
        self._web.take()

    def adopt(self, settings: WebSettings, token_path: Path) -> None:
        """Go over to other settings, as after a reload: panels come back by themselves."""
        hello = replaced(self._hello, settings=settings, token_path=str(token_path))
        if hello != self._hello:
            self._hello = hello
            self._web.renew()

    async def run(self) -> None:
        """Be there, with a web process while the settings name a port."""
        logging.getLogger().addHandler(self._problem)
        try:
            await self._web.run()
        finally:
            logging.getLogger().removeHandler(self._problem)

    # --- to the web process -----------------------------------------------------------------

    def _started(self) -> None:
        self._told_plan, self._told_session = (), None
        self._web.send(self._hello)
        self._tell()

    def _lost(self) -> None:
        self.sign = WebSign()

    def _tell(self) -> None:
        status, now = self._daemon.status, Seconds(time.monotonic())
        self._log.tell(now)
        session = self._daemon.controls.session
        values = None if session == self._told_session else self._stands_at()
        if self._web.send(self._state(status, now, values)):
            self._told_session = session
        plan = status.ahead
        if plan != self._told_plan and self._web.send(WebPlan(tuple(map(described_bar, plan)))):
            self._told_plan = plan

    def _state(self, status: Status, now: Seconds, values: Mapping[str, Any] | None) -> WebState:
        said = described(status, now)
        song = {name: said[name] for name in _SONG}
        timeline = status.timeline
        song |= {
            "tempo": round(timeline.tempo, 3),
            "tick_origin": timeline.tick_origin,
            "time_origin": timeline.time_origin,
            "stored_tick": status.stored_tick,
            "meters": [[c.bar, c.tick, str(c.meter)] for c in status.meters.changes],
            "problem": self._problem.line,
            "problem_at": self._problem.at,
            "workers": said.get("workers"),
        }
        return WebState(now, values, song, described_counters(status))

    def _stands_at(self) -> dict[str, Any]:
        value_of = self._daemon.controls.value_of
        return {
            str(name): _json_value(value_of(name))
            for name, allowed in VALUES.items()
            if allowed is not None and (value_of(name) is not None or leaves_to_style(allowed))
        }

    # --- from the web process ---------------------------------------------------------------

    def _heard(self, message: AnyFromWeb) -> None:
        match message:
            case ControlBatch():
                self._obey(message)
            case HistoryRequest():
                answer = Answer(message.id, self._history(message))
                self._web.send(answer, patience=ANSWER_BACKLOG)
            case WebSign():
                if message.clients and not self.sign.clients:
                    self._web.take()
                self.sign = message
            case TokensChanged():
                self._web.renew()
            case LogLine():
                level = logging.getLevelNamesMapping()[message.level.upper()]
                self._log.log(level, message.text, Seconds(time.monotonic()))

    def _obey(self, batch: ControlBatch) -> None:
        problems = {}
        for name, value in batch.controls:
            try:
                self._daemon.control(name, value)
            except DrumigenError as error:
                problems[name] = one_line(str(error))
        # the state first: who hears the answer and asks, finds what it has just set
        self._tell()
        self._web.send(Answer(batch.id, problems), patience=ANSWER_BACKLOG)

    def _history(self, request: HistoryRequest) -> list[dict[str, Any]]:
        kept = self._daemon.capture.last(10**6)
        count = len(kept)
        if request.last:
            first, last = request.first, min(request.last, request.first + HISTORY_MAX - 1)
        else:
            last, first = count, max(1, count - min(request.first, HISTORY_MAX) + 1)
        bars = kept[max(0, first - 1) : last]
        return [described_sounded(first + i, bar) for i, bar in enumerate(bars)]


def control_table() -> tuple[ControlInfo, ...]:
    """Return the one table of controls, for programs."""
    return tuple(_control(str(name), allowed) for name, allowed in VALUES.items())


def _control(name: str, allowed: Allowed[Any] | None) -> ControlInfo:
    if allowed is None:
        return ControlInfo(name)
    if bool in allowed.kinds:
        kind = "switch"
    elif allowed.low is not None:
        kind = "number"
    else:
        kind = "choice" if allowed.names else "text"
    return ControlInfo(
        name,
        allowed.said,
        kind,
        allowed.low,
        allowed.high,
        allowed.whole,
        tuple(map(str, allowed.names)),
        leaves_to_style(allowed),
    )


def described_styles(styles: StyleCatalogue) -> Iterable[dict[str, Any]]:
    """Yield what the catalogue says of each style, as plain values."""
    for style in styles:
        yield {
            "name": style.name,
            "title": style.title,
            "aliases": list(style.aliases),
            "description": style.description,
            "tempo": list(style.tempo),
            "feel": msgspec.to_builtins(asdict(style.feel)),
        }


def described_bar(planned: PlannedBar) -> dict[str, Any]:
    """Return a planned bar: number from 1, as on screen; hits by tick, offset, voice, velocity."""
    return {
        "bar": planned.number + 1,
        "start": planned.start,
        "ticks": planned.bar.meter.ticks,
        "meter": str(planned.bar.meter),
        "style": planned.style,
        "origin": planned.origin,
        "hits": [[hit.tick, hit.offset, hit.voice, hit.velocity] for hit in planned.bar.hits],
    }


def described_sounded(index: int, bar: PlayedBar) -> dict[str, Any]:
    """Return a played bar: its place among the played bars, and the notes that left."""
    return {
        "index": index,
        "bar": bar.number + 1,
        "start": bar.start,
        "meter": bar.meter,
        "style": bar.style,
        "origin": bar.origin,
        "tempo": round(bar.tempo, 3),
        "notes": [[n.tick, n.channel, n.note, n.velocity, n.duration] for n in bar.notes],
    }


def _json_value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)
