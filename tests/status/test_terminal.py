import io
from dataclasses import replace

import pytest
from rich.console import Console

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, MeterMap, Timeline
from drumigen.units import TICKS_PER_SIXTEENTH, Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import EngineCounters, Origin, PlannedBar, TransportState
from drumigen_daemon.status.status import Status
from drumigen_daemon.status.terminal import bar_line, view

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
ROLLING = Status(
    transport=TransportState.ROLLING,
    lock="internal",
    timeline=Timeline(Bpm(120), 0.0, Seconds(NOW - 2.5)),
    style="funk",
    bar_style="funk",
    origin=Origin.GENERATED,
    backend="jack",
)
SECOND = PlannedBar(1, Tick(7680), GROOVE, "funk")


def lines(status: Status, bar: PlannedBar | None, *seen: Voice, hint: str = "") -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=False, color_system=None)
    console.print(view(status, bar, NOW, seen, hint))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def row(drawn: list[str], title: str) -> str:
    (found,) = [line for line in drawn if title in line]
    return found.strip("│ ").removeprefix(title).strip()


def test_the_place_is_shown_as_bar_and_beat() -> None:
    drawn = lines(ROLLING, SECOND)
    assert "2.2" in drawn[1]
    for said in ("4/4", "120.0 BPM", "funk", "rolling", "clock internal"):
        assert said in drawn[1]


def test_hits_are_drawn_by_voice_step_and_force() -> None:
    drawn = lines(ROLLING, SECOND)
    assert row(drawn, "Kick") == "◉··· ··●· ···· ····"
    assert row(drawn, "Snare") == "···· ◉··○ ···· ····"
    assert row(drawn, "Closed hat") == "···· ···· ···· ····"


def test_voices_once_seen_keep_their_line() -> None:
    assert not any("Crash" in line for line in lines(ROLLING, SECOND))
    assert row(lines(ROLLING, SECOND, Voice.CRASH), "Crash") == "···· ···· ···· ····"


@pytest.mark.parametrize(
    ("meter", "groups"), [("7/8", "·· ·· ·· ·· ·· ·· ··"), ("15/16", " ".join("·" * 15))]
)
def test_odd_metres_are_grouped_by_their_beat(meter: str, groups: str) -> None:
    parsed = Meter.parse(meter)
    bar = PlannedBar(0, Tick(0), Bar(parsed), "funk")
    drawn = lines(replace(ROLLING, meters=MeterMap.constant(parsed)), bar)
    assert row(drawn, "Kick") == groups


def test_the_playhead_is_drawn_over_the_step_that_sounds() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(view(ROLLING, SECOND, NOW))
    assert isinstance(console.file, io.StringIO)
    kick = next(line for line in console.file.getvalue().splitlines() if "Kick" in line)
    cells = kick.split("Kick")[1]
    assert cells.index("7m") > cells.index("◉")
    assert cells.count("7m") == 1


def test_the_bar_says_where_it_came_from() -> None:
    assert any("this bar generated" in line for line in lines(ROLLING, SECOND))
    fallback = replace(ROLLING, origin=Origin.BANK)
    assert any("this bar bank" in line for line in lines(fallback, SECOND))


def test_late_notes_are_told_only_if_there_are_some() -> None:
    assert not any("late" in line for line in lines(ROLLING, SECOND))
    late = replace(ROLLING, engine=EngineCounters(late_notes=3))
    assert any("3 late notes" in line for line in lines(late, SECOND))


def test_it_can_be_drawn_before_anything_is_known() -> None:
    drawn = lines(Status(), None, hint="q ends")
    assert any("1.1" in line for line in drawn)
    assert any("q ends" in line for line in drawn)


def test_without_a_terminal_a_bar_is_a_line() -> None:
    line = bar_line(ROLLING, SECOND, 1, 16)
    for said in ("bar 2/16", "funk", "4/4", "120 BPM", "4 hits", "generated"):
        assert said in line
    assert "/" not in bar_line(ROLLING, None, 1, 0)
