"""How long bars take on a device, beside numpy, eager torch and the floor; and how many differ.

``python benchmarks/generation.py --device cuda`` (or ``cpu``, which is torch on the CPU, or
``mps``) prints it.

A time is from the request to bars that can be played.  Each batch continues from eight bars of a
song that were read before.  *Floor* is what cannot be gone below: the bytes that each step has to
move (weights once, keys and values of each row), times the steps of the longest bar, by the
bandwidth that a copy of a quarter of a gigabyte gets on that device, measured in the same run.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from eager_decoder import EagerDecoder

from drumigen.model.checkpoint import Checkpoint
from drumigen.model.conditions import Conditions
from drumigen.model.generation import ConditionedBar, Contexts, Row, generate_batch
from drumigen.model.network import CONTEXT_BARS, ModelConfig, weight_shapes
from drumigen.model.sampling import Sampling
from drumigen.model.torch_decoder import TorchDecoder
from drumigen.pattern import Bar
from drumigen.units import Bpm

COPY_BYTES: Final = 2**28
AIMS: Final = {"a bar": "<= 3 ms", "18 styles": "<= 4 ms", "1,024 rows": ">= 100,000 bars/s"}
"""On one H200."""
STAGE: Final = Sampling(dynamics=0.75)
"""As the generator draws."""


def on_device(checkpoint: Checkpoint, device: str, dtype: torch.dtype) -> Checkpoint:
    """Return the same network, written by whole bars on ``device``."""
    made = dataclasses.replace(checkpoint, device=f"{device} {dtype}")
    decoder = TorchDecoder(checkpoint.config, checkpoint.weights, device, dtype=dtype)
    made.__dict__["decoder"] = decoder
    return made


def eager(checkpoint: Checkpoint, device: str) -> Checkpoint:
    """Return the same network, step by step by eager torch on ``device``."""
    made = dataclasses.replace(checkpoint, device="cpu")
    made.__dict__["stepper"] = EagerDecoder(checkpoint.config, checkpoint.weights, device)
    return made


def conditions(style: str, number: int, *, fill: bool = False) -> Conditions:
    """Return what is told of a bar of the song."""
    return Conditions(((style, 1.0),), Bpm(110.0), density=5.0, fill=fill, phrase=number)


@dataclass(frozen=True)
class Asked:
    """The next bar of each song: what is asked for, and what numpy writes."""

    rows: list[Row]
    bars: list[Bar]


def songs(checkpoint: Checkpoint, styles: Sequence[str], bars: int, seed: int) -> list[Asked]:
    """Return so many bars of each style's song, each with what is before it; each eighth a fill.

    The songs have the seeds from ``seed`` on.
    """
    kept = Contexts()
    played: list[list[ConditionedBar]] = [[] for _ in styles]
    found: list[Asked] = []
    for number in range(bars):
        told = [conditions(style, number, fill=number % 8 == 7) for style in styles]
        rows = [
            Row(one, seed, number, tuple(past[-CONTEXT_BARS:]), STAGE)
            for seed, (one, past) in enumerate(zip(told, played, strict=True), seed)
        ]
        written = generate_batch(checkpoint, rows, kept)
        for row, bar, past in zip(rows, written, played, strict=True):
            past.append((bar, row.conditions))
        found.append(Asked(rows, written))
    return found


def batches(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return what is asked for at a time; ``rows`` are the next bars of all styles."""
    fills = [
        dataclasses.replace(row, conditions=dataclasses.replace(row.conditions, fill=True))
        for row in rows
    ]

    def many(count: int) -> list[Row]:
        return [dataclasses.replace(rows[place % len(rows)], seed=place) for place in range(count)]

    return {
        "a bar": list(rows[:1]),
        "16 styles": [*rows[:16], *fills[:16]],
        "18 styles": [*rows[:18], *fills[:18]],
        "256 rows": many(256),
        "1,024 rows": many(1024),
    }


def timed(write: Callable[[], object], times: int) -> tuple[float, float]:
    """Return P50 and P99 of ``write`` in milliseconds; two rounds before them do not count."""
    for _ in range(2):
        write()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        write()
        found.append(1000 * (time.perf_counter() - began))
    return float(np.quantile(found, 0.5)), float(np.quantile(found, 0.99))


def bandwidth(device: str) -> float:
    """Return the bytes a second that a copy moves on ``device``, read and written."""
    source = torch.zeros(COPY_BYTES // 4, device=device)
    into = torch.empty_like(source)

    def copy() -> None:
        into.copy_(source)
        float(into[0])  # waits

    milliseconds, _ = timed(copy, 9)
    return 2 * COPY_BYTES / (milliseconds / 1000)


def floor(config: ModelConfig, rows: Sequence[Row], longest: int, width: float) -> float:
    """Return the milliseconds that moving the bytes of so many steps takes."""
    weights = sum(int(np.prod(shape)) for shape in weight_shapes(config).values())
    place = config.layers * 2 * config.kv_heads * config.head_width
    seen = [sum(len(bar.hits) + 1 for bar, _ in row.context) + longest / 2 for row in rows]
    return 1000 * longest * 4 * (weights + place * sum(seen)) / width


def differing(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many bars are not the same."""
    return sum(a != b for a, b in zip(one, other, strict=True))


def line(name: str, way: str, times: tuple[float, float], rows: int, said: str = "") -> None:
    """Print a row of the table."""
    p50, p99 = times
    figures = f"{p50:10.2f}{p99:10.2f}{1000 * rows / p50:12,.0f}"
    print(f"{name:12}{way:34}{figures}  {said}".rstrip(), flush=True)


def table(  # noqa: PLR0913 - each is an option
    checkpoint: Checkpoint,
    device: str,
    bars: int,
    rounds: int,
    *,
    types: Sequence[str],
    most: int,
    seed: int,
) -> None:
    """Print how long batches of ``most`` rows at most take, and how many of ``bars`` bars differ.

    ``types`` are those of the matrices on ``device``; the songs have the seeds from ``seed`` on.
    """
    styles = list(checkpoint.config.styles)
    history = songs(checkpoint, styles, max(CONTEXT_BARS + 1, -(-bars // len(styles))), seed)
    there = {name: on_device(checkpoint, device, getattr(torch, name)) for name in types}
    if rounds:
        times(checkpoint, device, there, history[CONTEXT_BARS].rows, rounds, most)
    print("\nbars that are not those of numpy, each from the same bars before it:")
    for title, model in there.items():
        kept = Contexts()
        different = count = 0
        for asked in history:
            different += differing(generate_batch(model, asked.rows, kept), asked.bars)
            count += len(asked.bars)
            if count % (60 * len(styles)) == 0:
                sys.stderr.write(f"\r{title}: {different} of {count}")
        print(f"{title:12}{different:6} of {count} ({100 * different / count:.3f} %)", flush=True)


def times(  # noqa: PLR0913, PLR0917 - of one table
    checkpoint: Checkpoint,
    device: str,
    there: Mapping[str, Checkpoint],
    next_bars: Sequence[Row],
    rounds: int,
    most: int,
) -> None:
    """Print how long batches of ``most`` rows at most take."""
    width = bandwidth(device)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(f"\n{name}: {width / 1e9:,.0f} GB/s; numpy {np.__version__}, torch {torch.__version__}")
    print(f"{'':46}{'p50':>10}{'p99':>10}{'bars/s':>12}  ms a batch")
    best = next(iter(there))
    for title, rows in batches(next_bars).items():
        if len(rows) > most:
            continue
        # a GPU is quick enough for all of them, and without them a P99 says little
        few = rounds if device != "cpu" else max(3, rounds // max(1, len(rows) // 32))
        longest = max(len(bar.hits) for bar in generate_batch(checkpoint, rows)) + 1
        ways = {f"{device}, whole bars, {name}": model for name, model in there.items()}
        slow = {"numpy": checkpoint, f"{device}, eager torch": eager(checkpoint, device)}
        for way, model in {**ways, **slow}.items():
            kept = Contexts()
            count = 3 if way in slow and len(rows) > 64 else few
            taken = timed(lambda m=model, r=rows, k=kept: generate_batch(m, r, k), count)  # type: ignore[misc]
            aimed = device.startswith("cuda") and model is there[best]
            line(title, way, taken, len(rows), AIMS.get(title, "") if aimed else "")
        least = floor(checkpoint.config, rows, longest, width)
        line(title, "floor: bytes by bandwidth", (least, least), len(rows))
