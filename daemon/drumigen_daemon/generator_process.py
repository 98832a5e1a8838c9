"""The generator's own process: one batch of requests in, one batch of bars out.

``python -m drumigen_daemon.generator_process DESCRIPTOR WRITER``.  It may be slow, hang or die
without any harm to the beat.
"""

import os
import select
import signal
import sys

import msgspec

from drumigen.errors import ChannelClosedError
from drumigen_daemon.bar_writer import WRITERS
from drumigen_daemon.channel import Channel
from drumigen_daemon.planner import BarReply, BarRequest


class Batch(msgspec.Struct, frozen=True):
    """Requests that are answered together; ``number`` tells answers apart."""

    number: int
    requests: tuple[BarRequest, ...] = ()


class BatchReply(msgspec.Struct, frozen=True):
    """The answer to a batch; number 0, empty, says that the writer is loaded."""

    number: int
    replies: tuple[BarReply, ...] = ()


def main() -> int:
    """Answer batches until the channel closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel: Channel[Batch] = Channel.inherited(sys.argv[1], Batch)
    if hasattr(os, "nice"):
        os.nice(5)  # the beat first
    writer = WRITERS[sys.argv[2]]()
    try:
        channel.send(BatchReply(0))
        while True:
            select.select([channel], [channel] if channel.blocked else [], [])
            channel.flush()
            for batch in channel.receive():
                bars = writer.write(batch.requests)
                replies = tuple(map(BarReply, batch.requests, bars))
                channel.send(BatchReply(batch.number, replies))
    except ChannelClosedError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
