"""How long bars take to write, beside the same network without its cache, a rival, and the floor.

    python benchmarks/generation.py [--model FILE] [--bars 40]
    python benchmarks/generation.py --device cuda [--bars 1000] [--rounds 50]
    python benchmarks/generation.py --device cpu --types float32 --rounds 0 --bars 10800

With ``--device`` the table is that of ``benchmarks/generation_devices.py``; the last line only
counts the bars that torch on the CPU writes otherwise than numpy.

Everything runs on one thread.  A bar continues from eight bars of a song, as in live playing; its
context has been read before, as in live playing too, but for every fourth bar, which begins a new
context.  *p99* is over all bars: a stalled bar is a late bar.

*Floor, matrix-vector products*: the network's matrix products of as many steps, row by row, each
a call of BLAS and nothing else.  *Floor, plain C*: the same products and the attention in forty
lines of C, compiled here by ``cc -O3``, and again with ``-march=native -ffast-math``.  *Of
GrooveTransformer's kind*: a non-autoregressive encoder of 32 steps x 27, width 512, 6 layers,
random weights: one pass for two bars, without fills, rolls or a past.
"""

import argparse
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
for _variable in ONE_THREAD:
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402 - after the threads are limited
import torch  # noqa: E402
from eager_decoder import EagerDecoder, continued  # noqa: E402
from generation_devices import table  # noqa: E402

from drumigen.model.checkpoint import Checkpoint, load_model  # noqa: E402
from drumigen.model.conditions import Conditions  # noqa: E402
from drumigen.model.generation import ConditionedBar, Contexts, Row, generate_batch  # noqa: E402
from drumigen.model.network import CONTEXT_BARS, ModelConfig, weight_shapes  # noqa: E402
from drumigen.model.transformer import of_weights  # noqa: E402
from drumigen.units import Bpm  # noqa: E402

ROWS = 16
ONE_GOAL, BATCH_GOAL, FLOOR_GOAL = 20.0, 100.0, 2.0
CONTEXT_STEPS = 160
"""Steps of context that the floors attend to: about eight bars."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of every bar, and how many steps they took in all."""

    milliseconds: Sequence[float]
    steps: int

    def quantile(self, share: float) -> float:
        """Return the time that so large a share of the bars does not exceed."""
        return float(np.quantile(self.milliseconds, share))


def conditions(style: str, number: int) -> Conditions:
    """Return what is told of a bar of the song."""
    return Conditions(((style, 1.0),), Bpm(110.0), density=5.0, fill=False, phrase=number)


def timed(checkpoint: Checkpoint, styles: Sequence[str], bars: int) -> Timing:
    """Write ``bars`` bars of every style, all styles in a batch, each from its own last bars."""
    kept = Contexts()
    played: list[list[ConditionedBar]] = [[] for _ in styles]
    times: list[float] = []
    steps = 0
    for number in range(bars + CONTEXT_BARS):
        rows = [
            Row(conditions(style, number), seed, number, tuple(past[-CONTEXT_BARS:]))
            for seed, (style, past) in enumerate(zip(styles, played, strict=True))
        ]
        began = time.perf_counter()
        written = generate_batch(checkpoint, rows, kept)
        spent = time.perf_counter() - began
        for row, bar, past in zip(rows, written, played, strict=True):
            past.append((bar, row.conditions))
        if number >= CONTEXT_BARS:
            times.append(1000 * spent)
            steps += sum(len(bar.hits) + 1 for bar in written)
    return Timing(times, steps)


def on_torch(checkpoint: Checkpoint) -> Checkpoint:
    """Return the same checkpoint, run step by step by torch on the CPU."""
    made = Checkpoint(
        checkpoint.path, "torch", checkpoint.config, checkpoint.metadata, checkpoint.weights
    )
    made.__dict__["stepper"] = EagerDecoder(checkpoint.config, checkpoint.weights, "cpu")
    made.__dict__["decoder"] = None  # which writes whole bars
    return made


def without_cache(checkpoint: Checkpoint, steps: int) -> float:
    """Return the milliseconds of a bar of so many steps that reads its whole past at each."""
    model = of_weights(checkpoint.config, checkpoint.weights)
    width = checkpoint.config.width
    began = time.perf_counter()
    with torch.inference_mode():
        for step in range(steps):
            length = CONTEXT_STEPS + step
            x = torch.zeros(1, length, width)
            hidden, _ = continued(model, x, torch.arange(float(length))[None], [None])
            model.event_head(hidden[:, -1])
    return 1000 * (time.perf_counter() - began)


def median(work: Callable[[], object], times: int = 15) -> float:
    """Return the median milliseconds of ``work``."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return float(np.median(found))


def products(config: ModelConfig) -> list[tuple[int, int]]:
    """Return the shapes of the matrix products of one step."""
    shapes = weight_shapes(config)
    names = [f"blocks.{n}.{part}.weight" for n in range(config.layers) for part in ("into", "out")]
    names += ["event_head.weight", "detail_head.weight"]
    names += ["velocity_head.weight", "offset_head.weight"]
    return [(shapes[name][1], shapes[name][0]) for name in names]


def bare_products(config: ModelConfig, steps: int) -> float:
    """Return the milliseconds of the matrix-vector products of so many steps."""
    rng = np.random.default_rng(0)
    pairs = [
        (rng.random((1, inner), np.float32), rng.random((inner, outer), np.float32))
        for inner, outer in products(config)
    ]

    def work() -> None:
        for _ in range(steps):
            for vector, matrix in pairs:
                _ = vector @ matrix

    return median(work)


C_FLOOR = r"""
#include <math.h>
static void product(const float *x, const float *w, float *y, int inner, int outer) {
    for (int j = 0; j < outer; j++) y[j] = 0.0f;
    for (int i = 0; i < inner; i++) {
        const float a = x[i], *row = w + (long)i * outer;
        for (int j = 0; j < outer; j++) y[j] += a * row[j];
    }
}
static void attend(const float *q, const float *k, const float *v, float *out, int t, int d) {
    float s[2048], most = -1e30f, sum = 0.0f;
    for (int i = 0; i < t; i++) {
        float dot = 0.0f;
        for (int j = 0; j < d; j++) dot += q[j] * k[i * d + j];
        s[i] = dot;
        if (dot > most) most = dot;
    }
    for (int j = 0; j < d; j++) out[j] = 0.0f;
    for (int i = 0; i < t; i++) {
        const float e = expf(s[i] - most);
        sum += e;
        for (int j = 0; j < d; j++) out[j] += e * v[i * d + j];
    }
    for (int j = 0; j < d; j++) out[j] /= sum;
}
void steps(int count, int past, int pairs, const int *inner, const int *outer, float **w,
           float *x, float *y, int layers, int heads, int d, const float *k, const float *v) {
    for (int s = 0; s < count; s++) {
        for (int p = 0; p < pairs; p++) {
            product(x, w[p], y, inner[p], outer[p]);
            if (p < 2 * layers && p % 2 == 0)
                for (int h = 0; h < heads; h++) attend(y, k, v, y + h * d, past + s, d);
            for (int j = 0; j < inner[p]; j++) x[j] = 1e-3f * y[j % outer[p]];
        }
    }
}
"""


def plain_c(config: ModelConfig, steps: int, *more: str) -> float | None:
    """Return the milliseconds of so many steps in C; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "floor.c", Path(folder) / "floor.so"
        source.write_text(C_FLOOR)
        flags = ["-O3", *more, "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", library, source, "-lm"], check=True)
        run = ctypes.CDLL(str(library)).steps
    shapes = products(config)
    rng = np.random.default_rng(0)
    weights = [rng.random(shape, np.float32) * np.float32(0.01) for shape in shapes]
    pointers = (ctypes.POINTER(ctypes.c_float) * len(weights))(
        *(w.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for w in weights)
    )
    inner, outer = (np.array(part, np.int32) for part in zip(*shapes, strict=True))
    x, y = rng.random(4096, np.float32), np.zeros(4096, np.float32)
    past = rng.random((2, 2048 * config.head_width), np.float32)
    pointer = ctypes.c_void_p

    def work() -> None:
        run(
            steps,
            CONTEXT_STEPS,
            len(shapes),
            pointer(inner.ctypes.data),
            pointer(outer.ctypes.data),
            pointers,
            pointer(x.ctypes.data),
            pointer(y.ctypes.data),
            config.layers,
            config.heads,
            config.head_width,
            pointer(past[0].ctypes.data),
            pointer(past[1].ctypes.data),
        )

    return median(work)


def groove_transformer() -> float:
    """Return the milliseconds of one pass for two bars."""
    layer = torch.nn.TransformerEncoderLayer(512, 4, 16, batch_first=True)
    into, out = torch.nn.Linear(27, 512), torch.nn.Linear(512, 27)
    encoder = torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()
    x = torch.rand(1, 32, 27)

    def work() -> None:
        with torch.inference_mode():
            out(encoder(into(x)))

    return median(work)


def line(name: str, timing: Timing, bars: int, remark: str = "") -> str:
    """Return a row of the table: milliseconds a batch of bars."""
    figures = [timing.quantile(0.5), timing.quantile(0.99), timing.quantile(1.0)]
    cells = "".join(f"{figure:9.1f}" for figure in figures)
    return f"{name:42}{timing.steps / bars:8.1f}{cells}  {remark}".rstrip()


def verdict(value: float, goal: float) -> str:
    """Return whether a goal is met, in words."""
    return f"<= {goal:g}: {'pass' if value <= goal else 'MISSED'}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--bars", type=int, default=40)
    parser.add_argument("--device", metavar="NAME", help="whole bars on cuda, mps or cpu (torch)")
    parser.add_argument("--rounds", type=int, default=50, help="batches that are timed; 0: none")
    parser.add_argument("--types", default="float32,float16,bfloat16", help="of matrices there")
    parser.add_argument("--seed", type=int, default=0, help="of the first of the songs there")
    parser.add_argument("--most", type=int, default=1024, help="rows of a batch that is timed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_model(options.model, "cpu")
    if options.device:
        gc.freeze()
        types = options.types.split(",")
        rounds = options.rounds
        more = {"most": options.most, "seed": options.seed}
        table(checkpoint, options.device, options.bars, rounds, types=types, **more)
        return 0
    config, bars = checkpoint.config, options.bars
    gc.freeze()  # as the generator's process does
    styles = [config.styles[number % len(config.styles)] for number in range(ROWS)]
    one = [timed(checkpoint, [style], bars) for style in styles[:8]]
    single = Timing([t for part in one for t in part.milliseconds], sum(p.steps for p in one))
    batch = timed(checkpoint, styles, bars)
    slow = on_torch(checkpoint)
    sys.stdout.write(f"numpy {np.__version__}, torch {torch.__version__}, one thread\n")
    sys.stdout.write(f"{'':42}{'steps':>8}{'p50':>9}{'p99':>9}{'max':>9}  ms\n")
    said = verdict(single.quantile(0.5), ONE_GOAL)
    print(line("one bar", single, bars * 8, said))
    print(line("16 styles in a batch", batch, bars, verdict(batch.quantile(0.5), BATCH_GOAL)))
    print(line("one bar, torch step by step", timed(slow, styles[:1], bars), bars))
    print(
        line(
            "16 styles, torch step by step",
            timed(slow, styles, max(4, bars // 4)),
            max(4, bars // 4),
        )
    )
    steps = round(single.steps / (bars * 8))
    floors = {
        "matrix-vector products": bare_products(config, steps),
        "plain C": plain_c(config, steps),
        "C for this very machine": plain_c(config, steps, "-march=native", "-ffast-math"),
        "without the cache (torch)": without_cache(checkpoint, steps),
        "of GrooveTransformer's kind, two bars": groove_transformer(),
    }
    print(f"\nbeside one bar of {steps} steps:")
    for name, value in floors.items():
        if value is None:
            print(f"{name:42} no C compiler here")
            continue
        ratio = single.quantile(0.5) / value
        goal = verdict(ratio, FLOOR_GOAL) if name == "plain C" else ""
        print(
            f"{name:42}{value:9.1f} ms; a bar of ours takes {ratio:.2f} times that  {goal}".rstrip()
        )
    ratio = batch.quantile(0.5) / (floors["plain C"] or np.nan) * steps / batch.steps * bars
    print(f"{'16 styles against 16 of plain C':42}{ratio:12.2f}  {verdict(ratio, FLOOR_GOAL)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
