"""What is odd about the clock that is followed, said once as long as it is so."""

from collections.abc import Callable

from drumigen.units import TEMPO_MIN
from drumigen_daemon.clock.midi_clock import TEMPO_SLOWEST, ClockFollower
from drumigen_daemon.process.log_line import LogLevel

_CLEARLY = 1.02  # a tempo at the limit is no news twice


class ClockWarnings:
    """Looks at a follower, and says what a user should know."""

    def __init__(self, log: Callable[[LogLevel, str], None]) -> None:
        """Say it by ``log``."""
        self._log = log
        self._told_conflict = self._told_uneven = False
        self._told_slow = ""

    def look(self, follower: ClockFollower) -> None:
        """Say what has become odd; what is no longer so may be said again."""
        if follower.conflict != self._told_conflict:
            self._told_conflict = follower.conflict
            if self._told_conflict:
                first, *others = follower.masters or ("",)
                second = ", ".join(others) or "another one on the same port"
                self._log("warning", f"two MIDI clocks: following {first}, ignoring {second}")
        if follower.uneven and not (self._told_uneven or follower.conflict):
            self._told_uneven = True
            self._log(
                "warning",
                "the MIDI clock is too uneven to be followed well: is it two on one port, "
                "or a slow radio link?",
            )
        slow = self._slow(follower)
        if slow and slow != self._told_slow:
            self._log("warning", slow)
        if slow or follower.tempo > TEMPO_MIN * _CLEARLY:
            self._told_slow = slow

    def _slow(self, follower: ClockFollower) -> str:
        if follower.too_slow:
            return (
                f"the MIDI clock is slower than {TEMPO_SLOWEST:g} BPM: it cannot be followed, "
                "the tempo stays as it was"
            )
        if follower.tempo < TEMPO_MIN / _CLEARLY:
            return (
                f"the MIDI clock is slower than {TEMPO_MIN:g} BPM: followed as it is; "
                "if it should be faster, read it in double time"
            )
        return ""
