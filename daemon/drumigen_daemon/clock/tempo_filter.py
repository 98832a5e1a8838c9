"""Where the beat is, from jittery pulse stamps: competing hypotheses and their weighted mean.

Every hypothesis (:class:`.Hypothesis`) explains all pulses so far: a steady tempo since some
pulse, or a moving one, with these pulses lost and those foreign.  Each new pulse multiplies its
weight by the pulse's likelihood.  After a notable pulse the leader has a child with a tempo step at
the pulse before, and after a surprise also with a lost or foreign pulse, a jump of phase, or more
jitter; unlikely hypotheses are dropped.  This is multiple-model filtering with pruning (Bar-Shalom,
Li and Kirubarajan, 2001, chapter 11), and for steps Bayesian change-point detection (Adams and
MacKay, 2007).
"""

from typing import Self

from drumigen_daemon.clock.tempo_hypothesis import (
    HORIZON,
    NOISE_START,
    RESTLESSNESS,
    Hypothesis,
    chance_of_lost,
)

PERIOD_MIN = 0.00625  # seconds between pulses at 400 BPM
PERIOD_MAX = 0.25  # and at 10 BPM

_P_STEP = 5e-4  # chances per pulse, or per second where divided by a period
_P_MOVE = 2e-3
_P_SETTLE = 5e-3
_P_ROUGH = 1e-3
_P_JUMP = 1e-4
_P_FRESH = 1e-4
_BEGUN_ANEW = ((0.3, 0.0, 0.0), (0.05, 0.0, 0.008), (0.15, 0.01, 0.0), (0.1, 0.05, 0.0))
"""Chances that a clock begun anew has its old tempo, but for such a share, and its first pulse is
so many seconds off; else it has any tempo."""
_RESUMED_AS = 12  # pulses that a filter which takes over has as good as heard
_RESUMED_TEMPO = 5e-4  # share by which the tempo that it was told may be off
_TEMPO_FOLDS = 3.7  # natural logarithm of PERIOD_MAX / PERIOD_MIN

_STEP_SPREAD = 0.25  # standard deviation of a tempo step, in periods
_NOISES = (0.02, 0.25, 2.0, 16.0)  # at first, in units of NOISE_START
_ROUGHER = 10.0
_NOTABLE = 1.0  # squared standard deviations: less is no hint of a step
_SURPRISE = 12.0
_JUMP_MIN = 0.0015  # seconds: a frame of USB, which is no more than jitter
_CALM = 0.1  # less is a hint of less jitter
_STEADY_MAX = 10  # hypotheses of a steady tempo
_YOUNG_PULSES = 4  # pulses for which a new hypothesis is kept whatever its weight
_OLD_PULSES = 24  # after which like hypotheses are one
_TWICE_AS_FAST = 0.5  # of a period
_BELIEVED_PULSES = 4  # that must agree before a step is reported
_DOUBTED_WEIGHT = 0.01  # below it an older hypothesis may go, and a younger one is believed
_WEIGHT_MIN = 3e-5  # below it a hypothesis is dropped
_RIVAL_WEIGHT_MIN = 1e-9  # the same where it counts the pulses otherwise, which nothing would mend
_MOVING_WEIGHT_MIN = 1e-6  # below it a moving hypothesis begins anew


class TempoFilter:
    """The hypotheses, and what they predict together.

    ``number`` is the latest pulse, ``x`` when it was due (seconds) and ``v`` the mean period
    (seconds) up to the sixteenth after it.
    """

    def __init__(
        self, at: float, period: float, number: int = 0, before: Hypothesis | None = None
    ) -> None:
        """Begin with a pulse ``number`` stamped ``at``; ``period`` holds until the second.

        ``before`` is what was known of the clock before it began anew here: its tempo and its
        jitter may be what they were, its phase is not.
        """
        self.number = number
        self.x = at
        self.v = period
        self.heard = 1
        self._last = at
        self._late = 0.02
        self._agreed = 1.0
        self._pool = [Hypothesis(at, period, number, NOISE_START * size) for size in _NOISES]
        self.leader = self._pool[1]
        self._begun_anew = before is not None
        self._as_before: list[Hypothesis] = []
        if before is not None:
            for chance, spread, off in _BEGUN_ANEW:
                h = before.begun_anew(at, number, spread, off)
                h.weight = chance
                self._as_before.append(h)

    @classmethod
    def resumed(cls, at: float, period: float, number: int) -> Self:
        """Return who takes over from another one, and knows from it the tempo and the place."""
        period = min(max(period, PERIOD_MIN), PERIOD_MAX)
        new = cls(at - period, period, number - 1)
        new.hear(at)
        new.heard = _RESUMED_AS
        for h in new._pool:
            h.pvv = (_RESUMED_TEMPO * period) ** 2
            h.pxv = 0.0
        return new

    def hear(self, at: float) -> None:
        """Take one pulse; stamps may be a little out of order."""
        self.heard += 1
        if self.heard == 2:
            self._second(at)
            return
        pool = self._pool
        late = self._late
        candidates = self._candidates(at)
        total = 0.0
        for h in pool:
            h.hear(at, late)
            total += h.weight
        for h in candidates:
            total += h.weight
            pool.append(h)
        lead = self._weighed(total)
        self._late = max(0.01, late + 0.005 * (lead.outlying - late))
        self._last = at
        self._select(lead)
        if self.heard == _OLD_PULSES and self._begun_anew:
            for h in self._pool:  # the tempo may be a little another than before
                h.be_no_surer_than(float(_OLD_PULSES))
        self._branch()
        self._average()

    def _weighed(self, total: float) -> Hypothesis:
        """Let the weights, ``total`` together, be shares; return whom to follow.

        That is the likeliest of those that have been here for a while, unless all of them are
        unlikely.
        """
        pool = self._pool
        if not total > 1e-250:  # nothing explains this: begin to judge anew
            for h in pool:
                h.weight = 1.0
            total = float(len(pool))
        top = 0.0
        lead = pool[0]
        for h in pool:
            weight = h.weight = h.weight / total
            if weight > top and h.age >= _BELIEVED_PULSES:
                top = weight
                lead = h
        return max(pool, key=_weight) if top < _DOUBTED_WEIGHT else lead

    def count_on(self, by: int) -> None:
        """Count every pulse so far ``by`` further: the first ones were miscounted."""
        if by:
            self.number += by
            for h in self._pool:
                h.number += by

    def hear_held_up(self, at: float) -> None:
        """Take a pulse that came on the heels of another, for which it waited: it tells no time."""
        pool = self._pool
        for h in pool:
            h.hear_held_up(at)
        lead = self._weighed(sum(h.weight for h in pool))
        self._last = at
        self._select(lead)
        self._average()

    @property
    def knows(self) -> bool:
        """Whether it has heard enough for a pulse to be late."""
        return self.heard > _OLD_PULSES

    @property
    def certain(self) -> bool:
        """Whether hardly any weight is on hypotheses with another number."""
        return self._agreed > 0.9

    def early(self, at: float) -> bool:
        """Tell whether ``at`` is clearly before the next pulse is due, by every old hypothesis."""
        if self.heard == 1:
            return True
        for h in self._pool:
            if h is self.leader or (h.age > _OLD_PULSES and h.weight > _DOUBTED_WEIGHT):
                ahead = h.x + h.v - at
                if ahead < 0.0 or ahead * ahead < 16.0 * (h.noise + h.pxx):
                    return False
        return True

    def _second(self, at: float) -> None:
        """Take the second pulse: the first that says anything of the tempo."""
        gap = min(max(at - self._last, PERIOD_MIN), PERIOD_MAX)
        for h in self._pool:
            h.number += 1
            h.x = at
            h.v = gap
            h.age = _BELIEVED_PULSES
        self.number += 1
        self.x = self._last = at
        total = len(self._pool)
        for h in self._pool:
            h.weight /= total
        if self._as_before:
            self._weigh_as_before(at, gap)
        self._branch()
        before = self.v
        self._average()
        if self.v < _TWICE_AS_FAST * before:
            self.v = before  # they may be one that came twice: a third will tell

    def _weigh_as_before(self, at: float, gap: float) -> None:
        """Weigh the tempo from before against any other, by the second pulse."""
        other = (1.0 - sum(h.weight for h in self._as_before)) / (_TEMPO_FOLDS * gap)
        for h in self._as_before:
            h.age = _BELIEVED_PULSES
            h.hear(at, self._late)
        total = other + sum(h.weight for h in self._as_before)
        for h in self._pool:
            h.weight *= other / total
        for h in self._as_before:
            h.weight /= total
        self._pool += self._as_before
        self._as_before = []
        self.leader = max(self._pool, key=_weight)

    def _candidates(self, at: float) -> list[Hypothesis]:
        """Return what else may explain a pulse that the leader did not expect."""
        lead = self.leader
        v = lead.v
        error = at - lead.x - v
        square, scatter = error * error, lead.scatter
        if square < _NOTABLE * scatter:
            return self._calmer(at) if square < _CALM * scatter else []
        step = lead.child(_P_STEP)
        step.settle()
        step.pvv += (_STEP_SPREAD * v) ** 2
        step.steps += 1
        step.hear(at, self._late)
        out = [step]
        if square < _SURPRISE * scatter:
            return out
        if error > 0.5 * v or error < -0.08 * v:
            twin = lead.child(1.0)
            twin.age = lead.age
            twin.hear(at, self._late, contrary=True)
            out.append(twin)
        if error * error < 400.0 * lead.noise:
            rough = lead.with_noise(lead.noise * _ROUGHER, _P_ROUGH)
            rough.hear(at, self._late)
            out.append(rough)
        if abs(error) > max(0.1 * v, _JUMP_MIN):
            skipped = max(0, round(error / v))
            jump = lead.child(_P_JUMP / v * chance_of_lost(skipped))
            # a clock that was heard beside ours all along is at no other pulse now than it was
            beside = lead.hears_beside(at)
            jump.number += round((at - lead.x) / v) if beside else 1 + skipped
            jump.lost += skipped
            jump.owed = skipped
            jump.x = at
            jump.pxx = jump.noise
            jump.pxv = jump.pxa = 0.0
            jump.jumps += 1
            jump.took = True
            out.append(jump)
            gap = at - self._last
            if 0.9 * PERIOD_MIN < gap < 1.1 * PERIOD_MAX:
                fresh = lead.child(_P_FRESH / v)
                fresh.settle()
                fresh.number += 1
                fresh.x = at
                fresh.v = gap
                fresh.pxx = fresh.pxv = fresh.noise
                fresh.pvv = 2.0 * fresh.noise
                fresh.steps += 1
                fresh.took = True
                out.append(fresh)
        return out

    def _calmer(self, at: float) -> list[Hypothesis]:
        """Return the hypothesis that only the very first pulses were as bad as that."""
        lead = self.leader
        if self.heard > _OLD_PULSES or lead.noise < NOISE_START:
            return []
        calm = lead.with_noise(lead.noise / _ROUGHER**2, _P_ROUGH)
        calm.hear(at, self._late)
        return [calm]

    def _select(self, lead: Hypothesis) -> None:
        """Make ``lead`` the leader; a step or jump too small to matter was none."""
        old = self.leader
        if lead is not old:
            if lead.steps > old.steps and abs(lead.v - old.v) < 0.005 * old.v:
                lead.steps = old.steps
            shift = lead.x - old.x - (lead.number - old.number) * old.v
            if lead.jumps > old.jumps and abs(shift) < 0.05 * old.v:
                lead.jumps = old.jumps
        self.leader = lead

    def _branch(self) -> None:
        """Drop unlikely hypotheses; give the leader the children that the next pulse may favour."""
        lead = self.leader
        steady: list[Hypothesis] = []
        moving: list[Hypothesis | None] = [None] * len(RESTLESSNESS)
        settled = 0.0
        number = lead.number
        for h in self._pool:
            if h.kind and h.number == number:
                other = moving[h.kind]
                if other is None or h is lead or (other is not lead and h.weight > other.weight):
                    moving[h.kind] = h
                    spare = other
                else:
                    spare = h
                if spare is not None and spare.weight > _P_MOVE:
                    steady.append(spare)
            elif h.kind:
                if h.weight > _RIVAL_WEIGHT_MIN:
                    steady.append(h)
            elif (
                h is lead
                or h.age < _YOUNG_PULSES
                or h.weight > (_WEIGHT_MIN if h.number == number else _RIVAL_WEIGHT_MIN)
            ):
                steady.append(h)
                if h.age > 1 and h.weight > settled:
                    settled = h.weight
        if not lead.kind and lead.age > _OLD_PULSES:
            lead = self._merge(steady)
        self._evict(steady)
        pool = self._pool = steady
        pool.extend(self._movers(moving))
        if lead.kind and settled < 1e-4:
            calm = lead.child(_P_SETTLE)
            calm.settle()
            pool.append(calm)

    def _evict(self, steady: list[Hypothesis]) -> None:
        """Drop the least likely steady hypotheses beyond the room there is."""
        lead = self.leader
        others = [h for h in steady if h.number != lead.number]
        rival = max(others, key=_weight, default=lead)  # may yet prove the count wrong
        while len(steady) > _STEADY_MAX:
            weak = [
                h
                for h in steady
                if h.age >= _YOUNG_PULSES
                and h.weight < _DOUBTED_WEIGHT
                and h is not lead
                and h is not rival
            ]
            if not weak:
                break  # the young ones grow older soon
            steady.remove(min(weak, key=_weight))

    def _movers(self, moving: list[Hypothesis | None]) -> list[Hypothesis]:
        """Return one hypothesis of each kind that moves, anew from the leader where it is lost."""
        lead = self.leader
        out = []
        for kind in range(1, len(moving)):
            mover = moving[kind]
            if mover is None or (mover.weight < _MOVING_WEIGHT_MIN and mover is not lead):
                mover = lead.child(_P_MOVE)
                mover.move(kind)
            mover.weight = max(mover.weight, _P_MOVE)
            out.append(mover)
        return out

    def _merge(self, steady: list[Hypothesis]) -> Hypothesis:
        """Make one of the steady hypotheses that have come to agree with the leader; return it."""
        lead = best = self.leader
        for h in steady[:]:
            if h is lead or h.age <= _OLD_PULSES or h.number != lead.number or h.kind:
                continue
            apart = h.x - lead.x
            off = HORIZON * (h.v - lead.v)
            if apart * apart + off * off < lead.pxx + h.pxx:
                keep, drop = (
                    (h, best) if h.pvv < best.pvv and h.weight > 0.05 * lead.weight else (best, h)
                )
                keep.weight += drop.weight
                steady.remove(drop)
                best = keep
        # they say the same now, so what only one of them has been through was none
        best.jumps, best.steps = lead.jumps, lead.steps
        self.leader = best
        return best

    def _average(self) -> None:
        """Take the weighted mean of all that agree with the leader on the number."""
        lead = self.leader
        number = self.number = lead.number
        mass = x = v = 0.0
        half = 0.5 * HORIZON
        for h in self._pool:
            weight = h.weight
            if weight > 1e-4 and h.number == number and (h.age >= _BELIEVED_PULSES or h is lead):
                mass += weight
                x += weight * h.x
                v += weight * (h.v + half * h.a)
        self._agreed = mass
        self.x = x / mass
        self.v = min(max(v / mass, PERIOD_MIN), PERIOD_MAX)


def _weight(hypothesis: Hypothesis) -> float:
    return hypothesis.weight
