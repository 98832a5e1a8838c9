"""A process of its own on a JACK server: records MIDI by the frame, and leads the transport.

Run by tests and benchmarks as ``python jack_stage.py NAME``.  Takes one JSON command a line on
standard input and answers each with one line: ``{"do": "connect", "args": [from, to]}``, and so
on for the methods of :class:`Stage`.
"""

import json
import math
import sys
import time
from typing import Any

import jack

PORTS = ("notes", "clock")
BREAK = 0.05
"""Seconds by which a cycle must be late for the cycles to have been broken off."""


class Stage:
    """Two MIDI inputs to record with, one output to play with, and the transport's tempo map."""

    def __init__(self, name: str) -> None:
        self.client: Any = jack.Client(name, use_exact_name=True, no_start_server=True)
        self.inputs = [self.client.midi_inports.register(port) for port in PORTS]
        self.voice: Any = self.client.midi_outports.register("voice")
        self.events: list[tuple[str, int, float, tuple[int, ...]]] = []
        self.script: list[tuple[int, bytes]] = []
        self.xruns: list[int] = []
        self.breaks: list[tuple[float, float]] = []
        """From when to when there were no cycles, for more than ``BREAK`` seconds, or until they
        came with other frames."""
        self._expected = (0, 0.0)
        self._pulse_due, self._pulse_period = math.inf, 0.0
        self.bpm = 120.0
        self.anchor = (0, 0.0)
        """Transport frame and beat at which the present tempo began."""
        self.client.set_process_callback(self._process)
        self.client.set_xrun_callback(self._xrun)
        self.client.activate()

    def _process(self, frames: int) -> None:
        start = self.client.last_frame_time
        now = time.monotonic()
        if start != self._expected[0] or now > self._expected[1] + BREAK:
            self.breaks.append((min(self._expected[1], now), now))
        self._expected = start + frames, now + frames / self.client.samplerate
        for name, port in zip(PORTS, self.inputs, strict=True):
            for offset, data in port.incoming_midi_events():
                at = now + offset / self.client.samplerate
                self.events.append((name, start + offset, at, tuple(bytes(data))))
        self.voice.clear_buffer()
        while self.script and self.script[0][0] < start + frames:
            frame, data = self.script.pop(0)
            self.voice.write_midi_event(max(0, frame - start), data)
        self._write_pulses(now, frames)

    def _write_pulses(self, now: float, frames: int) -> None:
        # what was due in a break comes at once, as from an interface that went on hearing
        rate = self.client.samplerate
        while self._pulse_due < now + frames / rate:
            offset = min(frames - 1, max(0, round((self._pulse_due - now) * rate)))
            self.voice.write_midi_event(offset, b"\xf8")
            self._pulse_due += self._pulse_period

    def _xrun(self, _delay: float) -> None:
        self.xruns.append(self.client.frame_time)

    def _timebase(self, _state: int, _frames: int, position: Any, new: bool) -> None:  # noqa: ANN401, FBT001
        frame, beat = self.anchor
        rate = self.client.samplerate
        if new:
            self.anchor = frame, beat = (0, 0.0) if position.frame < frame else self.anchor
        beats = beat + (position.frame - frame) / rate * self.bpm / 60.0
        position.valid = jack._lib.JackPositionBBT
        position.bar = int(beats // 4) + 1
        position.beat = int(beats % 4) + 1
        position.tick = int((beats % 1) * 1920)
        position.bar_start_tick = (position.bar - 1) * 4 * 1920
        position.beats_per_bar = 4
        position.beat_type = 4
        position.ticks_per_beat = 1920
        position.beats_per_minute = self.bpm

    def connect(self, source: str, target: str) -> None:
        """Connect two ports; waits some seconds for them to appear."""
        for _ in range(200):
            try:
                self.client.connect(source, target)
            except jack.JackError:
                time.sleep(0.05)
            else:
                return
        self.client.connect(source, target)

    def disconnect(self, source: str, target: str) -> None:
        self.client.disconnect(source, target)

    def lead(self, bpm: float) -> None:
        """Become timebase master."""
        self.bpm = bpm
        self.client.set_timebase_callback(self._timebase)

    def tempo(self, bpm: float) -> None:
        frame = self.client.transport_frame
        beats = self.anchor[1] + (frame - self.anchor[0]) / self.client.samplerate * self.bpm / 60
        self.anchor, self.bpm = (frame, beats), bpm

    def start(self) -> None:
        self.client.transport_start()

    def stop(self) -> None:
        self.client.transport_stop()

    def locate(self, frame: int) -> None:
        self.client.transport_locate(frame)

    def play(self, events: list[tuple[float, list[int]]]) -> int:
        """Play messages (seconds from now, bytes) on their frames; return the frame of now."""
        now: int = self.client.frame_time + 2 * self.client.blocksize
        rate = self.client.samplerate
        self.script += [(now + round(at * rate), bytes(data)) for at, data in events]
        return now

    def clock(self, bpm: float) -> float:
        """Begin to send clock by monotonic time, whatever the frames do, and return since when."""
        begun = time.monotonic() + 0.1
        self._pulse_period = 60.0 / bpm / 24
        self._pulse_due = begun
        return begun

    def say(self, message: list[int]) -> None:
        """Send a message in the next cycle."""
        self.script.append((0, bytes(message)))

    def silence(self) -> None:
        """Send no more clock."""
        self._pulse_due = math.inf

    def now(self) -> float:
        return time.monotonic()

    def dump(self) -> dict[str, Any]:
        """Return what was heard since the last time, and the frames of xruns."""
        events, self.events = self.events, []
        xruns, self.xruns = self.xruns, []
        breaks, self.breaks = self.breaks, []
        rate = self.client.samplerate
        return {"events": events, "xruns": xruns, "rate": rate, "breaks": breaks}


def main() -> None:
    jack.set_error_function(lambda _: None)
    stage = Stage(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        result = getattr(stage, command["do"])(*command.get("args", ()))
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    stage.client.close()


if __name__ == "__main__":
    main()
