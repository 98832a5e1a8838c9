"""One step of the network, by each way that was tried of running it.  One thread, one row.

    python benchmarks/generation_ways.py [--model FILE]

A step here is the layers alone: no heads, no drawing.  It attends to 160 steps before it.  What
wins, plays (``drumigen/decoder.py``); the others stay here, so that they can be tried again.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402 - after the threads are limited
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from drumigen.model.checkpoint import load_model  # noqa: E402
from drumigen.model.numpy_decoder import Decoder  # noqa: E402
from drumigen.model.tokens import BinnedNote  # noqa: E402
from drumigen.model.transformer import DrumPatternTransformer, normed, of_weights  # noqa: E402

PAST = 160
STEPS = 200


class Step(torch.nn.Module):
    """The layers, for one step of one row after a past of fixed length."""

    def __init__(self, model: DrumPatternTransformer) -> None:
        """Take the layers of ``model``."""
        super().__init__()
        self.blocks = model.blocks

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, past: Tensor) -> Tensor:
        """Return what is known after the step, [1, 1, W]; ``past`` is [L, 2, 1, S, P, D]."""
        for layer, block in enumerate(self.blocks):
            x, _, _ = block(x, (cos, sin), mask, (past[layer, 0], past[layer, 1]))
        return normed(x)


def microseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return median and 99th percentile of ``work``."""
    for _ in range(20):
        work()
    found = []
    for _ in range(STEPS):
        began = time.perf_counter()
        work()
        found.append(1e6 * (time.perf_counter() - began))
    return float(np.median(found)), float(np.quantile(found, 0.99))


def on_numpy(decoder: Decoder) -> Callable[[], object]:
    """Return a step of the decoder that plays."""
    memory = decoder.cache()
    told = decoder.condition_embedding([1] * 9, [1.0])[:1]
    for step in range(PAST):
        decoder.read([memory], [BinnedNote(step, 3, 3)], [5.0], told)

    def work() -> None:
        memory.steps = PAST
        decoder.read([memory], [BinnedNote(30, 3, 3)], [5.0], told)

    return work


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    checkpoint = load_model(options.model, "cpu")
    config = checkpoint.config
    head = config.head_width
    inputs = (
        torch.randn(1, 1, config.width),
        torch.ones(1, 1, 1, head // 2),
        torch.zeros(1, 1, 1, head // 2),
        torch.ones(1, 1, 1, PAST + 1, dtype=torch.bool),
        torch.randn(config.layers, 2, 1, config.kv_heads, PAST, head),
    )
    step = Step(of_weights(config, checkpoint.weights)).eval()

    def running(module: Callable[..., object]) -> Callable[[], object]:
        def work() -> None:
            with torch.inference_mode():
                module(*inputs)

        return work

    def traced() -> Callable[[], object]:
        trace: Callable[..., torch.jit.ScriptModule] = torch.jit.trace
        return running(torch.jit.freeze(trace(step, inputs)))

    def int8() -> Callable[[], object]:
        quantize: Callable[..., Callable[..., object]] = torch.ao.quantization.quantize_dynamic
        return running(quantize(step, {torch.nn.Linear}, dtype=torch.qint8))

    decoder = Decoder(config, checkpoint.weights)
    ways: dict[str, Callable[[], Callable[[], object]]] = {
        "numpy, products of 4 rows (plays)": lambda: on_numpy(decoder),
        "torch, eager": lambda: running(step),
        "torch.jit.trace, frozen": traced,
        "torch.compile": lambda: running(torch.compile(step, dynamic=False)),
        "torch, int8 linear layers": int8,
    }
    sys.stdout.write(f"numpy {np.__version__}, torch {torch.__version__}\n")
    print(f"{'a step':36}{'p50':>8}{'p99':>8}  us")
    for name, make in ways.items():
        try:
            median, late = microseconds(make())
        except (RuntimeError, ImportError, AttributeError) as error:
            print(f"{name:36} not here: {' '.join(str(error).split())[:60]}")
            continue
        print(f"{name:36}{median:8.0f}{late:8.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
