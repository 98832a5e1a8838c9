"""Generation: the same song every time, whatever is batched with what; and what controls do."""

import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain import SMALL, STYLES, under
from drumigen.errors import DeviceFullError, ModelError
from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.model.generation import (
    ConditionedBar,
    Contexts,
    Row,
    context_of,
    estimate_generation_time,
    generate_batch,
    generate_pattern,
)
from drumigen.model.mock import create_mock_checkpoint, mock_bar
from drumigen.model.network import CONTEXT_BARS
from drumigen.model.sampling import Sampling
from drumigen.model.tokens import decode
from drumigen.model.torch_decoder import TorchDecoder
from drumigen.pattern import Bar, Rule, problems
from drumigen.timeline import Meter
from strategies import METERS, playable_bars

FOUR = Meter()
PROFILE = {"funk": {"personas": [[4.0, 80.0]], "spread": [0.0], "fills": [0.1] * 8}}
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


def song(count: int) -> tuple[ConditionedBar, ...]:
    return tuple((mock_bar(FOUR), under(phrase=number)) for number in range(count))


def test_the_same_seed_gives_the_same_pattern_and_another_one_another(
    checkpoint: Checkpoint,
) -> None:
    one, again, other = (generate_pattern(checkpoint, under(), 3, seed=s) for s in (5, 5, 6))
    assert one == again
    assert one.bars != other.bars


def test_a_generator_of_torch_seeds_it(checkpoint: Checkpoint) -> None:
    patterns = [
        generate_pattern(checkpoint, under(), 2, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert patterns[0] == patterns[1]
    assert patterns[0].bars != patterns[2].bars


@given(
    st.lists(
        st.tuples(st.sampled_from(STYLES), st.integers(0, 9), st.sampled_from(METERS)),
        min_size=1,
        max_size=9,
    )
)
@shared
def test_a_row_does_not_depend_on_its_batch(
    checkpoint: Checkpoint, asked: list[tuple[str, int, Meter]]
) -> None:
    rows = [
        Row(under(style, meter, density=4.0), seed, seed, song(seed)[-8:])
        for style, seed, meter in asked
    ]
    together = generate_batch(checkpoint, rows)
    assert together == [generate_batch(checkpoint, [row])[0] for row in rows]


@given(st.integers(0, 40), st.integers(0, 99))
@shared
def test_what_was_read_before_changes_nothing(
    checkpoint: Checkpoint, number: int, seed: int
) -> None:
    kept = Contexts()
    played: list[ConditionedBar] = []
    for place in range(number % 12 + 1):
        row = Row(under(phrase=place), seed, place, tuple(played[-CONTEXT_BARS:]))
        (warm,) = generate_batch(checkpoint, [row], kept)
        (cold,) = generate_batch(checkpoint, [row])
        assert warm == cold
        played.append((warm, row.conditions))


@given(st.sampled_from(METERS), st.integers(0, 2**40), playable_bars())
@shared
def test_a_bar_is_in_its_metre_and_a_drummer_can_play_it(
    checkpoint: Checkpoint, meter: Meter, seed: int, before: Bar
) -> None:
    context = ((before, under(meter=before.meter)),)
    row = Row(under(meter=meter), seed, 1, context, Sampling(2.0))
    (bar,) = generate_batch(checkpoint, [row])
    assert bar.meter == meter
    assert {problem.rule for problem in problems(bar)} <= {Rule.SPARSE}


def test_a_bar_continues_from_what_was_played(checkpoint: Checkpoint) -> None:
    rows = [Row(under(), 1, 4, context) for context in ((), song(4), song(2))]
    bars = generate_batch(checkpoint, rows)
    assert len(set(bars)) == 3


def test_styles_mix(checkpoint: Checkpoint) -> None:
    mixtures = [
        dataclasses.replace(under(), styles=(("funk", share), ("jazz", 1 - share)))
        for share in (1.0, 0.999, 0.5)
    ]
    same, near, far = (
        checkpoint.stepper.condition_embedding(
            m.ids(), [dict(m.styles).get(s, 0.0) for s in STYLES]
        )
        for m in mixtures
    )
    assert np.abs(same - near).max() < np.abs(same - far).max()


def test_without_dither_hits_take_the_middle_of_their_bins(checkpoint: Checkpoint) -> None:
    row = Row(under(), 3, dither=False)
    (bar,) = generate_batch(checkpoint, [row])
    assert bar.hits
    assert all(hit.sounding_tick % 10 == 0 for hit in bar.hits)


@pytest.mark.parametrize("most", [30, 31, 100, 140])
def test_a_pattern_has_no_more_tokens_than_max_length(checkpoint: Checkpoint, most: int) -> None:
    styles = checkpoint.config.styles
    long = generate_pattern(checkpoint, under(), 6, seed=1)
    short = generate_pattern(checkpoint, under(), 6, seed=1, max_length=most)
    assert most - 12 < len(short.tokens(styles)) <= most
    *whole, last = short.bars
    assert tuple(whole) == long.bars[: len(whole)]
    assert set(last.hits) <= set(long.bars[len(whole)].hits)
    assert last.hits


def test_a_max_length_that_is_long_enough_changes_nothing(checkpoint: Checkpoint) -> None:
    long = generate_pattern(checkpoint, under(), 3, seed=1)
    tokens = long.tokens(checkpoint.config.styles)
    assert generate_pattern(checkpoint, under(), 3, seed=1, max_length=len(tokens)) == long
    assert len(decode(tokens).bars) == 3


def test_one_cached_model_writes_the_same_bars_for_many_threads(checkpoint: Checkpoint) -> None:
    rows = [Row(under(density=6.0), seed, 4, song(4)) for seed in range(24)]
    alone = [generate_batch(checkpoint, [row])[0] for row in rows]
    shared_contexts = Contexts()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda row: generate_batch(checkpoint, [row])[0], rows * 3))
        warm = list(
            pool.map(lambda row: generate_batch(checkpoint, [row], shared_contexts)[0], rows)
        )
    assert together == alone * 3
    assert warm == alone


def test_contexts_of_one_model_are_not_those_of_another(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    wider = msgspec.structs.replace(SMALL, width=48)
    other = load_model(create_mock_checkpoint(tmp_path / "other.safetensors", wider), "cpu")
    kept = Contexts()
    row = Row(under(), 1, 4, song(4))
    for model in (checkpoint, other, checkpoint):
        assert generate_batch(model, [row], kept) == generate_batch(model, [row])


def test_a_style_without_takes_is_no_style_of_the_checkpoint(tmp_path: Path) -> None:
    given: tuple[dict[str, object], ...] = (
        {"takes": {"funk": 3, "jazz": 0, "rock": 1}},
        {"profile": PROFILE},
    )
    for number, metadata in enumerate(given):
        path = create_mock_checkpoint(tmp_path / f"{number}.safetensors", SMALL, metadata)
        model = load_model(path, "cpu")
        assert generate_pattern(model, under("funk"), 1).bars
        with pytest.raises(ModelError, match=r"'jazz' is not in this checkpoint; it has funk"):
            generate_pattern(model, under("jazz"))
        assert estimate_generation_time(model) > 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"bars": 0}, "0 bars"),
        ({"max_length": 0}, "at most 0 tokens"),
        ({"max_length": 8}, "max_length 8 has no room"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "use 0 to"),
        ({"temperature": 0}, "temperature 0"),
    ],
)
def test_impossible_wishes_are_named(
    checkpoint: Checkpoint, options: dict[str, int], named: str
) -> None:
    with pytest.raises(ModelError, match=named):
        generate_pattern(checkpoint, under(), **options)  # type: ignore[arg-type]


def test_a_style_that_the_checkpoint_lacks_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="'polka' is not in this checkpoint; it has funk"):
        generate_pattern(checkpoint, under("polka"))


def test_broken_weights_are_said_to_be_broken(checkpoint: Checkpoint) -> None:
    weights = {name: array.copy() for name, array in checkpoint.weights.items()}
    weights["event_head.bias"] = np.full_like(weights["event_head.bias"], np.nan)
    broken = dataclasses.replace(checkpoint, weights=weights)
    with pytest.raises(ModelError, match="no number"):
        generate_pattern(broken, under())


@pytest.mark.parametrize("duty", ["read", "write"])
def test_a_gpu_that_fails_is_replaced_by_the_cpu_and_not_tried_again(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture, duty: str
) -> None:
    asked: list[str] = []

    class Full(TorchDecoder):
        pass

    def failing(*_: object) -> None:
        asked.append(duty)
        message = "cuda has no room"
        raise DeviceFullError(message)

    setattr(Full, duty, failing)
    full = dataclasses.replace(checkpoint, device="cuda")
    full.__dict__["decoder"] = Full(checkpoint.config, checkpoint.weights, "cpu")
    rows = [Row(under(), 1, 4, song(4))]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert generate_batch(full, rows) == generate_batch(checkpoint, rows)
    assert caplog.text.count("cuda has no room; the network goes on on the CPU") == 1
    assert asked == [duty]


def test_the_time_to_write_is_measured_here_and_grows_with_the_bars(
    checkpoint: Checkpoint,
) -> None:
    assert estimate_generation_time(checkpoint) > 0
    with pytest.raises(ModelError, match="0 bars"):
        estimate_generation_time(checkpoint, 0)


@given(st.integers(0, 200), st.integers(0, CONTEXT_BARS))
def test_a_context_begins_at_a_fixed_place_so_that_reading_it_is_shared(
    number: int, known: int
) -> None:
    row = Row(under(), number=number, context=song(min(known, number)))
    read = context_of(row)
    assert read == row.context[len(row.context) - len(read) :]
    if len(row.context) == CONTEXT_BARS:
        assert (number - len(read)) % 4 == 0
        assert len(read) > CONTEXT_BARS - 4
    else:
        assert read == row.context
