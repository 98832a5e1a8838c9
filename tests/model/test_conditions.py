"""Conditions: shares and values are checked where they are given, and say what is wrong."""

import math

import pytest

from drumigen.errors import ModelError
from drumigen.model.conditions import Conditions

BAD = [math.nan, math.inf, -math.inf, 10**400]


@pytest.mark.parametrize("name", ["tempo", "density", "intensity", "lean", "phrase", "drummer"])
@pytest.mark.parametrize("value", BAD)
def test_a_value_that_is_no_number_is_named(name: str, value: float) -> None:
    with pytest.raises(ModelError, match=rf"^{name} .*: use a number$"):
        Conditions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [*BAD, -0.5])
def test_a_share_that_is_no_share_is_named(share: float) -> None:
    with pytest.raises(ModelError, match="of style 'rock': use a number from 0 to 1"):
        Conditions((("rock", share), ("funk", 1.0)))


@pytest.mark.parametrize("shares", [(0.5, 0.6), (1.0, 1.0), (0.2,)])
def test_shares_that_do_not_add_up_to_one_are_refused(shares: tuple[float, ...]) -> None:
    for names in (("rock", "funk"), ("rock", "rock")):
        with pytest.raises(ModelError, match=r"add up to .*; make it 1"):
            Conditions(tuple(zip(names, shares, strict=False)))


def test_half_of_a_style_and_half_of_the_same_is_the_style() -> None:
    assert Conditions((("rock", 0.5), ("rock", 0.5))) == Conditions((("rock", 1.0),))
    mixed = Conditions((("rock", 0.25), ("funk", 0.5), ("rock", 0.25)))
    assert mixed.styles == (("rock", 0.5), ("funk", 0.5))
