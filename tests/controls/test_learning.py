"""Laws of learning: a gesture is learned as what it is, and what moves nothing is never learned."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.errors import ControlError
from drumigen.units import Seconds, Tick
from drumigen_daemon.controls.binding import Binding, Mode, load_controller
from drumigen_daemon.controls.controllers import Controllers, ControllerSetup
from drumigen_daemon.controls.learned_file import load_learned
from drumigen_daemon.controls.learning import LEARN_SECONDS_MAX
from drumigen_daemon.controls.table import Controls, Forget, Learn
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import ControlInput
from drumigen_daemon.session import Session

CC, ON, OFF, PC, BEND = 0xB0, 0x90, 0x80, 0xC0, 0xE0


class Desk:
    """Controllers and controls, joined as the control plane does."""

    def __init__(self, learned: Path | None = None, *, feedback: bool = False) -> None:
        self.controls = Controls(known_styles(), Session())
        setup = ControllerSetup((load_controller("default"),), learned, feedback=feedback)
        self.controllers = Controllers(
            setup,
            self.controls.value_of,
            lambda name: known_styles().names if name in ("style", "blend") else (),
        )
        self.now = 10.0
        self.told: list[object] = []

    def control(self, name: str, value: object = None) -> None:
        told = self.controls.apply(name, value, bar_tick=lambda _: Tick(0))
        if isinstance(told, Learn):
            self.controllers.learn(told.control, Seconds(self.now))
        elif isinstance(told, Forget):
            self.controllers.forget(told.control)
        elif told is not None:
            self.told.append(told)

    def hear(self, *data: int, after: float = 0.01, earlier: tuple[int, ...] = ()) -> None:
        self.now += after
        heard = ControlInput("in", data, Seconds(self.now), earlier)
        for move in self.controllers.heard(heard):
            self.control(move.control, move.value)

    def stands(self, name: str) -> object:
        return self.controls.value_of(name)

    @property
    def learned(self) -> Binding:
        (binding,) = self.controllers.learned
        return binding

    def write(self) -> None:
        for write in self.controllers.take_files():
            write()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def nrpn(desk: Desk, number: int, coarse: int, fine: int | None = None, channel: int = 0) -> None:
    desk.hear(CC | channel, 99, number >> 7)
    desk.hear(CC | channel, 98, number & 0x7F)
    desk.hear(CC | channel, 6, coarse)
    if fine is not None:
        desk.hear(CC | channel, 38, fine)


def test_the_next_knob_is_learned_and_moves_its_control_from_then_on(desk: Desk) -> None:
    desk.control("learn", "swing")
    desk.hear(CC | 4, 90, 64)
    assert desk.learned == Binding("swing", cc=90, channel=5)
    assert desk.stands("swing") is None
    desk.hear(CC | 4, 90, 127)
    assert desk.stands("swing") == 75.0


@pytest.mark.parametrize(
    "data",
    [
        *((CC, number, 64) for number in (98, 99, 100, 101, *range(120, 128))),
        *((CC, number, value) for number in (0, 32) for value in (0, 64, 127)),
        (ON, 40, 0),
        (OFF, 40, 64),
        (BEND, 1, 1),
        (0xD0, 90),
        (0xA0, 40, 90),
    ],
)
def test_what_moves_nothing_by_itself_teaches_nothing(desk: Desk, data: tuple[int, ...]) -> None:
    desk.control("learn", "swing")
    desk.hear(*data)
    desk.hear(*data)
    assert desk.controllers.learned == ()
    desk.hear(CC, 21, 3)
    assert desk.learned == Binding("swing", cc=21, channel=1)


@given(st.lists(st.tuples(st.sampled_from([98, 99, 100, 101, 120, 123, 127]), st.integers(0, 127))))
def test_no_address_is_ever_learned_whatever_comes_with_it(messages: list[tuple[int, int]]) -> None:
    desk = Desk()
    desk.control("learn", "density")
    for message in messages:
        desk.hear(CC, *message)
    assert desk.controllers.learned == ()


def test_a_program_change_with_its_bank_is_learned_as_the_program_change(desk: Desk) -> None:
    desk.control("learn", "fill")
    for data in ((CC, 0, 1), (CC, 32, 5), (PC, 4)):
        desk.hear(*data)
    assert desk.learned == Binding("fill", program=5, channel=1)


def test_a_fader_on_the_number_of_bank_select_is_learned_when_it_moves(desk: Desk) -> None:
    desk.control("learn", "density")
    for value in range(40, 50):
        desk.hear(CC, 0, value)
    assert desk.learned == Binding("density", cc=0, channel=1)
    assert desk.stands("density") == round(49 / 127 * 100)


def test_a_pad_that_tells_its_velocity_finely_is_learned_as_the_pad(desk: Desk) -> None:
    desk.control("learn", "fill")
    desk.hear(CC, 88, 77)
    desk.hear(ON, 40, 100)
    assert desk.learned == Binding("fill", note=40, channel=1)


@pytest.mark.parametrize("let_go", [(ON, 104, 0), (OFF, 104, 64)])
@pytest.mark.parametrize("number", [7, 88])
def test_a_fader_that_tells_when_it_is_touched_is_learned_as_the_fader(
    desk: Desk, let_go: tuple[int, ...], number: int
) -> None:
    desk.control("learn", "density")
    desk.hear(ON, 104, 127)
    for value in range(40, 50):
        desk.hear(CC | 2, number, value)
    desk.hear(*let_go)
    assert desk.learned == Binding("density", cc=number, channel=3)
    desk.hear(CC | 2, number, 127)
    assert desk.stands("density") == 100


def test_a_touched_fader_of_fourteen_bits_is_learned_as_such(desk: Desk) -> None:
    desk.control("learn", "density")
    desk.hear(ON, 104, 127)
    for value in range(40, 50):
        desk.hear(CC, 7, value)
        desk.hear(CC, 39, 3 * value - 100)
    assert desk.learned == Binding("density", cc=7, bits=14, channel=1)


def test_a_pad_is_learned_though_a_knob_is_turned_after_it(desk: Desk) -> None:
    desk.control("learn", "density")
    desk.hear(ON, 40, 100)
    desk.hear(OFF, 40, 0, after=0.1)
    for value in range(40, 50):
        desk.hear(CC, 7, value)
    assert desk.learned.note == 40


def test_a_pad_that_tells_how_hard_it_is_held_stays_the_pad_of_an_action(desk: Desk) -> None:
    desk.control("learn", "fill")
    desk.hear(ON, 40, 100)
    for value in range(40, 50):
        desk.hear(CC, 7, value)
    assert desk.learned == Binding("fill", note=40, channel=1)


@pytest.mark.parametrize("fine_first", [False, True])
def test_a_knob_of_fourteen_bits_is_learned_as_such(desk: Desk, *, fine_first: bool) -> None:
    desk.control("learn", "tempo")
    halves = [(20, 64), (52, 0)]
    for coarse in (64, 65):
        for number, value in reversed(halves) if fine_first else halves:
            desk.hear(CC, number, coarse if number == 20 else value)
    assert desk.learned == Binding("tempo", cc=20, bits=14, channel=1)
    desk.hear(CC, 20, 65)
    desk.hear(CC, 52, 17)
    tempo = desk.stands("tempo")
    assert tempo == pytest.approx(20 + 380 * ((65 << 7) + 17) / 16383, abs=1e-3)


def test_two_knobs_thirty_two_apart_are_two_knobs(desk: Desk) -> None:
    desk.control("learn", "density")
    desk.hear(CC, 20, 64)
    desk.hear(CC, 52, 64, after=0.5)
    assert desk.learned == Binding("density", cc=20, channel=1)


@pytest.mark.parametrize("fine", [None, 3])
def test_an_nrpn_is_learned_as_what_it_is(desk: Desk, fine: int | None) -> None:
    desk.control("learn", "density")
    nrpn(desk, 300, 10, fine, channel=2)
    nrpn(desk, 300, 20, fine, channel=2)
    bits = 7 if fine is None else 14
    assert desk.learned == Binding("density", nrpn=300, bits=bits, channel=3)  # type: ignore[arg-type]
    nrpn(desk, 301, 127, fine, channel=2)
    assert desk.stands("density") == round(20 / 127 * 100)
    nrpn(desk, 300, 127, 127, channel=2)
    assert desk.stands("density") == 100


def test_a_parameter_that_is_moved_by_steps_moves_from_where_it_stands(desk: Desk) -> None:
    desk.control("learn", "humanize")
    nrpn(desk, 300, 64)
    for number, stands in ((97, 99), (97, 98), (96, 99)):
        desk.hear(CC, number, 0)
        assert desk.stands("humanize") == stands


def test_data_entry_of_a_registered_parameter_teaches_and_moves_nothing(desk: Desk) -> None:
    desk.control("learn", "density")
    for number, value in ((101, 0), (100, 0), (6, 2), (38, 0), (101, 127), (100, 127)):
        desk.hear(CC, number, value)
    assert desk.controllers.learned == ()


def test_a_knob_on_the_number_of_data_entry_is_a_knob_where_nobody_names_a_parameter(
    desk: Desk,
) -> None:
    desk.control("learn", "density")
    for value in (60, 61, 127):
        desk.hear(CC, 6, value)
    assert desk.learned == Binding("density", cc=6, channel=1)
    assert desk.stands("density") == 100
    nrpn(desk, 5, 0)
    assert desk.stands("density") == 100
    desk.hear(CC, 6, 0, after=5.0)
    assert desk.stands("density") == 0


@pytest.mark.parametrize("press", [(CC, 90, 127), (ON, 40, 127)])
def test_a_button_that_springs_back_switches_at_each_press(
    desk: Desk, press: tuple[int, int, int]
) -> None:
    release = (press[0] if press[0] == CC else OFF, press[1], 0)
    desk.control("learn", "hold")
    desk.hear(*press)
    desk.hear(*release, after=0.15)
    for expected in (True, False, True):
        desk.hear(*press, after=3.0)
        assert desk.stands("hold") is expected
        desk.hear(*release, after=2.0)
        assert desk.stands("hold") is expected
    assert desk.learned.mode is Mode.AUTO


@pytest.mark.parametrize("press", [(CC, 90, 127), (ON, 40, 127)])
@pytest.mark.parametrize("control", ["hold", "mute.snare", "half_time"])
def test_a_button_that_latches_needs_one_press_each_time(
    desk: Desk, press: tuple[int, int, int], control: str
) -> None:
    release = (press[0] if press[0] == CC else OFF, press[1], 0)
    desk.control("learn", control)
    desk.hear(*press)
    assert desk.stands(control) is False
    for message, expected in ((release, True), (press, False), (release, True)):
        desk.hear(*message, after=2.0)
        assert desk.stands(control) is expected
    assert desk.learned.mode is Mode.LATCHING


def test_a_button_that_was_held_for_long_once_is_not_taken_for_a_latching_one_for_good(
    desk: Desk,
) -> None:
    desk.control("learn", "hold")
    desk.hear(CC, 90, 127)
    desk.hear(CC, 90, 0, after=3.0)
    for _ in range(2):
        desk.hear(CC, 90, 127, after=3.0)
        desk.hear(CC, 90, 0, after=0.1)
    assert desk.learned.mode is Mode.AUTO
    stands = desk.stands("hold")
    desk.hear(CC, 90, 127, after=3.0)
    desk.hear(CC, 90, 0, after=0.1)
    assert desk.stands("hold") is not stands


def test_a_latching_button_that_was_lit_is_learned_by_its_going_dark(desk: Desk) -> None:
    desk.control("learn", "fill")
    desk.hear(CC, 90, 0)
    for count in (1, 2, 3):
        desk.hear(CC, 90, 127 * (count % 2), after=0.4)
        assert len(desk.told) == count


def test_a_knob_that_moves_a_switch_switches_once_on_its_way(desk: Desk) -> None:
    desk.control("learn", "drop")
    moved = []
    for value in (*range(0, 127, 3), *range(126, 0, -3)):
        desk.hear(CC, 90, value)
        moved.append(desk.stands("drop"))
    assert desk.learned.mode is Mode.ABSOLUTE
    changes = [new for old, new in itertools.pairwise(moved) if new is not old]
    assert changes == [True, False]


def test_a_knob_on_a_switch_of_a_map_does_not_flicker(desk: Desk) -> None:
    moved = []
    for value in range(128):
        desk.hear(CC, 110, value)
        moved.append(desk.stands("hold"))
    assert moved == [False] * 64 + [True] * 64


def test_a_switch_that_sends_no_releases_switches_at_each_press(desk: Desk) -> None:
    for expected in (True, False, True):
        desk.hear(CC, 110, 127, after=0.3)
        assert desk.stands("hold") is expected


@pytest.mark.parametrize(
    ("up", "down", "mode"),
    [(1, 127, Mode.TWOS), (1, 65, Mode.SIGN), (65, 63, Mode.OFFSET)],
)
def test_an_encoder_is_learned_as_such(desk: Desk, up: int, down: int, mode: Mode) -> None:
    desk.control("humanize", 50)
    desk.control("learn", "humanize")
    for value in (up, up, up, up, down, down):
        desk.hear(CC, 90, value)
    assert desk.learned.mode is mode
    desk.control("humanize", 50)
    desk.hear(CC, 90, down)
    assert desk.stands("humanize") == 49


def test_a_knob_that_stutters_at_its_end_is_no_encoder_in_the_end(desk: Desk) -> None:
    desk.control("learn", "humanize")
    for value in (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
        desk.hear(CC, 90, value)
    assert desk.learned.mode is Mode.AUTO


def test_a_pad_that_asks_for_learning_is_not_learned_by_being_let_go() -> None:
    desk = Desk()
    desk.controllers._map.bind(Binding("learn", cc=80, value="hold"))
    desk.hear(CC, 80, 127)
    desk.hear(CC, 80, 0)
    assert desk.controllers.learned == ()
    desk.hear(CC, 90, 127)
    assert desk.learned == Binding("hold", cc=90, channel=1)


def test_learning_moves_nothing_meanwhile_and_does_not_wait_for_ever(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.control("learn", "density")
    desk.hear(BEND, 0, 64, after=1.0)
    desk.hear(CC, 99, 1, after=1.0)
    desk.hear(CC, 110, 127, after=LEARN_SECONDS_MAX - 1.0)
    assert "nothing was moved" in caplog.text
    assert desk.controllers.learned == ()
    assert desk.stands("hold") is True


def test_the_leds_that_come_back_are_not_learned() -> None:
    desk = Desk(feedback=True)
    desk.control("hold", True)
    desk.control("learn", "density")
    shown = desk.controllers.shown(Seconds(desk.now))
    assert shown is not None
    for message in shown.messages:
        desk.hear(*message, after=0.001)
    assert desk.controllers.learned == ()
    assert desk.stands("hold") is True
    desk.hear(CC, 90, 3)
    assert desk.learned == Binding("density", cc=90, channel=1)


def test_what_is_learned_counts_more_than_what_the_knob_did_before(desk: Desk) -> None:
    desk.control("learn", "swing")
    desk.hear(CC, 20, 5)
    desk.hear(CC, 20, 127)
    assert (desk.stands("swing"), desk.stands("density")) == (75.0, None)
    desk.hear(CC | 3, 20, 127)
    assert desk.stands("density") == 100
    desk.control("learn", "humanize")
    desk.hear(CC, 20, 100)
    desk.hear(CC, 20, 0)
    assert (desk.stands("swing"), desk.stands("humanize")) == (75.0, 0)
    assert desk.learned.control == "humanize"


def test_what_is_forgotten_gives_the_knob_back_now_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "learned.toml"
    desk = Desk(path)
    for control, number in (("swing", 20), ("hold", 90)):
        desk.control("learn", control)
        desk.hear(CC, number, 5)
    desk.write()
    again = Desk(path)
    assert [row.name for row in again.controllers.learned] == ["swing", "hold"]
    again.control("forget", "swing")
    again.hear(CC, 20, 127)
    assert (again.stands("swing"), again.stands("density")) == (None, 100)
    again.write()
    assert [row.control for row in load_learned(path).controls] == ["hold"]
    with pytest.raises(ControlError, match="nothing was learned for swing"):
        again.control("forget", "swing")


def test_a_better_knowledge_of_a_knob_is_kept_in_place_of_the_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "learned.toml")
    desk.control("learn", "tempo")
    for number, value in ((52, 3), (20, 64), (52, 4)):
        desk.hear(CC, number, value)
    desk.write()
    (row,) = load_learned(tmp_path / "learned.toml").controls
    assert row == Binding("tempo", cc=20, bits=14, channel=1)


messages = st.tuples(
    st.sampled_from([CC, ON, OFF, PC, BEND]),
    st.sampled_from([0, 6, 20, 32, 38, 52, 90, 96, 98, 99, 100, 101, 110, 121]),
    st.integers(0, 127),
    st.floats(0, 3),
)


@given(
    st.sampled_from(["tempo", "hold", "fill", "style", "learn", "density", "off"]),
    st.lists(messages, max_size=40),
)
def test_no_gesture_makes_trouble(control: str, heard: list[tuple[int, int, int, float]]) -> None:
    desk = Desk()
    if control != "learn":
        desk.control("learn", control)
    for status, number, value, after in heard:
        data = (status, number) if status == PC else (status, number, value)
        try:
            desk.hear(*data, after=after)
        except ControlError:
            continue
    assert len(desk.controllers.learned) <= 1
