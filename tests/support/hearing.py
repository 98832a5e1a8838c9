"""What a recorder hears of a daemon that plays on JACK, by note and by place in the bar."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from stage_fixtures import Stage
from web_stage import Web

KICK, SNARE, HAT = 36, 38, 42
CRASHES = frozenset({49, 55, 57, 52})
"""Crash, splash, second crash, China."""


@dataclass
class Heard:
    """Notes that left, as (second, note, velocity)."""

    notes: list[tuple[float, int, int]]

    def of(self, note: int) -> list[tuple[float, int]]:
        return [(at, velocity) for at, struck, velocity in self.notes if struck == note]

    @property
    def kinds(self) -> set[int]:
        return {note for _, note, _ in self.notes}

    def gap(self, note: int) -> float:
        """The middle distance of two strokes of ``note`` in seconds."""
        gaps = sorted(b[0] - a[0] for a, b in pairwise(self.of(note)))
        return gaps[len(gaps) // 2] if gaps else 0.0


def listen(stage: Stage, seconds: float) -> Heard:
    stage.dump()
    time.sleep(seconds)
    recording = stage.dump()
    return Heard(
        [
            (frame / recording.rate, data[1], data[2])
            for port, frame, _, data in recording.events
            if port == "notes" and data[0] & 0xF0 == 0x90
        ]
    )


def until(stage: Stage, holds: Callable[[Heard], object], what: str, seconds: float = 1.2) -> None:
    """Wait until what is heard is as it should be."""
    for _ in range(12):
        heard = listen(stage, seconds)
        if holds(heard):
            return
    pytest.fail(f"{what}: heard {heard.notes}")


@dataclass
class Clocked:
    """Where the song is against monotonic time, so that what is heard has a place in a bar."""

    begins: float
    """When the bar ``number`` began, in monotonic seconds."""
    number: int
    step: float
    """Seconds of a sixteenth."""
    steps: int
    """Sixteenths in a bar."""


def clocked(client: Web) -> Clocked:
    now = client.get("/now")
    step = 15.0 / now["tempo"]
    passed = (now["tick"] - now["bar_start_tick"]) / 480 * step
    beats, of = map(int, now["meter"].split("/"))
    return Clocked(now["now"] - passed, now["bar"], step, beats * 16 // of)


Stroke = tuple[int, int, int]
"""Sixteenth in its bar, note and velocity."""


def strokes_heard(
    client: Web, stage: Stage, seconds: float, start: Callable[[], object] = lambda: None
) -> dict[int, list[Stroke]]:
    """Return the strokes that were heard by bar, in order; only bars that were heard whole.

    ``start`` is called when the recorder hears.
    """
    stage.dump()
    begun = stage.do("now")
    start()
    time.sleep(seconds)
    ended = stage.do("now")
    recording, at = stage.dump(), clocked(client)
    bars: dict[int, list[Stroke]] = {}
    for port, _, when, data in recording.events:
        if port == "notes" and data[0] & 0xF0 == 0x90:
            place = round((when - at.begins) / at.step)
            stroke = (place % at.steps, data[1], data[2])
            bars.setdefault(at.number + place // at.steps, []).append(stroke)
    length = at.steps * at.step
    return {
        number: strokes
        for number, strokes in bars.items()
        if begun < at.begins + (number - at.number) * length - at.step
        and at.begins + (number + 1 - at.number) * length + at.step < ended
    }


def bars_heard(
    client: Web, stage: Stage, seconds: float, start: Callable[[], object] = lambda: None
) -> dict[int, set[tuple[int, int]]]:
    """Return what was heard by bar, as (sixteenth, note); only bars that were heard whole."""
    heard = strokes_heard(client, stage, seconds, start)
    return {number: {stroke[:2] for stroke in strokes} for number, strokes in heard.items()}
