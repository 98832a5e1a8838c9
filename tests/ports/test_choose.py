"""The choice of a backend: the named one or a clear error, else the best that works."""

import threading

import pytest

from drumigen.errors import PortError
from drumigen.units import Seconds
from drumigen_daemon.ports import PortPlan, VirtualPort, alsa, jack, rtmidi
from drumigen_daemon.ports.alsa import AlsaBackend
from drumigen_daemon.ports.choose import Search, better_than, choose, survey
from drumigen_daemon.ports.jack import JackBackend
from drumigen_daemon.ports.null import NullBackend
from drumigen_daemon.ports.rtmidi import RtMidiBackend

BACKENDS = {"jack": JackBackend, "alsa": AlsaBackend, "rtmidi": RtMidiBackend, "null": NullBackend}


class Systems:
    """Decides which MIDI systems work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.working: set[str] = set()
        for module in (jack, alsa, rtmidi):
            name = module.__name__.rpartition(".")[2]
            monkeypatch.setattr(module, "probe", lambda *_, name=name: self._probe(name))

    def _probe(self, name: str) -> str:
        if name not in self.working:
            message = f"no {name}: mend it"
            raise PortError(message)
        return f"{name} is here"


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> Systems:
    return Systems(monkeypatch)


@pytest.mark.parametrize(
    ("working", "best"),
    [
        ({"jack", "alsa", "rtmidi"}, "jack"),
        ({"alsa", "rtmidi"}, "alsa"),
        ({"rtmidi"}, "rtmidi"),
        (set(), "null"),
    ],
)
def test_auto_takes_the_best_that_works(systems: Systems, working: set[str], best: str) -> None:
    systems.working = working
    backend = choose("auto")
    assert isinstance(backend, BACKENDS[best])
    assert backend.name == best


@pytest.mark.parametrize("name", ["jack", "alsa", "rtmidi"])
def test_a_named_backend_works_or_says_how_to_mend_it(systems: Systems, name: str) -> None:
    with pytest.raises(PortError, match=f"no {name}: mend it"):
        choose(name)
    systems.working = {name}
    assert isinstance(choose(name), BACKENDS[name])


def test_null_always_works(systems: Systems) -> None:
    systems.working = set()
    assert isinstance(choose("null"), NullBackend)


def test_only_what_comes_before_is_better(systems: Systems) -> None:
    systems.working = {"jack", "rtmidi"}
    assert [better_than(name) for name in ("null", "alsa", "jack")] == ["jack", "jack", ""]
    systems.working = {"alsa"}
    assert [better_than(name) for name in ("null", "alsa", "jack")] == ["alsa", "", ""]


def test_the_search_goes_on_until_there_is_something_better_and_only_when_wanted(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drumigen_daemon.ports.choose.LOOK_EVERY", 0.001)
    systems.working = set()
    systems.working = {"jack"}
    wanted, called, asked = threading.Event(), threading.Event(), threading.Semaphore(0)

    def may_look() -> bool:
        asked.release()
        return wanted.is_set()

    search = Search("null", None, may_look, called.set)
    for _ in range(20):
        assert asked.acquire(timeout=30)
    assert not called.is_set()
    systems.working = set()
    wanted.set()
    for _ in range(20):
        assert asked.acquire(timeout=30)
    assert not called.is_set()
    systems.working = {"jack"}
    assert called.wait(30)
    assert search.found == "jack"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(PortError, match="'oss': choose one of auto, jack, alsa, rtmidi, null"):
        choose("oss")


def test_the_survey_has_one_line_for_each_backend_best_first(systems: Systems) -> None:
    systems.working = {"alsa"}
    reports = survey()
    assert [(each.name, each.usable, each.reason) for each in reports] == [
        ("jack", False, "no jack: mend it"),
        ("alsa", True, "alsa is here"),
        ("rtmidi", False, "no rtmidi: mend it"),
        ("null", True, "always works, and nothing sounds"),
    ]


def test_the_survey_of_this_machine_answers_in_whole_lines_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    reports = survey()
    assert [each.name for each in reports] == ["jack", "alsa", "rtmidi", "null"]
    for report in reports:
        assert report.reason
        assert "\n" not in report.reason
    assert capfd.readouterr() == ("", "")


def test_rtmidi_without_the_system_asked_for_names_those_it_has() -> None:
    pytest.importorskip("rtmidi", reason="no wheel beyond Python 3.12: build the extra")
    with pytest.raises(PortError, match="rtmidi was built without 'oss': choose one of"):
        choose("rtmidi", "oss")


def test_null_accepts_everything_and_keeps_nothing() -> None:
    class NoInbox:
        def put(self, source: str, data: bytes, at: Seconds) -> None:
            raise AssertionError((source, data, at))

    backend = NullBackend()
    backend.open(PortPlan(), NoInbox())
    backend.send("out", b"\x99\x24\x64", Seconds(0.0))
    backend.withdraw()
    backend.receive()
    assert list(backend.check()) == []
    assert list(backend.filenos()) == []
    backend.close()
    backend.close()


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("Launchkey", "Launchkey Mini MK3:Launchkey Mini MK3 MIDI 1", True),
        ("launchkey", "LAUNCHKEY:1", True),
        ("mini mk3 midi 2", "Launchkey Mini MK3:Launchkey Mini MK3 MIDI 1", False),
        ("ardour:*out", "Ardour:MIDI Clock out", True),
        ("ardour:*out", "Ardour:MIDI Clock out 2", False),
        ("play?", "player", False),
        ("play??", "player", True),
        ("Bus [1]*", "IAC Driver:Bus [1]", False),
        ("*bus [1]", "IAC Driver:Bus [1]", True),
        ("*", "Midi Through:Midi Through Port-0", False),
        ("midi", "Midi Through:Midi Through Port-0", False),
        ("midi through", "Midi Through:Midi Through Port-0", True),
    ],
)
def test_a_pattern_is_part_of_a_name_or_a_glob_over_it(
    pattern: str,
    name: str,
    wanted: bool,  # noqa: FBT001 - pytest parameter
) -> None:
    assert VirtualPort("in", ("no such port", pattern)).wants(name) is wanted
    assert not VirtualPort("in").wants(name)
