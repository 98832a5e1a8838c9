"""Song position, sans I/O: start, continue, stop and locate over a train of pulses.

Whoever gives the clock counts pulses from 0 and knows their timeline; this says which song tick a
pulse is.  MIDI's rule: the first pulse after Start or Continue
*is* the position (MIDI 1.0, "MIDI Clock" and "Song Position Pointer").  It is kept by the number of
that pulse, so whoever counts must never give that pulse another number.  What is done on such a
message is :mod:`.conductor`'s; ``re-one`` is :mod:`.re_one`'s.
"""

from drumigen.timeline import Timeline
from drumigen.units import TICKS_PER_PULSE, TICKS_PER_SIXTEENTH, Bpm, Tick
from drumigen_daemon.engine.messages import TransportState


class SongPosition:
    """Which song tick each pulse of the clock is, and whether the song rolls."""

    def __init__(self) -> None:
        """Stand still at tick 0, one song tick per tick of the clock."""
        self.state = TransportState.STOPPED
        self.reading = 1.0
        """Song ticks per tick of the clock: 0.5, 1 or 2; change it with :meth:`read_as`."""
        self.moves = 0
        """Counts starts, continues and relocates."""
        self._position = 0
        self._pulse = 0

    @property
    def position(self) -> Tick:
        """The stored position: where a Continue would start, or where the song rolled from."""
        return Tick(self._position)

    @property
    def pulse_of_position(self) -> int:
        """The pulse that :attr:`position` is; while rolling."""
        return self._pulse

    def start(self) -> None:
        """Arm at tick 0, also while rolling."""
        self._arm(0)

    def continue_(self) -> None:
        """Arm at the stored position; while rolling or armed it changes nothing."""
        if self.state is TransportState.STOPPED:
            self._arm(self._position)

    def stop(self, next_pulse: int) -> None:
        """Stop at ``next_pulse``, which is stored; stopped already, nothing changes."""
        if self.state is TransportState.ROLLING:
            self._position = max(0, self._tick_of(next_pulse))
        self.state = TransportState.STOPPED

    def locate(self, tick: Tick) -> None:
        """Move to ``tick``; while rolling the next pulse is there."""
        if self.state is TransportState.STOPPED:
            self._position = tick
            self.moves += 1
        else:
            self._arm(tick)

    def tick_of_sixteenth(self, sixteenths: int) -> Tick:
        """Return what a song position pointer means, in sixteenths of the clock's own beat."""
        return Tick(round(sixteenths * TICKS_PER_SIXTEENTH * self.reading))

    def pulse(self, number: int) -> bool:
        """Take pulse ``number`` of the clock; return True if the song begins to roll on it."""
        if self.state is not TransportState.ARMED:
            return False
        self.state = TransportState.ROLLING
        self._pulse = number
        return True

    def join(self, pulse: int, tick: int) -> None:
        """Roll at once, ``pulse`` being song tick ``tick``."""
        self.anchor(pulse, tick)
        self.state = TransportState.ROLLING
        self.moves += 1

    def anchor(self, pulse: int, tick: int) -> None:
        """Say that ``pulse`` is song tick ``tick`` from now on, without a start or stop."""
        self._pulse = pulse
        self._position = tick

    def read_as(self, reading: float) -> None:
        """Read the clock in half (0.5), normal (1) or double (2) time.

        A stored position stays the same beat of the clock.  While rolling, anchor afterwards.
        """
        if self.state is not TransportState.ROLLING:
            self._position = round(self._position * reading / self.reading)
        self.reading = reading

    def timeline(self, clock: Timeline) -> Timeline:
        """Return the song's timeline, given the clock's (in ticks of the clock, pulse 0 at 0)."""
        ticks = (clock.tick_origin - self._pulse * TICKS_PER_PULSE) * self.reading
        tempo = Bpm(clock.tempo * self.reading)
        return Timeline(tempo, self._position + ticks, clock.time_origin)

    def _tick_of(self, pulse: int) -> int:
        return round(self._position + (pulse - self._pulse) * TICKS_PER_PULSE * self.reading)

    def _arm(self, tick: int) -> None:
        self._position = tick
        self.state = TransportState.ARMED
        self.moves += 1
