"""Every benchmark that a person calls still starts: what it is made of lies elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CALLED = sorted(
    path.name
    for path in BENCHMARKS.glob("*.py")
    if "argparse.ArgumentParser(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("script", CALLED)
def test_it_says_how_it_is_called(script: str) -> None:
    command = [sys.executable, str(BENCHMARKS / script), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("usage: ")
