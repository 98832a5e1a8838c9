"""What the web process knows of the daemon, and what its clients want of it.  Sans I/O.

State goes one way and is replaced as a whole: a client that is slow finds the newest when it looks
again.  What is wanted goes the other way in batches: of a setting that many ask for, the last.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from drumigen.errors import ControlError
from drumigen.timeline import Meter, MeterChange, MeterMap, Timeline
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick
from drumigen_daemon.controls.table import ALIASES, VALUES
from drumigen_daemon.controls.values import TEXT_MAX, shown
from drumigen_daemon.session import Quantum
from drumigen_daemon.web.messages import ControlBatch, WebState

COMMITTED_AHEAD: Final = 0.01
"""Seconds before it sounds for which a hit is with the engine: the hand-over lead."""
CHANGES_MAX: Final = 64
"""Controls in a batch."""
AnyValue = str | int | float | bool | None
STATE_SECTIONS: Final = ("values", "song", "counters", "plan")


class BusyError(ControlError):
    """More is asked for than is carried out at once."""


@dataclass
class _WaitingControl:
    """Controls that wait for the next batch, and who wants to know what comes of them."""

    controls: list[tuple[str, AnyValue]] = field(default_factory=list)
    askers: list[tuple[str, asyncio.Future[str]]] = field(default_factory=list)


class Hub:
    """The newest state, by sections with versions, and the controls that wait to be sent."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._waiting = _WaitingControl()
        self._sent: dict[int, _WaitingControl] = {}
        self._number = 0
        self._listeners: set[Callable[[], None]] = set()
        self.sections: dict[str, Any] = {"values": {}, "song": {}, "counters": {}, "plan": []}
        self.versions: dict[str, int] = dict.fromkeys(STATE_SECTIONS, 0)
        self.at = Seconds(0.0)
        self.meters = MeterMap()
        self.timeline = Timeline(Bpm(120.0), 0.0, Seconds(0.0))
        self._switched_at = 0.0
        """Tick at which the last style was set."""

    # --- state ------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` at every change, until what is returned is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def take_state(self, state: WebState) -> None:
        """Take what the daemon told."""
        self.at = Seconds(state.at)
        song, style = state.song, self.sections["song"].get("style")
        changes = [MeterChange(b, Tick(t), Meter.parse(m)) for b, t, m in song.get("meters", ())]
        self.meters = MeterMap(tuple(changes)) if changes else MeterMap()
        self.timeline = Timeline(
            Bpm(song["tempo"]), song["tick_origin"], Seconds(song["time_origin"])
        )
        for name in ("values", "song", "counters"):
            told = getattr(state, name)
            if told is not None:
                self._put(name, told)
        if song.get("style") != style:
            self._switched_at = self.tick_at(self.at)
        self._tell()

    def take_plan(self, bars: tuple[Mapping[str, Any], ...]) -> None:
        """Take the bars that are planned."""
        self._put("plan", bars)
        self._tell()

    def _put(self, name: str, value: object) -> None:
        if self.sections[name] != value:
            self.sections[name] = value
            self.versions[name] += 1

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    # --- where the song is --------------------------------------------------------------------

    def now(self, at: Seconds) -> dict[str, Any]:
        """Return the song as it is ``at`` that moment: bar and beat as on screen, from 1."""
        song = {**self.sections["song"]}
        tick = self.tick_at(at)
        bar = self.meters.bar_at(tick)
        meter = self.meters.meter_of(bar)
        start = self.meters.start_of(bar)
        song |= {
            "now": at,
            "tick": round(tick, 1),
            "bar": bar + 1,
            "beat": int((tick - start) // meter.beat_ticks) + 1,
            "meter": str(meter),
            "bar_start_tick": start,
            "ticks_per_beat": TICKS_PER_BEAT,
            "style_pending": self._pending(tick),
            "style_due": self._style_due(),
        }
        return song

    def plan(self, at: Seconds) -> dict[str, Any]:
        """Return the planned bars, and the tick up to which they can not be changed any more."""
        rolling = self.sections["song"].get("transport") == "rolling"
        committed = self.timeline.tick_at(at + COMMITTED_AHEAD) if rolling else 0.0
        return {
            "now": at,
            "playhead": round(self.tick_at(at), 1),
            "committed": round(max(0.0, committed), 1),
            "bars": self.sections["plan"],
        }

    def tick_at(self, at: Seconds) -> float:
        """Return where the playhead is."""
        song = self.sections["song"]
        if song.get("transport") == "rolling":
            return max(0.0, self.timeline.tick_at(at))
        return float(song.get("stored_tick", 0))

    def _pending(self, tick: float) -> str | None:
        """Return the style that is set and does not sound yet."""
        song, due = self.sections["song"], self._style_due()
        style, sounding = song.get("style"), song.get("bar_style")
        if not sounding or style == sounding or (due is not None and tick >= due):
            return None
        return str(style)

    def _style_due(self) -> int | None:
        """Return from which tick on a style sounds that was set in a bar; None: from a bar line.

        What a bar is called by changes at its line: of a switch within it that tells too late.
        """
        quantum = self.sections["values"].get("quantum")
        if quantum not in (Quantum.STEP, Quantum.BEAT):
            return None
        bar = self.meters.bar_at(self._switched_at)
        start, meter = self.meters.start_of(bar), self.meters.meter_of(bar)
        grid = TICKS_PER_SIXTEENTH if quantum == Quantum.STEP else meter.beat_ticks
        return start + math.ceil((self._switched_at - start) / grid) * grid

    # --- controls -----------------------------------------------------------------------------

    def want(self, name: str, value: AnyValue = None) -> asyncio.Future[str]:
        """Have a control carried out with the next batch; the future gives "" or why not.

        Raises:
            ControlError: there is no such control, or it does not take that value.
            BusyError: too many wait already.
        """
        self.check(name, value)
        name = ALIASES.get(name, name)
        waiting = self._waiting
        if VALUES[name] is not None:
            # a setting: of many the last counts; an action each time that it is asked for
            waiting.controls = [each for each in waiting.controls if each[0] != name]
        if len(waiting.controls) >= CHANGES_MAX:
            message = f"more than {CHANGES_MAX} controls at once: ask again in a moment"
            raise BusyError(message)
        waiting.controls.append((name, value))
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting.askers.append((name, future))
        return future

    def check(self, name: str, value: AnyValue) -> None:
        """Check a control without carrying it out.

        Raises:
            ControlError: there is no such control, or it does not take that value; one line.
        """
        name = ALIASES.get(name, name)
        if name not in VALUES:
            near = get_close_matches(name[:TEXT_MAX], list(map(str, VALUES)), n=1)
            hint = f"did you mean {near[0]}?" if near else "GET /api/v1/controls lists them"
            message = f"no control {shown(name)}: {hint}"
            raise ControlError(message)
        allowed = VALUES[name]
        if allowed is None:
            if value is not None:
                message = f"{name} takes no value"
                raise ControlError(message)
        elif value is None:
            message = f"{name} needs a value: use {allowed.said}"
            raise ControlError(message)
        elif name in ("style", "blend"):
            if not isinstance(value, str):
                message = f"{name}: {shown(value)} is not allowed: use {allowed.said}"
                raise ControlError(message)
        else:
            try:
                allowed.take(value)
            except ControlError as error:
                message = f"{name}: {error}"
                raise ControlError(message) from error

    def batch(self) -> ControlBatch | None:
        """Return the controls that wait, to be sent now; None if there are none."""
        if not self._waiting.controls:
            return None
        self._number += 1
        batch, self._waiting = self._waiting, _WaitingControl()
        self._sent[self._number] = batch
        return ControlBatch(self._number, tuple(batch.controls))

    def answered(self, number: int, problems: Mapping[str, str]) -> bool:
        """Tell who asked what came of batch ``number``; False if it is none of ours."""
        batch = self._sent.pop(number, None)
        if batch is None:
            return False
        for name, future in batch.askers:
            if not future.done():
                future.set_result(problems.get(name, ""))
        return True

    def next_number(self) -> int:
        """Return a number for a request of another kind."""
        self._number += 1
        return self._number
