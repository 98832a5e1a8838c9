"""The same song in another life: what faults, jitter or an early clock may not change in it."""

import random
import zlib
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from band import Band
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.units import Bpm, Tick
from drumigen_daemon.engine.messages import ClockSource, EngineParameters
from drumigen_daemon.generator.messages import Item
from drumigen_daemon.planner.nominal_tempo import EDGE, NominalTempo
from drumigen_daemon.planner.prefetch import CATCH_UP_BARS
from drumigen_daemon.session import Session
from rig import START, Master, gaussian

pytestmark = pytest.mark.slow

INTERNAL = EngineParameters(source=ClockSource.INTERNAL)


class Continuing:
    """Writes bars that differ with all that they continue, and with the tempo they are told."""

    def __init__(self) -> None:
        self.tempi: dict[int, Bpm] = {}

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        for item in items:
            self.tempi.setdefault(item.request.number, tempo)
        return [self._bar(item, tempo) for item in items]

    def _bar(self, item: Item, tempo: Bpm) -> Bar:
        past = [msgspec.json.encode((each.request, each.bar)) for each in item.context]
        said = msgspec.json.encode((item.request, tempo)) + b"".join(past)
        luck = random.Random(zlib.crc32(said))
        ticks = sorted(luck.sample(range(0, item.request.meter.ticks, 480), 8))
        return Bar(item.request.meter, tuple(Hit(Tick(t), Voice.SNARE, 90) for t in ticks))


def band() -> Band:
    session = Session(style="rock", parameters=INTERNAL, variation=False, fill_every=0)
    made = Band(session, Continuing())
    made.rig.run(1.0)
    made.control("start")
    return made


def song(made: Band, bars: int) -> dict[int, Bar]:
    while len(made.entered) <= bars:
        made.rig.run(1.0)
    return {e.number: bar for e, bar in zip(made.entered, made.written, strict=True)}


def hang(made: Band, seconds: float) -> None:
    """The generator hangs, is killed for it, and another comes."""
    made.source.delay = 1e6

    def replaced() -> None:
        made.source.delay = 0.02
        made.kill_generator()
        made.revive_generator()

    made.rig.at(made.rig.now + seconds, replaced)


@pytest.mark.parametrize("after", [0.3, 4.1, 7.9, 9.5])
@pytest.mark.parametrize("seconds", [4.0, 9.0, 14.0])
def test_after_a_generator_that_hung_the_song_is_the_one_it_would_have_been(
    after: float, seconds: float
) -> None:
    undisturbed = song(band(), 20)
    disturbed = band()
    disturbed.rig.run(after)
    hang(disturbed, seconds)
    played = song(disturbed, 20)
    fallback = {e.number for e in disturbed.entered if e.origin.fallback}
    assert len(fallback) < CATCH_UP_BARS
    for number in range(20):
        if number not in fallback:
            assert played[number] == undisturbed[number], number
    assert max(fallback, default=0) <= (1.0 + after + seconds) / 2.0 + 2


def test_after_a_longer_fault_bars_of_its_own_are_back_at_once() -> None:
    long = band()
    long.rig.run(4.0)
    hang(long, 60.0)
    song(long, 45)
    back = [e.number for e in long.entered if e.number > 32]
    assert back
    assert not any(e.origin.fallback for e in long.entered if e.number > 34)


def test_a_bar_that_was_caught_up_with_is_not_late_and_is_asked_for_once() -> None:
    disturbed = band()
    disturbed.rig.run(4.0)
    hang(disturbed, 9.0)
    song(disturbed, 15)
    asked = disturbed.source.asked
    numbers = [request for request in asked if not request.fill]
    assert len(numbers) <= len(set(numbers)) + 4  # those that went down with the hung one


def follow(bpm: float, seed: int, *, early: int = 0, bars: int = 8) -> Band:
    made = Band(Session(style="j_dilla", variation=False, fill_every=0), Continuing())
    made.rig.run(1.0)
    master = Master(made.rig, bpm, gaussian(0.001, seed))
    master.clock(early)
    master.finish()
    master.say(START)
    master.clock(96 * bars)
    master.finish()
    return made


def told(made: Band) -> list[Bpm]:
    """The tempo that each of the first bars was written for."""
    assert isinstance(made.source.writer, Continuing)
    return [made.source.writer.tempi[number] for number in range(9)]


@pytest.mark.parametrize("bpm", [129.3, 93.0, 120.0, 87.5, 174.0])
def test_a_masters_jitter_changes_neither_notes_nor_feel(bpm: float) -> None:
    lives = [follow(bpm, seed) for seed in range(3)]
    first = lives[0]
    for life in lives[1:]:
        assert told(life) == told(first)
        assert life.written[:7] == first.written[:7]
        # feel is in milliseconds: it needs the tempo, which is known a beat after the first pulse
        assert life.played[1:7] == first.played[1:7]


def test_a_clock_before_the_start_plays_the_song_of_a_clock_with_it() -> None:
    before, along = follow(129.3, 1, early=96), follow(129.3, 2)
    assert before.written[:7] == along.written[:7]
    assert before.played[1:7] == along.played[1:7]


@given(st.floats(20.5, 399.0), st.lists(st.floats(-0.1, 0.1), max_size=20))
def test_a_tempo_is_one_number_while_it_only_jitters(bpm: float, jitter: list[float]) -> None:
    nominal = NominalTempo()
    first = nominal.of(bpm)
    assert abs(first - bpm) <= EDGE
    edge = min((bpm - EDGE) % 1.0, (EDGE - bpm) % 1.0)
    for by in jitter:
        now = nominal.of(bpm + by)
        if edge > 0.1:
            assert now == first == NominalTempo().of(bpm + by)
    assert nominal.of(bpm + 2) > first


@pytest.mark.parametrize("bpm", [60, 90.5, 120, 128, 174])
def test_whole_and_half_tempi_are_far_from_an_edge(bpm: float) -> None:
    assert {NominalTempo().of(bpm + by) for by in (-0.2, 0.0, 0.2)} == {Bpm(int(bpm))}
