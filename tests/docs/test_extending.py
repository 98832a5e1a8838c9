"""The packages of docs/EXTENDING.md, installed as they stand there, play."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drumigen.kit import load_kit
from drumigen.midi.file import read_song
from drumigen.midi.song import bars_from_song

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "EXTENDING.md").read_text("utf-8")
BLOCKS = dict(
    zip(
        ("claps", "claps.toml", "scribe", "scribe.toml"),
        re.findall(
            r"```(?:python|toml)\n(.*?)```", (DOCS / "EXTENDING.md").read_text("utf-8"), re.DOTALL
        ),
        strict=True,
    )
)


def install(name: str, folder: Path) -> None:
    (folder / f"drumigen_{name}.py").write_text(BLOCKS[name], encoding="utf-8")
    info = folder / f"drumigen_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: drumigen-{name}\nVersion: 1\n", encoding="utf-8")
    group = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", BLOCKS[f"{name}.toml"])
    (info / "entry_points.txt").write_text(group.replace('"', ""), encoding="utf-8")


def drumigen(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "drumigen_daemon.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
    )


def test_the_examples_have_thirty_lines_at_most() -> None:
    assert all(len(block.splitlines()) <= 30 for block in BLOCKS.values())


def test_the_writer_writes(tmp_path: Path) -> None:
    install("claps", tmp_path)
    ran = drumigen(
        tmp_path, "render", "--bars", "2", "--set", "generator.writer=claps", "--output", "a.mid"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    bars = bars_from_song(read_song(tmp_path / "a.mid"), load_kit())
    assert {hit.voice.value for bar in bars for hit in bar.hits} <= {"kick", "clap"}


@pytest.mark.process
def test_the_midi_system_plays(tmp_path: Path) -> None:
    install("scribe", tmp_path)
    ran = drumigen(
        tmp_path, "play", "--bars", "1", "--bpm", "300", "--backend", "scribe", "--output", "a.mid"
    )
    assert ran.returncode == 0, ran.stderr
    lines = (tmp_path / "scribe.txt").read_text("ascii").splitlines()
    assert [line for line in lines if line.split()[1] == "out" and line.split()[2].startswith("9")]


def test_a_part_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    for key in ("generator.writer", "midi.backend"):
        ran = drumigen(tmp_path, "render", "--set", f"{key}=nobody")
        assert ran.returncode != 0
        assert ran.stderr.count("\n") == 1
        assert "or the name of one that is installed" in ran.stderr
