"""The map between monotonic seconds and the time base of a MIDI system."""

import math
from typing import Final

from drumigen.units import Seconds

BUCKET: Final = 0.25
"""Seconds of observations from which the least delayed one is taken."""

ENOUGH: Final = 0.02
"""Seconds from one observation to the next once the map is settled: 12 a bucket, as many as JACK
gives with periods of 1024 frames."""

FIRST_OBSERVATIONS: Final = 12
"""Observations that make up each of the first buckets, if they come in less than :data:`BUCKET`:
who begins in the middle of a song shall not wait."""

DOUBT: Final = 0.05
"""Seconds of observations that decide whether the base lost time when that was suspected."""

NOISE: Final = 40e-6
"""Seconds: standard deviation of the best delay of a bucket."""

RATE_ERROR: Final = 100e-6
"""Standard deviation of a rate never measured, as a ratio: crystals are 100 ppm apart."""

RATE_DRIFT: Final = 2e-6
"""What a rate drifts in a second, as a ratio, by the square root of time: the estimate remembers
some 8 s, long against noise, short against thermal drift."""

LATE: Final = 100e-6
"""Seconds: a bucket whose best observation is later than this was delayed as a whole."""

EARLY: Final = 200e-6
"""Seconds: nothing arrives earlier than it was; a lead beyond this means that the base moved."""

LATE_BUCKETS_MAX: Final = 4
"""Delayed buckets in a row that are taken for lost time of the base, not for delay: 1 s."""

SLEW_TIME: Final = 1.0
"""Seconds in which a slewed map closes a gap that is small enough for its rate."""

SLEW_MOST: Final = 0.1
"""Seconds: a gap beyond this is stepped over at once, for a slewed map too."""

SKIP: Final = 2e-3
"""Seconds by which a base that skipped must have moved for a slewed map to step after it."""

USABLE: Final = 2
"""Buckets after which the map is good to a millisecond, and from which on it is slewed."""

SETTLED_BUCKETS: Final = 8
"""Buckets after which the map is good to 0.1 ms: 2 s at most."""


class Timebase:
    """A straight line between the two times, fitted again with each quarter of a second.

    Observations are pairs (monotonic time of reading, base read) whose error is a reading delay:
    it only ever makes the monotonic time too late.  So the line runs along the earliest of them:
    the best of each bucket drives a Kalman filter of offset and rate.

    With ``slew`` the map that is given out hardly ever steps, but closes on the fitted line by at
    most that ratio: for a base that loses time, and that others measure by too.

    A base that is off by more than :data:`SLEW_MOST` is another one, or was stopped: nothing that
    was known of where it is holds, and the map begins anew with that observation.

    One thread observes; any thread may convert or :meth:`suspect`, without a lock.
    """

    __slots__ = (
        "_best",
        "_bucket_end",
        "_buckets",
        "_covariance",
        "_doubtful",
        "_late",
        "_line",
        "_nominal",
        "_observations",
        "_shown",
        "_skipped",
        "_slew",
        "_suspected",
        "slips",
        "wanted",
    )

    def __init__(self, nominal_rate: float, slew: float | None = None) -> None:
        """Expect ``nominal_rate`` base units per second."""
        # (monotonic, base, seconds per unit): swapped as a whole, so that readers need no lock
        self._nominal = 1.0 / nominal_rate
        self._line = (0.0, 0.0, self._nominal)
        self._shown = self._line
        self._slew = slew
        self._best: tuple[float, float, float] | None = None  # residual, monotonic, base
        self._bucket_end = 0.0
        self._buckets = 0
        self._observations = 0  # of the bucket under way
        # of offset (s) and rate (ratio): variance, covariance, variance
        self._covariance = (NOISE**2, 0.0, RATE_ERROR**2)
        self._late: list[float] = []
        self._suspected = False  # said by any thread
        self._skipped = False  # the same, and that the base jumped for everybody
        self._doubtful = False  # of the bucket under way
        self.slips = 0
        """Times that the base was found to have lost or skipped time, and the map stepped."""
        self.wanted = -math.inf
        """Base from which on another observation is worth its cost."""

    @property
    def usable(self) -> bool:
        """True once the offset is known, half a second after the first observation at most."""
        return self._buckets >= USABLE

    @property
    def settled(self) -> bool:
        """True once offset and rate are known well."""
        return self._buckets >= SETTLED_BUCKETS

    def to_base(self, at: Seconds) -> float:
        """Return the base time at monotonic ``at``."""
        origin, base_origin, period = self._shown
        return base_origin + (at - origin) / period

    def to_monotonic(self, base: float) -> Seconds:
        """Return the monotonic time at which the base shows ``base``."""
        return _time_on(self._shown, base)

    def present(self, at: float) -> Seconds:
        """Return what is given out as the time of monotonic ``at``.

        That is ``at``, but while a slewed map has yet to make up for time that the base lost.
        """
        origin, base_origin, period = self._line
        return _time_on(self._shown, base_origin + (at - origin) / period)

    def suspect(self, *, skipped: bool = False) -> None:
        """Say that the base may just have lost time, as JACK's does in a missed cycle.

        If so, the map steps within :data:`DOUBT` buckets rather than :data:`LATE_BUCKETS_MAX`.
        With ``skipped`` the base was seen to jump: then others do not measure by it either, and a
        slewed map steps too.
        """
        self._suspected = True
        self._skipped = self._skipped or skipped
        self.wanted = -math.inf

    def is_astray(self, at: float, base: float) -> bool:
        """Tell whether reading ``base`` at monotonic ``at`` puts the map off beyond repair."""
        known = self._best is not None or self._buckets > 0
        return known and abs(at - _time_on(self._line, base)) > SLEW_MOST

    def restart(self, at: float, base: float, *, another: bool = False) -> None:
        """Begin anew with an observation; of a base that is ``another`` no rate is known either."""
        self._begin(at, base, self._nominal if another else self._line[2])
        self._covariance = (NOISE**2, 0.0, RATE_ERROR**2 if another else self._covariance[2])
        self.slips += 1

    def _begin(self, at: float, base: float, period: float) -> None:
        self._line = self._shown = (at, base, period)
        self._best = (0.0, at, base)
        self._bucket_end = at + BUCKET
        self._buckets = self._observations = 0
        self._late.clear()
        self._suspected = self._doubtful = self._skipped = False
        self.wanted = -math.inf

    def observe(self, at: float, base: float) -> None:
        """Learn that ``base`` was read at monotonic ``at`` or a little before."""
        if self.is_astray(at, base):
            self.restart(at, base)
        elif not self._buckets and self._best is None:
            self._begin(at, base, self._line[2])
        if self._suspected and self._buckets and not self._doubtful:
            self._suspected, self._doubtful = False, True
            self._best = None
            self._bucket_end = at + DOUBT
        residual = at - _time_on(self._line, base)
        if self._best is None or residual < self._best[0]:
            self._best = (residual, at, base)
            if not self._buckets and residual < 0:
                self._line = self._shown = (at, base, self._line[2])
                self._best = (0.0, at, base)
        self._observations += 1
        early = self._buckets < USABLE and self._observations >= FIRST_OBSERVATIONS
        if early or at >= self._bucket_end:
            self._close_bucket(*self._best)
            self._best = None
            self._observations = 0
            self._bucket_end = at + BUCKET
            self._show(base)
        if self.settled and not (self._doubtful or self._suspected):
            self.wanted = base + ENOUGH / self._line[2]

    def _show(self, base: float) -> None:
        """Give out the fitted line, or one that closes on it from where the map is now.

        It holds for a bucket, which is well below :data:`SLEW_TIME`, so it never overshoots.
        """
        if self._slew is None or not self.usable:
            self._shown = self._line
            return
        here = _time_on(self._shown, base)
        gap = here - _time_on(self._line, base)
        if abs(gap) > SLEW_MOST:
            self._shown = self._line
        else:
            bend = max(-self._slew, min(self._slew, gap / SLEW_TIME))
            self._shown = (here, base, self._line[2] * (1.0 - bend))

    def _close_bucket(self, residual: float, at: float, base: float) -> None:
        origin, base_origin, period = self._line
        expected = origin + (base - base_origin) * period
        doubtful, self._doubtful = self._doubtful, False
        if residual < -EARLY or (doubtful and residual > LATE):
            self._step(at, base)
            return
        if doubtful:
            self._skipped = False
        if residual > LATE:
            self._late.append(residual)
            if len(self._late) == LATE_BUCKETS_MAX:
                self._step(expected + min(self._late), base)
                return
            residual = LATE
        else:
            self._late.clear()
        self._buckets += 1
        elapsed = max(expected - origin, 0.0)
        offset_gain, rate_gain = self._gains(elapsed)
        self._line = (
            expected + offset_gain * residual,
            base,
            period * (1 + rate_gain * residual),
        )

    def _gains(self, elapsed: float) -> tuple[float, float]:
        """Advance the filter by ``elapsed`` seconds and one observation; return its gains."""
        offset, cross, rate = self._covariance
        offset += elapsed * (2 * cross + elapsed * rate)
        cross += elapsed * rate
        rate += elapsed * RATE_DRIFT**2
        offset_gain = offset / (offset + NOISE**2)
        rate_gain = cross / (offset + NOISE**2)
        self._covariance = (
            offset * (1 - offset_gain),
            cross * (1 - offset_gain),
            rate - rate_gain * cross,
        )
        return offset_gain, rate_gain

    def _step(self, origin: float, base: float) -> None:
        """Start from a new offset; what is known of the rate stays true."""
        skipped, self._skipped = self._skipped, False
        moved = abs(origin - _time_on(self._line, base))
        self._line = (origin, base, self._line[2])
        if skipped and moved > SKIP:
            self._shown = self._line
        self._buckets = max(self._buckets, 1)
        self._covariance = (NOISE**2, 0.0, self._covariance[2])
        self._late.clear()
        self.slips += 1


def _time_on(line: tuple[float, float, float], base: float) -> Seconds:
    origin, base_origin, period = line
    return Seconds(origin + (base - base_origin) * period)
