"""A drummer's habits: a place of the bar is struck as before, and songs stay near the clock."""

from dataclasses import replace
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.feel.dynamics import GHOST_BELOW
from drumigen.kit import Voice
from drumigen.model.habit import as_before, near_the_clock
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_SIXTEENTH, Tick

STEPS = tuple(range(0, 16, 2))


def hats(*velocities: int, offset: int = 0) -> Bar:
    hits = (
        Hit(Tick(step * TICKS_PER_SIXTEENTH), Voice.CLOSED_HAT, velocity, offset)
        for step, velocity in zip(STEPS, velocities, strict=False)
    )
    return Bar(Meter(), tuple(hits))


def levels(bar: Bar) -> list[int]:
    return [hit.velocity for hit in bar.hits]


ACCENTED = hats(90, 50, 90, 50, 90, 50, 90, 50)
FAR = 1000.0
FLAT = hats(70, 70, 70, 70, 70, 70, 70, 70)


def test_accents_are_where_they_were() -> None:
    settled = levels(as_before(FLAT, [ACCENTED] * 8))
    assert settled[0] > settled[1] + 10
    assert settled == [settled[0], settled[1]] * 4


def test_a_bar_is_as_loud_as_it_was_written() -> None:
    soft = hats(*(velocity - 30 for velocity in levels(ACCENTED)))
    assert as_before(soft, [ACCENTED] * 8) == soft
    settled = as_before(hats(40, 40, 40, 40, 40, 40, 40, 40), [ACCENTED] * 8)
    assert fmean(levels(settled)) == pytest.approx(40, abs=1)


def test_what_was_struck_often_is_believed_more() -> None:
    once, often = (levels(as_before(FLAT, [ACCENTED] * count))[0] for count in (1, 8))
    assert 70 < once < often


def test_what_is_new_stays_as_it_is() -> None:
    assert as_before(FLAT, ()) == FLAT
    crash = Hit(Tick(0), Voice.CRASH, 120)
    added = replace(FLAT, hits=(*FLAT.hits, crash))
    assert crash in as_before(added, [ACCENTED] * 8).hits


snares = st.lists(st.integers(1, 127), min_size=8, max_size=8).map(
    lambda velocities: replace(
        hats(*velocities),
        hits=tuple(replace(hit, voice=Voice.SNARE) for hit in hats(*velocities).hits),
    )
)


@given(snares, st.lists(snares, max_size=8), st.floats(0, 1))
def test_a_ghost_stays_one_and_nothing_else_of_a_bar_changes(
    bar: Bar, others: list[Bar], share: float
) -> None:
    settled = as_before(bar, others, share)
    for old, new in zip(bar.hits, settled.hits, strict=True):
        assert (old.velocity < GHOST_BELOW) == (new.velocity < GHOST_BELOW)
        assert replace(new, velocity=old.velocity) == old


def test_velocities_of_a_song_become_a_structure() -> None:
    written = [hats(*(60 + (7 * number + 5 * step) % 23 for step in STEPS)) for number in range(40)]
    played: list[Bar] = []
    for bar in written:
        played.append(as_before(bar, played[-8:]))

    def loose(bars: list[Bar]) -> float:
        return fmean(pstdev(levels(bar)[place] for bar in bars[8:]) for place in range(8))

    assert loose(played) < 0.8 * loose(written)


def test_a_bar_that_is_off_comes_back_half_of_the_way() -> None:
    (moved,) = {
        hit.offset for hit in near_the_clock(hats(*levels(FLAT), offset=-80), (), 0, FAR).hits
    }
    assert moved == -40


def test_a_song_that_drifts_stays_near_where_its_drummer_is() -> None:
    played: list[Bar] = []
    for _ in range(64):  # each bar is written as early as those before it, and a little more
        before = fmean(hit.offset for bar in played[-8:] for hit in bar.hits) if played else 0
        played.append(
            near_the_clock(hats(*levels(FLAT), offset=round(before) - 10), played[-8:], -12, FAR)
        )
    assert all(-40 < hit.offset < 0 for bar in played for hit in bar.hits)


@given(
    st.lists(st.integers(-200, 200), min_size=8, max_size=8), st.floats(-60, 60), st.integers(0, 3)
)
def test_all_of_a_bar_moves_alike(offsets: list[int], lean: float, others: int) -> None:
    hits = tuple(replace(h, offset=o) for h, o in zip(FLAT.hits, offsets, strict=True))
    bar = replace(FLAT, hits=hits)
    moved = near_the_clock(bar, [FLAT] * others, lean, FAR)
    assert len({new.offset - old.offset for old, new in zip(hits, moved.hits, strict=True)}) == 1


def test_who_strikes_no_quarter_is_left_alone() -> None:
    upbeats = replace(FLAT, hits=FLAT.hits[1::2])
    assert near_the_clock(upbeats, (), 50, FAR) == upbeats
    assert near_the_clock(Bar(Meter()), (), 50, FAR) == Bar(Meter())


def test_no_bar_is_far_from_its_drummer() -> None:
    (moved,) = {
        hit.offset for hit in near_the_clock(hats(*levels(FLAT), offset=-400), (), -20, 60).hits
    }
    assert moved == -80


def test_a_drag_keeps_its_shape() -> None:
    soft, loud = (
        Hit(Tick(tick), Voice.LOW_TOM, velocity) for tick, velocity in ((0, 30), (240, 110))
    )
    drag = Bar(Meter(), (soft, loud))
    assert as_before(drag, [drag] * 8) == drag
