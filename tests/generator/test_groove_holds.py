"""The groove holds, in every style, as it leaves: wide bounds, so that nobody loses it again."""

from collections import Counter
from functools import cache
from statistics import fmean

import msgspec
import pytest

from drumigen.fills import is_fill
from drumigen.pattern import Bar
from drumigen.styles import load_styles
from drumigen.timekeeping import SAME, has_backbeat, keeps_time, likeness
from drumigen.timeline import Meter
from drumigen.training.labels import lean_of
from drumigen.training.takes import Take
from drumigen.units import Bpm
from drumigen_daemon.generator.messages import BarRequest, Item, WrittenBar
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.offline import planned_songs
from drumigen_daemon.planner.arrangement import Arrangement
from drumigen_daemon.session import Session

pytestmark = pytest.mark.slow

STYLES = load_styles()
SEEDS = (1, 2)
BARS = 8


@cache
def writer() -> ModelWriter:
    return ModelWriter()


def played(sessions: list[Session], bars: int) -> list[list[Bar]]:
    songs = planned_songs(sessions, writer().write_at, bars)
    return [[planned.bar for planned in song] for song in songs]


def session(style: str, seed: int, meter: str = "4/4") -> Session:
    low, high = STYLES.find(style).tempo
    parameters = msgspec.structs.replace(Session().parameters, tempo=Bpm((low + high) / 2))
    return Session(style=style, seed=seed, meter=Meter.parse(meter), parameters=parameters)


@cache
def songs() -> dict[tuple[str, int], list[Bar]]:
    keys = [(style, seed) for style in STYLES.names for seed in SEEDS]
    return dict(zip(keys, played([session(*key) for key in keys], BARS), strict=True))


def grooves(style: str, seed: int, bars: list[Bar], meter: str = "4/4") -> list[Bar]:
    """Return the bars in which no fill was to come."""
    arrangement = Arrangement(session(style, seed, meter), lambda name: STYLES.find(name).form)
    return [bar for number, bar in enumerate(bars) if arrangement.fill_from(number) is None]


@pytest.mark.parametrize("style", STYLES.names)
def test_who_keeps_time_keeps_it_from_bar_one_on(style: str) -> None:
    form = STYLES.find(style).form
    for seed in SEEDS:
        bars = songs()[style, seed]
        asked = grooves(style, seed, bars)
        assert keeps_time(bars[0], form.keepers)
        assert sum(keeps_time(bar, form.keepers) for bar in asked) >= 0.8 * len(asked)


def test_fills_that_come_by_themselves_are_fills() -> None:
    found = []
    for (style, seed), bars in songs().items():
        plain = grooves(style, seed, bars)
        found += [is_fill(bar, plain) for bar in bars if bar not in plain]
    assert len(found) > 2 * len(SEEDS)
    assert sum(found) >= 0.65 * len(found)


def test_songs_are_near_the_clock() -> None:
    for (style, seed), bars in songs().items():
        tempo = session(style, seed).parameters.tempo
        lean = lean_of(Take("", style, "", tempo, tuple(bars)))
        assert lean is not None
        assert abs(lean) < 28


def test_no_velocity_is_a_ceiling() -> None:
    counts = Counter(hit.velocity for bars in songs().values() for bar in bars for hit in bar.hits)
    total = sum(counts.values())
    assert counts[127] <= 0.06 * total
    assert max(counts[velocity] for velocity in range(101, 128)) <= 0.08 * total


def test_bars_come_back() -> None:
    back = [
        any(likeness(bar, old) > SAME for old in bars[:number])
        for bars in songs().values()
        for number, bar in enumerate(bars)
        if number
    ]
    assert 0.1 <= sum(back) / len(back) <= 0.7


@pytest.mark.parametrize("style", ["rock", "jazz", "funk"])
def test_an_intensity_that_is_turned_down_is_heard_in_the_next_bars(style: str) -> None:
    """The network would go on as loud as it was."""
    line: list[WrittenBar] = []
    for number in range(12):
        request = BarRequest(style, number, Meter(), 1, intensity=100 if number < 8 else 0)
        (bar,) = writer().write([Item(request, tuple(line[-8:]))], Bpm(110))
        line.append(WrittenBar(request, bar))
    level = [fmean(hit.velocity for hit in written.bar.hits) for written in line]
    assert max(level[8:]) < 0.75 * min(level[4:8])


@pytest.mark.parametrize("meter", ["5/4", "7/8", "3/4", "6/8"])
def test_odd_metres_keep_time_too(meter: str) -> None:
    names = ("rock", "jazz", "funk")
    kept = [
        keeps_time(bar, STYLES.find(style).form.keepers)
        for style, bars in zip(names, played([session(s, 1, meter) for s in names], 4), strict=True)
        for bar in grooves(style, 1, bars, meter)
    ]
    assert sum(kept) >= 0.8 * len(kept)


def test_odd_metres_have_the_backbeat_of_their_plan() -> None:
    """On 2 and 5 of 5/4, in styles whose drummers have one in nine bars of ten."""
    names = ("funk", "pop", "dance")
    had = [
        has_backbeat(bar)
        for style, bars in zip(names, played([session(s, 1, "5/4") for s in names], 6), strict=True)
        for bar in grooves(style, 1, bars, "5/4")
    ]
    assert sum(had) >= 0.7 * len(had)
