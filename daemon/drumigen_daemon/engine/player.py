"""The player: turns the score into timed MIDI messages and never leaves a note hanging.

Sans I/O but for the output it is given.  Bars stay in ticks; a hit becomes a message with a time
one hand-over lead or a little more before it sounds, and can be taken back until it has left.
Every note-on carries the duty of its note-off, whatever happens next.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from drumigen.kit import KitMap, Voice
from drumigen.midi.status import CONTROL_CHANGE, NOTE_OFF, NOTE_ON
from drumigen.timeline import Timeline
from drumigen.units import TICKS_PER_PULSE, TICKS_PER_SIXTEENTH, Seconds, Tick
from drumigen_daemon.engine.bar_log import BarLog
from drumigen_daemon.engine.clock_output import ClockOutput
from drumigen_daemon.engine.inbox import HEARD_TOGETHER
from drumigen_daemon.engine.messages import PlannedBar, PlayedNote
from drumigen_daemon.engine.output_protocol import NOTES_PORT, Output
from drumigen_daemon.engine.score import Score

LOOK_AHEAD = 0.6
"""Seconds of score that are kept sorted for playing; more than the largest early offset."""
LOOK_BACK = 0.35
"""Seconds behind the playhead in which a late hit may still be waiting."""
LATE_LIMIT = 0.25
"""A hit later than this (or than a sixteenth) is dropped: it would be a wrong note."""

STALL_SECONDS = 0.05
"""Seconds by which we are called too late that tell of a stall, as of a suspended machine."""
LATE_AFTER_STALL = 0.03
"""Seconds by which a hit may be late after a stall: what was missed is not made up for."""

# floats: an event found due when waking must not be found not yet due when acting
_TICK_SLACK = 1e-3
_TIME_SLACK = 1e-7

HANDED_EARLIER = HEARD_TOGETHER
"""Seconds beyond the lead within which an event goes along when another wakes us, such as a pulse:
being woken costs more than being early.  It can be taken back as long as ever."""
RECALL_QUIET_SECONDS = 0.05
"""Seconds after a recall in which nothing goes along early: a knob that is turned recalls again."""
MOVED_SECONDS_MAX = 0.00025
"""Seconds by which another timeline must move what has been handed over for it to be taken back."""

ONE_MOMENT = 0.025
"""Seconds within which a stroke from before the song re-rolled is the one that is due now: a loop
comes round, and its first stroke has left already.  At least the lead."""

_ALL_NOTES_OFF, _ALL_SOUND_OFF = 123, 120


class _Cue(NamedTuple):
    """A hit that waits."""

    written: int
    sounding: int
    voice: Voice
    velocity: int
    nth: int
    bar: int


class _Stroke(NamedTuple):
    """A note-on that has been handed over."""

    at: float
    note: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Handed:
    """A message given to the output, kept until its time has passed."""

    at: float
    note: tuple[int, int]
    cue: _Cue | None = None
    """What is struck; None for a note-off."""


class Player:
    """Plays a :class:`Score` along a timeline of the song."""

    def __init__(self, output: Output, score: Score, kit: KitMap) -> None:
        """Stand still."""
        self._output = output
        self._score = score
        self._kit = kit
        self._timeline: Timeline | None = None
        self._offset = 0.0
        self._voice_offsets: Mapping[Voice, float] = {}
        self._floor = 0
        self._cues: list[_Cue] = []
        self._filled_to = 0
        self._last_filled: PlannedBar | None = None
        self._plans_seen = 0
        self._played: set[tuple[int, Voice, int]] = set()
        self._strokes: deque[_Stroke] = deque(maxlen=64)  # lately, the latest last
        self._strokes_before: tuple[_Stroke, ...] = ()
        self._ringing: dict[tuple[int, int], float] = {}
        self._handed: list[_Handed] = []
        self._stale_before = -math.inf
        self._recalled_at = -math.inf
        self._promised = math.inf  # when we asked to be called
        self._held_from = math.inf  # ticks
        self._stalled = False
        self.clock = ClockOutput(output)
        """Our clock, for others to follow; moved along with the notes."""
        self._channels = set(kit.channels)
        self.log = BarLog()
        self.notes = 0
        self.late_notes = 0
        self.dropped_notes = 0
        self.lateness: deque[float] = deque(maxlen=4096)
        """Seconds by which each note was handed over too late; 0 for one handed over ahead."""

    @property
    def rolling(self) -> bool:
        """Whether it is playing along a timeline."""
        return self._timeline is not None

    @property
    def timeline(self) -> Timeline | None:
        """The timeline that is played along."""
        return self._timeline

    @property
    def bar(self) -> PlannedBar | None:
        """The bar that the playhead is in."""
        return self.log.current

    def roll(self, timeline: Timeline, from_tick: int) -> None:
        """Play along ``timeline`` whatever is written at ``from_tick`` or later.

        What has left for the very moments that come again counts as played: one moment, one stroke.
        """
        self._timeline = timeline
        self._floor = from_tick
        self._held_from = math.inf
        self._played.clear()
        self._strokes_before = tuple(self._strokes)
        self.log.current = None
        self._cues = []
        self._filled_to = from_tick
        self._last_filled = None
        self._stale_before = -math.inf

    def hold_from(self, tick: float) -> None:
        """Let nothing leave that is written at ``tick`` or later, until this is called again."""
        self._held_from = tick

    def follow(self, timeline: Timeline, now: Seconds) -> None:
        """Go on along another timeline: what waits moves with it, and what is on its way if far."""
        before, self._timeline = self._timeline, timeline
        if before is None or timeline == before:
            return
        self.log.follow(timeline, now)
        if self._handed and abs(_moved(self._handed[-1].at, before, timeline)) > MOVED_SECONDS_MAX:
            self.recall(now)
        elif self._voice_offsets:  # else no other tempo changes the order
            self._sort_cues()

    def jump(self, timeline: Timeline, from_tick: int, now: Seconds) -> None:
        """Go on elsewhere in the song without silencing what rings."""
        self.recall(now)
        self._forget_left(math.inf)
        self.log.close_all()
        self.roll(timeline, from_tick)

    def set_offsets(self, offset: Seconds, by_voice: Mapping[Voice, float], now: Seconds) -> None:
        """Add ``offset`` and the voice's own offset (seconds, either sign) to every time."""
        self._offset = offset
        self._voice_offsets = {voice: seconds for voice, seconds in by_voice.items() if seconds}
        self.recall(now)

    def set_kit(self, kit: KitMap, now: Seconds) -> None:
        """Play the voices of another kit from now on; what rings is ended as it was begun."""
        if kit != self._kit:
            self._kit = kit
            self._channels.update(kit.channels)
            self.recall(now)

    def recall(self, now: Seconds) -> None:
        """Take back everything that has not left, and look at the score afresh."""
        self._recalled_at = float(now)
        if self._handed or self.clock.under_way:
            horizon = self._output.withdraw()
            self.clock.take_back(horizon)
            back = [handed for handed in self._handed if handed.at >= horizon]
            self._handed = [handed for handed in self._handed if handed.at < horizon]
            for handed in reversed(back):
                self._undo(handed)
        if self._timeline is None:
            return
        behind = max(self._floor, math.floor(self._timeline.tick_at(now - LOOK_BACK)))
        bar = self._score.at(behind)
        self._cues = []
        self._last_filled = None
        self._filled_to = bar.start if bar is not None else behind
        # a bar that came late must not bring back what its predecessor has played
        self._stale_before = self._timeline.tick_at(now - self._late_limit())

    def first_open(self, tick: Tick, grid: int, now: Seconds) -> Tick:
        """Return the first boundary from ``tick`` on, every ``grid`` ticks, that is still open.

        It is not if its time is over, or if a hit written there or later is on its way and can
        not be taken back; one that was early and has sounded is past caring.
        """
        under_way = [
            handed.cue.written
            for handed in self._handed
            if handed.cue is not None and handed.at > now - _TIME_SLACK
        ]
        over = math.ceil(self._timeline.tick_at(now)) - 1 if self._timeline is not None else -1
        latest = max(over, max(under_way, default=-1))
        if not grid or latest < tick:
            return tick
        return Tick(tick + ((latest - tick) // grid + 1) * grid)

    def halt(self, now: Seconds) -> None:
        """Stop playing: take back what waits, end what rings, close the bar."""
        self.pause(now)
        self.silence(now)

    def pause(self, now: Seconds) -> None:
        """Stop playing, about to go on elsewhere: what rings is left to end in its time."""
        self.recall(now)
        self._forget_left(math.inf)
        self._timeline = None
        self._cues = []
        self.log.close_all()

    def silence(self, now: Seconds) -> None:
        """Send the note-off of everything that rings, at once."""
        for note in list(self._ringing):
            self._off(note, now)

    def panic(self, now: Seconds) -> None:
        """End what rings, then CC 123 and CC 120 on every channel that was ever in use.

        An engine before us may have left any note of the kit ringing, and not every instrument
        knows the two control changes.
        """
        self.silence(now)
        for channel, key in sorted({(n.channel, n.note) for n in self._kit.notes.values()}):
            self._output.send(NOTES_PORT, bytes([NOTE_OFF | channel, key, 0]), now)
        for channel in sorted(self._channels):
            for control in (_ALL_NOTES_OFF, _ALL_SOUND_OFF):
                self._output.send(NOTES_PORT, bytes([CONTROL_CHANGE | channel, control, 0]), now)

    def advance(self, now: Seconds, *, early: bool) -> Seconds:
        """Hand over what is due within the lead, or soon after it if ``early``.

        Return when to call again at the latest; it may be called at any time before.
        """
        lead = self._output.lead
        self._stalled = now > self._promised + STALL_SECONDS
        early = early and now >= self._recalled_at + RECALL_QUIET_SECONDS
        until = now + lead + (HANDED_EARLIER if early else 0.0)
        self._forget_left(now)
        if self._timeline is not None:
            ahead = self._timeline.tick_at(now + LOOK_AHEAD) + _TICK_SLACK
            if ahead > self._filled_to:
                self._fill(ahead)
            self._cross_bar_lines(now)
        self._hand_over(until, now)
        self._promised = self._next_wake(now, lead)
        return Seconds(self._promised)

    def _hand_over(self, until: float, now: float) -> None:
        # three sorted sources, merged by time; an off goes before an on of the same moment
        while True:
            cue_at = self._next_due()
            off_at, note = min(
                ((at, n) for n, at in self._ringing.items()), default=(math.inf, (0, 0))
            )
            pulse_at = self.clock.due
            first = min(cue_at, off_at, pulse_at)
            if first > until + _TIME_SLACK:
                return
            if first == off_at:
                self._off(note, Seconds(off_at))
            elif first == pulse_at:
                self.clock.hand_over()
            else:
                self._strike(self._cues.pop(0), now)

    def _next_wake(self, now: float, lead: float) -> float:
        wake = min(
            self._next_due(),
            min(self._ringing.values(), default=math.inf),
            self.clock.due,
        )
        wake -= lead
        if self._timeline is not None:
            wake = min(wake, self._timeline.time_of(self._filled_to) - LOOK_AHEAD)
            bar = self.log.current
            line_at = self._timeline.time_of(bar.end if bar is not None else self._floor)
            if bar is not None or line_at > now:
                wake = min(wake, line_at)
        return wake

    def _fill(self, until: float) -> None:
        while self._filled_to < until:
            bar = self._score.at(self._filled_to)
            if bar is None:
                bar = self._score.repeat_recent(
                    self._filled_to, self._last_filled or self.log.current
                )
            if bar is None:
                # nothing at all to play: look again a sixteenth on
                self._filled_to += TICKS_PER_SIXTEENTH
                continue
            self._cues.extend(self._cues_of(bar))
            self._filled_to = bar.end
            self._last_filled = bar
        self._sort_cues()

    def _cues_of(self, bar: PlannedBar) -> Iterator[_Cue]:
        seen: dict[tuple[int, Voice], int] = {}
        for hit in bar.bar.hits:
            written = bar.start + hit.tick
            nth = seen.get((written, hit.voice), 0)
            seen[written, hit.voice] = nth + 1
            sounding = written + hit.offset
            if (
                written >= self._floor
                and sounding >= self._stale_before
                and (written, hit.voice, nth) not in self._played
            ):
                yield _Cue(written, sounding, hit.voice, hit.velocity, nth, bar.number)

    def _sort_cues(self) -> None:
        self._cues.sort(key=lambda cue: (self._due(cue), cue))

    def _due(self, cue: _Cue) -> float:
        timeline = self._timeline
        if timeline is None:
            return math.inf
        return (
            timeline.time_of(cue.sounding) + self._offset + self._voice_offsets.get(cue.voice, 0.0)
        )

    def _next_due(self) -> float:
        if not self._cues or self._cues[0].written >= self._held_from:
            return math.inf
        return self._due(self._cues[0])

    def _strike(self, cue: _Cue, now: float) -> None:
        self._played.add((cue.written, cue.voice, cue.nth))
        at = self._due(cue)
        late = now - at
        place = self._kit.note_of(cue.voice)
        note = (place.channel, place.note)
        if self._has_left_for(at, note):
            return
        if late > 0.0:
            if late > (LATE_AFTER_STALL if self._stalled else self._late_limit()):
                self.dropped_notes += 1
                return
            if self._voice_played_step(cue):
                return
            at = now
        at = self._in_turn(note, at)
        for ended in (note, *self._choked_by(cue.voice)):
            if self._ringing.get(ended, -1.0) > at:
                self._off(ended, Seconds(at))
        self._output.send(
            NOTES_PORT, bytes([NOTE_ON | place.channel, place.note, cue.velocity]), Seconds(at)
        )
        self.lateness.append(max(0.0, late))
        self._ringing[note] = at + place.gate_ms / 1000.0
        self.notes += 1
        if late > 0.001:
            self.late_notes += 1
        self._handed.append(_Handed(at, note, cue))
        self._strokes.append(_Stroke(at, note))

    def _has_left_for(self, at: float, note: tuple[int, int]) -> bool:
        """Whether ``note`` was struck for this very moment before the song re-rolled."""
        moment = max(ONE_MOMENT, self._output.lead)
        return any(s.note == note and abs(s.at - at) < moment for s in self._strokes_before)

    def _late_limit(self) -> float:
        if self._timeline is None:
            return LATE_LIMIT
        return min(LATE_LIMIT, TICKS_PER_SIXTEENTH * self._timeline.seconds_per_tick)

    def _voice_played_step(self, cue: _Cue) -> bool:
        # a late newcomer (a style switch) must not double a voice that has sounded on this step
        step = cue.written // TICKS_PER_SIXTEENTH
        return any(
            voice is cue.voice and written // TICKS_PER_SIXTEENTH == step
            for written, voice, nth in self._played
            if (written, voice, nth) != (cue.written, cue.voice, cue.nth)
        )

    def _choked_by(self, voice: Voice) -> Iterator[tuple[int, int]]:
        for choked in self._kit.chokes(voice):
            place = self._kit.note_of(choked)
            yield (place.channel, place.note)

    def _in_turn(self, note: tuple[int, int], at: float) -> float:
        """Return ``at``, or when a stroke of ``note`` that is under way leaves, if that is later.

        A timeline that bends puts what is handed over now before what was handed over for the old
        one; so does a Stop just before a stroke that can not be taken back any more.
        """
        under_way = [h.at for h in self._handed if h.cue is not None and h.note == note]
        struck = [stroke.at for stroke in self._strokes if stroke.note == note]
        return max([at, *under_way, *struck])

    def _off(self, note: tuple[int, int], at: Seconds) -> None:
        del self._ringing[note]
        at = Seconds(self._in_turn(note, at))
        channel, key = note
        self._output.send(NOTES_PORT, bytes([NOTE_OFF | channel, key, 0]), at)
        self._handed.append(_Handed(at, note))

    def _undo(self, handed: _Handed) -> None:
        cue = handed.cue
        if cue is None:
            self._ringing[handed.note] = handed.at
            return
        self._ringing.pop(handed.note, None)
        self._played.discard((cue.written, cue.voice, cue.nth))
        with suppress(ValueError):  # of so many that it has been forgotten
            self._strokes.remove(_Stroke(handed.at, handed.note))
        self.notes -= 1

    def _forget_left(self, now: float) -> None:
        self.clock.forget_left(now)
        left = [handed for handed in self._handed if handed.at <= now]
        if not left:
            return
        self._handed = [handed for handed in self._handed if handed.at > now]
        for handed in left:
            cue = handed.cue
            if cue is not None:
                gate = self._gate_ticks(cue.voice)
                note = PlayedNote(cue.sounding, *handed.note, cue.velocity, gate)
                self.log.sounded(cue.bar, note)

    def _gate_ticks(self, voice: Voice) -> int:
        if self._timeline is None:
            return TICKS_PER_PULSE
        seconds = self._kit.note_of(voice).gate_ms / 1000.0
        return max(1, round(seconds / self._timeline.seconds_per_tick))

    def _cross_bar_lines(self, now: float) -> None:
        timeline, log = self._timeline, self.log
        if timeline is None:
            return
        tick = timeline.tick_at(now) + _TICK_SLACK
        if tick < self._floor:  # not there yet
            return
        bar = log.current
        if bar is not None and bar.start <= tick < bar.end:
            if self._score.plans != self._plans_seen:
                self._plans_seen = self._score.plans
                log.current = self._score.at(bar.start) or bar
        else:
            new = self._score.at(tick)
            if new is not None and (bar is None or new.start != bar.start):
                self._score.entered(new)
                log.enter(new, timeline)
                self._prune(new)
        if not log.all_closed:
            log.close_before(tick - LOOK_BACK / timeline.seconds_per_tick)

    def _prune(self, bar: PlannedBar) -> None:
        before = bar.start - 2 * bar.bar.meter.ticks
        self._played = {key for key in self._played if key[0] >= before}


def _moved(at: float, before: Timeline, after: Timeline) -> float:
    """Return by how many seconds another timeline moves what was to sound at ``at``."""
    return after.time_of(before.tick_at(at)) - at
