"""The text of the screens, at many sizes, with and without colour and Unicode."""

import io
from dataclasses import replace as changed

import pytest
from msgspec.structs import replace
from rich.console import Console

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import EngineCounters, Origin, PlannedBar, TransportState
from drumigen_daemon.session import Session
from drumigen_daemon.status.keys import HINTS, Keyboard
from drumigen_daemon.status.status import Status
from drumigen_daemon.status.terminal import Look, bar_line, shows_unicode, view
from drumigen_daemon.status.view_state import ViewState, view_state

NOW = Seconds(1000.0)


def hit(step: int, voice: Voice, velocity: int) -> Hit:
    return Hit(Tick(step * TICKS_PER_SIXTEENTH), voice, velocity)


GROOVE = Bar(
    Meter(),
    (
        hit(0, Voice.KICK, 110),
        hit(6, Voice.KICK, 80),
        hit(4, Voice.SNARE, 108),
        hit(7, Voice.SNARE, 30),
    ),
)
SECOND = PlannedBar(1, Tick(7680), GROOVE, "funk")
THIRD = PlannedBar(2, Tick(15_360), GROOVE, "funk")
ROLLING = Status(
    transport=TransportState.ROLLING,
    lock="internal",
    timeline=Timeline(Bpm(120), 0.0, Seconds(NOW - 2.5)),
    style="funk",
    bar_style="funk",
    origin=Origin.GENERATED,
    backend="jack",
)


class Shown:
    """A daemon as far as it is shown."""

    def __init__(self, status: Status, *bars: PlannedBar, fill: int = -1) -> None:
        self.status = status
        self.bars = {bar.number: bar for bar in bars}
        self.fill = fill
        self.controls = self
        self.planner = self
        self.session = Session()

    def sent_bar(self, number: int) -> PlannedBar | None:
        return self.bars.get(number)

    def is_fill(self, number: int) -> bool:
        return number == self.fill


STATE = view_state(Shown(ROLLING, SECOND, THIRD, fill=3), NOW)


WIDE = Look()


def lines(
    state: ViewState = STATE,
    look: Look = WIDE,
    *seen: Voice,
    prompt: tuple[str, ...] = (),
    notice: str = "",
) -> list[str]:
    console = Console(file=io.StringIO(), width=look.width, color_system=None)
    console.print(view(state, look, seen, prompt, notice))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


NARROW = Look(50, 24)


def row(drawn: list[str], title: str) -> str:
    (found,) = [line for line in drawn if title in line]
    return found.strip("│ ").removeprefix(title).strip()


def test_the_place_is_shown_as_bar_and_beat() -> None:
    drawn = lines()
    for said in ("2.2", "4/4", "120.0 BPM", "funk", "rolling", "clock internal"):
        assert said in drawn[1]


def test_hits_are_drawn_by_voice_step_and_force() -> None:
    drawn = lines(STATE, NARROW)
    assert row(drawn, "Kick") == "◉··· ··●· ···· ····"
    assert row(drawn, "Snare") == "···· ◉··○ ···· ····"
    assert row(drawn, "Closed hat") == "···· ···· ···· ····"


def test_voices_once_seen_keep_their_line() -> None:
    assert not any("Crash" in line for line in lines())
    assert row(lines(STATE, NARROW, Voice.CRASH), "Crash") == "···· ···· ···· ····"


@pytest.mark.parametrize(
    ("meter", "groups"), [("7/8", "·· ·· ·· ·· ·· ·· ··"), ("15/16", " ".join("·" * 15))]
)
def test_odd_metres_are_grouped_by_their_beat(meter: str, groups: str) -> None:
    parsed = Meter.parse(meter)
    bar = PlannedBar(0, Tick(0), Bar(parsed), "funk")
    status = changed(
        ROLLING, meters=MeterMap.constant(parsed), timeline=Timeline(Bpm(120), 0.0, NOW)
    )
    assert row(lines(view_state(Shown(status, bar), NOW), NARROW), "Kick") == groups


def test_the_playhead_is_drawn_over_the_step_that_sounds() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(view(STATE, NARROW))
    assert isinstance(console.file, io.StringIO)
    kick = next(line for line in console.file.getvalue().splitlines() if "Kick" in line)
    cells = kick.split("Kick")[1]
    assert cells.index("7m") > cells.index("◉")
    assert cells.count("7m") == 1


def test_a_wide_screen_shows_the_bar_to_come_as_well() -> None:
    assert row(lines(STATE, Look(80, 24)), "Kick").count("◉") == 2
    assert row(lines(STATE, NARROW), "Kick").count("◉") == 1


def test_the_bar_says_where_it_came_from() -> None:
    assert any("this bar generated" in line for line in lines())
    fallback = view_state(Shown(changed(ROLLING, origin=Origin.BANK), SECOND), NOW)
    assert fallback.fallback
    assert any("this bar bank" in line for line in lines(fallback))


def test_late_notes_are_told_only_if_there_are_some() -> None:
    assert not any("late" in line for line in lines())
    late = changed(ROLLING, engine=EngineCounters(late_notes=1))
    assert any("1 late note " in line for line in lines(view_state(Shown(late, SECOND), NOW)))


def test_what_is_pending_and_switched_on_is_shown() -> None:
    shown = Shown(changed(ROLLING, style="jazz"), SECOND, fill=3)
    shown.session = Session(hold=True, drop=True)
    text = "\n".join(lines(view_state(shown, NOW)))
    for said in ("funk → jazz", "HOLD", "DROP", "fill in 2 bars"):
        assert said in text
    now = "\n".join(lines(view_state(Shown(ROLLING, SECOND, fill=1), NOW)))
    assert "fill in" not in now
    assert "fill" in now


def test_what_to_do_is_shown() -> None:
    stopped = changed(ROLLING, transport=TransportState.STOPPED)
    text = " ".join(line.strip("│ ") for line in lines(view_state(Shown(stopped), NOW)))
    assert "start it by MIDI Start" in text


def test_what_was_said_last_is_shown_to_its_end() -> None:
    said = "no MIDI system yet, so no notes leave: looking for one; see drumigen doctor"
    drawn = lines(STATE, Look(60, 24), notice=said)
    assert said in " ".join(line.strip("│ ") for line in drawn)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("height", [8, 12, 24, 40])
def test_it_fits_whatever_the_size_and_no_key_is_broken(width: int, height: int) -> None:
    state = replace(STATE, advice=("nobody listens to drumigen:out: connect " + "synth, " * 9,))
    drawn = lines(state, Look(width, height), *Voice, notice="a long word " * 20)
    assert len(drawn) <= max(height, 8)
    assert all(len(line) <= width for line in drawn)
    assert any("Kick" in line for line in drawn)
    text = "\n".join(drawn)
    assert "space start, stop" in text
    shown = [does for _, does in HINTS if does in text]
    assert shown == [does for _, does in HINTS][: len(shown)]
    assert len(shown) == len(HINTS) or "? all keys" in text


def test_all_keys_are_shown_where_there_is_room() -> None:
    text = "\n".join(lines(STATE, Look(80, 24)))
    assert all(f"{key} {does}" in text for key, does in HINTS)


@pytest.mark.parametrize("keys", ["?", "m"])
@pytest.mark.parametrize("width", [40, 80])
def test_what_a_key_asks_is_shown_whole_on_a_small_screen(width: int, keys: str) -> None:
    board = Keyboard((), str)
    list(board.press(keys, STATE))
    state = replace(STATE, advice=("nobody listens to drumigen:out: connect " + "synth, " * 9,))
    drawn = lines(state, Look(width, 12), *Voice, prompt=board.prompt, notice="said " * 30)
    assert len(drawn) <= 12
    assert all(part in "\n".join(drawn) for part in board.prompt)


def test_what_is_asked_takes_the_place_of_the_keys() -> None:
    text = "\n".join(lines(prompt=("style: dil_",)))
    assert "style: dil_" in text
    assert "q end" not in text


def test_without_unicode_everything_is_ascii() -> None:
    state = replace(STATE, next_style="jazz")
    text = "\n".join(lines(state, Look(120, 30, unicode=False)))
    assert text.isascii()
    assert "X..." in text


@pytest.mark.parametrize(
    ("environment", "encoding", "shows"),
    [
        ({"LANG": "en_GB.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C", "LANG": "en_GB.UTF-8"}, "utf-8", False),
        ({"LC_ALL": "POSIX"}, "utf-8", False),
        ({"LANG": "de_DE.ISO-8859-1"}, "iso-8859-1", False),
        ({"LC_ALL": "C.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "", "LANG": "C.utf8"}, "utf-8", True),
        ({"LANG": "en_GB.UTF-8"}, "ascii", False),
    ],
)
def test_unicode_is_shown_where_the_locale_has_it(
    environment: dict[str, str], encoding: str, *, shows: bool
) -> None:
    assert shows_unicode(environment, encoding) is shows


def test_it_can_be_drawn_before_anything_is_known() -> None:
    drawn = lines(view_state(Shown(Status()), NOW))
    assert any("1.1" in line for line in drawn)
    assert any("q end" in line for line in drawn)


def test_without_a_terminal_a_bar_is_a_line() -> None:
    line = bar_line(STATE, 16)
    for said in ("bar 2/16", "funk", "4/4", "120 BPM", "4 hits", "generated"):
        assert said in line
    assert "/" not in bar_line(replace(STATE, sounding=None), 0)


def test_a_style_that_was_given_by_its_path_is_called_by_its_name() -> None:
    path = "/home/ann/songs/mine.toml"
    second = PlannedBar(1, Tick(7680), GROOVE, path)
    state = replace(
        view_state(Shown(ROLLING, second), NOW), style=path, next_style="/etc/other.toml"
    )
    drawn = "\n".join(lines(state))
    assert "mine" in drawn
    assert "other" in drawn
    assert "ann" not in drawn
    assert "etc" not in drawn
    for each in (state, replace(state, sounding=None)):
        assert "mine " in f"{bar_line(each, 0)} "
        assert "ann" not in bar_line(each, 0)
