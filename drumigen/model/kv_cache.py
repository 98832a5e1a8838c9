"""What a row has seen, as keys and values, and the attention of new steps to it, in numpy.

Products of attention take one step of one row, and a number of keys that follows from the step's
place alone: it and those before it, rounded up to a multiple of :data:`GROWTH_STEPS`.  So a row's
numbers depend neither on the other rows nor on how its past was read.

In the shapes B are rows, T steps of one row, L layers, S heads of keys and values, G heads of
queries for each of those, D the width of a head, C = S * G * D that of the network.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from drumigen.model.network import ModelConfig
from drumigen.model.stepper import Floats

GROWTH_STEPS: Final = 64
"""Steps by which a row's cache grows."""

_HIDDEN: Final = np.full((GROWTH_STEPS, GROWTH_STEPS), -np.inf, np.float32)
_LATER: Final[Floats] = np.triu(_HIDDEN, 1)[:, None, None]
"""Added to scores, it hides from each step of a room those after it, (T, 1, 1, T)."""


class KVCache:
    """What one row has seen: keys, then values, of its steps, (L, 2 S, T, D + 1).

    A value ends in a 1, so that a weighted sum of values ends in the sum of the weights.  Of steps
    to come values are 0, and keys are that of a step taken: neither sums nor maxima feel them.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Begin with nothing seen."""
        self.steps = 0
        self._kv_heads = config.kv_heads
        shape = config.layers, 2 * config.kv_heads, 0, config.head_width + 1
        self._hold(np.empty(shape, np.float32))

    def _hold(self, past: Floats) -> None:
        heads = self._kv_heads
        self._past = past
        self.room: int = past.shape[2]
        self.layers = [
            (part[..., :-1], part[:heads, :, :-1].transpose(0, 2, 1), part[heads:]) for part in past
        ]
        """Of each layer keys and values, (2 S, T, D); keys, (S, D, T); values, (S, T, D + 1)."""

    def left(self) -> int:
        """Return for how many steps there is room; make some if there is none."""
        if self.steps == self.room:
            layers, parts, room, width = self._past.shape
            past = np.zeros((layers, parts, room + GROWTH_STEPS, width), np.float32)
            past[:, :, :room] = self._past
            self._hold(past)
        return self.room - self.steps

    def take(self, count: int) -> slice:
        """Return the places of the next steps, for which there is room."""
        places = slice(self.steps, self.steps + count)
        self.steps = places.stop
        self._past[:, self._kv_heads :, places, -1] = 1
        return places

    def copied(self) -> "KVCache":
        """Return a cache that goes on from here by itself."""
        other = object.__new__(KVCache)
        other.steps, other._kv_heads = self.steps, self._kv_heads
        other._hold(self._past.copy())
        return other


class Attention:
    """Queries, keys and values of a batch of steps, and what the queries find in the caches."""

    def __init__(self, queries: Floats, news: Floats) -> None:
        """Work on queries (B, S, G, D) and on new keys, then values, (2 S, B, D): both views."""
        self.queries = queries
        self.news = news
        heads = queries.shape[:3]
        self._most: Floats = np.empty((*heads, 1), np.float32)
        self.found: Floats = np.empty((*heads, queries.shape[3] + 1), np.float32)
        self._values, self._sums = self.found[..., :-1], self.found[..., -1:]
        self._runs: list[_Run] = []

    def begin(self, spans: Sequence[tuple[KVCache, int]]) -> None:
        """Take so many steps of each row; there is room for them in its cache."""
        longest = max([cache.room for cache, _ in spans])
        self.scores: Floats = np.empty((*self.queries.shape[:3], longest), np.float32)
        self.weights = np.empty_like(self.scores)
        self._runs = []
        first = 0
        for cache, count in spans:
            self._runs.append(_Run(self, cache, first, first + count))
            first += count

    def attend(self, layer: int) -> None:
        """Replace queries by what they find in the caches, which the new steps go into."""
        for run in self._runs:
            run.score(layer)
        np.maximum.reduce(self.scores, axis=3, keepdims=True, out=self._most)
        np.subtract(self.scores, self._most, out=self.weights)
        np.exp(self.weights, out=self.weights)
        for run in self._runs:
            run.find(layer)
        np.divide(self._values, self._sums, out=self.queries)


class _Run:
    """Successive steps of one row, in one room of its cache, and views of their numbers."""

    def __init__(self, work: Attention, cache: KVCache, first: int, last: int) -> None:
        room = cache.room
        self._layers = cache.layers
        self._places = cache.take(last - first)
        self._new = work.news[:, first:last]
        self._query = work.queries[first:last]
        self._scores = work.scores[first:last, :, :, :room]
        self._weights = work.weights[first:last, :, :, :room]
        self._found = work.found[first:last]
        if room < work.scores.shape[3]:
            work.scores[first:last, :, :, room:] = -np.inf
        begun = self._places.start - (room - GROWTH_STEPS)
        self._opens = begun == 0
        self._later = _LATER[begun : begun + last - first] if last - first > 1 else None

    def score(self, layer: int) -> None:
        """Put the steps into the cache, and compare their queries with its keys."""
        written, keys, _ = self._layers[layer]
        if self._opens:
            heads = len(keys)
            written[:heads, -GROWTH_STEPS:] = self._new[:heads, :1]
        written[:, self._places] = self._new
        np.matmul(self._query, keys, out=self._scores)  # (T, S, G, D) -> (T, S, G, room)
        if self._later is not None:
            self._scores[..., -GROWTH_STEPS:] += self._later

    def find(self, layer: int) -> None:
        """Add up the cache's values by their weights."""
        values = self._layers[layer][2]
        np.matmul(self._weights, values, out=self._found)  # (T, S, G, room) -> (T, S, G, D + 1)
