import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.arrange import Section
from drumigen.errors import ControlError
from drumigen.kit import Voice
from drumigen.timeline import Meter
from drumigen.units import Seconds, Tick
from drumigen_daemon.controls.table import ALIASES, CONTROLS, Controls, Learn, Recall, Store
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import (
    ClockSource,
    Continue,
    DropOut,
    Locate,
    Nudge,
    Panic,
    ReOne,
    Start,
    Stop,
)
from drumigen_daemon.session import Call, Quantum, Session, SongForm, Stutter


def bar_tick(bar: int) -> Tick:
    return Tick(bar * 7680)


@pytest.fixture
def controls() -> Controls:
    return Controls(known_styles(), Session())


TOLD = {"nudge", "scene", "store_scene", "learn", "forget"}


def unlike(name: str) -> object:
    """Return a value of a control that is not what it stands at."""
    return {"mute": True, "solo": True, "level": 60, "push": -12.5, "offset_ms": 1.5}[name]


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
    ("quantum", "phrase", Quantum.PHRASE),
    ("density", 80, 80),
    ("density", "style", None),
    ("intensity", "20", 20),
    ("busy", 95, 95),
    ("form", "song", SongForm.SONG),
    ("temperature", 0.83, 0.85),
    ("blend", "dilla", "j_dilla"),
    ("blend", "none", ""),
    ("share", 35, 35),
    ("morph", 40, 40),
    ("section", "B", Section.B),
    ("phrase", 4, 4),
    ("cycle", 16, 16),
    ("fill_every", 0, 0),
    ("fill_amount", 25, 25),
    ("build_bars", 8, 8),
    ("count_in", 1, 1),
    ("half_time", "on", True),
    ("drop", "on", True),
    ("stutter", "eighth", Stutter.EIGHTH),
    ("hold", 1, True),
    ("swing", 57.1, 57.1),
    ("swing", "style", None),
    ("push", -10, -10.0),
    ("humanize", 0, 0),
    *(
        (f"{name}.{voice}", unlike(name), unlike(name))
        for name in ("mute", "solo", "level", "push", "offset_ms")
        for voice in Voice
    ),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_a_good_value_is_taken(
    controls: Controls, name: str, value: object, expected: object
) -> None:
    assert controls.apply(name, value, bar_tick=bar_tick) is None
    assert controls.value_of(ALIASES.get(name, name)) == expected


ACTIONS = [
    ("start", Start()),
    ("continue", Continue()),
    ("stop", Stop()),
    ("re-one", ReOne()),
    ("panic", Panic()),
    *((call, call) for call in Call),
]


@pytest.mark.parametrize(("name", "command"), ACTIONS)
def test_an_action_is_a_command(controls: Controls, name: str, command: object) -> None:
    assert controls.apply(name, bar_tick=bar_tick) == command
    assert controls.session == Session()


def test_bars_count_from_one(controls: Controls) -> None:
    assert controls.apply("bar", 1, bar_tick=bar_tick) == Locate(Tick(0))
    assert controls.apply("bar", "3", bar_tick=bar_tick) == Locate(Tick(15360))


def test_every_control_is_tested_here() -> None:
    tested = {name for name, *_ in GOOD} | {name for name, _ in ACTIONS} | {"bar", "tap", *TOLD}
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
        ("quantum", "song", "step, beat, bar or phrase"),
        ("density", 101, "0 to 100, or style"),
        ("density", "styled", "0 to 100, or style"),
        ("temperature", 0, "0.05 to 2"),
        ("blend", "nobody", "no style"),
        ("share", -1, "0 to 100"),
        ("section", "chorus", "intro"),
        ("phrase", 0, "1 to 64"),
        ("stutter", "half", "quarter"),
        ("swing", 49, "50 to 75, or style"),
        ("push.kick", 61, "-60 to 60"),
        ("level.kick", 151, "0 to 150"),
        ("mute.kick", "perhaps", "on or off"),
        ("nudge", 101, "-100 to 100"),
        ("scene", 0, "1 to 128"),
        ("store_scene", "x", "1 to 128"),
        ("learn", "learn", "no control"),
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
    with pytest.raises(ControlError, match="drumigen control --list names them"):
        controls.apply("\nzzz", 100, bar_tick=bar_tick)
    with pytest.raises(ControlError, match="no control"):
        controls.apply("offset_ms.nose", 1, bar_tick=bar_tick)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("scene", 3, Recall(3)),
        ("store_scene", "128", Store(128)),
        ("learn", "swing", Learn("swing")),
        ("learn", "bpm", Learn("tempo")),
        ("learn", "off", Learn("")),
    ],
)
def test_what_is_for_the_daemon_is_told_to_it(
    controls: Controls, name: str, value: object, told: object
) -> None:
    assert controls.apply(name, value, bar_tick=bar_tick) == told
    assert controls.session == Session()


def test_a_nudge_is_a_command_in_milliseconds(controls: Controls) -> None:
    assert controls.apply("nudge", "-20", bar_tick=bar_tick) == Nudge(-20.0)


def test_taps_on_the_beat_set_the_tempo(controls: Controls) -> None:
    for number in range(5):
        assert controls.apply("tap", bar_tick=bar_tick, now=Seconds(7.0 + number * 0.6)) is None
    assert controls.session.parameters.tempo == 100.0


def test_mutes_add_up_and_come_off(controls: Controls) -> None:
    for voice, value in (("kick", "on"), ("snare", "on"), ("kick", "off")):
        controls.apply(f"mute.{voice}", value, bar_tick=bar_tick)
    assert controls.session.mix.muted == {Voice.SNARE}


def test_an_ending_is_over_when_the_song_has_stopped(controls: Controls) -> None:
    controls.apply("section", "ending", bar_tick=bar_tick)
    controls.song_stopped()
    assert controls.value_of("section") is Section.NONE
    controls.apply("section", "b", bar_tick=bar_tick)
    controls.song_stopped()
    assert controls.value_of("section") is Section.B


def test_voice_offsets_add_up(controls: Controls) -> None:
    controls.apply("offset_ms.kick", 3, bar_tick=bar_tick)
    controls.apply("offset_ms.snare", -2, bar_tick=bar_tick)
    assert controls.session.parameters.voice_offsets_ms == {Voice.KICK: 3.0, Voice.SNARE: -2.0}


@settings(deadline=None)
@given(
    st.sampled_from(sorted(CONTROLS)) | st.text(),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
)
def test_nothing_but_a_refusal_comes_of_any_value(name: str, value: object) -> None:
    controls = Controls(known_styles(), Session())
    with contextlib.suppress(ControlError):
        controls.apply(name, value, bar_tick=bar_tick)
    assert isinstance(controls.session, Session)
