"""Where the beat is, from jittery pulse stamps: a small bank of competing Kalman filters.

Each :class:`Hypothesis` explains every pulse so far by one story: steady tempo since its birth, or
a tempo that moves (with some restlessness), with this many pulses lost, doubled or foreign.  Its
weight is multiplied by the likelihood of each new pulse (Bayesian model averaging), the best
stories have children that tell of a tempo step, a lost pulse or a jump of phase just now, and the
least likely ones are dropped: a pruned multiple-model filter (Bar-Shalom, Li and Kirubarajan,
*Estimation with Applications to Tracking and Navigation*, 2001, chapter 11; Adams and MacKay,
*Bayesian Online Changepoint Detection*, 2007).  What is reported is the weighted mean.
"""

from math import exp, sqrt
from typing import Self

_TAU_ROOT = sqrt(6.283185307179586)

PERIOD_MIN = 0.00625  # seconds between pulses at 400 BPM
PERIOD_MAX = 0.125  # and at 20 BPM
HORIZON = 6  # pulses: the estimate is made for the sixteenth ahead

_LATE_SCALE = 0.010  # seconds: half of all late pulses are late by more than this
_LATE_SHARE = 0.9  # of outliers; MIDI bytes queue, so they come late rather than early
_NOISE_MIN = 2e-5**2  # seconds squared; stamps of a perfect clock still go through a scheduler
_NOISE_START = 1e-3**2
_NOISE_LADDER = (1.5e-4**2, 5e-4**2, 1.5e-3**2, 4e-3**2)
_NOISE_MEMORY = 150.0  # pulses
_DRIFT = 3e-8  # of a period per pulse: a quartz clock
_RESTLESSNESS = (1e-6, 6e-6, 4e-5)  # change of acceleration per pulse, as a share of the period
_STEP_SPREAD = 0.25  # standard deviation of a tempo step, as a share of the period
_LOST_GAP = 0.9  # chance that the next pulse of a gap is lost too

_P_STEP = 5e-4  # prior chances per pulse
_P_MOVE = 2e-3
_P_SETTLE = 5e-3
_P_LOST = 5e-4
_P_EXTRA = 3e-4
_P_ROUGH = 1e-3
_P_JUMP = 1e-4
_P_FRESH = 1e-4

_POOL = 14
_YOUNG = 4  # pulses for which a newborn story is kept unheard
_BELIEF = 3  # pulses that must agree before a step is reported
_DOUBT = 0.01  # weight of all older stories below which a younger one is believed
_DEAD = 1e-9


class Hypothesis:
    """One story: position, period and (if it moves) acceleration of pulse ``number``, Gaussian."""

    __slots__ = (
        "age", "outlying", "extra", "extra_at", "extra_gap", "kind", "jumps", "lost", "noise", "noise_count",
        "number", "outliers", "paa", "pva", "pvv", "pxa", "pxv", "pxx", "steps", "took", "a",
        "v", "weight", "x", "recent_extra",
    )  # fmt: skip

    def __init__(self, at: float, period: float, number: int = 0) -> None:
        """Begin at the pulse ``number`` stamped ``at``, with no idea of the tempo."""
        self.weight = 1.0
        self.kind = 0  # 0 steady, 1.. moving with _RESTLESSNESS[kind - 1]
        self.number = number
        self.x = at
        self.v = period
        self.a = 0.0
        self.noise = self.pxx = _NOISE_START
        self.noise_count = 5.0
        self.pvv = 1.0
        self.pxv = self.pxa = self.pva = self.paa = 0.0
        self.age = 0
        self.took = True
        self.extra_at = 0.0
        self.extra_gap = 0.0
        self.recent_extra = self.outlying = 0.0
        self.lost = self.extra = self.outliers = self.steps = self.jumps = 0

    @property
    def spread(self) -> float:
        """Variance of where the next sixteenth is expected, in seconds squared."""
        return self.pxx + 2.0 * HORIZON * self.pxv + HORIZON * HORIZON * self.pvv

    def child(self, chance: float) -> Self:
        """Return a copy with ``chance`` of this one's weight."""
        new = type(self).__new__(type(self))
        for name in Hypothesis.__slots__:
            setattr(new, name, getattr(self, name))
        new.weight *= chance
        new.age = 0
        return new

    def hear(self, at: float, late: float, *, contrary: bool = False) -> None:
        """Weigh this story by the pulse stamped ``at`` and learn from it."""
        v = self.v
        noise = self.noise
        error = at - self.x - v - 0.5 * self.a
        span = 1
        self.age += 1
        self.took = True
        prior = 1.0
        if error > 0.5 * v and self.age > 1:
            # One or more lost, unless this one is late.
            skipped = round(error / v)
            rest = error - skipped * v
            var = self.pxx + noise + skipped * skipped * self.pvv
            chance = _P_LOST * _LOST_GAP ** (skipped - 1) if skipped < 200 else 0.0
            lost = chance * exp(-0.5 * rest * rest / var) / sqrt(var)
            var = self.pxx + noise + 2.0 * self.pxv + self.pvv
            inlier = exp(-0.5 * error * error / var) / sqrt(var)
            inlier += (
                late * _TAU_ROOT * _LATE_SHARE * 2.0 * _LATE_SCALE**2 / (_LATE_SCALE + error) ** 3
            )
            if (lost > inlier or error > 3.0 * v) is not contrary:
                span = skipped + 1
                self.lost += skipped
                prior = chance
        elif (
            error < -0.08 * v
            and self.age > 1
            and error * error > 9.0 * (var := self.pxx + noise + 2.0 * self.pxv + self.pvv)
        ):
            inlier = exp(-0.5 * error * error / var) / (sqrt(var) * _TAU_ROOT)
            inlier += late * (1.0 - _LATE_SHARE) * 2.0 * _LATE_SCALE**2 / (_LATE_SCALE - error) ** 3
            foreign = 1.0 / v
            if self.extra:
                gap = at - self.extra_at - self.extra_gap
                var = 6.0 * noise
                foreign = 0.5 * foreign + 0.5 * exp(-0.5 * gap * gap / var) / (
                    sqrt(var) * _TAU_ROOT
                )
            foreign *= max(_P_EXTRA, self.recent_extra)
            if (foreign > inlier) is not contrary:
                self.extra_gap = at - self.extra_at if self.extra else v
                self.extra_at = at
                self.extra += 1
                self.recent_extra += 0.2 * (1.0 - self.recent_extra)
                self.took = False
                self.weight *= foreign
                return
        self.number += span
        self.recent_extra -= 0.05 * self.recent_extra
        if self.kind:
            self._moving(at, span, late, prior)
        else:
            self._steady(at, span, late, prior)

    def _steady(self, at: float, span: int, late: float, prior: float) -> None:
        v = self.v
        pxv = self.pxv
        pvv = self.pvv + span * (_DRIFT * v) ** 2
        pxx = self.pxx + span * (2.0 * pxv + span * pvv)
        pxv += span * pvv
        x = self.x + span * v
        noise = self.noise
        s = pxx + noise
        e = at - x
        lateness = _LATE_SCALE + (e if e > 0.0 else -e)
        outlier = (
            late
            * 2.0
            * _LATE_SCALE**2
            * (_LATE_SHARE if e > 0.0 else 1.0 - _LATE_SHARE)
            / lateness**3
        )
        inlier = (1.0 - late) * exp(-0.5 * e * e / s) / (_TAU_ROOT * sqrt(s))
        total = inlier + outlier
        self.weight *= prior * total
        b = inlier / total
        if b < 0.5:
            self.outliers += 1
        g = b / s
        k0 = pxx * g
        k1 = pxv * g
        self.x = x + k0 * e
        self.v = v + k1 * e
        f = g * (1.0 - (1.0 - b) * e * e / s)
        self.pxx = pxx - f * pxx * pxx
        self.pxv = pxv - f * pxx * pxv
        self.pvv = pvv - f * pxv * pxv
        self._learn_noise(e, s, pxx, b)

    def _moving(self, at: float, span: int, late: float, prior: float) -> None:
        v = self.v
        a = self.a
        h = float(span)
        g = 0.5 * h * h
        paa = self.paa
        pva = self.pva
        pvv = self.pvv
        qva = pva + h * paa
        t = self.pxa + h * pva + g * paa
        qxv = self.pxv + h * pvv + g * pva + h * t
        pxx = (
            self.pxx
            + h * (2.0 * self.pxv + h * pvv)
            + g * (2.0 * self.pxa + 2.0 * h * pva + g * paa)
        )
        pvv += h * (2.0 * pva + h * paa)
        pxv = qxv
        pxa = t
        pva = qva
        paa += h * (_RESTLESSNESS[self.kind - 1] * v) ** 2
        x = self.x + h * v + g * a
        v += h * a
        s = pxx + self.noise
        e = at - x
        lateness = _LATE_SCALE + (e if e > 0.0 else -e)
        outlier = (
            late
            * 2.0
            * _LATE_SCALE**2
            * (_LATE_SHARE if e > 0.0 else 1.0 - _LATE_SHARE)
            / lateness**3
        )
        inlier = (1.0 - late) * exp(-0.5 * e * e / s) / (_TAU_ROOT * sqrt(s))
        total = inlier + outlier
        self.weight *= prior * total
        b = inlier / total
        if b < 0.5:
            self.outliers += 1
        g = b / s
        self.x = x + pxx * g * e
        self.v = v + pxv * g * e
        self.a = a + pxa * g * e
        f = g * (1.0 - (1.0 - b) * e * e / s)
        self.pxx = pxx - f * pxx * pxx
        self.pva = pva - f * pxv * pxa
        self.pvv = pvv - f * pxv * pxv
        self.paa = paa - f * pxa * pxa
        self.pxv = pxv - f * pxx * pxv
        self.pxa = pxa - f * pxx * pxa
        self._learn_noise(e, s, pxx, b)

    def _learn_noise(self, e: float, s: float, pxx: float, b: float) -> None:
        """Move the jitter's variance toward what this pulse says of it (one step of EM)."""
        noise = self.noise
        part = noise / s
        self.outlying = 1.0 - b
        count = self.noise_count + b
        if count > _NOISE_MEMORY:
            count = _NOISE_MEMORY
        self.noise_count = count
        noise += b * (part * part * e * e + pxx * part - noise) / count
        self.noise = noise if noise > _NOISE_MIN else _NOISE_MIN
        if not PERIOD_MIN <= self.v <= PERIOD_MAX:
            self.v = PERIOD_MIN if self.v < PERIOD_MIN else PERIOD_MAX


class TempoFilter:
    """The pool of stories, and their weighted mean."""

    def __init__(self, at: float, period: float, number: int = 0) -> None:
        """Begin with a pulse ``number`` stamped ``at``; ``period`` holds until the second."""
        first = Hypothesis(at, period, number)
        self.leader = first
        self._pool = []
        for noise in _NOISE_LADDER:
            h = first.child(1.0)
            h.noise = h.pxx = noise
            self._pool.append(h)
        self._late = 0.02
        self._last = at
        self.heard = 1
        self.number = number
        self.x = at
        self.v = period

    def hear(self, at: float) -> None:
        """Take one pulse."""
        if self.heard == 1:
            self._second(at)
            return
        lead = self.leader
        pool = self._pool
        late = self._late
        newborn: list[Hypothesis] = []
        self.heard += 1
        error = at - lead.x - lead.v
        s = lead.pxx + lead.noise + lead.pvv + 2.0 * lead.pxv
        if error * error > 12.0 * s:
            newborn = self._surprises(lead, at, error)
        total = 0.0
        for h in pool:
            h.hear(at, late)
            total += h.weight
        for h in newborn:
            total += h.weight
            pool.append(h)
        if not total > 1e-250:
            for h in pool:
                h.weight = 1.0
            total = float(len(pool))
        top = 0.0
        for h in pool:
            w = h.weight = h.weight / total
            if w > top and h.age >= _BELIEF:
                top = w
                lead = h
        if top < _DOUBT:
            lead = max(pool, key=lambda h: h.weight)
        self._late += 0.005 * ((h.outlying if (h := lead).took else 0.0) - self._late)
        if self._late < 0.01:
            self._late = 0.01
        self._name(lead)
        self._last = at
        self._breed(lead)
        self._estimate(self.leader)

    def _name(self, lead: Hypothesis) -> None:
        """Make ``lead`` the leader; what differs from the old one by little was no event."""
        old = self.leader
        if lead is not old:
            if lead.steps > old.steps and abs(lead.v - old.v) < 0.005 * old.v:
                lead.steps = old.steps
            shift = lead.x - old.x - (lead.number - old.number) * old.v
            if lead.jumps > old.jumps and abs(shift) < 0.05 * old.v:
                lead.jumps = old.jumps
        self.leader = lead

    def _second(self, at: float) -> None:
        """Take the second pulse: the first there is to know about the tempo."""
        gap = at - self._last
        self.heard = 2
        for h in self._pool:
            h.number += 1
            h.x = at
            h.v = gap
            h.pxv = h.noise
            h.pvv = 2.0 * h.noise
            h.age = _BELIEF
        self._last = self.x = at
        self.v = gap
        self.number += 1
        self.leader = self._pool[-1]
        self._breed(self.leader)

    def _surprises(self, lead: Hypothesis, at: float, error: float) -> list[Hypothesis]:
        out = []
        if error > 0.5 * lead.v or error < -0.08 * lead.v:
            twin = lead.child(1.0)
            twin.age = lead.age
            twin.hear(at, self._late, contrary=True)
            out.append(twin)
        if error * error < 400.0 * lead.noise:
            rough = lead.child(_P_ROUGH)
            rough.noise *= 10.0
            rough.noise_count = 5.0
            rough.hear(at, self._late)
            out.append(rough)
        if abs(error) > 0.1 * lead.v:
            # same tempo, new phase from this pulse on
            jump = lead.child(_P_JUMP / lead.v)
            jump.number += max(1, round((at - lead.x) / lead.v))
            jump.x = at
            jump.pxx = jump.noise
            jump.pxv = 0.0
            jump.pxa = jump.pva = 0.0
            jump.jumps += 1
            out.append(jump)
            # new tempo from the last pulse on, any size
            gap = at - self._last
            if PERIOD_MIN * 0.9 < gap < PERIOD_MAX * 1.1:
                fresh = lead.child(_P_FRESH / lead.v)
                fresh.kind = 0
                fresh.number += 1
                fresh.x = at
                fresh.v = gap
                fresh.a = 0.0
                fresh.pxx = fresh.pxv = fresh.noise
                fresh.pvv = 2.0 * fresh.noise
                fresh.pxa = fresh.pva = fresh.paa = 0.0
                fresh.steps += 1
                out.append(fresh)
        return out

    def _breed(self, lead: Hypothesis) -> None:
        """Let the leader have the children that the next pulse may prove right; drop the unlikely."""
        pool = self._pool
        moving: list[Hypothesis | None] = [None] * (len(_RESTLESSNESS) + 1)
        keep = []
        steady = 0.0
        for h in pool:
            kind = h.kind
            if kind:
                other = moving[kind]
                if other is None or h is lead or (other is not lead and h.weight > other.weight):
                    moving[kind] = h
            elif h is lead or h.age < _YOUNG or h.weight > _DEAD:
                keep.append(h)
                if h.age > 1 and h.weight > steady:
                    steady = h.weight
        room = _POOL - 1 - len(_RESTLESSNESS)
        if not lead.kind and lead.age > 24:
            best = lead
            for h in keep[:]:
                if h is not lead and h.age > 24 and h.number == lead.number:
                    d = h.x - lead.x
                    dv = HORIZON * (h.v - lead.v)
                    if (d * d + dv * dv) < lead.pxx + h.pxx:
                        if h.pvv < best.pvv and h.weight > 0.05 * lead.weight:
                            h.weight += best.weight
                            keep.remove(best)
                            best = h
                        else:
                            best.weight += h.weight
                            keep.remove(h)
            self.leader = lead = best
        if len(keep) > room:
            worst = min(
                (h for h in keep if h.age >= _YOUNG and h is not lead),
                key=lambda h: h.weight,
                default=None,
            )
            if worst is not None:
                keep.remove(worst)
        for kind in range(1, len(moving)):
            h = moving[kind]
            if h is None or (
                (h.weight < 1e-6 or (h.number != lead.number and h.weight < _P_MOVE))
                and h is not lead
            ):
                h = lead.child(_P_MOVE)
                h.kind = kind
                spread = (30.0 * _RESTLESSNESS[kind - 1] * h.v) ** 2
                if h.paa < spread:
                    h.paa = spread
            elif h.weight < _P_MOVE and h.number == lead.number:
                h.weight = _P_MOVE
            keep.append(h)
        if lead.kind and steady < 1e-4:
            h = lead.child(_P_SETTLE)
            h.kind = 0
            h.a = h.pxa = h.pva = h.paa = 0.0
            keep.append(h)
        h = lead.child(_P_STEP)
        h.kind = 0
        h.a = h.pxa = h.pva = h.paa = 0.0
        h.pvv += (_STEP_SPREAD * h.v) ** 2
        h.steps += 1
        keep.append(h)
        self._pool = keep

    def _estimate(self, lead: Hypothesis) -> None:
        number = self.number = lead.number
        sw = sx = sv = 0.0
        half = 0.5 * HORIZON
        for h in self._pool:
            w = h.weight
            if w > 1e-4 and h.number == number and (h.age >= _BELIEF or h is lead):
                sw += w
                sx += w * h.x
                sv += w * (h.v + half * h.a)
        self.x = sx / sw
        v = sv / sw
        self.v = PERIOD_MIN if v < PERIOD_MIN else PERIOD_MAX if v > PERIOD_MAX else v
