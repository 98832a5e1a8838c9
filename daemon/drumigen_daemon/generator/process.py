"""The generator's own process: one batch of requests in, one batch of bars out.

``python -m drumigen_daemon.generator.process DESCRIPTOR SETUP``.  It may be slow, hang or die
without any harm to the beat.
"""

import gc
import os
import select
import signal
import sys

import msgspec

from drumigen.errors import ChannelClosedError
from drumigen_daemon.generator.messages import Batch, BatchReply, GeneratorSetup, WrittenBar
from drumigen_daemon.generator.writers import make_writer
from drumigen_daemon.process.channel import Channel

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by numpy's and torch's libraries when they load: the other cores are for the beat."""


def main() -> int:
    """Answer batches until the channel closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel: Channel[Batch] = Channel.inherited(sys.argv[1], Batch)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, 5)  # the beat first
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    writer = make_writer(msgspec.json.decode(sys.argv[2], type=GeneratorSetup))
    gc.freeze()  # a search for garbage among what was loaded takes as long as a bar
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
