"""The rtmidi backend over JACK on a real server: ports, stamps, hot-plug, death and return."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import PortChange, PortPlan, VirtualPort
from drumigen_daemon.ports.rtmidi import RtMidiBackend, probe
from fixtures_jack import Heard, JackServer, PeerProcess, wait_for

pytestmark = pytest.mark.jack

pytest.importorskip("rtmidi", reason="no wheel beyond Python 3.12: build the extra")

NOTE = b"\x99\x24\x64"
PLAN = PortPlan(
    inputs=(VirtualPort("in", ("peer:voice",)),),
    outputs=(VirtualPort("out", ("peer:ears",)), VirtualPort("clock")),
)
NAMES = ["drumigen-clock:clock", "drumigen-in:in", "drumigen:out"]


class Rig:
    def __init__(self, server: JackServer) -> None:
        self.server = server
        self.inbox = Heard()
        self.backend = RtMidiBackend("jack")
        self.peer: PeerProcess | None = None

    def start(self, plan: PortPlan = PLAN) -> PeerProcess:
        self.server.start(256)
        self.peer = PeerProcess()
        self.backend.open(plan, self.inbox)
        self.backend.check()
        return self.peer

    def close_peer(self) -> None:
        if self.peer is not None:
            self.peer.close()
            self.peer = None

    def check_until(self, change: PortChange) -> list[PortChange]:
        seen: list[PortChange] = []

        def reported() -> bool:
            seen.extend(self.backend.check())
            return change in seen

        wait_for(reported, 5, f"never reported: {change}")
        return seen


@pytest.fixture
def rig(jack_server: JackServer) -> Iterator[Rig]:
    rig = Rig(jack_server)
    yield rig
    rig.backend.close()
    rig.close_peer()


def now() -> Seconds:
    return Seconds(time.monotonic())


def test_the_ports_bear_stable_and_distinct_names(rig: Rig) -> None:
    peer = rig.start(PortPlan())
    names = peer.port_names()
    assert sorted(name for name in names if name.startswith("drumigen")) == NAMES


def test_messages_leave_at_once_and_in_order(rig: Rig) -> None:
    peer = rig.start()
    for k in range(50):
        rig.backend.send("out", bytes((0x99, k, 100)), now())
    wait_for(lambda: len(peer.heard) == 50, 3, "not all notes came")
    assert [data[1] for _, data in peer.heard] == list(range(50))


def test_a_port_made_by_pattern_and_the_virtual_port_both_hear_us(rig: Rig) -> None:
    peer = rig.start()
    peer.connect("drumigen:out", "peer:ears")
    rig.backend.send("out", NOTE, now())
    wait_for(lambda: len(peer.heard) == 2, 3, "the note did not come twice")


def test_clock_is_heard_and_stamped_and_its_source_named(rig: Rig) -> None:
    peer = rig.start()
    before = now()
    peer.play_soon([b"\xfa", b"\xf8", NOTE])
    wait_for(lambda: len(rig.inbox.events) == 3, 3, "not everything was heard")
    after = now()
    assert [data for _, data, _ in rig.inbox.events] == [b"\xfa", b"\xf8", NOTE]
    assert {source for source, _, _ in rig.inbox.events} == {"peer:voice"}
    assert all(before < at < after for _, _, at in rig.inbox.events)


def test_sysex_and_active_sensing_stay_outside(rig: Rig) -> None:
    peer = rig.start()
    peer.play_soon([b"\xf0\x01\xf7", b"\xfe", b"\xf8"])
    wait_for(lambda: rig.inbox.events, 3, "nothing was heard")
    assert [data for _, data, _ in rig.inbox.events] == [b"\xf8"]


def test_peers_are_opened_whenever_they_come_and_reported_both_ways(rig: Rig) -> None:
    rig.start()
    rig.close_peer()
    assert sorted(rig.backend.check(), key=str) == [
        PortChange("in", "peer:voice", up=False),
        PortChange("out", "peer:ears", up=False),
    ]
    rig.backend.send("out", NOTE, now())
    rig.peer = PeerProcess()
    assert sorted(rig.backend.check(), key=str) == [
        PortChange("in", "peer:voice", up=True),
        PortChange("out", "peer:ears", up=True),
    ]
    rig.backend.send("out", NOTE, now())
    wait_for(lambda: rig.peer and rig.peer.heard, 3, "the note did not come")


def test_the_ports_of_a_peer_that_went_are_closed_by_and_by(rig: Rig) -> None:
    rig.start()
    rig.close_peer()
    rig.backend.check()
    rig.peer = onlooker = PeerProcess("onlooker")

    def ours() -> list[str]:
        rig.backend.check()
        return [name for name in onlooker.port_names() if name.startswith("drumigen")]

    assert len(ours()) == 5
    wait_for(lambda: sorted(ours()) == NAMES, 3, "ports of a peer that went are left")


def test_a_pattern_that_matches_everything_never_feeds_us_ourselves(rig: Rig) -> None:
    everything = PortPlan(
        inputs=(VirtualPort("in", ("*",)),), outputs=(VirtualPort("out", ("*",)),)
    )
    peer = rig.start(everything)
    rig.backend.check()
    rig.backend.send("out", NOTE, now())
    wait_for(lambda: peer.heard, 3, "the note did not come")
    time.sleep(0.05)
    assert rig.inbox.events == []


def test_the_server_may_die_and_return_again_and_again(rig: Rig) -> None:
    # RtMidi takes a second to close an output of a dead server, so there is only one
    rig.start(PortPlan(inputs=PLAN.inputs, outputs=PLAN.outputs[:1]))
    for number in (signal.SIGKILL, signal.SIGTERM):
        rig.server.stop(number)
        rig.close_peer()
        time.sleep(0.05)  # the sentinel hears of it within 10 ms
        started = now()
        for _ in range(5_000):  # 2,340 fill the ring of a dead client, and the next one hangs
            rig.backend.send("out", NOTE, now())
        assert list(rig.backend.check()) == [PortChange("", "", up=False)]
        assert now() - started < 1

        rig.server.start(256)
        rig.peer = PeerProcess()
        rig.check_until(PortChange("out", "peer:ears", up=True))
        rig.backend.send("out", NOTE, now())
        wait_for(lambda: rig.peer and rig.peer.heard, 3, "no note after the server's return")


SENDS_ON = """
import os, signal, sys, threading, time
from drumigen_daemon.ports import PortPlan
from drumigen_daemon.ports.rtmidi import RtMidiBackend

class Inbox:
    def put(self, source, data, at): pass

backend = RtMidiBackend("jack")
backend.open(PortPlan(), Inbox())
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("open", flush=True)
while True:
    backend.send("out", bytes((0x99, 36, 100)), time.monotonic())
    time.sleep(0.0002)
"""


def test_a_program_that_sends_on_while_the_server_dies_still_obeys(jack_server: JackServer) -> None:
    jack_server.start(256)
    program = subprocess.Popen([sys.executable, "-c", SENDS_ON], stdout=subprocess.PIPE)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"open\n"
        jack_server.stop(signal.SIGKILL)
        time.sleep(1.5)  # would be some 5,000 sends
        program.send_signal(signal.SIGTERM)
        assert program.wait(3) == 7
    finally:
        program.kill()
        program.wait()
        if program.stdout is not None:
            program.stdout.close()


def test_closing_after_the_server_died_works_and_closing_twice_too(rig: Rig) -> None:
    rig.start(PortPlan(outputs=(VirtualPort("out"),)))
    rig.server.stop(signal.SIGKILL)
    rig.close_peer()
    time.sleep(0.05)
    rig.backend.close()
    rig.backend.close()
    rig.backend.send("out", NOTE, now())
    assert list(rig.backend.check()) == []


def test_without_a_server_the_error_says_what_to_do(jack_server: JackServer) -> None:
    with pytest.raises(PortError, match=f"no JACK server '{jack_server.name}' runs: start jackd"):
        RtMidiBackend("jack").open(PLAN, Heard())


def test_probing_leaves_nothing_behind(rig: Rig) -> None:
    peer = rig.start(PortPlan())
    assert probe("jack") == "rtmidi over jack"
    names = peer.port_names()
    assert sorted(name for name in names if not name.startswith("peer:")) == NAMES
