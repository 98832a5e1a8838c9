"""Whole bars by torch are the bars of numpy, and a step asks nothing of the host."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from brain import STYLES, under
from drumigen.errors import DeviceError, DeviceFullError, ModelError
from drumigen.kit import Voice
from drumigen.model.checkpoint import Checkpoint
from drumigen.model.demands import Demands
from drumigen.model.device_batch import DeviceBatch
from drumigen.model.generation import ConditionedBar, Contexts, Row, generate_batch
from drumigen.model.sampling import Sampling
from drumigen.model.torch_decoder import PLACES, TorchDecoder
from drumigen.model.torch_workspace import Workspace
from drumigen.model.whole_bars import UnreadBar
from drumigen.pattern import Bar, Hit
from drumigen.timekeeping import Keeper
from drumigen.timeline import Meter
from drumigen.units import Tick
from strategies import METERS

FREE = Sampling()
SAMPLINGS = (FREE, Sampling(0.7, dynamics=0.75), Sampling(1.3, top_k=5), Sampling(1.0, 0, 0.8))


def by_torch(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """The same network, on the CPU by torch."""
    made = dataclasses.replace(checkpoint, device="torch")
    decoder = TorchDecoder(checkpoint.config, checkpoint.weights, "cpu", dtype=dtype)
    made.__dict__["decoder"] = decoder
    return made


def differing(one: Sequence[Bar], other: Sequence[Bar]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def song(checkpoint: Checkpoint, bars: int, sampling: Sampling = FREE) -> list[Row]:
    """Rows of songs in all styles, each with the bars before it."""
    found = []
    kept = Contexts()
    for seed, style in enumerate(STYLES * 2):
        played: list[ConditionedBar] = []
        for number in range(bars):
            told = under(style, METERS[seed % len(METERS)], density=4.0, phrase=number)
            row = Row(told, seed, number, tuple(played[-8:]), sampling)
            (bar,) = generate_batch(checkpoint, [row], kept)
            played.append((bar, told))
            found.append(row)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_bars_by_torch_are_those_of_numpy(checkpoint: Checkpoint, sampling: Sampling) -> None:
    rows = song(checkpoint, 6, sampling)
    expected = [generate_batch(checkpoint, [row])[0] for row in rows]
    # a chance may fall just beside an edge, by rounding: one bar in thousands
    assert differing(generate_batch(by_torch(checkpoint), rows), expected) <= 1


@pytest.mark.parametrize("forced", [False, True])
def test_what_is_demanded_is_struck_by_torch_as_by_numpy(
    checkpoint: Checkpoint, *, forced: bool
) -> None:
    rows = [
        Row(
            under("funk", meter, density=6.0),
            seed,
            demands=Demands((keeper,), backbeat=bool(seed % 3), swung=seed % 4 == 3, forced=forced),
            events=(0, 7, 30) if seed % 5 == 4 else (),
        )
        for seed in range(8)
        for meter in METERS[:4]
        for keeper in (Keeper.HAT, Keeper.RIDE)
    ]
    found = generate_batch(by_torch(checkpoint), rows)
    expected = generate_batch(checkpoint, rows)
    assert differing(found, expected) <= 1
    free = generate_batch(checkpoint, [dataclasses.replace(r, demands=Demands()) for r in rows])
    assert differing(expected, free) > len(rows) / 2


def test_strokes_that_are_given_are_struck_by_torch_as_by_numpy(checkpoint: Checkpoint) -> None:
    given = (0, 0, 0, 7, 30, 30, 52, 90)
    rows = [Row(under(style), seed, events=given) for seed in range(8) for style in STYLES]
    rows += [Row(under(style), seed) for seed in range(8) for style in STYLES]
    found = generate_batch(by_torch(checkpoint), rows)
    assert differing(found, generate_batch(checkpoint, rows)) <= 1
    assert any(len(bar.hits) < len(given) for bar in found[:24])  # no room for all three


@pytest.mark.slow
def test_a_bar_by_torch_does_not_depend_on_its_batch(checkpoint: Checkpoint) -> None:
    rows = song(checkpoint, 2)
    made = by_torch(checkpoint)
    alone = [generate_batch(made, [row])[0] for row in rows]
    assert differing(generate_batch(made, rows), alone) <= 1
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda row: generate_batch(made, [row])[0], rows)) == alone


def test_what_was_read_is_not_read_again(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = by_torch(checkpoint)
    read: list[int] = []
    actual = TorchDecoder.read

    def counted(self: TorchDecoder, pasts: Sequence[tuple[Any, Sequence[UnreadBar]]]) -> list[Any]:
        read.extend(len(bars) for _, bars in pasts)
        return actual(self, pasts)

    monkeypatch.setattr(TorchDecoder, "read", counted)
    kept = Contexts()
    played: list[ConditionedBar] = []
    for number in range(12):
        told = under(phrase=number)
        # the next bar and a fill: one context
        rows = [Row(told, seed, number, tuple(played[-8:])) for seed in (1, 2)]
        read.clear()
        bar, _ = generate_batch(made, rows, kept)
        # a context begins at a multiple of four: but then, at most the bar before it is new
        assert sum(read) <= (5 if number == 9 else 1)
        assert differing([bar], generate_batch(made, rows[:1])) == 0
        played.append((bar, told))
    read.clear()
    generate_batch(made, rows, kept)
    assert read == []


def test_full_bars_take_larger_caches(checkpoint: Checkpoint) -> None:
    voices = (Voice.KICK, Voice.SNARE, Voice.CLOSED_HAT)
    hits = tuple(Hit(Tick(480 * place), v, 90) for place in range(16) for v in voices)
    context = tuple((Bar(Meter(), hits), under(phrase=number)) for number in range(8))
    assert sum(len(bar.hits) + 1 for bar, _ in context) > PLACES[0]
    full = [Row(under(), seed, 8, context) for seed in range(6)]
    rows = [*full, *song(checkpoint, 1)]
    made = by_torch(checkpoint)
    assert differing(generate_batch(made, rows), generate_batch(checkpoint, rows)) <= 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_matrices_of_16_bits_write_bars_too(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    rows = song(checkpoint, 2)
    bars = generate_batch(by_torch(checkpoint, dtype=dtype), rows)
    assert differing(bars, generate_batch(checkpoint, rows)) < len(rows)


def test_broken_weights_are_said_to_be_broken_by_torch_too(checkpoint: Checkpoint) -> None:
    weights = {name: array.copy() for name, array in checkpoint.weights.items()}
    weights["offset_head.bias"] = np.full_like(weights["offset_head.bias"], np.nan)
    broken = by_torch(dataclasses.replace(checkpoint, weights=weights))
    with pytest.raises(ModelError, match="no number") as caught:
        generate_batch(broken, [Row(under(), 1)])
    assert not isinstance(caught.value, DeviceError)


class Recorded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which operations are done."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.done: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN204
        self.done[str(func)] += 1
        return func(*args, **(kwargs or {}))


def places_of(work: Workspace) -> list[int]:
    tensors = (*work.inputs, *work.state, *work.demands.tables, *work.demands.struck)
    return [tensor.data_ptr() for tensor in tensors]


@pytest.mark.slow
@pytest.mark.parametrize(("limited", "owing"), [(False, False), (True, False), (False, True)])
def test_a_step_can_be_recorded_as_a_graph(
    checkpoint: Checkpoint, *, limited: bool, owing: bool
) -> None:
    """No value goes to the host, no shape depends on one, and no tensor moves."""
    decoder = TorchDecoder(checkpoint.config, checkpoint.weights, "cpu")
    with torch.inference_mode():
        work = Workspace(decoder.network, 4, PLACES[0], torch.device("cpu"))
        work.step(limited=limited, owing=owing)
        places = places_of(work)
        with Recorded() as recorded:
            work.step(limited=limited, owing=owing)
    names = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "_to_copy")
    assert not [done for done in recorded.done if any(name in done for name in names)]
    assert places == places_of(work)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), DeviceFullError, "no room"),
        (RuntimeError("CUDA error: no kernel image is available"), DeviceError, "no kernel image"),
        (RuntimeError("CUDA error: an illegal memory access\nmore"), DeviceError, "illegal memory"),
        (AssertionError("Torch not compiled with CUDA enabled"), DeviceError, "not compiled"),
    ],
)
def test_whatever_torch_says_is_one_error_of_ours(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    kind: type[Exception],
    said: str,
) -> None:
    decoder = TorchDecoder(checkpoint.config, checkpoint.weights, "cpu")

    def failing(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(Workspace, "step", failing)
    made = by_torch(checkpoint)
    with pytest.raises(kind, match=said) as caught:
        DeviceBatch(made, decoder, [Row(under(), 1)], Contexts()).written()
    assert "\n" not in str(caught.value)
