"""MIDI ports: one small protocol, and one module for each library behind it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from drumigen.units import Seconds

PORT_NAME_MAX: Final = 64
"""Characters in the name of a port that is named after a controller."""

_NO_NAME: Final = str.maketrans({":": " ", "*": None, "?": None})

OVERDUE: Final = 0.05
"""Seconds after its time at which a stroke is no longer late but wrong, and is dropped."""


@dataclass(frozen=True, slots=True)
class VirtualPort:
    """A port of ours, and patterns of the ports that it is to be connected with.

    A pattern matches a port whose full name ("client:port") contains it, in any case; with
    ``*`` or ``?`` in it, it is a glob over the whole name.  "Midi Through", which would hand our
    notes back to us, is only matched by a pattern that names it.
    """

    name: str
    connect: tuple[str, ...] = ()

    def wants(self, full_name: str) -> bool:
        """Tell whether a pattern of this port matches ``full_name``."""
        return bool(self.patterns_of(full_name))

    def patterns_of(self, *names: str) -> tuple[str, ...]:
        """Return the patterns of this port that match a port of one of these full names."""
        lowered = [name.lower() for name in names]
        return tuple(
            pattern
            for pattern in self.connect
            if any(_matches(pattern.lower(), name) for name in lowered)
        )


def _matches(pattern: str, name: str) -> bool:
    if "midi through" in name and "through" not in pattern:
        return False
    if "*" not in pattern and "?" not in pattern:
        return pattern in name
    # port names hold brackets, which fnmatch would take for sets of characters
    glob = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(glob, name) is not None


def controller_ports(patterns: Iterable[str], taken: Iterable[str] = ()) -> tuple[VirtualPort, ...]:
    """Return an input for each pattern of a controller, named after it; none for empty ones."""
    names = set(taken)
    found = []
    for pattern in patterns:
        # a colon parts the client's name from the port's
        name = pattern.translate(_NO_NAME)[:PORT_NAME_MAX].strip()
        if name and name not in names:
            names.add(name)
            found.append(VirtualPort(name, (pattern,)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class PortPlan:
    """The ports that a backend opens: ``client:name`` for each, stable for its life."""

    client: str = "drumigen"
    inputs: tuple[VirtualPort, ...] = (VirtualPort("in"),)
    outputs: tuple[VirtualPort, ...] = (VirtualPort("out"), VirtualPort("clock"))
    split: bool = False
    """On JACK: let the inputs belong to a client of their own, ``client-in``.

    As one client, connected with a program in both directions, we close a loop in JACK's graph;
    JACK then holds one of the two connections back for a period.
    """
    controllers: tuple[VirtualPort, ...] = ()
    """On JACK, which mixes what is connected to one port: an input more for each controller that
    must be told from the others.  Where the sender is known (ALSA, rtmidi) they are not opened.
    """


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """A MIDI port that is there, ours or anybody's: its full name, and its direction."""

    name: str
    sends: bool
    """True for what an input of ours can hear, False for what an output can play."""
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """Other full names of it, where the system has such."""


@dataclass(frozen=True, slots=True)
class PortChange:
    """Something came or went: our whole backend (``port`` is ``""``) or a connected port."""

    port: str
    """Name of our port (``"in"``, ``"out"`` ...); empty when the whole backend is meant."""
    peer: str
    """Full name of the other end; empty when the whole backend is meant."""
    up: bool
    note: str = ""
    """What the user should know about it, on one line."""
    patterns: tuple[str, ...] = field(default=(), compare=False)
    """Those of our port that ask for this one."""


class Inbox(Protocol):
    """Where a backend puts what it hears; safe to call from any thread."""

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        """Take one MIDI message from ``source`` stamped ``at`` (monotonic seconds)."""


class Backend(Protocol):
    """A way to the MIDI system.

    All methods are called from the engine's one thread.  None blocks for longer than a
    millisecond, except :meth:`open`, :meth:`close` and :meth:`check`.
    """

    name: str
    """The name in settings: ``jack``, ``alsa``, ``rtmidi`` or ``null``."""

    queues: bool
    """True if the system plays events that it is given ahead of time by itself."""

    @property
    def lead(self) -> Seconds:
        """How long before its time an event must be handed over; 0 when ``queues`` is false."""

    @property
    def dropped(self) -> int:
        """Note-ons that were overdue by :data:`OVERDUE` when the system could play again.

        They are dropped, never fired: what stalled us may have lasted for any time.
        """

    @property
    def thread_priority(self) -> int:
        """SCHED_FIFO priority of the system's own thread in our process; 0 if it has none.

        The engine stays below it: a cycle that waits for the engine is a cycle missed.
        """

    def open(self, plan: PortPlan, inbox: Inbox) -> None:
        """Open every port of ``plan`` and connect what is there of its patterns.

        Absent peers are no error: :meth:`check` connects them when they come.

        Raises:
            PortError: this MIDI system cannot be used here; the message says how to mend it.
        """

    def port_names(self) -> tuple[str, ...]:
        """Return the full names of our ports, as others see them."""

    def now(self) -> Seconds:
        """Return the present, in the time of stamps and of :meth:`send`.

        Monotonic seconds, but where the system has lost time and makes up for it slowly.
        """

    def drain(self, patience: Seconds) -> None:
        """Begin no note any more, and let what ends notes, and all else, leave at once.

        Returns when it has left and those who listen had their chance to hear it, or after
        ``patience``; only :meth:`close` comes after it.
        """

    def close(self) -> None:
        """Close every port; what is queued and not yet played is dropped.  Idempotent."""

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Have ``data`` (one MIDI message) leave our output ``port`` at ``at``.

        A time already past, or nearer than can be kept, means at once.  Messages of one time
        leave in the order they were given.  Where ``queues`` is false the caller has waited
        and ``at`` is only informative.  While the system is down this does nothing.
        """

    def withdraw(self) -> Seconds:
        """Take back everything sent that has not left yet, on every output.

        Returns the time from which on nothing will leave: what was sent for earlier has left,
        or is already in the hands of the system.
        """

    def filenos(self) -> Sequence[int]:
        """File descriptors that become readable when :meth:`receive` has something to do."""

    def receive(self) -> None:
        """Move what has arrived into the inbox; only for backends with :meth:`filenos`."""

    def receivers(self) -> Sequence[str]:
        """Return the full names of the ports of others that could play our notes.

        Called now and then while nobody does; may block for some milliseconds, as :meth:`check`.
        """

    def check(self) -> Sequence[PortChange]:
        """Notice what came and went, connect and reopen what can be; called about twice a second.

        May block for some milliseconds: the engine calls it in a gap between events.
        """
