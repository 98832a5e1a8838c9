"""The generator's own process: one batch of requests in, one batch of bars out.

``python -m drumigen_daemon.generator.process DESCRIPTOR SETUP``.  It may be slow, hang or die
without any harm to the beat.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from drumigen.errors import ChannelClosedError
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import (
    BarRequest,
    Batch,
    BatchReply,
    GeneratorSetup,
    Item,
    StillWriting,
    WorkersReport,
    WrittenBar,
)
from drumigen_daemon.generator.writers import AsksWorkers, BarWriter, make_writer
from drumigen_daemon.process.channel import Channel
from drumigen_daemon.process.parent import end_with_parent

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by numpy's and torch's libraries when they load: the other cores are for the beat."""

SIGN_PERIOD: Final = 1.0
"""Seconds between two signs of life while a batch is being written."""


def main() -> int:
    """Answer batches until the channel closes."""
    end_with_parent(by=signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(
        Channel.inherited(sys.argv[1], Batch), msgspec.json.decode(sys.argv[2], type=GeneratorSetup)
    )
    return 0


def serve(
    channel: Channel[Batch],
    setup: GeneratorSetup,
    make: Callable[[GeneratorSetup], BarWriter] = make_writer,
) -> None:
    """Answer batches by the writer that ``make`` makes of ``setup`` until the channel closes."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, 5)  # the beat first
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    logging.basicConfig(level=setup.log_level.upper(), format="%(levelname)s: %(message)s")
    writer = make(setup)
    gc.freeze()  # a search for garbage among what was loaded takes as long as a bar
    try:
        channel.send(BatchReply(0))
        while True:
            select.select([channel], [channel] if channel.blocked else [], [])
            channel.flush()
            for batch in channel.receive():
                with signs_of_life(channel, batch.number):
                    reply = answered(writer, batch)
                channel.send(reply)
    except ChannelClosedError:
        return


@contextlib.contextmanager
def signs_of_life(channel: Channel[Batch], number: int) -> Iterator[None]:
    """Tell every second that batch ``number`` is being written: who is slow does not hang.

    A timer's signal is dealt with in the thread that writes, so a sign means that it goes on.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, lambda *_: channel.send(StillWriting(number)))
    signal.setitimer(signal.ITIMER_REAL, SIGN_PERIOD, SIGN_PERIOD)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def answered(writer: BarWriter, batch: Batch) -> BatchReply:
    """Return what ``writer`` makes of ``batch``; what it cannot write is refused, that alone."""
    items = batch.items
    try:
        bars = _written(writer, items, batch.tempo)
        return BatchReply(batch.number, bars, workers=_report(writer))
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are to be written
        why = error
    bars = ()
    refused: list[BarRequest] = []
    for item in items:
        try:
            bars += _written(writer, (item,), batch.tempo)
        except Exception as error:  # noqa: BLE001
            refused.append(item.request)
            why = error
    said = " ".join(f"{type(why).__name__}: {why}".split())
    why_not = said if refused else ""
    return BatchReply(batch.number, bars, tuple(refused), why_not, _report(writer))


def _report(writer: BarWriter) -> WorkersReport | None:
    return writer.report if isinstance(writer, AsksWorkers) else None


def _written(writer: BarWriter, items: tuple[Item, ...], tempo: Bpm) -> tuple[WrittenBar, ...]:
    for item in items:
        if item.request.number < 0:
            message = f"there is no bar {item.request.number} in a song"
            raise ValueError(message)
    bars = writer.write(items, tempo)
    by_worker = writer.by_worker if isinstance(writer, AsksWorkers) else [False] * len(items)
    return tuple(
        WrittenBar(item.request, bar, far)
        for item, bar, far in zip(items, bars, by_worker, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
