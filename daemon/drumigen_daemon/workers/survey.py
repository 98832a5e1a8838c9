"""Which workers there are, and how soon they answer: for ``drumigen doctor``."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import redis

from drumigen.errors import DrumigenError, SettingsError
from drumigen.styles import StyleCatalogue
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import (
    BarRequest,
    GeneratorSetup,
    Item,
    WorkersAddress,
    batch_of,
)
from drumigen_daemon.histogram import Histogram
from drumigen_daemon.workers import broker as brokers
from drumigen_daemon.workers.client import LOOK_PERIOD, BarsClient
from drumigen_daemon.workers.identity import Identity, identity_of, style_digests
from drumigen_daemon.workers.messages import Advert, heard_of
from drumigen_daemon.workers.writer import patience

SURVEY_SECONDS_MAX: Final = 2.0
"""Seconds that the broker may take, and a worker to be seen."""
ASKED: Final = 8
"""Bars that are asked for, one after another."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found at the broker."""

    ours: int
    """Workers for bars with our model."""
    strangers: Sequence[Advert]
    """Those that have another."""
    mine: Identity
    songs: int
    """Workers for songs with our model."""
    dropped: int
    """Bars that ours have dropped since they started, for nobody waited for them any more."""
    asked: int = 0
    missed: int = 0
    """Of those asked for: not there by the deadline, or refused."""
    times: Histogram = Histogram()
    devices: Sequence[str] = ()
    """What ours write on, each once."""

    def __str__(self) -> str:
        """Return it in words."""
        on = f" ({', '.join(self.devices)})" if self.devices else ""
        said = [f"{self.ours} for bars{on}, {self.songs} for songs"]
        if self.strangers:
            models = Counter(f"{s.model}, vocabulary {s.vocabulary}" for s in self.strangers)
            theirs = "; ".join(f"{count} of {model}" for model, count in models.items())
            said.append(
                f"{len(self.strangers)} are no use, for they have another model ({theirs}; here it"
                f" is {self.mine.model}, vocabulary {self.mine.vocabulary}): give all the same "
                "drumigen and checkpoint"
            )
        if self.asked > self.missed:
            most = 1000 * self.times.most
            said.append(f"a bar from them is here within {most:.0f} ms")
        if self.asked:
            said.append(f"of {self.asked} asked for {self.missed} were late or refused")
        if self.dropped:
            said.append(f"they have dropped {self.dropped} bars that nobody waited for any more")
        return "; ".join(said)


def surveyed(setup: GeneratorSetup, styles: StyleCatalogue, tempo: Bpm) -> Survey:
    """Return which workers there are for ``setup``, and ask for bars at ``tempo`` if it would.

    It takes up to four seconds.

    Raises:
        DrumigenError: the broker cannot be reached, or the checkpoint is not there; one line.
    """
    address = setup.workers
    if address is None:
        message = "no broker is set: set workers.broker"
        raise SettingsError(message)
    mine, songs = identity_of(setup), identity_of(setup, drawn=False)
    adverts = _adverts(address)
    bars = [each for each in adverts if each.lane == "bars"]
    ours = [each for each in bars if each.identity == mine.key]
    found = Survey(
        ours=len(ours),
        strangers=[each for each in bars if each.identity != mine.key],
        mine=mine,
        songs=sum((each.lane, each.identity) == ("songs", songs.key) for each in adverts),
        dropped=sum(each.dropped for each in ours),
        devices=sorted({each.device for each in ours}),
    )
    if setup.writer != "celery" or not ours:
        return found
    return _tried(found, address, styles, tempo)


def _adverts(address: WorkersAddress) -> Sequence[Advert]:
    try:
        client = brokers.connected(address, SURVEY_SECONDS_MAX)
        seconds, micros = client.time()
        said = brokers.said_by_workers(client, brokers.Names(address.queue))
    except redis.RedisError as error:
        message = f"workers.broker {address.broker}: {brokers.said_of(error)}"
        raise DrumigenError(message) from error
    return list(heard_of(said, seconds + micros / 1e6).values())


def _tried(found: Survey, address: WorkersAddress, styles: StyleCatalogue, tempo: Bpm) -> Survey:
    """Ask for some bars, as the generator does."""
    client = BarsClient(address, found.mine, style_digests(styles))
    client.start()
    style, meter = next(iter(styles)).name, Meter()
    wait = patience(address.deadline, meter.ticks, tempo)
    for number in range(ASKED):
        until = time.monotonic() + LOOK_PERIOD + SURVEY_SECONDS_MAX
        while not client.usable and time.monotonic() < until:
            time.sleep(0.01)
        item = Item(BarRequest(style, number, meter, 1))
        client.answer(client.ask(batch_of(number, (item,), tempo), wait))
    client.close()
    report = client.report
    missed = report.asked - report.answered
    return replace(found, asked=report.asked, missed=missed, times=report.round_trip)
