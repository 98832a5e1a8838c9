"""How well a jittery MIDI clock is followed: drumigen beside other published ways, in one run.

At every sixteenth the follower, which has just heard pulse k, predicts when pulse k + 6 is due; the
error is against the true, jitter-free time.  Cells are RMS / P99 in milliseconds.

    python benchmarks/clock_following.py [--seeds 8] [--quick]

The other ways are written here from their ideas, not copied:

- the average of the last 24 intervals, from the last stamp on;
- a delay-locked loop (F. Adriaensen, "Using a DLL to filter time", LAC 2005), as Ardour has for
  MIDI clock, narrow and wide;
- a straight line through the last 512 stamps, the idea of Ableton Link's host time filter.

*bound* is told the tempo up to now and which stamps are outliers, and fits phase and rate to the
whole past by least squares; it cannot foresee a tempo change either.

Two ways on which clocks come badly, *Wi-Fi* and *Windows loopMIDI*, have a table of their own, and
so have masters that start, stop and loop (``clock_masters.py``).
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from clock_masters import tables
from numpy.typing import NDArray

from drumigen.units import CLOCK_PPQN, TICKS_PER_PULSE, Seconds
from drumigen_daemon.clock.midi_clock import ClockFollower

Times = NDArray[np.float64]
SIXTEENTH = 6  # pulses
WARM_UP = 8 * CLOCK_PPQN
LOST_SHARE = 0.001
RELOCK_SEEDS = 32
RELOCK_ERROR = 1.0  # ms


class Follower(Protocol):
    """Anything that hears pulses and says when another pulse is due."""

    def pulse(self, at: float) -> None:
        """Hear a pulse."""

    def time_of(self, number: int) -> float:
        """Return when pulse ``number`` is due."""


class Drumigen:
    """The follower of the daemon."""

    def __init__(self) -> None:
        """Begin."""
        self._follower = ClockFollower()

    def pulse(self, at: float) -> None:
        """Hear a pulse."""
        self._follower.pulse(Seconds(at))

    def time_of(self, number: int) -> float:
        """Return when pulse ``number`` is due."""
        line = self._follower.timeline
        assert line is not None
        return line.time_of(number * TICKS_PER_PULSE)


class Counting:
    """A follower that takes every pulse for the next one."""

    def __init__(self) -> None:
        """Begin."""
        self.number = -1
        self.due = 0.0
        self.period = 60.0 / (120.0 * CLOCK_PPQN)

    def pulse(self, at: float) -> None:
        """Hear a pulse."""
        raise NotImplementedError

    def time_of(self, number: int) -> float:
        """Return when pulse ``number`` is due."""
        return self.due + (number - self.number) * self.period


class Average(Counting):
    """The mean of the last 24 intervals, from the last stamp on."""

    def __init__(self) -> None:
        """Begin."""
        super().__init__()
        self._stamps: deque[float] = deque(maxlen=CLOCK_PPQN + 1)

    def pulse(self, at: float) -> None:
        """Hear a pulse."""
        stamps = self._stamps
        stamps.append(at)
        self.number += 1
        self.due = at
        if len(stamps) > 1:
            self.period = (at - stamps[0]) / (len(stamps) - 1)


class Loop(Counting):
    """A second-order delay-locked loop of ``bandwidth`` Hz."""

    def __init__(self, bandwidth: float) -> None:
        """Begin."""
        super().__init__()
        self._bandwidth = bandwidth
        self._next = 0.0

    def pulse(self, at: float) -> None:
        """Hear a pulse."""
        self.number += 1
        if self.number == 0:
            self.due = at
        elif self.number == 1:
            self.period = at - self.due
            self.due = at
        else:
            error = at - self._next
            omega = 2.0 * np.pi * self._bandwidth * self.period
            self.due = self._next + 2.0**0.5 * omega * error
            self.period += omega * omega * error
        self._next = self.due + self.period


class Regression(Counting):
    """A straight line through the last ``window`` stamps."""

    def __init__(self, window: int) -> None:
        """Begin."""
        super().__init__()
        self._stamps: deque[float] = deque(maxlen=window)

    def pulse(self, at: float) -> None:
        """Hear a pulse."""
        stamps = self._stamps
        stamps.append(at)
        self.number += 1
        self.due = at
        n = len(stamps)
        if n > 1:
            times = np.array(stamps) - at
            steps = np.arange(n) - (n - 1) / 2.0
            self.period = float(steps @ times) * 12.0 / (n * (n * n - 1.0))
            self.due = at + float(times.mean()) + self.period * (n - 1) / 2.0


RIVALS: dict[str, Callable[[], Counting]] = {
    "24-pulse average": Average,
    "DLL 0.2 Hz": lambda: Loop(0.2),
    "DLL 1 Hz": lambda: Loop(1.0),
    "regression 512": lambda: Regression(512),
}
FOLLOWERS: dict[str, Callable[[], Follower]] = {"drumigen": Drumigen, **RIVALS}

# Tempo maps: the true times of the pulses.


def from_tempo(tempo: Times) -> Times:
    """Return the times of pulses whose tempo up to the next is ``tempo``."""
    return np.concatenate([[0.0], np.cumsum(60.0 / (tempo * CLOCK_PPQN))])


def constant(tempo: float, beats: int) -> Times:
    """Return a steady tempo."""
    return from_tempo(np.full(beats * CLOCK_PPQN, tempo))


def wander(rng: np.random.Generator, beats: int) -> Times:
    """Return 120 BPM that wanders smoothly by half a BPM, over 4 to 16 seconds."""
    cycle = rng.uniform(4.0, 16.0) * 2.0 * CLOCK_PPQN
    phase = rng.uniform(0.0, 2.0 * np.pi)
    pulses = np.arange(beats * CLOCK_PPQN)
    return from_tempo(120.0 + 0.5 * np.sin(2.0 * np.pi * pulses / cycle + phase))


def ramp(beats: int) -> Times:
    """Return 100 BPM, 16 bars up to 140, and 140."""
    lead_in = (beats - 64) / 2.0
    share = (np.arange(beats * CLOCK_PPQN) / CLOCK_PPQN - lead_in) / 64.0
    return from_tempo(100.0 + 40.0 * np.clip(share, 0.0, 1.0))


def step(before: float, after: float, beats: int) -> Times:
    """Return a step of tempo half-way."""
    pulses = np.arange(beats * CLOCK_PPQN)
    return from_tempo(np.where(pulses < len(pulses) // 2, before, after))


MAPS: dict[str, Sequence[Callable[[np.random.Generator, int], Times]]] = {
    "constant": [
        lambda _, beats: constant(90.0, beats),
        lambda _, beats: constant(120.0, beats),
        lambda _, beats: constant(174.0, beats),
    ],
    "wander": [wander],
    "ramp": [lambda _, beats: ramp(beats)],
    "step 120-126": [lambda _, beats: step(120.0, 126.0, beats)],
    "step 90-140": [lambda _, beats: step(90.0, 140.0, beats)],
}
APART = "step 90-140"  # not in the mean: the sixteenth that nobody can foresee is all there is

# Jitter: how late each stamp is, and whether it is an outlier.

Jitter = Callable[[np.random.Generator, Times], tuple[Times, NDArray[np.bool_]]]


def gauss(sigma: float) -> Jitter:
    """Return Gaussian jitter of ``sigma`` ms."""

    def jitter(rng: np.random.Generator, times: Times) -> tuple[Times, NDArray[np.bool_]]:
        return rng.normal(0.0, sigma * 1e-3, len(times)), np.zeros(len(times), dtype=bool)

    return jitter


def uniform(rng: np.random.Generator, times: Times) -> tuple[Times, NDArray[np.bool_]]:
    """Return jitter of at most 2 ms, early or late."""
    return rng.uniform(-2e-3, 2e-3, len(times)), np.zeros(len(times), dtype=bool)


def frames(rng: np.random.Generator, times: Times) -> tuple[Times, NDArray[np.bool_]]:
    """Return the wait for the next 1 ms USB frame, less its mean, which is constant latency."""
    offset = rng.uniform(0.0, 1e-3)
    wait = np.ceil((times - offset) * 1e3) * 1e-3 + offset - times
    return wait - 0.5e-3, np.zeros(len(times), dtype=bool)


def late(rng: np.random.Generator, times: Times) -> tuple[Times, NDArray[np.bool_]]:
    """Return 0.2 ms of Gaussian jitter, and one stamp of twenty late by 5 to 15 ms."""
    outlier = rng.random(len(times)) < 0.05
    delay = np.where(outlier, rng.uniform(5e-3, 15e-3, len(times)), 0.0)
    return rng.normal(0.0, 0.2e-3, len(times)) + delay, outlier


def wifi(rng: np.random.Generator, times: Times) -> tuple[Times, NDArray[np.bool_]]:
    """Return 3 to 10 ms less their mean, and one packet of 150 that takes 50 to 100 ms."""
    outlier = rng.random(len(times)) < 1.0 / 150.0
    delay = np.where(
        outlier, rng.uniform(50e-3, 100e-3, len(times)), rng.uniform(3e-3, 10e-3, len(times))
    )
    stamps = np.maximum.accumulate(times + delay)  # packets that follow wait behind it
    outlier |= stamps - times > 10e-3
    return stamps - times - 6.5e-3, outlier


def loopmidi(rng: np.random.Generator, times: Times) -> tuple[Times, NDArray[np.bool_]]:
    """Return the wait for a timer of 1 ms and a scheduler's 0.9, less their mean.

    Intervals are 19 to 22 ms at 120 BPM, as micdah/RtMidi.Core#13 lists them.
    """
    offset = rng.uniform(0.0, 1e-3)
    wait = np.ceil((times - offset) * 1e3) * 1e-3 + offset - times
    wait += rng.uniform(0.0, 0.9e-3, len(times))
    return wait - 0.95e-3, np.zeros(len(times), dtype=bool)


WAYS: dict[str, tuple[Jitter, float]] = {"Wi-Fi": (wifi, 0.01), "loopMIDI": (loopmidi, 0.0)}
"""Jitter, and the share of pulses that are lost."""
WAY_TEMPI = (90.0, 120.0, 174.0)

JITTERS: dict[str, Jitter] = {
    "sigma 0.2": gauss(0.2),
    "sigma 1": gauss(1.0),
    "sigma 3": gauss(3.0),
    "uniform 2": uniform,
    "USB frames": frames,
    "5 % late": late,
}


def errors(follower: Follower, times: Times, stamps: Times, heard: Sequence[bool]) -> Times:
    """Return the error in ms at each sixteenth of the next one's prediction."""
    out = []
    for k, at in enumerate(stamps[:-SIXTEENTH].tolist()):
        if heard[k]:
            follower.pulse(at)
        if k >= WARM_UP and k % SIXTEENTH == 0:
            out.append((follower.time_of(k + SIXTEENTH) - times[k + SIXTEENTH]) * 1e3)
    return np.array(out)


def bound(times: Times, stamps: Times, outlier: NDArray[np.bool_]) -> Times:
    """Return the errors of who knows the tempo so far and fits the rest to all that is past."""
    good = np.where(outlier, 0.0, 1.0)
    x = times - times[0]
    y = stamps - times
    n, sx, sy = np.cumsum(good), np.cumsum(good * x), np.cumsum(good * y)
    sxx, sxy = np.cumsum(good * x * x), np.cumsum(good * x * y)
    k = np.arange(WARM_UP, len(times) - SIXTEENTH, SIXTEENTH)
    slope = (n * sxy - sx * sy)[k] / (n * sxx - sx * sx)[k]
    ahead = x[k] + SIXTEENTH * (x[k] - x[k - 1])
    offset = (sy[k] - slope * sx[k]) / n[k]
    return np.asarray((ahead - x[k + SIXTEENTH] + offset + slope * ahead) * 1e3)


@dataclass(frozen=True)
class Score:
    """Of the errors of one cell, in ms."""

    rms: float
    p99: float

    @classmethod
    def of(cls, found: Sequence[Times]) -> "Score":
        """Return the score of pooled errors."""
        pooled = np.concatenate(found)
        return cls(float(np.sqrt(np.mean(pooled**2))), float(np.percentile(np.abs(pooled), 99)))

    @classmethod
    def mean(cls, scores: Sequence["Score"]) -> "Score":
        """Return the geometric mean."""
        return cls(
            float(np.exp(np.mean([np.log(score.rms) for score in scores]))),
            float(np.exp(np.mean([np.log(score.p99) for score in scores]))),
        )

    def __str__(self) -> str:
        """Return ``RMS / P99``."""
        return f"{self.rms:.3g} / {self.p99:.3g}"


def cell(
    make: Callable[[], Follower] | None, kind: str, noise: str, args: argparse.Namespace
) -> Score:
    """Return the score of one follower (or the bound) in one tempo map with one jitter."""
    found = []
    for index, true_times in enumerate(MAPS[kind]):
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            rng = np.random.default_rng([seed, index, list(JITTERS).index(noise)])
            times = 1000.0 + true_times(rng, args.beats)
            delay, outlier = JITTERS[noise](rng, times)
            if make is None:
                found.append(bound(times, times + delay, outlier))
            else:
                stamps = np.sort(times + delay)  # a queue does not reorder
                found.append(errors(make(), times, stamps, [True] * len(times)))
    return Score.of(found)


def lost_clocks(make: Callable[[], Follower], sigma: float, args: argparse.Namespace) -> Score:
    """Return the score at 120 BPM when one clock of a thousand is lost."""
    found = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        rng = np.random.default_rng([seed, 77])
        times = 1000.0 + constant(120.0, args.beats)
        delay, _ = gauss(sigma)(rng, times)
        heard = rng.random(len(times)) >= LOST_SHARE
        heard[:WARM_UP] = True
        heard[WARM_UP + 100] = False  # at least one
        found.append(errors(make(), times, np.sort(times + delay), heard.tolist()))
    return Score.of(found)


def way(make: Callable[[], Follower], name: str, tempo: float, args: argparse.Namespace) -> Score:
    """Return the score at a steady tempo, over a way on which clocks come badly."""
    jitter, lost = WAYS[name]
    found = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        rng = np.random.default_rng([seed, 55])
        times = 1000.0 + constant(tempo, args.beats)
        delay, _ = jitter(rng, times)
        heard = rng.random(len(times)) >= lost
        heard[:CLOCK_PPQN] = True  # nobody can count what was lost before there was a beat
        found.append(errors(make(), times, np.sort(times + delay), heard.tolist()))
    return Score.of(found)


def relock(make: Callable[[], Follower], before: float, after: float, sigma: float) -> float:
    """Return how many beats after a step the RMS over the seeds is under 1 ms, and stays there."""
    found = []
    for seed in range(RELOCK_SEEDS):
        rng = np.random.default_rng([seed, 99])
        times = 1000.0 + step(before, after, 64)
        delay, _ = gauss(sigma)(rng, times)
        found.append(errors(make(), times, np.sort(times + delay), [True] * len(times)))
    rms = np.sqrt(np.mean(np.array(found) ** 2, axis=0))
    first = (32 * CLOCK_PPQN - WARM_UP) // SIXTEENTH
    bad = np.flatnonzero(rms[first:] >= RELOCK_ERROR)
    last = int(bad[-1]) + 1 if len(bad) else 0
    return last / 4.0 if last < len(rms) - first else float("inf")


def cost(make: Callable[[], Follower]) -> tuple[float, float]:
    """Return the mean and the P99 of microseconds per pulse, at 120 BPM with 1 ms of jitter."""
    rng = np.random.default_rng(5)
    times = constant(120.0, 128)
    follower = make()
    spent = []
    for at in np.sort(times + rng.normal(0.0, 1e-3, len(times))).tolist():
        begin = time.perf_counter()
        follower.pulse(at)
        spent.append(time.perf_counter() - begin)
    return float(np.mean(spent)) * 1e6, float(np.percentile(spent, 99)) * 1e6


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--beats", type=int, default=128, help="length of each take")
    parser.add_argument("--quick", action="store_true", help="two seeds; no re-lock")
    args = parser.parse_args()
    if args.quick:
        args.seeds = 2
    makers: dict[str, Callable[[], Follower] | None] = {**FOLLOWERS, "bound": None}

    everything: dict[str, list[Score]] = {name: [] for name in makers}
    for kind in MAPS:
        print(f"\n{kind:18}" + "".join(f"{noise:>16}" for noise in JITTERS))
        for name, make in makers.items():
            row = [cell(make, kind, noise, args) for noise in JITTERS]
            if kind != APART:
                everything[name] += row
            print(f"{name:18}" + "".join(f"{score!s:>16}" for score in row), flush=True)

    print(f"\n{'geometric mean':18}{'all':>16}{'0.1 % lost':>16}{'lost, sigma 3':>16}", end="")
    print(f"{'us / pulse':>12}{'P99':>7}")
    for name, scores in everything.items():
        line = f"{name:18}{Score.mean(scores)!s:>16}"
        make = makers[name]
        if make is not None:
            line += "".join(f"{lost_clocks(make, sigma, args)!s:>16}" for sigma in (1.0, 3.0))
            mean, p99 = cost(make)
            line += f"{mean:12.1f}{p99:7.1f}"
        print(line, flush=True)

    ways = [(name, tempo) for name in WAYS for tempo in WAY_TEMPI]
    print(f"\n{'over a bad way':18}" + "".join(f"{f'{n}, {t:g}':>16}" for n, t in ways))
    for name, make in FOLLOWERS.items():
        row = [way(make, *where, args) for where in ways]
        print(f"{name:18}" + "".join(f"{score!s:>16}" for score in row), flush=True)
    tables(RIVALS, args)

    if args.quick:
        return
    cases = [(a, b, s) for a, b in ((120.0, 126.0), (90.0, 140.0)) for s in (0.0, 0.2, 1.0)]
    print(f"\n{'beats to re-lock':18}", end="")
    print("".join(f"{f'{a:.0f}-{b:.0f}, {s:g} ms':>16}" for a, b, s in cases))
    for name, make in FOLLOWERS.items():
        print(f"{name:18}" + "".join(f"{relock(make, *case):16g}" for case in cases), flush=True)


if __name__ == "__main__":
    main()
