"""Fills are where a style has them, and a song with a form goes through sections that return."""

from itertools import pairwise

import pytest

from drumigen.arrange import Section
from drumigen.errors import SettingsError
from drumigen.form import Form, section_at
from drumigen.styles import load_styles

BARS = 800


@pytest.mark.parametrize("style", list(load_styles()), ids=lambda style: style.name)
def test_fills_are_as_often_and_as_long_as_the_style_says(style: object) -> None:
    form: Form = style.form  # type: ignore[attr-defined]
    lengths = [form.fill_at(3, number) for number in range(BARS)]
    assert lengths[0] == 0
    assert {length for length in lengths if length} <= set(form.fill_beats)
    share = sum(length > 0 for length in lengths) / BARS
    assert 0.5 * sum(form.fills) / 8 - 0.02 <= share <= 1.2 * sum(form.fills) / 8 + 0.02
    assert not any(a and b for a, b in pairwise(lengths))


def test_a_song_begins_with_an_intro_and_its_sections_return() -> None:
    sections = [section_at(number) for number in range(150)]
    assert sections[0] == (Section.INTRO, 0)
    begun: dict[Section, set[int]] = {}
    for number, (section, since) in enumerate(sections):
        assert since <= number
        begun.setdefault(section, set()).add(since)
    assert len(begun[Section.A]) >= 2
    assert len(begun[Section.B]) >= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"keepers": ()},
        {"backbeat": 1.5},
        {"fills": (0.1,)},
        {"fill_beats": (9.0,)},
        {"returns": 9.0},
    ],
)
def test_what_no_style_can_have_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="form"):
        Form(**wrong)  # type: ignore[arg-type]
