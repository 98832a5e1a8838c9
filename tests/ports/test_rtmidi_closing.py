"""How the rtmidi backend closes its objects, over a library that only keeps a log.

With RtMidi, a thread about to call us while its object is closed hangs or crashes the process.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from drumigen_daemon.ports import PortChange, PortPlan, VirtualPort, rtmidi
from drumigen_daemon.ports.rtmidi import REST, RtMidiBackend
from fixtures_jack import Heard

PLAN = PortPlan(
    inputs=(VirtualPort("in", ("pads",)),),
    outputs=(VirtualPort("out", ("synth",)), VirtualPort("clock")),
)


@dataclass(frozen=True)
class Step:
    at: float
    what: str
    whose: "Port"


class System:
    """A MIDI system with some devices, and all that was done to its objects."""

    def __init__(self) -> None:
        self.devices = {"in": ["pads"], "out": ["synth"]}
        self.log: list[Step] = []
        self.library = SimpleNamespace(
            API_MACOSX_CORE=1,
            API_LINUX_ALSA=2,
            API_UNIX_JACK=3,
            API_WINDOWS_MM=4,
            RtMidiError=RuntimeError,
            MidiIn=type("MidiIn", (Port,), {"system": self, "devices": "in"}),
            MidiOut=type("MidiOut", (Port,), {"system": self, "devices": "out"}),
            get_compiled_api=lambda: [1],
        )

    def whose(self, what: str) -> "list[Port]":
        return [step.whose for step in self.log if step.what == what]

    def when(self, what: str, whose: "Port") -> float:
        (at,) = [step.at for step in self.log if step.what == what and step.whose is whose]
        return at


class Port:
    system: System
    devices: str

    def __init__(self, _api: int, name: str) -> None:
        self.name = name
        self.callback: tuple[Callable[..., None], None] | None = None

    def get_ports(self) -> list[str]:
        return self.system.devices[self.devices]

    def ignore_types(self, **_types: bool) -> None:
        """Everything is heard."""

    def set_callback(self, callback: Callable[..., None]) -> None:
        self._did("listen")
        self.callback = (callback, None)

    def open_port(self, _number: int, _name: str) -> None:
        self._did("open")

    def open_virtual_port(self, _name: str) -> None:
        self._did("open")

    def cancel_callback(self) -> None:
        self._did("cancel")
        self.callback = None

    def close_port(self) -> None:
        self._did("close")

    def delete(self) -> None:
        self._did("delete")

    def _did(self, what: str) -> None:
        self.system.log.append(Step(time.monotonic(), what, self))


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    monkeypatch.setattr(rtmidi, "_library", lambda: system.library)
    return system


def test_each_port_is_closed_once_and_only_when_all_is_at_rest(system: System) -> None:
    backend = RtMidiBackend("coremidi")
    backend.open(PLAN, Heard())
    opened = system.whose("open")
    system.log = [step for step in system.log if step.whose in opened]  # without the probe
    assert len(opened) == 5
    backend.close()

    assert len(system.whose("close")) == len(system.whose("delete")) == len(opened)
    assert set(system.whose("cancel")) == set(system.whose("listen"))
    for port in opened:
        closed = system.when("close", port)
        before = [s.at for s in system.log if s.at < closed]
        assert closed - max(before) >= REST
        assert system.when("delete", port) - closed >= REST


def test_a_device_that_went_is_closed_at_a_later_look_and_opened_anew_meanwhile(
    system: System,
) -> None:
    backend = RtMidiBackend("coremidi")
    backend.open(PLAN, Heard())
    backend.check()
    system.log.clear()

    system.devices["in"] = []
    assert backend.check() == [PortChange("in", "pads", up=False)]
    assert [step.what for step in system.log] == ["cancel"]
    (gone,) = system.whose("cancel")

    system.devices["in"] = ["pads"]
    time.sleep(REST)
    assert backend.check() == [PortChange("in", "pads", up=True)]
    assert [step.what for step in system.log] == ["cancel", "close", "listen", "open"]
    time.sleep(REST)
    assert backend.check() == []
    assert system.whose("close") == system.whose("delete") == [gone]
    backend.close()


def test_what_a_late_thread_would_read_is_there_though_we_listen_no_more(system: System) -> None:
    backend = RtMidiBackend("coremidi")
    backend.open(PLAN, Heard())
    backend.check()
    heard = system.whose("listen")[-1]
    assert heard.callback is not None
    callback, pair = heard.callback[0], id(heard.callback)
    system.devices["in"] = []
    backend.check()
    assert system.whose("cancel") == [heard]
    assert pair in [id(each) for each in gc.get_referrers(callback) if isinstance(each, tuple)]
    backend.close()
