"""Drawing: what options do, and what the grammar never lets through."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drumigen.errors import ModelError
from drumigen.model.sampling import Sampling, draw, draw_events, draw_offsets
from drumigen.model.tokens import BinnedNote
from drumigen.model.vocabulary import BAR_LINE, EVENTS, OFFSETS, VELOCITIES, VOICE_ORDER

PLAIN = Sampling()
LINE = BinnedNote(BAR_LINE, VELOCITIES, OFFSETS)
chances = st.floats(0, 1, exclude_max=True)


def logits(size: int) -> st.SearchStrategy[np.ndarray]:
    return arrays.arrays(np.float32, size, elements=st.floats(-30, 30, width=32))


def one(row: np.ndarray, chance: float, sampling: Sampling) -> int:
    return draw(row[None], [chance], [sampling])[0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0.0}, "temperature 0"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"temperature": math.nan}, "temperature nan"),
        ({"temperature": math.inf}, "temperature inf"),
        ({"top_k": -1}, "top_k -1"),
        ({"top_k": 2.5}, "top_k 2.5"),
        ({"top_p": 0.0}, "top_p 0"),
        ({"top_p": 1.01}, "top_p 1.01"),
        ({"top_p": math.nan}, "top_p nan"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_can(
    options: dict[str, float], named: str
) -> None:
    with pytest.raises(ModelError, match=f"{named}.*use"):
        Sampling(**options)  # type: ignore[arg-type]


def test_draws_follow_the_chances() -> None:
    wanted = np.array([0.5, 0.3, 0.2])
    rng = random.Random(1)
    rows = np.tile(np.log(wanted).astype(np.float32), (4000, 1))
    drawn = draw(rows, [rng.random() for _ in rows], [PLAIN] * len(rows))
    assert np.bincount(drawn) / 4000 == pytest.approx(wanted, abs=0.03)


def test_a_low_temperature_takes_the_likeliest() -> None:
    row = np.array([0.0, 2.0, 1.5], np.float32)
    assert {one(row, (c + 0.5) / 50, Sampling(0.05)) for c in range(50)} == {1}


def test_top_k_draws_among_the_k_likeliest_and_zero_among_all() -> None:
    row = np.array([3.0, 1.0, 2.0, 0.0], np.float32)
    all_drawn = {k: {one(row, c / 400, Sampling(top_k=k)) for c in range(400)} for k in (0, 1, 2)}
    assert all_drawn == {0: {0, 1, 2, 3}, 1: {0}, 2: {0, 2}}


def test_top_p_draws_among_the_likeliest_that_make_up_p() -> None:
    row = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    drawn = {p: {one(row, c / 400, Sampling(top_p=p)) for c in range(400)} for p in (0.4, 0.7, 1)}
    assert drawn == {0.4: {0}, 0.7: {0, 1}, 1: {0, 1, 2, 3}}


@given(logits(40), chances, st.integers(0, 50), st.floats(0.01, 1), st.floats(0.05, 5))
def test_something_possible_is_drawn_whatever_the_options(
    row: np.ndarray, chance: float, k: int, p: float, temperature: float
) -> None:
    assert 0 <= one(row, chance, Sampling(temperature, k, p)) < len(row)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_what_is_no_number_is_caught(bad: float, top_p: float) -> None:
    row = np.array([0.0, bad, 1.0], np.float32)
    with pytest.raises(ModelError, match="no number"):
        one(row, 0.5, Sampling(top_p=top_p))


@given(
    logits(EVENTS),
    st.integers(0, BAR_LINE - 1),
    st.integers(0, OFFSETS - 1),
    st.integers(1, 32),
    chances,
)
def test_events_follow_the_grammar(
    row: np.ndarray, event: int, offset: int, sixteenths: int, chance: float
) -> None:
    last = BinnedNote(event, 3, offset)
    (drawn,) = draw_events(row[None], [last], [sixteenths], [chance], [PLAIN])
    later = event < drawn < sixteenths * len(VOICE_ORDER)
    assert drawn == BAR_LINE or later or (drawn == event and offset < OFFSETS - 1)


@given(logits(EVENTS), st.integers(1, 32), chances)
def test_a_bars_first_event_is_anywhere_in_it(
    row: np.ndarray, sixteenths: int, chance: float
) -> None:
    (drawn,) = draw_events(row[None], [LINE], [sixteenths], [chance], [PLAIN])
    assert drawn == BAR_LINE or 0 <= drawn < sixteenths * len(VOICE_ORDER)


@given(logits(OFFSETS), st.integers(0, OFFSETS - 2), chances)
def test_a_voice_struck_again_at_its_sixteenth_sounds_later(
    row: np.ndarray, offset: int, chance: float
) -> None:
    last = BinnedNote(7, 3, offset)
    rows = np.stack([row, row])
    again, other = draw_offsets(rows, [7, 8], [last] * 2, [chance] * 2, [PLAIN] * 2)
    assert offset < again < OFFSETS
    assert 0 <= other < OFFSETS


def options() -> st.SearchStrategy[Sampling]:
    return st.builds(
        Sampling,
        st.sampled_from([1.0, 0.3, 2.0]),
        st.sampled_from([0, 3]),
        st.sampled_from([1.0, 0.5]),
    )


@given(
    st.lists(
        st.tuples(
            logits(EVENTS),
            st.integers(0, BAR_LINE),
            st.integers(0, OFFSETS - 1),
            st.sampled_from([2, 12, 16, 32]),
            chances,
            options(),
        ),
        min_size=2,
        max_size=4,
    )
)
def test_a_row_is_drawn_as_if_alone(
    asked: list[tuple[np.ndarray, int, int, int, float, Sampling]],
) -> None:
    def drawn(asked: list[tuple[np.ndarray, int, int, int, float, Sampling]]) -> list[int]:
        rows, events, offsets, sixteenths, chance, sampling = zip(*asked, strict=True)
        lasts = [
            BinnedNote(event, 3, offset) for event, offset in zip(events, offsets, strict=True)
        ]
        return draw_events(np.stack(rows), lasts, sixteenths, chance, sampling)

    assert drawn(asked) == [drawn([row])[0] for row in asked]
