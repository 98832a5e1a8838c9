"""Writers that other packages bring: found by entry point, and never trusted with the beat."""

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from drumigen.kit import Voice
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.generator import writers
from drumigen_daemon.generator.messages import BarRequest, GeneratorSetup, Item
from drumigen_daemon.generator.writers import BankWriter, make_writer

SEVEN = Meter(7, 8)
ITEMS = [Item(BarRequest("rock", 0, SEVEN, 1)), Item(BarRequest("funk", 1, Meter(), 1))]
TEMPO = Bpm(120.0)


class Kicks:
    def write(self, items: list[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        return [Bar(i.request.meter, (Hit(Tick(0), Voice.KICK, 100),)) for i in items]


class TooFew(Kicks):
    def write(self, items: list[Item], tempo: Bpm) -> list[Bar]:
        return super().write(items[:1], tempo)


class WrongMeter(Kicks):
    def write(self, items: list[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        return [mock_bar(Meter(3, 4)) for _ in items]


class Raising(Kicks):
    def write(self, items: list[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        raise ZeroDivisionError


class Nonsense(Kicks):
    def write(self, items: list[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - the protocol's
        return 5  # type: ignore[return-value]


def failing(_: GeneratorSetup) -> Kicks:
    raise OSError


def installed(monkeypatch: pytest.MonkeyPatch, make: Callable[[GeneratorSetup], Kicks]) -> None:
    class Point(EntryPoint):
        def load(self) -> Callable[[GeneratorSetup], Kicks]:
            return make

    points = (Point("kicks", "nowhere:nothing", writers.WRITERS_GROUP),)
    monkeypatch.setattr(
        writers, "installed", lambda _, name=None: points if name in (None, "kicks") else ()
    )


def test_a_writer_of_another_package_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, lambda _: Kicks())
    bars = make_writer(GeneratorSetup("kicks")).write(ITEMS, TEMPO)
    assert [(bar.meter, len(bar.hits)) for bar in bars] == [(SEVEN, 1), (Meter(), 1)]


@pytest.mark.parametrize("kind", [TooFew, WrongMeter, Raising, Nonsense])
def test_a_writer_that_fails_gives_way_to_the_bank_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[Kicks]
) -> None:
    installed(monkeypatch, lambda _: kind())
    writer = make_writer(GeneratorSetup("kicks"))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert writer.write(ITEMS, TEMPO) == BankWriter().write(ITEMS, TEMPO)
    assert caplog.text.count("the writer kicks failed") == 1


def test_a_writer_that_cannot_be_made_or_found_gives_way_to_the_bank(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, failing)
    for name in ("kicks", "nobody"):
        assert make_writer(GeneratorSetup(name)).write(ITEMS, TEMPO) == BankWriter().write(
            ITEMS, TEMPO
        )
        assert name in caplog.text


def test_the_mock_is_as_loud_as_its_style() -> None:
    bars = {style: mock_bar(Meter(), style) for style in load_styles().names}
    heard = {tuple(hit.velocity for hit in bar.hits) for bar in bars.values()}
    assert len(heard) > len(bars) * 2 / 3
    for bar in bars.values():
        assert [(hit.tick, hit.voice) for hit in bar.hits] == [
            (hit.tick, hit.voice) for hit in mock_bar(Meter()).hits
        ]
        assert all(1 <= hit.velocity <= 127 for hit in bar.hits)


@pytest.mark.slow
def test_a_package_that_is_installed_is_found_by_the_generators_process(tmp_path: Path) -> None:
    (tmp_path / "kicks.py").write_text(
        textwrap.dedent(
            """
            from drumigen.model.mock import mock_bar

            class Kicks:
                def write(self, items, tempo):
                    return [mock_bar(item.request.meter, "kicks") for item in items]

            def make(setup):
                return Kicks()
            """
        ),
        encoding="utf-8",
    )
    info = tmp_path / "kicks-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: kicks\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[drumigen.writers]\nkicks = kicks:make\n")
    output = tmp_path / "out.mid"
    command = [sys.executable, "-m", "drumigen_daemon.cli", "render", "--bars", "2"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(
        [*command, "--set", "generator.writer=kicks", "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 0, ran.stderr
    assert output.is_file()
    assert ran.stderr == ""
