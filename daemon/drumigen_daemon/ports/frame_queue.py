"""What waits for its frame in a JACK client: sans I/O, told of each cycle as JACK's thread is.

The law of everything that stalls: what is long overdue when the cycles go on is dropped and
counted, never fired, and what may still ring is ended.
"""

import heapq
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from drumigen.midi.status import NOTE_OFF
from drumigen.units import Seconds
from drumigen_daemon.ports import OVERDUE
from drumigen_daemon.ports.midi import is_note_on, note_off
from drumigen_daemon.ports.timebase import Timebase

OnWritten = Callable[[int, int], None]

CYCLE_EVENTS_MAX: Final = 128
"""Events written in one cycle at most: thousands would outlast it and be lost altogether."""

SLEW: Final = 1e-3
"""By which ratio we run fast or slow until lost frames are made up for; no ear hears it."""

RECENT: Final = 0.5
"""Seconds for which it is remembered which notes were ended: a graph that changes its driver may
have lost what we wrote just before."""


class Buffer(Protocol):
    """An output's buffer of the present cycle, as JACK-Client has it."""

    def clear_buffer(self) -> None:
        """Empty it."""

    def reserve_midi_event(self, time: int, size: int, /) -> "memoryview | Sequence[int]":
        """Return room for ``size`` bytes at frame ``time`` of the cycle; nothing if it is full."""


class FrameQueue:
    """Messages by their time, written cycle by cycle on their frames.

    Two threads use it: one sends and withdraws, JACK's writes.  Times become frames only when
    written, so what has one time keeps its order.
    """

    def __init__(
        self,
        rate: int,
        buffers: Sequence[Buffer],
        on_written: OnWritten | None = None,
        *,
        all_skip: bool = False,
    ) -> None:
        """Write to ``buffers``; report each (intended frame, written frame) to ``on_written``.

        ``all_skip`` says that frames which are skipped are skipped for everybody, as by PipeWire
        when the quantum changes; on jackd it is only we who missed the cycles between.
        """
        # JACK loses time in a missed cycle, for everybody on it: what keeps its frames is in time
        self.timebase = Timebase(rate, SLEW)
        self.dropped = 0
        """Strokes that were long overdue when their cycle came, and did not leave."""
        self._rate = rate
        self._all_skip = all_skip
        self._buffers = buffers
        self._on_written = on_written
        # (time, sequence, index of the buffer, data), a heap.  Two threads use it without a lock:
        # a heap operation on tuples that differ in their numbers is one step under the GIL.
        self._queue: list[tuple[Seconds, int, int, bytes]] = []
        # held for microseconds, by whoever takes more than one step at the queue
        self._sorting = threading.Lock()
        self._sequence = itertools.count()
        self._end: int | None = None
        # buffers with something of the cycle before; one that was cleared stays clear
        self._to_clear: set[int] = set()
        # when notes were ended that were not begun again: by buffer, and the message that did it
        self._ended: dict[tuple[int, bytes], Seconds] = {}
        self._draining = False

    def send(self, buffer: int, data: bytes, at: Seconds) -> None:
        """Queue ``data`` for the frame at ``at``."""
        heapq.heappush(self._queue, (at, next(self._sequence), buffer, data))

    def withdraw(self, now: float) -> Seconds:
        """Take back what is neither due yet nor in the cycle under way; return where that ends."""
        # what belongs to the cycle under way must stay: its notes have been struck
        with self._sorting:
            end = self.timebase.to_monotonic(self._end or 0)
            # what is due by now counts as played, though a late cycle has yet to take it
            horizon = max(end, now)
            self._queue[:] = [event for event in self._queue if event[0] < horizon]
            heapq.heapify(self._queue)
        return Seconds(horizon)

    def drain(self) -> None:
        """Begin no note any more, and let the next cycle have all that is left."""
        with self._sorting:
            self._draining = True

    def end_again(self) -> None:
        """Send the note-offs of late once more, for who missed the cycle that they were in."""
        with self._sorting:
            self._end_again(-math.inf)

    @property
    def drained(self) -> bool:
        """Whether a cycle has taken everything, and those who listen have had theirs."""
        return not self._queue and not self._to_clear

    def refresh(self) -> None:
        """Clear every buffer in the next cycle: after a change of their size they hold anything."""
        self._to_clear.update(range(len(self._buffers)))

    def change_rate(self, rate: int) -> None:
        """Count ``rate`` frames a second from now on."""
        if rate != self._rate:
            with self._sorting:
                self._rate = rate
                self.timebase = Timebase(rate, SLEW)

    def run(self, start: int, frames: int, now: float) -> None:
        """Write what is due in the cycle of ``frames`` from ``start`` on, called at ``now``."""
        timebase = self.timebase
        skipped = self._end not in (None, start)
        self._end = start + frames
        restarts = timebase.is_astray(now, start)
        if restarts:
            # a cycle that goes on where the last one ended is that of a server that was stopped
            timebase.restart(now, start, another=skipped)
        elif skipped and self._all_skip:
            timebase.suspect(skipped=True)
        if start >= timebase.wanted:
            timebase.observe(now, start)
        while self._to_clear:
            self._buffers[self._to_clear.pop()].clear_buffer()
        if restarts or self._draining or self._is_due(start + frames):
            with self._sorting:
                if restarts:
                    self._end_again(now - RECENT)
                if self._draining:
                    self._hurry(now)
                self._write_due(start, start + frames)

    def _is_due(self, end: int) -> bool:
        first = self._queue[:1]  # in one step, for another thread may empty the queue
        return bool(first) and round(self.timebase.to_base(first[0][0])) < end

    def _write_due(self, start: int, end: int) -> None:
        queue, timebase, buffers = self._queue, self.timebase, self._buffers
        overdue = start - OVERDUE * self._rate
        for _ in range(CYCLE_EVENTS_MAX):
            if not queue or round(timebase.to_base(queue[0][0])) >= end:
                break
            # what is due has the earliest time, but another one may have been queued just now
            event = heapq.heappop(queue)
            at, _, index, data = event
            frame = round(timebase.to_base(at))
            if frame < overdue and is_note_on(data):
                self.dropped += 1
                continue
            offset = max(frame - start, 0)
            room = buffers[index].reserve_midi_event(offset, len(data))
            if not room:
                heapq.heappush(queue, event)  # the buffer of this cycle is full
                break
            room[:] = data  # type: ignore[index]
            self._to_clear.add(index)
            self._remember(index, data, at)
            if self._on_written is not None:
                self._on_written(frame, start + offset)

    def _remember(self, index: int, data: bytes, at: Seconds) -> None:
        if data[0] & 0xF0 == NOTE_OFF:
            self._ended[index, data] = at
        elif is_note_on(data):
            self._ended.pop((index, note_off(data)), None)

    def _end_again(self, since: float) -> None:
        """Send again the note-offs since then: with its driver the graph may have lost them."""
        for (index, data), at in self._ended.items():
            if at > since:
                self.send(index, data, Seconds(0.0))  # before what begins now
        self._ended.clear()

    def _hurry(self, now: float) -> None:
        """Let what ends notes and all else leave now, in order; nothing begins any more."""
        held = sorted(self._queue)
        self._queue.clear()
        for at, _, index, data in held:
            if not is_note_on(data):
                self.send(index, data, Seconds(min(at, now)))
