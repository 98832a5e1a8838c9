"""The network step by step is the network, on numpy and on torch."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brain import SMALL
from drumigen.model.checkpoint import Checkpoint
from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.kv_cache import GROWTH_STEPS
from drumigen.model.network import ModelConfig, due_hits, weight_shapes
from drumigen.model.numpy_decoder import Decoder
from drumigen.model.stepper import LINE, Stepper
from drumigen.model.tokens import BinnedNote
from drumigen.model.torch_network import Caches, Network
from drumigen.model.transformer import Steps, of_weights
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, POSITIONS, VELOCITIES, VOICE_ORDER

STEPS = GROWTH_STEPS + 20  # so that a cache has to grow
BINS = [3, 33, 9, 4, 1, 0, 2, 0, 1, 1, 2, 4, 5]
"""Of the conditions: a bar of 4/4, told to be of some density."""
WIDE = ModelConfig(SMALL.styles, width=192, layers=2, heads=6, kv_heads=2, detail_width=64)


def weights(config: ModelConfig) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(3)
    return {
        name: rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def steps(seed: int = 0) -> tuple[list[BinnedNote], list[int], list[float]]:
    """Some bars: notes, their numbers in the bar, and when they are."""
    rng = np.random.default_rng(seed)
    notes: list[BinnedNote] = []
    counts: list[int] = []
    times: list[float] = []
    for bar in range(STEPS // 12 + 1):
        events = np.sort(rng.integers(0, 16 * len(VOICE_ORDER), 11))
        levels, moves = rng.integers(VELOCITIES, size=11), rng.integers(OFFSETS, size=11)
        details = zip(events, levels, moves, strict=True)
        notes += [LINE, *(BinnedNote(int(e), int(v), int(o)) for e, v, o in details)]
        counts += range(12)
        times += [16.0 * bar, *(16.0 * bar + int(e) // len(VOICE_ORDER) for e in events)]
    return notes[:STEPS], counts[:STEPS], times[:STEPS]


def walked(stepper: Stepper, seed: int = 0, stride: int = 1) -> NDArray[np.float32]:
    notes, counts, times = steps(seed)
    told = stepper.condition_embedding(BINS, [0.7, 0.0, 0.3])
    cache = stepper.cache()
    found = []
    for first in range(0, STEPS, stride):
        here = slice(first, min(STEPS, first + stride))
        count = here.stop - here.start
        found.append(stepper.read([cache] * count, notes[here], times[here], told[counts[here]]))
    return np.concatenate(found)


def whole(config: ModelConfig, arrays: dict[str, NDArray[np.generic]]) -> torch.Tensor:
    notes, counts, times = steps()
    event, velocity, offset = (torch.tensor(part)[None] for part in zip(*notes, strict=True))
    told = Steps(
        event,
        velocity,
        offset,
        torch.tensor(counts)[None],
        torch.tensor(times)[None],
        torch.zeros_like(event),
        torch.tensor([[BINS]]),
        torch.tensor([[[0.7, 0.0, 0.3]]]),
    )
    with torch.inference_mode():
        hidden: torch.Tensor = of_weights(config, arrays)(told)[0]
    return hidden


@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["small", "wide"])
def test_steps_on_numpy_say_what_the_whole_network_says(config: ModelConfig) -> None:
    arrays = weights(config)
    expected = whole(config, arrays).numpy()
    assert walked(Decoder(config, arrays)) == pytest.approx(expected, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 7, 32])
@torch.inference_mode()
def test_steps_on_torch_say_what_the_whole_network_says(stride: int) -> None:
    arrays = weights(WIDE)
    expected = whole(WIDE, arrays).numpy()
    cpu = torch.device("cpu")
    network = Network(WIDE, arrays, cpu, torch.float32)
    caches = Caches(WIDE, 2, 128, cpu)  # the second row is another's
    notes, counts, times = steps()
    due = [due_hits(BINS, count) for count in counts]
    parts = torch.tensor([(*note, *of) for note, *of in zip(notes, counts, due, strict=True)])
    bar = network.bar_embedding(torch.tensor([BINS]), torch.tensor([[0.7, 0.0, 0.3]]))
    found = []
    for first in range(0, STEPS, stride):
        here = slice(first, min(STEPS, first + stride))
        x = network.embedding(torch.stack([parts[here], parts[here].flip(0)]), bar)
        time = torch.tensor(times[here]).long().expand(2, -1)
        place = torch.arange(here.start, here.stop).expand(2, -1)
        found.append(network.forward(x, time, place, caches)[0])
    assert torch.cat(found).numpy() == pytest.approx(expected, abs=2e-4)


@torch.inference_mode()
def test_the_heads_on_numpy_and_torch_say_what_the_network_says() -> None:
    arrays = weights(WIDE)
    hidden = walked(Decoder(WIDE, arrays))[:9]
    events, velocities = list(range(0, 180, 20)), list(range(9))
    asked = torch.tensor(hidden), torch.tensor(events), torch.tensor(velocities)
    expected = of_weights(WIDE, arrays).heads(*asked)
    stepper = Decoder(WIDE, arrays)
    event, details = stepper.events(hidden)
    velocity, rest = stepper.velocities(details, events)
    network = Network(WIDE, arrays, torch.device("cpu"), torch.float32)
    on_torch, torch_details = network.ends(asked[0])
    torch_velocity, torch_rest = network.velocities(torch_details, asked[1])
    for found in (
        (event, velocity, stepper.offsets(rest, velocities)),
        (on_torch, torch_velocity, network.offsets(torch_rest, asked[2])),
    ):
        for logits, wanted in zip(found, expected, strict=True):
            assert np.asarray(logits) == pytest.approx(wanted.numpy(), abs=2e-4)


@pytest.mark.parametrize("stride", [2, 5, 32])
def test_a_past_read_at_once_leaves_the_very_same_numbers(stride: int) -> None:
    decoder = Decoder(WIDE, weights(WIDE))
    assert np.array_equal(walked(decoder), walked(decoder, stride=stride))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, 3, 5, 16])
def test_a_rows_numbers_do_not_depend_on_its_batch(rows: int) -> None:
    decoder = Decoder(WIDE, weights(WIDE))
    alone = [walked(decoder, seed, 7) for seed in range(rows)]
    caches = [decoder.cache() for _ in range(rows)]
    told = decoder.condition_embedding(BINS, [0.7, 0.0, 0.3])
    parts = [steps(seed) for seed in range(rows)]
    for place in range(20):
        hidden = decoder.read(
            caches,
            [notes[place] for notes, _, _ in parts],
            [times[place] for _, _, times in parts],
            told[[counts[place] for _, counts, _ in parts]],
        )
        events, details = decoder.events(hidden)
        for row in range(rows):
            assert np.array_equal(hidden[row], alone[row][place])
            event, detail = decoder.events(alone[row][place : place + 1])
            assert np.array_equal(events[row], event[0])
            assert np.array_equal(details[row], detail[0])


def test_a_rows_numbers_do_not_depend_on_how_long_the_others_pasts_are() -> None:
    decoder = Decoder(WIDE, weights(WIDE))
    told = decoder.condition_embedding(BINS, [0.7, 0.0, 0.3])
    notes, counts, times = steps()
    expected = walked(decoder)
    places = (70, 1, GROWTH_STEPS - 1, 5, GROWTH_STEPS)
    caches = [decoder.cache() for _ in places]
    for cache, past in zip(caches, places, strict=True):
        decoder.read([cache] * past, notes[:past], times[:past], told[counts[:past]])
    asked = [place + step for place in places for step in range(3)]  # three steps of each row
    hidden = decoder.read(
        [cache for cache in caches for _ in range(3)],
        [notes[place] for place in asked],
        [times[place] for place in asked],
        told[[counts[place] for place in asked]],
    )
    assert np.array_equal(hidden, expected[asked])


def test_a_copied_cache_goes_on_by_itself(checkpoint: Checkpoint) -> None:
    stepper = checkpoint.stepper
    told = stepper.condition_embedding([0] * len(CONDITION_SIZES), [1.0, 0.0, 0.0])[:1]
    first = stepper.cache()
    stepper.read([first], [LINE], [0.0], told)
    second = first.copied()
    one = stepper.read([first], [BinnedNote(3, 3, 3)], [0.0], told)
    stepper.read([second], [BinnedNote(40, 9, 9)], [2.0], told)
    again = stepper.read([second.copied()], [BinnedNote(50, 3, 3)], [2.0], told)
    third = stepper.read([first], [BinnedNote(50, 3, 3)], [2.0], told)
    assert not np.array_equal(one, again)
    assert not np.array_equal(third, again)


def test_positions_of_the_longest_bar_are_known() -> None:
    assert POSITIONS * len(VOICE_ORDER) == BAR_LINE
