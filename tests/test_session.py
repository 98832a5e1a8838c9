import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.errors import ControlError
from drumigen.kit import Voice
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.messages import (
    ClockSource,
    Continue,
    DropOut,
    Locate,
    Panic,
    ReOne,
    Start,
    Stop,
)
from drumigen_daemon.session import CONTROLS, Controls, Quantum, Session
from drumigen_daemon.values import shipped_styles


def bar_tick(bar: int) -> Tick:
    return Tick(bar * 7680)


@pytest.fixture
def controls() -> Controls:
    return Controls(shipped_styles(), Session())


def value_of(session: Session, name: str) -> object:
    name = {"metre": "meter", "bpm": "tempo"}.get(name, name)
    if name.startswith("offset_ms."):
        return session.tune.voice_offsets_ms[Voice(name.removeprefix("offset_ms."))]
    return getattr(session, name) if hasattr(session, name) else getattr(session.tune, name)


GOOD: list[tuple[str, Any, object]] = [
    ("style", "funk", "funk"),
    ("style", "Dilla", "j_dilla"),
    ("seed", 7, 7),
    ("seed", "8", 8),
    ("meter", "7/8", Meter(7, 8)),
    ("metre", "3/4", Meter(3, 4)),
    ("quantum", "BAR", Quantum.BAR),
    ("variation", "off", False),
    ("variation", False, False),
    ("tempo", 96, 96.0),
    ("bpm", "174.5", 174.5),
    ("source", "midi", ClockSource.MIDI),
    ("drop_out", "stop", DropOut.STOP),
    ("start_on_clock", 1, True),
    ("clock_out", "no", False),
    ("reading", "half", "half"),
    ("offset_ms", -200, -200.0),
    ("kit", "tr8s", "tr8s"),
    *((f"offset_ms.{voice}", "1.5", 1.5) for voice in Voice),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_a_good_value_is_taken(
    controls: Controls, name: str, value: object, expected: object
) -> None:
    assert controls.apply(name, value, bar_tick=bar_tick) is None
    assert value_of(controls.session, name) == expected


ACTIONS = [
    ("start", Start()),
    ("continue", Continue()),
    ("stop", Stop()),
    ("re-one", ReOne()),
    ("panic", Panic()),
]


@pytest.mark.parametrize(("name", "command"), ACTIONS)
def test_an_action_is_a_command(controls: Controls, name: str, command: object) -> None:
    assert controls.apply(name, bar_tick=bar_tick) == command
    assert controls.session == Session()


def test_bars_count_from_one(controls: Controls) -> None:
    assert controls.apply("bar", 1, bar_tick=bar_tick) == Locate(Tick(0))
    assert controls.apply("bar", "3", bar_tick=bar_tick) == Locate(Tick(15360))


def test_every_control_is_tested_here() -> None:
    tested = {name for name, *_ in GOOD} | {name for name, _ in ACTIONS} | {"bar"}
    assert set(CONTROLS) <= tested


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("style", "fnk", "funk"),
        ("style", None, "no style"),
        ("style", "x" * 100_000, "no style"),
        ("seed", -1, "0 to 2147483647"),
        ("seed", 1.5, "whole number"),
        ("seed", True, "whole number"),
        ("meter", "4", "4/4"),
        ("meter", "99/4", "out of range"),
        ("quantum", "phrase", "step, beat or bar"),
        ("variation", "maybe", "on or off"),
        ("variation", 2, "on or off"),
        ("tempo", 19.9, "20 to 400"),
        ("tempo", "nan", "20 to 400"),
        ("tempo", 10**400, "20 to 400"),
        ("tempo", None, "20 to 400"),
        ("tempo", [120], "20 to 400"),
        ("source", "link", "auto, midi or internal"),
        ("drop_out", "go", "free-run or stop"),
        ("reading", "third", "half, normal or double"),
        ("offset_ms", 200.1, "-200 to 200"),
        ("offset_ms.kick", "x", "-200 to 200"),
        ("kit", "rolan", "roland_td"),
        ("kit", "nowhere\n/x.toml", "cannot be read"),
        ("bar", 0, "1 to 1000000"),
        ("bar", "two", "1 to 1000000"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_and_nothing_changes(
    controls: Controls, name: str, value: object, said: str
) -> None:
    with pytest.raises(ControlError) as caught:
        controls.apply(name, value, bar_tick=bar_tick)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert said in message
    assert message.isprintable()
    assert len(message) < 1500
    assert controls.session == Session()


def test_an_unknown_control_names_its_neighbour(controls: Controls) -> None:
    with pytest.raises(ControlError, match="did you mean tempo"):
        controls.apply("tempoo", 100, bar_tick=bar_tick)
    with pytest.raises(ControlError, match="there are style, seed"):
        controls.apply("\nzzz", 100, bar_tick=bar_tick)
    with pytest.raises(ControlError, match="no control"):
        controls.apply("offset_ms.nose", 1, bar_tick=bar_tick)


def test_voice_offsets_add_up(controls: Controls) -> None:
    controls.apply("offset_ms.kick", 3, bar_tick=bar_tick)
    controls.apply("offset_ms.snare", -2, bar_tick=bar_tick)
    assert controls.session.tune.voice_offsets_ms == {Voice.KICK: 3.0, Voice.SNARE: -2.0}


@settings(deadline=None)
@given(
    st.sampled_from(sorted(CONTROLS)) | st.text(),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
)
def test_nothing_but_a_refusal_comes_of_any_value(name: str, value: object) -> None:
    controls = Controls(shipped_styles(), Session())
    with contextlib.suppress(ControlError):
        controls.apply(name, value, bar_tick=bar_tick)
    assert isinstance(controls.session, Session)
