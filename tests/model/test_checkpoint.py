"""Checkpoints: what loads, what is kept, and what is refused with which words."""

import json
import logging
import os
import pickle
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain import SMALL
from drumigen.errors import DeviceFullError, ModelLoadError
from drumigen.model import checkpoint as module
from drumigen.model import devices
from drumigen.model.checkpoint import (
    CACHED_MODELS,
    Checkpoint,
    clear_gpu_cache,
    clear_model_cache,
    detect_device,
    get_gpu_memory_info,
    load_model,
    read_texts,
    save_checkpoint,
    write_tensors,
)
from drumigen.model.conditions import CONDITION_SIZES
from drumigen.model.mock import create_mock_checkpoint
from drumigen.model.network import ModelConfig, weight_shapes
from drumigen.model.tokens import vocabulary_hash
from drumigen.model.transformer import of_weights, weights_of
from drumigen.model.vocabulary import ADDED_LATER


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
    assert set(weights_of(of_weights(SMALL, loaded.weights))) == set(loaded.weights)


@pytest.mark.slow
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


@pytest.mark.slow
@given(st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
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
        create_mock_checkpoint(
            path, ModelConfig(("rock",), width=24, layers=1, heads=2, kv_heads=1)
        )
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
    assert "the network goes on on the CPU" in caplog.text


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


def test_a_model_is_loaded_once_however_many_threads_ask_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []
    read = module._read

    def counted(file: Path, device: str) -> Checkpoint:
        loads.append(file)
        return read(file, device)

    monkeypatch.setattr(module, "_read", counted)
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: load_model(path, "cpu"), range(32)))
    assert len(loads) == 1
    assert {id(model) for model in models} == {id(models[0])}


@pytest.mark.parametrize("in_place", [True, False])
def test_a_changed_file_of_the_same_time_and_size_is_read_again(
    path: Path, *, in_place: bool
) -> None:
    for seed in (7, 8, 9, 8):
        at = path.stat()
        fresh = create_mock_checkpoint(path.with_name("fresh"), SMALL, {"seed": seed})
        if in_place:
            path.write_bytes(fresh.read_bytes())
        else:
            fresh.replace(path)
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
        assert path.stat().st_mtime_ns == at.st_mtime_ns
        assert load_model(path, "cpu").metadata == {"seed": seed}
        assert load_model(path, "cpu") is load_model(path, "cpu")


def refused(path: str | Path) -> str:
    clear_model_cache()
    with pytest.raises(ModelLoadError) as error:
        load_model(path, "cpu")
    message = str(error.value)
    assert message.isprintable()
    return message


def test_a_path_that_is_none_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no checkpoint here" in refused("nul\0inside")
    assert "no checkpoint here" in refused("x" * 5000)
    assert "no checkpoint here" in refused("~nobody-of-that-name/x.safetensors")
    assert "no checkpoint here" in refused("line\nbreak")
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).symlink_to(tmp_path / other)
    assert "no checkpoint here" in refused(tmp_path / "a")
    create_mock_checkpoint(tmp_path / "mine.safetensors", SMALL)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_model("~/mine.safetensors", "cpu").config == SMALL


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a file" in refused(tmp_path / "pipe")
    assert "not a file" in refused("/dev/zero")
    assert "not a file" in refused(tmp_path)
    with pytest.raises(ModelLoadError, match="not a file"):
        read_texts(tmp_path / "pipe")


DEEP = 100_000


@pytest.mark.parametrize(
    "changed",
    [
        {"config": "[" * DEEP},
        {"metadata": '{"a":' * DEEP + "1" + "}" * DEEP},
        {"metadata": "[1]"},
        {"config": '{"styles": ["funk", "funk"]}'},
        {"config": '{"styles": ["fu\\nnk"]}'},
        {"config": '{"styles": ["funk"], "width": 2040, "layers": 64, "heads": 2, "shared": 1}'},
        {"config": '{"styles": ["funk"], "dropout": 1e300}'},
        {"metadata": '{"profile": {"funk": {"personas": [[1e400, 3]]}}}'},
        {"metadata": '{"profile": {"funk": {"personas": [[-1, 3]], "spread": [0], "fills": [0]}}}'},
    ],
)
def test_hostile_texts_are_refused_in_one_line(path: Path, changed: dict[str, str]) -> None:
    config = json.dumps(msgspec.to_builtins(SMALL))
    write_tensors(arrays(), path, texts(**{"config": config, **changed}))
    refused(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * DEEP,
        b"{}",
        b"[]",
        b"null",
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"vocabulary": 3}}',
        b'{"a": {"dtype": "F16", "shape": [-1], "data_offsets": [0, 0]}}',
        b'{"a": 3}',
        b'{"a": {"a": ' * DEEP,
        b"\xff\xfe",
    ],
)
def test_a_hostile_header_is_refused_in_one_line(path: Path, header: bytes) -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refused(path)


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.uint16, np.complex64])
def test_weights_that_are_no_real_numbers_are_refused(path: Path, kind: type) -> None:
    odd = {**arrays(), "style.weight": np.ones((3, 24), kind)}
    write_tensors(odd, path, texts(config=json.dumps(msgspec.to_builtins(SMALL))))
    assert "style.weight is of type" in refused(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F4", "X99", ""])
def test_types_that_nobody_knows_are_refused(path: Path, dtype: str) -> None:
    write_tensors(arrays(), path, texts(config=json.dumps(msgspec.to_builtins(SMALL))))
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["style.weight"]["dtype"] = dtype
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[8 + length :])
    assert "not a whole checkpoint" in refused(path)


def test_weights_may_be_floats_of_any_width(path: Path) -> None:
    loaded = load_model(path, "cpu").weights
    for kind in (np.float16, np.float32, np.float64):
        same = {name: array.astype(kind) for name, array in loaded.items()}
        write_tensors(same, path, texts(config=json.dumps(msgspec.to_builtins(SMALL))))
        again = load_model(path, "cpu").weights
        assert all((again[name] == loaded[name]).all() for name in loaded)


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"junk": np.zeros(2**26, np.uint16)}])
def test_a_large_file_of_junk_is_refused_before_it_costs_memory(
    tmp_path: Path, extra: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "junk.safetensors"
    config = json.dumps(msgspec.to_builtins(SMALL))
    write_tensors({**arrays(), **extra}, path, texts(config=config))
    with path.open("ab") as file:
        file.truncate(2**28)
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_without_a_gpu_no_device_asks_for_torch(path: Path) -> None:
    program = (
        "import sys\n"
        "from drumigen.model import devices\n"
        "devices.gpu_may_be_here = lambda: False\n"
        "from drumigen.model.checkpoint import get_gpu_memory_info, load_model\n"
        f"print(load_model({str(path)!r}).device, get_gpu_memory_info(), 'torch' in sys.modules)\n"
        "import drumigen.model.devices as d; d.torch_is_installed = lambda: False\n"
        "d.gpu_may_be_here = lambda: True\n"
        "print(d.detect_device('auto'))\n"
        "try: d.detect_device('cuda')\n"
        "except Exception as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        "cpu None False",
        "cpu",
        "device 'cuda' needs torch: pip install 'drumigen[gpu]', or use cpu",
    ]


def test_where_a_gpu_may_be_is_seen_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "_NVIDIA_FILES", ("/dev/null",))
    monkeypatch.setattr(devices, "_AMD_FILES", ())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "cuda_devices", lambda: 1)
    assert devices.gpu_may_be_here()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not devices.gpu_may_be_here()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(devices, "cuda_devices", lambda: 0)  # a driver without a GPU
    assert not devices.gpu_may_be_here()
    monkeypatch.setattr(devices, "_AMD_FILES", ("/dev/null",))
    assert devices.gpu_may_be_here()
    monkeypatch.setattr(devices, "_AMD_FILES", ())
    monkeypatch.setattr(devices, "_NVIDIA_FILES", ())
    monkeypatch.setattr(devices, "cuda_devices", lambda: 1)
    assert not devices.gpu_may_be_here()


@pytest.mark.slow
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


def test_a_checkpoint_of_before_plays_and_is_told_nothing_of_what_it_lacks(tmp_path: Path) -> None:
    path = create_mock_checkpoint(tmp_path / "new.safetensors", SMALL, {})
    new = load_model(path, "cpu")
    added = sum(CONDITION_SIZES[name] for name in ADDED_LATER)
    weights = {name: np.asarray(array, np.float16) for name, array in new.weights.items()}
    weights["condition.weight"] = weights["condition.weight"][:-added]
    texts = {**read_texts(path), "vocabulary": vocabulary_hash(ADDED_LATER)}
    old_path = tmp_path / "old.safetensors"
    write_tensors(weights, old_path, texts)
    old = load_model(old_path, "cpu")
    assert not old.weights["condition.weight"][-added:].any()
    assert np.array_equal(
        old.weights["condition.weight"][:-added], new.weights["condition.weight"][:-added]
    )
