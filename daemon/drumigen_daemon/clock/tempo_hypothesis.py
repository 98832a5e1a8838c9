"""One hypothesis about a pulse train, as a Kalman filter with a weight.

The state is where pulse ``number`` lies (``x``, seconds), the period after it (``v``, seconds) and
the change of period per pulse (``a``), with their covariance.  Each hypothesis learns the variance
of the jitter for itself, and treats a pulse as a mixture of the expected one and an outlier
(probabilistic data association: Bar-Shalom, Li and Kirubarajan, *Estimation with Applications to
Tracking and Navigation*, 2001).  Plain floats and no matrices: one costs a few microseconds.
"""

from math import exp, sqrt
from typing import Self

HORIZON = 6  # pulses: what is wanted is the time of the sixteenth ahead
NOISE_START = 1e-3**2  # seconds squared
STEADY = 0  # kind of a hypothesis whose tempo stays; 1, 2 ... move as RESTLESSNESS says
RESTLESSNESS = (0.0, 1e-6, 6e-6, 4e-5)
"""Standard deviation of the change of ``a`` at each pulse, in periods, by kind of hypothesis.

About a slow drift, a wander of half a BPM within seconds, and a hand on the tempo knob.
"""

_ROOT_TAU = sqrt(6.283185307179586)
_DRIFT = 3e-8  # of a period per pulse: a quartz clock
_NOISE_MIN = 2e-5**2  # seconds squared: stamps of a perfect clock still pass a scheduler
_NOISE_MEMORY = 150.0  # pulses
_OUTLIER_SCALE = 0.010  # seconds; their density falls with the cube
_OUTLIERS_LATE = 0.9  # MIDI bytes queue: they come late rather than early

_P_LOST = 1e-3  # chances per pulse
_P_LOST_ON = 0.9  # that the next pulse of a gap is lost too
_P_EXTRA = 3e-4
_P_REGULAR = 0.9  # that a further foreign pulse keeps the distance of the two before
_KEEPS_DISTANCE = 0.2  # periods by which it may miss that
_BESIDE = 0.5  # share of foreign pulses from which a foreign clock is heard
_P_HALF_WAY = 0.1  # of foreign pulses half-way being a second master, not a doubled tempo
_EARLY = -0.08  # periods: pulses earlier than this may be extra ones
_FAR = 3.0  # periods: nothing is that late, so pulses were lost


def chance_of_lost(skipped: int) -> float:
    """Return the chance that exactly these next pulses get lost."""
    return _P_LOST * _P_LOST_ON ** (skipped - 1) if skipped > 0 else 1.0


class Hypothesis:
    """One hypothesis about all pulses so far."""

    __slots__ = (
        "a",
        "age",
        "extra",
        "extra_at",
        "extra_gap",
        "foreign_share",
        "jumps",
        "kind",
        "lost",
        "noise",
        "noise_count",
        "number",
        "outliers",
        "outlying",
        "owed",
        "paa",
        "pva",
        "pvv",
        "pxa",
        "pxv",
        "pxx",
        "steps",
        "took",
        "v",
        "weight",
        "x",
    )  # fmt: skip

    def __init__(self, at: float, period: float, number: int, noise: float) -> None:
        """Begin with the pulse ``number`` stamped ``at``; ``period`` is a mere default."""
        self.weight = 1.0
        self.kind = STEADY
        self.age = 0  # pulses since this hypothesis parted from its parent's
        self.number = number
        self.x = at
        self.v = period
        self.a = 0.0
        self.noise = self.pxx = self.pxv = noise
        self.noise_count = 5.0
        self.pvv = 2.0 * noise
        self.pxa = self.pva = self.paa = 0.0
        self.took = True  # whether the latest pulse was one of ours
        self.outlying = 0.0  # and how likely it was an outlier
        self.extra_at = self.extra_gap = 0.0  # the latest foreign pulse, and its distance
        self.foreign_share = 0.0  # how usual foreign pulses are
        self.owed = 0  # pulses taken for lost that may yet come, held up
        self.lost = self.extra = self.outliers = self.steps = self.jumps = 0

    @property
    def bend(self) -> float:
        """Seconds by which a tempo that stays as it is would miss the next sixteenth."""
        return 0.5 * HORIZON * HORIZON * abs(self.a)

    @property
    def spread(self) -> float:
        """Variance of where the next sixteenth is expected, in seconds squared."""
        return self.pxx + 2.0 * HORIZON * self.pxv + HORIZON * HORIZON * self.pvv

    @property
    def scatter(self) -> float:
        """Variance of the next stamp about where it is expected, in seconds squared."""
        return self.pxx + self.noise + 2.0 * self.pxv + self.pvv

    def child(self, chance: float) -> Self:
        """Return a copy with ``chance`` of this one's weight."""
        new = type(self).__new__(type(self))
        new.weight = chance * self.weight
        new.age = 0
        new.kind = self.kind
        new.number = self.number
        new.x = self.x
        new.v = self.v
        new.a = self.a
        new.noise = self.noise
        new.noise_count = self.noise_count
        new.pxx = self.pxx
        new.pxv = self.pxv
        new.pvv = self.pvv
        new.pxa = self.pxa
        new.pva = self.pva
        new.paa = self.paa
        new.took = self.took
        new.outlying = self.outlying
        new.extra_at = self.extra_at
        new.extra_gap = self.extra_gap
        new.foreign_share = self.foreign_share
        new.owed = self.owed
        new.lost = self.lost
        new.extra = self.extra
        new.outliers = self.outliers
        new.steps = self.steps
        new.jumps = self.jumps
        return new

    def with_noise(self, noise: float, chance: float) -> Self:
        """Return a copy with ``chance`` of this one's weight, and another variance of jitter."""
        new = self.child(chance)
        new.noise = noise
        new.noise_count = 5.0
        return new

    def be_no_surer_than(self, n: float) -> None:
        """Know the tempo no better than a straight line through ``n`` stamps does at its end."""
        if self.pvv < 12.0 * self.noise / n**3:
            self.pxx = max(self.pxx, 4.0 * self.noise / n)
            self.pxv = 6.0 * self.noise / n**2
            self.pvv = 12.0 * self.noise / n**3

    def begun_anew(self, at: float, number: int, spread: float, late: float) -> Self:
        """Return the hypothesis that the clock has begun anew with ``number``, stamped ``at``.

        The tempo is as it was but for ``spread`` (a share of it, standard deviation), the jitter is
        what it was, and that stamp is off by another ``late`` seconds.  Of where the beat was
        before it knows nothing.
        """
        new = self.child(1.0)
        new.settle()
        new.weight = 1.0
        new.number = number
        new.x = at
        new.pxx = new.noise + late * late
        new.pvv += (spread * new.v) ** 2
        new.pxv = new.outlying = new.extra_at = new.extra_gap = 0.0
        new.lost = new.extra = new.outliers = new.steps = new.jumps = 0
        new.took = True
        return new

    def hears_beside(self, at: float) -> bool:
        """Tell whether a pulse at ``at`` is the next of a clock that is heard beside ours."""
        periods = (at - self.extra_at) / self.v
        return self.foreign_share > _BESIDE and abs(periods - round(periods)) < _KEEPS_DISTANCE

    def settle(self) -> None:
        """Go on at a steady tempo."""
        self.kind = STEADY
        self.a = self.pxa = self.pva = self.paa = 0.0

    def move(self, kind: int) -> None:
        """Go on at a tempo that moves as ``kind`` says."""
        self.kind = kind
        spread = (30.0 * RESTLESSNESS[kind] * self.v) ** 2
        self.paa = max(self.paa, spread)

    def hear_held_up(self, at: float) -> None:
        """Take a pulse that came on the heels of another, for which it waited: it tells no time.

        A hypothesis that expected a pulse counts it; one that took some for lost has found one.
        """
        if at - self.x < 0.5 * self.v:
            if self.owed:
                self.owed -= 1
                self.lost -= 1
            else:
                self.weight *= _P_EXTRA
            return
        self.number += 1
        self.age += 1
        self.took = True
        if self.kind:
            self.x += self.v + 0.5 * self.a
            paa, pva, pvv, pxa = self.paa, self.pva, self.pvv, self.pxa
            self.pxx += 2.0 * self.pxv + pvv + pxa + pva + 0.25 * paa
            self.pxv += pvv + pxa + 1.5 * pva + 0.5 * paa
            self.pxa = pxa + pva + 0.5 * paa
            self.pvv = pvv + 2.0 * pva + paa
            self.pva = pva + paa
            self.paa = paa + (RESTLESSNESS[self.kind] * self.v) ** 2
            self.v += self.a
        else:
            self.x += self.v
            self.pxx += 2.0 * self.pxv + self.pvv
            self.pxv += self.pvv
            self.pvv += (_DRIFT * self.v) ** 2

    def hear(self, at: float, late: float, *, contrary: bool = False) -> None:
        """Weigh this hypothesis by the pulse stamped ``at``, and learn from it.

        ``late`` is the chance of an outlier.  Where pulses may have been lost, or this one may be
        foreign, the likelier is assumed; ``contrary`` assumes the other.
        """
        v = self.v
        error = at - self.x - v
        span = 1
        prior = 1.0
        owed = 0
        self.age += 1
        if self.age > 1:  # before, the period is a guess
            if error > 0.5 * v:
                skipped = round(error / v)
                prior = self._lost_prior(error, skipped, late, contrary=contrary)
                if prior < 1.0:
                    span += skipped
                    self.lost += skipped
                    owed = self.owed + skipped
            elif error < _EARLY * v and self._foreign(at, error, late, contrary=contrary):
                return
        self.took = True
        self.owed = owed
        self.number += span
        if self.foreign_share:
            self.foreign_share *= 0.95
        if self.kind:
            self._moving(at, span, late, prior)
        else:
            self._steady(at, span, late, prior)

    def _lost_prior(self, error: float, skipped: int, late: float, *, contrary: bool) -> float:
        """Return the chance that ``skipped`` pulses were lost, or 1 if this one is late."""
        chance = chance_of_lost(skipped)
        var = self.pxx + self.noise + skipped * skipped * self.pvv
        rest = error - skipped * self.v
        lost = chance * exp(-0.5 * rest * rest / var) / sqrt(var)
        var = self.scatter
        tail = late * 2.0 * _OUTLIERS_LATE * _OUTLIER_SCALE**2 / (_OUTLIER_SCALE + error) ** 3
        one = exp(-0.5 * error * error / var) / sqrt(var) + _ROOT_TAU * tail
        return chance if (lost > one or error > _FAR * self.v) is not contrary else 1.0

    def _foreign(self, at: float, error: float, late: float, *, contrary: bool) -> bool:
        """Tell whether the early pulse at ``at`` is not ours, and if so take note of it."""
        var = self.scatter
        if error * error < 9.0 * var:
            return False
        foreign = 1.0 / self.v
        off = at - self.extra_at - self.extra_gap
        if self.extra:
            wide = 2.0 * self.noise
            regular = exp(-0.5 * off * off / wide) / (_ROOT_TAU * sqrt(wide))
            foreign += _P_REGULAR * (regular - foreign)
        foreign *= max(_P_EXTRA, self.foreign_share)
        half_way = error + 0.5 * self.v
        if half_way * half_way < 2.0 * self.noise:
            foreign *= _P_HALF_WAY
        tail = late * 2.0 * (1.0 - _OUTLIERS_LATE) * _OUTLIER_SCALE**2
        tail /= (_OUTLIER_SCALE - error) ** 3
        one = exp(-0.5 * error * error / var) / (_ROOT_TAU * sqrt(var)) + tail
        if (foreign > one) is contrary:
            return False
        self.weight *= foreign
        self.took = False
        self.outlying = 0.0
        if self.extra and abs(off) < _KEEPS_DISTANCE * self.v:
            self.extra_at = at - 0.5 * off
            self.extra_gap += 0.1 * off
        else:
            self.extra_gap = at - self.extra_at if self.extra else self.v
            self.extra_at = at
        self.extra += 1
        self.foreign_share += 0.3 * (1.0 - self.foreign_share)
        return True

    def _steady(self, at: float, span: int, late: float, prior: float) -> None:
        """Kalman step of position and period."""
        v = self.v
        pxv = self.pxv
        pvv = self.pvv + span * (_DRIFT * v) ** 2
        pxx = self.pxx + span * (2.0 * pxv + span * pvv)
        pxv += span * pvv
        x = self.x + span * v
        e = at - x
        gain, shrink = self._weigh(e, pxx, late, prior)
        self.x = x + gain * pxx * e
        self.v = v + gain * pxv * e
        self.pxx = pxx - shrink * pxx * pxx
        self.pxv = pxv - shrink * pxx * pxv
        self.pvv = pvv - shrink * pxv * pxv

    def _moving(self, at: float, span: int, late: float, prior: float) -> None:
        """Kalman step of position, period and change of period."""
        h = float(span)
        g = 0.5 * h * h
        paa = self.paa
        pva = self.pva
        pvv = self.pvv
        pxa = self.pxa
        v = self.v
        a = self.a
        x = self.x + h * v + g * a
        pxx = self.pxx + h * (2.0 * self.pxv + h * pvv) + g * (2.0 * (pxa + h * pva) + g * paa)
        pxa += h * pva + g * paa
        pxv = self.pxv + h * (pvv + pxa) + g * pva
        pvv += h * (2.0 * pva + h * paa)
        pva += h * paa
        paa += h * (RESTLESSNESS[self.kind] * v) ** 2
        v += h * a
        e = at - x
        gain, shrink = self._weigh(e, pxx, late, prior)
        self.x = x + gain * pxx * e
        self.v = v + gain * pxv * e
        self.a = a + gain * pxa * e
        self.pxx = pxx - shrink * pxx * pxx
        self.pxv = pxv - shrink * pxx * pxv
        self.pxa = pxa - shrink * pxx * pxa
        self.pvv = pvv - shrink * pxv * pxv
        self.pva = pva - shrink * pxv * pxa
        self.paa = paa - shrink * pxa * pxa

    def _weigh(self, e: float, pxx: float, late: float, prior: float) -> tuple[float, float]:
        """Weigh the innovation ``e``; return what scales the gain, and the loss of covariance."""
        noise = self.noise
        s = pxx + noise
        square = e * e
        inlier = (1.0 - late) * exp(-0.5 * square / s) / (_ROOT_TAU * sqrt(s))
        if e > 0.0:
            tail = late * _OUTLIERS_LATE / (_OUTLIER_SCALE + e) ** 3
        else:
            tail = late * (1.0 - _OUTLIERS_LATE) / (_OUTLIER_SCALE - e) ** 3
        total = inlier + 2.0 * _OUTLIER_SCALE**2 * tail
        self.weight *= prior * total
        b = inlier / total
        self.outlying = 1.0 - b
        if b < 0.5:
            self.outliers += 1
        # the jitter's variance: one step of expectation maximisation
        if self.noise_count < _NOISE_MEMORY:
            self.noise_count += b
        part = noise / s
        noise += b * (part * (part * square + pxx) - noise) / self.noise_count
        if noise > _NOISE_MIN:
            self.noise = noise
        gain = b / s
        return gain, gain * (1.0 - (1.0 - b) * square / s)
