"""The engine's own process: real ports, real time, and nothing else.

``python -m drumigen_daemon.engine.process HANDLE SETUP`` where SETUP is an
:class:`~drumigen_daemon.engine.messages.EngineSetup` in JSON.
"""

import gc
import select
import signal
import sys
import time
from collections import deque
from types import FrameType
from typing import Final

import msgspec

from drumigen.errors import ChannelClosedError, PortError
from drumigen.units import Seconds
from drumigen_daemon.engine.engine import Engine
from drumigen_daemon.engine.inbox import MidiInbox
from drumigen_daemon.engine.messages import AnyCommand, AnyReport, EngineSetup, Ready
from drumigen_daemon.engine.output_protocol import Output
from drumigen_daemon.engine.timed_output import SPIN, TimedOutput
from drumigen_daemon.engine.wakeup import Wakeup
from drumigen_daemon.ports import Backend
from drumigen_daemon.ports.choose import Search, choose
from drumigen_daemon.process.channel import EXIT_UNAVAILABLE, Channel
from drumigen_daemon.process.log_line import LogLine
from drumigen_daemon.process.parent import end_with_parent
from drumigen_daemon.process.realtime import become_realtime, settle

QUIET: Final = 0.0015
"""Seconds before a note in which no other work is begun; each piece of work is shorter."""
QUIET_FOR_COMMANDS: Final = 0.003
"""The same for a command, after which the notes ahead are looked up again."""
MESSAGES_AT_ONCE: Final = 16
REPORTS_AT_ONCE: Final = 8
"""What makes up a piece of work: some 0.2 ms."""
CHECK_PERIOD: Final = 0.5
"""Seconds between two looks at which ports came and went."""
RECEIVERS_PERIOD: Final = 3.0
"""Seconds between two looks at who could play our notes, while nobody does."""
CHECK_GAP: Final = 0.02
"""A look may take this long, so it waits for such a gap between events..."""
CHECK_DELAY_SECONDS_MAX: Final = 2.0
"""...contenting itself with a smaller one the longer it waits, up to this."""
CLOSING_SECONDS_MAX: Final = Seconds(0.7)
"""How long a MIDI system that is stalled is waited for, lest notes ring on after us; less than
those who end us wait."""
NO_MIDI: Final = "no MIDI system in use, so no notes leave: see drumigen doctor"
LOOKING: Final = "no MIDI system yet, so no notes leave: looking for one; see drumigen doctor"


class EngineProcess:
    """Runs an :class:`Engine` until its channel closes or it is told to end."""

    def __init__(self, channel: Channel[AnyCommand], setup: EngineSetup, backend: Backend) -> None:
        """Open the ports on ``backend``.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        self._channel = channel
        self._wakeup = Wakeup()
        self._inbox = MidiInbox(self._wakeup.ring)
        self._backend = backend
        self._backend.open(setup.plan, self._inbox)
        above = backend.thread_priority
        granted = become_realtime(min(setup.priority, above - 1) if above > 1 else setup.priority)
        self._timed = None if backend.queues else TimedOutput(backend)
        self._output: Output = self._timed or backend
        lateness = self._timed.lateness if self._timed is not None else None
        self._engine = Engine(self._output, backend.now(), lateness)
        self._commands: deque[AnyCommand] = deque()
        self._reports: deque[AnyReport] = deque()
        self._check_due = time.monotonic() + CHECK_PERIOD
        self._receivers_due = 0.0
        self._terminated = False
        # whoever named a backend has chosen; a queue of our own is no worse than another
        looks = setup.backend == "auto" and backend.name != "jack"
        self._search = (
            Search(backend.name, setup.api, self._may_change, self._wakeup.ring) if looks else None
        )
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        wanted = tuple(
            (port.name, pattern)
            for port in (*setup.plan.inputs, *setup.plan.outputs)
            for pattern in port.connect
        )
        channel.send(Ready(backend.name, backend.port_names(), str(granted), wanted))
        settle()

    def run(self) -> None:
        """Play until told to end; leaves nothing sounding."""
        engine = self._engine
        try:
            while not (engine.stopped or self._better_is_there()):
                self._play_due(QUIET)
                wake = engine.advance(self._backend.now())
                self._reports += engine.take_reports()
                self._play_due(QUIET)
                self._report()
                if self._ports_changed(wake):
                    continue  # what was taken back for it may be due before wake
                self._wait(wake)
                # what is heard or obeyed may bring the next event nearer: advance() comes next
                self._play_due(QUIET)
                self._hear()
                self._obey()
                self._inbox.expect(engine.expected_pulses)
                if self._terminated:
                    engine.shut_down(self._backend.now())
        except ChannelClosedError:
            # the control plane is gone: nobody could ever stop us again
            engine.shut_down(self._backend.now())
        finally:
            self._close()

    def _better_is_there(self) -> bool:
        """Tell whether to end here, so that our successor takes a better MIDI system."""
        if self._search is None or not self._search.found or not self._may_change():
            return False
        self._reports.append(LogLine("info", f"{self._search.found} is there now: changing to it"))
        return True

    def _may_change(self) -> bool:
        # not while notes sound; where there is no MIDI system at all, none do
        return self._backend.name == "null" or self._engine.at_rest

    def _play_due(self, quiet: float) -> None:
        # nothing is begun that could outlast the time to the next note
        if self._timed is not None:
            self._timed.play(quiet)

    def _hear(self) -> None:
        self._wakeup.answer()
        for source, data, at in self._inbox.take(MESSAGES_AT_ONCE):
            self._engine.hear(source, data, at)

    def _obey(self) -> None:
        if self._commands:
            self._play_due(QUIET_FOR_COMMANDS)
            self._engine.obey(self._commands.popleft(), self._backend.now())

    def _report(self) -> None:
        reports = self._reports
        if reports or self._channel.blocked:
            some = min(len(reports), REPORTS_AT_ONCE)
            self._channel.send(*(reports.popleft() for _ in range(some)))

    def _wait(self, wake: float) -> None:
        """Wait for something to come, at most until ``wake`` or until a note is due."""
        if self._timed is not None:
            wake = min(wake, self._timed.due - SPIN)
        busy = self._commands or self._reports
        pause = 0.0 if busy else max(0.0, wake - self._backend.now())
        sources: list[Wakeup | Channel[AnyCommand] | int]
        sources = [self._wakeup, self._channel, *self._backend.filenos()]
        readable, _, _ = select.select(sources, [], [], pause)
        for source in readable:
            self._play_due(QUIET)
            if source is self._channel:
                self._commands += self._channel.receive()
            elif source is not self._wakeup:
                self._backend.receive()

    def _ports_changed(self, wake: float) -> bool:
        """Look which ports came and went, if it is time to and there is time for it."""
        now = time.monotonic()
        late = now - self._check_due
        gap = min(wake, self._timed.due if self._timed else wake) - self._backend.now()
        if late < 0.0 or gap < CHECK_GAP * (1.0 - late / CHECK_DELAY_SECONDS_MAX):
            return False
        self._check_due = now + CHECK_PERIOD
        changes = self._backend.check()
        if changes:
            self._engine.ports_changed(changes, self._backend.now())
        if now >= self._receivers_due and not self._engine.is_played:
            self._receivers_due = now + RECEIVERS_PERIOD
            self._engine.receivers_seen(self._backend.receivers())
        gc.collect(0)
        return bool(changes)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True
        self._wakeup.ring()

    def _close(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are at it
        if self._search is not None:
            self._search.end()
        # what was handed over last must have left before the ports go
        if self._timed is not None:
            self._timed.play(self._timed.lead)
        self._backend.drain(CLOSING_SECONDS_MAX)
        self._backend.close()
        self._wakeup.close()
        try:
            self._channel.send(*self._reports, *self._engine.take_reports())
        except ChannelClosedError:
            return


def main() -> int:
    """Run the engine of the control plane that started this process."""
    end_with_parent()
    channel: Channel[AnyCommand] = Channel.inherited(sys.argv[1], AnyCommand)
    setup = msgspec.json.decode(sys.argv[2], type=EngineSetup)
    try:
        backend = choose(setup.backend, setup.api)
        if backend.name == "null":
            channel.send(LogLine("warning", LOOKING if setup.backend == "auto" else NO_MIDI))
        process = EngineProcess(channel, setup, backend)
    except PortError as error:
        channel.send(LogLine("error", str(error)))
        return EXIT_UNAVAILABLE
    except ChannelClosedError:
        return 0  # who wanted an engine has ended meanwhile
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
