"""Laws of controllers: what a knob, pad or pedal does, and what it shows."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.arrange import Section
from drumigen.errors import ControlError, SettingsError
from drumigen.units import Seconds, Tick
from drumigen_daemon.controls.binding import (
    Binding,
    ControllerMap,
    Mode,
    controller_names,
    load_controller,
)
from drumigen_daemon.controls.control_map import ControlMap, ControlMove
from drumigen_daemon.controls.learned_file import load_learned, remove_bindings, save_binding
from drumigen_daemon.controls.table import VALUES, Controls
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import Command, ControlInput
from drumigen_daemon.session import Call, Session


class Desk:
    """Controls and a map of them, wired as the daemon does."""

    def __init__(self, *bindings: Binding, port: str = "") -> None:
        self.controls = Controls(known_styles(), Session())
        self.map = ControlMap(
            [ControllerMap(port=port, controls=bindings)],
            self.controls.value_of,
            lambda name: known_styles().names if name in ("style", "blend") else (),
        )
        self.told: list[object] = []

    def hear(self, *data: int, source: str = "in") -> list[ControlMove]:
        return self.take(ControlInput(source, data, Seconds(1.0)))

    def take(self, heard: ControlInput) -> list[ControlMove]:
        moves = []
        for move in self.map.heard(heard):
            moves.append(move)
            told = self.controls.apply(move.control, move.value, bar_tick=lambda _: Tick(0))
            if told is not None:
                self.told.append(told)
        return moves

    def stands(self, name: str) -> object:
        return self.controls.value_of(name)

    def shows(self, at: float = 0.0) -> list[bytes]:
        return self.map.shows(Seconds(at))


CC, ON, OFF, PC = 0xB0, 0x90, 0x80, 0xC0


@pytest.mark.parametrize("name", controller_names())
def test_a_shipped_map_can_be_read_and_leaves_channel_mode_alone(name: str) -> None:
    controller = load_controller(name)
    assert controller.title
    signs = [(row.sign, row.channel) for row in controller.controls]
    assert len(set(signs)) == len(signs)
    assert all(row.cc is None or row.cc < 120 for row in controller.controls)


def test_the_default_map_is_on_undefined_ccs() -> None:
    ccs = {row.cc for row in load_controller("default").controls if row.cc is not None}
    assert ccs <= {*range(20, 32), *range(102, 120)}


def test_every_knob_of_every_shipped_map_moves_its_control_and_is_never_refused() -> None:
    for name in controller_names():
        for row in load_controller(name).controls:
            desk = Desk(row)
            kind, number = row.sign
            status = {"cc": CC, "note": ON, "program": PC}[kind] | ((row.channel or 1) - 1)
            moved = set()
            for value in (127, 0, 64, 1, 127):
                data = (status, 2) if kind == "program" else (status, int(number), value)
                moved |= {move.control for move in desk.hear(*data)}
            assert moved == {row.name}, (name, row)


@pytest.mark.parametrize(
    ("binding", "heard", "value"),
    [
        (Binding("density", cc=20), (CC, 20, 127), 100),
        (Binding("density", cc=20), (CC, 20, 0), 0),
        (Binding("push", cc=20), (CC, 20, 65), pytest.approx(1.42, abs=0.01)),
        (Binding("tempo", cc=20, low=60, high=180), (CC, 20, 127), 180.0),
        (Binding("density", cc=20, low=100, high=0), (CC, 20, 127), 0),
        (Binding("density", cc=20, curve=2.0), (CC, 20, 64), 25),
        (Binding("section", cc=20), (CC, 20, 127), Section.SOLO),
        (Binding("style", cc=20), (CC, 20, 0), "afrobeat"),
        (Binding("hold", cc=20, mode=Mode.ABSOLUTE), (CC, 20, 64), True),
        (Binding("style", note=60, value="funk"), (ON, 60, 90), "funk"),
        (Binding("style", program=5, value="jazz"), (PC, 4), "jazz"),
        (Binding("style", program="any"), (PC, 1), "afrocuban"),
        (Binding("density", cc=20, channel=3), (CC | 2, 20, 127), 100),
    ],
)
def test_what_is_heard_becomes_the_value(
    binding: Binding, heard: tuple[int, ...], value: object
) -> None:
    desk = Desk(binding)
    assert desk.hear(*heard)
    assert desk.stands(binding.name) == value


@pytest.mark.parametrize(
    "heard", [(CC, 21, 5), (CC | 1, 20, 5), (ON, 20, 5), (PC, 20), (0xE0, 1, 2), (0xD0, 5)]
)
def test_others_move_nothing(heard: tuple[int, ...]) -> None:
    assert not Desk(Binding("density", cc=20, channel=1)).hear(*heard)


def test_a_map_hears_its_own_port_only() -> None:
    desk = Desk(Binding("density", cc=20), port="nanoKONTROL2")
    assert not desk.hear(CC, 20, 1, source="MIDI Mix:0")
    assert desk.hear(CC, 20, 1, source="nanoKONTROL2 20:0")
    assert desk.hear(CC, 20, 9, source="in")


def test_fourteen_bits_are_finer() -> None:
    desk = Desk(Binding("tempo", cc=3, bits=14, low=100, high=200))
    desk.hear(CC, 3, 64)
    desk.hear(CC, 35, 17)
    assert desk.stands("tempo") == pytest.approx(100 + 100 * ((64 << 7) + 17) / 16383, abs=1e-3)
    desk.hear(CC, 35, 18)
    assert desk.stands("tempo") == pytest.approx(100 + 100 * ((64 << 7) + 18) / 16383, abs=1e-3)


@pytest.mark.parametrize(
    ("mode", "up", "down"),
    [(Mode.TWOS, 2, 126), (Mode.SIGN, 2, 66), (Mode.OFFSET, 66, 62)],
)
def test_an_encoder_moves_from_where_its_control_stands(mode: Mode, up: int, down: int) -> None:
    desk = Desk(Binding("humanize", cc=20, mode=mode))
    desk.controls.apply("humanize", 50, bar_tick=lambda _: Tick(0))
    desk.hear(CC, 20, up)
    assert desk.stands("humanize") == 52
    desk.hear(CC, 20, down)
    assert desk.stands("humanize") == 50
    for _ in range(99):
        desk.hear(CC, 20, up)
    assert desk.stands("humanize") == 100


def test_an_encoder_steps_through_names() -> None:
    desk = Desk(Binding("section", cc=20, mode=Mode.TWOS))
    desk.hear(CC, 20, 5)
    assert desk.stands("section") is Section.INTRO
    for _ in range(9):
        desk.hear(CC, 20, 127)
    assert desk.stands("section") is Section.NONE


def test_a_knob_that_takes_over_waits_until_it_is_where_its_control_stands() -> None:
    desk = Desk(Binding("humanize", cc=20, takeover=True))
    desk.controls.apply("humanize", 50, bar_tick=lambda _: Tick(0))
    for value in (10, 30, 55):
        assert not desk.hear(CC, 20, value)
    desk.hear(CC, 20, 70)  # crossed
    assert desk.stands("humanize") == 55
    desk.hear(CC, 20, 127)
    assert desk.stands("humanize") == 100
    desk.controls.apply("humanize", 20, bar_tick=lambda _: Tick(0))
    assert not desk.hear(CC, 20, 120)
    assert desk.stands("humanize") == 20


def test_a_toggle_switches_over_at_each_press_whoever_moved_it_last() -> None:
    desk = Desk(Binding("mute.snare", note=40))
    desk.hear(ON, 40, 100)
    desk.hear(OFF, 40, 0)
    assert desk.stands("mute.snare") is True
    desk.controls.apply("mute.snare", False, bar_tick=lambda _: Tick(0))
    desk.hear(ON, 40, 100)
    assert desk.stands("mute.snare") is True
    desk.hear(ON, 40, 0)
    assert desk.stands("mute.snare") is True


def test_a_momentary_pad_is_on_while_pressed() -> None:
    desk = Desk(Binding("drop", cc=65, mode=Mode.MOMENTARY))
    desk.hear(CC, 65, 127)
    assert desk.stands("drop") is True
    desk.hear(CC, 65, 0)
    assert desk.stands("drop") is False


def test_a_momentary_pad_with_a_value_gives_back_what_was() -> None:
    desk = Desk(Binding("stutter", note=36, mode=Mode.MOMENTARY, value="eighth"))
    desk.hear(ON, 36, 90)
    assert desk.stands("stutter") == "eighth"
    desk.hear(OFF, 36, 0)
    assert desk.stands("stutter") == "off"


def test_an_action_is_carried_out_once_a_press() -> None:
    desk = Desk(Binding("fill", cc=64))
    desk.hear(CC, 64, 127)
    desk.hear(CC, 64, 0)
    assert desk.told == [Call.FILL]
    assert not isinstance(desk.told[0], Command)


def test_what_came_too_fast_to_be_delivered_one_by_one_is_not_lost() -> None:
    desk = Desk(
        Binding("fill", cc=64),
        Binding("mute.snare", cc=65),
        Binding("humanize", cc=66, mode=Mode.TWOS),
        Binding("density", cc=67),
    )
    desk.take(ControlInput("in", (CC, 64, 0), Seconds(1.0), (127,)))
    assert desk.told == [Call.FILL]
    desk.take(ControlInput("in", (CC, 65, 0), Seconds(1.0), (127, 0, 127)))
    assert desk.stands("mute.snare") is False
    desk.take(ControlInput("in", (CC, 66, 126), Seconds(1.0), (126, 126)))
    assert desk.stands("humanize") == 94
    assert len(desk.take(ControlInput("in", (CC, 67, 127), Seconds(1.0), (5, 80)))) == 1


def test_of_two_maps_for_the_same_knob_the_later_counts() -> None:
    controls = Controls(known_styles(), Session())
    knobs = ControlMap(
        [
            ControllerMap(controls=(Binding("density", cc=20), Binding("intensity", cc=21))),
            ControllerMap(port="nano", controls=(Binding("swing", cc=20),)),
        ],
        controls.value_of,
    )
    for source, number, control in (
        ("nanoKONTROL2", 20, "swing"),
        ("nanoKONTROL2", 21, "intensity"),
        ("keys", 20, "density"),
    ):
        moves = knobs.heard(ControlInput(source, (CC, number, 1), Seconds(1.0)))
        assert [move.control for move in moves] == [control]


def test_leds_and_rings_show_where_controls_stand_and_only_changes_are_sent() -> None:
    desk = Desk(Binding("mute.snare", note=40), Binding("humanize", cc=20), Binding("fill", cc=64))
    assert sorted(desk.shows()) == [bytes([ON, 40, 0]), bytes([CC, 20, 127])]
    assert desk.shows() == []
    desk.controls.apply("mute.snare", True, bar_tick=lambda _: Tick(0))
    assert desk.shows() == [bytes([ON, 40, 127])]
    desk.map.forget_shown()
    assert len(desk.shows()) == 2


def test_the_pad_of_the_style_that_plays_is_lit() -> None:
    desk = Desk(
        Binding("style", note=1, value="Dilla", channel=9), Binding("style", note=2, value="rock")
    )
    assert sorted(desk.shows()) == [bytes([ON, 2, 127]), bytes([ON | 8, 1, 0])]
    desk.hear(ON | 8, 1, 90)
    assert sorted(desk.shows()) == [bytes([ON, 2, 0]), bytes([ON | 8, 1, 127])]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"control": "density"}, "one of cc"),
        ({"control": "density", "cc": 1, "note": 1}, "one of cc"),
        ({"control": "density", "cc": 121}, "channel mode"),
        ({"control": "density", "cc": 128}, "127"),
        ({"control": "density", "cc": 40, "bits": 14}, "0 to 31"),
        ({"control": "densty", "cc": 40}, "no control"),
        ({"control": "density", "cc": 40, "knob": 1}, "knob"),
        ({"control": "density", "cc": 40, "curve": 0}, "0.1"),
    ],
)
def test_a_wrong_row_is_refused_in_one_line(
    tmp_path: Path, row: dict[str, object], said: str
) -> None:
    path = tmp_path / "mine.toml"
    cells = ", ".join(f"{key} = {value!r}" for key, value in row.items())
    path.write_text(f"controls = [{{ {cells} }}]\n")
    with pytest.raises(SettingsError, match=said) as caught:
        load_controller(str(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Binding("fill", cc=20), "cc 20"),
        (Binding("fill", cc=20, channel=3, mode=Mode.LATCHING), "cc 20 on channel 3, latching"),
        (Binding("swing", nrpn=300, bits=14), "nrpn 300, 14 bits"),
        (Binding("fill", program=5, channel=1), "program 5 (4 on the wire) on channel 1"),
        (Binding("scene", program="any"), "program any"),
    ],
)
def test_a_row_says_what_it_is_on_the_controller(row: Binding, said: str) -> None:
    assert row.source == said


def test_an_unknown_controller_is_named() -> None:
    with pytest.raises(SettingsError, match="use default, foot"):
        load_controller("nonesuch")


def test_what_is_learned_is_written_without_losing_comments(tmp_path: Path) -> None:
    path = tmp_path / "drumigen" / "learned.toml"
    save_binding(path, Binding("swing", cc=99, channel=5))
    text = path.read_text().replace("title =", "# my box\ntitle =")
    text += '\n# the pedal\n[[controls]]\ncontrol = "fill"  # left\ncc = 64\n'
    path.write_text(text)
    save_binding(path, Binding("density", cc=12, channel=1))
    save_binding(path, Binding("swing", note=7, channel=1))
    written = path.read_text()
    for comment in ("# my box", "# the pedal", "# left"):
        assert comment in written
    assert {(row.control, row.sign) for row in load_learned(path).controls} == {
        ("fill", ("cc", 64)),
        ("density", ("cc", 12)),
        ("swing", ("note", 7)),
    }


def test_a_file_of_inline_rows_is_added_to_as_well(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('controls = [\n  { cc = 1, control = "density" }, # first\n]\n')
    save_binding(path, Binding("swing", cc=2, channel=1))
    assert "# first" in path.read_text()
    assert [row.control for row in load_learned(path).controls] == ["density", "swing"]


def test_a_broken_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for broken in ("controls = [", "controls = 3\n"):
        path.write_text(broken)
        with pytest.raises(SettingsError, match=r"mine\.toml"):
            save_binding(path, Binding("swing", cc=2))
        assert path.read_text() == broken


def test_a_binding_that_is_removed_leaves_the_others_and_their_comments(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "# mine\n[[controls]]\ncontrol = 'metre'\ncc = 1\n\n# the fader\n[[controls]]\n"
        "control = 'density'\ncc = 2\n"
    )
    remove_bindings(path, "meter")
    assert [row.control for row in load_learned(path).controls] == ["density"]
    assert "# mine" in path.read_text()
    remove_bindings(path, "density")
    assert load_learned(path).controls == ()


rows = st.builds(
    Binding,
    control=st.sampled_from([name for name in VALUES if name != "learn"]),
    cc=st.integers(0, 31),
    bits=st.sampled_from([7, 14]),
    mode=st.sampled_from(list(Mode)),
    low=st.none() | st.integers(0, 50),
    high=st.none() | st.integers(51, 100),
    curve=st.floats(0.1, 10),
    takeover=st.booleans(),
)


@given(rows, st.lists(st.tuples(st.integers(0, 63), st.integers(0, 127)), max_size=30))
def test_no_knob_ever_gives_a_value_that_makes_trouble(
    row: Binding, heard: list[tuple[int, int]]
) -> None:
    controls = Controls(known_styles(), Session())
    knobs = ControlMap([ControllerMap(controls=(row,))], controls.value_of)
    for number, value in heard:
        for move in knobs.heard(ControlInput("in", (CC, number, value), Seconds(1.0))):
            with contextlib.suppress(ControlError):
                controls.apply(move.control, move.value, bar_tick=lambda _: Tick(0))
        assert all(len(message) == 3 for message in knobs.shows(Seconds(1.0)))
