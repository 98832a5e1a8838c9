"""The control plane: what an engine has not acknowledged it does not have."""

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from band import Band
from drumigen.pattern import Bar
from drumigen.units import Bpm, Seconds, Tick
from drumigen_daemon.engine.messages import (
    AnyCommand,
    ClockSource,
    EngineParameters,
    EngineState,
    Locate,
    Nudge,
    Plan,
    Rejoin,
    Start,
    Stop,
    TransportState,
    UseKit,
)
from drumigen_daemon.generator.messages import Item
from drumigen_daemon.generator.writers import BankWriter
from drumigen_daemon.session import Session

INTERNAL = EngineParameters(source=ClockSource.INTERNAL)
BAR_SECONDS = 2.0


def playing(seconds: float = 5.0) -> Band:
    band = Band(Session(parameters=INTERNAL))
    band.rig.run(1.0)
    band.control("start")
    band.rig.run(seconds)
    return band


def notes_within(band: Band, seconds: float) -> int:
    since = band.rig.now
    band.rig.run(seconds)
    return len(band.rig.output.notes(since=since))


def test_what_was_planned_while_there_was_no_engine_goes_to_its_successor() -> None:
    band = playing()
    band.kill_engine()
    band.rig.run(0.2)
    band.control("swing", 60)  # a knob asks for a new plan, and nobody takes it
    band.rig.run(0.3)
    band.start_engine()
    assert notes_within(band, BAR_SECONDS) > 4
    assert band.rig.rolling


def test_what_the_generator_writes_meanwhile_is_not_taken_for_sent() -> None:
    band = playing()
    band.source.delay = 0.3
    band.control("re-roll")
    band.kill_engine()
    band.rig.run(0.6)
    band.start_engine()
    assert notes_within(band, BAR_SECONDS) > 4


def test_an_engine_that_dies_before_it_has_taken_the_song_over_leaves_it_rolling() -> None:
    band = playing()
    band.kill_engine()
    for _ in range(3):
        # it tells where it is before it obeys, and dies of it
        band.plane.engine_started(Seconds(band.rig.now))
        stopped = EngineState(
            TransportState.STOPPED, "internal", band.plane.status.timeline, Tick(0)
        )
        band.plane.reported(stopped, Seconds(band.rig.now))
        band.plane.engine_lost()
    assert band.plane.rolling
    band.start_engine()
    assert notes_within(band, BAR_SECONDS) > 4


def test_a_successor_takes_the_song_over_where_it_is_now() -> None:
    band = playing(5.0)
    band.kill_engine()
    band.rig.run(4.0)
    band.start_engine()
    band.rig.run(2.0)
    last = band.entered[-1]
    assert last.number == int((band.rig.now - band.rig.state.timeline.time_of(0)) / BAR_SECONDS)
    assert not last.origin.fallback


def test_a_stop_without_an_engine_is_no_song_for_its_successor() -> None:
    band = playing(5.0)
    band.kill_engine()
    band.control("stop")
    band.rig.run(0.5)
    band.start_engine()
    assert notes_within(band, BAR_SECONDS) == 0
    assert not band.rig.rolling
    # the song goes on from there
    band.control("continue")
    band.rig.run(0.5)
    assert band.entered[-1].number == 2


def test_a_start_without_an_engine_is_carried_out_by_its_successor() -> None:
    band = Band(Session(parameters=INTERNAL))
    band.rig.run(1.0)
    band.kill_engine()
    band.control("start")
    band.start_engine()
    assert notes_within(band, BAR_SECONDS) > 4


def test_a_song_that_stands_still_keeps_its_place() -> None:
    band = playing(5.0)
    band.control("stop")
    band.rig.run(0.5)
    there = band.rig.state.tick
    band.kill_engine()
    band.start_engine()
    band.rig.run(0.1)
    assert band.rig.state.tick == there > 0


def test_a_bar_that_the_engine_does_not_hold_is_sent_again() -> None:
    band = playing()
    band.rig.engine._score._bars.clear()  # nothing that we know makes it lose one
    band.rig.run(1.1)  # it tells what it holds at least once a second
    for number in range(band.planner.bar, band.planner.bar + 3):
        assert band.rig.held(band.planner.meters.start_of(number)) is not None


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_whenever_an_engine_dies_its_successor_plays(seed: int) -> None:
    luck = random.Random(seed)
    band = playing(luck.uniform(0.0, 6.0))
    band.source.delay = luck.uniform(0.01, 0.5)
    for _ in range(3):
        band.kill_engine()
        for _ in range(luck.randrange(4)):
            band.rig.run(luck.uniform(0.0, 0.3))
            name, value = luck.choice(
                [
                    ("swing", 60),
                    ("re-roll", None),
                    ("density", 80),
                    ("style", "funk"),
                    ("fill", None),
                ]
            )
            band.control(name, value)
        band.start_engine()
        assert notes_within(band, BAR_SECONDS) > 2
        assert band.rig.rolling
        numbers = [entered.number for entered in band.entered]
        assert numbers == sorted(numbers)
        band.rig.run(luck.uniform(0.0, 2.0))
    band.control("stop")
    band.rig.run(1.0)
    assert not band.rig.output.hanging()


def test_a_scene_waits_for_the_bar_line_and_the_last_one_called_counts() -> None:
    band = playing(2.5)
    for number, density in ((1, 70), (2, 40)):
        band.control("density", density)
        band.control("store_scene", number)
    band.control("density", 10)
    band.control("scene", 1)
    band.control("scene", 2)
    band.rig.run(1.4)
    assert band.session.density == 10
    band.rig.run(0.1)
    assert band.session.density == 40
    assert band.entered[-1].number == 1


def test_a_stop_does_not_wait_for_the_turn() -> None:
    band = playing()
    now = Seconds(band.rig.now)
    for number in range(500):
        band.plane.control("density", number % 100, now=now)
    band.plane.control("tempo", 90, now=now)
    band.plane.control("stop", now=now)
    parameters, stop = band.plane.urgent()
    assert isinstance(parameters, EngineParameters)
    assert stop == Stop()
    assert not band.plane.urgent()
    assert Stop() not in band.plane.advance(now).commands


def test_a_flood_of_controls_is_one_turn() -> None:
    band = playing()
    now = Seconds(band.rig.now)
    for number in range(1000):
        band.plane.control("tempo", 100 + number % 50, now=now)
        band.plane.control("density", number % 100, now=now)
        band.plane.control("re-roll", now=now)
        band.plane.control("fill", now=now)
        band.plane.control("nudge", 1, now=now)
        band.plane.control("bar", 3, now=now)
    turn = band.plane.advance(now)
    kinds = [type(command) for command in turn.commands]
    assert kinds.count(EngineParameters) == kinds.count(Plan) == 1
    assert len(kinds) <= 70
    assert band.planner._arrangement.form.take_at(10**9) == 1


def test_commands_of_a_kind_are_joined_and_go_before_the_bars() -> None:
    band = playing()
    now = Seconds(band.rig.now)
    for _ in range(40):
        band.plane.control("nudge", 1, now=now)
    for bar in range(1, 40):
        band.plane.control("bar", bar, now=now)
    band.plane.control("seed", 7, now=now)
    for _ in range(40):
        band.plane.control("start", now=now)
    *first, last = band.plane.advance(now).commands
    assert first == [Nudge(40.0), Locate(Tick(38 * 4 * 1920)), Start()]
    assert isinstance(last, Plan)


@pytest.mark.parametrize("bpm", [60.0, 120.0, 200.0])
def test_a_takeover_has_its_bars_first(bpm: float) -> None:
    band = Band(Session(parameters=EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(bpm))))
    band.control("start")
    band.rig.run(3.0)
    band.plane.engine_lost()
    band.plane.engine_started(Seconds(band.rig.now))
    kinds = [type(command) for command in band.plane.advance(Seconds(band.rig.now)).commands]
    assert kinds.index(Plan) < kinds.index(Rejoin)
    assert kinds[:2] == [UseKit, EngineParameters]


KIT = """
title = "Mine"
channel = 3
[voices]
kick = { note = 60 }
snare = { note = 61 }
closed_hat = { note = 62 }
"""


def test_a_kit_is_read_outside_the_engine_which_gets_a_value(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(KIT)
    band = playing()
    now = Seconds(band.rig.now)
    band.plane.control("kit", str(path), now=now)
    commands = band.plane.advance(now).commands
    path.unlink()  # nobody looks at it again
    for command in commands:
        band.rig.obey(msgspec.json.decode(msgspec.json.encode(command), type=AnyCommand))
    since = band.rig.now + 0.1
    band.rig.run(BAR_SECONDS)
    sent = band.rig.output.notes(since=since)
    assert {note.data[0] & 0x0F for note in sent} == {2}
    assert {note.data[1] for note in sent} <= {60, 61, 62}


def test_a_kit_that_is_gone_by_the_time_it_is_needed_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(KIT)
    band = playing()
    now = Seconds(band.rig.now)
    band.plane.control("kit", str(path), now=now)
    path.unlink()
    kinds = [type(command) for command in band.plane.advance(now).commands]
    assert UseKit not in kinds
    assert "the kit stays as it was" in caplog.text
    assert notes_within(band, BAR_SECONDS) > 4


class Counting(BankWriter):
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        self.numbers += [item.request.number for item in items]
        return super().write(items, tempo)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["re-one", "start", "stop", "continue", "bar", "fill", "meter", "style"]
            ),
            st.floats(0.0, 1.5),
        ),
        max_size=12,
    )
)
@example([("re-one", 0.4)])
@example([("start", 0.0), ("re-one", 0.7), ("start", 0.1)])
def test_there_is_no_bar_before_the_first(calls: list[tuple[str, float]]) -> None:
    writer = Counting()
    band = Band(Session(parameters=INTERNAL), writer, styles=("rock", "funk"))
    band.rig.run(0.5)
    band.control("start")
    for name, wait in calls:
        band.rig.run(wait)
        value = {"bar": 1, "meter": "7/8", "style": "funk"}.get(name)
        band.control(name, value)
        assert min(band.rig.state.bars) >= 0
    band.control("start")
    assert notes_within(band, BAR_SECONDS) > 2
    assert min(writer.numbers) >= 0
    assert min(entered.number for entered in band.entered) >= 0


class Refusing(BankWriter):
    """Writes nothing of bar 3."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        if any(item.request.number == 3 for item in items):
            raise ZeroDivisionError
        return super().write(items, tempo)


def test_the_song_goes_on_over_a_bar_that_nobody_can_write() -> None:
    band = Band(Session(parameters=INTERNAL, fill_every=0), Refusing())
    band.rig.run(0.5)
    band.control("start")
    band.rig.run(8 * BAR_SECONDS)
    origins = {entered.number: entered.origin for entered in band.entered}
    assert origins[3].fallback
    assert not any(origins[number].fallback for number in (1, 2, 4, 5, 6))
    assert band.plane.status.plan.refused_bars > 0
    asked = [request for request in band.source.asked if request.number == 3]
    assert len(asked) == len(set(asked))  # once each
