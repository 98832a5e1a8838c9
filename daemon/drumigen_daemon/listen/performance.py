"""The song as it sounds: the engine's player on a synthesizer in place of MIDI ports.  Sans I/O."""

import math
from typing import Final, Protocol

from drumigen.kit import load_kit
from drumigen.midi.status import NOTE_ON
from drumigen.timeline import Timeline
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_PULSE, Seconds, Tick
from drumigen_daemon.engine.messages import PlannedBar
from drumigen_daemon.engine.player import Player
from drumigen_daemon.engine.score import Score
from drumigen_daemon.listen.messages import ListenPlan, ListenState
from drumigen_daemon.listen.render_clock import RenderClock

SYNTH_LEAD: Final = Seconds(0.12)
"""Seconds ahead of which notes are given to the synthesizer."""
JUMP: Final = TICKS_PER_BEAT // 4
"""Ticks by which the song must move at once for it to be elsewhere and not of another tempo."""


class Instrument(Protocol):
    """What is played on: :class:`~drumigen_daemon.sound.fluidsynth.LiveSynth`."""

    @property
    def millisecond(self) -> int:
        """The millisecond that is rendered next."""

    def note_on_at(self, millisecond: int, note: int, velocity: int) -> None:
        """Strike a drum at ``millisecond``."""

    def note_off_at(self, millisecond: int, note: int) -> None:
        """Release a drum at ``millisecond``."""

    def withdraw(self) -> int:
        """Take back what has not sounded; return the millisecond from which on."""


class _Output:
    """An :class:`~drumigen_daemon.engine.player.Output` to an instrument."""

    lead = SYNTH_LEAD
    dropped = 0

    def __init__(self, instrument: Instrument, clock: RenderClock, delay: Seconds) -> None:
        self._instrument = instrument
        self._clock = clock
        self._delay = delay

    def send(self, _port: str, data: bytes, at: Seconds) -> None:
        millisecond = self._clock.millisecond_at(Seconds(at + self._delay))
        if data[0] & 0xF0 == NOTE_ON and data[2]:
            self._instrument.note_on_at(millisecond, data[1], data[2])
        else:
            self._instrument.note_off_at(millisecond, data[1])

    def withdraw(self) -> Seconds:
        return Seconds(self._clock.time_of(self._instrument.withdraw()) - self._delay)


class SoundingSong:
    """Plays what it is told is planned, along the timeline that it is told."""

    def __init__(self, instrument: Instrument, delay: Seconds) -> None:
        """Stand still; everything is to sound ``delay`` later than it leaves as MIDI.

        So all keep their distance, though a Start, or a switch at the last moment, is known here
        some time after it happened.
        """
        self._instrument = instrument
        self._delay = delay
        self.clock = RenderClock()
        self._score = Score()
        self._player = Player(_Output(instrument, self.clock, delay), self._score, load_kit())
        self._held: tuple[PlannedBar, ...] = ()
        self._start = Tick(0)
        self._stopped_at = Seconds(math.inf)
        self._offset_ms = 0.0

    @property
    def late(self) -> int:
        """Notes that could not sound on time, or not at all."""
        return self._player.late_notes + self._player.dropped_notes

    def plan(self, told: ListenPlan, now: Seconds) -> None:
        """Take the bars to come in place of those that were told before."""
        if told.bars != self._held:
            self._held = told.bars
            self._score.plan(told.bars, Tick(0))
            self._player.recall(self._heard(now))

    def go(self, state: ListenState, now: Seconds) -> None:
        """Roll, stand still, or go on along another line, as ``state`` says."""
        player, heard = self._player, self._heard(now)
        if state.offset_ms != self._offset_ms:
            self._offset_ms = state.offset_ms
            player.set_offsets(Seconds(state.offset_ms / 1000), {}, heard)
        if not state.rolling:
            # what has left as MIDI before is still to be heard
            self._stopped_at = min(now, self._stopped_at)
            self._halt_if_heard(heard)
            self._start = state.tick
            return
        if player.rolling and self._stopped_at < math.inf:
            player.halt(heard)  # the song of before, not all of which was heard
        self._stopped_at = Seconds(math.inf)
        if player.timeline is None:
            player.roll(state.line, self._first(state.line, heard))
        elif _moved(player.timeline, state.line, heard) > JUMP:
            player.jump(state.line, math.ceil(state.line.tick_at(heard)), heard)
        else:
            player.follow(state.line, heard)

    def advance(self, now: Seconds) -> None:
        """Give the instrument what sounds soon; to be called some fifty times a second."""
        if self.clock.observe(self._instrument.millisecond, now):
            self._player.recall(self._heard(now))
        self._halt_if_heard(self._heard(now))
        self._player.advance(self._heard(now), early=True)

    def _halt_if_heard(self, heard: Seconds) -> None:
        """Stand still if what sounds is the moment at which the song was stopped."""
        if self._player.rolling and heard >= self._stopped_at:
            self._player.halt(heard)

    def _heard(self, now: Seconds) -> Seconds:
        """Return the moment that sounds at ``now``."""
        return Seconds(now - self._delay)

    def _first(self, line: Timeline, heard: Seconds) -> int:
        """Return the tick to begin with: where the song stood, if it has just begun."""
        tick = line.tick_at(heard)
        if self._start - TICKS_PER_BEAT < tick < self._start + TICKS_PER_BEAT:
            return self._start
        return math.ceil(tick) - TICKS_PER_PULSE


def _moved(before: Timeline, after: Timeline, at: Seconds) -> float:
    return abs(after.tick_at(at) - before.tick_at(at))
