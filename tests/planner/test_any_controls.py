"""Whatever is turned, whenever: the beat goes on, and nothing hangs, doubles or disagrees."""

import contextlib
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from band import Band
from drumigen.errors import ControlError
from drumigen.units import Bpm
from drumigen_daemon.controls.table import VALUES
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, Origin, Start, Stop
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.planner.song_memory import SOUNDED_MAX
from drumigen_daemon.session import Session

STYLES = ("rock", "funk", "j_dilla", "metro_boomin")
OUT_OF_HAND = {
    "bar",
    "start",
    "continue",
    "stop",
    "re-one",
    "source",
    "scene",
    "learn",
    "forget",
    "kit",
}
"""What moves the song, or the clock, has tests of its own; scenes are made below."""


@st.composite
def moves(draw: st.DrawFn) -> tuple[str, object]:
    """Draw a control and a value that it takes, or now and then one that it does not."""
    name = draw(st.sampled_from(sorted(set(VALUES) - OUT_OF_HAND)))
    allowed = VALUES[name]
    if allowed is None:
        return name, None
    if name in ("style", "blend"):
        return name, draw(st.sampled_from(STYLES))
    if name == "meter":
        return name, draw(st.sampled_from(["4/4", "3/4", "7/8", "5/4", "12/8"]))
    if allowed.names:
        return name, draw(st.sampled_from(allowed.names))
    if bool in allowed.kinds:
        return name, draw(st.booleans())
    low, high = allowed.low or 0, allowed.high or 127
    return name, draw(st.integers(int(low) - 1, int(high) + 1))


def agreed(band: Band) -> bool:
    """Whether the engine holds what the planner believes, of this bar and the next."""
    planner: Planner = band.planner
    for number in (planner.bar, planner.bar + 1):
        held = band.rig.held(planner.meters.start_of(number))
        if held is None or held != planner.sent_bar(number):
            return False
    return True


def doubled(band: Band) -> list[object]:
    """Return what was struck more often than it can be: on one key within four milliseconds."""
    strokes = [(sent.data[1], sent.at) for sent in band.rig.output.notes()]
    near = Counter((note, round(at / 0.0005)) for note, at in strokes)
    return [key for key, count in near.items() if count > 2]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    bpm=st.sampled_from([70.0, 120.0, 180.0]),
    script=st.lists(st.tuples(st.floats(0.0, 1.5), moves() | st.just(("store", 1))), max_size=25),
)
def test_any_controls_at_any_times_keep_the_beat(
    bpm: float, script: list[tuple[float, tuple[str, object]]]
) -> None:
    parameters = EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(bpm))
    band = Band(Session(style="rock", parameters=parameters), styles=STYLES)
    band.rig.run(1.0)
    band.rig.obey(Start())
    stored = False
    for pause, (name, value) in script:
        band.rig.run(pause)
        with contextlib.suppress(ControlError):
            if name == "store":
                band.control("scene" if stored else "store_scene", value)
                stored = True
            else:
                band.control(name, value)
        assert agreed(band), name
    band.rig.run(3.0)
    assert agreed(band)
    numbers = [entered.number for entered in band.entered]
    assert numbers == list(range(len(numbers)))
    assert Origin.REPEATED not in {entered.origin for entered in band.entered}
    if not any(name.startswith("offset_ms") for _, (name, _) in script):
        # who moves all notes 80 ms to the front in mid-bar leaves some behind
        assert band.rig.dropped_notes == 0
    assert not doubled(band)
    assert len(band.planner._fallback.memory) < SOUNDED_MAX
    band.rig.obey(Stop())
    band.rig.run(0.5)
    assert band.rig.output.hanging() == []
