"""Laws of the figures of feel, on takes made to have them."""

from collections.abc import Callable
from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.training.rhythm import (
    EIGHTHS,
    SIXTEENTHS,
    TIMING_EDGES,
    dfa,
    divergence,
    explained,
    gaps_ms,
    lag_one,
    robust_sd,
    swing_percent,
    timekeeping,
)
from drumigen.training.strokes import strokes_of
from drumigen.training.takes import Take
from drumigen.units import Bpm, Tick

TEMPO = Bpm(125.0)
"""A tick is exactly 0.25 ms."""

BEAT = 1920


def take_of(bars: int, hits: Callable[[int], list[Hit]]) -> Take:
    four = Meter()
    return Take(
        "made", "funk", "", TEMPO, tuple(Bar(four, tuple(hits(bar))) for bar in range(bars))
    )


def hats(every: int, swing: float, span: int, late: int = 0) -> list[Hit]:
    """Closed hats ``every`` ticks; the second half of each ``span`` begins at ``swing`` percent."""
    return [
        Hit(Tick(tick), Voice.CLOSED_HAT, 80, late + moved)
        for tick in range(0, 4 * BEAT, every)
        for moved in [round((swing / 100 - 0.5) * span) if tick % span else 0]
    ]


@pytest.mark.parametrize("late", [0, 60, -60])
@pytest.mark.parametrize("swing", [50.0, 54.0, 57.1, 60.0, 66.7, 70.0])
def test_swing_reads_what_was_played_however_late_the_voice_is(swing: float, late: int) -> None:
    eighths = strokes_of(take_of(8, lambda _: hats(960, swing, 1920, late)))
    sixteenths = strokes_of(take_of(8, lambda _: hats(480, swing, 960, late)))
    assert swing_percent(eighths, EIGHTHS) == pytest.approx(swing, abs=0.1)
    assert swing_percent(sixteenths, SIXTEENTHS) == pytest.approx(swing, abs=0.1)


def test_sixteenths_swing_up_to_75_percent() -> None:
    take = take_of(8, lambda _: hats(480, 75, 960))
    assert swing_percent(strokes_of(take), SIXTEENTHS) == pytest.approx(75, abs=0.1)


def test_what_has_no_offbeats_has_no_swing() -> None:
    assert isnan(swing_percent(strokes_of(take_of(8, lambda _: hats(1920, 50, 3840))), EIGHTHS))
    assert isnan(swing_percent(strokes_of(take_of(8, lambda _: [])), SIXTEENTHS))


def test_a_dotted_figure_is_no_swing_of_eighths() -> None:
    dotted = [Hit(Tick(b + t), Voice.RIDE, 80) for b in range(0, 4 * BEAT, BEAT) for t in (0, 1440)]
    assert isnan(swing_percent(strokes_of(take_of(8, lambda _: dotted)), EIGHTHS))


def test_the_swing_of_one_voice_is_not_that_of_another() -> None:
    kicks = [replace(hit, voice=Voice.KICK) for hit in hats(480, 50, 960)]
    strokes = strokes_of(take_of(8, lambda _: [*kicks, *hats(480, 60, 960)]))
    assert swing_percent(strokes, SIXTEENTHS, [Voice.KICK]) == pytest.approx(50, abs=0.1)
    assert swing_percent(strokes, SIXTEENTHS) == pytest.approx(60, abs=0.1)


def test_white_noise_has_no_memory_and_a_random_walk_has() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(40, 400))
    assert np.mean([dfa(row) for row in noise]) == pytest.approx(0.5, abs=0.07)
    assert np.mean([dfa(row) for row in noise.cumsum(axis=1)]) == pytest.approx(1.5, abs=0.1)
    assert np.mean([lag_one(row) for row in noise]) == pytest.approx(0, abs=0.05)
    assert np.mean([lag_one(row) for row in noise.cumsum(axis=1)]) > 0.9


def test_what_never_moves_has_no_correlation() -> None:
    assert isnan(dfa(np.full(100, 3.0)))
    assert isnan(lag_one(np.full(100, 3.0)))
    assert isnan(dfa(np.random.default_rng(1).normal(size=20)))
    assert isnan(lag_one(np.array([])))


def test_hats_and_ride_keep_time_together_by_what_is_nearest_to_each_beat() -> None:
    def bar(number: int) -> list[Hit]:
        voice = Voice.RIDE if number % 2 else Voice.CLOSED_HAT
        on = [Hit(Tick(beat), voice, 90, 4 * number) for beat in range(0, 4 * BEAT, BEAT)]
        off = [Hit(Tick(beat + 960), voice, 100) for beat in range(0, 4 * BEAT, BEAT)]
        return [*on, *off, Hit(Tick(BEAT), Voice.PEDAL_HAT, 30, -40)]

    kept = timekeeping(strokes_of(take_of(4, bar)))
    assert list(kept.beats) == list(range(16))
    assert list(kept.offsets_ms) == [float(number) for number in range(4) for _ in range(4)]
    assert set(kept.velocities) == {90.0}


def test_a_sixteenth_away_is_no_beat() -> None:
    offbeats = [Hit(Tick(tick), Voice.CLOSED_HAT, 90) for tick in range(480, 4 * BEAT, 960)]
    assert len(timekeeping(strokes_of(take_of(4, lambda _: offbeats))).beats) == 0


def test_what_marks_few_beats_keeps_no_time() -> None:
    sparse = take_of(4, lambda _: [Hit(Tick(0), Voice.CLOSED_HAT, 90)])
    assert len(timekeeping(strokes_of(sparse)).beats) == 0


def test_a_gap_is_how_much_later_the_first_voice_sounds() -> None:
    def bar(_: int) -> list[Hit]:
        return [
            Hit(Tick(0), Voice.KICK, 90, 40),
            Hit(Tick(0), Voice.CLOSED_HAT, 90, -20),
            Hit(Tick(BEAT), Voice.SNARE, 90, -30),
            Hit(Tick(BEAT), Voice.CLOSED_HAT, 90, 0),
            Hit(Tick(2 * BEAT), Voice.KICK, 90),
        ]

    strokes = strokes_of(take_of(3, bar))
    assert list(gaps_ms(strokes, [Voice.KICK], [Voice.CLOSED_HAT])) == [15.0] * 3
    assert list(gaps_ms(strokes, [Voice.SNARE], [Voice.CLOSED_HAT])) == [-7.5] * 3


def test_the_robust_deviation_is_the_usual_one_without_outliers_and_deaf_to_them() -> None:
    values = np.random.default_rng(2).normal(0, 10, 20_000)
    assert robust_sd(values) == pytest.approx(10, abs=0.4)
    assert robust_sd(np.append(values, [1e6] * 100)) == pytest.approx(10, abs=0.5)
    assert isnan(robust_sd(np.array([])))


def test_a_repeated_bar_explains_all_of_its_velocity_and_chance_explains_little() -> None:
    rng = np.random.default_rng(3)
    accents = [int(velocity) for velocity in rng.integers(20, 120, 16)]
    fixed = take_of(32, lambda _: [replace(h, velocity=v) for h, v in paired(accents)])
    by_chance = take_of(
        32, lambda _: [replace(h, velocity=int(v)) for h, v in paired(rng.integers(20, 120, 16))]
    )
    one, other = strokes_of(fixed), strokes_of(by_chance)
    assert explained(one, one.velocities) == pytest.approx(1)
    assert explained(other, other.velocities) < 0.1
    assert isnan(explained(one, one.offsets_ms))


def paired(velocities: object) -> list[tuple[Hit, int]]:
    return list(zip(hats(480, 50, 960), velocities, strict=True))  # type: ignore[call-overload]


def test_divergence_is_nothing_from_itself_and_larger_the_further_off() -> None:
    rng = np.random.default_rng(4)
    human = rng.normal(0, 25, 20_000)
    near, far, still = human + 5, human + 30, np.zeros(20_000)
    assert divergence(human, human, TIMING_EDGES) == 0
    falls = [divergence(human, other, TIMING_EDGES) for other in (near, far, still)]
    assert falls == sorted(falls)
    assert falls[0] > 0
    # a quantised take leaves 40 of 41 bins to the count that each is given
    assert falls[2] > 5


def test_strokes_are_placed_by_when_they_sound() -> None:
    take = take_of(2, lambda bar: [Hit(Tick(960), Voice.SNARE, 90, 300 if bar else -480)])
    strokes = strokes_of(take)
    assert list(strokes.ticks) == [480, 4 * BEAT + 1260]
    assert list(strokes.positions) == [1, 3]
    assert list(strokes.offsets_ms) == [0.0, -45.0]


def test_a_stroke_ahead_of_the_take_belongs_to_its_first_sixteenth() -> None:
    strokes = strokes_of(take_of(1, lambda _: [Hit(Tick(0), Voice.KICK, 90, -40)]))
    assert list(strokes.steps) == [0]
    assert list(strokes.offsets_ms) == [-10.0]
