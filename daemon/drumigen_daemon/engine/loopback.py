"""How long a note takes from one MIDI port to another: latency and jitter of a cable, or of none.

Notes are queued ahead, as the engine does, and timed where they come back.  The two ends are
clients of their own, so that nothing of a running drumigen is touched.
"""

import math
import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.engine.timed_output import SPIN, TimedOutput
from drumigen_daemon.ports import Backend, PortPlan, VirtualPort

SENDER, HEARER = "drumigen-loop-a", "drumigen-loop-b"
NOTES: Final = 200
SPACING: Final = 0.0137
"""Seconds from note to note: a little more than a multiple of any JACK period in use."""
SENT_AHEAD_SECONDS: Final = 0.05
CONNECTING_SECONDS_MAX: Final = 1.5
"""Seconds in which the ports must have been connected."""
LAST_NOTE_SECONDS_MAX: Final = 0.5
_ON: Final = 0x99


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What came of the notes that were sent; times in seconds."""

    sent: int
    delays: tuple[float, ...]
    """Of those that came back, ascending, from the moment each was meant for."""

    def quantile(self, share: float) -> float:
        """Return the delay that so great a share does not exceed; NaN if nothing came back."""
        if not self.delays:
            return math.nan
        return self.delays[min(len(self.delays) - 1, int(share * len(self.delays)))]

    @property
    def jitter(self) -> float:
        """How far the delays of 98 of 100 lie apart."""
        return self.quantile(0.99) - self.quantile(0.01)


class _Arrival:
    """What came back, from any thread."""

    def __init__(self) -> None:
        self.events: deque[tuple[bytes, float]] = deque()

    def put(self, _source: str, data: bytes, at: Seconds) -> None:
        self.events.append((bytes(data), at))


def measure(make: Callable[[], Backend], output: str = "", heard_on: str = "") -> RoundTrip:
    """Send notes to the ports that ``output`` matches, and hear those that ``heard_on`` matches.

    Both are patterns as in ``midi.outputs``; without them the notes go straight from one client
    of ours to another, which measures the MIDI system alone.

    Raises:
        PortError: the MIDI system cannot be used, or the ports are not there.
    """
    inbox, deaf = _Arrival(), _Arrival()
    sender, hearer = make(), make()
    ears = VirtualPort("in", (heard_on,) if heard_on else ())
    voice = VirtualPort("out", (output or f"{HEARER}:in",))
    with_ears = PortPlan(HEARER, (ears,), ())
    with_voice = PortPlan(SENDER, (), (voice,))
    try:
        hearer.open(with_ears, inbox)
        sender.open(with_voice, deaf)
        _connect(sender, hearer, expected=2 if heard_on else 1)
        return _sent_and_heard(sender, hearer, inbox)
    finally:
        sender.close()
        hearer.close()


def _connect(sender: Backend, hearer: Backend, expected: int) -> None:
    until = time.monotonic() + CONNECTING_SECONDS_MAX
    connected: set[str] = set()
    while time.monotonic() < until:
        connected |= {change.port for change in sender.check() if change.up and change.peer}
        connected |= {change.port for change in hearer.check() if change.up and change.peer}
        if len(connected) >= expected:
            return
        time.sleep(0.05)
    message = "no such ports to connect with: drumigen ports lists those that are there"
    raise PortError(message)


def _sent_and_heard(sender: Backend, hearer: Backend, inbox: _Arrival) -> RoundTrip:
    timed = None if sender.queues else TimedOutput(sender)
    send = sender.send if timed is None else timed.send
    lead = sender.lead if timed is None else timed.lead
    start = time.monotonic() + lead + SENT_AHEAD_SECONDS
    meant = {_note(number): start + number * SPACING for number in range(NOTES)}
    waiting = list(meant.items())
    delays: list[float] = []
    end = start + NOTES * SPACING + LAST_NOTE_SECONDS_MAX
    while (now := time.monotonic()) < end and len(delays) < NOTES:
        while waiting and waiting[0][1] - lead - SENT_AHEAD_SECONDS / 2 <= now:
            data, at = waiting.pop(0)
            send("out", data, Seconds(at))
        if timed is not None:
            timed.play(2 * SPIN)
        for backend in (sender, hearer):
            descriptors = list(backend.filenos())
            if descriptors and select.select(descriptors, [], [], 0.0)[0]:
                backend.receive()
        while inbox.events:
            data, at = inbox.events.popleft()
            if data in meant:
                delays.append(at - meant.pop(data))
        time.sleep(0.0005)
    return RoundTrip(NOTES, tuple(sorted(delays)))


def _note(number: int) -> bytes:
    return bytes([_ON, number % 128, 1 + number // 128])
