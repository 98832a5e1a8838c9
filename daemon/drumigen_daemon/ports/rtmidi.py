"""MIDI through python-rtmidi: CoreMIDI, Windows, and whatever else fails on Linux.

The only module that imports rtmidi.  Nothing is played ahead of time: a message leaves when it is
sent, and over JACK at the start of the next period.

An object of RtMidi is a client of its own with one port.  The first output bears the plan's client
name, every other port that name and its own: ``drumigen:out``, ``drumigen-clock:clock`` and
``drumigen-in:in``.  CoreMIDI shows port names alone, so there they are ``drumigen out`` and so on.
"""

import gc
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Final

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import (
    Inbox,
    Peer,
    PortChange,
    PortPlan,
    VirtualPort,
    alsa,
    jack,
    jack_client,
)

if TYPE_CHECKING:
    import rtmidi

log = logging.getLogger(__name__)

RETRY: Final = 1.0
"""Seconds between attempts to find a JACK server again."""

REST: Final = 5e-3
"""Seconds in which a thread of the MIDI system ends what it had begun."""

SENT_WITHIN: Final = 30e-3
"""Seconds in which what was sent has left: at once, but over JACK with the next period."""

CLOSE_LATER_SECONDS_MAX: Final = 3.0
"""Seconds after which the changes that others make are no reason to keep a port open."""

_APIS: Final = {
    "coremidi": "API_MACOSX_CORE",
    "alsa": "API_LINUX_ALSA",
    "jack": "API_UNIX_JACK",
    "winmm": "API_WINDOWS_MM",
}
"""Names in settings and RtMidi's constants, best first."""


def probe(api: str | None = None) -> str:
    """Say which system rtmidi would use.

    Raises:
        PortError: none works, or ``api`` does not, or python-rtmidi is not installed.

    """
    return f"rtmidi over {_working_api(api)}"


def peers(api: str | None = None) -> list[Peer]:
    """Return the ports that rtmidi sees.

    Raises:
        PortError: no system works, or ``api`` does not, or python-rtmidi is not installed.

    """
    library, number = _library(), getattr(_library(), _APIS[_working_api(api)])
    found = []
    for kind, sends in ((library.MidiIn, True), (library.MidiOut, False)):
        client = kind(number, name="drumigen-probe")
        found += [Peer(name, sends) for name in client.get_ports()]
        client.delete()
    return sorted(found)


class RtMidiBackend:
    """A virtual port for each of the plan, and one more object for each port that a pattern names.

    Over JACK the library is a trap: when the server dies, it says nothing, and its sends soon spin
    for ever in C, holding the interpreter's lock.  So a client of JACK-Client watches the server,
    and its word stops every send at once.

    Closing is another.  RtMidi does it with that lock held, so a thread that waits for the lock to
    tell us a message is killed or waited for in vain, and the process hangs.  libjack takes a port
    off a client's list without a lock, and crashes when the client's other thread goes through the
    list just then, as it does after every change of the graph.  So objects are closed in steps,
    each when nothing has stirred for a while (:meth:`_RtmidiSession.step`).
    """

    name = "rtmidi"
    queues = False
    lead = Seconds(0.0)
    thread_priority = 0
    dropped = 0

    def __init__(self, api: str | None = None) -> None:
        """Use ``api`` (alsa, jack, coremidi, winmm), or the first that works."""
        self._api = api
        self._plan: PortPlan | None = None
        self._inbox: Inbox | None = None
        self._session: _RtmidiSession | None = None
        self._down_reported = False
        self._retry_at = 0.0
        self._news: Sequence[PortChange] = ()

    def open(self, plan: PortPlan, inbox: Inbox) -> None:
        """Open the ports; whoever sends to a virtual port is not known, its name is the source."""
        self._session = _RtmidiSession(_working_api(self._api), plan, inbox)
        self._plan, self._inbox = plan, inbox
        self._news = self._session.connect_peers()

    def port_names(self) -> tuple[str, ...]:
        """Return the names of the virtual ports: each has a client of its own."""
        return self._session.port_names if self._session is not None else ()

    def now(self) -> Seconds:
        """Return monotonic time."""
        return Seconds(time.monotonic())

    def drain(self, patience: Seconds) -> None:
        """Wait for the period in which JACK passes on what was sent."""
        time.sleep(min(patience, SENT_WITHIN))

    def close(self) -> None:
        """Close every object."""
        self._plan = self._inbox = None
        if self._session is not None:
            self._session.close()
            self._session = None

    def send(self, port: str, data: bytes, at: Seconds) -> None:  # noqa: ARG002 - the caller waited
        """Send ``data`` now."""
        session = self._session
        if session is not None and not session.down:
            session.send(port, data)

    def withdraw(self) -> Seconds:
        """Return now: whatever was sent has left."""
        return Seconds(time.monotonic())

    def filenos(self) -> Sequence[int]:
        """Return none: rtmidi's thread fills the inbox."""
        return ()

    def receive(self) -> None:
        """Do nothing: rtmidi's thread fills the inbox."""

    def receivers(self) -> Sequence[str]:
        """Return none: whether somebody listens to a virtual port, rtmidi does not tell."""
        return ()

    def check(self) -> Sequence[PortChange]:
        """Open what appeared, close what went; when JACK has gone, look for it once a second.

        RtMidi tells nobody of changes, so names are compared: a port that went and came back
        between two checks is not noticed.
        """
        if self._plan is None or self._inbox is None:
            return []
        if self._session is None:
            return self._reopen(self._plan, self._inbox)
        if not self._session.down:
            self._session.step()
            news, self._news = self._news, ()
            return [*news, *self._session.connect_peers()]
        if not self._down_reported:
            self._down_reported = True
            self._session.end()
            return [PortChange("", "", up=False)]
        if not self._session.step():
            self._session = None
            self._down_reported = False
        return []

    def _reopen(self, plan: PortPlan, inbox: Inbox) -> Sequence[PortChange]:
        now = time.monotonic()
        if now < self._retry_at:
            return []
        self._retry_at = now + RETRY
        try:
            self._session = _RtmidiSession(_working_api(self._api), plan, inbox)
        except PortError:
            return []  # not back yet: the next attempt is a second away
        return [PortChange("", "", up=True), *self._session.connect_peers()]


@dataclass(slots=True)
class _RtmidiEnd:
    """One port of the plan: its virtual port, and an object for each peer opened by pattern."""

    ours: VirtualPort
    hears: bool
    client: str
    main: "rtmidi.MidiIn | rtmidi.MidiOut"
    peers: "dict[str, rtmidi.MidiIn | rtmidi.MidiOut]" = field(default_factory=dict)


class _RtmidiSession:
    """One life of our ports: until they are closed, or the JACK server dies."""

    def __init__(self, api: str, plan: PortPlan, inbox: Inbox) -> None:
        self._library = _library()
        self._api = api
        self._number = getattr(self._library, _APIS[api])
        self._inbox = inbox
        self._ends: list[_RtmidiEnd] = []
        self._own = plan.client.lower()
        self._sentinel = jack_client.Sentinel(f"{plan.client}-watch") if api == "jack" else None
        # JACK tells its clients of a change in the period after it
        self._rest = REST + (2 * self._sentinel.period if self._sentinel else 0.0)
        self._stirred = self._let_go_at = time.monotonic()
        self._seen: frozenset[str] = frozenset()
        self._leaving: list[rtmidi.MidiIn | rtmidi.MidiOut] = []
        self._closed: list[rtmidi.MidiIn | rtmidi.MidiOut] = []
        self._callbacks: list[object] = []
        try:
            for index, ours in enumerate(plan.outputs):
                client = f"{plan.client}-{ours.name}" if index else plan.client
                self._open_end(ours, client, plan.client, hears=False)
            for ours in plan.inputs:
                self._open_end(ours, f"{plan.client}-{ours.name}", plan.client, hears=True)
        except self._library.RtMidiError as error:
            self.close()
            message = f"rtmidi over {api} refused our ports: {error}"
            raise PortError(message) from error
        except PortError:
            self.close()
            raise
        self._failed: set[str] = set()
        self._outputs = {end.ours.name: end for end in self._ends if not end.hears}

    @property
    def port_names(self) -> tuple[str, ...]:
        return tuple(f"{end.client}:{end.ours.name}" for end in self._ends)

    @property
    def down(self) -> bool:
        return self._sentinel is not None and self._sentinel.down.is_set()

    def close(self) -> None:
        """Close everything, with a rest before each object and one at the end."""
        self.end()
        while self.step():
            time.sleep(self._rest / 5)
        if self._sentinel is not None:
            self._sentinel.close()

    def end(self) -> None:
        """Let every object go: :meth:`step` closes them."""
        if self._sentinel is not None and self.down:
            self._sentinel.close()  # first: libjack takes no new client beside a dead one
        while self._ends:
            end = self._ends.pop()
            for port in (*end.peers.values(), end.main):
                self._let_go(port)

    def step(self) -> bool:
        """Close one port of those that were let go, if all is at rest; tell if there are more.

        After JACK's death nothing stirs, but each object may take a second.
        """
        if not self._leaving and not self._closed:
            return False
        if not self.down and not self._is_at_rest():
            return True
        closed, self._closed = self._closed, self._leaving[:1]
        for port in self._closed:
            port.close_port()
        for port in closed:  # after it: that a client leaves is a change too
            port.delete()
        del self._leaving[:1]
        self._stirred = time.monotonic()
        return bool(self._leaving or self._closed)

    def _is_at_rest(self) -> bool:
        now = time.monotonic()
        if self._sentinel is not None and now - self._let_go_at < CLOSE_LATER_SECONDS_MAX:
            seen = self._sentinel.ports()
            if seen != self._seen:
                self._seen, self._stirred = seen, now
        return now - self._stirred >= self._rest

    def send(self, port: str, data: bytes) -> None:
        end = self._outputs[port]
        end.main.send_message(data)
        for name, peer in end.peers.items():
            if name in self._failed:
                continue
            try:
                peer.send_message(data)
            except self._library.RtMidiError:
                self._failed.add(name)  # reported as down by the next check, which opens it anew

    def connect_peers(self) -> Sequence[PortChange]:
        changes: list[PortChange] = []
        for end in self._ends:
            if not end.ours.connect:
                continue
            there = {
                name: number
                for number, name in enumerate(end.main.get_ports())
                if end.ours.wants(name) and not self._is_own(name)
            }
            for name in sorted(end.peers.keys() - there.keys() | end.peers.keys() & self._failed):
                self._let_go(end.peers.pop(name))
                changes.append(PortChange(end.ours.name, name, up=False))
            for name in sorted(there.keys() - end.peers.keys()):
                peer = self._new(end.client, name, hears=end.hears)
                try:
                    peer.open_port(there[name], end.ours.name)
                except self._library.RtMidiError as error:  # it went again, or another has it
                    log.debug("port %s cannot be opened: %s", name, error)
                    self._let_go(peer)
                    continue
                end.peers[name] = peer
                patterns = end.ours.patterns_of(name)
                changes.append(PortChange(end.ours.name, name, up=True, patterns=patterns))
        self._failed.clear()
        return changes

    def _open_end(self, ours: VirtualPort, client: str, prefix: str, *, hears: bool) -> None:
        main = self._new(client, f"{prefix}:{ours.name}", hears=hears)
        self._ends.append(_RtmidiEnd(ours, hears, client, main))
        if self._api == "winmm":
            if not ours.connect:
                message = (
                    f"Windows has no virtual MIDI ports, and none is named for {ours.name!r}: "
                    "make one with loopMIDI and name it in the settings"
                )
                raise PortError(message)
            return
        main.open_virtual_port(f"{prefix} {ours.name}" if self._api == "coremidi" else ours.name)

    def _new(self, client: str, source: str, *, hears: bool) -> "rtmidi.MidiIn | rtmidi.MidiOut":
        if not hears:
            return self._library.MidiOut(self._number, name=client)
        heard = self._library.MidiIn(self._number, name=client)
        heard.ignore_types(sysex=True, timing=False, active_sense=True)
        inbox = self._inbox

        def hear(event: tuple[list[int], float], _: object) -> None:
            at = time.monotonic()
            inbox.put(source, bytes(event[0]), Seconds(at))

        heard.set_callback(hear)
        # the wrapper frees its pair of callback and data though a thread may be about to read it
        self._callbacks += [each for each in gc.get_referrers(hear) if isinstance(each, tuple)]
        return heard

    def _is_own(self, name: str) -> bool:
        client = name.lower().split(":")[0]
        return client == self._own or client.startswith((self._own + "-", self._own + " "))

    def _let_go(self, port: "rtmidi.MidiIn | rtmidi.MidiOut") -> None:
        if isinstance(port, self._library.MidiIn):
            port.cancel_callback()
        self._leaving.append(port)
        self._stirred = self._let_go_at = time.monotonic()


def _working_api(api: str | None) -> str:
    """Return ``api``, or the best one, if it works now."""
    library = _library()
    compiled = library.get_compiled_api()
    here = [name for name, constant in _APIS.items() if getattr(library, constant) in compiled]
    if api is not None:
        if api not in here:
            message = f"rtmidi was built without {api!r}: choose one of {', '.join(here)}"
            raise PortError(message)
        _check_api(library, api)
        return api
    reasons = []
    for name in here:
        try:
            _check_api(library, name)
        except PortError as error:
            reasons.append(str(error))
        else:
            return name
    message = "rtmidi finds no MIDI system: " + "; ".join(reasons)
    raise PortError(message)


def _check_api(library: ModuleType, api: str) -> None:
    # asked beforehand, for RtMidi's constructors print to stderr and can hang
    if api == "jack":
        jack.probe()
    elif api == "alsa":
        alsa.check_device()
    try:
        library.MidiIn(getattr(library, _APIS[api]), name="drumigen-probe").delete()
    except library.RtMidiError as error:
        message = f"rtmidi cannot use {api}: {error}"
        raise PortError(message) from error


def _library() -> ModuleType:
    try:
        import rtmidi as library  # noqa: PLC0415 - absent on some machines; loads libasound
    except ImportError as error:
        wanted = "pip install 'drumigen[rtmidi]'"
        if sys.platform == "linux":
            wanted += " and install libasound (Debian: libasound2)"
        message = f"rtmidi cannot be used ({error}): {wanted}"
        raise PortError(message) from error
    module: ModuleType = library
    return module
