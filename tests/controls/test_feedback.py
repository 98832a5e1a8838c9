"""Laws of feedback: what we have just shown is no move, whatever sends it back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.errors import ControlError
from drumigen.units import Seconds, Tick
from drumigen_daemon.controls.binding import (
    Binding,
    ControllerMap,
    Mode,
    controller_names,
    load_controller,
)
from drumigen_daemon.controls.control_map import ControlMap, ControlMove
from drumigen_daemon.controls.feedback import ECHO_SECONDS
from drumigen_daemon.controls.table import Controls
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import ControlInput
from drumigen_daemon.session import Session

CC, ON, OFF = 0xB0, 0x90, 0x80


class Mirror:
    """A controller that sends back all that it is sent, ``delay`` seconds later."""

    def __init__(self, *maps: ControllerMap, delay: float = 0.02) -> None:
        self.controls = Controls(known_styles(), Session())
        self.map = ControlMap(
            maps,
            self.controls.value_of,
            lambda name: known_styles().names if name in ("style", "blend") else (),
        )
        self.delay = delay
        self.now = 0.0
        self.moves: list[ControlMove] = []

    def turn(self, name: str, value: object = None) -> None:
        self.controls.apply(name, value, bar_tick=lambda _: Tick(0))

    def hear(self, *data: int) -> None:
        for move in self.map.heard(ControlInput("in", data, Seconds(self.now))):
            self.moves.append(move)
            self.turn(move.control, move.value)

    def reflect(self, times: int = 3) -> None:
        """Show what there is to show, and hear it again; and what follows from that."""
        for _ in range(times):
            messages = self.map.shows(Seconds(self.now))
            self.now += self.delay
            for message in messages:
                self.hear(*message)


def every_kind() -> list[ControllerMap]:
    rows = [
        Binding("tempo", cc=20),
        Binding("tempo", cc=21, low=60, high=180),
        Binding("swing", cc=3, bits=14),
        Binding("share", nrpn=300, bits=14),
        Binding("humanize", nrpn=301),
        Binding("push", cc=22, curve=2.0),
        Binding("fill_amount", cc=23, mode=Mode.TWOS),
        Binding("build_bars", cc=24, mode=Mode.OFFSET),
        Binding("style", cc=25),
        Binding("section", note=30),
        Binding("hold", note=31),
        Binding("drop", cc=26),
        Binding("half_time", cc=27, mode=Mode.LATCHING),
        Binding("mute.kick", note=32, mode=Mode.MOMENTARY),
        Binding("stutter", note=33, mode=Mode.MOMENTARY, value="eighth"),
        Binding("style", note=34, value="dilla"),
        Binding("mute.snare", cc=28, mode=Mode.ABSOLUTE),
    ]
    return [ControllerMap(controls=tuple(rows))]


SETTINGS: dict[str, list[object]] = {
    "tempo": [100, 99.7, 300, 20],
    "swing": [57.1, "style", 75],
    "share": [33, 100],
    "push": [3.3, -7],
    "style": ["funk", "dilla"],
    "section": ["a", "ending"],
    "hold": [True, False],
    "drop": [True, False],
    "half_time": [True, False],
    "stutter": ["eighth", "off"],
    "density": [40, "style"],
    "mute.kick": [True, False],
    "mute.snare": [True, False],
    "fill_amount": [13, 100],
}
turns = st.lists(
    st.sampled_from([(name, value) for name, values in SETTINGS.items() for value in values]),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*controller_names(), "every kind"])
@settings(max_examples=20)
@given(turns=turns, delay=st.floats(0.0, ECHO_SECONDS - 0.01))
def test_a_controller_that_echoes_changes_nothing(
    name: str, turns: list[tuple[str, object]], delay: float
) -> None:
    maps = every_kind() if name == "every kind" else [load_controller(name)]
    mirror = Mirror(*maps, delay=delay)
    mirror.reflect()
    for turn in turns:
        mirror.turn(*turn)
        session = mirror.controls.session
        mirror.reflect()
        assert mirror.moves == []
        assert mirror.controls.session == session


@given(turns=turns)
def test_what_was_shown_twice_before_it_came_back_is_no_move_either(
    turns: list[tuple[str, object]],
) -> None:
    mirror = Mirror(*every_kind())
    on_their_way = list(mirror.map.shows(Seconds(0.0)))
    for turn in turns:
        mirror.turn(*turn)
        on_their_way += mirror.map.shows(Seconds(0.0))
    session = mirror.controls.session
    mirror.now = 0.1
    for message in on_their_way:
        mirror.hear(*message)
    assert (mirror.moves, mirror.controls.session) == ([], session)


def test_a_tempo_that_is_shown_rounded_is_not_rounded_by_its_knob_however_late() -> None:
    mirror = Mirror(ControllerMap(controls=(Binding("tempo", cc=20, low=60, high=180),)))
    mirror.turn("tempo", 100)
    mirror.reflect(1)
    for _ in range(3):
        mirror.now += 10.0
        mirror.hear(CC, 20, 42)
    assert mirror.controls.value_of("tempo") == 100
    mirror.hear(CC, 20, 43)
    assert mirror.controls.value_of("tempo") == pytest.approx(100.63, abs=0.01)


def test_a_knob_beyond_whose_end_a_control_stands_brings_it_back() -> None:
    mirror = Mirror(ControllerMap(controls=(Binding("tempo", cc=20, low=60, high=180),)))
    mirror.turn("tempo", 300)
    mirror.hear(CC, 20, 127)
    assert mirror.controls.value_of("tempo") == 180


def test_a_press_counts_beside_an_echo_and_once_an_echo_can_no_longer_come() -> None:
    mirror = Mirror(ControllerMap(controls=(Binding("hold", cc=20),)))
    mirror.hear(CC, 20, 127)
    mirror.map.shows(Seconds(0.0))
    mirror.hear(CC, 20, 127)  # the echo
    mirror.hear(CC, 20, 0)
    assert mirror.controls.value_of("hold") is True
    mirror.hear(CC, 20, 127)
    assert mirror.controls.value_of("hold") is False
    mirror.turn("hold", True)
    mirror.map.shows(Seconds(0.0))
    mirror.now = ECHO_SECONDS + 0.01
    mirror.hear(CC, 20, 0)
    mirror.hear(CC, 20, 127)
    assert mirror.controls.value_of("hold") is False


@pytest.mark.parametrize("binding", [Binding("hold", cc=20), Binding("hold", note=20)])
def test_an_echo_that_comes_back_from_two_devices_is_no_press(binding: Binding) -> None:
    mirror = Mirror(ControllerMap(controls=(binding,)))
    mirror.turn("hold", True)
    shown = mirror.map.shows(Seconds(0.0))
    for later in (0.01, 0.03, 0.05):
        mirror.now = later
        for message in shown:
            mirror.hear(*message)
    assert mirror.moves == []


def test_a_press_counts_though_a_blink_before_it_came_back_from_two_devices() -> None:
    mirror = Mirror(ControllerMap(controls=(Binding("hold", cc=20),)))
    shown = []
    for on in (True, False):
        mirror.turn("hold", on)
        shown += mirror.map.shows(Seconds(0.0))
    for message in (*shown, *shown):
        mirror.now += 0.01
        mirror.hear(*message)
    assert mirror.moves == []
    mirror.now = ECHO_SECONDS + 0.05
    mirror.hear(CC, 20, 127)
    assert mirror.controls.value_of("hold") is True


def test_a_controller_whose_echo_takes_long_is_found_out() -> None:
    """A latching button takes whatever it sends for a press: its echo would flip it for ever."""
    rows = (Binding("hold", cc=20, mode=Mode.LATCHING),)
    mirror = Mirror(ControllerMap(controls=rows), delay=0.3)
    mirror.turn("hold", True)
    mirror.reflect(20)
    assert len(mirror.moves) <= 2
    mirror.turn("hold", not mirror.controls.value_of("hold"))
    told = len(mirror.moves)
    mirror.reflect(3)
    assert len(mirror.moves) == told


def test_an_echo_that_was_coalesced_with_a_press_is_left_out_of_it() -> None:
    mirror = Mirror(ControllerMap(controls=(Binding("hold", cc=20),)))
    mirror.turn("hold", True)
    mirror.map.shows(Seconds(0.0))
    heard = ControlInput("in", (CC, 20, 0), Seconds(0.01), (127, 0, 127))
    assert list(mirror.map.heard(heard)) == [ControlMove("hold", False)]


def test_many_leds_at_once_take_their_time_on_a_cable_and_are_echoes_all_the_same() -> None:
    rows = tuple(Binding("hold", cc=cc, channel=ch) for cc in range(90) for ch in (1, 2, 3))
    mirror = Mirror(ControllerMap(controls=rows))
    mirror.turn("hold", True)
    for place, message in enumerate(mirror.map.shows(Seconds(0.0))):
        mirror.now = 0.1 + place * 0.00096
        mirror.hear(*message)
    assert mirror.moves == []


def test_a_note_that_comes_back_as_a_release_is_an_echo_too() -> None:
    mirror = Mirror(ControllerMap(controls=(Binding("hold", note=20, mode=Mode.LATCHING),)))
    assert mirror.map.shows(Seconds(0.0)) == [bytes([ON, 20, 0])]
    mirror.hear(OFF, 20, 64)
    assert mirror.moves == []


def test_a_knob_is_not_told_where_it_has_just_said_that_it_is() -> None:
    twice = (Binding("tempo", cc=20), Binding("tempo", cc=21, channel=1))
    mirror = Mirror(ControllerMap(controls=twice))
    mirror.map.shows(Seconds(0.0))
    for value in (60, 61, 62):
        mirror.hear(CC, 20, value)
        assert mirror.map.shows(Seconds(0.0)) == [bytes([CC, 21, value])]
    mirror.turn("tempo", 20)
    assert bytes([CC, 20, 0]) in mirror.map.shows(Seconds(0.0))


def test_finer_values_are_shown_as_fine_as_they_are_heard() -> None:
    rows = (Binding("share", cc=3, bits=14), Binding("share", nrpn=300, bits=14, channel=2))
    mirror = Mirror(ControllerMap(controls=rows))
    mirror.turn("share", 50)
    level = round(0.5 * 16383)
    assert mirror.map.shows(Seconds(0.0)) == [
        bytes([CC, 3, level >> 7]),
        bytes([CC, 35, level & 0x7F]),
        bytes([CC | 1, 99, 2]),
        bytes([CC | 1, 98, 44]),
        bytes([CC | 1, 6, level >> 7]),
        bytes([CC | 1, 38, level & 0x7F]),
    ]


@given(st.lists(st.tuples(st.integers(19, 35), st.integers(0, 127), st.floats(0, 1)), max_size=60))
def test_what_is_waited_for_is_bounded(messages: list[tuple[int, int, float]]) -> None:
    mirror = Mirror(*every_kind())
    for number, value, pause in messages:
        mirror.now += pause
        mirror.map.shows(Seconds(mirror.now))
        try:
            mirror.hear(CC, number, value)
        except ControlError:
            continue
    feedback = mirror.map._feedback
    assert feedback._waiting == sum(len(sent) for sent in feedback._sent.values())
