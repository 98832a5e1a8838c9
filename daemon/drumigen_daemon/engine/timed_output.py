"""A queue for MIDI systems that have none: messages wait here, and leave at their time."""

import heapq
import itertools
import math
import time
from collections import deque
from typing import Final

from drumigen.units import Seconds
from drumigen_daemon.engine.output_protocol import NOTES_PORT
from drumigen_daemon.ports import OVERDUE, Backend
from drumigen_daemon.ports.midi import is_note_on

SPIN: Final = 0.0004
"""Seconds before a message that are spent awake."""
OUTPUT_LEAD: Final = Seconds(0.010)


class TimedOutput:
    """The queue of a backend that has none: keeps each message, and waits for its time itself."""

    lead = OUTPUT_LEAD

    def __init__(self, backend: Backend) -> None:
        """Send through ``backend``, which sends at once."""
        self._send = backend.send
        # (moment, whether it may come second, sequence, time, port, data), a heap
        self._queue: list[tuple[float, bool, int, Seconds, str, bytes]] = []
        self._order = itertools.count()
        self.lateness: deque[float] = deque(maxlen=4096)
        """Seconds from each note's time to its sending."""
        self.dropped = 0
        """Note-ons that were overdue when we came to them, as after a stall, and did not leave."""

    @property
    def due(self) -> float:
        """When the next message is to leave; infinite if none is kept."""
        return self._queue[0][0] if self._queue else math.inf

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Have ``data`` leave ``port`` at ``at``; what is past by now is due now."""
        at = max(at, Seconds(time.monotonic()))
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
            if left < -OVERDUE and is_note_on(data):
                self.dropped += 1
                continue
            while (now := monotonic()) < at:
                pass
            self._send(port, data, at)
            if is_note_on(data):
                self.lateness.append(now - at)
