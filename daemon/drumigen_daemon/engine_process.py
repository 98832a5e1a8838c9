"""The engine's own process: real ports, real time, and nothing else.

``python -m drumigen_daemon.engine_process HANDLE SETUP`` where SETUP is an
:class:`~drumigen_daemon.messages.EngineSetup` in JSON.
"""

import gc
import heapq
import itertools
import math
import select
import signal
import socket
import sys
import time
from collections import deque
from types import FrameType
from typing import Final

import msgspec

from drumigen.errors import ChannelClosedError, PortError
from drumigen.units import Seconds
from drumigen_daemon.channel import EXIT_UNAVAILABLE, Channel
from drumigen_daemon.engine import Engine
from drumigen_daemon.messages import AnyCommand, EngineSetup, Ready, Remark, Report
from drumigen_daemon.player import NOTES_PORT, Output
from drumigen_daemon.ports import Backend
from drumigen_daemon.ports.choose import choose
from drumigen_daemon.realtime import become_realtime, settle

SPIN: Final = 0.0004
"""Seconds before a note that are spent awake, where the system does not queue for us."""
QUIET: Final = 0.0015
"""Seconds before a note in which no other work is begun; each piece of work is shorter."""
QUIET_FOR_COMMANDS: Final = 0.003
"""The same for a command, after which the notes ahead are looked up again."""
TIMED_LEAD: Final = 0.010
MESSAGES_AT_ONCE: Final = 16
REPORTS_AT_ONCE: Final = 8
"""What makes up a piece of work: some 0.2 ms."""
CHECK_PERIOD: Final = 0.5
"""Seconds between two looks at which ports came and went."""
CHECK_GAP: Final = 0.02
"""A look may take this long, so it waits for such a gap between events..."""
CHECK_PATIENCE: Final = 2.0
"""...contenting itself with a smaller one the longer it waits, up to this."""
SILENCE_BEFORE_CLOSING: Final = 0.02
NOTE_ON: Final = 0x90

Message = tuple[str, bytes, Seconds]
"""Source, bytes, and when they came."""


class MidiInbox:
    """MIDI from any thread; wakes the engine."""

    def __init__(self) -> None:
        """Open the wake-up socket."""
        self._messages: deque[Message] = deque()
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._bell.setblocking(False)
        self._rung = False

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._wake.fileno()

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        """Take a message; called from a driver's thread."""
        self._messages.append((source, data, at))
        self.ring()

    def ring(self) -> None:
        """Wake the engine."""
        if not self._rung:
            self._bell.send(b"\0")
            self._rung = True

    def __bool__(self) -> bool:
        """Tell whether anything has come."""
        return bool(self._messages)

    def take(self, most: int) -> list[Message]:
        """Return what has come first; the rest does not ring again."""
        if self._rung:
            self._wake.recv(64)
            self._rung = False
        messages: list[Message] = []
        while self._messages and len(messages) < most:
            messages.append(self._messages.popleft())
        return messages


class TimedOutput:
    """The queue of a backend that has none: keeps each message, and waits for its time itself."""

    queues = True
    lead = Seconds(TIMED_LEAD)

    def __init__(self, backend: Backend) -> None:
        """Send through ``backend``, which sends at once."""
        self._send = backend.send
        # (moment, whether it may come second, sequence, time, port, data), a heap
        self._queue: list[tuple[float, bool, int, Seconds, str, bytes]] = []
        self._order = itertools.count()
        self.lateness: deque[float] = deque(maxlen=4096)
        """Seconds from each note's time to its sending."""

    @property
    def due(self) -> float:
        """When the next message is to leave; infinite if none is kept."""
        return self._queue[0][0] if self._queue else math.inf

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Have ``data`` leave ``port`` at ``at``."""
        # what is meant for one moment differs by a rounding error, and notes are heard
        place = (round(at, 6), port != NOTES_PORT, next(self._order))
        heapq.heappush(self._queue, (*place, at, port, data))

    def withdraw(self) -> Seconds:
        """Forget what is not due yet; return now."""
        now = Seconds(time.monotonic())
        self._queue = [message for message in self._queue if message[3] < now]
        heapq.heapify(self._queue)
        return now

    def play(self, quiet: float) -> None:
        """Send what is due within ``quiet`` seconds, or soon after that, each at its time."""
        monotonic = time.monotonic
        while (left := self.due - (now := monotonic())) < quiet:
            if left > SPIN:
                time.sleep(left - SPIN)
            _, _, _, at, port, data = heapq.heappop(self._queue)
            while (now := monotonic()) < at:
                pass
            self._send(port, data, at)
            if data[0] & 0xF0 == NOTE_ON:
                self.lateness.append(now - at)


class EngineProcess:
    """Runs an :class:`Engine` until its channel closes or it is told to end."""

    def __init__(self, channel: Channel[AnyCommand], setup: EngineSetup, backend: Backend) -> None:
        """Open the ports on ``backend``.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        self._channel = channel
        self._inbox = MidiInbox()
        self._backend = backend
        self._backend.open(setup.plan, self._inbox)
        granted = become_realtime(setup.priority)
        self._timed = None if backend.queues else TimedOutput(backend)
        self._output: Output = self._timed or backend
        self._engine = Engine(self._output, time.monotonic, Seconds(time.monotonic()))
        if self._timed is not None:
            self._engine.lateness = self._timed.lateness
        self._commands: deque[AnyCommand] = deque()
        self._reports: deque[Report] = deque()
        self._check_due = time.monotonic() + CHECK_PERIOD
        self._terminated = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        ports = tuple(
            f"{setup.plan.client}:{port.name}" for port in (*setup.plan.inputs, *setup.plan.outputs)
        )
        channel.send(Ready(self._backend.name, ports, str(granted)))
        settle()

    def run(self) -> None:
        """Play until told to end; leaves nothing sounding."""
        engine = self._engine
        try:
            while not engine.stopped:
                self._play_due(QUIET)
                wake = engine.advance(Seconds(time.monotonic()))
                self._reports += engine.take_reports()
                self._play_due(QUIET)
                self._report()
                self._play_due(QUIET)
                self._hear()
                self._look_after_ports(wake)
                self._wait(wake)
                # last: it may have taken notes back that only advance() hands over again
                self._obey()
                if self._terminated:
                    engine.shut_down(Seconds(time.monotonic()))
        except ChannelClosedError:
            # the control plane is gone: nobody could ever stop us again
            engine.shut_down(Seconds(time.monotonic()))
        finally:
            self._close()

    def _play_due(self, quiet: float) -> None:
        # nothing is begun that could outlast the time to the next note
        if self._timed is not None:
            self._timed.play(quiet)

    def _hear(self) -> None:
        for source, data, at in self._inbox.take(MESSAGES_AT_ONCE):
            self._engine.hear(source, data, at)

    def _obey(self) -> None:
        if self._commands:
            self._play_due(QUIET_FOR_COMMANDS)
            self._engine.obey(self._commands.popleft(), Seconds(time.monotonic()))

    def _report(self) -> None:
        reports = self._reports
        if reports or self._channel.blocked:
            some = min(len(reports), REPORTS_AT_ONCE)
            self._channel.send(*(reports.popleft() for _ in range(some)))

    def _wait(self, wake: float) -> None:
        """Wait for something to come, at most until ``wake`` or until a note is due."""
        if self._timed is not None:
            wake = min(wake, self._timed.due - SPIN)
        busy = self._inbox or self._commands or self._reports
        pause = 0.0 if busy else max(0.0, wake - time.monotonic())
        sources: list[MidiInbox | Channel[AnyCommand] | int]
        sources = [self._inbox, self._channel, *self._backend.filenos()]
        readable, _, _ = select.select(sources, [], [], pause)
        for source in readable:
            self._play_due(QUIET)
            if source is self._channel:
                self._commands += self._channel.receive()
            elif source is not self._inbox:
                self._backend.receive()

    def _look_after_ports(self, wake: float) -> None:
        now = time.monotonic()
        late = now - self._check_due
        gap = min(wake, self._timed.due if self._timed else wake) - now
        if late < 0.0 or gap < CHECK_GAP * (1.0 - late / CHECK_PATIENCE):
            return
        self._check_due = now + CHECK_PERIOD
        changes = self._backend.check()
        if changes:
            self._engine.ports_changed(changes, Seconds(time.monotonic()))
        gc.collect(0)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True
        self._inbox.ring()

    def _close(self) -> None:
        # what was handed over last must have left before the ports go
        if self._timed is not None:
            self._timed.play(self._timed.lead)
        time.sleep(self._output.lead + SILENCE_BEFORE_CLOSING)
        self._backend.close()
        try:
            self._channel.send(*self._reports, *self._engine.take_reports())
        except ChannelClosedError:
            return


def main() -> int:
    """Run the engine of the control plane that started this process."""
    channel: Channel[AnyCommand] = Channel.inherited(sys.argv[1], AnyCommand)
    setup = msgspec.json.decode(sys.argv[2], type=EngineSetup)
    try:
        process = EngineProcess(channel, setup, choose(setup.backend, setup.api))
    except PortError as error:
        channel.send(Remark("error", str(error)))
        return EXIT_UNAVAILABLE
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
