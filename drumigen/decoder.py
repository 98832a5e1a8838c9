"""The network step by step, in numpy: what plays on a CPU.

The twin of :mod:`drumigen.model`, for the shapes that live playing has: few rows, one step at a
time.  There numpy's calls cost a third of torch's (``benchmarks/generation.py``), and the process
that plays needs no torch at all.

A row's numbers do not depend, to the last bit, on which rows it is batched with, nor on whether
its past was read at once or step by step: matrix products always take :data:`CHUNK` rows at a
time, and each row attends by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drumigen.network import COUNT_MAX, EPSILON, ModelConfig, wavelengths, weight_shapes
from drumigen.stepper import Floats
from drumigen.tokens import BAR_LINE, CONDITION_SIZES, OFFSETS, VELOCITIES, Note

CHUNK: Final = 4
"""Rows of a matrix product.  BLAS libraries choose their way by the number of rows, and each sums
in an order of its own; four are as quick as one for a product that waits for its weights."""
ROOM: Final = 64
"""Steps by which a row's memory grows."""

LINE: Final = Note(BAR_LINE, VELOCITIES, OFFSETS)
"""The step that opens a bar."""


class Memory:
    """What one row has seen: keys and values of its steps, layer by layer."""

    def __init__(self, config: ModelConfig) -> None:
        """Begin with nothing seen."""
        shape = config.layers, config.shared, ROOM, config.head_width
        self.keys: Floats = np.empty(shape, np.float32)
        self.values: Floats = np.empty(shape, np.float32)
        self.steps = 0

    def make_room(self, steps: int) -> None:
        """Have room for so many steps more."""
        layers, shared, room, width = self.keys.shape
        if self.steps + steps > room:
            more = -(-(self.steps + steps - room) // ROOM) * ROOM
            added = np.empty((layers, shared, more, width), np.float32)
            self.keys = np.concatenate([self.keys, added], axis=2)
            self.values = np.concatenate([self.values, added], axis=2)

    def copied(self) -> "Memory":
        """Return a memory that goes on from here by itself."""
        other = object.__new__(Memory)
        other.keys, other.values, other.steps = self.keys.copy(), self.values.copy(), self.steps
        return other


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
        self._ends = np.hstack(
            [
                weight("event_head.weight").T,
                weight("detail_head.weight").T,
            ]
        )
        self._end_biases = np.concatenate([weight("event_head.bias"), weight("detail_head.bias")])
        self._event_detail = weight("event_detail.weight")
        self._velocity_detail = weight("velocity_detail.weight")
        self._velocity_head = weight("velocity_head.weight").T.copy()
        self._velocity_bias = weight("velocity_head.bias")
        self._offset_head = weight("offset_head.weight").T.copy()
        self._offset_bias = weight("offset_head.bias")
        self._turns = (2 * np.pi / np.array(wavelengths(config))).astype(np.float32)

    def memory(self) -> Memory:
        """Return the memory of a row that has seen nothing."""
        return Memory(self.config)

    def told(self, conditions: Sequence[int], shares: Sequence[float]) -> Floats:
        """Return what a bar's condition bins and shares of styles add to each of its steps: [W]."""
        found: Floats = self._condition[self._firsts + conditions].sum(axis=0)
        for place, share in enumerate(shares):
            if share:
                found = found + np.float32(share) * self._style[place]
        return found

    def read(
        self,
        memories: Sequence[Memory],
        notes: Sequence[Note],
        counts: Sequence[int],
        times: Sequence[float],
        told: Floats,
    ) -> Floats:
        """Take one step in each row; return what is known after it, [R, W]: see Stepper."""
        x = self._embedded(notes, counts, told)
        for memory in memories:
            memory.make_room(len(memories))
        spots = []
        for memory in memories:
            spots.append(memory.steps)
            memory.steps += 1
        turns = np.exp(1j * (np.asarray(times, np.float32)[:, None] * self._turns))
        turn = turns.astype(np.complex64)[:, None, :]
        width, head = self.config.width, self.config.head_width
        rows, shared = len(memories), self.config.shared
        shape = shared, self.config.heads // shared, head
        inner, both = 4 * width, 5 * width
        for layer, (into, out) in enumerate(zip(self._into, self._out, strict=True)):
            y = _product(x, into)
            y *= _scale(x)
            hidden = y[:, :inner]
            np.maximum(hidden, 0, out=hidden)
            hidden *= hidden
            turned = y[:, inner : both + shared * head].view(np.complex64)
            turned = turned.reshape(len(y), -1, head // 2)
            turned[:rows] *= turn
            for row, (memory, spot) in enumerate(zip(memories, spots, strict=True)):
                own = y[row]
                keys, values = memory.keys[layer], memory.values[layer]
                keys[:, spot] = own[both : both + shared * head].reshape(shared, head)
                values[:, spot] = own[both + shared * head :].reshape(shared, head)
                own[inner:both] = _attended(
                    own[inner:both].reshape(shape), keys[:, : spot + 1], values[:, : spot + 1]
                )
            x += _product(y[:, :both], out)
        x *= _scale(x)
        return x[:rows]

    def events(self, known: Floats) -> tuple[Floats, Floats]:
        """Return logits of the next event, [R, E], and what :meth:`velocities` needs, [R, 2 D]."""
        ends = _product(_padded(known), self._ends)[: len(known)]
        ends += self._end_biases
        return ends[:, : BAR_LINE + 1], ends[:, BAR_LINE + 1 :]

    def velocities(self, details: Floats, events: Sequence[int]) -> tuple[Floats, Floats]:
        """Return logits of velocity given the events, and what :meth:`offsets` needs."""
        both = details + self._event_detail[events]
        half = self.config.hidden
        logits = _product(_padded(_squared(both[:, :half])), self._velocity_head)[: len(both)]
        return logits + self._velocity_bias, both[:, half:]

    def offsets(self, details: Floats, velocities: Sequence[int]) -> Floats:
        """Return logits of offset given events and velocities."""
        inner = _squared(details + self._velocity_detail[velocities])
        logits: Floats = _product(_padded(inner), self._offset_head)[: len(inner)]
        return logits + self._offset_bias

    def _embedded(self, notes: Sequence[Note], counts: Sequence[int], told: Floats) -> Floats:
        event, velocity, offset = zip(*notes, strict=True)
        count = [min(number, COUNT_MAX - 1) for number in counts]
        x = self._event[[*event]] + self._velocity[[*velocity]]
        x += self._offset[[*offset]]
        x += self._count[count]
        x += told
        return _padded(x)


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


def _padded(x: Floats) -> Floats:
    """Return x with rows of zeros up to a whole number of chunks."""
    rest = -len(x) % CHUNK
    return np.concatenate([x, np.zeros((rest, x.shape[1]), np.float32)]) if rest else x


def _product(x: Floats, weights: Floats) -> Floats:
    """Return x @ weights, always in chunks of the same number of rows."""
    if len(x) == CHUNK:
        result: Floats = x @ weights
        return result
    result = np.empty((len(x), weights.shape[1]), np.float32)
    for first in range(0, len(x), CHUNK):
        np.matmul(x[first : first + CHUNK], weights, out=result[first : first + CHUNK])
    return result


def _scale(x: Floats) -> Floats:
    """Return what brings each row to unit mean square, [R, 1]."""
    squares: Floats = np.einsum("ij,ij->i", x, x)
    squares /= np.float32(x.shape[1])
    squares += np.float32(EPSILON)
    np.sqrt(squares, out=squares)
    np.divide(np.float32(1), squares, out=squares)
    return squares[:, None]


def _squared(x: Floats) -> Floats:
    """Return max(x, 0) squared."""
    positive: Floats = np.maximum(x, 0)
    return positive * positive


def _attended(query: Floats, keys: Floats, values: Floats) -> Floats:
    """Return one row's attention, [W]: query [S, G, D] over keys and values [S, T, D]."""
    scores = query @ keys.transpose(0, 2, 1)
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=2, keepdims=True)
    mixed: Floats = (scores @ values) / sums
    return mixed.reshape(-1)
