"""One life of our clients on a JACK server: what its threads call, cycle by cycle."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import Inbox, PortChange, PortPlan
from drumigen_daemon.ports.frame_queue import FrameQueue, OnWritten
from drumigen_daemon.ports.jack_client import (
    jack_library,
    leave,
    made_by,
    server_name,
    unwrap,
)
from drumigen_daemon.ports.jack_peers import End, PeerConnections
from drumigen_daemon.ports.timebase import Timebase
from drumigen_daemon.process.realtime import own_priority

if TYPE_CHECKING:
    import jack

LEAD_MIN: Final = 10e-3
LEAD_MARGIN: Final = 1e-3
"""Seconds beyond two periods: one is being played, one computed."""

CYCLE_SECONDS_MAX: Final = 1.0
"""Seconds without a cycle after which the server counts as gone."""

AGAIN_AFTER: Final = 0.02
"""Seconds after the last note-offs at which they are sent again, before we leave."""

UNEVEN_SECONDS_MAX: Final = 1.0
"""Seconds after which a server that does not run evenly is taken as it is."""

_IGNORED: Final = frozenset((b"", b"\xf0", b"\xfe"))
"""First bytes of what nobody here wants: SysEx and active sensing."""


class JackSession:
    """From joining a server to leaving it or losing it."""

    def __init__(
        self,
        clients: "Sequence[jack.Client]",
        plan: PortPlan,
        inbox: Inbox,
        on_written: OnWritten | None,
    ) -> None:
        """Open the ports of ``plan`` with ``clients``: one, or two where the plan is split.

        Raises:
            PortError: the server refuses; the clients are closed.
        """
        self._clients = clients
        self._client = client = clients[0]
        listener = clients[-1]
        self._inbox = inbox
        self._fault: BaseException | None = None
        self._cycle_seen = (-1, time.monotonic())
        self.cycles = 0
        self.priority = 0
        """Of the thread in which the server calls us; 0 before it did."""
        self.xruns = 0
        self.down = False
        self.lead = LEAD_MIN
        self._jack_error = jack_library().JackError
        inputs = (*plan.inputs, *plan.controllers)
        try:
            for each in clients:
                _refuse_namesake(each)
            outputs = [client.midi_outports.register(port.name) for port in plan.outputs]
            ears = [listener.midi_inports.register(port.name) for port in inputs]
            self._index = {port.name: index for index, port in enumerate(plan.outputs)}
            self._inputs = [
                (ear, f"{plan.client}:{port.name}") for ear, port in zip(ears, inputs, strict=True)
            ]
            pipewire = made_by(jack_library()) != "JACK"
            self.queue = FrameQueue(client.samplerate, outputs, on_written, all_skip=pipewire)
            # of a listener in another part of the graph, where another driver counts
            self._elsewhere = Timebase(client.samplerate)
            self.connections = PeerConnections(
                clients,
                [
                    *(
                        End(port, ear, own=port in plan.controllers)
                        for port, ear in zip(inputs, ears, strict=True)
                    ),
                    *map(End, plan.outputs, outputs),
                ],
            )
            self._take_blocksize(client.blocksize)
            client.set_blocksize_callback(self._take_blocksize)
            client.set_samplerate_callback(self._take_samplerate)
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
        except PortError:
            self.close()
            raise
        for ear, source in self._inputs if plan.split else ():
            with contextlib.suppress(self._jack_error):  # only a courtesy
                ear.set_alias(source)

    @property
    def port_names(self) -> tuple[str, ...]:
        """The full names of our ports, as others see them."""
        return self.connections.names

    def present(self, now: float) -> Seconds:
        """Return the present, at monotonic ``now``, in the time that stamps are in."""
        return self.queue.timebase.present(now)

    def settle(self) -> None:
        """Wait until the first stamps and events are mapped well: half a second, mostly less."""
        deadline = time.monotonic() + UNEVEN_SECONDS_MAX
        while not self.queue.timebase.usable and time.monotonic() < deadline:
            time.sleep(0.005)

    def close(self, patience: float = 1.0) -> threading.Thread:
        """Leave the server, in a thread of its own if it takes more than ``patience`` seconds."""
        self.down = True
        return leave(*self._clients, patience=patience)

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Queue ``data`` for our output ``port``; what is past by now is due now."""
        at = max(at, self.present(time.monotonic()))
        self.queue.send(self._index[port], data, at)

    def drain(self, patience: float) -> None:
        """Wait until everything but what begins notes has left, ``patience`` seconds at most."""
        self.queue.drain()
        deadline = time.monotonic() + patience
        self._wait_drained(deadline)
        # just after a stall those who listen miss cycles too
        time.sleep(min(patience, AGAIN_AFTER))
        self.queue.end_again()
        self._wait_drained(deadline)

    def _wait_drained(self, deadline: float) -> None:
        while not (self.down or self.queue.drained) and time.monotonic() < deadline:
            time.sleep(0.002)

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
        elif now - since > CYCLE_SECONDS_MAX:
            self.down = True
        return not self.down

    def connect_peers(self) -> Sequence[PortChange]:
        """Connect who is there and should be; return who came and went."""
        return self.connections.check()

    def _guarded(
        self, client: "jack.Client", *cycles: Callable[[int, int, float], None]
    ) -> Callable[[int], None]:
        start: int | None = None

        def callback(frames: int) -> None:
            nonlocal start
            try:
                now = time.monotonic()
                start = unwrap(start, client.last_frame_time)
                for cycle in cycles:
                    cycle(start, frames, now)
            except BaseException as error:  # the library would drop it and never call again
                self._fault = error
                raise

        return callback

    def _listen(self, start: int, _frames: int, now: float) -> None:
        timebase = self.queue.timebase
        if timebase.is_astray(now, start):
            timebase = self._elsewhere
            timebase.observe(now, start)
        for port, source in self._inputs:
            for offset, event in port.incoming_midi_events():
                data = bytes(event)  # a whole message: JACK sees to that
                if data[:1] not in _IGNORED:
                    self._inbox.put(source, data, timebase.to_monotonic(start + offset))

    def _play(self, start: int, frames: int, now: float) -> None:
        if not self.cycles:
            self.priority = own_priority()
        self.cycles += 1
        self.queue.run(start, frames, now)

    def _take_blocksize(self, frames: int) -> None:
        self.lead = max(LEAD_MIN, 2 * frames / self._client.samplerate + LEAD_MARGIN)
        self.queue.refresh()

    def _take_samplerate(self, rate: int) -> None:
        self.queue.change_rate(rate)
        self._elsewhere = Timebase(rate)

    def _take_xrun(self, _delay_us: float) -> None:
        self.xruns += 1
        self.queue.timebase.suspect()

    def _take_shutdown(self, _status: object, _reason: str) -> None:
        self.down = True


def _refuse_namesake(client: "jack.Client") -> None:
    """Raise :class:`PortError` if another client has our name: PipeWire lets both in."""
    if any(port.name.startswith(f"{client.name}:") for port in client.get_ports()):
        message = (
            f"the JACK server {server_name()!r} already has a client {client.name!r}: "
            "stop the other drumigen, or choose another client name"
        )
        raise PortError(message)
