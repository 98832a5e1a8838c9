"""MIDI through a JACK server (jackd or PipeWire): notes leave on the exact frame.

The only module that imports JACK-Client.

We are one client, or two where the plan says ``split``: connected with a program in both
directions, one client closes a loop in JACK's graph, and JACK breaks a loop by holding one of its
connections back for a whole period.  Split, ``drumigen-in`` has the inputs, whose ports answer to
``drumigen:in`` as well, by alias.
"""

import contextlib
import heapq
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Final

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import Inbox, Peer, PortChange, PortPlan, VirtualPort
from drumigen_daemon.ports.timebase import Timebase
from drumigen_daemon.process.realtime import own_priority

if TYPE_CHECKING:
    import jack

OnWritten = Callable[[int, int], None]

LEAD_MIN: Final = 10e-3
LEAD_MARGIN: Final = 1e-3
"""Seconds beyond two periods: one is being played, one computed."""

OPEN_TIMEOUT: Final = 3.0
"""Seconds within which a healthy server admits a client; it takes 20 ms."""

STALL: Final = 1.0
"""Seconds without a cycle after which the server counts as gone."""

RETRY: Final = 1.0
"""Seconds between attempts to find a server again."""

SETTLING: Final = 1.0
"""Seconds after which a server that does not run evenly is taken as it is."""

BURST: Final = 128
"""Events written in one cycle at most: thousands would outlast it and be lost altogether."""

SLEW: Final = 1e-3
"""By which ratio we run fast or slow until lost frames are made up for; no ear hears it."""

_IGNORED: Final = frozenset((b"", b"\xf0", b"\xfe"))
"""First bytes of what nobody here wants: SysEx and active sensing."""


def probe() -> str:
    """Say which JACK server would be used.

    Raises:
        PortError: there is none, or JACK-Client is not installed.

    """
    (client,) = _Opening("drumigen-probe", exact=False).wait(OPEN_TIMEOUT)
    try:
        return f"JACK server at {client.samplerate} Hz, {client.blocksize} frames a period"
    finally:
        client.close()


def peers() -> list[Peer]:
    """Return the MIDI ports of the JACK server.

    Raises:
        PortError: there is none, or JACK-Client is not installed.

    """
    (client,) = _Opening("drumigen-probe", exact=False).wait(OPEN_TIMEOUT)
    try:
        return sorted(Peer(port.name, port.is_output) for port in client.get_ports(is_midi=True))
    finally:
        client.close()


class Sentinel:
    """Watches one JACK server for those who cannot: a client that does nothing else."""

    def __init__(self, name: str) -> None:
        """Join the server as ``name``; raises :class:`PortError` if there is none."""
        (self._client,) = _Opening(name, exact=False).wait(OPEN_TIMEOUT)
        self.down = threading.Event()
        """Set at once, from a thread of JACK, when the server dies or turns us out."""
        self.period = self._client.blocksize / self._client.samplerate
        """Seconds, as it was when we joined."""
        self._client.set_shutdown_callback(lambda *_: self.down.set())
        self._client.activate()

    def ports(self) -> frozenset[str]:
        """Return the names of all ports on the server; none if one went while they were read."""
        try:
            return frozenset(port.name for port in self._client.get_ports())
        except _library().JackError:
            return frozenset()

    def close(self) -> None:
        """Leave the server.  Idempotent."""
        _leave(self._client)


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
        self._session: _Session | None = None
        self._opening: _Opening | None = None
        self._leaving: threading.Thread | None = None
        self._retry_at = 0.0
        self._news: Sequence[PortChange] = ()
        self._lead = LEAD_MIN
        self._xruns = 0
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

    def open(self, plan: PortPlan, inbox: Inbox) -> None:
        """Join the server that runs; never starts one."""
        self._session = _Session(_open(plan).wait(OPEN_TIMEOUT), plan, inbox, self._on_written)
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
        return self._session.withdraw()

    def filenos(self) -> Sequence[int]:
        """Return none: JACK's thread fills the inbox."""
        return ()

    def receive(self) -> None:
        """Do nothing: JACK's thread fills the inbox."""

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
            self._session = _Session(opening.result(), plan, self._inbox, self._on_written)
        except PortError:
            return []  # not back yet: the next attempt is a second away
        self._session.remember(self._peers)
        return [PortChange("", "", up=True), *self._session.connect_peers()]

    def _end_session(self, patience: float = 1.0) -> None:
        if self._session is not None:
            self._xruns += self._session.xruns
            self._peers = self._session.connected_peers()
            self._leaving = self._session.close(patience)
            self._session = None


def _open(plan: PortPlan) -> "_Opening":
    return _Opening(plan.client, *([f"{plan.client}-in"] if plan.split else []))


@dataclass(slots=True)
class _End:
    """One of our ports, and the full names of the peers seen connected with it."""

    ours: VirtualPort
    port: "jack.OwnMidiPort"
    peers: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    """Peers that were connected, by whomever, when they went: connected again when they return."""


class _Session:
    """One life of our clients, from joining a server to leaving it or losing it."""

    def __init__(
        self,
        clients: "Sequence[jack.Client]",
        plan: PortPlan,
        inbox: Inbox,
        on_written: OnWritten | None,
    ) -> None:
        self._clients = clients
        self._client = client = clients[0]
        listener = clients[-1]
        self._inbox = inbox
        self._on_written = on_written
        self._jack_error = _library().JackError
        # JACK loses time in a missed cycle, for everybody on it: what keeps its frames is in time
        self._timebase = Timebase(client.samplerate, SLEW)
        # (time, sequence, index of the output, data), a heap.  Two threads use it without a lock:
        # a heap operation on tuples that differ in their numbers is one step under the GIL.
        # Times become frames only when written, so what has one time keeps its order.
        self._queue: list[tuple[Seconds, int, int, bytes]] = []
        # held for microseconds, by whoever takes more than one step at the queue
        self._sorting = threading.Lock()
        self._sequence = itertools.count()
        self._play_frame: int | None = None
        # outputs with something of the cycle before; a buffer that was cleared stays clear
        self._to_clear: set[int] = set()
        self._fault: BaseException | None = None
        self._cycle_seen = (-1, time.monotonic())
        self.cycles = 0
        self.priority = 0
        self.xruns = 0
        self.down = False
        self.lead = LEAD_MIN
        try:
            self._outputs = [client.midi_outports.register(port.name) for port in plan.outputs]
            self._index = {port.name: index for index, port in enumerate(plan.outputs)}
            self._inputs = [
                (
                    listener.midi_inports.register(port.name),
                    f"{plan.client}:{port.name}",
                )
                for port in plan.inputs
            ]
            self._ends = [
                *map(_End, plan.inputs, (port for port, _ in self._inputs)),
                *map(_End, plan.outputs, self._outputs),
            ]
            self._take_blocksize(client.blocksize)
            client.set_blocksize_callback(self._take_blocksize)
            client.set_xrun_callback(self._take_xrun)
            if plan.split:
                client.set_process_callback(self._guarded(client, self._play))
                listener.set_process_callback(self._guarded(listener, self._listen))
            else:
                # what comes wakes the engine, which needs the GIL: that comes last
                client.set_process_callback(self._guarded(client, self._play, self._listen))
            for each in clients:
                each.set_shutdown_callback(self._take_shutdown)
                each.activate()
        except self._jack_error as error:
            self.close()
            message = f"JACK refused our ports ({error}): restart the JACK server"
            raise PortError(message) from error
        for port, source in self._inputs if plan.split else ():
            with contextlib.suppress(self._jack_error):  # only a courtesy
                port.set_alias(source)

    def settle(self) -> None:
        """Wait half a second, so that the first stamps and events are mapped well."""
        deadline = time.monotonic() + SETTLING
        while not self._timebase.usable and time.monotonic() < deadline:
            time.sleep(0.005)

    def close(self, patience: float = 1.0) -> threading.Thread:
        self.down = True
        return _leave(*self._clients, patience=patience)

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        heapq.heappush(self._queue, (at, next(self._sequence), self._index[port], data))

    def withdraw(self) -> Seconds:
        # what belongs to the period under way must stay: its notes have been struck
        with self._sorting:
            end = self._timebase.to_monotonic((self._play_frame or 0) + self._client.blocksize)
            # what is due by now counts as played, though a late cycle has yet to take it
            horizon = max(end, time.monotonic())
            self._queue[:] = [event for event in self._queue if event[0] < horizon]
            heapq.heapify(self._queue)
        return Seconds(horizon)

    def alive(self) -> bool:
        """Tell whether the server lives and still calls us.

        A server that hangs must not be asked for anything: the answer would never come.
        """
        if self._fault is not None:
            raise self._fault
        now = time.monotonic()
        seen, since = self._cycle_seen
        if self.cycles != seen:
            self._cycle_seen = (self.cycles, now)
        elif now - since > STALL:
            self.down = True
        return not self.down

    def connect_peers(self) -> Sequence[PortChange]:
        changes: list[PortChange] = []
        for end in self._ends:
            try:
                connected = self._peers_of(end)
                gone, end.peers = end.peers - connected, end.peers & connected
                end.lost = (end.lost | self._vanished(gone)) - connected
                changes += [PortChange(end.ours.name, peer, up=False) for peer in sorted(gone)]
                if self._connect_matching(end, connected):
                    connected = self._peers_of(end)
            except self._jack_error:
                continue  # a peer went while it was looked at: the next check sees it gone
            come, end.peers = connected - end.peers, connected
            changes += [
                PortChange(end.ours.name, peer, up=True, note=self._loop_with(end, peer))
                for peer in sorted(come)
            ]
        return changes

    def _loop_with(self, end: _End, peer: str) -> str:
        """Return a warning if ``peer``'s client is now connected with us in both directions."""
        program = peer.partition(":")[0]
        others = [e.peers for e in self._ends if e.port.is_input is not end.port.is_input]
        if len(self._clients) > 1 or not any(
            name.partition(":")[0] == program for peers in others for name in peers
        ):
            return ""
        return f"both ways, so JACK delays one way by a period: set midi.split_inputs for {program}"

    def _vanished(self, gone: set[str]) -> set[str]:
        """Return those of ``gone`` whose ports are no more; the others were disconnected."""
        if not gone:
            return gone
        return gone - {port.name for port in self._client.get_ports(is_midi=True)}

    def connected_peers(self) -> dict[str, set[str]]:
        """Return by the name of each of our ports who is, or was last, connected with it."""
        return {end.ours.name: end.peers | end.lost for end in self._ends}

    def remember(self, peers: dict[str, set[str]]) -> None:
        """Connect again whoever was connected in an earlier life."""
        for end in self._ends:
            end.lost |= peers.get(end.ours.name, set())

    def _peers_of(self, end: _End) -> set[str]:
        return {peer.name for peer in self._client.get_all_connections(end.port)}

    def _connect_matching(self, end: _End, connected: set[str]) -> bool:
        """Connect the peers that ``end`` lost or its patterns name; tell if there were any."""
        if not end.ours.connect and not end.lost:
            return False
        own = tuple(client.name + ":" for client in self._clients)
        hears = end.port.is_input
        found = False
        for peer in self._client.get_ports(is_midi=True, is_output=hears, is_input=not hears):
            if peer.name.startswith(own) or peer.name in connected:
                continue
            # hardware is system:midi_capture_1, and bears its maker's name only as an alias
            wanted = any(map(end.ours.wants, (peer.name, *peer.aliases)))
            if wanted or peer.name in end.lost:
                self._client.connect(*((peer, end.port) if hears else (end.port, peer)))
                found = True
        return found

    def _guarded(
        self, client: "jack.Client", *cycles: Callable[[int, int], None]
    ) -> Callable[[int], None]:
        start: int | None = None

        def callback(frames: int) -> None:
            nonlocal start
            try:
                start = unwrap(start, client.last_frame_time)
                for cycle in cycles:
                    cycle(start, frames)
            except BaseException as error:  # the library would drop it and never call again
                self._fault = error
                raise

        return callback

    def _listen(self, start: int, _frames: int) -> None:
        for port, source in self._inputs:
            for offset, event in port.incoming_midi_events():
                data = bytes(event)  # a whole message: JACK sees to that
                if data[:1] not in _IGNORED:
                    self._inbox.put(source, data, self._timebase.to_monotonic(start + offset))

    def _play(self, start: int, frames: int) -> None:
        self._play_frame = start
        if start >= self._timebase.wanted:
            self._timebase.observe(time.monotonic(), start)
        if not self.cycles:
            self.priority = own_priority()
        self.cycles += 1
        while self._to_clear:
            self._outputs[self._to_clear.pop()].clear_buffer()
        if self._is_due(start + frames):
            with self._sorting:
                self._write_due(start, start + frames)

    def _is_due(self, end: int) -> bool:
        first = self._queue[:1]  # in one step, for another thread may empty the queue
        return bool(first) and round(self._timebase.to_base(first[0][0])) < end

    def _write_due(self, start: int, end: int) -> None:
        queue, timebase, outputs = self._queue, self._timebase, self._outputs
        for _ in range(BURST):
            if not queue or (frame := round(timebase.to_base(queue[0][0]))) >= end:
                break
            # what is due has the earliest time, but another one may have been queued just now
            event = heapq.heappop(queue)
            at, _, index, data = event
            frame = round(timebase.to_base(at))
            offset = max(frame - start, 0)
            room = outputs[index].reserve_midi_event(offset, len(data))
            if not room:
                heapq.heappush(queue, event)  # the buffer of this cycle is full
                break
            room[:] = data
            self._to_clear.add(index)
            if self._on_written is not None:
                self._on_written(frame, start + offset)

    def _take_blocksize(self, frames: int) -> None:
        self.lead = max(LEAD_MIN, 2 * frames / self._client.samplerate + LEAD_MARGIN)
        self._to_clear.update(range(len(self._outputs)))

    def _take_xrun(self, _delay_us: float) -> None:
        self.xruns += 1
        self._timebase.suspect()

    def _take_shutdown(self, _status: object, _reason: str) -> None:
        self.down = True


class _Opening:
    """Joins a server in a thread of its own, for a hung server never answers."""

    def __init__(self, *names: str, exact: bool = True) -> None:
        self._names = names
        self._exact = exact
        self._jack = _library()
        # one item at most, a list of clients: whoever pops it owns them
        self._opened: deque[list[jack.Client]] = deque()
        self._error: jack.JackOpenError | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="jack-open", daemon=True)
        self._thread.start()

    def wait(self, timeout: float) -> "list[jack.Client]":
        """Return a client for each name, or raise :class:`PortError`."""
        if not self.done(timeout):
            self.abandon()
            message = f"the JACK server {server_name()!r} does not answer: restart it"
            raise PortError(message)
        return self.result()

    def done(self, timeout: float) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> "list[jack.Client]":
        if self._opened:
            return self._opened.pop()
        if self._error is None or self._error.status.server_failed:
            message = (
                f"no JACK server {server_name()!r} runs: start jackd or PipeWire's JACK, "
                "or set JACK_DEFAULT_SERVER to the name of the one that does"
            )
        else:  # jackd calls a taken name a server error
            message = (
                f"the JACK server {server_name()!r} refuses a client {self._error.name!r}: "
                "stop the other drumigen, or choose another client name"
            )
        raise PortError(message) from self._error

    def abandon(self) -> None:
        """Let the clients go, now or when the server lets us in at last."""
        self._abandoned = True
        self._close_abandoned()

    def _run(self) -> None:
        clients: list[jack.Client] = []
        try:
            for name in self._names:
                clients.append(  # noqa: PERF401 - those before a failure must be closed
                    self._jack.Client(name, use_exact_name=self._exact, no_start_server=True)
                )
        except self._jack.JackOpenError as error:
            self._error = error
            for client in clients:
                client.close()
            return
        self._opened.append(clients)
        if self._abandoned:
            self._close_abandoned()

    def _close_abandoned(self) -> None:
        with contextlib.suppress(IndexError):  # not open, or the other thread has them
            _leave(*self._opened.pop())


def server_name() -> str:
    """Return the name of the JACK server that libjack would choose."""
    return os.environ.get("JACK_DEFAULT_SERVER", "default")


def unwrap(last: int | None, frame: int) -> int:
    """Continue ``last`` by JACK's 32-bit frame counter, which wraps once a day at 48 kHz."""
    if last is None:
        return frame
    return last + (frame - last + 2**31) % 2**32 - 2**31


def _leave(*clients: "jack.Client", patience: float = 1.0) -> threading.Thread:
    """Close ``clients``, which takes 20 ms; behind our back if it takes more than ``patience``.

    While the server hangs it takes forever.
    """

    def close() -> None:
        for client in clients:
            client.close()

    thread = threading.Thread(target=close, name="jack-close", daemon=True)
    thread.start()
    thread.join(patience)
    return thread


def _library() -> ModuleType:
    try:
        import jack as library  # noqa: PLC0415 - absent on some machines, and it loads libjack
    except (ImportError, OSError) as error:
        message = (
            f"JACK cannot be used ({error}): "
            "install libjack (Debian: libjack-jackd2-0) and pip install JACK-Client"
        )
        raise PortError(message) from error
    # libjack prints to stderr whenever a server is absent; what matters comes as exceptions
    library.set_error_function(_ignore)
    library.set_info_function(_ignore)
    module: ModuleType = library
    return module


def _ignore(_message: str) -> None:
    pass
