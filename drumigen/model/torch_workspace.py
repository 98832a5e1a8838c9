"""Where bars are written on a device: tensors that never move, and the step that is a graph.

See :mod:`drumigen.model.torch_decoder`.  B are rows, C the width of the network.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from drumigen.model.network import COUNT_MAX
from drumigen.model.torch_demands import TorchDemands
from drumigen.model.torch_drawing import (
    Limits,
    allowed_events,
    allowed_offsets,
    draw,
    sixteenth,
)
from drumigen.model.torch_network import Caches, Network
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, POSITIONS
from drumigen.pattern import DENSITY_MAX

HITS_MAX: Final = int(DENSITY_MAX * POSITIONS / 4) + 1
"""Hits of a bar, at most, and one more."""
TEMPERATURE_KINDS: Final = 2
"""Kinds of them: of events and offsets, and of velocities."""


class _Inputs(NamedTuple):
    """What rows are given; each tensor stays where it is while a graph lives."""

    bar: Tensor  # (B, C) embedding of what the bar is played under
    due: Tensor  # (B, COUNT_MAX)
    chances: Tensor  # (B, HITS_MAX, 3)
    ends: Tensor  # (B,) events of its length
    most: Tensor  # (B,)
    start: Tensor  # (B,)
    sharpness: Tensor  # (2, B)
    top_k: Tensor  # (B,)
    top_p: Tensor  # (B,)
    given: Tensor  # (B, HITS_MAX + 1), filled up with bar lines
    beyond: Tensor  # (B, HITS_MAX + 1), where the next other one of the given is
    is_given: Tensor  # (B,)


class _State(NamedTuple):
    """Where rows are, (B,) each; changed in place by every step."""

    event: Tensor
    velocity: Tensor
    offset: Tensor
    hits: Tensor
    """How many there are so far."""
    place: Tensor
    """Of the next step in the cache."""
    next_given: Tensor
    ended: Tensor
    broken: Tensor
    """Whether the network's output was no number."""
    notes: Tensor  # (B * (HITS_MAX + 1), 3)


class Workspace:
    """Tensors for so many rows with so many places each, and the graphs of their steps."""

    def __init__(self, network: Network, rows: int, places: int, device: torch.device) -> None:
        """Make room."""
        self.rows, self.places = rows, places
        self.network = network
        self.caches = Caches(network.config, rows, places, device)
        self.demands = TorchDemands(rows, device)
        self._graphs: dict[tuple[bool, bool], torch.cuda.CUDAGraph] = {}
        exact = torch.float32 if device.type == "mps" else torch.float64

        def whole(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.long, device=device)

        self.inputs = _Inputs(
            torch.zeros(rows, network.config.width, device=device),
            whole(rows, COUNT_MAX),
            torch.zeros(rows, HITS_MAX, 3, dtype=exact, device=device),
            whole(rows),
            whole(rows),
            whole(rows),
            torch.ones(TEMPERATURE_KINDS, rows, device=device),
            whole(rows),
            torch.ones(rows, device=device),
            whole(rows, HITS_MAX + 1),
            whole(rows, HITS_MAX + 1),
            torch.zeros(rows, dtype=torch.bool, device=device),
        )
        self.state = _State(
            whole(rows),
            whole(rows),
            whole(rows),
            whole(rows),
            whole(rows),
            whole(rows),
            torch.ones(rows, dtype=torch.bool, device=device),
            torch.zeros(rows, dtype=torch.bool, device=device),
            whole(rows * (HITS_MAX + 1), 3),
        )
        self._first_note = torch.arange(rows, device=device) * (HITS_MAX + 1)

    def step(self, *, limited: bool, owing: bool) -> None:
        """Read the last hit of each row and draw the next, where its bar has not ended.

        ``limited`` are steps that heed top-k and top-p, ``owing`` those that heed demands.
        """
        given, state, network = self.inputs, self.state, self.network
        nth = state.hits.clamp(max=COUNT_MAX - 1)
        due = given.due.gather(1, nth[:, None])[:, 0]  # (B, COUNT_MAX) -> (B,)
        parts = torch.stack([state.event, state.velocity, state.offset, nth, due], -1)
        x = network.embedding(parts, given.bar)[:, None]  # (B, 5) -> (B, 1, C)
        time = (given.start + sixteenth(state.event))[:, None]
        hidden = network.forward(x, time, state.place[:, None], self.caches)[:, 0]  # (B, C)
        logits, details = network.ends(hidden)
        place = state.hits[:, None, None].expand(-1, 1, 3)
        chances = given.chances.gather(1, place)[:, 0]  # (B, HITS_MAX, 3) -> (B, 3)
        limits = Limits(given.top_k, given.top_p) if limited else None
        plain, level = given.sharpness
        owed = self.demands.due(state.event) if owing else None
        if owed is not None:
            logits = self.demands.events(logits, owed, given.is_given)
        logits = allowed_events(logits, state.event, state.offset, given.ends)
        drawn, sound = draw(logits, chances[:, 0], plain, limits)
        event = self._given(drawn)
        if owed is not None:
            event = self.demands.ended(event, owed, given.is_given)
        ended = state.ended | (event == BAR_LINE) | (state.hits >= given.most)
        logits, details = network.velocities(details, event)
        if owed is not None:
            logits = self.demands.velocities(logits, event, owed)
        velocity, number = draw(logits, chances[:, 1], level, limits)
        sound = sound & number
        # a row that has ended may have no offset left: it is worked out, and forgotten
        last = state.event.where(~ended, -1)
        logits = allowed_offsets(network.offsets(details, velocity), event, last, state.offset)
        if owed is not None:
            logits = self.demands.offsets(logits, event, state.event, owed)
        offset, number = draw(logits, chances[:, 2], plain, limits)
        state.broken.logical_or_(~(sound & number | state.ended))
        note = torch.stack([event, velocity, offset], -1)  # (B, 3)
        state.notes.index_copy_(0, self._first_note + state.hits, note)
        on = ~ended
        if owed is not None:
            self.demands.strike((event, velocity, offset), owed, on)
        state.event.copy_(event.where(on, state.event))
        state.velocity.copy_(velocity.where(on, state.velocity))
        state.offset.copy_(offset.where(on, state.offset))
        state.hits.add_(on)
        state.place.add_(~state.ended)
        state.ended.copy_(ended)

    def _given(self, drawn: Tensor) -> Tensor:
        """Return what is struck in place of what was drawn, where that is given."""
        given, state = self.inputs, self.state
        here = given.given.gather(1, state.next_given[:, None])[:, 0]
        full = (here == state.event) & (state.offset >= OFFSETS - 1)
        beyond = given.beyond.gather(1, state.next_given[:, None])[:, 0]
        place = beyond.where(full, state.next_given)
        here = given.given.gather(1, place[:, None])[:, 0]
        state.next_given.copy_((place + 1).clamp(max=HITS_MAX))
        return here.where(given.is_given, drawn)

    def steps(self, count: int, *, limited: bool, owing: bool, recorded: bool) -> None:
        """Take so many steps; if ``recorded``, as a graph."""
        if not recorded:
            for _ in range(count):
                self.step(limited=limited, owing=owing)
            return
        key = limited, owing
        if key not in self._graphs:
            self._graphs[key] = self._record(limited=limited, owing=owing)
        for _ in range(count):
            self._graphs[key].replay()

    def _record(self, *, limited: bool, owing: bool) -> torch.cuda.CUDAGraph:
        """Return a step as a graph; where the rows are is as it was before."""
        changing = [*self.state, *self.demands.struck]
        kept = [tensor.clone() for tensor in changing]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their ways and make room the first times
                self.step(limited=limited, owing=owing)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step(limited=limited, owing=owing)
        for tensor, before in zip(changing, kept, strict=True):
            tensor.copy_(before)
        return graph
