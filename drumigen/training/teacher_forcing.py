"""The network told the true past, judged by what it expects next."""

import random
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from drumigen.model.checkpoint import Checkpoint
from drumigen.model.transformer import of_weights
from drumigen.model.vocabulary import OFFSET_STEP, OFFSET_ZERO, VELOCITY_STEP
from drumigen.training.dataset import batches, collated, sequence_of, windows
from drumigen.training.losses import TEACHER_TOLD, Averages, Teacher, losses_of
from drumigen.training.report import TeacherForced
from drumigen.training.rhythm import TIMING_EDGES, VELOCITY_EDGES, divergence
from drumigen.training.takes import Take
from drumigen.units import TICKS_PER_BEAT

WINDOW_STEPS: Final = 400
BATCH_STEPS: Final = 4096


@torch.inference_mode()
def teacher_forced(checkpoint: Checkpoint, takes: Sequence[Take], seed: int = 1) -> TeacherForced:
    """Return how well the network foresees the hits of ``takes``.

    It is told the style, the tempo, the metre and the place in the phrase, as in validation; of
    nothing that only the take itself could tell.
    """
    config = checkpoint.config
    known = [take for take in takes if take.style in config.styles]
    lines = [sequence_of(take, config) for take in known]
    teacher = Teacher(of_weights(config, checkpoint.weights))
    rng = random.Random(seed)  # noqa: S311
    torch.manual_seed(seed)
    averages = Averages()
    timing: list[Tensor] = []
    levels: list[Tensor] = []
    for batch in batches(windows(lines, WINDOW_STEPS, rng), BATCH_STEPS, rng):
        example = collated(batch, config, told=TEACHER_TOLD)
        averages.add(losses_of(teacher, example))
        note = example.note
        tempo = torch.tensor([window.sequence.tempo for window in batch])[:, None].expand_as(note)
        ms = OFFSET_STEP * 60_000 / (tempo[note] * TICKS_PER_BEAT)
        _, velocity, offset = (logits[note].float().softmax(-1) for logits in teacher(example))
        timing.append((_judged(example.offset[note], offset) - OFFSET_ZERO) * ms)
        bins = _judged(example.velocity[note], velocity)
        levels.append((bins * VELOCITY_STEP + VELOCITY_STEP / 2).clamp(max=127))
    true_ms, median_ms, drawn_ms = torch.cat(timing, 1).numpy()
    true_level, median_level, drawn_level = torch.cat(levels, 1).numpy()
    result = averages.result()
    return TeacherForced(
        nll=result.pop("nll"),
        nll_parts=result,
        timing_mae_ms=float(np.abs(true_ms - median_ms).mean()),
        timing_kl=divergence(true_ms, drawn_ms, TIMING_EDGES),
        velocity_mae=float(np.abs(true_level - median_level).mean()),
        velocity_kl=divergence(true_level, drawn_level, VELOCITY_EDGES),
        strokes=len(true_ms),
    )


def _judged(true: Tensor, chances: Tensor) -> Tensor:
    """Return the true bins, the medians of ``chances`` and one draw each, [3, N].

    True and drawn ones are spread over the width of their bins, so that no comb is seen.
    """
    median = (chances.cumsum(-1) < 0.5).sum(-1)
    drawn = torch.multinomial(chances, 1).squeeze(-1)
    spread = torch.rand(2, len(true)) - 0.5
    return torch.stack((true + spread[0], median.float(), drawn + spread[1]))
