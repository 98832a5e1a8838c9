"""A small network for tests, and what to ask of it."""

from pathlib import Path

import pytest

from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.model.conditions import Conditions
from drumigen.model.mock import create_mock_checkpoint
from drumigen.model.network import ModelConfig
from drumigen.timeline import Meter
from drumigen.units import Bpm

STYLES = ("funk", "jazz", "rock")
SMALL = ModelConfig(STYLES, ("drummer1",), width=24, layers=2, heads=2, kv_heads=1, detail_width=16)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path: Path = tmp_path_factory.mktemp("brain") / "small.safetensors"
    return load_model(create_mock_checkpoint(path, SMALL), "cpu")


def under(style: str = "funk", meter: Meter = Meter(), **told: object) -> Conditions:  # noqa: B008 - a value
    return Conditions(((style, 1.0),), Bpm(104.0), meter, **told)  # type: ignore[arg-type]
