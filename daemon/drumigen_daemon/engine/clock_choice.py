"""The clocks that the engine has (own, MIDI, of a package), and which of them counts.

Of two MIDI masters :mod:`.clock.second_master` chooses.
"""

from collections.abc import Callable
from typing import Final

from drumigen.units import Bpm, Seconds
from drumigen_daemon.clock.installed_clock import InstalledClock
from drumigen_daemon.clock.internal_clock import InternalClock
from drumigen_daemon.clock.midi_clock import ClockFollower
from drumigen_daemon.clock.source import Clock
from drumigen_daemon.engine.drop_out import SILENCE
from drumigen_daemon.engine.messages import CLOCK_GROUP, ClockSource
from drumigen_daemon.process.log_line import LogLevel
from drumigen_daemon.process.plugins import installed

_OURS: Final = frozenset(ClockSource)


class Clocks:
    """Our own clock, the follower of MIDI clock, and one of an installed package if it is asked."""

    def __init__(self, tempo: Bpm, now: Seconds, log: Callable[[LogLevel, str], None]) -> None:
        """Have our own and the follower, at ``tempo``."""
        self.internal = InternalClock(tempo, now)
        self.follower = ClockFollower(tempo)
        self._installed: InstalledClock | None = None
        self._asked_for = ""
        self._tempo = tempo
        self._log = log

    def chosen(self, source: str, now: Seconds) -> Clock:
        """Return the clock that counts where the setting ``clock.source`` is ``source``."""
        if source not in _OURS:
            return self.of_package(source, now) or self.internal
        heard = source == ClockSource.AUTO and self.hears(now)
        return self.follower if heard or source == ClockSource.MIDI else self.internal

    def hears(self, now: Seconds) -> bool:
        """Tell whether a MIDI clock has been heard lately."""
        return now - self.follower.last_pulse_at < SILENCE

    def of_package(self, name: str, now: Seconds) -> InstalledClock | None:
        """Return the clock that an installed package brings as ``name``; None if it cannot be had.

        Loads the package the first time, so it is called only while the song does not roll.
        """
        if name in _OURS:
            return None
        if name != self._asked_for:
            self._asked_for, self._installed = name, self._loaded(name, now)
        return self._installed

    def set_tempo(self, tempo: Bpm, now: Seconds, used: Clock) -> bool:
        """Take the tempo that the user sets; tell whether the timeline of ``used`` has changed."""
        self._tempo = tempo
        changed = False
        for clock in (self.internal, self.follower, self._installed):
            if clock is not None and clock.set_tempo(tempo, now):
                changed |= clock is used
        return changed

    def _loaded(self, name: str, now: Seconds) -> InstalledClock | None:
        for point in installed(CLOCK_GROUP, name):
            try:
                source = point.load()()
            except Exception as error:  # noqa: BLE001 - of others: it may fail as it likes
                why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                self._log("error", f"the clock {name} fails ({why}): our own plays instead")
                return None
            return InstalledClock(
                name, source, self._tempo, now, lambda text: self._log("error", text)
            )
        self._log("error", f"no clock is called {name}: our own plays instead")
        return None
