"""Follow a MIDI clock: pulses with stamps go in, the map between ticks and seconds comes out.

Sans-I/O: no clock is read here, and pulses may come from a port, a file or a test.  Where the
beat is, is estimated by :mod:`.tempo_filter`, and :mod:`.second_master` tells whose pulses count;
this module decides what number a pulse has, and what a gap means.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drumigen.timeline import Timeline
from drumigen.units import (
    CLOCK_PPQN,
    TEMPO_DEFAULT,
    TEMPO_MAX,
    TICKS_PER_PULSE,
    Bpm,
    Seconds,
)
from drumigen_daemon.clock.first_pulses import FirstPulses
from drumigen_daemon.clock.second_master import COASTS_AFTER, DOUBLED_WITHIN, TWO_BEATS, Masters
from drumigen_daemon.clock.tempo_filter import PERIOD_MAX, PERIOD_MIN, TempoFilter

_KNOWN_AFTER = 8  # pulses after which a tempo is worth remembering
_SMOOTH = 0.15  # of each pulse, in the tempo that is shown: about a sixteenth
_TEMPO_JUMP = 0.02  # share of the tempo that is shown at once
_LOCKED_WITHIN = 0.001  # seconds, standard deviation of the next sixteenth
_STRAIGHT = 0.00003  # seconds, at the next sixteenth
_ON_TIME = 0.0005  # seconds by which an expected pulse may be off, and...
_WITHIN = 2.5  # ...standard deviations, if that is more
_FOREVER = 1e9  # seconds; no monotonic clock gets there, so such a stamp (or NaN) is a fault
_TOO_SLOW = 3  # pulses in a row that are too far apart
_UNEVEN = 0.2  # periods of jitter (standard deviation) that may be lost, doubled or others' pulses

TEMPO_SLOWEST: Final = Bpm(60.0 / (CLOCK_PPQN * PERIOD_MAX))
"""The slowest clock that can be followed."""


class LockState(StrEnum):
    """What the follower knows."""

    UNLOCKED = "unlocked"
    LOCKING = "locking"
    LOCKED = "locked"
    COASTING = "coasting"


@dataclass(frozen=True, slots=True)
class ExpectedPulses:
    """Where the next pulses are expected."""

    at: float
    """Seconds: the next one."""
    period: float
    """Seconds from each to the one after it."""
    tolerance: float
    """Seconds either way by which a pulse of the same tempo may be off."""

    def has(self, nth: int, at: float) -> bool:
        """Tell whether a pulse stamped ``at`` may be the ``nth`` from now, counting from 1."""
        return abs(at - self.at - (nth - 1) * self.period) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened to the pulses so far; what later pulses refute is taken back."""

    pulses: int = 0
    lost: int = 0
    duplicates: int = 0
    foreign: int = 0
    outliers: int = 0
    steps: int = 0
    drop_outs: int = 0


class ClockFollower:
    """An estimator of song position and tempo from MIDI clock (24 pulses per quarter note).

    *Numbers.*  Pulses are numbered from 0, by time: a lost pulse takes its number with it.  Whether
    a pulse was lost, late, foreign or the first of a new tempo may only show in the pulses after
    it.  A wrong number is then taken back: the next number returned jumps, repeats or steps back,
    and :attr:`timeline` is right from then on, so that the position never slips for good.

    *Bursts.*  The pulses of a burst after a gap fill the numbers that the gap skipped: each returns
    the number that has been reached, and no longer counts as lost.

    *Beginning anew.*  A master may set its clock anew when it starts; after :meth:`restart` the
    next pulse counts, whatever was heard before it, and where the beat is follows from it and
    those after it alone.  Of the tempo before it remains a guess.

    *Two masters.*  Told apart by ``source`` where it differs: the first heard is followed until it
    has been silent for two beats.  From one source, pulses off the train that is followed are
    foreign as long as they keep being so.  A second train half-way, within the jitter, cannot be
    told from a doubled tempo and is followed as that; one within 2 ms looks like duplicates.
    """

    def __init__(self, tempo: Bpm = TEMPO_DEFAULT) -> None:
        """Begin without pulses; ``tempo`` holds until two have been heard."""
        self._period = min(max(_period_of(tempo), PERIOD_MIN), PERIOD_MAX)
        self._reset()

    def _reset(self) -> None:
        self._filter: TempoFilter | None = None
        self._timeline: Timeline | None = None
        self._state = LockState.UNLOCKED
        self._last = 0.0
        self._owed = 0
        self._restarts = False
        self._first = FirstPulses(0)
        self._epoch = 0
        self._jumps = 0
        self.last_pulse = -1
        """The number of the last pulse that counted."""
        self.last_pulse_at = -math.inf
        """And when it came."""
        self._masters = Masters()
        self._slow = self._uneven = 0
        self._pulses = self._duplicates = self._foreign = self._drop_outs = 0
        self._past = Counters()

    def forget(self) -> None:
        """Start afresh, at the last tempo."""
        self._reset()

    foretold: Final = False
    due: Final = math.inf  # who follows it asks for :attr:`coasts_at`

    @property
    def lock(self) -> str:
        """The state, as a word."""
        return self._state.value

    @property
    def master(self) -> str:
        """Whose clock is followed; empty if nobody's has been heard for two beats."""
        return next(iter(self.masters), "")

    def next_pulse(self, at: Seconds) -> int:
        """Return the number of the next pulse; while none comes, by time."""
        track = self._filter
        if track is None:
            return 0
        if self._state is not LockState.COASTING:
            return self.last_pulse + 1
        return max(self.last_pulse + 1, track.number + math.ceil((at - track.x) / track.v))

    def start_pulse(self, at: Seconds) -> int:
        """Return :meth:`next_pulse`, as MIDI has it."""
        return self.next_pulse(at)

    def set_tempo(self, tempo: Bpm, at: Seconds) -> bool:  # noqa: ARG002 - of the protocol
        """Expect ``tempo`` as long as no pulse has told another."""
        if self._filter is None:
            self._period = min(max(_period_of(tempo), PERIOD_MIN), PERIOD_MAX)
        return False

    def nudge(self, by: Seconds, at: Seconds) -> bool:  # noqa: ARG002 - of the protocol
        """Refuse: it is the master's clock."""
        return False

    def resume(self, timeline: Timeline, pulse: int, now: Seconds) -> None:
        """Coast along ``timeline`` of the clock, as if ``pulse`` was the last one heard.

        For who knows where the clock was from one that followed it before.
        """
        period = timeline.seconds_per_tick * TICKS_PER_PULSE
        self._reset()
        self._filter = TempoFilter.resumed(timeline.time_of(pulse * TICKS_PER_PULSE), period, pulse)
        self._first.are_known()
        self._period = self._filter.v
        self._state = LockState.COASTING
        self._last = self._filter.x
        self._masters.pass_to(now)
        self.last_pulse_at = float(now)
        self.last_pulse = pulse

    def restart(self, now: Seconds, source: str | None = None) -> None:
        """Let the next pulse be the first of a clock that begins anew, at about the old tempo.

        ``source`` is who starts it, if known: who was followed so far may have been left.
        """
        self._restarts = True
        self._masters.pass_to(now)
        if source is not None:
            self._masters.started_by(source, self._period)

    def pulse(self, at: Seconds, source: str = "") -> int | None:
        """Take the F8 stamped ``at`` and return its number, or None when it does not count.

        Numbers count from 0, the first pulse ever followed, and include lost pulses.  None is for
        duplicates, pulses of a master that is not followed, and stamps that are no time.
        """
        if not abs(at) < _FOREVER:
            return None
        if not self._masters.hear(at, source, self._period):
            self._foreign += 1
            return None
        number = self._number_of(at)
        self._masters.count(counted=number is not None)
        if number is not None:
            self.last_pulse, self.last_pulse_at = number, float(at)
        return number

    def _number_of(self, at: float) -> int | None:
        track = self._filter
        if track is None or self._restarts:
            self._restarts = False
            self._owed = 0
            return self._acquire(at, 0 if track is None else track.number + 1, track)
        self._first.add(at)
        since = at - self._last
        period = track.v
        long_gap = abs(since) > TWO_BEATS * period
        if long_gap or (track.heard == 1 and since > 1.1 * PERIOD_MAX):
            if long_gap:
                self._epoch += 1
                self._drop_out()
            self._slow = 0 if long_gap else self._slow + 1
            skipped = round((at - track.x) / period) - 1
            self._owed = max(0, min(skipped, TWO_BEATS))
            return self._acquire(at, track.number + 1 + max(0, skipped))
        return self._take(track, at, since)

    def _take(self, track: TempoFilter, at: float, since: float) -> int | None:
        """Take a pulse ``since`` seconds after the last one: held up, doubled, or on its way."""
        period = track.v
        together = abs(since) < min(DOUBLED_WITHIN, 0.25 * period)
        if since < 0.75 * period and track.early(at):
            if self._owed and since > -DOUBLED_WITHIN:
                return self._held_up(track, at)
            if track.certain and together:
                self._duplicates += 1
                return None
        elif since > COASTS_AFTER * period:
            self._drop_out()
        elif together and track.knows:
            return self._held_up(track, at)
        return self._follow(track, at)

    def _held_up(self, track: TempoFilter, at: float) -> int:
        """Count a pulse that came on the heels of another, for which it waited."""
        before = track.number
        track.hear_held_up(at)
        if track.number <= before:
            self._owed = max(0, self._owed - 1)
        self._last = max(at, self._last)
        self._timeline = None
        self._pulses += 1
        return track.number

    def _acquire(self, at: float, number: int, before: TempoFilter | None = None) -> int:
        old = self._filter
        if old is not None:
            self._past = self.counters
            self._duplicates = self._foreign = self._pulses = self._drop_outs = 0
        self._pulses += 1
        known = before is not None and before.heard > _KNOWN_AFTER
        self._filter = TempoFilter(
            at, self._period, number, before.leader if before is not None and known else None
        )
        self._first = FirstPulses(number)
        self._first.add(at)
        self._jumps = 0
        self._last = at
        self._timeline = None
        self._state = LockState.UNLOCKED if old is None else LockState.LOCKING
        return number

    def _follow(self, track: TempoFilter, at: float) -> int | None:
        before = track.number
        self._slow = 0
        track.hear(at)
        if self._first.count_is_due or self._first.two_are_due:
            track = self._judged_together(track, at)
        lead = track.leader
        self._last = at
        self._timeline = None
        period = track.v
        if track.heard <= 3 or abs(period - self._period) > _TEMPO_JUMP * period:
            self._period = period
        else:
            self._period += max(_SMOOTH, 2.0 / track.heard) * (period - self._period)
        if lead.jumps != self._jumps and lead.weight > 0.8:
            self._jumps = lead.jumps
            # in the first beats it is the first pulses that were off, not the song
            self._epoch += track.heard > TWO_BEATS
        limit = _LOCKED_WITHIN if self._state is not LockState.LOCKED else 2.0 * _LOCKED_WITHIN
        limit = max(limit, 0.6 * lead.noise**0.5)
        steady = track.heard > 8 and lead.spread < limit * limit
        self._state = LockState.LOCKED if steady else LockState.LOCKING
        even = lead.noise < (_UNEVEN * period) ** 2
        self._uneven = max(self._uneven - 2, 0) if even else min(self._uneven + 1, TWO_BEATS)
        skipped = track.number - before - 1
        # a stall within a stall owes its own pulses and those of the one before
        self._owed = min(self._owed + skipped, TWO_BEATS) if skipped > 0 else 0
        if not lead.took:
            return None
        self._pulses += 1
        return track.number

    def _judged_together(self, track: TempoFilter, at: float) -> TempoFilter:
        """Number the first pulses by time, and part two clocks that look like a fast one."""
        first = self._first
        if first.two_are_due:
            ours = first.of_two()
            if ours is not None and first.stamps[-1] == at:
                begin, *rest = ours
                track = self._filter = TempoFilter(begin, self._period, first.number)
                for stamp in rest:
                    track.hear(stamp)
                self._masters.are_two()
                return track
        if first.count_is_due:
            lead = track.leader
            counted = track.number - first.number
            track.count_on(first.span(track.x, track.v, lead.noise, counted) - counted)
        return track

    def _drop_out(self) -> None:
        if self._state is not LockState.COASTING:
            self._state = LockState.COASTING
            self._drop_outs += 1

    def advance(self, now: Seconds) -> bool:
        """Let time pass without pulses: after more than two periods of silence, coast."""
        if abs(now) < _FOREVER:
            self._masters.pass_to(now)
            if now >= self.coasts_at:
                self._drop_out()
        return False

    @property
    def coasts_at(self) -> float:
        """When to coast if no pulse comes until then; infinity before the second one."""
        track = self._filter
        if track is None or track.heard < 2:
            return math.inf
        return self._last + COASTS_AFTER * track.v

    @property
    def timeline(self) -> Timeline | None:
        """The best estimate now, in ticks: pulse ``n`` is tick ``80 n``.  None before any pulse.

        A straight line, exact for the next sixteenth also where the tempo is moving.
        """
        track = self._filter
        if track is not None and self._timeline is None:
            self._timeline = Timeline(
                _tempo_of(track.v), float(track.number * TICKS_PER_PULSE), Seconds(track.x)
            )
        return self._timeline

    @property
    def expected(self) -> Timeline | None:
        """Where the next pulses are expected; None if nothing tells, as before a first one."""
        return None if self._restarts else self.timeline

    @property
    def steady(self) -> bool:
        """Whether the clock is locked to, and its tempo hardly moves."""
        track = self._filter
        if track is None or self._state is not LockState.LOCKED:
            return False
        return track.leader.bend < _STRAIGHT

    @property
    def jitter(self) -> Seconds:
        """Standard deviation of the pulses about the timeline; 0 before any."""
        track = self._filter
        return Seconds(0.0 if track is None else track.leader.scatter**0.5)

    @property
    def expected_pulses(self) -> ExpectedPulses | None:
        """The pulses to come if the tempo stays.  None before any pulse."""
        track = self._filter
        if track is None:
            return None
        tolerance = max(_ON_TIME, _WITHIN * track.leader.scatter**0.5)
        return ExpectedPulses(track.x + track.v, track.v, tolerance)

    @property
    def state(self) -> LockState:
        """What the follower knows; moved by :meth:`pulse` and :meth:`advance`."""
        return self._state

    @property
    def tempo(self) -> Bpm:
        """The tempo to show, smoothed over a few pulses, within 10-400."""
        return _tempo_of(self._period)

    @property
    def epoch(self) -> int:
        """How often the phase was found anew: after more than two beats of silence, or a jump."""
        return self._epoch

    @property
    def counters(self) -> Counters:
        """What happened to the pulses so far."""
        past = self._past
        track = self._filter
        if track is None:
            return past
        lead = track.leader
        return Counters(
            pulses=past.pulses + self._pulses,
            lost=past.lost + lead.lost,
            duplicates=past.duplicates + self._duplicates,
            foreign=past.foreign + self._foreign + lead.extra,
            outliers=past.outliers + lead.outliers,
            steps=past.steps + lead.steps,
            drop_outs=past.drop_outs + self._drop_outs,
        )

    @property
    def masters(self) -> tuple[str, ...]:
        """The sources heard in the last two beats, the followed one first."""
        return self._masters.of_late(self._period)

    @property
    def conflict(self) -> bool:
        """Whether two masters are heard; the first of :attr:`masters` is followed."""
        return self._masters.conflict(self._period)

    @property
    def uneven(self) -> bool:
        """Whether pulses have been so uneven for two beats that their tempo is but a guess."""
        return self._uneven >= TWO_BEATS

    @property
    def too_slow(self) -> bool:
        """Whether pulses come too seldom to be a clock of :data:`TEMPO_SLOWEST` or faster."""
        return self._slow >= _TOO_SLOW


def _period_of(tempo: float) -> float:
    return 60.0 / (tempo * CLOCK_PPQN) if tempo > 0.0 else PERIOD_MAX


def _tempo_of(period: float) -> Bpm:
    return Bpm(min(max(60.0 / (period * CLOCK_PPQN), TEMPO_SLOWEST), TEMPO_MAX))
