"""The writer ``celery``: workers write the bars, and what they do not, this machine's network."""

from collections.abc import Sequence
from typing import Final

from drumigen.errors import DrumigenError
from drumigen.pattern import Bar
from drumigen.styles import StyleCatalogue
from drumigen.units import TICKS_PER_BEAT, Bpm
from drumigen_daemon.generator.messages import GeneratorSetup, Item, WorkersReport, batch_of
from drumigen_daemon.generator.writers import BarWriter, MayUseBank
from drumigen_daemon.workers.client import BarsClient
from drumigen_daemon.workers.identity import identity_of, style_digests
from drumigen_daemon.workers.messages import ROWS_MAX

WAIT_SHARE: Final = 0.5
"""Of a bar: no answer is waited for longer, so that the network here is there within the bar."""


class CeleryWriter:
    """Asks workers first; has ``local`` write what they have not written in time."""

    def __init__(self, client: BarsClient, local: BarWriter, deadline: float) -> None:
        """Ask by ``client``, and wait ``deadline`` seconds at most."""
        self._client = client
        self._local = local
        self._deadline = deadline
        self._by_worker: list[bool] = []
        self._by_bank: set[int] = set()

    @property
    def by_worker(self) -> Sequence[bool]:
        """Of each bar of the last call of :meth:`write`, whether a worker wrote it."""
        return self._by_worker

    @property
    def by_bank(self) -> Sequence[bool]:
        """Of each bar of the last call of :meth:`write`, whether the bank here wrote it."""
        return [place in self._by_bank for place in range(len(self._by_worker))]

    @property
    def report(self) -> WorkersReport:
        """How it goes with the workers."""
        return self._client.report

    def close(self) -> None:
        """Look for workers no more; what is written from now on is written here."""
        self._client.close()

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        """Return a bar for each item, in the metre it asks for."""
        self._by_bank = set()
        found: dict[int, Bar] = {}
        theirs: list[int] = []
        if self._client.usable:
            theirs = [
                place
                for place, item in enumerate(items)
                if self._client.knows(item.request.style, item.request.blend)
            ][:ROWS_MAX]
        exchange = None
        if theirs:
            batch = batch_of(0, tuple(items[place] for place in theirs), tempo)
            exchange = self._client.ask(batch, self._wait(items, tempo))
            # as one message has them: those of one context together
            order = _places(theirs, items)
        ours = sorted(set(range(len(items))) - set(theirs))
        found.update(self._here(ours, items, tempo))
        if exchange is not None:
            bars = self._client.answer(exchange)
            if bars is None:
                found.update(self._here(theirs, items, tempo))
                theirs = []
            else:
                found.update(zip(order, bars, strict=True))
        far = set(theirs)
        self._by_worker = [place in far for place in range(len(items))]
        return [found[place] for place in range(len(items))]

    def _here(self, places: Sequence[int], items: Sequence[Item], tempo: Bpm) -> dict[int, Bar]:
        if not places:
            return {}
        bars = self._local.write([items[place] for place in places], tempo)
        self._client.wrote_here(len(places))
        if isinstance(self._local, MayUseBank):
            by_bank = zip(places, self._local.by_bank, strict=True)
            self._by_bank.update(place for place, bank in by_bank if bank)
        return dict(zip(places, bars, strict=True))

    def _wait(self, items: Sequence[Item], tempo: Bpm) -> float:
        ticks = min(item.request.meter.ticks for item in items)
        return patience(self._deadline, ticks, tempo)


def patience(deadline: float, ticks: int, tempo: Bpm) -> float:
    """Return for how many seconds an answer is waited for where bars last ``ticks``."""
    return min(deadline, WAIT_SHARE * 60.0 * ticks / TICKS_PER_BEAT / tempo)


def _places(places: Sequence[int], items: Sequence[Item]) -> list[int]:
    """Return ``places`` in the order in which a batch of them has its items."""
    groups: dict[int, list[int]] = {}
    for place in places:
        groups.setdefault(id(items[place].context), []).append(place)
    return [place for group in groups.values() for place in group]


def made_writer(setup: GeneratorSetup, styles: StyleCatalogue, local: BarWriter) -> BarWriter:
    """Return the writer that ``setup`` describes, with a client that has begun to look.

    Raises:
        DrumigenError: the setup names no broker, or the checkpoint is not there.
    """
    if setup.workers is None:
        message = "no broker is set: set workers.broker"
        raise DrumigenError(message)
    identity = identity_of(setup)
    client = BarsClient(setup.workers, identity, style_digests(styles))
    client.start()
    return CeleryWriter(client, local, setup.workers.deadline)
