"""The laws of a beat that was recorded while everything around it broke and came back."""

from collections import defaultdict
from itertools import pairwise

from stage_fixtures import Recording

HAT = 42
BPM = 120.0
GRID = 60.0 / BPM / 2
"""Seconds from hat to hat: eighths."""
BACK_WITHIN = 0.2
"""Seconds after cycles come again within which strokes may be missing."""
OFF_GRID = 0.1
"""Seconds that a stroke may be off on a machine that is busy with other things."""

PLAIN = (
    "generator.writer=mock",
    "song.variation=off",
    "song.fill_every=0",  # a fill ends in a crash on the next one
    "feel.humanize=0",
    "feel.swing=50",
    "midi.outputs=stage:notes",
)
"""Settings for bars that are known, exactly on the grid, and heard by the recorder."""
MOCK = tuple(word for setting in PLAIN for word in ("--set", setting))
LEADING = ("--backend", "jack", "--set", "clock.source=internal", "--bpm", str(BPM), *MOCK)
FOLLOWING = ("--backend", "jack", "--set", "clock.source=midi", *MOCK)


def assert_beat_goes_on(recording: Recording, until: float) -> None:
    """No stroke due is missing later than 0.2 s after a break, and none is struck twice."""
    struck = defaultdict(list)
    for port, _, at, data in recording.events:
        if port == "notes" and data[0] & 0xF0 == 0x90:
            struck[data[1]].append(at)
    for note, times in struck.items():
        apart = min((b - a for a, b in pairwise(times)), default=GRID)
        assert apart > GRID / 2, f"note {note} twice within {1000 * apart:.1f} ms"
    hats = struck[HAT]
    phase = sorted(at % GRID for at in hats)[len(hats) // 2]
    settled = [at for at in hats if not _broken(recording, at, 0.5)]
    off = [abs((at - phase + GRID / 2) % GRID - GRID / 2) for at in settled]
    assert sorted(off)[int(0.8 * len(off))] < OFF_GRID / 2
    assert recording.hanging() == set()
    first = hats[0] - (hats[0] - phase + GRID / 2) % GRID + GRID / 2
    due = [first + k * GRID for k in range(int((until - first) / GRID))]
    missing = [
        at
        for at in due
        if not _broken(recording, at, BACK_WITHIN) and min(abs(at - hat) for hat in hats) > OFF_GRID
    ]
    assert not missing, f"missing: {missing}, breaks: {recording.breaks}"


def _broken(recording: Recording, at: float, within: float) -> bool:
    return any(begun - OFF_GRID < at < over + within for begun, over in recording.breaks)
