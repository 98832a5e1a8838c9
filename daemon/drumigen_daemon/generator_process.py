"""The generator's own process: one batch of requests in, one batch of bars out.

``python -m drumigen_daemon.generator_process DESCRIPTOR WRITER``.  It may be slow, hang or die
without any harm to the beat.
"""

import os
import select
import signal
import sys

from drumigen.errors import ChannelClosedError
from drumigen_daemon.bar_request import Batch, BatchReply, WrittenBar
from drumigen_daemon.bar_writer import WRITERS
from drumigen_daemon.channel import Channel


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
                items = batch.items
                bars = writer.write(items, batch.tempo)
                requests = (item.request for item in items)
                channel.send(BatchReply(batch.number, tuple(map(WrittenBar, requests, bars))))
    except ChannelClosedError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
