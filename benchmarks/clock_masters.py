"""How well the song is followed when a master starts, stops, loops and says where it is.

Part of ``clock_following.py``.  At every sixteenth of a stretch the follower, which has just heard
its pulse, predicts when the next sixteenth is due; the error is the distance from the master's grid
of beats, so half a beat is the worst there is.  120 BPM but where said, 1 ms of Gaussian jitter.

The rivals are followers of pulses; what they do with transport is what is published of Ardour's
(``midi_clock_slave.cc``, read at 22ed865): Start sets the place to 0, the filter goes on as it was,
and while it runs neither a Start nor a song position is taken.  The others go the same way.
*cold start* is ours that has heard nothing before the stretch: what a start can be at best.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drumigen.kit import load_kit
from drumigen.units import CLOCK_PPQN, TICKS_PER_PULSE, Seconds
from drumigen_daemon.engine.conductor import Conductor
from drumigen_daemon.engine.messages import ClockSource, EngineParameters
from drumigen_daemon.engine.player import Player
from drumigen_daemon.engine.score import Score
from drumigen_daemon.process.log_line import LogLevel

Times = NDArray[np.float64]
CLOCK, START, CONTINUE, STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"
SIXTEENTH = 6  # pulses
BAR = 72  # pulses: three quarters, so that a bar is no power of two
BEATS = 32
JITTER = 1e-3  # seconds
BEGIN = 1000.0  # seconds
OFF = 5.0  # ms: who is off by that at the end is so for good
RUNS, RUNS_QUICK = 40, 8


def song_position(pulses: int) -> bytes:
    """Return a song position pointer."""
    sixteenths = pulses // SIXTEENTH
    return bytes([0xF2, sixteenths & 0x7F, sixteenths >> 7])


class PulseFollower(Protocol):
    """What counts pulses from 0; see ``clock_following.py``."""

    number: int
    due: float
    period: float

    def pulse(self, at: float) -> None:
        """Hear a pulse."""


class SongFollower(Protocol):
    """What hears everything a master says."""

    def hear(self, data: bytes, at: float) -> None:
        """Hear a message."""

    def sixteenth_after(self, pulse: int) -> float:
        """Return when the sixteenth after the song's ``pulse`` is due."""


class _Nowhere:
    """An output that nobody listens to."""

    dropped = 0
    lead = Seconds(0.010)

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        pass

    def withdraw(self) -> Seconds:
        return Seconds(0.0)


def _ignore(_level: LogLevel, _text: str) -> None:
    pass


class Drumigen:
    """The daemon's conductor: follower and transport."""

    def __init__(self) -> None:
        """Stand still."""
        output = _Nowhere()
        player = Player(output, Score(), load_kit())
        now = Seconds(BEGIN - 1.0)
        self._conductor = Conductor(player, output, _ignore, now)
        self._conductor.apply(EngineParameters(source=ClockSource.MIDI), now)

    def hear(self, data: bytes, at: float) -> None:
        """Hear a message."""
        if data == CLOCK:
            self._conductor.pulse("master", Seconds(at))
        else:
            self._conductor.message("master", data, Seconds(at))
        self._conductor.advance(Seconds(at))

    def sixteenth_after(self, pulse: int) -> float:
        """Return when the sixteenth after the song's ``pulse`` is due."""
        return self._conductor.timeline.time_of((pulse + SIXTEENTH) * TICKS_PER_PULSE)


class Rival:
    """A follower of pulses, and the transport that is published of Ardour's."""

    def __init__(self, follower: PulseFollower) -> None:
        """Stand still."""
        self._follower = follower
        self._place = -1
        self._running = False

    def hear(self, data: bytes, at: float) -> None:
        """Hear a message."""
        if data == CLOCK:
            self._follower.pulse(at)
            self._place += self._running
        elif data == STOP:
            self._running = False
        elif self._running:
            pass
        elif data == START:
            self._place, self._running = -1, True
        elif data == CONTINUE:
            self._running = True
        else:
            self._place = (data[1] | data[2] << 7) * SIXTEENTH - 1

    def sixteenth_after(self, pulse: int) -> float:
        """Return when the sixteenth after the song's ``pulse`` is due.

        Or a beat from it that is nearer: who was not told of a loop is judged by the grid of beats.
        """
        half = CLOCK_PPQN // 2
        ahead = (pulse + SIXTEENTH - self._place + half) % CLOCK_PPQN - half
        return self._follower.due + ahead * self._follower.period


@dataclass
class Stretch:
    """What a master sends, and the stretch of it that is judged."""

    messages: list[tuple[float, bytes, int | None]] = field(default_factory=list)
    """Seconds, bytes, and which pulse of the song it is, if it is judged."""
    truth: list[float] = field(default_factory=list)
    """When each judged pulse is meant."""

    def pulses(self, times: Times, rng: np.random.Generator, jitter: float = JITTER) -> None:
        """Send pulses that nobody judges."""
        self.messages += [
            (at, CLOCK, None)
            for at in np.sort(times + rng.normal(0.0, jitter, len(times))).tolist()
        ]

    def song(
        self,
        times: Times,
        stamps: Times,
        said: Callable[[int], Sequence[tuple[float, bytes]]] = lambda _: (),
        place: Callable[[int], int] = lambda number: number,
    ) -> None:
        """Send the pulses to judge; ``said`` is what is said beside each, seconds from it."""
        self.truth = times.tolist()
        for number, at in enumerate(stamps.tolist()):
            beside = said(number)
            self.messages += [(at + off, data, None) for off, data in beside if off <= 0.0]
            self.messages.append((at, CLOCK, place(number)))
            self.messages += [(at + off, data, None) for off, data in beside if off > 0.0]


def _grid(begin: float, bpm: float, pulses: int) -> Times:
    return np.asarray(begin + np.arange(pulses) * 60.0 / (bpm * CLOCK_PPQN), dtype=np.float64)


def _stamps(times: Times, rng: np.random.Generator, jitter: float = JITTER) -> Times:
    return np.sort(times + rng.normal(0.0, jitter, len(times)))


def _started(number: int) -> Sequence[tuple[float, bytes]]:
    return () if number else ((-0.0002, START),)


def rephased_start(rng: np.random.Generator) -> Stretch:
    """Idle pulses, then a Start whose first pulse is 0.2 to 16 periods after the last of them."""
    stretch = Stretch()
    idle = _grid(BEGIN, 120.0, 96)
    stretch.pulses(idle, rng)
    begin = idle[-1] + rng.uniform(0.2, 16.0) * 60.0 / (120.0 * CLOCK_PPQN)
    times = _grid(begin, 120.0, BEATS * CLOCK_PPQN)
    stamps = np.maximum(_stamps(times, rng), stretch.messages[-1][0] + 0.0005)
    stretch.song(times, stamps, _started)
    return stretch


def clock_only_while_playing(rng: np.random.Generator) -> Stretch:
    """Eight beats, Stop, 0.2 to 3 s of nothing, and a Start."""
    stretch = Stretch()
    before = _grid(BEGIN, 120.0, 8 * CLOCK_PPQN)
    stretch.messages.append((BEGIN - 0.005, START, None))
    stretch.pulses(before, rng)
    end = stretch.messages[-1][0] + 0.008
    stretch.messages.append((end, STOP, None))
    times = _grid(end + rng.uniform(0.2, 3.0), 120.0, BEATS * CLOCK_PPQN)
    stretch.song(times, _stamps(times, rng), _started)
    return stretch


def true_position_in_play(rng: np.random.Generator) -> Stretch:
    """A song position at each bar line, 10 ms before the pulse, just before or just after it."""
    stretch = Stretch()
    off = (-0.010, -0.0002, 0.0002)[rng.integers(3)]
    times = _grid(BEGIN, 120.0, BEATS * CLOCK_PPQN)

    def said(number: int) -> Sequence[tuple[float, bytes]]:
        if number and number % BAR == 0:
            return ((off, song_position(number)),)
        return _started(number)

    stretch.song(times, _stamps(times, rng), said)
    return stretch


def loop(rng: np.random.Generator) -> Stretch:
    """A loop of one bar of 3/4, told in one of four ways on the moment of its downbeat."""
    stretch = Stretch()
    back = song_position(0)
    how = ((START,), (back, CONTINUE), (STOP, back, CONTINUE), (back,))[rng.integers(4)]
    times = _grid(BEGIN, 120.0, BEATS * CLOCK_PPQN)

    def said(number: int) -> Sequence[tuple[float, bytes]]:
        if number and number % BAR == 0:
            return tuple((-0.0002, data) for data in how)
        return _started(number)

    stretch.song(times, _stamps(times, rng), said, lambda number: number % BAR)
    return stretch


def bunched(rng: np.random.Generator, bpm: float) -> Stretch:
    """In the first beat a pulse of ten is held up by 5 to 15 ms, and those after it with it."""
    stretch = Stretch()
    times = _grid(BEGIN, bpm, BEATS * CLOCK_PPQN)
    delay = rng.normal(0.0, 0.2e-3, len(times))
    held = rng.random(CLOCK_PPQN) < 0.1
    delay[:CLOCK_PPQN] += held * rng.uniform(5e-3, 15e-3, CLOCK_PPQN)
    stamps = times + delay
    for number in range(1, len(stamps)):
        stamps[number] = max(stamps[number], stamps[number - 1] + rng.uniform(0.1e-3, 1e-3))
    stretch.song(times, stamps, _started)
    return stretch


CASES: dict[str, Callable[[np.random.Generator], Stretch]] = {
    "re-phased start": rephased_start,
    "clock only in play": clock_only_while_playing,
    "true SPP in play": true_position_in_play,
    "loop": loop,
    "bunched, 120": lambda rng: bunched(rng, 120.0),
    "bunched, 174": lambda rng: bunched(rng, 174.0),
    "bunched, 220": lambda rng: bunched(rng, 220.0),
}


def errors(follower: SongFollower, stretch: Stretch, *, cold: bool) -> Times:
    """Return the error in ms at each sixteenth of the stretch, of the next one's prediction."""
    truth = stretch.truth
    beat = (truth[-1] - truth[0]) / (len(truth) - 1) * CLOCK_PPQN
    found = []
    number = 0
    judged_from = next(at for at, _, place in stretch.messages if place is not None) - 0.001
    for at, data, place in stretch.messages:
        if cold and at < judged_from:
            continue
        follower.hear(data, at)
        if place is None:
            continue
        # a lone pulse tells no tempo
        if number and number % SIXTEENTH == 0 and number + SIXTEENTH < len(truth):
            off = follower.sixteenth_after(place) - truth[number + SIXTEENTH]
            found.append(1e3 * ((off + beat / 2) % beat - beat / 2))
        number += 1
    return np.array(found)


def followers(
    rivals: Mapping[str, Callable[[], PulseFollower]],
) -> Iterator[tuple[str, Callable[[], SongFollower], bool]]:
    """Return name, maker, and whether it hears the judged stretch only."""
    yield "drumigen", Drumigen, False
    yield "cold start", Drumigen, True
    for name, make in rivals.items():
        yield name, lambda make=make: Rival(make()), False  # type: ignore[misc]


def tables(rivals: Mapping[str, Callable[[], PulseFollower]], args: argparse.Namespace) -> None:
    """Print the first beat, what comes after it, and how many runs end a pulse off for good."""
    runs = RUNS_QUICK if args.quick else RUNS
    first = CLOCK_PPQN // SIXTEENTH - 1  # sixteenths whose prediction is of the first beat
    rows: dict[str, list[list[Times]]] = {}
    for name, make, cold in followers(rivals):
        rows[name] = [
            [
                errors(make(), perform(np.random.default_rng([seed, 41])), cold=cold)
                for seed in range(args.first_seed, args.first_seed + runs)
            ]
            for perform in CASES.values()
        ]
    for title, part in (("first beat", slice(0, first)), ("after it", slice(first, None))):
        print(f"\n{title:18}" + "".join(f"{case:>20}" for case in CASES))
        for name, cases in rows.items():
            cells = [_cell([run[part] for run in case]) for case in cases]
            print(f"{name:18}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    print(f"\n{'off for good':18}" + "".join(f"{case:>20}" for case in CASES))
    for name, cases in rows.items():
        lost = [sum(not abs(float(np.mean(run[-8:]))) < OFF for run in case) for case in cases]
        print(f"{name:18}" + "".join(f"{f'{n} of {runs}':>20}" for n in lost))


def _cell(found: Sequence[Times]) -> str:
    """Return RMS / P99 of pooled errors."""
    pooled = np.concatenate(found)
    if not np.isfinite(pooled).all():
        return "diverges"
    rms = np.sqrt(np.mean(pooled**2))
    return f"{rms:.3g} / {np.percentile(np.abs(pooled), 99):.3g}"
