"""What a screen shows of the daemon: one frozen value, of a song here or of a daemon elsewhere."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from drumigen.units import Seconds
from drumigen_daemon.engine.messages import PlannedBar, TransportState
from drumigen_daemon.session import Session
from drumigen_daemon.status.advice import advice
from drumigen_daemon.status.status import Status

FILL_LOOKED_FOR: Final = 16
"""Bars ahead within which the next fill is looked for."""


class ViewState(msgspec.Struct, frozen=True):
    """Everything on the screen at one moment."""

    transport: TransportState = TransportState.STOPPED
    bar: int = 1
    """As on screen, from 1; and so is the beat."""
    beat: int = 1
    meter: str = "4/4"
    tempo: float = 120.0
    lock: str = "internal"
    master: str = ""
    style: str = ""
    """The style of the bar that sounds."""
    next_style: str = ""
    """The style that is switched to; empty if none is pending."""
    sounding: PlannedBar | None = None
    """The bar that the playhead is in."""
    following: PlannedBar | None = None
    playhead: int = 0
    """Ticks of the playhead from its bar line."""
    origin: str = ""
    fallback: bool = False
    bars_to_fill: int | None = None
    """0 in a fill, 1 in the bar before one; None if none is near."""
    section: str = "none"
    flags: tuple[str, ...] = ()
    """What is switched on: hold, drop, half time, stutter."""
    muted: tuple[str, ...] = ()
    kit: str = "gm"
    seed: int = 1
    backend: str = ""
    sound: str = ""
    late_notes: int = 0
    advice: tuple[str, ...] = ()


class Controlled(Protocol):
    """What can be turned, and where it stands."""

    session: Session


class Planned(Protocol):
    """What is played next."""

    def sent_bar(self, number: int) -> PlannedBar | None:
        """Return bar ``number`` as the engine has it, if it does."""

    def is_fill(self, number: int) -> bool:
        """Tell whether bar ``number`` has a fill, as far as is known now."""


class DaemonForView(Protocol):
    """What is shown: the daemon."""

    @property
    def controls(self) -> Controlled:
        """What can be turned, and where it stands."""

    @property
    def planner(self) -> Planned:
        """What is played next."""

    @property
    def status(self) -> Status:
        """Where everything stands."""


def view_state(daemon: DaemonForView, now: Seconds) -> ViewState:
    """Return what a screen shows of ``daemon`` at ``now``."""
    status, session = daemon.status, daemon.controls.session
    bar, beat, meter = status.place_at(now)
    sounding = daemon.planner.sent_bar(bar - 1)
    origin = status.origin or (sounding.origin if sounding is not None else None)
    style = status.bar_style or status.style
    switches = {
        "hold": session.hold,
        "drop": session.drop,
        "half time": session.half_time,
        f"stutter {session.stutter}": session.stutter != "off",
    }
    return ViewState(
        transport=status.transport,
        bar=bar,
        beat=beat,
        meter=str(meter),
        tempo=round(status.timeline.tempo, 1),
        lock=status.lock,
        master=status.master,
        style=style,
        next_style="" if status.style == style else status.style,
        sounding=sounding,
        following=daemon.planner.sent_bar(bar),
        playhead=0 if sounding is None else int(status.tick_at(now) - sounding.start),
        origin="" if origin is None else str(origin),
        fallback=origin is not None and origin.fallback,
        bars_to_fill=_bars_to_fill(bar - 1, daemon.planner.is_fill),
        section=str(session.section),
        flags=tuple(name for name, on in switches.items() if on),
        muted=tuple(sorted(map(str, session.mix.muted))),
        kit=status.kit,
        seed=status.seed,
        backend=status.backend,
        sound=status.sound,
        late_notes=status.engine.late_notes,
        advice=advice(status),
    )


def _bars_to_fill(bar: int, is_fill: Callable[[int], bool]) -> int | None:
    return next((n for n in range(FILL_LOOKED_FOR) if is_fill(bar + n)), None)
