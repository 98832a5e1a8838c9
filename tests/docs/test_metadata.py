"""What our own metadata asks pip for: to play nothing of CUDA and no torch, on any machine."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]


def needed(machine: str, python: str, extra: str = "") -> Iterator[str]:
    environment = {
        "platform_machine": machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "extra": extra,
    }
    rows = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get(extra, ())]
    for row in rows:
        wanted = Requirement(row)
        if wanted.marker is None or wanted.marker.evaluate(environment):
            yield wanted.name.lower()


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_playing_needs_neither_torch_nor_anything_of_cuda(machine: str, python: str) -> None:
    names = set(needed(machine, python))
    assert not names & {"torch", "scikit-learn", "triton"}
    assert not any("nvidia" in name or "cuda" in name for name in names)


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_no_extra_names_a_package_of_cuda_on_a_raspberry_pi(extra: str) -> None:
    """torch's own wheels for aarch64 on PyPI are of the CPU; nothing here asks for others."""
    names = set(needed("aarch64", "3.13", extra))
    assert not any("nvidia" in name or "cuda" in name or "cupy" in name for name in names)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_on_new_pythons_nothing_that_has_to_be_compiled_is_asked_for(machine: str) -> None:
    """python-rtmidi has no wheel beyond Python 3.12."""
    assert "python-rtmidi" in set(needed(machine, "3.12"))
    assert "python-rtmidi" not in set(needed(machine, "3.13"))
