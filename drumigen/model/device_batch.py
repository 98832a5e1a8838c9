"""A batch of rows for a network on a device, which writes whole bars."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from drumigen.model.checkpoint import Checkpoint
from drumigen.model.conditions import Conditions
from drumigen.model.generation import (
    CACHES_MAX,
    CHANCES,
    PHILOX_SEED_MAX,
    Contexts,
    Row,
    checked_shares,
    context_of,
    key_of,
    owed_by,
)
from drumigen.model.tokens import bar_of, notes_of
from drumigen.model.whole_bars import BarDecoder, Draft, Told, UnreadBar
from drumigen.pattern import DENSITY_MAX, Bar, repaired
from drumigen.units import TICKS_PER_BEAT


class DeviceBatch:
    """Rows whose contexts are read, and then their bars written, all at once."""

    def __init__(
        self, checkpoint: Checkpoint, decoder: BarDecoder, rows: Sequence[Row], kept: Contexts
    ) -> None:
        """Write ``rows`` by ``decoder``; ``kept`` are contexts that were read before."""
        self._checkpoint = checkpoint
        self._decoder = decoder
        self._rows = rows
        self._kept = kept

    def written(self) -> list[Bar]:
        """Return a bar for each row.

        Raises:
            DeviceError: the device failed.
            ModelError: a style is not the network's, or its output is no number.
        """
        contexts = [context_of(row) for row in self._rows]
        keys = [list(accumulate(context, key_of, initial=0)) for context in contexts]
        caches = self._read({key[-1]: place for place, key in enumerate(keys)}, contexts, keys)
        first_kept = len(self._rows) - CACHES_MAX
        drafts = []
        chances = []
        for place, (row, context) in enumerate(zip(self._rows, contexts, strict=True)):
            meter = row.conditions.meter
            most = int(DENSITY_MAX * meter.ticks / TICKS_PER_BEAT)
            rng = np.random.Generator(np.random.Philox([row.seed & PHILOX_SEED_MAX, row.number]))
            chances.append(rng.random((most + 1, CHANCES)))
            drafts.append(
                Draft(
                    caches[keys[place][-1]],
                    sum(bar.meter.sixteenths for bar, _ in context),
                    meter.sixteenths,
                    most,
                    self._told(row.conditions),
                    chances[-1][:, :3],
                    row.sampling,
                    row.events,
                    owed_by(row),
                    kept=place >= first_kept,
                )
            )
        bars = []
        drawn = self._decoder.write(drafts)
        for place, (row, draft, (notes, cache)) in enumerate(
            zip(self._rows, drafts, drawn, strict=True)
        ):
            meter = row.conditions.meter
            kept = notes if row.events else row.demands.kept(notes, meter)
            whole = len(kept) == len(notes)
            spread = chances[place][:, 3:].ravel().tolist()
            dither = iter(spread) if row.dither else None
            bar = repaired(bar_of(kept, meter, dither))
            bars.append(bar)
            if (
                cache is not None
                and whole
                and len(notes) < draft.most
                and notes_of([bar])[0][0] == notes
            ):
                # the steps just taken are what reading this bar would take
                played = bar, replace(row.conditions, meter=bar.meter)
                self._kept.keep(self._decoder, key_of(keys[place][-1], played), cache)
        return bars

    def _read(
        self,
        places: dict[int, int],
        contexts: Sequence[Sequence[tuple[Bar, Conditions]]],
        keys: Sequence[Sequence[int]],
    ) -> dict[int, object]:
        """Return the caches of all contexts by their keys; each is read once."""
        found: dict[int, object] = {}
        pasts: list[tuple[object, list[UnreadBar]]] = []
        unread: list[int] = []
        for key, place in places.items():
            context = contexts[place]
            known, cache = self._kept.longest(self._decoder, keys[place][1:])
            found[key] = cache if cache is not None else self._decoder.cache()
            if known == len(context):
                continue
            start = sum(bar.meter.sixteenths for bar, _ in context[:known])
            heard = []
            for bar, under in context[known:]:
                told = self._told(replace(under, meter=bar.meter))
                heard.append(UnreadBar(notes_of([bar])[0][0], start, told))
                start += bar.meter.sixteenths
            pasts.append((found[key], heard))
            unread.append(key)
        if pasts:
            for key, cache in zip(unread, self._decoder.read(pasts), strict=True):
                found[key] = cache
                self._kept.keep(self._decoder, key, cache)
        return found

    def _told(self, under: Conditions) -> Told:
        return Told(under.ids(), tuple(checked_shares(self._checkpoint, under)))
