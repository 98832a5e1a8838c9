"""MIDI through a JACK server (jackd or PipeWire): notes leave on the exact frame.

We are one client, or two where the plan says ``split``: connected with a program in both
directions, one client closes a loop in JACK's graph, and JACK breaks a loop by holding one of its
connections back for a whole period.  Split, ``drumigen-in`` has the inputs, whose ports answer to
``drumigen:in`` as well, by alias; PipeWire shows no such aliases.

``jack_client`` joins and leaves a server, ``jack_session`` is one life there, ``jack_peers`` its
connections, and ``frame_queue`` what waits for its frame.
"""

import threading
import time
from collections.abc import Sequence
from typing import Final

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import Inbox, Peer, PortChange, PortPlan
from drumigen_daemon.ports.frame_queue import OnWritten
from drumigen_daemon.ports.jack_client import OPEN_TIMEOUT, ClientOpening, jack_library, made_by
from drumigen_daemon.ports.jack_session import LEAD_MIN, JackSession

RETRY: Final = 1.0
"""Seconds between attempts to find a server again."""


def probe() -> str:
    """Say which JACK server would be used.

    Raises:
        PortError: there is none, or JACK-Client is not installed.

    """
    (client,) = ClientOpening("drumigen-probe", exact=False).wait(OPEN_TIMEOUT)
    try:
        maker = made_by(jack_library())
        kind = "JACK server" if maker == "JACK" else f"{maker} as JACK"
        return f"{kind} at {client.samplerate} Hz, {client.blocksize} frames a period"
    finally:
        client.close()


def peers() -> list[Peer]:
    """Return the MIDI ports of the JACK server.

    Raises:
        PortError: there is none, or JACK-Client is not installed.

    """
    (client,) = ClientOpening("drumigen-probe", exact=False).wait(OPEN_TIMEOUT)
    try:
        return sorted(
            Peer(port.name, port.is_output, tuple(port.aliases))
            for port in client.get_ports(is_midi=True)
        )
    finally:
        client.close()


class JackBackend:
    """Our ports on a JACK server; they open again by themselves after it was restarted.

    An incoming event is stamped with the time of its frame: its cycle is computed ahead, so the
    stamp may lie up to one period in the future.  JACK mixes whatever is connected with an input
    port, so the source of a message is our own port (``drumigen:in``).
    """

    name = "jack"
    queues = True

    def __init__(self, *, on_written: OnWritten | None = None) -> None:
        """Report each (intended frame, written frame) to ``on_written``, from JACK's thread."""
        self._on_written = on_written
        self._plan: PortPlan | None = None
        self._inbox: Inbox | None = None
        self._session: JackSession | None = None
        self._opening: ClientOpening | None = None
        self._leaving: threading.Thread | None = None
        self._retry_at = 0.0
        self._news: Sequence[PortChange] = ()
        self._lead = LEAD_MIN
        self._xruns = self._dropped = 0
        self._names: tuple[str, ...] = ()
        self._peers: dict[str, set[str]] = {}

    @property
    def lead(self) -> Seconds:
        """Two periods and a margin, at least 10 ms; grows and shrinks with the period."""
        if self._session is not None:
            self._lead = self._session.lead
        return Seconds(self._lead)

    @property
    def thread_priority(self) -> int:
        """Of the thread in which the server calls us, once it did."""
        return self._session.priority if self._session is not None else 0

    @property
    def xruns(self) -> int:
        """Cycles that the server reported as missed since :meth:`open`."""
        return self._xruns + (self._session.xruns if self._session else 0)

    @property
    def dropped(self) -> int:
        """Strokes that were long overdue when the server went on, and did not leave."""
        return self._dropped + (self._session.queue.dropped if self._session else 0)

    def open(self, plan: PortPlan, inbox: Inbox) -> None:
        """Join the server that runs; never starts one."""
        self._session = JackSession(_open(plan).wait(OPEN_TIMEOUT), plan, inbox, self._on_written)
        self._plan, self._inbox = plan, inbox
        self._session.settle()
        self._news = self._session.connect_peers()

    def close(self) -> None:
        """Leave the server, or stop waiting for it."""
        self._plan = self._inbox = None
        if self._opening is not None:
            self._opening.abandon()
            self._opening = None
        self._end_session()

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Queue ``data`` for the frame at ``at``."""
        session = self._session
        if session is not None and not session.down:
            session.send(port, data, at)

    def withdraw(self) -> Seconds:
        """Take back what is neither due yet nor in the period under way; return where that ends."""
        if self._session is None or self._session.down:
            return Seconds(time.monotonic())
        return self._session.queue.withdraw(self.now())

    def now(self) -> Seconds:
        """Return the present as the server counts it."""
        session, now = self._session, time.monotonic()
        return Seconds(now) if session is None or session.down else session.present(now)

    def port_names(self) -> tuple[str, ...]:
        """Return the names that our ports have, or had last, on the server."""
        if self._session is not None:
            self._names = self._session.port_names
        return self._names

    def drain(self, patience: Seconds) -> None:
        """Wait until everything but what begins notes has left, ``patience`` seconds at most."""
        if self._session is not None:
            self._session.drain(patience)

    def filenos(self) -> Sequence[int]:
        """Return none: JACK's thread fills the inbox."""
        return ()

    def receive(self) -> None:
        """Do nothing: JACK's thread fills the inbox."""

    def receivers(self) -> Sequence[str]:
        """Return the MIDI inputs of others on the server."""
        session = self._session
        return session.connections.receivers() if session is not None and not session.down else ()

    def check(self) -> Sequence[PortChange]:
        """Connect what appeared; when the server has gone, look for it once a second."""
        if self._plan is None:
            return []
        if self._session is None:
            return self._reopen(self._plan)
        if not self._session.alive():
            self._end_session(patience=0.1)
            return [PortChange("", "", up=False)]
        news, self._news = self._news, ()
        return [*news, *self._session.connect_peers()]

    def _reopen(self, plan: PortPlan) -> Sequence[PortChange]:
        now = time.monotonic()
        if self._opening is None:
            # libjack shares its view of the server among the clients of a process, and crashes
            # when one of a former server is still open
            if now < self._retry_at or (self._leaving is not None and self._leaving.is_alive()):
                return []
            self._retry_at = now + RETRY
            self._opening = _open(plan)
        opening = self._opening
        if not opening.done(0.05):
            return []
        self._opening = None
        assert self._inbox is not None
        try:
            self._session = JackSession(opening.result(), plan, self._inbox, self._on_written)
        except PortError:
            return []  # not back yet: the next attempt is a second away
        self._session.connections.remember(self._peers)
        return [PortChange("", "", up=True), *self._session.connect_peers()]

    def _end_session(self, patience: float = 1.0) -> None:
        if self._session is not None:
            self._xruns += self._session.xruns
            self._dropped += self._session.queue.dropped
            self._peers = self._session.connections.seen()
            self._leaving = self._session.close(patience)
            self._session = None


def _open(plan: PortPlan) -> "ClientOpening":
    return ClientOpening(plan.client, *([f"{plan.client}-in"] if plan.split else []))
