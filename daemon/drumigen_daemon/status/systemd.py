"""What the service manager is told: ready, how it goes, alive, reloading, stopping (sd_notify(3)).

Each is one datagram to the socket in ``$NOTIFY_SOCKET``.  Where there is none, nothing is told.
The watchdog is fed by the heartbeat of the engine, the process that plays: when it stalls, or when
nobody here hears it any more, the datagrams stop and the service manager starts everything anew.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from drumigen_daemon.controls.values import one_line
from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.status.status import Status

STATUS_PERIOD: Final = 1.0
"""Seconds between two status texts at least: tempo of a followed clock never stands still."""
FEEDS: Final = 4
"""Times that the watchdog is fed in its period; systemd asks for two."""


class Notifier:
    """Speaks for one daemon; :meth:`take` is given its status whenever that may have changed."""

    def __init__(
        self,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        pid: int | None = None,
    ) -> None:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; what is odd is none."""
        self._clock = clock
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._period = _watchdog_period(environment, os.getpid() if pid is None else pid)
        if not (self._address.startswith(("/", "\0")) and hasattr(socket, "AF_UNIX")):
            self._address = ""
        self._heartbeats = 0
        self._ready = False
        self._fed_at = self._said_at = -STATUS_PERIOD
        self._said = ""
        self._problem = ""

    @property
    def wanted(self) -> bool:
        """Whether there is a service manager to tell."""
        return bool(self._address)

    def take(self, status: Status) -> None:
        """Tell what is new in ``status``; a datagram that would block is told the next time."""
        now = self._clock()
        beats = status.heartbeats != self._heartbeats
        self._heartbeats = status.heartbeats
        lines = []
        becomes_ready = status.ready and not self._ready
        if becomes_ready:
            lines.append("READY=1")
        said = told(status) + self._problem
        says = said != self._said and (becomes_ready or now - self._said_at >= STATUS_PERIOD)
        if says:
            lines.append(f"STATUS={said}")
        feeds = beats and self._period > 0.0 and now - self._fed_at >= self._period / FEEDS
        if feeds:
            lines.append("WATCHDOG=1")
        if not lines or not self._send(*lines):
            return
        self._ready = self._ready or becomes_ready
        if says:
            self._said, self._said_at = said, now
        if feeds:
            self._fed_at = now

    def reloading(self) -> None:
        """Tell that the settings are being read again."""
        if self._ready:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(_MONOTONIC) // 1000}")

    def reloaded(self, problem: str = "") -> None:
        """Tell that they have been read, or why the old ones are kept; it plays on either way."""
        if self._ready:
            # told until a reload goes well: who looks, looks later
            self._problem = one_line(f"; kept the old settings: {problem}") if problem else ""
            said = self._problem.removeprefix("; ")
            self._said = ""
            self._send("READY=1", *([f"STATUS={said}"] if said else ()))

    def stopping(self) -> None:
        """Tell that the daemon ends."""
        self._send("STOPPING=1", "STATUS=silencing what sounds")

    def _send(self, *lines: str) -> bool:
        if not self.wanted:
            return False
        # a manager that is gone or busy is no reason to stop playing
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), self._address)
            return True
        return False


_MONOTONIC: Final = getattr(time, "CLOCK_MONOTONIC", 1)


def told(status: Status) -> str:
    """Return how it goes, for ``systemctl status``: one line that seldom changes."""
    if not status.ready:
        return "opening MIDI ports"
    place = "" if status.transport is not TransportState.STOPPED else ", waiting for Start"
    generator = "" if status.generator == "ready" else f"; generator {status.generator}"
    return one_line(
        f"{status.transport}{place}: {status.style} at {status.timeline.tempo:.0f} BPM, "
        f"clock {status.lock}, through {status.backend}{generator}"
    )


def _watchdog_period(environment: Mapping[str, str], pid: int) -> float:
    """Return the seconds within which a sign of life is expected; 0 if none is."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    try:
        return max(0, int(environment.get("WATCHDOG_USEC", "0"))) / 1e6
    except ValueError:
        return 0.0
