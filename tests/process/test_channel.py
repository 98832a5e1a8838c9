"""Messages between processes: whole or not at all, and nobody ever waits for a peer."""

import socket
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.errors import ChannelClosedError
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.engine.messages import (
    AnyCommand,
    EngineParameters,
    Plan,
    PlannedBar,
    Start,
    Stop,
)
from drumigen_daemon.process.channel import BACKLOG_LIMIT, Channel, Unpacker, packed

COMMANDS = st.lists(
    st.sampled_from(
        [
            Start(),
            Stop(),
            EngineParameters(offset_ms=-3.5, voice_offsets_ms={Voice.SNARE: 7.0}),
            Plan(
                (
                    PlannedBar(
                        3, Tick(23_040), Bar(Meter(7, 8), (Hit(Tick(0), Voice.KICK, 99, -12),))
                    ),
                ),
                Tick(24_000),
            ),
        ]
    ),
    max_size=8,
)


@given(commands=COMMANDS, cuts=st.lists(st.integers(0, 2_000), max_size=10))
def test_messages_arrive_whole_and_in_order_however_they_are_cut(
    commands: list[AnyCommand], cuts: list[int]
) -> None:
    stream = b"".join(packed(command) for command in commands)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    unpacker: Unpacker[AnyCommand] = Unpacker(AnyCommand)
    heard: list[AnyCommand] = []
    for begin, end in pairwise(edges):
        heard += unpacker.feed(stream[begin:end])
    assert heard == commands


@given(junk=st.binary(min_size=1, max_size=200))
def test_junk_is_either_unfinished_or_an_end_of_the_channel_and_never_another_error(
    junk: bytes,
) -> None:
    unpacker: Unpacker[AnyCommand] = Unpacker(AnyCommand)
    with suppress(ChannelClosedError):
        assert list(unpacker.feed(junk)) == []


def test_a_message_with_more_than_we_know_is_from_a_newer_peer_and_heard() -> None:
    unpacker: Unpacker[AnyCommand] = Unpacker(AnyCommand)
    assert list(unpacker.feed(packed({"type": "Start", "x": 1}))) == [Start()]


@pytest.mark.parametrize(
    "message", [{"type": "Nobody"}, 3, {"type": "EngineParameters", "tempo": 9_000}]
)
def test_a_message_that_is_none_of_ours_ends_the_channel(message: object) -> None:
    unpacker: Unpacker[AnyCommand] = Unpacker(AnyCommand)
    with pytest.raises(ChannelClosedError):
        list(unpacker.feed(packed(message)))


def test_what_came_before_the_nonsense_is_still_heard() -> None:
    unpacker: Unpacker[AnyCommand] = Unpacker(AnyCommand)
    messages = unpacker.feed(packed(Start()) + packed({"type": "Nobody"}))
    assert next(messages) == Start()
    with pytest.raises(ChannelClosedError):
        next(messages)


def test_a_peer_that_never_reads_costs_messages_and_no_time() -> None:
    ours, theirs = socket.socketpair()
    channel: Channel[AnyCommand] = Channel(ours, AnyCommand)
    text = "x" * 10_000
    for _ in range(3 * BACKLOG_LIMIT // len(text)):
        channel.send(text)
    assert channel.dropped > 0
    theirs.close()
    ours.close()


def test_what_a_slow_peer_reads_later_is_still_whole() -> None:
    ours, theirs = socket.socketpair()
    channel: Channel[AnyCommand] = Channel(ours, AnyCommand)
    sent = ["y" * 1_000 + str(number) for number in range(600)]
    channel.send(*sent)
    theirs.setblocking(False)
    unpacker: Unpacker[str] = Unpacker(str)
    heard: list[str] = []
    while len(heard) < len(sent):
        heard += unpacker.feed(theirs.recv(1 << 16))
        channel.flush()
    assert heard == sent
    theirs.close()
    ours.close()


def test_a_peer_that_is_gone_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    channel: Channel[AnyCommand] = Channel(ours, AnyCommand)
    theirs.close()
    with pytest.raises(ChannelClosedError):
        channel.receive()
    ours.close()


def test_a_session_survives_the_way_through_json() -> None:
    parameters = EngineParameters(
        offset_ms=12.5, voice_offsets_ms={Voice.KICK: -4.0}, kit="digitakt"
    )
    assert msgspec.json.decode(msgspec.json.encode(parameters), type=AnyCommand) == parameters
