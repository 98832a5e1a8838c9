"""The network step by step, in numpy: what plays on a CPU.

The twin of :mod:`drumigen.model.transformer`, for the shapes that live playing has: few rows, one
step at a time.  There numpy's calls cost a third of torch's (``benchmarks/generation.py``), and the
process that plays needs no torch at all.

A row's numbers do not depend, to the last bit, on which rows it is batched with, nor on whether
its past was read at once or step by step: :mod:`drumigen.model.panels` and
:mod:`drumigen.model.kv_cache` say why.

One layer, of B rows and width C, works in two arrays:

    x (B, C)  ──level──▶  even (B, C)  ──in_proj──▶  y (B, 5 C + 2 S D)

    y   │ feed-forward, 4 C  │ queries, C │ keys, S D │ values, S D │ 0 │   panels of 64 columns
        │ relu, squared      │   rotary turns them    │             │
        │                    │     │  keys and values go into the caches
        │                    │  attention: replaced by what they find there
        └──────────── both, 5 C ───────┘
                       └──out_proj──▶  added (B, C),  x += added

The heads of keys and values (S of them) are shared by several heads of queries each, and the halves
of a head that turn together lie side by side, so that a turn is one complex product.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.kv_cache import Attention, KVCache
from drumigen.model.network import (
    COUNT_MAX,
    EPSILON,
    ModelConfig,
    due_hits,
    wavelengths,
    weight_shapes,
)
from drumigen.model.panels import CHUNK_ROWS, PANEL_COLUMNS, linear, padded_to, panels_of, places_of
from drumigen.model.stepper import Floats
from drumigen.model.tokens import BinnedNote
from drumigen.model.vocabulary import BAR_LINE

WORKS_MAX: Final = 8
"""Sets of work arrays that are kept for each number of rows: one a thread that works at a time."""
TURNS: Final = 512
"""Sixteenths by which the table of rotary turns grows."""

_EPSILON: Final = np.array(EPSILON, np.float32)  # an array: a number takes twice as long


class _Work:
    """Arrays that a batch of so many rows is worked out in, and views of their parts."""

    def __init__(self, config: ModelConfig, rows: int) -> None:
        width, heads, head = config.width, config.kv_heads, config.head_width
        padded = padded_to(rows, CHUNK_ROWS)
        inner, both = 4 * width, 5 * width
        last = both + 2 * heads * head
        self.x: Floats = np.zeros((padded, width), np.float32)
        self._share = np.array(1 / width, np.float32)
        self._squares: Floats = np.empty(padded, np.float32)
        self.even: Floats = np.empty((padded, width), np.float32)
        added: Floats = np.empty((padded, padded_to(width, PANEL_COLUMNS)), np.float32)
        y: Floats = np.zeros((padded, padded_to(last, PANEL_COLUMNS)), np.float32)
        # operands of the two products, in chunks of rows, and the places of their results
        self.in_proj = self.even.reshape(-1, CHUNK_ROWS, width), places_of(y)
        self.out_proj = y[:, :both].reshape(-1, CHUNK_ROWS, both), places_of(added)
        self.added = added[:, :width]  # (B, C padded) -> (B, C)
        self.feed_forward = y[:rows, :inner]
        self.zeros: Floats = np.zeros((1, inner), np.float32)
        rotary = y[:, inner : both + heads * head].view(np.complex64)
        # (B, C + S D) -> (B, heads of queries and keys, D / 2), complex
        self.rotary = rotary.reshape(padded, -1, head // 2)[:rows]
        queries = y[:rows, inner:both].reshape(rows, heads, -1, head)  # -> (B, S, G, D)
        news = y[:rows, both:last].reshape(rows, 2 * heads, head)  # -> (B, 2 S, D)
        self.attention = Attention(queries, news.transpose(1, 0, 2))  # -> (2 S, B, D)

    def level(self) -> None:
        """Bring the rows of ``x`` to unit mean square, in ``even``."""
        squares = self._squares
        np.vecdot(self.x, self.x, out=squares)  # (B, C) -> (B,)
        np.multiply(squares, self._share, out=squares)
        np.add(squares, _EPSILON, out=squares)
        np.sqrt(squares, out=squares)
        np.divide(self.x, squares[:, None], out=self.even)


class Decoder:
    """The weights, laid out for steps.

    Any number of threads may use one, each with caches of its own.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, NDArray[np.generic]]) -> None:
        """Take the weights of a checkpoint, by the names in :func:`weight_shapes`.

        Raises:
            KeyError: one is missing.
            ValueError: one has another shape.
        """
        self.config = config
        width, head = config.width, config.head_width

        shapes = weight_shapes(config)

        def weight(name: str) -> Floats:
            found = np.asarray(weights[name], np.float32)
            if found.shape != shapes[name]:
                message = f"{name} is {found.shape}, not {shapes[name]}"
                raise ValueError(message)
            return found

        position = weight("position.weight")
        voice = weight("voice.weight")
        notes = (position[:-1, None] + voice[None, :-1]).reshape(-1, width)  # -> (events, C)
        self._event: Floats = np.vstack([notes, position[-1] + voice[-1]])
        self._velocity = weight("velocity.weight")
        self._offset = weight("offset.weight")
        self._count = weight("count.weight")
        self._due = weight("due.weight")
        self._style = weight("style.weight")
        sizes = list(CONDITION_SIZES.values())
        self._condition = weight("condition.weight")
        self._firsts = np.cumsum([0, *sizes[:-1]])
        order = _interleaved(4 * width, config.heads, config.kv_heads, head)
        self._layers = []
        for n in range(config.layers):
            in_proj = weight(f"blocks.{n}.into.weight")[order].T.copy()  # -> (C, 5 C + 2 S D)
            # the scale of attention goes into its queries
            in_proj[:, 4 * width : 5 * width] *= head**-0.5
            out_proj = weight(f"blocks.{n}.out.weight").T  # -> (5 C, C)
            self._layers.append((panels_of(in_proj), panels_of(out_proj)))
        heads = [weight("event_head.weight").T, weight("detail_head.weight").T]
        self._ends = panels_of(np.hstack(heads))
        self._end_biases = np.concatenate([weight("event_head.bias"), weight("detail_head.bias")])
        self._event_detail = weight("event_detail.weight")
        self._velocity_detail = weight("velocity_detail.weight")
        self._velocity_head = panels_of(weight("velocity_head.weight").T)
        self._velocity_bias = weight("velocity_head.bias")
        self._offset_head = panels_of(weight("offset_head.weight").T)
        self._offset_bias = weight("offset_head.bias")
        self._turns = np.empty((0, head // 2), np.complex64)
        self._works: dict[int, list[_Work]] = {}

    def cache(self) -> KVCache:
        """Return the cache of a row that has seen nothing."""
        return KVCache(self.config)

    def condition_embedding(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what condition bins and shares of styles add to a bar's steps: see Stepper."""
        found: Floats = self._condition[self._firsts + conditions].sum(axis=0)  # -> (C,)
        for place, share in enumerate(shares):
            if share:
                found = found + np.float32(share) * self._style[place]
        due = [due_hits(conditions, nth) for nth in range(COUNT_MAX)]
        return self._count + self._due[due] + found  # -> (COUNT_MAX, C)

    def read(
        self,
        caches: Sequence[KVCache],
        notes: Sequence[BinnedNote],
        times: Sequence[float],
        conditions: Floats,
    ) -> Floats:
        """Take one step in each row; return what is known after it, (B, C): see Stepper."""
        spans = [(cache, len(list(same))) for cache, same in groupby(caches)]
        fit = 0
        for cache, count in spans:
            fit += min(count, left := cache.left())
            if count > left:  # the others, when these have been taken
                parts = slice(fit), slice(fit, None)
                return np.concatenate(
                    [self.read(caches[p], notes[p], times[p], conditions[p]) for p in parts]
                )
        rows = len(caches)
        free = self._works.setdefault(rows, [])
        try:
            work = free.pop()  # nobody else has it until it is back
        except IndexError:
            work = _Work(self.config, rows)
        try:
            return self._stepped(work, spans, notes, times, conditions)
        finally:
            if len(free) < WORKS_MAX:
                free.append(work)

    def _stepped(
        self,
        work: _Work,
        spans: Sequence[tuple[KVCache, int]],
        notes: Sequence[BinnedNote],
        times: Sequence[float],
        conditions: Floats,
    ) -> Floats:
        """Take the steps, for which there is room, in the arrays of ``work``."""
        rows = len(notes)
        x, feed_forward, rotary = work.x, work.feed_forward, work.rotary
        (even, projected), (both, added) = work.in_proj, work.out_proj
        event, velocity, offset = zip(*notes, strict=True)
        here = x[:rows]
        np.add(self._event.take(event, 0), self._velocity.take(velocity, 0), out=here)  # -> (B, C)
        here += self._offset.take(offset, 0)
        here += conditions
        turn = self._turns_at(times)
        attention = work.attention
        attention.begin(spans)
        for layer, (in_proj, out_proj) in enumerate(self._layers):
            work.level()
            np.matmul(even, in_proj, out=projected)  # (B, C) -> (B, 5 C + 2 S D)
            np.maximum(feed_forward, work.zeros, out=feed_forward)  # a mere 0 takes twice as long
            np.multiply(feed_forward, feed_forward, out=feed_forward)
            np.multiply(rotary, turn, out=rotary)
            attention.attend(layer)
            np.matmul(both, out_proj, out=added)  # (B, 5 C) -> (B, C)
            x += work.added
        work.level()
        return work.even[:rows].copy()

    def _turns_at(self, times: Sequence[float]) -> NDArray[np.complex64]:
        """Return the turns of whole sixteenths, (B, 1, D / 2)."""
        last = int(max(times))
        table = self._turns  # another thread may replace it
        if last >= len(table):
            count = padded_to(last + 1, TURNS)
            angles = np.arange(count)[:, None] * (2 * np.pi / np.array(wavelengths(self.config)))
            self._turns = table = np.exp(1j * angles).astype(np.complex64)  # (times, D / 2)
        turns: NDArray[np.complex64] = table[[int(time) for time in times], None]
        return turns

    def events(self, hidden: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, (B, E), and what :meth:`velocities` needs."""
        ends = linear(hidden, self._ends, self._end_biases)  # (B, C) -> (B, E + 2 H)
        return ends[:, : BAR_LINE + 1], ends[:, BAR_LINE + 1 :]

    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""
        both = details + self._event_detail.take(events, 0)  # (B, 2 H)
        half = self.config.detail_width
        inner = _squared(both[:, :half])  # -> (B, H)
        return linear(inner, self._velocity_head, self._velocity_bias), both[:, half:]

    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
        inner = _squared(details + self._velocity_detail.take(velocities, 0))
        return linear(inner, self._offset_head, self._offset_bias)  # (B, H) -> (B, offsets)


def _interleaved(first: int, heads: int, kv_heads: int, head: int) -> list[int]:
    """Return the rows of ``in_proj`` with the halves of each turned head interleaved.

    A pair of numbers that turn together then lies together, as a complex number does.
    """
    order = list(range(first))
    for start in range(first, first + (heads + kv_heads) * head, head):
        pairs = zip(
            range(start, start + head // 2), range(start + head // 2, start + head), strict=True
        )
        order += [place for pair in pairs for place in pair]
    last = first + (heads + kv_heads) * head
    return [*order, *range(last, last + kv_heads * head)]


def _squared(x: Floats) -> Floats:
    """Return max(x, 0) squared."""
    positive: Floats = np.maximum(x, 0)
    return np.multiply(positive, positive, out=positive)
