"""A generator that takes its time over every bar, or refuses one: for tests of its link."""

import sys
import time
from collections.abc import Sequence

import msgspec

from drumigen.pattern import Bar
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import Batch, GeneratorSetup, Item
from drumigen_daemon.generator.process import serve
from drumigen_daemon.generator.writers import BankWriter
from drumigen_daemon.process.channel import Channel


class SlowWriter(BankWriter):
    """Sleeps for as many seconds a bar as its setup's model says."""

    def __init__(self, setup: GeneratorSetup) -> None:
        super().__init__()
        self._seconds = float(setup.model)

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        time.sleep(self._seconds * len(items))
        return super().write(items, tempo)


if __name__ == "__main__":
    channel: Channel[Batch] = Channel.inherited(sys.argv[1], Batch)
    serve(channel, msgspec.json.decode(sys.argv[2], type=GeneratorSetup), SlowWriter)
