"""The network step by step, in numpy: what plays on a CPU.

The twin of :mod:`drumigen.model`, for the shapes that live playing has: few rows, one step at a
time.  There numpy's calls cost a third of torch's (``benchmarks/generation.py``), and the process
that plays needs no torch at all.

A row's numbers do not depend, to the last bit, on which rows it is batched with, nor on whether
its past was read at once or step by step: matrix products always take :data:`CHUNK` rows at a
time, and each row attends by itself.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drumigen.conditions import CONDITION_SIZES
from drumigen.network import COUNT_MAX, EPSILON, ModelConfig, due_hits, wavelengths, weight_shapes
from drumigen.stepper import Floats
from drumigen.tokens import Note
from drumigen.vocabulary import BAR_LINE, OFFSETS, VELOCITIES

CHUNK: Final = 4
"""Rows of a matrix product.  BLAS libraries choose their way by the number of rows, and each sums
in an order of its own; four are as quick as one for a product that waits for its weights."""
ROOM: Final = 64
"""Steps by which a row's memory grows."""
TURNS: Final = 512
"""Sixteenths by which the table of rotary turns grows."""

LINE: Final = Note(BAR_LINE, VELOCITIES, OFFSETS)
"""The step that opens a bar."""


class Memory:
    """What one row has seen: keys, then values, of its steps, [L, 2 S, T, D]."""

    def __init__(self, config: ModelConfig) -> None:
        """Begin with nothing seen."""
        shape = config.layers, 2 * config.shared, ROOM, config.head_width
        self.past: Floats = np.empty(shape, np.float32)
        self.steps = 0

    def make_room(self, steps: int) -> None:
        """Have room for so many steps more."""
        layers, parts, room, width = self.past.shape
        if self.steps + steps > room:
            more = -(-(self.steps + steps - room) // ROOM) * ROOM
            added = np.empty((layers, parts, more, width), np.float32)
            self.past = np.concatenate([self.past, added], axis=2)

    def copied(self) -> "Memory":
        """Return a memory that goes on from here by itself."""
        other = object.__new__(Memory)
        other.past, other.steps = self.past.copy(), self.steps
        return other


class _Work:
    """Arrays that a batch of so many rows is worked out in, and views of their parts."""

    def __init__(self, config: ModelConfig, rows: int) -> None:
        width, shared, head = config.width, config.shared, config.head_width
        padded = -(-rows // CHUNK) * CHUNK
        inner, both = 4 * width, 5 * width
        self.x: Floats = np.zeros((padded, width), np.float32)
        self.added: Floats = np.empty((padded, width), np.float32)
        y: Floats = np.zeros((padded, both + 2 * shared * head), np.float32)
        self.y = y
        self.both = y[:, :both]
        self.hidden = y[:rows, :inner]
        turned = y[:, inner : both + shared * head].view(np.complex64)
        self.turned = turned.reshape(padded, -1, head // 2)[:rows]
        queries = y[:, inner:both].reshape(padded, shared, -1, head)
        news = y[:, both:].reshape(padded, 2 * shared, head)
        self.rows = [(queries[row], news[row]) for row in range(rows)]
        self.steps = list(self.x[:rows])


class Decoder:
    """The weights, laid out for steps."""

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
        self._into = [
            weight(f"blocks.{n}.into.weight")[order].T.copy() for n in range(config.layers)
        ]
        for into in self._into:  # the scale of attention goes into its queries
            into[:, 4 * width : 5 * width] *= head**-0.5
        self._out = [weight(f"blocks.{n}.out.weight").T.copy() for n in range(config.layers)]
        heads = [weight("event_head.weight").T, weight("detail_head.weight").T]
        # hstack would leave the columns together, and a product then takes six times as long
        self._ends: Floats = np.ascontiguousarray(np.hstack(heads))
        self._end_biases = np.concatenate([weight("event_head.bias"), weight("detail_head.bias")])
        self._event_detail = weight("event_detail.weight")
        self._velocity_detail = weight("velocity_detail.weight")
        self._velocity_head = weight("velocity_head.weight").T.copy()
        self._velocity_bias = weight("velocity_head.bias")
        self._offset_head = weight("offset_head.weight").T.copy()
        self._offset_bias = weight("offset_head.bias")
        self._turns = np.empty((0, head // 2), np.complex64)
        self._works: dict[int, _Work] = {}

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
        rows = len(memories)
        work = self._work(rows)
        x, y, hidden, added = work.x, work.y, work.hidden, work.added
        event, velocity, offset = zip(*notes, strict=True)
        here = x[:rows]
        np.add(self._event[[*event]], self._velocity[[*velocity]], out=here)
        here += self._offset[[*offset]]
        here += told
        turn = self._turns_at(times)
        for memory in memories:
            memory.make_room(rows)
        spots = []
        for memory in memories:
            spots.append(memory.steps)
            memory.steps += 1
        shared = self.config.shared
        for layer, (into, out) in enumerate(zip(self._into, self._out, strict=True)):
            _product(x, into, y)
            y[:rows] *= _scales(work.steps)
            np.maximum(hidden, 0, out=hidden)
            np.multiply(hidden, hidden, out=hidden)
            np.multiply(work.turned, turn, out=work.turned)
            for (query, new), memory, spot in zip(work.rows, memories, spots, strict=True):
                past = memory.past[layer]
                past[:, spot] = new
                seen = past[:, : spot + 1]
                _attend(query, seen[:shared], seen[shared:])
            _product(work.both, out, added)
            x += added
        return here * _scales(work.steps)

    def _work(self, rows: int) -> _Work:
        if rows not in self._works:
            self._works[rows] = _Work(self.config, rows)
        work = self._works[rows]
        work.x[rows:] = 0
        return work

    def _turns_at(self, times: Sequence[float]) -> NDArray[np.complex64]:
        """Return the turns of whole sixteenths, [R, 1, D / 2]."""
        last = int(max(times))
        if last >= len(self._turns):
            count = -(-(last + 1) // TURNS) * TURNS
            angles = np.arange(count)[:, None] * (2 * np.pi / np.array(wavelengths(self.config)))
            self._turns = np.exp(1j * angles).astype(np.complex64)
        turns: NDArray[np.complex64] = self._turns[[int(time) for time in times], None]
        return turns

    def events(self, known: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, [R, E], and what :meth:`velocities` needs, [R, 2 D]."""
        ends = _headed(known, self._ends, self._end_biases)
        return ends[:, : BAR_LINE + 1], ends[:, BAR_LINE + 1 :]

    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""
        both = details + self._event_detail[[*events]]
        half = self.config.hidden
        inner = _squared(both[:, :half])
        return _headed(inner, self._velocity_head, self._velocity_bias), both[:, half:]

    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
        inner = _squared(details + self._velocity_detail[[*velocities]])
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


def _product(x: Floats, weights: Floats, out: Floats) -> None:
    """Put x @ weights into ``out``, always in chunks of the same number of rows."""
    if len(x) == CHUNK:
        np.matmul(x, weights, out=out)
        return
    for first in range(0, len(x), CHUNK):
        np.matmul(x[first : first + CHUNK], weights, out=out[first : first + CHUNK])


def _headed(known: Floats, weights: Floats, bias: Floats) -> Floats:
    """Return known @ weights + bias for any number of rows."""
    rows = len(known)
    padded = np.zeros((-(-rows // CHUNK) * CHUNK, known.shape[1]), np.float32)
    padded[:rows] = known
    result = np.empty((len(padded), weights.shape[1]), np.float32)
    _product(padded, weights, result)
    found = result[:rows]
    found += bias
    return found


def _scales(rows: Sequence[Floats]) -> Floats:
    """Return what brings each row to unit mean square, [R, 1]."""
    width = len(rows[0])
    scales = [1.0 / math.sqrt(float(np.dot(row, row)) / width + EPSILON) for row in rows]
    return np.array(scales, np.float32)[:, None]


def _squared(x: Floats) -> Floats:
    """Return max(x, 0) squared."""
    positive: Floats = np.maximum(x, 0)
    return np.multiply(positive, positive, out=positive)


def _attend(query: Floats, keys: Floats, values: Floats) -> None:
    """Replace a row's queries [S, G, D] by what they find in keys and values [S, T, D]."""
    scores = query @ keys.transpose(0, 2, 1)
    scores -= np.maximum.reduce(scores, axis=2, keepdims=True)
    np.exp(scores, out=scores)
    np.matmul(scores, values, out=query)
    query /= np.add.reduce(scores, axis=2, keepdims=True)
