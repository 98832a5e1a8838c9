"""A master that falls silent, or never speaks: what is said of it, and what becomes of the song.

Silence is noticed and counted by the clock itself, :mod:`.clock.midi_clock`.
"""

import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from drumigen.units import Seconds
from drumigen_daemon.clock.midi_clock import ClockFollower, ExpectedPulses, LockState
from drumigen_daemon.engine.inbox import HEARD_TOGETHER
from drumigen_daemon.engine.messages import ClockSource, DropOut, EngineParameters
from drumigen_daemon.process.log_line import LogLevel

SILENCE: Final = 2.0
"""Seconds without pulses after which a master counts as gone."""
SILENCE_TOLD: Final = 0.25
"""Seconds without pulses after which a drop-out is worth a line in the log."""
DROP_OUT_BEATS: Final = 1.0
"""Silence after which a drop-out stops the song, where that is the setting."""
WAIT_TOLD: Final = 1.0
"""Seconds of waiting for a first pulse that are worth a line in the log."""
WAIT_FOR_MASTER: Final = 4.0
"""Seconds for which a master that said Start may take until its first pulse."""


class SilenceVerdict(Enum):
    """What becomes of the song now."""

    GO_ON = auto()
    STOP = auto()
    OWN_CLOCK = auto()
    """Nobody gives a clock: go on along our own."""


class SilenceWatch:
    """Minds the silence of the clock that is followed."""

    def __init__(self, log: Callable[[LogLevel, str], None]) -> None:
        """Say what is worth a line by ``log``."""
        self._log = log
        self._told = False
        self._armed_at = math.inf
        self._by_master = False

    def armed(self, now: Seconds, *, by_master: bool) -> None:
        """Take note that a first pulse is waited for, from now if not already."""
        if self._armed_at == math.inf:
            self._told, self._armed_at = False, now
        self._by_master = by_master

    @property
    def of_master(self) -> bool:
        """Whether it was a master who said Start, and owes the first pulse."""
        return self._by_master

    def at_rest(self) -> None:
        """Take note that the song neither rolls nor waits."""
        self._told, self._armed_at = False, math.inf

    def waits(
        self, now: Seconds, follower: ClockFollower, parameters: EngineParameters
    ) -> tuple[SilenceVerdict, float]:
        """Mind the wait for a first pulse; return what to do, and when to ask again."""
        free = parameters.source == ClockSource.AUTO
        gone_at = follower.last_pulse_at + SILENCE
        if self._by_master:
            gone_at = max(self._armed_at, follower.last_pulse_at) + WAIT_FOR_MASTER
        if free and now >= gone_at:
            self._log("warning", "no MIDI clock comes: starting on our own clock")
            return SilenceVerdict.OWN_CLOCK, math.inf
        told_at = max(self._armed_at, follower.last_pulse_at) + WAIT_TOLD
        if not self._told and now >= told_at:
            self._told = True
            way_out = (
                f"our own clock takes over in {gone_at - now:.0f} s"
                if free
                else "waiting for one (stop, or set the clock's source, to end that)"
            )
            self._log("warning", f"armed, but no MIDI clock comes: {way_out}")
        return SilenceVerdict.GO_ON, min(
            math.inf if self._told else told_at, gone_at if free else math.inf
        )

    def rolls(
        self,
        now: Seconds,
        follower: ClockFollower,
        expected: ExpectedPulses | None,
        parameters: EngineParameters,
    ) -> tuple[SilenceVerdict, float]:
        """Mind a song that rolls; return what to do, and when to ask again.

        ``expected`` are the pulses that may wait for one another before they are heard.
        """
        self._armed_at = math.inf
        if follower.state is not LockState.COASTING:
            self._told = False
            # pulses that come as expected call us before that
            overdue = 0.0 if expected is None else expected.at + HEARD_TOGETHER
            return SilenceVerdict.GO_ON, max(overdue, follower.coasts_at)
        told_at = follower.last_pulse_at + SILENCE_TOLD
        if now < told_at:
            return SilenceVerdict.GO_ON, told_at
        free = parameters.drop_out is DropOut.FREE_RUN
        if not self._told:
            self._told = True
            ending = "running on" if free else "about to stop"
            self._log("warning", f"the MIDI clock fell silent: {ending}")
        if free:
            return SilenceVerdict.GO_ON, math.inf
        stops_at = follower.last_pulse_at + DROP_OUT_BEATS * 60.0 / follower.tempo
        return (
            (SilenceVerdict.GO_ON, stops_at) if now < stops_at else (SilenceVerdict.STOP, math.inf)
        )
