"""The law of what others cause: a bounded number of lines, and a count of the rest."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.units import Seconds
from drumigen_daemon.process.log_limit import LIMIT_SECONDS, LINES, LINES_OF_ALL_KINDS, LimitedLog


class Lines(logging.Logger):
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("lines")
        self.said: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.said.append(record.getMessage())  # type: ignore[method-assign]
        self.addHandler(handler)


@pytest.fixture
def lines() -> Lines:
    return Lines()


class Log:
    """A limited log and its clock."""

    def __init__(self, lines: Lines) -> None:
        self.log = LimitedLog(lines)
        self.now = 100.0

    def say(self, text: str) -> None:
        self.log.log(logging.INFO, text, Seconds(self.now))

    def tell(self) -> None:
        self.log.tell(Seconds(self.now))


def test_a_flood_of_one_kind_is_a_few_lines_and_a_count(lines: Lines) -> None:
    log = Log(lines)
    for scene in range(2800):
        log.now += LIMIT_SECONDS / 3000
        log.say(f"scene: there is no scene {scene % 128 + 1}: store one")
    assert lines.said == [f"scene: there is no scene {n}: store one" for n in range(1, LINES + 1)]
    log.now += LIMIT_SECONDS
    log.tell()
    assert lines.said[LINES:] == [
        f"scene: there is no scene {2799 % 128 + 1}: store one (and {2800 - LINES} more like this)"
    ]
    log.tell()
    assert len(lines.said) == LINES + 1


def test_numbers_of_any_length_make_no_other_kind(lines: Lines) -> None:
    log = Log(lines)
    for number in range(0, 30_000, 7):
        log.say(f"no scene {number} (program {number}): " + "store one with store_scene " * 4)
    assert len(lines.said) == LINES


def test_what_is_rare_is_logged_line_by_line(lines: Lines) -> None:
    log = Log(lines)
    for number in range(20):
        log.now += LIMIT_SECONDS / 2
        log.say(f"lost in to knob:{number}")
    assert lines.said == [f"lost in to knob:{number}" for number in range(20)]


def test_one_kind_does_not_silence_another(lines: Lines) -> None:
    log = Log(lines)
    for _ in range(100):
        log.say("nudge: the tempo is somebody else's")
    log.say("lost the MIDI system")
    assert lines.said[-1] == "lost the MIDI system"


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 1)), max_size=400))
def test_whatever_comes_the_lines_of_a_period_are_bounded(said: list[tuple[str, float]]) -> None:
    lines = Lines()
    log = Log(lines)
    for text, pause in said:
        log.now += pause * 0.1
        log.say(text)
    periods = 1 + int((log.now - 100.0) / LIMIT_SECONDS)
    assert len(lines.said) <= periods * (LINES_OF_ALL_KINDS + LINES + 1)
    assert lines.said[:LINES] == [text for text, _ in said][:LINES]
