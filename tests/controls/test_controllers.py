"""Controllers: what controllers, learning and scenes come to, without any process."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drumigen.errors import ControlError, SettingsError
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import Seconds
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.controls.controllers import ControllerSetup
from drumigen_daemon.controls.learned_file import load_learned
from drumigen_daemon.controls.scenes import IN_SCENES, SceneBook
from drumigen_daemon.daemon import Daemon
from drumigen_daemon.engine.messages import (
    FEEDBACK_PORT,
    ControlInput,
    EngineParameters,
    EngineSetup,
    Plan,
    PortMoved,
    SendFeedback,
    Start,
)
from drumigen_daemon.process.log_line import LogLine
from drumigen_daemon.session import Session

CC, PC = 0xB0, 0xC0


class Stage:
    """A daemon whose engine only listens: what its processes' links would call is called here."""

    def __init__(self, folder: Path | None = None, *, feedback: bool = False) -> None:
        setup = ControllerSetup(
            (load_controller("default"),),
            folder / "learned.toml" if folder else None,
            folder / "scenes.json" if folder else None,
            feedback,
        )
        self.daemon = Daemon(Session(), load_styles(), EngineSetup(), controllers=setup)
        self.sent: list[Any] = []
        self.daemon.engine.send = lambda message, **_: self.sent.append(message)  # type: ignore[method-assign]
        self.daemon._engine_started()

    def hear(self, *data: int) -> None:
        self.daemon._reported(ControlInput("in", data, Seconds(0.0)))

    async def settle(self) -> None:
        await asyncio.sleep(0)
        if self.daemon._is_soon:  # a slow machine has spent its budget, and would wait
            self.daemon._advance()
        self.daemon._write_the_rest()

    def stands(self, name: str) -> object:
        return self.daemon.controls.value_of(name)

    @property
    def session(self) -> Session:
        return self.daemon.controls.session

    def told(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


async def test_a_knob_moves_its_control_and_a_button_its_action() -> None:
    stage = Stage()
    stage.hear(CC, 20, 127)
    assert stage.session.density == 100
    stage.hear(CC, 102, 127)
    await stage.settle()
    assert stage.told(Start) == [Start()]


async def test_a_flood_is_one_plan_and_one_change() -> None:
    stage = Stage()
    await stage.settle()
    stage.sent.clear()
    for value in range(128):
        stage.hear(CC, 25, value)
        stage.hear(CC, 118, 127 * (value % 2))
    await stage.settle()
    assert stage.session.feel.humanize == 100
    assert len(stage.told(Plan)) <= 1


async def test_a_knob_is_learned_while_playing_and_known_after_a_restart(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.daemon.control("learn", "intensity")
    stage.hear(CC, 90, 64)
    assert stage.stands("intensity") is None
    stage.hear(CC, 90, 127)
    assert stage.stands("intensity") == 100
    await stage.settle()
    assert [row.control for row in load_learned(tmp_path / "learned.toml").controls] == [
        "intensity"
    ]


async def test_learning_can_be_called_off_and_refuses_what_is_no_control() -> None:
    stage = Stage()
    stage.daemon.control("learn", "intensity")
    stage.daemon.control("learn", "off")
    stage.hear(CC, 90, 64)
    stage.hear(CC, 90, 127)
    assert stage.session.intensity is None
    with pytest.raises(ControlError, match="no control that a knob"):
        stage.daemon.control("learn", "nonsense")


async def test_a_scene_brings_back_every_live_parameter_by_program_change(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for name, value in (
        ("style", "dilla"),
        ("meter", "7/8"),
        ("density", 70),
        ("swing", 57.1),
        ("mute.crash", True),
        ("level.snare", 80),
        ("tempo", 92),
    ):
        stage.daemon.control(name, value)
    stage.daemon.control("store_scene", 3)
    await stage.settle()
    stored = stage.session
    again = Stage(tmp_path)
    again.daemon.control("mute.kick", True)
    again.hear(PC, 2)
    await again.settle()
    for name in IN_SCENES:
        assert again.daemon.controls.value_of(name) == stage.daemon.controls.value_of(name), name
    assert again.session.meter == Meter(7, 8)
    assert again.session.mix.muted == stored.mix.muted
    assert again.told(EngineParameters)[-1].tempo == 92


async def test_an_empty_scene_is_refused_and_changes_nothing() -> None:
    stage = Stage()
    before = stage.session
    with pytest.raises(ControlError, match="store_scene"):
        stage.daemon.control("scene", 9)
    stage.hear(PC, 8)
    assert stage.session == before


def test_broken_scenes_are_named_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    path.write_text('{"x": 3}')
    with pytest.raises(SettingsError, match=r"scenes\.json"):
        SceneBook(path)


async def test_a_scene_of_another_version_is_put_on_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "scenes.json").write_text('{"1": {"density": 20, "sparkle": 9, "kit": "gone"}}')
    stage = Stage(tmp_path)
    stage.daemon.control("scene", 1)
    await stage.settle()
    assert stage.session.density == 20
    assert stage.session.parameters.kit == "gm"


async def test_leds_are_shown_at_once_after_a_change_and_again_after_a_replug() -> None:
    stage = Stage(feedback=True)
    stage.hear(CC, 118, 127)
    await stage.settle()
    first = {message for show in stage.told(SendFeedback) for message in show.messages}
    assert (CC, 118, 127) in first
    stage.sent.clear()
    stage.daemon._reported(PortMoved(FEEDBACK_PORT, "nanoKONTROL2", up=True))
    await stage.settle()
    again = {message for show in stage.told(SendFeedback) for message in show.messages}
    assert (CC, 118, 127) in again
    assert len(again) > 10


async def test_input_never_decides_how_much_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    stage = Stage()
    for number in range(1000):
        stage.hear(PC, number % 128)
        line = LogLine("warning", f"nudge: the tempo is of somebody else ({number})")
        stage.daemon._reported(line)
    assert sum("there is no scene" in line for line in caplog.messages) <= 5
    assert sum("nudge" in line for line in caplog.messages) <= 5


async def test_without_a_port_for_it_nothing_is_shown() -> None:
    stage = Stage()
    stage.hear(CC, 118, 127)
    await stage.settle()
    assert stage.told(SendFeedback) == []
