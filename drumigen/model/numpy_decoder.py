"""The network step by step, in numpy: what plays on a CPU.

The twin of :mod:`drumigen.model.transformer`, for the shapes that live playing has: few rows, one
step at a time.  There numpy's calls cost a third of torch's (``benchmarks/generation.py``), and the
process that plays needs no torch at all.

A row's numbers do not depend, to the last bit, on which rows it is batched with, nor on whether
its past was read at once or step by step.  Matrix products always take :data:`CHUNK` rows at a
time; those of attention take one step, and a number of keys that follows from its place alone: it
and those before it, rounded up to a multiple of :data:`ROOM`.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.network import (
    COUNT_MAX,
    EPSILON,
    ModelConfig,
    due_hits,
    wavelengths,
    weight_shapes,
)
from drumigen.model.stepper import Floats
from drumigen.model.tokens import Note
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, VELOCITIES

CHUNK: Final = 4
"""Rows of a matrix product.  BLAS libraries choose their way by the number of rows, and each sums
in an order of its own; four are as quick as one for a product that waits for its weights."""
PANEL: Final = 64
"""Columns of a matrix product.  Weights lie in panels of so many and are read from end to end; in
one piece their rows are too far apart for a processor to fetch them ahead."""
ROOM: Final = 64
"""Steps by which a row's memory grows."""
WORKS_MAX: Final = 8
"""Sets of work arrays that are kept for each number of rows: one a thread that works at a time."""
TURNS: Final = 512
"""Sixteenths by which the table of rotary turns grows."""

LINE: Final = Note(BAR_LINE, VELOCITIES, OFFSETS)
"""The step that opens a bar."""

_EPSILON: Final = np.array(EPSILON, np.float32)  # an array: a number takes twice as long
_LATER: Final[Floats] = np.triu(np.full((ROOM, ROOM), -np.inf, np.float32), 1)[:, None, None]
"""Added to scores, it hides from each step of a room those after it, [T, 1, 1, T]."""


class Memory:
    """What one row has seen: keys, then values, of its steps, [L, 2 S, T, D + 1].

    A value ends in a 1, so that a weighted sum of values ends in the sum of the weights.  Of steps
    to come values are 0, and keys are that of a step taken: neither sums nor maxima feel them.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Begin with nothing seen."""
        self.steps = 0
        self._shared = config.shared
        shape = config.layers, 2 * config.shared, 0, config.head_width + 1
        self._hold(np.empty(shape, np.float32))

    def _hold(self, past: Floats) -> None:
        shared = self._shared
        self._past = past
        self.room: int = past.shape[2]
        self.layers = [
            (part[..., :-1], part[:shared, :, :-1].transpose(0, 2, 1), part[shared:])
            for part in past
        ]
        """Of each layer keys and values, [2 S, T, D]; keys, [S, D, T]; values, [S, T, D + 1]."""

    def left(self) -> int:
        """Return for how many steps there is room; make some if there is none."""
        if self.steps == self.room:
            layers, parts, room, width = self._past.shape
            past = np.zeros((layers, parts, room + ROOM, width), np.float32)
            past[:, :, :room] = self._past
            self._hold(past)
        return self.room - self.steps

    def take(self, count: int) -> slice:
        """Return the places of the next steps, for which there is room."""
        places = slice(self.steps, self.steps + count)
        self.steps = places.stop
        self._past[:, self._shared :, places, -1] = 1
        return places

    def copied(self) -> "Memory":
        """Return a memory that goes on from here by itself."""
        other = object.__new__(Memory)
        other.steps, other._shared = self.steps, self._shared
        other._hold(self._past.copy())
        return other


class _Work:
    """Arrays that a batch of so many rows is worked out in, and views of their parts."""

    def __init__(self, config: ModelConfig, rows: int) -> None:
        width, shared, head = config.width, config.shared, config.head_width
        padded = _whole(rows, CHUNK)
        inner, both = 4 * width, 5 * width
        self.x: Floats = np.zeros((padded, width), np.float32)
        self._share = np.array(1 / width, np.float32)
        self._squares: Floats = np.empty(padded, np.float32)
        self.even: Floats = np.empty((padded, width), np.float32)
        added: Floats = np.empty((padded, _whole(width, PANEL)), np.float32)
        last = both + 2 * shared * head
        y: Floats = np.zeros((padded, _whole(last, PANEL)), np.float32)
        self.into = self.even.reshape(-1, CHUNK, width), _places(y)
        self.out = y[:, :both].reshape(-1, CHUNK, both), _places(added)
        """Chunks of rows of a product, and places of its results: see :func:`_panels`."""
        self.added = added[:, :width]
        self.hidden = y[:rows, :inner]
        self.zeros: Floats = np.zeros((1, inner), np.float32)
        turned = y[:, inner : both + shared * head].view(np.complex64)
        self.turned = turned.reshape(padded, -1, head // 2)[:rows]
        self.queries = y[:rows, inner:both].reshape(rows, shared, -1, head)
        self.news = y[:rows, both:last].reshape(rows, 2 * shared, head).transpose(1, 0, 2)
        heads = self.queries.shape[:3]
        self._most: Floats = np.empty((*heads, 1), np.float32)
        self.found: Floats = np.empty((*heads, head + 1), np.float32)
        self._values, self._sums = self.found[..., :head], self.found[..., head:]

    def level(self) -> None:
        """Bring the rows of ``x`` to unit mean square, in ``even``."""
        squares = self._squares
        np.vecdot(self.x, self.x, out=squares)
        np.multiply(squares, self._share, out=squares)
        np.add(squares, _EPSILON, out=squares)
        np.sqrt(squares, out=squares)
        np.divide(self.x, squares[:, None], out=self.even)

    def runs(self, spans: Sequence[tuple[Memory, int]]) -> list["_Run"]:
        """Take so many steps of each row; there is room for them in its memory."""
        longest = max([memory.room for memory, _ in spans])
        self.scores = np.empty((*self.queries.shape[:3], longest), np.float32)
        self.weights = np.empty_like(self.scores)
        found = []
        first = 0
        for memory, count in spans:
            found.append(_Run(self, memory, first, first + count))
            first += count
        return found

    def attend(self, runs: Sequence["_Run"], layer: int) -> None:
        """Replace queries by what they find in the memories, which the steps go into."""
        for run in runs:
            run.score(layer)
        np.maximum.reduce(self.scores, axis=3, keepdims=True, out=self._most)
        np.subtract(self.scores, self._most, out=self.weights)
        np.exp(self.weights, out=self.weights)
        for run in runs:
            run.find(layer)
        np.divide(self._values, self._sums, out=self.queries)


class _Run:
    """Successive steps of one row, in one room of its memory, and views of their numbers."""

    def __init__(self, work: _Work, memory: Memory, first: int, last: int) -> None:
        room = memory.room
        self._layers = memory.layers
        self._places = memory.take(last - first)
        self._new = work.news[:, first:last]
        self._query = work.queries[first:last]
        self._scores = work.scores[first:last, :, :, :room]
        self._weights = work.weights[first:last, :, :, :room]
        self._found = work.found[first:last]
        if room < work.scores.shape[3]:
            work.scores[first:last, :, :, room:] = -np.inf
        begun = self._places.start - (room - ROOM)
        self._opens = begun == 0
        self._later = _LATER[begun : begun + last - first] if last - first > 1 else None

    def score(self, layer: int) -> None:
        """Put the steps into the memory, and compare their queries with its keys."""
        written, keys, _ = self._layers[layer]
        if self._opens:
            shared = len(keys)
            written[:shared, -ROOM:] = self._new[:shared, :1]
        written[:, self._places] = self._new
        np.matmul(self._query, keys, out=self._scores)
        if self._later is not None:
            self._scores[..., -ROOM:] += self._later

    def find(self, layer: int) -> None:
        """Add up the memory's values by their weights."""
        np.matmul(self._weights, self._layers[layer][2], out=self._found)


class Decoder:
    """The weights, laid out for steps.

    Any number of threads may use one, each with memories of its own.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, NDArray[np.generic]]) -> None:
        """Take the weights of a checkpoint, by their names in :class:`DrumPatternTransformer`.

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
        notes = (position[:-1, None] + voice[None, :-1]).reshape(-1, width)
        self._event: Floats = np.vstack([notes, position[-1] + voice[-1]])
        self._velocity = weight("velocity.weight")
        self._offset = weight("offset.weight")
        self._count = weight("count.weight")
        self._due = weight("due.weight")
        self._style = weight("style.weight")
        sizes = list(CONDITION_SIZES.values())
        self._condition = weight("condition.weight")
        self._firsts = np.cumsum([0, *sizes[:-1]])
        order = _interleaved(4 * width, config.heads, config.shared, head)
        self._layers = []
        for n in range(config.layers):
            into = weight(f"blocks.{n}.into.weight")[order].T.copy()
            # the scale of attention goes into its queries
            into[:, 4 * width : 5 * width] *= head**-0.5
            out = weight(f"blocks.{n}.out.weight").T
            self._layers.append((_panels(into), _panels(out)))
        heads = [weight("event_head.weight").T, weight("detail_head.weight").T]
        self._ends = _panels(np.hstack(heads))
        self._end_biases = np.concatenate([weight("event_head.bias"), weight("detail_head.bias")])
        self._event_detail = weight("event_detail.weight")
        self._velocity_detail = weight("velocity_detail.weight")
        self._velocity_head = _panels(weight("velocity_head.weight").T)
        self._velocity_bias = weight("velocity_head.bias")
        self._offset_head = _panels(weight("offset_head.weight").T)
        self._offset_bias = weight("offset_head.bias")
        self._turns = np.empty((0, head // 2), np.complex64)
        self._works: dict[int, list[_Work]] = {}

    def memory(self) -> Memory:
        """Return the memory of a row that has seen nothing."""
        return Memory(self.config)

    def told(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what condition bins and shares of styles add to a bar's steps, by number."""
        found: Floats = self._condition[self._firsts + conditions].sum(axis=0)
        for place, share in enumerate(shares):
            if share:
                found = found + np.float32(share) * self._style[place]
        due = [due_hits(conditions, nth) for nth in range(COUNT_MAX)]
        return self._count + self._due[due] + found

    def read(
        self,
        memories: Sequence[Memory],
        notes: Sequence[Note],
        times: Sequence[float],
        told: Floats,
    ) -> Floats:
        """Take one step in each row; return what is known after it, [R, W]: see Stepper."""
        spans = [(memory, len(list(same))) for memory, same in groupby(memories)]
        fit = 0
        for memory, count in spans:
            fit += min(count, left := memory.left())
            if count > left:  # the others, when these have been taken
                parts = slice(fit), slice(fit, None)
                return np.concatenate(
                    [self.read(memories[p], notes[p], times[p], told[p]) for p in parts]
                )
        rows = len(memories)
        free = self._works.setdefault(rows, [])
        try:
            work = free.pop()  # nobody else has it until it is back
        except IndexError:
            work = _Work(self.config, rows)
        try:
            return self._stepped(work, spans, notes, times, told)
        finally:
            if len(free) < WORKS_MAX:
                free.append(work)

    def _stepped(
        self,
        work: _Work,
        spans: Sequence[tuple[Memory, int]],
        notes: Sequence[Note],
        times: Sequence[float],
        told: Floats,
    ) -> Floats:
        """Take the steps, for which there is room, in the arrays of ``work``."""
        rows = len(notes)
        x, hidden, turned, added = work.x, work.hidden, work.turned, work.added
        (chunks, places), (seen, found) = work.into, work.out
        event, velocity, offset = zip(*notes, strict=True)
        here = x[:rows]
        np.add(self._event.take(event, 0), self._velocity.take(velocity, 0), out=here)
        here += self._offset.take(offset, 0)
        here += told
        turn = self._turns_at(times)
        runs = work.runs(spans)
        for layer, (into, out) in enumerate(self._layers):
            work.level()
            np.matmul(chunks, into, out=places)
            np.maximum(hidden, work.zeros, out=hidden)  # a mere 0 would take twice as long
            np.multiply(hidden, hidden, out=hidden)
            np.multiply(turned, turn, out=turned)
            work.attend(runs, layer)
            np.matmul(seen, out, out=found)
            x += added
        work.level()
        return work.even[:rows].copy()

    def _turns_at(self, times: Sequence[float]) -> NDArray[np.complex64]:
        """Return the turns of whole sixteenths, [R, 1, D / 2]."""
        last = int(max(times))
        table = self._turns  # another thread may replace it
        if last >= len(table):
            count = _whole(last + 1, TURNS)
            angles = np.arange(count)[:, None] * (2 * np.pi / np.array(wavelengths(self.config)))
            self._turns = table = np.exp(1j * angles).astype(np.complex64)
        turns: NDArray[np.complex64] = table[[int(time) for time in times], None]
        return turns

    def events(self, known: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, [R, E], and what :meth:`velocities` needs, [R, 2 D]."""
        ends = _headed(known, self._ends, self._end_biases)
        return ends[:, : BAR_LINE + 1], ends[:, BAR_LINE + 1 :]

    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""
        both = details + self._event_detail.take(events, 0)
        half = self.config.hidden
        inner = _squared(both[:, :half])
        return _headed(inner, self._velocity_head, self._velocity_bias), both[:, half:]

    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
        inner = _squared(details + self._velocity_detail.take(velocities, 0))
        return _headed(inner, self._offset_head, self._offset_bias)


def _interleaved(first: int, heads: int, shared: int, head: int) -> list[int]:
    """Return the rows of ``into`` with the halves of each turned head interleaved.

    A pair of numbers that turn together then lies together, as a complex number does.
    """
    order = list(range(first))
    for start in range(first, first + (heads + shared) * head, head):
        pairs = zip(
            range(start, start + head // 2), range(start + head // 2, start + head), strict=True
        )
        order += [place for pair in pairs for place in pair]
    last = first + (heads + shared) * head
    return [*order, *range(last, last + shared * head)]


def _whole(count: int, part: int) -> int:
    """Return the least multiple of ``part`` that holds ``count``."""
    return -(-count // part) * part


def _panels(weights: Floats) -> Floats:
    """Return weights [I, O] as [P, 1, I, PANEL]."""
    inner, outer = weights.shape
    padded = np.zeros((inner, _whole(outer, PANEL)), np.float32)
    padded[:, :outer] = weights
    return padded.reshape(inner, -1, 1, PANEL).transpose(1, 2, 0, 3).copy()


def _places(out: Floats) -> Floats:
    """Return the places in ``out`` [R, O] of panels and chunks, [P, R / CHUNK, CHUNK, PANEL]."""
    rows, outer = out.shape
    return out.reshape(rows // CHUNK, CHUNK, outer // PANEL, PANEL).transpose(2, 0, 1, 3)


def _headed(known: Floats, panels: Floats, bias: Floats) -> Floats:
    """Return known @ weights + bias for any number of rows."""
    rows, inner = known.shape
    padded = np.zeros((_whole(rows, CHUNK), inner), np.float32)
    padded[:rows] = known
    found = np.empty((len(padded), len(panels) * PANEL), np.float32)
    np.matmul(padded.reshape(-1, CHUNK, inner), panels, out=_places(found))
    return found[:rows, : len(bias)] + bias


def _squared(x: Floats) -> Floats:
    """Return max(x, 0) squared."""
    positive: Floats = np.maximum(x, 0)
    return np.multiply(positive, positive, out=positive)
