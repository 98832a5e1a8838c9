"""drumigen's engine process on a sink: a backend that only reads the clock when a note leaves.

``python -m sink_engine DESCRIPTOR SETUP``: to be given as ``engine_module``, with this folder on
PYTHONPATH.  The folder named by OUTPUT_JITTER holds ``midi-in``, a named pipe of three-byte MIDI
messages, and gets ``sent.json`` when the engine ends.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from drumigen.units import Seconds
from drumigen_daemon.engine.messages import AnyCommand, EngineSetup
from drumigen_daemon.engine.process import EngineProcess
from drumigen_daemon.ports import Inbox, PortChange, PortPlan
from drumigen_daemon.ports.midi import CLOCK_PULSE
from drumigen_daemon.process.channel import Channel

RECEIVE_MAX = 256
"""Messages read at a time."""


class SinkBackend:
    """Queues nothing, so that the engine itself waits for each note's time."""

    name = "sink"
    queues = False
    lead = Seconds(0.0)
    thread_priority = 0
    dropped = 0

    def __init__(self, folder: Path) -> None:
        """Use the pipe in ``folder``; write there what was measured."""
        self._folder = folder
        self._pipe = os.open(folder / "midi-in", os.O_RDWR | os.O_NONBLOCK)
        self._inbox: Inbox | None = None
        self._notes: list[float] = []
        self._pulses: list[float] = []
        self._received = self._received_before = 0
        self._begun = 0.0

    def open(self, plan: PortPlan, inbox: Inbox) -> None:  # noqa: ARG002 - there are no ports
        """Deliver to ``inbox``."""
        self._inbox = inbox

    def close(self) -> None:
        """Write the seconds by which every note-on and clock pulse was late, and controls/s."""
        seconds = time.monotonic() - self._begun
        measured = {
            "notes": self._notes,
            "pulses": self._pulses,
            "controls": (self._received - self._received_before) / seconds,
        }
        (self._folder / "sent.json").write_text(json.dumps(measured))

    def send(self, port: str, data: bytes, at: Seconds) -> None:  # noqa: ARG002 - there are none
        """Read the clock: this is when the message would leave."""
        now = time.monotonic()
        if data[0] & 0xF0 == 0x90:
            if not self._notes:
                self._begun, self._received_before = now, self._received
            self._notes.append(now - at)
        elif data == CLOCK_PULSE:
            self._pulses.append(now - at)

    def withdraw(self) -> Seconds:
        """Return now: nothing is kept."""
        return Seconds(time.monotonic())

    def port_names(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def now(self) -> Seconds:
        """Return monotonic time."""
        return Seconds(time.monotonic())

    def drain(self, patience: Seconds) -> None:
        """Do nothing: nothing is kept."""

    def filenos(self) -> Sequence[int]:
        """Return the pipe."""
        return (self._pipe,)

    def receive(self) -> None:
        """Take a bounded number of messages from the pipe."""
        now = Seconds(time.monotonic())
        assert self._inbox is not None
        try:
            data = os.read(self._pipe, 3 * RECEIVE_MAX)
        except BlockingIOError:
            return
        self._received += len(data) // 3
        for start in range(0, len(data), 3):
            self._inbox.put("pipe", data[start : start + 3], now)

    def receivers(self) -> Sequence[str]:
        """Return none."""
        return ()

    def check(self) -> Sequence[PortChange]:
        """Return no change."""
        return ()


def main() -> int:
    """Run the engine of the control plane that started this process."""
    channel: Channel[AnyCommand] = Channel.inherited(sys.argv[1], AnyCommand)
    setup = msgspec.json.decode(sys.argv[2], type=EngineSetup)
    EngineProcess(channel, setup, SinkBackend(Path(os.environ["OUTPUT_JITTER"]))).run()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
