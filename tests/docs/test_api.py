"""What docs/API.md says of the public names is so; test_code_blocks.py runs its examples."""

import doctest
import re
from pathlib import Path

import pytest

import drumigen

DOCS = Path(__file__).resolve().parents[2] / "docs"
API = (DOCS / "API.md").read_text("utf-8")
PROTOTYPE = [
    "normalize_style_name",
    "get_style_id",
    "get_style_params",
    "get_humanization_params",
    "get_model_path",
    "list_available_styles",
    "get_preferred_tempo_range",
    "validate_tempo_for_style",
    "get_style_description",
    "get_all_styles_info",
    "load_model",
    "detect_device",
    "get_gpu_memory_info",
    "clear_gpu_cache",
    "clear_model_cache",
    "generate_pattern",
    "generate_batch",
    "estimate_generation_time",
    "MockDrumModel",
    "create_mock_checkpoint",
    "get_mock_tokens",
]


def test_the_docstring_of_the_package_is_true() -> None:
    assert doctest.testmod(drumigen).failed == 0


def test_every_public_name_is_there_and_none_else() -> None:
    for name in drumigen.__all__:
        assert getattr(drumigen, name) is not None
        assert name in dir(drumigen)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        drumigen.nonsense  # noqa: B018 - it is the attribute that is asked for


def test_the_table_of_the_prototypes_names_is_whole_and_true() -> None:
    rows = re.findall(r"^\| `(\w+)[^`]*` \| `([^`]+)` \|$", API, re.MULTILINE)
    assert [prototype for prototype, _ in rows] == PROTOTYPE
    styles = drumigen.load_styles()
    names = {
        "styles": styles,
        "name": "dilla",
        "style": styles.find("dilla"),
        "model": drumigen.load_model(None, "cpu"),
        "drumigen": drumigen,
    }
    for _, ours in rows:
        if re.fullmatch(r"model\.(\w+)\.(\w+)", ours) and not ours.startswith("model.config"):
            module, _, name = f"drumigen.{ours}".rpartition(".")
            found = getattr(__import__(module, fromlist=[name]), name)
        else:
            found = eval(ours, names)  # noqa: S307 - ours
        assert found is not None


def test_the_checkpoint_of_a_style_is_an_absolute_path_that_is_there() -> None:
    paths = [style.checkpoint for style in drumigen.load_styles()]
    assert all(path.is_absolute() and path.is_file() for path in paths)
