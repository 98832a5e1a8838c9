"""The JACK backend on a real server: exact frames, stamps, hot-plug, death and return."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import Backend, PortChange, PortPlan, VirtualPort
from drumigen_daemon.ports.frame_queue import SLEW
from drumigen_daemon.ports.jack import JackBackend, probe
from drumigen_daemon.ports.jack_client import unwrap
from fixtures_jack import RATE, Heard, JackPeer, JackServer, Result, undisturbed, wait_for

pytestmark = pytest.mark.jack

NOTE = b"\x99\x24\x64"
PLAN = PortPlan(
    inputs=(VirtualPort("in", ("peer:voice",)),),
    outputs=(VirtualPort("out", ("peer:ears",)), VirtualPort("clock")),
    split=True,  # the peer hears and plays: as one client we would close a loop with it
)


class Rig:
    """Our backend and a peer on one server."""

    def __init__(self, server: JackServer) -> None:
        self.server = server
        self.inbox = Heard()
        self.written: list[tuple[int, int]] = []
        self.backend = JackBackend(on_written=lambda *frames: self.written.append(frames))
        self._peers: list[JackPeer] = []

    def start(self, period: int, plan: PortPlan = PLAN) -> JackPeer:
        self.server.start(period)
        peer = self.peer()
        self.backend.open(plan, self.inbox)
        self.backend.check()
        return peer

    def peer(self, name: str = "peer") -> JackPeer:
        self._peers.append(JackPeer(name))
        return self._peers[-1]

    def close(self) -> None:
        self.backend.close()
        self.close_peers()

    def close_peers(self) -> None:
        """Needed after a server's death too: libjack crashes if old and new clients mix."""
        while self._peers:
            self._peers.pop().close()

    def undisturbed(self, measure: Callable[[], Result]) -> Result:
        return undisturbed(lambda: self.backend.xruns, measure)

    def check_until(self, change: PortChange, seconds: float = 5.0) -> list[PortChange]:
        """Check as the engine does until ``change`` is reported; return all that was."""
        seen: list[PortChange] = []

        def reported() -> bool:
            seen.extend(self.backend.check())
            return change in seen

        wait_for(reported, seconds, f"never reported: {change}")
        return seen


@pytest.fixture
def rig(jack_server: JackServer) -> Iterator[Rig]:
    # three of JACK's threads run Python here; the engine sets the same interval
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    rig = Rig(jack_server)
    yield rig
    rig.close()
    sys.setswitchinterval(interval)


def now() -> float:
    return time.monotonic()


@pytest.mark.parametrize("period", [128, 256, 1024])
def test_notes_given_a_lead_ahead_leave_on_their_frame_and_in_order(rig: Rig, period: int) -> None:
    peer = rig.start(period)

    def measure() -> tuple[list[tuple[int, int]], list[tuple[int, bytes]]]:
        rig.written.clear()
        peer.heard.clear()
        begin = now() + 0.06
        for k in range(30):
            at = begin + k * 0.0043
            while now() < at - rig.backend.lead - 0.01:
                time.sleep(0.001)
            rig.backend.send("out", bytes((0x99, k, 100)), Seconds(at))
            rig.backend.send("out", bytes((0x89, k, 0)), Seconds(at))
        time.sleep(0.1)
        return list(rig.written), list(peer.heard)

    written, heard = rig.undisturbed(measure)
    assert {actual - intended for intended, actual in written} == {0}
    assert [frame for frame, _ in heard] == [actual for _, actual in written]
    assert [data[:2] for _, data in heard] == [
        bytes((status, k)) for k in range(30) for status in (0x99, 0x89)
    ]


def test_events_sent_out_of_order_leave_in_order_of_time(rig: Rig) -> None:
    peer = rig.start(256)
    begin = now() + 0.1
    for k in reversed(range(20)):
        rig.backend.send("out", bytes((0x99, k, 100)), Seconds(begin + k * 0.002))
    wait_for(lambda: len(peer.heard) == 20, 3, "not all notes came")
    assert [data[1] for _, data in peer.heard] == list(range(20))


def test_events_of_the_past_leave_at_once_in_the_order_given(rig: Rig) -> None:
    peer = rig.start(256)
    sent = now()
    for k in range(20):
        rig.backend.send("out", bytes((0x99, k, 100)), Seconds(sent - 1))
    wait_for(lambda: len(peer.heard) == 20, 3, "not all notes came")
    assert now() - sent < 0.5
    assert [data[1] for _, data in peer.heard] == list(range(20))


def test_two_outputs_are_two_streams(rig: Rig) -> None:
    peer = rig.start(256)
    soon = Seconds(now() + 0.05)
    rig.backend.send("clock", b"\xf8", soon)
    rig.backend.send("out", NOTE, soon)
    wait_for(lambda: peer.heard, 3, "the note did not come")
    time.sleep(0.02)
    assert [data for _, data in peer.heard] == [NOTE]


def test_a_flood_comes_out_whole(rig: Rig) -> None:
    peer = rig.start(256)
    flood = [bytes((0x80 | k % 16, k // 16 % 128, 0)) for k in range(16 * 128 + 32)]

    def heard() -> list[bytes]:
        peer.heard.clear()
        for message in flood:
            rig.backend.send("out", message, Seconds(0.0))
        deadline = now() + 5
        while len(peer.heard) < len(flood) and now() < deadline:
            time.sleep(0.01)
        return [data for _, data in peer.heard]

    assert rig.undisturbed(heard) == flood


def test_withdrawn_events_never_leave(rig: Rig) -> None:
    peer = rig.start(256)
    rig.backend.send("out", NOTE, Seconds(now() + 0.05))
    rig.backend.send("clock", b"\xf8", Seconds(now() + 0.05))
    rig.backend.withdraw()
    rig.backend.send("out", b"\x99\x26\x64", Seconds(now() + 0.08))
    wait_for(lambda: peer.heard, 3, "the later note did not come")
    assert [data for _, data in peer.heard] == [b"\x99\x26\x64"]


def test_what_is_due_stays_though_its_cycle_is_late(rig: Rig) -> None:
    peer = rig.start(256)
    rig.server.hang()
    due = Seconds(now() + 0.02)
    rig.backend.send("out", NOTE, due)
    rig.backend.send("out", b"\x99\x26\x64", Seconds(due + 1.0))
    time.sleep(0.03)
    horizon = rig.backend.withdraw()
    rig.server.go_on()
    assert horizon > due
    # a busy machine may have hung for longer than we did
    wait_for(lambda: peer.heard or rig.backend.dropped, 3, "the note that was due is lost")
    time.sleep(1.2)
    # where we miss a cycle JACK lets others hear our last one again
    assert {data for _, data in peer.heard} == ({NOTE} if not rig.backend.dropped else set())


def test_a_stamp_and_an_answer_so_many_frames_later_agree_to_one_frame(rig: Rig) -> None:
    peer = rig.start(256)
    session = rig.backend._session
    assert session is not None
    wait_for(lambda: session.queue.timebase.settled, 10, "the map never settled")
    pulses = 12
    spacing = 1_000  # frames: clock at 120 BPM
    later = 12_000

    def measure() -> list[tuple[int, int]]:
        peer.heard.clear()
        rig.inbox.events.clear()
        first = peer.client.frame_time + 4_000
        peer.play([(first + k * spacing, b"\xf8") for k in range(pulses)])
        answered = 0
        deadline = now() + (4_000 + pulses * spacing) / RATE + 0.2
        while answered < pulses and now() < deadline:
            for _, _, at in rig.inbox.events[answered:]:
                rig.backend.send("out", NOTE, Seconds(at + later / RATE))
                answered += 1
            time.sleep(0.001)
        time.sleep(later / RATE + 0.05)
        return [(frame, first + k * spacing + later) for k, (frame, _) in enumerate(peer.heard)]

    answers = rig.undisturbed(measure)
    assert len(answers) == pulses
    # while frames lost before are made up for, we run fast or slow by SLEW
    allowed = 1 + (later * SLEW if session.queue.timebase.slips else 0)
    for frame, expected in answers:
        assert abs(frame - expected) <= allowed


def test_stamps_are_monotonic_seconds_and_name_our_port(rig: Rig) -> None:
    peer = rig.start(256)
    delay = 2_400
    sent = now()
    peer.play([(peer.client.frame_time + delay, b"\xfa")])
    wait_for(lambda: rig.inbox.events, 3, "nothing was heard")
    ((source, data, at),) = rig.inbox.events
    assert (source, data) == ("drumigen:in", b"\xfa")
    assert abs(at - (sent + delay / RATE)) < 0.02


def test_sysex_and_active_sensing_stay_outside(rig: Rig) -> None:
    peer = rig.start(256)
    soon = peer.client.frame_time + 2_000
    peer.play([(soon, b"\xf0\x01\x02\xf7"), (soon, b"\xfe"), (soon, b"\xf8")])
    wait_for(lambda: rig.inbox.events, 3, "nothing was heard")
    assert [data for _, data, _ in rig.inbox.events] == [b"\xf8"]


def test_lead_is_two_periods_and_follows_the_period(rig: Rig) -> None:
    peer = rig.start(256)
    assert 2 * 256 / RATE < rig.backend.lead < 0.013
    peer.client.blocksize = 1024
    wait_for(lambda: rig.backend.lead > 2 * 1024 / RATE, 3, "the lead did not grow")
    peer.client.blocksize = 64
    wait_for(lambda: rig.backend.lead == 0.010, 3, "the lead did not shrink")


def test_opening_connects_what_is_there_and_the_first_check_reports_it(rig: Rig) -> None:
    rig.server.start(256)
    peer = rig.peer()
    rig.backend.open(PLAN, rig.inbox)
    assert peer.ears.number_of_connections == peer.voice.number_of_connections == 1
    assert list(rig.backend.check()) == [
        PortChange("in", "peer:voice", up=True),
        PortChange("out", "peer:ears", up=True),
    ]
    assert list(rig.backend.check()) == []


def test_peers_are_connected_whenever_they_come_and_reported_both_ways(rig: Rig) -> None:
    rig.start(256)
    rig.close_peers()
    seen = rig.check_until(PortChange("in", "peer:voice", up=False))
    seen += rig.check_until(PortChange("out", "peer:ears", up=False), 1) if len(seen) < 2 else []
    assert sorted(change.port for change in seen if not change.up) == ["in", "out"]

    back = rig.peer()
    seen = rig.check_until(PortChange("out", "peer:ears", up=True))
    assert PortChange("in", "peer:voice", up=True) in seen
    rig.backend.send("out", NOTE, Seconds(now() + 0.03))
    wait_for(lambda: back.heard, 3, "the note did not come")


def test_a_peer_gone_and_back_between_two_checks_is_reported_down_and_up(rig: Rig) -> None:
    rig.start(256)
    rig.close_peers()
    rig.peer()
    assert list(rig.backend.check()) == [
        PortChange("in", "peer:voice", up=False),
        PortChange("in", "peer:voice", up=True),
        PortChange("out", "peer:ears", up=False),
        PortChange("out", "peer:ears", up=True),
    ]


def test_a_pattern_that_matches_everything_never_feeds_us_ourselves(rig: Rig) -> None:
    everything = PortPlan(
        inputs=(VirtualPort("in", ("*",)),),
        outputs=(VirtualPort("out", ("*",)), VirtualPort("clock", ("drumigen",))),
    )
    peer = rig.start(256, everything)
    rig.backend.send("out", NOTE, Seconds(now() + 0.03))
    rig.backend.send("clock", b"\xf8", Seconds(now() + 0.03))
    wait_for(lambda: peer.heard, 3, "the note did not come")
    time.sleep(0.05)
    assert rig.inbox.events == []


def test_an_alias_is_as_good_as_a_name(rig: Rig) -> None:
    plan = PortPlan(inputs=(VirtualPort("in", ("launchkey",)),), outputs=())
    peer = rig.start(256, plan)
    peer.voice.set_alias("in-hw-1-0-0-Launchkey-Mini")
    assert list(rig.backend.check()) == [PortChange("in", "peer:voice", up=True)]


def test_the_input_answers_to_the_plain_client_name_too(rig: Rig) -> None:
    peer = rig.start(256, PortPlan())
    peer.client.connect(peer.voice, "drumigen:in")
    assert list(rig.backend.check()) == [PortChange("in", "peer:voice", up=True)]


def test_a_controller_with_an_input_of_its_own_is_told_from_the_others(rig: Rig) -> None:
    plan = PortPlan(
        inputs=(VirtualPort("in", ("*",)),),
        outputs=(),
        controllers=(VirtualPort("nanoKONTROL2", ("nanoKONTROL2",)),),
    )
    rig.server.start(256)
    peer, nano = rig.peer(), rig.peer("a2j nanoKONTROL2")
    rig.backend.open(plan, rig.inbox)
    assert set(rig.backend.check()) == {
        PortChange("in", "peer:voice", up=True),
        PortChange("nanoKONTROL2", "a2j nanoKONTROL2:voice", up=True),
    }
    assert rig.backend.port_names() == ("drumigen:in", "drumigen:nanoKONTROL2")
    soon = peer.client.frame_time + 4_000
    nano.play([(soon, b"\xb0\x10\x05")])
    peer.play([(soon, b"\xf8")])
    wait_for(lambda: len(rig.inbox.events) == 2, 5, "not both were heard")
    assert {(source, data) for source, data, _ in rig.inbox.events} == {
        ("drumigen:nanoKONTROL2", b"\xb0\x10\x05"),
        ("drumigen:in", b"\xf8"),
    }


def test_what_a_stalled_server_holds_is_ended_before_we_leave(rig: Rig) -> None:
    peer = rig.start(256)
    begun = now() + 0.05
    for k in range(20):  # a note every 20 ms that rings for a second
        note = bytes((0x99, 36 + k, 100))
        rig.backend.send("out", note, Seconds(begun + 0.02 * k))
        rig.backend.send("out", bytes((0x89, 36 + k, 0)), Seconds(begun + 0.02 * k + 1.0))
    time.sleep(0.1)
    rig.server.hang()
    time.sleep(0.25)
    rig.server.go_on()
    rig.backend.drain(Seconds(5.0))  # a busy machine takes its time
    rig.backend.close()
    time.sleep(0.05)
    begun_notes = {data[1] for _, data in peer.heard if data[0] == 0x99}
    ended = {data[1] for _, data in peer.heard if data[0] == 0x89}
    assert begun_notes
    assert begun_notes <= ended


def test_a_second_drumigen_is_told_so(rig: Rig) -> None:
    rig.start(256)
    with pytest.raises(PortError, match="stop the other drumigen, or choose another client name"):
        JackBackend().open(PLAN, Heard())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_may_die_and_return_again_and_again(rig: Rig, number: signal.Signals) -> None:
    rig.start(256)
    for _ in range(2):
        rig.server.stop(number)
        rig.close_peers()
        rig.check_until(PortChange("", "", up=False))
        started = now()
        for _ in range(5_000):  # would fill any ring of a dead client
            rig.backend.send("out", NOTE, Seconds(now()))
        rig.backend.withdraw()
        assert list(rig.backend.check()) == []
        assert now() - started < 1

        rig.server.start(128)
        peer = rig.peer()
        rig.check_until(PortChange("", "", up=True))
        if not peer.ears.number_of_connections:
            rig.check_until(PortChange("out", "peer:ears", up=True))
        rig.backend.send("out", NOTE, Seconds(now() + 0.05))
        wait_for(lambda: peer.heard, 3, "the note did not come after the server's return")  # noqa: B023 - used at once


def test_other_threads_run_on_while_the_server_is_dead(rig: Rig) -> None:
    rig.start(256)
    rig.server.stop(signal.SIGKILL)
    rig.close_peers()
    steps = [0]
    stop = threading.Event()

    def count() -> None:
        while not stop.wait(0.001):
            steps[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    for _ in range(3_000):
        rig.backend.send("out", NOTE, Seconds(now()))
    time.sleep(0.1)
    stop.set()
    thread.join()
    assert steps[0] > 20


def test_a_server_that_hangs_counts_as_gone_and_blocks_nobody(rig: Rig) -> None:
    rig.start(256)
    rig.backend.check()
    rig.server.hang()
    slowest = 0.0
    deadline = now() + 4
    seen: list[PortChange] = []
    while PortChange("", "", up=False) not in seen and now() < deadline:
        before = now()
        seen += rig.backend.check()
        slowest = max(slowest, now() - before)
        time.sleep(0.1)
    assert seen == [PortChange("", "", up=False)]
    assert slowest < 1.5
    rig.server.go_on()
    rig.check_until(PortChange("", "", up=True))


def test_closing_after_the_server_died_works_and_closing_twice_too(rig: Rig) -> None:
    rig.start(256)
    rig.server.stop(signal.SIGKILL)
    rig.close_peers()
    rig.backend.close()
    rig.backend.close()
    rig.backend.send("out", NOTE, Seconds(now()))
    assert list(rig.backend.check()) == []


def test_without_a_server_the_error_says_what_to_do(jack_server: JackServer) -> None:
    with pytest.raises(PortError, match=f"no JACK server '{jack_server.name}' runs: start jackd"):
        JackBackend().open(PLAN, Heard())
    with pytest.raises(PortError, match="start jackd"):
        probe()


def test_probing_leaves_nothing_behind(rig: Rig) -> None:
    peer = rig.start(256)
    assert probe() == "JACK server at 48000 Hz, 256 frames a period"
    clients = {port.name.split(":")[0] for port in peer.client.get_ports(is_midi=True)}
    assert clients == {"drumigen", "drumigen-in", "peer"}


def test_a_connection_made_by_hand_comes_back_with_its_peer_and_after_a_restart(rig: Rig) -> None:
    plan = PortPlan(split=True)
    peer = rig.start(256, plan)
    peer.client.connect("drumigen:out", "peer:ears")
    rig.check_until(PortChange("out", "peer:ears", up=True))
    rig.close_peers()
    rig.check_until(PortChange("out", "peer:ears", up=False))
    rig.peer()
    rig.check_until(PortChange("out", "peer:ears", up=True))
    rig.server.stop(signal.SIGKILL)
    rig.close_peers()
    rig.check_until(PortChange("", "", up=False))
    rig.server.start(256)
    rig.check_until(PortChange("", "", up=True))
    peer = rig.peer()
    rig.check_until(PortChange("out", "peer:ears", up=True))
    peer.client.disconnect("drumigen:out", "peer:ears")
    rig.check_until(PortChange("out", "peer:ears", up=False))
    assert list(rig.backend.check()) == []  # what was taken apart by hand stays apart


def test_as_one_client_every_port_is_ours_by_name_and_a_loop_is_pointed_out(rig: Rig) -> None:
    rig.server.start(256)
    peer = rig.peer()
    rig.backend.open(replace(PLAN, split=False), rig.inbox)
    notes = [change.note for change in rig.backend.check()]
    names = {port.name for port in peer.client.get_ports("drumigen", is_midi=True)}
    assert names == {"drumigen:in", "drumigen:out", "drumigen:clock"}
    assert next(note for note in notes if note).startswith("both ways")
    peer.play([(peer.client.frame_time + 2_000, NOTE)])
    wait_for(lambda: rig.inbox.events, 5, "nothing was heard")
    rig.backend.send("out", NOTE, Seconds(now() + 0.05))
    wait_for(lambda: peer.heard, 5, "nothing was played")


@pytest.mark.parametrize(
    ("last", "raw", "expected"),
    [
        (None, 5, 5),
        (2**32 - 10, 6, 2**32 + 6),
        (2**32 + 6, 2**32 - 10, 2**32 - 10),
        (7 * 2**32 + 100, 228, 7 * 2**32 + 228),
    ],
)
def test_the_frame_counter_is_continued_over_its_wrap(
    last: int | None, raw: int, expected: int
) -> None:
    assert unwrap(last, raw) == expected


def test_it_is_a_backend() -> None:
    backend: Backend = JackBackend()
    client: Any = backend
    assert client.name == "jack"
    assert client.queues
