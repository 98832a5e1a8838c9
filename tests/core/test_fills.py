"""What makes a bar a fill, beside the bars around it."""

import pytest

from drumigen.fills import fill_ticks, fills_among, is_fill, usual_drums
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick


def bar(**steps: tuple[int, ...]) -> Bar:
    hits = [
        Hit(Tick(step * TICKS_PER_SIXTEENTH), Voice(voice), 90)
        for voice, at in steps.items()
        for step in at
    ]
    return Bar(Meter(), tuple(hits))


BEAT = bar(kick=(0, 8), snare=(4, 12), closed_hat=tuple(range(0, 16, 2)))
TOMS = bar(kick=(0, 8), snare=(4,), high_tom=(8, 9), low_tom=(10, 11))
ROLL = bar(kick=(0,), snare=(4, 10, 12, 13, 14, 15))
TRIBAL = bar(kick=(0, 8), low_tom=(2, 4, 6, 10, 12, 14), high_tom=(3, 11))


@pytest.mark.parametrize("fill", [TOMS, ROLL])
def test_toms_or_a_roll_make_a_fill(fill: Bar) -> None:
    assert is_fill(fill, [BEAT] * 7)
    assert fills_among([BEAT, BEAT, BEAT, fill]) == (False, False, False, True)


def test_a_beat_on_toms_is_no_fill_where_it_is_usual() -> None:
    assert not is_fill(TRIBAL, [TRIBAL] * 3)
    assert is_fill(TRIBAL, [BEAT] * 3)
    assert not any(fills_among([TRIBAL] * 4))


def test_ghosts_fill_nothing() -> None:
    ghosts = Bar(
        Meter(), tuple(Hit(Tick(TICKS_PER_SIXTEENTH * n), Voice.SNARE, 20) for n in range(16))
    )
    assert not is_fill(ghosts, [BEAT])


def test_with_nothing_to_compare_it_with_a_bar_is_a_fill_by_itself() -> None:
    assert is_fill(TOMS, ())
    assert not is_fill(BEAT, ())


def test_a_fill_begins_with_its_first_stroke_that_is_not_usual() -> None:
    usual = usual_drums([BEAT] * 4)
    assert fill_ticks(TOMS, usual) == 2 * TICKS_PER_BEAT
    assert fill_ticks(ROLL, usual) == 6 * TICKS_PER_SIXTEENTH
    assert fill_ticks(BEAT, usual) == 0


def test_what_one_bar_in_five_strikes_is_not_usual() -> None:
    assert usual_drums([BEAT] * 4 + [TOMS]) == usual_drums([BEAT])
    assert usual_drums([BEAT] * 3 + [TOMS]) > usual_drums([BEAT])
