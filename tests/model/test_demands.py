"""Whatever a network says, a bar that is drawn under demands keeps time and has its backbeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.model.demands import Demands, Owed
from drumigen.model.sampling import Sampling, draw, draw_events, draw_offsets
from drumigen.model.tokens import BinnedNote, bar_of
from drumigen.model.vocabulary import BAR_LINE, EVENTS, OFFSET_ZERO, OFFSETS, VELOCITIES
from drumigen.pattern import Bar
from drumigen.timekeeping import CYMBALS, Keeper, has_backbeat, keeps_time
from drumigen.timeline import Meter

SAMPLING = Sampling()
METERS = [Meter.parse(text) for text in ("4/4", "3/4", "5/4", "6/8", "7/8", "15/16", "2/4", "12/8")]
few = settings(deadline=None, max_examples=40)
BEGINNING = BinnedNote(BAR_LINE, VELOCITIES, OFFSETS)


def drawn(demands: Demands, meter: Meter, seed: int, *, sparse: float = 0.0) -> list[BinnedNote]:
    """Return notes of a network that knows nothing, and the more ``sparse`` the sooner ends."""
    rng = np.random.default_rng(seed)
    owed = demands.of(meter)
    notes: list[BinnedNote] = []
    last = BEGINNING
    while len(notes) < 64:
        events = rng.normal(size=(1, EVENTS)).astype(np.float32)
        events[0, BAR_LINE] += sparse
        owed.hide_events(events[0])
        (event,) = draw_events(events, [last], [meter.sixteenths], [rng.random()], [SAMPLING])
        if event == BAR_LINE:
            break
        velocities = rng.normal(size=(1, VELOCITIES)).astype(np.float32)
        owed.hide_velocities(velocities[0], event)
        (velocity,) = draw(velocities, [rng.random()], [SAMPLING])
        offsets = rng.normal(size=(1, OFFSETS)).astype(np.float32)
        owed.hide_offsets(offsets[0], event)
        (offset,) = draw_offsets(offsets, [event], [last], [rng.random()], [SAMPLING])
        last = BinnedNote(event, velocity, offset)
        owed.struck(last)
        notes.append(last)
    return notes


def bar(demands: Demands, meter: Meter, seed: int, *, sparse: float = 0.0) -> Bar:
    return bar_of(drawn(demands, meter, seed, sparse=sparse), meter)


@few
@given(st.sampled_from(METERS), st.integers(0, 10_000), st.sampled_from((3.0, 6.0, 20.0)))
def test_cymbals_keep_time_in_every_metre(meter: Meter, seed: int, sparse: float) -> None:
    assert keeps_time(bar(Demands(CYMBALS, forced=True), meter, seed, sparse=sparse), CYMBALS)


@few
@given(st.integers(0, 10_000))
def test_a_snare_may_keep_time(seed: int) -> None:
    assert keeps_time(
        bar(Demands((Keeper.SNARE,), forced=True), Meter(), seed, sparse=9.0), (Keeper.SNARE,)
    )


@few
@given(st.integers(0, 10_000))
def test_where_eighths_swing_it_is_the_beats(seed: int) -> None:
    made = bar(Demands(CYMBALS, swung=True, forced=True), Meter(), seed, sparse=9.0)
    assert keeps_time(made, CYMBALS, swung=True)


@few
@given(st.sampled_from(METERS), st.integers(0, 10_000), st.sampled_from((3.0, 9.0)))
def test_the_backbeat_is_there_and_louder_than_a_ghost(
    meter: Meter, seed: int, sparse: float
) -> None:
    made = bar_of(drawn(Demands(backbeat=True, forced=True), meter, seed, sparse=sparse), meter)
    assert has_backbeat(made)


@few
@given(st.integers(0, 10_000))
def test_both_together(seed: int) -> None:
    notes = drawn(Demands(CYMBALS, backbeat=True, forced=True), Meter(), seed, sparse=20.0)
    made = bar_of(notes, Meter())
    assert keeps_time(made, CYMBALS)
    assert has_backbeat(made)


def test_nothing_is_demanded_where_nothing_is_asked() -> None:
    assert not drawn(Demands(), Meter(), 1, sparse=50.0)


def test_what_can_still_be_missed_is_left_to_chance() -> None:
    owed = Demands(CYMBALS, forced=True).of(Meter())
    events = np.zeros(EVENTS, np.float32)
    owed.hide_events(events)
    # of one, one and, two: two eighths may be missed, and a beat, but not all three
    assert _bound(owed) == 4 * 19 + 18
    assert events[4 * 19] == 0
    assert np.isneginf(events[6 * 19])
    assert np.isneginf(events[BAR_LINE])


def test_a_bar_that_is_not_forced_is_given_up_where_it_leaves_something_out() -> None:
    owed = Demands(CYMBALS).of(Meter())
    assert not owed.leaves_out(4 * 19)  # a kick on two: the hat may follow
    assert owed.leaves_out(5 * 19)
    assert owed.leaves_out(BAR_LINE)
    for step in range(0, 16, 2):
        assert not owed.leaves_out(step * 19 + 4)
        owed.struck(BinnedNote(step * 19 + 4, 20, OFFSET_ZERO))
    assert not owed.leaves_out(BAR_LINE)


@pytest.mark.parametrize("offset", [OFFSET_ZERO - 20, OFFSET_ZERO + 20])
def test_a_stroke_far_off_keeps_no_time(offset: int) -> None:
    late, firm = (Demands(CYMBALS, swung=True, forced=True).of(Meter()) for _ in range(2))
    late.struck(BinnedNote(4, 20, offset))
    firm.struck(BinnedNote(4, 20, OFFSET_ZERO))
    assert _bound(late) == 18
    assert _bound(firm) == 4 * 19 + 18


def _bound(owed: Owed) -> int:
    events = np.zeros(EVENTS, np.float32)
    owed.hide_events(events)
    return int(np.flatnonzero(events == 0).max()) + 1
