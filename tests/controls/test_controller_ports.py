"""Which controller is heard, where the MIDI system mixes them and where it does not."""

import pytest

from drumigen.units import Seconds
from drumigen_daemon.controls.binding import Binding, ControllerMap, load_controller
from drumigen_daemon.controls.control_map import ControlMap
from drumigen_daemon.engine.messages import ControlInput
from drumigen_daemon.ports import controller_ports
from drumigen_daemon.settings.sections import ControlSettings, Settings

CC = 0xB0


def moved(source: str, *maps: ControllerMap) -> list[str]:
    heard = ControlInput(source, (CC, 20, 1), Seconds(1.0))
    return [move.control for move in ControlMap(maps, lambda _: 50).heard(heard)]


def knob(port: str, control: str) -> ControllerMap:
    return ControllerMap(port=port, controls=(Binding(control, cc=20),))


@pytest.mark.parametrize("source", ["drumigen:in", "drums:in", "in", "nanoKONTROL2:MIDI 1"])
def test_a_map_with_a_port_hears_it_by_name_and_where_our_port_mixes(source: str) -> None:
    assert moved(source, knob("nanoKONTROL2", "swing")) == ["swing"]


@pytest.mark.parametrize("source", ["MIDI Mix:MIDI 1", "drumigen:MIDI Mix"])
def test_a_map_with_a_port_is_deaf_to_another(source: str) -> None:
    assert moved(source, knob("nanoKONTROL2", "swing")) == []


def test_an_input_of_its_own_tells_a_controller_from_the_others() -> None:
    maps = (knob("Midi-Bridge:nano", "swing"), knob("MIDI Mix", "humanize"), knob("", "density"))
    ports = controller_ports((each.port for each in maps), taken=("in",))
    assert [port.name for port in ports] == ["Midi-Bridge nano", "MIDI Mix"]
    assert [moved(f"drumigen:{port.name}", *maps[:2]) for port in ports] == [
        ["swing"],
        ["humanize"],
    ]
    assert ports[0].wants("Midi-Bridge:nanoKONTROL2 MIDI 1 (capture)")


@pytest.mark.parametrize("patterns", [("in",), ("out", "clock"), ("*",), ("a", "a")])
def test_no_two_ports_have_one_name(patterns: tuple[str, ...]) -> None:
    names = [port.name for port in controller_ports(patterns, taken=("in", "out", "clock"))]
    assert len(names) == len({*names} - {"in", "out", "clock"})
    assert len(names) <= 1


def test_every_shipped_map_with_a_port_gets_an_input() -> None:
    names = ("default", "nanokontrol2", "midimix", "launch_control_xl")
    settings = Settings(control=ControlSettings(maps=names))
    setup = settings.engine_setup_for(map(load_controller, names))
    ports = {load_controller(name).port for name in names} - {""}
    assert {pattern for port in setup.plan.controllers for pattern in port.connect} == ports
    assert len(ports) == 3
