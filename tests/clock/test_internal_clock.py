"""Laws of our own clock."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.units import TEMPO_DEFAULT, Bpm, Seconds
from drumigen_daemon.clock.internal_clock import BEND, InternalClock
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, Nudge, Start
from rig import BEGIN, Rig


@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=5), st.floats(20, 400))
def test_nudges_add_up_without_a_jump(nudges: list[float], bpm: float) -> None:
    clock = InternalClock(Bpm(bpm), Seconds(BEGIN))
    plain, now, due = clock.timeline, BEGIN + 1.0, 0.0
    for by in nudges:
        before = clock.timeline.tick_at(now)
        clock.nudge(Seconds(by), Seconds(now))
        due += by
        assert clock.timeline.tick_at(now) == pytest.approx(before, abs=1e-6 + 1e-3)
        now += 0.3
        clock.advance(Seconds(now))
    now += 0.6 / BEND
    clock.advance(Seconds(now))
    assert clock.timeline.tempo == plain.tempo
    late = plain.tick_at(now) - clock.timeline.tick_at(now)
    assert late * plain.seconds_per_tick == pytest.approx(due, abs=1e-6)


def test_a_nudge_moves_the_pulses_that_leave_and_the_tempo_comes_back() -> None:
    rig = Rig()
    rig.obey(EngineParameters(source=ClockSource.INTERNAL))
    rig.obey(Start())
    rig.run(2.0)
    rig.obey(Nudge(20.0))
    rig.run(3.0)
    pulses = [sent.at for sent in rig.output.sent if sent.data == b"\xf8"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(pulses)]
    period = 60.0 / TEMPO_DEFAULT / 24
    assert all(gap == pytest.approx(period, rel=BEND * 1.1) for gap in gaps)
    assert gaps[-1] == pytest.approx(period, rel=1e-6)
    late = (pulses[-1] - pulses[0]) - period * (len(pulses) - 1)
    assert late == pytest.approx(0.020, abs=1e-4)
    assert rig.state.timeline.tempo == TEMPO_DEFAULT
