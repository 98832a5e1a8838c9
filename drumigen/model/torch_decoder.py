"""Whole bars written on a device: CUDA, MPS, or the CPU by torch.

A bar is a loop of steps, each of which reads the last hit, and draws what comes next: event,
velocity and offset.  Everything a step needs lies on the device, in tensors that never move, so it
costs no word between host and device; on CUDA it is recorded as a graph and merely repeated.  Every
:data:`BURST` steps the host asks whether all bars have ended, and only then copies them back.

Graphs are few: rows are filled up to one of :data:`ROWS`, and the places of their caches to one of
:data:`PLACES`.  Rows that need more places are written apart from those that need fewer, so a row
is worked out in the same shapes whatever it is batched with, as long as no batch is larger than the
first of :data:`ROWS`.

The random numbers are those of the CPU: drawn from a counter keyed by the row's seed and place in
the song, and sent with the batch.  That is one copy, and keeps a song the same song.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drumigen.errors import DeviceError, DeviceFullError, ModelError
from drumigen.model.network import COUNT_MAX, ModelConfig, due_hits
from drumigen.model.stepper import LINE
from drumigen.model.tokens import BinnedNote
from drumigen.model.torch_demands import tables_of
from drumigen.model.torch_network import Network
from drumigen.model.torch_workspace import HITS_MAX, TEMPERATURE_KINDS, Workspace
from drumigen.model.vocabulary import BAR_LINE, EVENTS, VOICE_ORDER
from drumigen.model.whole_bars import Draft, Drawn, Told, UnreadBar

ROWS: Final[Mapping[str, tuple[int, ...]]] = {
    "cpu": (1, 4, 16, 64, 256, 1024),
    "mps": (64, 256, 1024),
    "cuda": (64, 256, 1024),
}
"""Numbers of rows that are worked out together, by kind of device.  A GPU takes no longer for 64
than for one; the next bars and fills of all styles are fewer than that."""
PLACES: Final = (256, 512, 1024, 2048)
"""Steps that a cache holds.  A context of eight bars and the bar after it rarely take 256; the last
holds eight bars that are as full as bars can be."""
READ_AT_ONCE_STEPS: Final = 32
"""Steps of a context that are read at a time."""
UNWATCHED_STEPS: Final = 8
"""Steps that are taken before the host looks whether all bars have ended."""
WORKSPACES_MAX: Final = 6
"""Shapes whose tensors and graphs are kept."""


class TorchCache(NamedTuple):
    """Keys and values of the steps that one row has seen, (L, 2, S, steps, D); never changed."""

    past: Tensor | None = None

    @property
    def steps(self) -> int:
        """How many they are."""
        return 0 if self.past is None else int(self.past.shape[3])

    def copied(self) -> "TorchCache":
        """Return itself."""
        return self


class TorchDecoder:
    """A :class:`drumigen.model.whole_bars.BarDecoder`; any number of threads may use one."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, NDArray[np.generic]],
        device: str,
        *,
        dtype: torch.dtype = torch.float32,
        graphs: bool | None = None,
    ) -> None:
        """Put the weights on ``device``.

        With ``dtype`` of 16 bits matrices take half the room, and one bar in a few is another
        (``benchmarks/generation.py``).  ``graphs`` are CUDA's, where nothing else is said.

        Raises:
            DeviceError: the device cannot be used.
            ValueError: a weight is missing or of another shape.
        """
        self.config = config
        self._device = torch.device(device)
        self._graphs = self._device.type == "cuda" if graphs is None else graphs
        self._rows = ROWS[self._device.type]
        self._lock = threading.Lock()
        self._workspaces: OrderedDict[tuple[int, int], Workspace] = OrderedDict()
        with torch.inference_mode(), _failing(device):
            self.network = Network(config, weights, self._device, dtype)

    def cache(self) -> TorchCache:
        """Return the cache of a row that has seen nothing."""
        return TorchCache()

    def read(self, pasts: Sequence[tuple[TorchCache, Sequence[UnreadBar]]]) -> list[TorchCache]:
        """Return the caches of rows that have seen more bars, each from the cache it has."""
        lengths = [sum(len(bar.notes) + 1 for bar in bars) for _, bars in pasts]
        needs = [cache.steps + new for (cache, _), new in zip(pasts, lengths, strict=True)]
        found: list[TorchCache] = [cache for cache, _ in pasts]
        with self._lock, torch.inference_mode(), _failing(str(self._device)):
            for part in self._parts([need + 1 for need in needs]):
                read = self._read([pasts[row] for row in part], [needs[row] for row in part])
                for row, cache in zip(part, read, strict=True):
                    found[row] = cache
        return found

    def write(self, drafts: Sequence[Draft]) -> list[Drawn]:
        """Return the notes of each draft, and the cache of its context and its bar."""
        found: list[Drawn | None] = [None] * len(drafts)
        needs = [draft.cache.steps + draft.most + 2 for draft in drafts]
        with self._lock, torch.inference_mode(), _failing(str(self._device)):
            for part in self._parts(needs):
                places = max(needs[row] for row in part)
                drawn = self._write([drafts[row] for row in part], places)
                for row, bar in zip(part, drawn, strict=True):
                    found[row] = bar
        return [bar for bar in found if bar is not None]

    def _parts(self, needs: Sequence[int]) -> Iterator[list[int]]:
        """Yield rows that are worked out together: of the same places, and not too many."""
        order = sorted(range(len(needs)), key=lambda row: _bucket(needs[row], PLACES))
        for _, same in groupby(order, key=lambda row: _bucket(needs[row], PLACES)):
            rows = list(same)
            for first in range(0, len(rows), self._rows[-1]):
                yield rows[first : first + self._rows[-1]]

    def _workspace(self, rows: int, places: int) -> Workspace:
        key = _bucket(rows, self._rows), _bucket(places, PLACES)
        if key not in self._workspaces:
            while len(self._workspaces) >= WORKSPACES_MAX:
                self._workspaces.popitem(last=False)
            self._workspaces[key] = Workspace(self.network, *key, self._device)
        self._workspaces.move_to_end(key)
        return self._workspaces[key]

    def _read(
        self, pasts: Sequence[tuple[TorchCache, Sequence[UnreadBar]]], needs: Sequence[int]
    ) -> list[TorchCache]:
        work = self._workspace(len(pasts), max(needs) + 1)  # the last place is nobody's
        self._load(work, [cache for cache, _ in pasts])
        told = list(dict.fromkeys(bar.told for _, bars in pasts for bar in bars))
        embeddings = self._bars(told)
        listed = [list(_steps_of(bars, told)) for _, bars in pasts]
        longest = _up(max(map(len, listed)), READ_AT_ONCE_STEPS)
        filled: NDArray[np.int64] = np.zeros((work.rows, longest, 7), np.int64)
        for row, of_row in enumerate(listed):
            filled[row, : len(of_row)] = of_row
        starts = np.zeros(work.rows, np.int64)
        starts[: len(pasts)] = [cache.steps for cache, _ in pasts]
        steps, begun = self._sent(filled), self._sent(starts)
        order = torch.arange(READ_AT_ONCE_STEPS, device=self._device)
        for first in range(0, longest, READ_AT_ONCE_STEPS):
            part = steps[:, first : first + READ_AT_ONCE_STEPS]  # (B, T, 7)
            x = self.network.embedding(part[..., :5], embeddings[part[..., 6]])  # -> (B, T, C)
            # what a row has no step for goes where nobody looks before it is written anew
            place = (begun[:, None] + first + order).clamp(max=work.places - 1)
            self.network.forward(x, part[..., 5], place, work.caches)
        return self._unloaded(work, needs, range(len(pasts)))

    def _write(self, drafts: Sequence[Draft], places: int) -> list[Drawn]:
        work = self._workspace(len(drafts), places)
        self._load(work, [draft.cache for draft in drafts])
        told = list(dict.fromkeys(draft.told for draft in drafts))
        which = np.zeros(work.rows, np.int64)
        which[: len(drafts)] = [told.index(draft.told) for draft in drafts]
        bars = self._bars(told)[self._sent(which)]
        for tensor, values in zip(work.inputs[1:], _inputs(drafts, work.rows), strict=True):
            tensor.copy_(self._sent(values), non_blocking=True)
        work.inputs.bar.copy_(bars)
        begin = np.zeros((len(work.state) - 1, work.rows), np.int64)
        begin[:3] = np.array(LINE)[:, None]
        begin[4, : len(drafts)] = [draft.cache.steps for draft in drafts]
        begin[6] = np.arange(work.rows) >= len(drafts)
        for tensor, values in zip(work.state[:-1], begin, strict=True):
            tensor.copy_(self._sent(values), non_blocking=True)
        owed = [draft.owed for draft in drafts]
        owing = any(one is not None for one in owed)
        if owing:
            for tensor, values in zip(work.demands.tables, tables_of(owed, work.rows), strict=True):
                tensor.copy_(self._sent(values), non_blocking=True)
            for tensor in work.demands.struck:
                tensor.zero_()
        limited = any(draft.sampling.top_k or draft.sampling.top_p < 1 for draft in drafts)
        for _ in range(0, HITS_MAX + UNWATCHED_STEPS, UNWATCHED_STEPS):
            work.steps(UNWATCHED_STEPS, limited=limited, owing=owing, recorded=self._graphs)
            if bool(work.state.ended.all()):
                break
        state = work.state
        struck = state.notes.view(work.rows, -1)  # -> (B, 3 * (HITS_MAX + 1))
        ends = torch.stack([state.hits, state.broken.long()], -1)
        whole = torch.cat([ends, struck], -1).to(torch.int32).cpu().numpy()[: len(drafts)]
        if whole[:, 1].any():
            message = "the network's output is no number; load another checkpoint"
            raise ModelError(message)
        counts = whole[:, 0].tolist()
        steps = [draft.cache.steps + 1 + n for draft, n in zip(drafts, counts, strict=True)]
        notes_of_rows = whole[:, 2:].reshape(len(drafts), -1, 3).tolist()
        kept = [row for row, draft in enumerate(drafts) if draft.kept]
        caches = dict(zip(kept, self._unloaded(work, steps, kept), strict=True))
        return [
            Drawn([BinnedNote(*note) for note in notes[:count]], caches.get(row))
            for row, (notes, count) in enumerate(zip(notes_of_rows, counts, strict=True))
        ]

    def _load(self, work: Workspace, caches: Sequence[TorchCache]) -> None:
        """Put what rows have seen into the work space's caches."""
        pasts = [cache.past for cache in caches if cache.past is not None]
        if not pasts:
            return
        heads = self.config.kv_heads
        index = np.concatenate(
            [
                np.arange(cache.steps) + (row * heads + head) * work.places
                for head in range(heads)
                for row, cache in enumerate(caches)
                if cache.past is not None
            ]
        )
        both = torch.cat(pasts, 3).flatten(2, 3)  # (L, 2, S, steps, D) -> (L, 2, S * steps, D)
        work.caches.past.flatten(2, 3).index_copy_(2, self._sent(index), both)

    def _unloaded(
        self, work: Workspace, steps: Sequence[int], rows: Sequence[int]
    ) -> list[TorchCache]:
        """Return what ``rows`` have seen, so many steps each; one copy for all."""
        if not rows:
            return []
        heads = self.config.kv_heads
        index = np.concatenate(
            [
                np.arange(steps[row]) + (row * heads + head) * work.places
                for row in rows
                for head in range(heads)
            ]
        )
        both = work.caches.past.flatten(2, 3).index_select(2, self._sent(index))
        parts = torch.split(both, [heads * steps[row] for row in rows], 2)
        shape = *both.shape[:2], heads, -1, both.shape[3]
        return [TorchCache(part.view(shape)) for part in parts]

    def _bars(self, told: Sequence[Told]) -> Tensor:
        bins = np.array([bar.conditions for bar in told], np.int64)
        shares = np.array([bar.shares for bar in told], np.float32)
        return self.network.bar_embedding(self._sent(bins), self._sent(shares))

    def _sent(self, values: NDArray[np.generic]) -> Tensor:
        if self._device.type == "mps" and values.dtype == np.float64:
            values = values.astype(np.float32)  # it knows no others
        return torch.from_numpy(values).to(self._device, non_blocking=True)


def _steps_of(bars: Sequence[UnreadBar], told: Sequence[Told]) -> Iterator[tuple[int, ...]]:
    """Yield event, velocity, offset, hits before, hits due, time and bar of each step."""
    places = {one: place for place, one in enumerate(told)}
    for bar in bars:
        due, place = _due(bar.told.conditions), places[bar.told]
        for nth, note in enumerate((LINE, *bar.notes)):
            count = min(nth, COUNT_MAX - 1)
            cell = 0 if note.event == BAR_LINE else note.event // len(VOICE_ORDER)
            yield (*note, count, due[count], bar.start + cell, place)


@lru_cache(1024)
def _due(conditions: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(due_hits(conditions, nth) for nth in range(COUNT_MAX))


def _inputs(drafts: Sequence[Draft], rows: int) -> tuple[NDArray[np.generic], ...]:
    """Return all but the first of :class:`_Inputs`; rows that nobody needs have ended."""
    due = np.zeros((rows, COUNT_MAX), np.int64)
    chances = np.zeros((rows, HITS_MAX, 3))
    ends, most, start, top_k = np.zeros((4, rows), np.int64)
    sharpness = np.ones((TEMPERATURE_KINDS, rows), np.float32)
    top_p = np.ones(rows, np.float32)
    given = np.full((rows, HITS_MAX + 1), BAR_LINE, np.int64)
    beyond = np.zeros((rows, HITS_MAX + 1), np.int64)
    top_k[:] = EVENTS
    for row, draft in enumerate(drafts):
        due[row] = _due(draft.told.conditions)
        chances[row, : draft.most + 1] = draft.chances
        ends[row] = draft.sixteenths * len(VOICE_ORDER)
        most[row], start[row] = draft.most, draft.start
        sampling = draft.sampling
        kinds = sampling.temperature, sampling.of_velocity.temperature
        sharpness[:, row] = [1 / temperature for temperature in kinds]
        top_k[row] = sampling.top_k or EVENTS
        top_p[row] = sampling.top_p
        events = draft.events[:HITS_MAX]
        given[row, : len(events)] = events
        beyond[row] = _beyond(given[row])
    is_given = np.zeros(rows, bool)
    is_given[: len(drafts)] = [bool(draft.events) for draft in drafts]
    return due, chances, ends, most, start, sharpness, top_k, top_p, given, beyond, is_given


def _beyond(given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each place where the next other event is; the last one is itself beyond."""
    last = len(given) - 1
    others = np.flatnonzero(given[1:] != given[:-1]) + 1
    found = np.append(others, last)[np.searchsorted(others, np.arange(last + 1), side="right")]
    return found.astype(np.int64)


def _up(count: int, part: int) -> int:
    return -(-count // part) * part


def _bucket(count: int, buckets: Sequence[int]) -> int:
    """Return the least of ``buckets`` that holds ``count``.

    Raises:
        ModelError: none does.
    """
    for size in buckets:
        if count <= size:
            return size
    message = f"{count} steps are more than a device's caches hold, {buckets[-1]}"
    raise ModelError(message)


@contextmanager
def _failing(device: str) -> Iterator[None]:
    """Say what a device did as our errors do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = f"{device} has no room; close what else uses it, or use the CPU"
        raise DeviceFullError(message) from error
    except (RuntimeError, AssertionError) as error:  # the latter is torch's without CUDA
        first = str(error).strip().splitlines() or [type(error).__name__]
        message = f"{device} failed: {first[0]:.200}"
        raise DeviceError(message) from error
