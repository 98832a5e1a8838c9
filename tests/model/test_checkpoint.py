"""Checkpoints: what loads, what is kept, and what is refused with which words."""

import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain import SMALL
from drumigen.errors import DeviceFullError, ModelLoadError
from drumigen.model import checkpoint as module
from drumigen.model.checkpoint import (
    CACHED_MODELS,
    clear_gpu_cache,
    clear_model_cache,
    detect_device,
    get_gpu_memory_info,
    load_model,
    save_checkpoint,
    write_tensors,
)
from drumigen.model.mock import create_mock_checkpoint
from drumigen.model.network import ModelConfig, weight_shapes
from drumigen.model.tokens import vocabulary_hash
from drumigen.model.transformer import of_weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    clear_model_cache()
    return create_mock_checkpoint(tmp_path / "mock.safetensors", SMALL, {"seed": 7})


def texts(**changed: str) -> dict[str, str]:
    whole = {"config": "", "vocabulary": vocabulary_hash(), "metadata": "{}"}
    return {**whole, **changed}


def arrays() -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, np.float16) for name, shape in weight_shapes(SMALL).items()}


def test_what_is_saved_is_loaded(path: Path) -> None:
    loaded = load_model(path, "cpu")
    assert loaded.config == SMALL
    assert loaded.metadata == {"seed": 7}
    assert loaded.device == "cpu"
    assert set(loaded.weights) == set(weight_shapes(SMALL))
    assert set(of_weights(SMALL, loaded.weights).state_dict()) == set(loaded.weights)


def test_the_last_four_are_kept_by_path_and_device(tmp_path: Path) -> None:
    clear_model_cache()
    paths = [
        create_mock_checkpoint(tmp_path / f"{n}.safetensors") for n in range(CACHED_MODELS + 1)
    ]
    first = load_model(paths[0], "cpu")
    for other in paths[1:CACHED_MODELS]:
        load_model(other, "cpu")
    assert load_model(paths[0], "cpu") is first  # and so is the latest again
    second = load_model(paths[1], "cpu")
    load_model(paths[CACHED_MODELS], "cpu")  # the one used longest ago, number 2, goes
    assert load_model(paths[0], "cpu") is first
    assert load_model(paths[1], "cpu") is second
    clear_model_cache()
    assert load_model(paths[0], "cpu") is not first


def test_a_file_that_has_changed_is_read_again(path: Path) -> None:
    first = load_model(path, "cpu")
    create_mock_checkpoint(path, SMALL, {"seed": 8})
    assert load_model(path, "cpu") is not first
    assert load_model(path, "cpu").metadata == {"seed": 8}


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no checkpoint here.*drumigen train"):
        load_model(tmp_path / "none.safetensors", "cpu")
    with pytest.raises(ModelLoadError, match="not a whole checkpoint"):
        load_model(tmp_path, "cpu")


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_a_truncated_or_scribbled_file_is_refused_in_one_line(
    path: Path, data: st.DataObject
) -> None:
    whole = create_mock_checkpoint(path.with_name("whole"), SMALL).read_bytes()
    if data.draw(st.booleans(), "truncated"):
        spoilt = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        spoilt = data.draw(st.binary(min_size=8, max_size=64)) + whole[8:]
    path.write_bytes(spoilt)
    clear_model_cache()
    if spoilt == whole:
        return
    with pytest.raises(ModelLoadError) as refused:
        load_model(path, "cpu")
    assert "\n" not in str(refused.value)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "owned",)

    evil = tmp_path / "evil.safetensors"
    evil.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ModelLoadError, match="not a whole checkpoint"):
        load_model(evil, "cpu")
    torch.save({"weights": torch.zeros(3)}, evil)
    with pytest.raises(ModelLoadError, match="not a whole checkpoint"):
        load_model(evil, "cpu")
    assert not (tmp_path / "owned").exists()


def test_another_vocabulary_is_named(path: Path) -> None:
    write_tensors(arrays(), path, texts(vocabulary="0123456789abcdef"))
    with pytest.raises(ModelLoadError, match="vocabulary '0123456789abcdef', this drumigen has"):
        load_model(path, "cpu")
    write_tensors(arrays(), path, {})
    with pytest.raises(ModelLoadError, match="vocabulary 'unknown'"):
        load_model(path, "cpu")


@pytest.mark.parametrize(
    "changed",
    [
        {"width": 10**9},
        {"width": 23},
        {"layers": 0},
        {"layers": 10**9},
        {"heads": 5},
        {"styles": []},
        {"styles": "funk"},
        {"styles": ["x"] * 1000},
        {"hidden": -3},
        {"surprise": 1, "width": "wide"},
    ],
)
def test_a_hostile_configuration_is_refused_before_it_costs_memory(
    path: Path, changed: dict[str, object]
) -> None:
    config = {"styles": ["funk"], "width": 24, "layers": 2, "heads": 2, "shared": 1, "hidden": 16}
    write_tensors(arrays(), path, texts(config=json.dumps({**config, **changed})))
    with pytest.raises(ModelLoadError, match="not a whole checkpoint"):
        load_model(path, "cpu")


@pytest.mark.parametrize("name", ["position.weight", "blocks.1.into.weight", "offset_head.bias"])
def test_a_missing_or_misshapen_weight_is_refused(path: Path, name: str) -> None:
    whole = load_model(path, "cpu")
    for spoilt in ({}, {name: np.zeros((3, 3), np.float32)}):
        rest = {other: array for other, array in whole.weights.items() if other != name}
        save_checkpoint(SMALL, {**rest, **spoilt}, path)
        with pytest.raises(ModelLoadError, match="not a whole checkpoint"):
            load_model(path, "cpu")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(path: Path, bad: float) -> None:
    weights = {**load_model(path, "cpu").weights}
    weights["style.weight"] = np.full_like(weights["style.weight"], bad)
    save_checkpoint(SMALL, weights, path)
    with pytest.raises(ModelLoadError, match="no number"):
        load_model(path, "cpu")


def test_a_file_is_written_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def failing(*_: object) -> None:
        message = "disk full"
        raise OSError(message)

    monkeypatch.setattr(module, "save", failing)
    with pytest.raises(OSError, match="disk full"):
        create_mock_checkpoint(path, ModelConfig(("rock",), width=24, layers=1, heads=2, shared=1))
    assert path.read_bytes() == before


def test_the_best_device_is_found_and_an_absent_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert detect_device() == detect_device("auto") == detect_device("cpu") == "cpu"
    with pytest.raises(ModelLoadError, match="'cuda' cannot be used here; use auto or one of cpu"):
        detect_device("cuda")
    with pytest.raises(ModelLoadError, match="'abacus' cannot be used"):
        detect_device("abacus")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert detect_device() == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert detect_device() == "cuda"
    assert detect_device("cuda:0") == "cuda:0"
    with pytest.raises(ModelLoadError, match="'cuda:1' cannot be used"):
        detect_device("cuda:1")


def test_a_gpu_without_room_is_passed_over_for_the_cpu(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def full(*_: object) -> None:
        message = "no room"
        raise DeviceFullError(message)

    monkeypatch.setattr("drumigen.model.torch_decoder.TorchDecoder", full)
    with caplog.at_level(logging.WARNING):
        assert load_model(path, "cuda").device == "cpu"
    assert "using the CPU" in caplog.text


def test_gpu_memory_is_told_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert get_gpu_memory_info() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3, 8))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 2)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 4)
    assert get_gpu_memory_info() == {"total": 8, "free": 3, "allocated": 2, "reserved": 4}


def test_clearing_the_gpu_cache_reaches_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: cleared.append(True))
    clear_gpu_cache()
    assert cleared == [True]


def test_playing_on_a_cpu_loads_no_torch(path: Path) -> None:
    program = (
        "import sys\n"
        "from drumigen.model.checkpoint import load_model\n"
        "from drumigen.model.generation import generate_pattern\n"
        "from drumigen.model.tokens import Conditions\n"
        f"pattern = generate_pattern(load_model({str(path)!r}, 'cpu'), Conditions(), 1)\n"
        "print(len(pattern.bars), 'torch' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["1", "False"]
