"""The conductor: whose clock counts, where the song is on it, and when the player rolls.

Sans I/O.  It joins the clock follower, our own clock and the song position, and moves the player
along the timeline of the song that comes out.
"""

import math
from collections.abc import Callable
from typing import Final

from drumigen.midi.status import CONTINUE, SONG_POSITION, START, STOP
from drumigen.timeline import Timeline
from drumigen.units import (
    SONG_POSITION_MAX,
    TEMPO_MAX,
    TEMPO_MIN,
    TICKS_PER_BEAT,
    TICKS_PER_PULSE,
    TICKS_PER_SIXTEENTH,
    Bpm,
    Seconds,
    Tick,
)
from drumigen_daemon.clock.midi_clock import ExpectedPulses, LockState
from drumigen_daemon.clock.source import Clock
from drumigen_daemon.clock.tempo_filter import PERIOD_MAX
from drumigen_daemon.engine.clock_choice import Clocks
from drumigen_daemon.engine.clock_warnings import ClockWarnings
from drumigen_daemon.engine.drop_out import SILENCE, SILENCE_TOLD, SilenceVerdict, SilenceWatch
from drumigen_daemon.engine.lost_start import LostStart
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, TransportState
from drumigen_daemon.engine.output_protocol import Output
from drumigen_daemon.engine.player import Player
from drumigen_daemon.engine.re_one import ticks_to_the_one
from drumigen_daemon.engine.song_position import SongPosition
from drumigen_daemon.histogram import CLOCK_BOUNDS, Tally
from drumigen_daemon.process.log_line import LogLevel

START_TWICE: Final = 0.012
"""Seconds after its first pulse within which a Start is the same again, from another port."""
START_MARGIN: Final = 0.002
"""Seconds from our Start to its first pulse, so that followers see them apart."""


class Conductor:
    """Leads one player; all times are monotonic seconds."""

    def __init__(
        self,
        player: Player,
        output: Output,
        log: Callable[[LogLevel, str], None],
        now: Seconds,
    ) -> None:
        """Stand still at tick 0 with the default settings."""
        self._player = player
        self._output = output
        self._log = log
        self._parameters = EngineParameters()
        self._song = SongPosition()
        self._clocks = Clocks(self._parameters.tempo, now, log)
        self._internal = self._clocks.internal
        self.follower = self._clocks.follower
        self.clock_errors = Tally(CLOCK_BOUNDS)
        """Seconds from where each pulse was expected to where it came."""
        self.resyncs = 0
        """Times that the song was moved against the clock: re-phased, or told where the one is."""
        self._source: Clock = self._internal
        self._silence = SilenceWatch(log)
        self._epoch = 0
        self._held: Timeline | None = None
        self._held_until = math.inf  # seconds
        self._timeline_moved = (
            False  # pulses have moved the timeline since the player was told of it
        )
        self._lost_start = LostStart()
        self._owed: Tick | None = None
        """Where a master that said Start has its first pulse, while our own clock stands in."""
        self._warnings = ClockWarnings(log)
        self._choose_clock(now)

    # --- what may be asked -----------------------------------------------------------------

    @property
    def transport(self) -> TransportState:
        """Stopped, armed or rolling."""
        return self._song.state

    @property
    def moves(self) -> int:
        """Counts starts, continues and relocates."""
        return self._song.moves

    @property
    def position(self) -> Tick:
        """Where the song will start, while it does not roll."""
        return self._song.position

    @property
    def timeline(self) -> Timeline:
        """Song ticks against seconds: what is played along, or would be."""
        return self._held or self._song.timeline(self._clock)

    @property
    def jitter(self) -> Seconds:
        """Standard deviation of the followed clock's pulses; 0 for our own."""
        return Seconds(0.0) if self._source.foretold else self.follower.jitter

    @property
    def lock(self) -> str:
        """``internal``, or the lock state of the clock that is followed."""
        return self._source.lock

    @property
    def master(self) -> str:
        """Whose clock is followed; empty for our own."""
        return self._source.master

    @property
    def steady(self) -> bool:
        """Whether nothing tells that the song is about to move along another timeline."""
        return self._source.steady and not self._moves_at_bar_line

    @property
    def expected_pulses(self) -> ExpectedPulses | None:
        """The clock pulses that would be no news, while the song rolls steadily along a clock."""
        rolls = self._player.rolling and not self._source.foretold
        return self.follower.expected_pulses if rolls and self.steady else None

    # --- what the clock says ---------------------------------------------------------------

    def pulse(self, source: str, at: Seconds) -> None:
        """Take one MIDI clock pulse."""
        if self._owed is not None and self._parameters.source != ClockSource.INTERNAL:
            self._end_standing_in(self._owed, source, at)
        expected, epoch = self.follower.expected, self.follower.epoch
        heard_before = self.follower.last_pulse_at
        number = self.follower.pulse(at, source)
        if number is None:
            return
        if expected is not None and self.follower.epoch == epoch:
            self.clock_errors.add(abs(at - expected.time_of(number * TICKS_PER_PULSE)))
        if at - heard_before > SILENCE:
            self._lost_start.begins(number)
        if self._source.foretold and self._song.state is TransportState.STOPPED:
            self._choose_clock(at)
        if self._source.foretold:
            return
        if self._song.pulse(number):
            self._epoch = self.follower.epoch
            self._roll()
            # how fast it goes, the next pulse will tell
            self._player.hold_from(self._song.position + TICKS_PER_PULSE * self._song.reading)
            self._held_until = at + PERIOD_MAX
        elif self._song.state is TransportState.ROLLING:
            self._timeline_moved = True
            self._release()
        elif self._parameters.start_on_clock and self._lost_start.is_certain_at(number):
            self._make_up_for_lost_start(at)

    def message(self, source: str, message: bytes, at: Seconds) -> None:
        """Take Start, Continue, Stop or a song position pointer from the master.

        What says only what is so already changes nothing.  Else the next pulse is the position, at
        its own moment: a master may have set its clock anew.
        """
        if self._parameters.source not in (ClockSource.AUTO, ClockSource.MIDI):
            return
        self._owed = None
        status = message[0]
        if self._source.foretold:
            # who only tells a position may be about to start; who starts is the master
            if status == STOP or (status == SONG_POSITION and self._player.rolling):
                return
            if status in (START, CONTINUE):
                self.stop(at)
                self._use(self.follower, at)
        self._lost_start.is_none()
        if status == STOP:
            self.stop(at)
        elif status == CONTINUE:
            self._song.continue_()
        elif status == SONG_POSITION:
            tick = self._song.tick_of_sixteenth(message[1] | message[2] << 7)
            # who has been silent says where the next pulse is, however near we have kept
            silent = at - self.follower.last_pulse_at > SILENCE_TOLD
            if silent or not self._is_at(tick, at):
                self._pause(at)
                self._song.locate(tick)
        elif not self._has_just_started(at):
            self._pause(at)
            self._song.start()
        if self._song.state is TransportState.ARMED:
            self._await_master(source, at)

    def advance(self, now: Seconds) -> float:
        """Let time pass: drop-outs, lines held until the bar line, a change of reading.

        Return when to call again at the latest.
        """
        self.follower.advance(now)
        if self._timeline_moved:
            self._timeline_moved = False
            self._follow(now)
        if self._source.foretold and self._source.advance(now):
            self._steer(now)
        wake = self._source.due
        if now >= self._held_until:
            self._release()
        wake = min(wake, self._held_until)
        if self._player.rolling:
            wake = min(wake, self._check_bar_line(now))
        self._warnings.look(self.follower)
        return min(wake, self._check_silence(now))

    # --- what we are told ------------------------------------------------------------------

    def apply(self, parameters: EngineParameters, now: Seconds) -> None:
        """Take new settings; those of clock and transport act here."""
        before, self._parameters = self._parameters, parameters
        if parameters.tempo != before.tempo and self._clocks.set_tempo(
            parameters.tempo, now, self._source
        ):
            self._steer(now)
        if not self._player.rolling:
            if (parameters.source, parameters.clock_out) != (before.source, before.clock_out):
                self._choose_clock(now)
            self._song.read_as(self._reading())
            self._roll_if_foretold(
                now
            )  # if it waits for a clock that is not to be followed any more

    def start(self, now: Seconds) -> None:
        """Roll from tick 0 at the next pulse; nothing if that is where the song is."""
        if not self._is_at(Tick(0), now):
            self._go(now, self._song.start)

    def continue_(self, now: Seconds) -> None:
        """Roll from the stored position at the next pulse; nothing while rolling."""
        if self._song.state is not TransportState.ROLLING:
            self._go(now, self._song.continue_)

    def stop(self, now: Seconds) -> None:
        """Stop and silence; the position is kept."""
        self._owed = None
        if self._song.state is TransportState.STOPPED:
            return
        if self._song.state is TransportState.ROLLING:
            self._player.clock.tell(bytes([STOP]), now)
        self._song.stop(self._source.next_pulse(now))
        self._silence.at_rest()
        self._halt(now)
        self._choose_clock(now)

    def locate(self, tick: Tick, now: Seconds) -> None:
        """Move the playhead, stopped or rolling; nothing if it rolls there already."""
        if self._is_at(tick, now):
            return
        self._owed = None
        rolling = self._player.rolling
        self._pause(now)
        self._song.locate(tick)
        if rolling:
            self._player.clock.tell(bytes([STOP]), now)
        self._roll_if_foretold(now)
        self._await_pulse(now)

    def re_one(self, now: Seconds) -> None:
        """Make the beat nearest to now the nearest bar line."""
        bar = self._player.bar
        if not self._player.rolling or bar is None:
            return
        self._owed = None
        ticks = ticks_to_the_one(self.timeline.tick_at(now), bar)
        if ticks:
            self._move_song(ticks, self._source.next_pulse(now))
            timeline = self.timeline
            self._player.jump(timeline, math.ceil(timeline.tick_at(now)), now)
            self._song.moves += 1
        self.resyncs += 1

    def nudge(self, by: Seconds, now: Seconds) -> None:
        """Move the song later by so many seconds, on our own clock; negative is earlier."""
        if self._source.nudge(by, now):
            self._steer(now)
        else:
            self._log("warning", "a nudge moves our own clock only: use offset_ms instead")

    def _steer(self, now: Seconds) -> None:
        """Have everything go on along the new timeline of a clock that is known beforehand."""
        self._player.recall(now)
        self._player.clock.steer(self._clock)
        if self._player.rolling:
            self._player.follow(self.timeline, now)

    def rejoin(self, timeline: Timeline, now: Seconds, *, external: bool) -> None:
        """Roll at once where ``timeline`` has the song, for an engine that is no more.

        A clock that it followed is taken to go on along it, until its pulses say otherwise.
        """
        package = self._clocks.of_package(self._parameters.source, now)
        if package is not None:
            self._use(package, now)
            pulse = package.next_pulse(now)
            tick = round(timeline.tick_at(package.timeline.time_of(pulse * TICKS_PER_PULSE)))
            self._join(pulse, tick, now)
            return
        self._use(self.follower if external else self._internal, now)
        step = TICKS_PER_PULSE * self._song.reading
        pulse = max(0, math.floor(timeline.tick_at(now) / step))
        tick = round(pulse * step)
        clock = Timeline(
            Bpm(timeline.tempo / self._song.reading),
            float(pulse * TICKS_PER_PULSE),
            timeline.time_of(tick),
        )
        if external:
            self.follower.resume(clock, pulse, now)
        else:
            self._internal.timeline = clock
            self._use(self._internal, now)
        self._join(pulse, tick, now)

    def _join(self, pulse: int, tick: int, now: Seconds) -> None:
        self._epoch = self.follower.epoch
        self._song.join(pulse, tick)
        self._held = None
        self._player.roll(self.timeline, math.ceil(self.timeline.tick_at(now)))

    # --- how it is done --------------------------------------------------------------------

    def _is_at(self, tick: Tick, now: Seconds) -> bool:
        """Whether the song rolls, and is within half a sixteenth of ``tick``.

        A song position pointer knows nothing finer.
        """
        half = TICKS_PER_SIXTEENTH / 2 * self._song.reading
        rolls = self._song.state is TransportState.ROLLING
        return rolls and abs(self.timeline.tick_at(now) - tick) <= half

    def _has_just_started(self, at: Seconds) -> bool:
        """Whether a Start would say nothing new: it is the last one, from another port."""
        song, follower = self._song, self.follower
        if song.position != 0 or song.state is TransportState.STOPPED:
            return False
        if song.state is TransportState.ARMED:
            return True
        no_second_pulse = follower.last_pulse == song.pulse_of_position
        return no_second_pulse and at - follower.last_pulse_at < START_TWICE

    @property
    def _clock(self) -> Timeline:
        return self._source.timeline or self._internal.timeline

    def _choose_clock(self, now: Seconds) -> None:
        self._use(self._clocks.chosen(self._parameters.source, now), now)

    def _use(self, source: Clock, now: Seconds) -> None:
        changed = source is not self._source
        if changed:
            self._source = source
            source.advance(now)
        clock = self._player.clock
        if not (source.foretold and self._parameters.clock_out):
            clock.end()
        elif changed or not clock.sends:
            clock.start(self._clock, source.next_pulse(Seconds(now + self._output.lead)))
        self._song.read_as(self._reading())

    def _reading(self) -> float:
        if self._source.foretold:
            return 1.0
        reading = self._parameters.reading_factor
        if TEMPO_MIN <= self.follower.tempo * reading <= TEMPO_MAX:
            return reading
        return 1.0

    def _go(self, now: Seconds, arm: Callable[[], None]) -> None:
        self._owed = None
        self._pause(now)
        if self._song.state is not TransportState.ROLLING:
            self._choose_clock(now)
        arm()
        self._roll_if_foretold(now)
        self._await_pulse(now)

    def _await_master(self, source: str, at: Seconds) -> None:
        self.follower.restart(at, source)
        self._silence.armed(at, by_master=True)

    def _await_pulse(self, now: Seconds) -> None:
        if self._song.state is not TransportState.ARMED:
            return
        self._silence.armed(now, by_master=False)
        if self.follower.state is not LockState.LOCKED:
            # a count that may be taken back is no place to put a song on
            self.follower.restart(now)

    def _roll_if_foretold(self, now: Seconds) -> None:
        """Roll along a clock that is known beforehand, if we wait to roll and it counts."""
        position = self._song.position
        if self._song.state is not TransportState.ARMED or not self._source.foretold:
            return
        pulse = self._source.start_pulse(Seconds(now + self._output.lead + START_MARGIN))
        self._song.pulse(pulse)
        at = Seconds(self._clock.time_of(pulse * TICKS_PER_PULSE) - START_MARGIN / 2)
        tell = self._player.clock.tell
        if position == 0:
            tell(bytes([START]), at)
        else:
            sixteenths = min(position // TICKS_PER_SIXTEENTH, SONG_POSITION_MAX)
            tell(bytes([SONG_POSITION, sixteenths & 0x7F, sixteenths >> 7]), at)
            tell(bytes([CONTINUE]), at)
        self._roll()

    def _roll(self) -> None:
        self._held = None
        self._player.roll(self.timeline, self._song.position)

    def _roll_midway(self, at: Seconds) -> None:
        self._held = None
        # what is written on the pulse that we join with still belongs to us
        self._player.roll(self.timeline, round(self.timeline.tick_at(at)) - TICKS_PER_PULSE // 2)

    def _release(self) -> None:
        """Let leave what waits for the second pulse."""
        if self._held_until < math.inf:
            self._held_until = math.inf
            self._player.hold_from(math.inf)

    def _halt(self, now: Seconds) -> None:
        self._held = None
        if self._player.rolling:
            self._player.halt(now)

    def _pause(self, now: Seconds) -> None:
        self._held = None
        if self._player.rolling:
            self._player.pause(now)

    def _move_song(self, ticks: int, pulse: int) -> None:
        """Let ``pulse`` be ``ticks`` later in the song than it was."""
        tick = self._song.timeline(self._clock).tick_at(
            self._clock.time_of(pulse * TICKS_PER_PULSE)
        )
        self._song.anchor(pulse, round(tick) + ticks)

    def _end_standing_in(self, tick: Tick, source: str, at: Seconds) -> None:
        """Give the song to the master that said Start long ago: here is its first pulse."""
        self._log("info", "the master's clock has come: rolling along it from where it said")
        self.stop(at)
        self._use(self.follower, at)
        self._song.locate(tick)
        self._song.continue_()
        self._await_master(source, at)

    def _make_up_for_lost_start(self, at: Seconds) -> None:
        self._log("warning", "a clock without a Start: rolling as if it began with its first pulse")
        self._song.join(self._lost_start.first_pulse, self._song.position)
        self._roll_midway(at)

    def _follow(self, now: Seconds) -> None:
        if self._song.state is not TransportState.ROLLING:
            return
        if self.follower.epoch != self._epoch:
            # the phase has jumped: finish the bar on the old timeline
            self._epoch = self.follower.epoch
            self._held = self._player.timeline
        if self._held is None:
            self._player.follow(self.timeline, now)

    @property
    def _moves_at_bar_line(self) -> bool:
        """Whether the song is to go on along another timeline at the next bar line."""
        return self._held is not None or self._reading() != self._song.reading

    def _check_bar_line(self, now: Seconds) -> float:
        """Move the song if the bar is about to end; return when to look again."""
        bar = self._player.bar
        if bar is None or not self._moves_at_bar_line:
            return math.inf
        bar_line = self.timeline.time_of(bar.end)
        moves_at = bar_line - self._output.lead - START_MARGIN
        if now < moves_at:
            return moves_at
        if self._held is not None:
            # keep the bar line, on the beat of the clock that is nearest to it
            self._held = None
            off_bar_line = self.timeline.tick_at(bar_line) - bar.end
            self._move_song(
                -round(off_bar_line / TICKS_PER_BEAT) * TICKS_PER_BEAT, self.follower.last_pulse
            )
            self.resyncs += 1
        reading = self._reading()
        if reading != self._song.reading:
            pulse = round(self._clock.tick_at(bar_line) / TICKS_PER_PULSE)
            self._song.read_as(reading)
            self._song.anchor(pulse, bar.end)
        self._player.follow(self.timeline, now)
        return math.inf

    def _check_silence(self, now: Seconds) -> float:
        """Act if the clock that is followed has been silent for long; return when to look again."""
        if self._source.foretold:
            return math.inf
        turn, wake = SilenceVerdict.GO_ON, math.inf
        match self._song.state:
            case TransportState.STOPPED:
                self._silence.at_rest()
                if not self._clocks.hears(now):
                    self._choose_clock(now)
            case TransportState.ARMED:
                turn, wake = self._silence.waits(now, self.follower, self._parameters)
            case TransportState.ROLLING:
                expected = self.expected_pulses
                turn, wake = self._silence.rolls(now, self.follower, expected, self._parameters)
        if turn is SilenceVerdict.STOP:
            self.stop(now)
        elif turn is SilenceVerdict.OWN_CLOCK:
            self._owed = self._song.position if self._silence.of_master else None
            self._silence.at_rest()
            self._use(self._internal, now)
            self._roll_if_foretold(now)
        return wake
