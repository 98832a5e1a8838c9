"""The packages of docs/EXTENDING.md, installed as they stand there, play."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drumigen.kit import load_kit
from drumigen.midi.file import read_song
from drumigen.midi.song import bars_from_song
from drumigen.units import Tick

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "EXTENDING.md").read_text("utf-8")
BLOCKS = dict(
    zip(
        ("claps", "claps.toml", "scribe", "scribe.toml", "desk", "desk.toml"),
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


@pytest.mark.slow
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


@pytest.mark.process
def test_the_clock_is_followed(tmp_path: Path) -> None:
    install("desk", tmp_path)
    install("scribe", tmp_path)
    desk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ended = threading.Event()

    def send_tempo() -> None:
        while not ended.wait(0.05):
            desk.sendto(b"300", ("127.0.0.1", 9128))

    sender = threading.Thread(target=send_tempo)
    sender.start()
    try:
        ran = drumigen(
            tmp_path,
            *("play", "--bars", "4", "--bpm", "100", "--backend", "scribe", "--output", "a.mid"),
            *("--set", "clock.source=desk"),
        )
    finally:
        ended.set()
        sender.join()
        desk.close()
    assert ran.returncode == 0, ran.stderr
    bars = read_song(tmp_path / "a.mid")
    assert bars.tempo_map.tempo_at(Tick(3 * 7680)) == pytest.approx(300.0, abs=0.1)


@pytest.mark.slow
def test_a_part_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    for key in ("generator.writer", "midi.backend", "clock.source"):
        ran = drumigen(tmp_path, "render", "--set", f"{key}=nobody")
        assert ran.returncode != 0
        assert ran.stderr.count("\n") == 1
        assert "or the name of one that is installed" in ran.stderr
