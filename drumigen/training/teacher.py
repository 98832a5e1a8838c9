"""The network told the true past, judged by what it expects next."""

import random
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from drumigen.checkpoint import Checkpoint
from drumigen.model import of_weights
from drumigen.tokens import OFFSET_STEP, OFFSET_ZERO, VELOCITY_STEP
from drumigen.training.dataset import batches, collated, fits, sequence_of, windows
from drumigen.training.report import TeacherForced
from drumigen.training.rhythm import TIMING_EDGES, VELOCITY_EDGES, divergence
from drumigen.training.takes import Take
from drumigen.training.train import TEACHER_TOLD, Averages, Teacher, losses_of
from drumigen.units import TICKS_PER_BEAT

CONTEXT: Final = 400
STEPS: Final = 4096


@torch.inference_mode()
def teacher_forced(checkpoint: Checkpoint, takes: Sequence[Take], seed: int = 1) -> TeacherForced:
    """Return how well the network foresees the hits of ``takes``.

    It is told the style, the tempo, the metre and the place in the phrase, as in validation; of
    nothing that only the take itself could tell.
    """
    config = checkpoint.config
    known = [take for take in takes if take.style in config.styles and fits(take)]
    lines = [sequence_of(take, config) for take in known]
    teacher = Teacher(of_weights(config, checkpoint.weights))
    rng = random.Random(seed)  # noqa: S311
    torch.manual_seed(seed)
    averages = Averages()
    true_ms, median_ms, drawn_ms = [], [], []
    true_level, median_level, drawn_level = [], [], []
    for batch in batches(windows(lines, CONTEXT, rng), STEPS, rng):
        example = collated(batch, config, told=TEACHER_TOLD)
        averages.add(losses_of(teacher, example))
        note = example.note
        tempo = torch.tensor([window.sequence.tempo for window in batch])[:, None].expand_as(note)
        ms = OFFSET_STEP * 60_000 / (tempo[note] * TICKS_PER_BEAT)
        _, velocity, offset = teacher(example)
        level, moved = (logits[note].float().softmax(-1) for logits in (velocity, offset))
        for found, bins in (
            (true_ms, example.offset[note]),
            (median_ms, _median(moved)),
            (drawn_ms, _drawn(moved)),
        ):
            found.append(_spread(bins, spread=found is not median_ms).sub(OFFSET_ZERO) * ms)
        for found, bins in (
            (true_level, example.velocity[note]),
            (median_level, _median(level)),
            (drawn_level, _drawn(level)),
        ):
            found.append((bins * VELOCITY_STEP + VELOCITY_STEP // 2).clamp(max=127).float())
    errors = [torch.cat(part).numpy() for part in (true_ms, median_ms, drawn_ms)]
    levels = [torch.cat(part).numpy() for part in (true_level, median_level, drawn_level)]
    result = averages.result()
    return TeacherForced(
        nll=result.pop("nll"),
        nll_parts=result,
        timing_mae_ms=float(np.abs(errors[0] - errors[1]).mean()),
        timing_kl=divergence(errors[0], errors[2], TIMING_EDGES),
        velocity_mae=float(np.abs(levels[0] - levels[1]).mean()),
        velocity_kl=divergence(levels[0], levels[2], VELOCITY_EDGES),
        strokes=len(errors[0]),
    )


def _median(chances: torch.Tensor) -> torch.Tensor:
    return (chances.cumsum(-1) < 0.5).sum(-1)


def _drawn(chances: torch.Tensor) -> torch.Tensor:
    return torch.multinomial(chances, 1).squeeze(-1)


def _spread(bins: torch.Tensor, *, spread: bool) -> torch.Tensor:
    """Return bins as numbers; spread over their width, so that their comb is not seen."""
    return bins + (torch.rand(bins.shape) - 0.5 if spread else 0.0)
