"""No MIDI system at all: everything is accepted, nothing sounds, nothing is heard."""

import time
from collections.abc import Sequence

from drumigen.units import Seconds
from drumigen_daemon.ports import Inbox, PortChange, PortPlan


class NullBackend:
    """Lets the daemon run where there is no MIDI.

    It claims to queue events, so that the engine hands them over and sleeps on, rather than wait
    for the exact time of each note that nobody hears.
    """

    name = "null"
    queues = True
    lead = Seconds(10e-3)
    thread_priority = 0
    dropped = 0

    def open(self, plan: PortPlan, inbox: Inbox) -> None:
        """Accept any plan."""

    def port_names(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def now(self) -> Seconds:
        """Return monotonic time."""
        return Seconds(time.monotonic())

    def drain(self, patience: Seconds) -> None:
        """Do nothing: nothing is kept."""

    def close(self) -> None:
        """Do nothing."""

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Forget ``data``."""

    def withdraw(self) -> Seconds:
        """Return now: nothing is kept."""
        return Seconds(time.monotonic())

    def filenos(self) -> Sequence[int]:
        """Return none."""
        return ()

    def receive(self) -> None:
        """Do nothing: nothing ever comes."""

    def receivers(self) -> Sequence[str]:
        """Return none."""
        return ()

    def check(self) -> Sequence[PortChange]:
        """Return no change."""
        return ()
