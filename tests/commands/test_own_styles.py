"""Styles of one's own at the command line: listed, played, switched to; and what is missing."""

import importlib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from drumigen import __version__
from drumigen.feel.feel import Feel
from drumigen.feel.groove import groove_toml
from drumigen.midi.file import read_song
from drumigen.timeline import Timeline
from drumigen.units import Bpm, Seconds, Tick
from drumigen_daemon import cli
from drumigen_daemon.commands import doctor
from drumigen_daemon.commands.doctor import Mark
from drumigen_daemon.controls.binding import Binding, ControllerMap
from drumigen_daemon.controls.control_map import ControlMap
from drumigen_daemon.controls.table import Controls
from drumigen_daemon.controls.values import known_styles, use_styles
from drumigen_daemon.engine.messages import ControlInput
from drumigen_daemon.generator import device_writer
from drumigen_daemon.generator.verdicts import Verdict
from drumigen_daemon.mqtt.homeassistant import discovery
from drumigen_daemon.mqtt.topics import Topics
from drumigen_daemon.session import Session
from drumigen_daemon.settings.sections import Settings
from drumigen_daemon.status.status import Status
from drumigen_daemon.status.tempo_advice import TempoAdvice

GOOD = 'title = "Mine"\ndescription = "As I play it."\ntempo = [80, 120]\nbank = "rock"\n'


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give this test a folder of styles, and put back the shipped ones after it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "config" / "drumigen" / "styles"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(GOOD + 'groove = "take.groove.toml"\n', encoding="utf-8")
    (folder / "take.groove.toml").write_text(groove_toml(Feel(swing=60), "take"), "utf-8")
    yield folder
    use_styles(None, None)


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"drumigen {__version__}\n"


def test_the_catalogue_is_listed_ones_own_among_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["styles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 19
    assert lines[-1].split() == ["mine", "80-120", "As", "I", "play", "it."]
    assert cli.main(["styles", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[-1]["swing"] == 60
    assert cli.main(["styles", "MINE"]) == 0
    assert "sixteenth swing 60 %" in capsys.readouterr().out
    assert cli.main(["styles", "nobody"]) == cli.EXIT_FAILURE
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("given", ["mine", "config/drumigen/styles/mine.toml"])
def test_a_style_of_ones_own_renders_by_name_and_by_path(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--bars", "2", "--set", "generator.writer=bank"]
    assert cli.main(["render", "--style", given, *told]) == 0
    assert "2 bars of Mine" in capsys.readouterr().out
    assert read_song(next(Path().glob("drumigen-mine-*.mid"))).notes


def test_a_broken_style_is_one_line_and_the_others_play(
    own: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (own / "broken.toml").write_text("title = 3\n", encoding="utf-8")
    told = ["--bars", "1", "--set", "generator.writer=bank", "--output", "a.mid"]
    assert cli.main(["render", "--style", "mine", *told]) == 0
    assert len(caplog.records) == 1
    assert "broken.toml: title = 3: expected" in caplog.text
    assert capsys.readouterr().err == ""


def test_another_folder_may_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "yours.toml").write_text(GOOD, encoding="utf-8")
    assert cli.main(["styles", "--set", f"styles.folder={other}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("yours ")
    setup = cli.settings_of(
        cli.parser().parse_args(["render", "--set", f"styles.folder={other}"])
    ).generator_setup
    assert setup.styles == str(other)


def test_a_reload_leaves_the_styles_that_are_played(tmp_path: Path) -> None:
    options = cli.parser().parse_args(["run"])
    cli.settings_of(options)
    before = known_styles()
    options.set = [f"styles.folder={tmp_path}"]
    cli.settings_of(options, keep_styles=True)
    assert known_styles() is before
    cli.settings_of(options)
    assert "mine" not in known_styles().names


def test_ones_own_is_switched_to_by_a_knob_and_shown_to_home_assistant(own: Path) -> None:
    use_styles(own, None)
    controls = Controls(known_styles(), Session())
    control_map = ControlMap(
        [ControllerMap(controls=(Binding("style", cc=20),))],
        controls.value_of,
        lambda name: known_styles().names if name == "style" else (),
    )
    (move,) = control_map.heard(ControlInput("in", (0xB0, 20, 127), Seconds(1.0)))
    assert (move.control, move.value) == ("style", "mine")
    controls.apply("style", "mine", bar_tick=lambda _: Tick(0))
    assert controls.session.style == "mine"
    told = discovery(Topics("stage"), "homeassistant", "1", {"style": known_styles().names})
    assert any('"mine"' in str(message.payload) for message in told)


def at(style: str, tempo: float, lock: str = "locked") -> Status:
    return Status(style=style, timeline=Timeline(Bpm(tempo), 0.0, Seconds(0.0)), lock=lock)


def test_a_tempo_that_is_not_the_styles_is_said_once_of_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    advice = TempoAdvice(known_styles())
    with caplog.at_level(logging.WARNING):
        for tempo in (88.0, 140.0, 141.0, 142.0):
            advice.look(at("j_dilla", tempo))
        advice.look(at("metro_boomin", 60, "unlocked"))
    assert [record.message for record in caplog.records] == [
        known_styles().find("j_dilla").tempo_advice(140.0)
    ]


def test_what_a_command_lacks_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def importing(name: str) -> ModuleType:
        if name.endswith("_options"):
            return real(name)
        message = f"No module named 'torch', which {name} needs"
        raise ModuleNotFoundError(message, name="torch")

    monkeypatch.setattr(importlib, "import_module", importing)
    assert cli.main(["train", "."]) == cli.EXIT_FAILURE
    said = capsys.readouterr().err
    assert said == "drumigen: train needs torch: pip install 'drumigen[train]'\n"


def test_doctor_says_when_a_gpu_is_there_and_torch_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_writer, "gpu_may_be_here", lambda: True)
    monkeypatch.setattr(device_writer, "torch_is_installed", lambda: False)
    settings = Settings()
    finding = doctor._gpu(settings, doctor._choice(settings))
    assert finding.mark is Mark.ABSENT
    assert "pip install 'drumigen[gpu]'" in finding.said
    named = replace(settings, generator=replace(settings.generator, device="cuda:1"))
    assert doctor._gpu(named, doctor._choice(named)).mark is Mark.WARN


def test_doctor_tells_both_figures_and_tests_what_will_play(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings()
    found = [
        Verdict("", "cuda", 0.2, 0.004),
        Verdict("", "cuda", 0.2, 0.3),
        Verdict("", "cuda", fault="cuda crashed when it was tried: status -11"),
    ]
    monkeypatch.setattr(device_writer, "found_device", lambda _: ("cuda", ""))
    monkeypatch.setattr(
        doctor, "gpu_memory_line", lambda _: "7.5 of 8.0 GiB of its memory are free"
    )
    said = []
    for verdict in found:
        monkeypatch.setattr(device_writer, "verdict_of", lambda *_, v=verdict: v)
        choice = doctor._choice(settings)
        said.append((choice.device, doctor._gpu(settings, choice)))
    (quick, first), (slow, second), (broken, third) = said
    assert (quick, slow, broken) == ("cuda", "cpu", "cpu")
    assert "cuda: 7.5 of 8.0 GiB" in first.said
    for finding, time in ((first, "4.0 ms on cuda"), (second, "300.0 ms on cuda")):
        assert time in finding.said
        assert "200.0 ms on the CPU" in finding.said
    assert (first.mark, second.mark, third.mark) == (Mark.OK, Mark.ABSENT, Mark.WARN)
    assert "crashed" in third.said
    monkeypatch.setattr(device_writer, "found_device", lambda _: ("", ""))
    assert doctor._gpu(settings, doctor._choice(settings)).mark is Mark.ABSENT
