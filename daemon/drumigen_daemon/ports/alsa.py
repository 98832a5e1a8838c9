"""MIDI through the ALSA sequencer: the kernel plays what is queued, whatever Python does.

The only module that imports alsa-midi.
"""

import errno
import logging
import os
import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from drumigen.errors import PortError
from drumigen.midi.status import ACTIVE_SENSING
from drumigen.units import Seconds
from drumigen_daemon.ports import Inbox, Peer, PortChange, PortPlan, VirtualPort
from drumigen_daemon.ports.midi import MidiStream
from drumigen_daemon.ports.timebase import Timebase

if TYPE_CHECKING:
    import alsa_midi

log = logging.getLogger(__name__)

QUEUE_LEAD: Final = Seconds(10e-3)

TIMER_HZ: Final = 6250
"""Steps a second in which our queue advances: the kernel's finest; its default of 1000 would
let each note wait up to 1 ms."""

POOL: Final = 2000
"""Events that the kernel holds for us, queued or not yet read: its largest."""

READS: Final = 8
"""Readings of the queue's time per check, of which the quickest counts."""

WITHDRAW_MARGIN: Final = 3e-3
"""Seconds: what is due sooner leaves, so that no event leaves while it is being taken back."""

RECEIVE_MAX: Final = 1000
"""Events taken in one go."""

SEQUENCER_DEVICE: Final = Path("/dev/snd/seq")

_ACTIVE_SENSING = bytes((ACTIVE_SENSING,))
_SYSTEM_CLIENT = 0
_SUBSCRIBERS = (254, 253)  # destination of an event: whoever is connected

Address = tuple[int, int]


def check_device() -> None:
    """Raise :class:`PortError` unless the kernel's sequencer can be opened."""
    if not SEQUENCER_DEVICE.exists():
        message = f"no {SEQUENCER_DEVICE}: load the ALSA sequencer (modprobe snd-seq)"
        raise PortError(message)
    if not os.access(SEQUENCER_DEVICE, os.R_OK | os.W_OK):
        message = (
            f"no permission for {SEQUENCER_DEVICE}: "
            "add your user to the group audio, and log in again"
        )
        raise PortError(message)


def probe() -> str:
    """Say that the ALSA sequencer works.

    Raises:
        PortError: it does not, or alsa-midi is not installed.

    """
    client = _open_client("drumigen-probe")
    try:
        return f"ALSA sequencer with {client.get_system_info().cur_clients - 1} other clients"
    finally:
        client.close()


def peers() -> list[Peer]:
    """Return the ports of the ALSA sequencer that can be connected.

    Raises:
        PortError: it does not work, or alsa-midi is not installed.

    """
    client = _open_client("drumigen-probe")
    try:
        return sorted(
            Peer(f"{port.client_name}:{port.name}", sends)
            for sends in (True, False)
            for port in client.list_ports(input=sends, output=not sends)
            if port.client_id not in (client.client_id, _SYSTEM_CLIENT)
        )
    finally:
        client.close()


class AlsaBackend:
    """Our ports in the ALSA sequencer, and a queue of the kernel that plays ahead of time.

    The source of a message is the full name of the port that sent it, so two masters on one
    input can be told apart.
    """

    name = "alsa"
    queues = True
    lead = QUEUE_LEAD
    thread_priority = 0
    dropped = 0

    def __init__(self) -> None:
        """Open nothing yet."""
        self._session: _AlsaSession | None = None
        self._news: Sequence[PortChange] = ()

    @property
    def overruns(self) -> int:
        """Times that messages were lost because we read too late."""
        return self._session.overruns if self._session else 0

    def open(self, plan: PortPlan, inbox: Inbox) -> None:
        """Open our client, its ports and its queue."""
        self._session = _AlsaSession(_open_client(plan.client), plan, inbox)
        self._news = self._session.check()

    def close(self) -> None:
        """Close our client; the kernel drops what it still holds."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def port_names(self) -> tuple[str, ...]:
        """Return the names of our ports."""
        return self._session.port_names if self._session is not None else ()

    def now(self) -> Seconds:
        """Return monotonic time."""
        return Seconds(time.monotonic())

    def drain(self, patience: Seconds) -> None:
        """Wait until the kernel has room for all, and what was about to leave has left."""
        deadline = time.monotonic() + patience
        while self._session is not None and not self._session.flush():
            if time.monotonic() > deadline:
                return
            time.sleep(1e-3)
        time.sleep(min(patience, QUEUE_LEAD + WITHDRAW_MARGIN))

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Queue ``data`` in the kernel."""
        if self._session is not None:
            self._session.send(port, data, at)

    def withdraw(self) -> Seconds:
        """Take our events out of the kernel's queue, but for those about to leave."""
        return self._session.withdraw() if self._session else Seconds(time.monotonic())

    def filenos(self) -> Sequence[int]:
        """Return the sequencer's one descriptor."""
        return (self._session.fileno,) if self._session is not None else ()

    def receive(self) -> None:
        """Read what has arrived; stamped by the kernel when it did."""
        if self._session is not None:
            self._session.receive()

    def receivers(self) -> Sequence[str]:
        """Return the ports of other clients that can be played."""
        return self._session.receivers() if self._session is not None else ()

    def check(self) -> Sequence[PortChange]:
        """Connect what the kernel announced since the last time; compare the clocks."""
        if self._session is None:
            return ()
        news, self._news = self._news, ()
        return [*news, *self._session.check()]


@dataclass(slots=True)
class _AlsaEnd:
    """One of our ports, and the peers seen connected with it, by address."""

    ours: VirtualPort
    port: "alsa_midi.Port"
    hears: bool
    peers: dict[Address, str] = field(default_factory=dict)


class _AlsaSession:
    """Everything that lives from open to close."""

    def __init__(self, client: "alsa_midi.SequencerClient", plan: PortPlan, inbox: Inbox) -> None:
        self._alsa = _library()
        self._client = client
        self._inbox = inbox
        self._timebase = Timebase(1.0)
        self._names: dict[Address, str] = {}
        self._streams: dict[Address, MidiStream] = {}
        self._backlog: deque[tuple[str, bytes, Seconds]] = deque()
        self._stamps: dict[Seconds, int] = {}
        self._graph_changed = True
        self.overruns = 0
        try:
            self._refuse_namesake(plan.client)
            client.set_client_pool_output(POOL)
            client.set_client_pool_input(POOL)
            self._queue = client.create_queue(plan.client)
            self._half_step = _refine(self._queue) / 2
            self._queue.start()
            client.drain_output()
            caps = self._alsa.PortCaps
            self._ends = [
                *(
                    _AlsaEnd(ours, self._create_port(ours.name, self._alsa.WRITE_PORT), hears=True)
                    for ours in plan.inputs
                ),
                *(
                    _AlsaEnd(ours, self._create_port(ours.name, self._alsa.READ_PORT), hears=False)
                    for ours in plan.outputs
                ),
            ]
            self._out = {end.ours.name: end.port.port_id for end in self._ends if not end.hears}
            # kept, for a port is deleted with its object
            self._announcements = client.create_port("announcements", caps.WRITE | caps.NO_EXPORT)
            client.subscribe_port(self._alsa.SYSTEM_ANNOUNCE, self._announcements)
        except self._alsa.ALSAError as error:
            client.close()
            message = f"the ALSA sequencer refused our ports: {error}"
            raise PortError(message) from error
        except PortError:
            client.close()
            raise
        self.port_names = tuple(f"{plan.client}:{end.ours.name}" for end in self._ends)
        self.fileno = _fileno(client)
        self._encoder = self._new_encoder()
        for _ in range(4):
            self._observe()

    def close(self) -> None:
        self._queue.close()
        self._client.close()

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        self.flush()
        if self._backlog or not self._output(port, data, at):
            self._backlog.append((port, data, at))

    def withdraw(self) -> Seconds:
        until = Seconds(time.monotonic() + WITHDRAW_MARGIN)
        self._backlog = deque(event for event in self._backlog if event[2] < until)
        seconds, nanoseconds = divmod(self._stamp(until), 1_000_000_000)
        self._client.remove_events(
            self._alsa.RemoveCondition.OUTPUT,
            queue=self._queue,
            time=self._alsa.RealTime(seconds, nanoseconds),
        )
        return until

    def receive(self) -> None:
        client = self._client
        for _ in range(RECEIVE_MAX):
            try:
                if not client.event_input_pending(fetch_sequencer=True):
                    break
                event = client.event_input(prefer_bytes=True)
            except self._alsa.ALSAError as error:
                if error.errnum == -errno.EAGAIN:
                    break
                # ENOSPC tells once that the kernel had no more room; any other that one event
                # has no form in MIDI bytes
                self.overruns += error.errnum == -errno.ENOSPC
                continue
            self._take(event)
        self.flush()

    def check(self) -> Sequence[PortChange]:
        self.receive()
        self._observe()
        if not self._graph_changed:
            return ()
        self._graph_changed = False
        changes: list[PortChange] = []
        self._names.clear()
        for end in self._ends:
            connected = self._peers_of(end)
            changes += [
                PortChange(end.ours.name, end.peers.pop(address), up=False)
                for address in sorted(end.peers.keys() - connected)
            ]
            self._connect_matching(end, connected)
            for address in sorted(self._peers_of(end) - end.peers.keys()):
                name = end.peers[address] = self._name_of(address)
                patterns = end.ours.patterns_of(name)
                changes.append(PortChange(end.ours.name, name, up=True, patterns=patterns))
        return changes

    def receivers(self) -> list[str]:
        own = (self._client.client_id, _SYSTEM_CLIENT)
        return [
            f"{port.client_name}:{port.name}"
            for port in self._client.list_ports(output=True)
            if port.client_id not in own
        ]

    def _create_port(self, name: str, caps: Any) -> "alsa_midi.Port":  # noqa: ANN401 - a flag
        kind = self._alsa.PortType
        return self._client.create_port(
            name,
            caps,
            kind.MIDI_GENERIC | kind.APPLICATION,
            timestamping=True,
            timestamp_real=True,
            timestamp_queue=self._queue,
        )

    def _refuse_namesake(self, name: str) -> None:
        for port in self._client.list_ports(only_connectable=False):
            if port.client_name == name and port.client_id != self._client.client_id:
                message = (
                    f"the ALSA sequencer already has a client {name!r} ({port.client_id}): "
                    "stop the other drumigen, or choose another client name"
                )
                raise PortError(message)

    def _new_encoder(self) -> Any:  # noqa: ANN401 - a C object
        alsa, ffi = self._alsa.alsa, self._alsa.ffi
        holder = ffi.new("snd_midi_event_t **")
        if alsa.snd_midi_event_new(1024, holder) < 0:
            raise MemoryError
        return ffi.gc(holder[0], alsa.snd_midi_event_free)

    def _output(self, port: str, data: bytes, at: Seconds) -> bool:
        """Hand one message to the kernel; False if it has no room now."""
        alsa = self._alsa.alsa
        event = self._alsa.ffi.new("snd_seq_event_t *")
        alsa.snd_midi_event_reset_encode(self._encoder)
        alsa.snd_midi_event_encode(self._encoder, data, len(data), event)
        event.source.port = self._out[port]
        event.dest.client, event.dest.port = _SUBSCRIBERS
        event.queue = self._queue.queue_id
        event.flags = event.flags & alsa.SND_SEQ_EVENT_LENGTH_MASK | alsa.SND_SEQ_TIME_STAMP_REAL
        event.time.time.tv_sec, event.time.time.tv_nsec = divmod(self._stamp(at), 1_000_000_000)
        result = alsa.snd_seq_event_output_direct(self._client.handle, event)
        if result < 0 and result != -errno.EAGAIN:
            reason = os.strerror(-result)
            message = f"the ALSA sequencer refused an event ({reason}): restart drumigen"
            raise PortError(message)
        return bool(result != -errno.EAGAIN)

    def _stamp(self, at: Seconds) -> int:
        """Return the queue's time for ``at`` in ns: one time has one stamp, and so one order."""
        stamp = self._stamps.get(at)
        if stamp is None:
            if len(self._stamps) >= POOL:
                self._stamps.clear()
            # the queue plays an event on its first step at or after the stamp
            stamp = max(0, round((self._timebase.to_base(at) - self._half_step) * 1e9))
            self._stamps[at] = stamp
        return stamp

    def flush(self) -> bool:
        """Hand over what the kernel had no room for; tell whether it has all."""
        while self._backlog and self._output(*self._backlog[0]):
            self._backlog.popleft()
        return not self._backlog

    def _take(self, event: Any) -> None:  # noqa: ANN401 - one of many classes
        address = (event.source.client_id, event.source.port_id)
        if address[0] == _SYSTEM_CLIENT:
            self._graph_changed = True
            if isinstance(event, (self._alsa.PortExitEvent, self._alsa.ClientExitEvent)):
                self._names.clear()
                self._streams.clear()
            return
        if not isinstance(event, self._alsa.MidiBytesEvent):
            return
        if event.time is None:
            at = Seconds(time.monotonic())
        else:
            at = self._timebase.to_monotonic(float(event.time))
        stream = self._streams.get(address)
        if stream is None:
            stream = self._streams[address] = MidiStream(sysex_limit=0)
        for message in stream.feed(event.midi_bytes):
            if message != _ACTIVE_SENSING:
                self._inbox.put(self._name_of(address), message, at)

    def _name_of(self, address: Address) -> str:
        name = self._names.get(address)
        if name is None:
            try:
                client = self._client.get_client_info(address[0]).name
                name = f"{client}:{self._client.get_port_info(address).name}"
            except self._alsa.ALSAError:  # gone since it sent
                name = f"{address[0]}:{address[1]}"
            self._names[address] = name
        return name

    def _peers_of(self, end: _AlsaEnd) -> set[Address]:
        kind = self._alsa.SubscriptionQueryType
        return {
            (each.addr.client_id, each.addr.port_id)
            for each in end.port.list_subscribers(kind.WRITE if end.hears else kind.READ)
        }

    def _connect_matching(self, end: _AlsaEnd, connected: set[Address]) -> None:
        if not end.ours.connect:
            return
        for peer in self._client.list_ports(input=end.hears, output=not end.hears):
            address = (peer.client_id, peer.port_id)
            if peer.client_id == self._client.client_id or address in connected:
                continue
            if not end.ours.wants(f"{peer.client_name}:{peer.name}"):
                continue
            ends = (peer, end.port) if end.hears else (end.port, peer)
            try:
                self._client.subscribe_port(*ends)
            except self._alsa.ALSAError as error:
                log.debug("port %s:%s cannot be connected: %s", peer.client_name, peer.name, error)
                self._graph_changed = True  # it went, or is busy: look again at the next check

    def _observe(self) -> None:
        """Compare the clocks; of some readings the one least interrupted is right."""
        best: tuple[float, float, float] | None = None
        for _ in range(READS):
            before = time.monotonic()
            status = self._queue.get_status()
            after = time.monotonic()
            if best is None or after - before < best[0]:
                best = (after - before, (before + after) / 2, float(status.real_time))
        assert best is not None
        self._timebase.observe(Seconds(best[1]), best[2])


def _refine(queue: "alsa_midi.Queue") -> float:
    """Have ``queue`` advance in the finest steps that the kernel allows; return them in seconds."""
    library = _library()
    timer = queue.get_timer()
    timer.resolution = TIMER_HZ
    try:
        queue.set_timer(timer)
    except library.ALSAError:
        return 1e-3  # the kernel's default
    return 1 / TIMER_HZ


def _fileno(client: "alsa_midi.SequencerClient") -> int:
    library = _library()
    polled = library.ffi.new("struct pollfd[]", 1)
    library.alsa.snd_seq_poll_descriptors(client.handle, polled, 1, select.POLLIN)
    fileno: int = polled[0].fd
    return fileno


def _open_client(name: str) -> "alsa_midi.SequencerClient":
    library = _library()
    check_device()  # libasound would print to stderr
    try:
        return library.SequencerClient(name)
    except library.ALSAError as error:
        message = f"the ALSA sequencer cannot be opened ({error}): modprobe snd-seq"
        raise PortError(message) from error


def _library() -> ModuleType:
    try:
        import alsa_midi as library  # noqa: PLC0415 - absent on some machines; loads libasound
    except (ImportError, OSError) as error:
        message = (
            f"ALSA cannot be used ({error}): "
            "install libasound (Debian: libasound2) and pip install alsa-midi"
        )
        raise PortError(message) from error
    module: ModuleType = library
    return module
