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
import socket
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
    DeviceReport,
    GeneratorSetup,
    Item,
    StillWriting,
    WorkersReport,
    WrittenBar,
)
from drumigen_daemon.generator.writers import (
    AsksWorkers,
    BarWriter,
    MayUseBank,
    StandIn,
    UsesDevices,
    make_live_writer,
)
from drumigen_daemon.process.channel import Channel
from drumigen_daemon.process.parent import end_with_parent
from drumigen_daemon.process.realtime import ONE_THREAD

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
    make: Callable[[GeneratorSetup], BarWriter] = make_live_writer,
) -> None:
    """Answer batches by the writer that ``make`` makes of ``setup`` until the channel closes."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, 5)  # the beat first
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    logging.basicConfig(level=setup.log_level.upper(), format="%(levelname)s: %(message)s")
    writer = make(setup)
    gc.freeze()  # a search for garbage among what was loaded takes as long as a bar
    device = writer if isinstance(writer, UsesDevices) else None
    news, teller = socket.socketpair()
    for end in (news, teller):
        end.setblocking(False)
    try:
        channel.send(*first_words(writer))
        if device is not None:
            device.start(lambda: _ring(teller))
        while True:
            blocked = [channel.fileno()] if channel.blocked else []
            select.select([channel.fileno(), news.fileno()], blocked, [])
            channel.flush()
            if device is not None and _rung(news):
                channel.send(device.report)
            for batch in channel.receive():
                if device is not None:
                    device.song(batch.song)
                    if _rung(news):
                        channel.send(device.report)
                with signs_of_life(channel, batch.number):
                    reply = batch_reply(writer, batch)
                channel.send(reply)
    except ChannelClosedError:
        return


def first_words(writer: BarWriter) -> tuple[DeviceReport | BatchReply, ...]:
    """Return what is said once ``writer`` is loaded: what it runs on, and that it is ready."""
    if isinstance(writer, StandIn):
        return DeviceReport("none", "failed", said=writer.why), BatchReply(0)
    return DeviceReport(), BatchReply(0, workers=_report(writer))


def _ring(bell: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):  # it rings already
        bell.send(b"!")


def _rung(bell: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        return bool(bell.recv(4096))
    return False


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


def batch_reply(writer: BarWriter, batch: Batch) -> BatchReply:
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
    by_bank = writer.by_bank if isinstance(writer, MayUseBank) else [False] * len(items)
    return tuple(
        WrittenBar(item.request, bar, far, bank)
        for item, bar, far, bank in zip(items, bars, by_worker, by_bank, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
