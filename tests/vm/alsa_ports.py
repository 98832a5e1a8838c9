"""Acceptance of the ALSA backend against a real kernel sequencer; needs only the installed wheel.

Run it as root or in the group audio on any Debian machine or guest with ``/dev/snd/seq``::

    python3 tests/vm/alsa_ports.py

It prints a line for each law and figure and exits 1 if a law is broken.  Timing is judged by the
kernel's own stamps, at a second client; the plug and unplug part runs where a command ``usbmidi``
(``plug NAME``, ``unplug``) simulates a USB MIDI interface, and is skipped with a line elsewhere.
The limits on timing hold on an idle machine.
"""

# ruff: noqa: T201 - what it prints is the point

import faulthandler
import select
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable

import alsa_midi

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import PortChange, PortPlan, VirtualPort
from drumigen_daemon.ports.alsa import AlsaBackend, probe
from drumigen_daemon.ports.choose import choose, survey
from drumigen_daemon.ports.rtmidi import RtMidiBackend

PLAN = PortPlan(
    inputs=(VirtualPort("in", ("master", "Drum Machine")),),
    outputs=(VirtualPort("out", ("listener:ears", "Drum Machine")), VirtualPort("clock")),
)
failures: list[str] = []


def law(name: str, held: object, detail: object = "") -> None:
    print(f"{'ok    ' if held else 'BROKEN'} {name} {detail}", flush=True)
    if not held:
        failures.append(name)


class Heard:
    def __init__(self) -> None:
        self.events: list[tuple[str, bytes, Seconds]] = []

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        self.events.append((source, data, at))


class Other:
    """A second client, with a queue of its own to stamp what it hears."""

    def __init__(self, name: str) -> None:
        self.client = alsa_midi.SequencerClient(name)
        self.client.set_client_pool_input(2000)
        self.client.set_client_pool_output(2000)
        self.queue = self.client.create_queue(name)
        self.queue.start()
        self.client.drain_output()
        self.ears = self.client.create_port(
            "ears",
            alsa_midi.WRITE_PORT,
            timestamping=True,
            timestamp_real=True,
            timestamp_queue=self.queue,
        )
        self.voice = self.client.create_port("voice", alsa_midi.READ_PORT)

    def offset(self) -> float:
        """Return monotonic time less queue time, from the quickest of some readings."""
        readings = []
        for _ in range(50):
            before = time.monotonic()
            stamp = float(self.queue.get_status().real_time)
            after = time.monotonic()
            readings.append((after - before, (before + after) / 2 - stamp))
        return min(readings)[1]

    def heard(self) -> list[tuple[float, bytes]]:
        events = []
        while self.client.event_input_pending(fetch_sequencer=True):
            event = self.client.event_input(prefer_bytes=True)
            if isinstance(event, alsa_midi.MidiBytesEvent):
                events.append((float(event.time), bytes(event.midi_bytes)))
        return events

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.client.event_output(
                alsa_midi.MidiBytesEvent(message), port=self.voice, dest=alsa_midi.ALL_SUBSCRIBERS
            )
        self.client.drain_output()

    def close(self) -> None:
        self.client.close()


def settle(backend: AlsaBackend, seconds: float) -> list[PortChange]:
    """Live as the engine does for a while: wait for the descriptors, check twice a second."""
    changes: list[PortChange] = []
    end = time.monotonic() + seconds
    next_check = time.monotonic()
    while (now := time.monotonic()) < end:
        if now >= next_check:
            changes += backend.check()
            next_check = now + 0.5
        if select.select(list(backend.filenos()), [], [], min(0.05, end - now))[0]:
            backend.receive()
    return changes


def quantiles(errors: Iterable[float]) -> str:
    ordered = sorted(errors)
    count = len(ordered)
    return (
        f"P50 {statistics.median(ordered) * 1e6:+.0f} P95 {ordered[count * 95 // 100] * 1e6:+.0f} "
        f"P99 {ordered[count * 99 // 100] * 1e6:+.0f} min {ordered[0] * 1e6:+.0f} "
        f"max {ordered[-1] * 1e6:+.0f} us"
    )


def notes_leave_on_time_and_in_order(backend: AlsaBackend, listener: Other) -> None:
    settle(backend, 3.0)
    listener.heard()
    start = time.monotonic() + 0.05
    intended = []
    sent = 0
    count = 600
    checks = []
    next_check = start
    while sent < count:
        at = start + sent * 0.00517
        now = time.monotonic()
        if now >= next_check:
            backend.check()
            next_check = now + 0.5
            checks.append(time.monotonic() - now)
        if now < at - backend.lead - 0.05:
            time.sleep(0.002)
            continue
        backend.send("out", bytes((0x99, sent % 128, 100)), Seconds(at))
        backend.send("out", bytes((0x89, sent % 128, 0)), Seconds(at))
        intended += [at, at]
        sent += 1
    settle(backend, 0.2)
    heard = listener.heard()
    law("every note arrives", len(heard) == 2 * count, f"{len(heard)} of {2 * count}")
    in_order = [data[:2] for _, data in heard] == [
        bytes((status, k % 128)) for k in range(count) for status in (0x99, 0x89)
    ]
    law("in order, note on before its note off of the same time", in_order)
    offset = listener.offset()
    errors = [stamp + offset - at for (stamp, _), at in zip(heard, intended, strict=False)]
    law("they leave on time", sorted(map(abs, errors))[len(errors) * 99 // 100] < 1e-3)
    print(f"       lateness of {len(errors)} notes: {quantiles(errors)}")
    print(f"       slowest of {len(checks)} checks: {max(checks) * 1e3:.1f} ms")


def what_is_far_ahead_plays_itself(backend: AlsaBackend, listener: Other) -> None:
    listener.heard()
    start = time.monotonic() + 0.3
    for k in range(200):
        backend.send("out", bytes((0x99, k % 128, 100)), Seconds(start + k * 0.005))
    time.sleep(1.5)  # as if Python hung
    heard = listener.heard()
    law("200 notes play themselves while Python sleeps", len(heard) == 200, len(heard))
    offset = listener.offset()
    errors = [stamp + offset - (start + k * 0.005) for k, (stamp, _) in enumerate(heard)]
    print(f"       lateness: {quantiles(errors)}")


def past_and_floods(backend: AlsaBackend, listener: Other) -> None:
    listener.heard()
    now = time.monotonic()
    for k in range(20):
        backend.send("out", bytes((0x99, k, 100)), Seconds(now - 0.5))
    settle(backend, 0.1)
    law("the past leaves at once, in order", [d[1] for _, d in listener.heard()] == [*range(20)])

    # the kernel holds 2,000 for us and 2,000 for the listener
    flood = [bytes((0x80 | k % 16, k // 16 % 128, 0)) for k in range(3_000)]
    now = time.monotonic() + 2
    slowest = 0.0
    heard: list[bytes] = []
    for index, message in enumerate(flood):
        before = time.monotonic()
        backend.send("out", message, Seconds(now + index * 0.0005))
        slowest = max(slowest, time.monotonic() - before)
        if index % 100 == 0:
            heard += [data for _, data in listener.heard()]
    end = time.monotonic() + 20
    while len(heard) < len(flood) and time.monotonic() < end:
        backend.receive()
        time.sleep(0.01)
        heard += [data for _, data in listener.heard()]
    law("a flood beyond the kernel's pool arrives whole", heard == flood, f"{len(heard)} of 3000")
    law("no send blocks", slowest < 0.05, f"slowest {slowest * 1e3:.2f} ms")


def withdrawal(backend: AlsaBackend, listener: Other) -> None:
    listener.heard()
    now = time.monotonic()
    times = [now + 0.05 + k * 0.001 for k in range(200)]
    for k, at in enumerate(times):
        backend.send("out", bytes((0x99, k % 128, 1 + k // 128)), Seconds(at))
    time.sleep(0.1)
    horizon = backend.withdraw()
    backend.send("out", b"\x99\x7f\x7f", Seconds(now + 0.4))
    time.sleep(0.5)
    heard = [data for _, data in listener.heard()]
    expected = [bytes((0x99, k % 128, 1 + k // 128)) for k, at in enumerate(times) if at < horizon]
    law(
        "what was withdrawn never leaves, and all before the horizon does",
        heard == [*expected, b"\x99\x7f\x7f"] and 0 < len(expected) < 200,
        f"{len(expected)} were due before, {len(heard) - 1} left",
    )


def input_is_stamped_when_it_came(backend: AlsaBackend, inbox: Heard, master: Other) -> None:
    settle(backend, 0.2)
    inbox.events.clear()
    bounds = []
    for _ in range(50):
        before = time.monotonic()
        master.say(b"\xf8")
        bounds.append((before, time.monotonic()))
        time.sleep(0.005)
    time.sleep(0.05)  # we read late; the kernel's stamps do not care
    backend.receive()
    stamps = [at for _, _, at in inbox.events]
    law("every clock is heard", len(stamps) == 50, len(stamps))
    slack = 0.0002
    outside = [max(a - at, at - b) for (a, b), at in zip(bounds, stamps, strict=False)]
    law("stamped when it was sent, however late we read", max(outside, default=1.0) < slack)
    print(
        f"       before or after it was sent by at most {max(outside, default=1.0) * 1e6:+.0f} us"
    )
    law(
        "named by its sender",
        {source for source, _, _ in inbox.events} == {"master:voice"},
        inbox.events[:1],
    )
    inbox.events.clear()
    master.say(b"\xf0\x01\x02\xf7", b"\xfe", b"\xfa", b"\xf2\x10\x20", b"\x99\x24\x64", b"\xfc")
    settle(backend, 0.1)
    law(
        "SysEx and active sensing stay outside, all else is whole",
        [data for _, data, _ in inbox.events]
        == [b"\xfa", b"\xf2\x10\x20", b"\x99\x24\x64", b"\xfc"],
        [data.hex() for _, data, _ in inbox.events],
    )


def two_masters(backend: AlsaBackend, inbox: Heard, master: Other) -> None:
    second = Other("second master")
    law(
        "a second master is connected when it comes",
        PortChange("in", "second master:voice", up=True) in settle(backend, 1.0),
    )
    inbox.events.clear()
    master.say(b"\xf8")
    second.say(b"\xfa")
    settle(backend, 0.1)
    law(
        "two masters are told apart",
        [(source, data) for source, data, _ in inbox.events]
        == [("master:voice", b"\xf8"), ("second master:voice", b"\xfa")],
    )
    second.close()
    law(
        "a master that went is reported",
        PortChange("in", "second master:voice", up=False) in settle(backend, 1.0),
    )


def hot_plug(backend: AlsaBackend) -> None:
    usbmidi = shutil.which("usbmidi")
    if usbmidi is None:
        print("skip   plug and unplug: there is no command usbmidi here")
        return
    for turn in (1, 2, 3):
        subprocess.run([usbmidi, "plug", "Drum Machine"], check=True)
        came = changes_of_both_ports(backend)
        law(
            f"a plugged interface is connected both ways, turn {turn}",
            came == {("in", True), ("out", True)},
            came,
        )
        subprocess.run([usbmidi, "unplug"], check=True)
        went = changes_of_both_ports(backend)
        law(
            f"and its unplugging reported, turn {turn}",
            went == {("in", False), ("out", False)},
            went,
        )


def changes_of_both_ports(backend: AlsaBackend) -> set[tuple[str, bool]]:
    """Return what is reported of the interface, as (our port, up), once it is for both ports."""
    changes: set[tuple[str, bool]] = set()
    end = time.monotonic() + 15
    while len(changes) < 2 and time.monotonic() < end:
        changes |= {
            (change.port, change.up)
            for change in settle(backend, 0.1)
            if "Drum Machine" in change.peer
        }
    return changes


def rtmidi_over_alsa() -> None:
    inbox = Heard()
    backend = RtMidiBackend("alsa")
    plan = PortPlan(
        client="drumigen-rt",
        inputs=(VirtualPort("in", ("master:voice",)),),
        outputs=(VirtualPort("out", ("listener:ears",)),),
    )
    backend.open(plan, inbox)
    listener, master = Other("listener"), Other("master")
    changes = list(backend.check())
    law("rtmidi opens ports by pattern", len(changes) == 2 and all(c.up for c in changes), changes)
    backend.send("out", b"\x99\x24\x64", Seconds(time.monotonic()))
    master.say(b"\xf8")
    time.sleep(0.1)
    law("rtmidi sends", [data for _, data in listener.heard()] == [b"\x99\x24\x64"])
    law("rtmidi hears the clock", [data for _, data, _ in inbox.events] == [b"\xf8"], inbox.events)
    listener.close()
    changes = list(backend.check())
    law("rtmidi reports a port that went", [c.up for c in changes] == [False], changes)
    backend.close()
    rtmidi_closes_beside_a_clock(plan, master)
    master.close()


def rtmidi_closes_beside_a_clock(plan: PortPlan, master: Other) -> None:
    """Whoever closes while a thread of RtMidi waits to call us may wait for ever."""
    faulthandler.dump_traceback_later(120, exit=True)
    inbox = Heard()
    for _ in range(20):
        backend = RtMidiBackend("alsa")
        backend.open(plan, inbox)
        for k in range(100):  # by the kernel, whatever Python does
            pulse = alsa_midi.MidiBytesEvent(
                b"\xf8", time=alsa_midi.RealTime(0, 400_000 * k), relative=True
            )
            master.client.event_output(
                pulse, queue=master.queue, port=master.voice, dest=alsa_midi.ALL_SUBSCRIBERS
            )
        master.client.drain_output()
        busy = time.monotonic() + 0.003  # so that RtMidi's thread waits for the interpreter
        while time.monotonic() < busy:
            pass
        backend.close()
    faulthandler.cancel_dump_traceback_later()
    # that it got here is the law; how many pulses a life hears before its end is chance
    law("rtmidi closes while a clock runs", bool(inbox.events), len(inbox.events))


def main() -> int:
    for report in survey():
        print(f"       {report}")
    law("the sequencer is found", "ALSA sequencer" in probe())
    law("auto takes ALSA where no JACK server runs", choose("auto").name == "alsa")
    before = {port.client_name for port in Other("looker").client.list_ports()}
    law("nothing of the survey stays behind", not any("drumigen" in name for name in before))

    inbox = Heard()
    listener, master = Other("listener"), Other("master")
    backend = AlsaBackend()
    backend.open(PLAN, inbox)
    changes = settle(backend, 0.7)
    law(
        "what is there is connected at once",
        {(change.port, change.peer) for change in changes}
        == {("in", "master:voice"), ("out", "listener:ears")},
        changes,
    )
    try:
        AlsaBackend().open(PLAN, inbox)
    except PortError as error:
        law("a second drumigen is told so", "stop the other drumigen" in str(error), error)
    else:
        law("a second drumigen is told so", held=False)
    notes_leave_on_time_and_in_order(backend, listener)
    what_is_far_ahead_plays_itself(backend, listener)
    past_and_floods(backend, listener)
    withdrawal(backend, listener)
    input_is_stamped_when_it_came(backend, inbox, master)
    two_masters(backend, inbox, master)
    hot_plug(backend)
    backend.close()
    backend.close()
    settle_names = {port.client_name for port in listener.client.list_ports()}
    law("closing leaves nothing behind", "drumigen" not in settle_names)
    listener.close()
    master.close()
    rtmidi_over_alsa()
    print(f"{len(failures)} laws broken" if failures else "all laws hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
