"""The losses of a network that is told the true past, and their averages."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from drumigen.model.transformer import DrumPatternTransformer, Steps, legal_events
from drumigen.training.dataset import Example

TEACHER_TOLD: Final = ("tempo", "meter", "phrase")
"""What validation tells the network besides the style: what a listener knows beforehand."""


class Averages:
    """Sums of losses in nats, by what is predicted."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.sums = torch.zeros(5, dtype=torch.float64)

    def add(self, losses: Tensor) -> None:
        """Add [event, velocity, offset, hits, steps] of a batch."""
        self.sums += losses.detach().double().cpu()

    def result(self) -> dict[str, float]:
        """Return nats per hit, by head and in all; what bar lines cost is on the hits too."""
        event, velocity, offset, hits, _ = (float(value) for value in self.sums)
        hits = max(hits, 1.0)
        parts = {"event": event / hits, "velocity": velocity / hits, "offset": offset / hits}
        return {**parts, "nll": sum(parts.values())}


def losses_of(model: torch.nn.Module, example: Example) -> Tensor:
    """Return summed nats of event, velocity and offset, then how many hits and steps: [5]."""
    note, real = example.note, example.real
    event_logits, velocity_logits, offset_logits = model(example)
    legal = legal_events(example.steps.event, example.before, example.room)
    event_logits = event_logits.float().masked_fill(~legal, -1e9)
    event = functional.cross_entropy(event_logits[real], example.event[real], reduction="sum")
    velocity = functional.cross_entropy(
        velocity_logits[note].float(), example.velocity[note], reduction="sum"
    )
    offset = functional.cross_entropy(
        offset_logits[note].float(), example.offset[note], reduction="sum"
    )
    return torch.stack((event, velocity, offset, note.sum().float(), real.sum().float()))


class Teacher(torch.nn.Module):
    """The network told the true past, as one module that DDP can wrap."""

    def __init__(self, model: DrumPatternTransformer) -> None:
        """Teach ``model``."""
        super().__init__()
        self.model = model

    def forward(self, example: Example) -> tuple[Tensor, ...]:
        """Return the logits of event, velocity and offset at each step."""
        hidden = self.model(example.steps)
        velocity = torch.where(example.note, example.velocity, 0)
        return self.model.heads(hidden, example.event, velocity)


def on_device(example: Example, device: torch.device) -> Example:
    """Return the batch on ``device``."""
    steps = Steps(*(tensor.to(device, non_blocking=True) for tensor in example.steps))
    rest = {
        name: getattr(example, name).to(device, non_blocking=True)
        for name in ("event", "velocity", "offset", "note", "real", "before", "room")
    }
    return Example(steps=steps, **rest)
