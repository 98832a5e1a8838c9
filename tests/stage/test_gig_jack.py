"""A minute of the gig through real JACK ports: a clock that wobbles, and the default map's CCs.

The daemon plays the mock's bars on the grid, so that every effect can be told from the notes.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drumigen.midi.file import read_song
from stage_fixtures import Recording, Stage, drumigen

pytestmark = [pytest.mark.jack, pytest.mark.process]

KICK, SNARE, HAT, CRASH, RIDE = 36, 38, 42, 49, 51
MUTE_SNARE, DROP, HALF_TIME, FILL_NEXT, STUTTER, BUILD, SECTION = 118, 111, 112, 106, 113, 114, 29
SECTION_B = 64  # the fourth of seven
OPTIONS = (
    *("--backend", "jack"),
    *(
        part
        for setting in (
            "clock.source=midi",
            "generator.writer=mock",
            "song.variation=off",
            "song.fill_every=0",
            "song.build_bars=2",
            "feel.humanize=0",
            "midi.split_inputs=on",
        )
        for part in ("--set", setting)
    ),
)


@dataclass(frozen=True)
class Bars:
    """What was heard, as (sixteenth of the bar, note) by bar of the master's clock."""

    played: dict[int, list[tuple[int, int]]]

    def steps(self, bar: int, note: int) -> list[int]:
        return [step for step, each in self.played[bar] if each == note]

    def notes(self, bar: int) -> set[int]:
        return {note for _, note in self.played[bar]}


def clock(bars: int, luck: random.Random) -> list[float]:
    """Return when each pulse is due: about 120 BPM, wobbling, with a little jitter."""
    at, pulses = 0.5, []
    for pulse in range(bars * 96):
        pulses.append(at + luck.gauss(0.0, 0.0003))
        at += 60.0 / (120.0 + 1.5 * ((pulse // 96) % 3 - 1)) / 24
    return sorted(pulses)


# in which bar a CC takes which value, in which bar it must be heard, and how
SCRIPT: list[tuple[int, int, int, int, Callable[[Bars, int], bool]]] = [
    (2, MUTE_SNARE, 127, 3, lambda bars, n: SNARE not in bars.notes(n)),
    # the drop comes in the middle of this bar, and acts at once
    (4, MUTE_SNARE, 127, 5, lambda bars, n: bars.steps(n, SNARE) == [4]),
    (5, DROP, 127, 6, lambda bars, n: bars.notes(n) == {HAT}),
    (7, DROP, 127, 8, lambda bars, n: bars.notes(n) == {KICK, SNARE, HAT}),
    (8, HALF_TIME, 127, 9, lambda bars, n: bars.steps(n, SNARE) == [8]),
    (9, HALF_TIME, 127, 10, lambda bars, n: bars.steps(n, SNARE) == [4, 12]),
    (11, FILL_NEXT, 127, 13, lambda bars, n: bars.steps(n, CRASH) == [0]),
    (14, SECTION, SECTION_B, 15, lambda bars, n: bars.notes(n) == {KICK, SNARE, RIDE}),
    (15, SECTION, 0, 16, lambda bars, n: bars.notes(n) == {KICK, SNARE, HAT}),
    (17, STUTTER, 127, 18, lambda bars, n: len(set(bars.steps(n, HAT))) == 16),
    (19, STUTTER, 0, 20, lambda bars, n: bars.steps(n, SNARE) == [4, 12]),
    (20, BUILD, 127, 21, lambda bars, n: len(bars.steps(n, SNARE)) >= 8),
    (20, BUILD, 0, 23, lambda bars, n: bars.steps(n, CRASH) == [0]),
]
LENGTH = 31


def heard(recording: Recording, begun: int, pulses: list[float]) -> Bars:
    lines = [begun + round(at * recording.rate) for at in pulses[::96]] + [sys.maxsize]
    played: dict[int, list[tuple[int, int]]] = {bar: [] for bar in range(LENGTH)}
    for frame, note in recording.ons():
        bar = next(n for n in range(-1, LENGTH) if frame + 480 < lines[n + 1])
        if bar >= 0:
            sixteenth = (lines[bar + 1] - lines[bar]) / 16 if bar + 1 < LENGTH else 6000
            played[bar].append((round((frame - lines[bar]) / sixteenth), note))
    return Bars(played)


def test_a_minute_of_the_gig_on_real_ports(stage: Stage, tmp_path: Path) -> None:
    luck = random.Random(4)
    pulses = clock(LENGTH, luck)
    events = [(at, [0xF8]) for at in pulses]
    events.append((pulses[0] - 0.01, [0xFA]))
    for bar, cc, value, _, _ in SCRIPT:
        at = pulses[bar * 96 + 40] + 0.003
        events.append((at, [0xB0, cc, value]))
        if cc not in (SECTION, STUTTER) and value:
            events.append((at + 0.02, [0xB0, cc, 0]))
    # knobs that move nothing here, as fast as a cable carries them
    for _ in range(60):
        first = luck.uniform(pulses[0], pulses[-1])
        events += [(first + n * 0.001, [0xB0, 22, luck.randrange(128)]) for n in range(20)]
    events.append((pulses[-1] + 0.02, [0xFC]))
    with drumigen(tmp_path, *OPTIONS) as daemon:
        stage.do("connect", f"{stage.name}:voice", "drumigen-in:in")
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        time.sleep(0.3)
        stage.dump()
        begun = stage.do("play", sorted(events))
        time.sleep(pulses[-1] + 1.5)
        recording = stage.dump()
        counters = daemon.counters()
        output = tmp_path / "gig.mid"
        command = [sys.executable, "-m", "drumigen_daemon.cli", "export", "--bars", "100"]
        command += ["--socket", str(daemon.socket), "--output", str(output)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    bars = heard(recording, begun, pulses)
    for bar, cc, value, where, effect in SCRIPT:
        line = begun + round(pulses[where * 96] * recording.rate)
        if recording.disturbed(line + 2 * recording.rate, 5.0):
            continue  # JACK itself missed cycles there
        assert effect(bars, where), (bar, cc, value, where, sorted(bars.played[where]))
    assert recording.hanging() == set()
    assert counters["repeated_bars"] == 0
    assert counters["dropped_notes"] == 0
    captured = read_song(output)
    assert abs(len(captured.notes) - counters["notes"]) <= 2
    assert len(captured.notes) > 200
