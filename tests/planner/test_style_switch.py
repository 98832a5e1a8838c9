"""Style switches in musical time: on the next boundary, nothing old after it, nothing twice."""

import itertools
import random
from collections.abc import Sequence

import pytest

from band import Band
from drumigen.bank.bank import Bank
from drumigen.kit import Voice
from drumigen.midi.status import CONTROL_CHANGE
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, Origin, Start, Stop
from drumigen_daemon.generator.messages import Item
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.planner.playhead import SWITCH_MARGIN
from drumigen_daemon.session import Quantum, Session
from rig import note_of

VOICES = {"rock": Voice.KICK, "funk": Voice.SNARE, "jazz": Voice.CLOSED_HAT}
STYLES = tuple(VOICES)
STYLE_CC, TEMPERATURE_CC = 28, 22


def sixteenths(style: str) -> Bar:
    ticks = range(0, Meter().ticks, 480)
    return Bar(Meter(), tuple(Hit(Tick(tick), VOICES[style], 100) for tick in ticks))


class Telling:
    """Writes bars from which the style can be told at every sixteenth."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:  # noqa: ARG002 - any
        return [sixteenths(item.request.style) for item in items]


def telling_band(quantum: Quantum, bpm: float) -> Band:
    parameters = EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(bpm))
    session = Session(
        style="rock", quantum=quantum, parameters=parameters, variation=False, fill_every=0
    )
    band = Band(session, Telling(), STYLES, [load_controller("default")])
    # no fallback is needed; one would be told by its voice
    bank_of = {style: Bank(style, ((sixteenths(style),),), ()) for style in STYLES}
    band.plane.planner = Planner(session, bank_of.__getitem__, STYLES)
    band.rig.run(1.0)
    band.rig.obey(Start())
    band.rig.run(1.0)
    return band


@pytest.mark.slow
@pytest.mark.parametrize("quantum", [Quantum.STEP, Quantum.BEAT])
@pytest.mark.parametrize("bpm", [70.0, 118.5, 180.0])
def test_a_thousand_switches_take_the_next_boundary_and_nothing_is_old_silent_or_doubled(
    quantum: Quantum, bpm: float
) -> None:
    band, luck = telling_band(quantum, bpm), random.Random(round(bpm))
    rig, step = band.rig, 15.0 / bpm
    unit = step if quantum is Quantum.STEP else 4 * step
    asked: list[tuple[float, str]] = []
    style = "rock"
    for _ in range(170):
        style = luck.choice([each for each in STYLES if each != style])
        rig.hear(bytes([CONTROL_CHANGE, TEMPERATURE_CC, luck.randrange(128)]))
        rig.run(luck.uniform(0.0, 2 * step))
        asked.append((rig.now, style))
        rig.hear(bytes([CONTROL_CHANGE, STYLE_CC, round((STYLES.index(style) + 0.5) / 3 * 127)]))
        rig.run(luck.uniform(4.2 * step, 9 * step))
    key = {note_of(voice): style for style, voice in VOICES.items()}
    strokes = [(sent.at, key[sent.data[1]]) for sent in rig.output.notes()]
    for (at, style), (until, _) in zip(asked, [*asked[1:], (rig.now, "")], strict=True):
        new = [stroke for stroke in strokes if stroke[1] == style and at <= stroke[0] < until]
        latency = new[0][0] - at
        assert 0 < latency <= unit + SWITCH_MARGIN + 0.001
        line = rig.state.timeline
        tick = line.tick_at(new[0][0])
        grid = 480 if quantum is Quantum.STEP else 1920
        assert abs(tick / grid - round(tick / grid)) < 0.01
        assert all(s == style for when, s in strokes if new[0][0] < when < until)
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(strokes)]
    assert gaps == pytest.approx([step] * len(gaps), abs=0.001)
    assert {entered.origin for entered in band.entered} == {Origin.GENERATED}
    rig.obey(Stop())
    rig.run(0.5)
    assert rig.output.hanging() == []
