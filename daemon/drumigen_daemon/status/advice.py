"""What the user should know or do, in plain words: a line each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from drumigen_daemon.engine.messages import ClockSource, TransportState

if TYPE_CHECKING:
    from drumigen_daemon.status.status import Status

HOW_TO_START: Final = "MIDI Start, `drumigen control start`, a pedal, or the panel"
CANDIDATES_MAX: Final = 4
"""Ports that are named as candidates."""


def advice(status: "Status") -> tuple[str, ...]:
    """Return what to know or do about how all stands, the most urgent first."""
    return (*_about_ports(status), *_about_clock(status), *_about_song(status))


def note_on(control: str, status: "Status") -> str:
    """Return what to know of a control that was just carried out; empty if nothing."""
    if control not in ("tempo", "bpm", "tap") or not led_by_others(status):
        return ""
    leader = status.master or "a MIDI clock"
    return (
        f"{leader} leads at {status.timeline.tempo:.1f} BPM, so the tempo that was set waits until "
        "nobody leads; `drumigen control source internal` lets drumigen lead"
    )


def led_by_others(status: "Status") -> bool:
    """Tell whether the tempo is somebody else's."""
    return status.lock in ("locking", "locked", "coasting")


def _about_song(status: "Status") -> Iterator[str]:
    if not status.backend:
        yield "starting: the MIDI ports are not open yet"
    elif status.transport is TransportState.STOPPED:
        if status.begins_by_itself:
            yield "stopped; begins by itself as soon as its first bar is ready"
        else:
            yield f"stopped; start it by {HOW_TO_START}"
    elif status.transport is TransportState.ARMED:
        way_out = (
            "set clock.source to auto, or `drumigen control source internal`, to play without"
            if status.source == ClockSource.MIDI
            else "our own clock takes over soon if none comes"
        )
        yield (
            f"armed: told to start, and waits for the first clock pulse on {_port(status, 'in')}; "
            f"{way_out}"
        )


def _about_clock(status: "Status") -> Iterator[str]:
    rolling = status.transport is TransportState.ROLLING
    who = status.master or "the MIDI clock"
    if status.lock == "coasting" and rolling:
        yield (
            f"coasting: {who} is silent, and the song runs on at {status.timeline.tempo:.1f} BPM; "
            "check the master and its cable, or `drumigen control source internal`"
        )
    elif status.lock == "unlocked" and status.backend and status.source != ClockSource.INTERNAL:
        yield (
            f"unlocked: no MIDI clock is heard on {_port(status, 'in')}; connect one and have it "
            "send clock, or `drumigen control source internal`"
        )
    elif status.lock == "locking" and rolling:
        yield f"locking: the tempo of {who} is being found; that takes a beat"
    if status.hears_foreign:
        yield f"foreign: a second MIDI clock is heard and ignored beside {who}; stop one of the two"


def _about_ports(status: "Status") -> Iterator[str]:
    ports = status.connections
    if ports.lost:
        yield f"the MIDI system ({status.backend}) is gone: nothing is sent until it is back"
        return
    for port, pattern in ports.missing:
        arrow = "hears nobody" if port not in ("out", "clock", "feedback") else "has nobody to play"
        yield (
            f"missing: {_port(status, port)} {arrow} called {pattern!r}: "
            "switch it on, or see `drumigen ports`"
        )
    if ports.unheard:
        some = ports.receivers[:CANDIDATES_MAX]
        more = ", ..." if len(ports.receivers) > len(some) else ""
        candidates = f"{', '.join(some)}{more}" if some else "a synthesizer or a DAW"
        yield f"nobody listens to {_port(status, 'out')}: connect {candidates}"


def _port(status: "Status", name: str) -> str:
    """Return the full name of a port of ours."""
    return next((each for each in status.ports if each.endswith(f":{name}")), f"drumigen:{name}")
