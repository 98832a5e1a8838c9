"""The engine's own process: real ports, real time, and nothing else.

``python -m drumigen_daemon.engine_process DESCRIPTOR SETUP`` where SETUP is an
:class:`~drumigen_daemon.messages.EngineSetup` in JSON.
"""

import gc
import os
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
from drumigen_daemon.channel import Channel
from drumigen_daemon.engine import Engine
from drumigen_daemon.messages import AnyCommand, EngineSetup, Ready, Remark
from drumigen_daemon.ports import Backend
from drumigen_daemon.ports.choose import choose
from drumigen_daemon.realtime import become_realtime, settle

SPIN: Final = 0.0003
"""Seconds before a send that are spent awake, where the system does not queue for us."""
CHECK_PERIOD: Final = 0.5
"""Seconds between two looks at which ports came and went."""
CHECK_GAP: Final = 0.02
"""A look may take this long, so it waits for a gap between events..."""
CHECK_PATIENCE: Final = 2.0
"""...but not for longer than this."""
SILENCE_BEFORE_CLOSING: Final = 0.02


class MidiInbox:
    """MIDI from any thread; wakes the engine."""

    def __init__(self) -> None:
        """Open the wake-up socket."""
        self._messages: deque[tuple[str, bytes, Seconds]] = deque()
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

    def take(self) -> list[tuple[str, bytes, Seconds]]:
        """Return what has come."""
        if self._rung:
            self._wake.recv(64)
            self._rung = False
        messages = []
        while self._messages:
            messages.append(self._messages.popleft())
        return messages


class EngineProcess:
    """Runs an :class:`Engine` until its channel closes or it is told to end."""

    def __init__(
        self, channel: Channel[AnyCommand], setup: EngineSetup, backend: Backend
    ) -> None:
        """Open the ports on ``backend``.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        self._channel = channel
        self._inbox = MidiInbox()
        self._backend = backend
        self._backend.open(setup.plan, self._inbox)
        granted = become_realtime(setup.priority)
        self._engine = Engine(self._backend, time.monotonic, Seconds(time.monotonic()))
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
        engine, channel, inbox = self._engine, self._channel, self._inbox
        try:
            while not engine.stopped:
                wake = engine.advance(Seconds(time.monotonic()))
                reports = engine.take_reports()
                if reports or channel.blocked:
                    channel.send(*reports)
                self._look_after_ports(wake)
                self._wait(wake)
                for source, data, at in inbox.take():
                    engine.hear(source, data, at)
                for command in channel.receive():
                    engine.obey(command, Seconds(time.monotonic()))
                if self._terminated:
                    engine.shut_down(Seconds(time.monotonic()))
        except ChannelClosedError:
            # the control plane is gone: nobody could ever stop us again
            engine.shut_down(Seconds(time.monotonic()))
        finally:
            self._close()

    def _wait(self, wake: float) -> None:
        spin = 0.0 if self._backend.queues else SPIN
        pause = wake - time.monotonic() - spin
        if pause > 0.0:
            readable, _, _ = select.select(
                [self._inbox, self._channel, *self._backend.filenos()], [], [], pause
            )
            if any(source not in (self._inbox, self._channel) for source in readable):
                self._backend.receive()
        if spin:
            # what has come in waits while a note is about to leave
            monotonic = time.monotonic
            if wake - monotonic() <= spin:
                while monotonic() < wake:
                    pass

    def _look_after_ports(self, wake: float) -> None:
        now = time.monotonic()
        late = now - self._check_due
        if late < 0.0 or (wake - now < CHECK_GAP and late < CHECK_PATIENCE):
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
        time.sleep(self._backend.lead + SILENCE_BEFORE_CLOSING)
        self._backend.close()
        try:
            self._channel.send(*self._engine.take_reports())
        except ChannelClosedError:
            return


def main() -> int:
    """Run the engine of the control plane that started this process."""
    channel: Channel[AnyCommand] = Channel.inherited(int(sys.argv[1]), AnyCommand)
    setup = msgspec.json.decode(sys.argv[2], type=EngineSetup)
    try:
        process = EngineProcess(channel, setup, choose(setup.backend, setup.api))
    except PortError as error:
        channel.send(Remark("error", str(error)))
        return os.EX_UNAVAILABLE
    process.run()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
