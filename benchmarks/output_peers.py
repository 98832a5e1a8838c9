"""The peers of ``output_jitter.py``: sixteenths at 174 BPM by mido, isobar or plain asyncio.

``floor`` is none of them: it does nothing but sleep and spin, and shows what the machine permits.

``python output_peers.py NAME NOTES`` prints a JSON list with the seconds by which each note-on
was late.  With ``--jack CLIENT`` the notes also leave through RtMidi's JACK client of that name:
it says ``ready``, and begins at the first line on standard input.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import mido

TEMPO: Final = 174.0
SIXTEENTH: Final = 60.0 / TEMPO / 4
"""Seconds."""
SPIN: Final = 0.0004
"""Seconds."""
NOTE: Final = 42
ON: Final = bytes([0x99, NOTE, 100])
OFF: Final = bytes([0x89, NOTE, 0])

Send = Callable[[bytes, float], None]
"""Takes a message and the monotonic time at which it should leave."""


def play_mido(notes: int, send: Send) -> None:
    """Play a file; its grid begins when ``play`` reads the clock first."""
    half = 60  # MIDI ticks, of 480 a beat
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO), time=0)])
    for number in range(notes):
        wait = half if number else 0
        track.append(mido.Message("note_on", channel=9, note=NOTE, velocity=100, time=wait))
        track.append(mido.Message("note_off", channel=9, note=NOTE, time=half))
    file = mido.MidiFile(type=0, ticks_per_beat=480, tracks=[track])
    readings: list[float] = []

    def clock() -> float:
        now = time.monotonic()
        if not readings:
            readings.append(now)
        return now

    since = 0.0
    for message in file.play(now=clock):
        since += message.time
        send(ON if message.type == "note_on" else OFF, readings[0] + since)


def play_isobar(notes: int, send: Send) -> None:
    """Play a timeline of isobar's; its first tick is due one tick after its clock begins."""
    import isobar  # noqa: PLC0415 - it takes a second

    class AnchoredClock(isobar.Clock):  # type: ignore[misc]
        """isobar's clock, with the time at which it began."""

        def run(self) -> None:
            """Tick until stopped."""
            self.begun = time.monotonic()
            super().run()

    clock = AnchoredClock(tempo=TEMPO)
    left = iter(range(notes))

    class Device(isobar.OutputDevice):  # type: ignore[misc]
        """Hands everything to ``send``."""

        number = 0

        def note_on(self, note: int = NOTE, velocity: int = 100, channel: int = 9) -> None:
            """Send a note-on."""
            del note, velocity, channel
            if next(left, None) is None:
                raise StopIteration
            tick = 60.0 / (TEMPO * clock.ticks_per_beat)
            send(ON, clock.begun + tick + self.number * SIXTEENTH)
            self.number += 1

        def note_off(self, note: int = NOTE, channel: int = 9) -> None:
            """Send a note-off; they are not judged."""
            del note, channel
            send(OFF, 0.0)

    timeline = isobar.Timeline(TEMPO, output_device=Device(), clock_source=clock)
    timeline.stop_when_done = True
    timeline.schedule(
        {"note": isobar.PSequence([NOTE], notes), "duration": 0.25, "gate": 0.5, "channel": 9}
    )
    timeline.run()


def play_asyncio(notes: int, send: Send) -> None:
    """Play by ``call_at``, each note asking for the next."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        begun = loop.time() + SIXTEENTH

        def play(number: int) -> None:
            due = begun + number * SIXTEENTH
            send(ON, due)
            loop.call_at(due + SIXTEENTH / 2, send, OFF, due + SIXTEENTH / 2)
            if number + 1 < notes:
                loop.call_at(due + SIXTEENTH, play, number + 1)
            else:
                loop.call_at(due + SIXTEENTH, done.set)

        loop.call_at(begun, play, 0)
        await done.wait()

    asyncio.run(run())


def play_floor(notes: int, send: Send) -> None:
    """Sleep until shortly before each note, then look at the clock until its time has come."""
    begun = time.monotonic() + SIXTEENTH
    for number in range(2 * notes):
        due = begun + number * SIXTEENTH / 2
        time.sleep(max(0.0, due - time.monotonic() - SPIN))
        while time.monotonic() < due:
            pass
        send(OFF if number % 2 else ON, due)


PEERS: Final[Mapping[str, Callable[[int, Send], None]]] = {
    "mido": play_mido,
    "isobar": play_isobar,
    "asyncio": play_asyncio,
    "floor": play_floor,
}


def main() -> None:
    """Run one peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("notes", type=int)
    parser.add_argument("--jack")
    parser.add_argument("--priority", type=int, default=0)
    options = parser.parse_args()
    if options.priority:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.priority))
    lateness: list[float] = []
    monotonic = time.monotonic
    port = None
    if options.jack:
        import rtmidi  # noqa: PLC0415 - at the sink there need not be any

        port = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, options.jack)
        port.open_virtual_port("out")
        print("ready", flush=True)
        sys.stdin.readline()

    def send(data: bytes, due: float) -> None:
        now = monotonic()
        if port is not None:
            port.send_message(data)
        if data is ON:
            lateness.append(now - due)

    PEERS[options.name](options.notes, send)
    print(json.dumps(lateness), flush=True)
    if port is not None:
        time.sleep(0.1)  # what was sent last waits for the next period
        port.close_port()
        port.delete()


if __name__ == "__main__":
    main()
