"""Our clock as others hear it: pulses that are handed over ahead, and transport messages.

Sans I/O but for the output it is given.  The player moves it along, since being woken once for a
pulse and a note costs half of being woken twice.
"""

import math
from collections import deque

from drumigen.timeline import Timeline
from drumigen.units import TICKS_PER_PULSE, Seconds
from drumigen_daemon.engine.output_protocol import CLOCK_PORT, Output
from drumigen_daemon.ports.midi import CLOCK_PULSE


class ClockOutput:
    """Sends 24 pulses a quarter note along a timeline of the clock, while it is started."""

    def __init__(self, output: Output) -> None:
        """Send nothing yet."""
        self._output = output
        self._timeline: Timeline | None = None
        self._next = 0
        self._handed: deque[tuple[float, int]] = deque()
        self.due = math.inf
        """When the next pulse is to leave, in seconds."""

    @property
    def sends(self) -> bool:
        """Whether pulses are sent."""
        return self._timeline is not None

    @property
    def under_way(self) -> bool:
        """Whether a pulse has been handed over whose time has not passed."""
        return bool(self._handed)

    def start(self, timeline: Timeline, pulse: int) -> None:
        """Send a pulse at every 80 ticks of ``timeline`` from ``pulse`` on."""
        self._timeline = timeline
        self._next = pulse
        self._look()

    def steer(self, timeline: Timeline) -> None:
        """Go on along another timeline, if pulses are sent."""
        if self._timeline is not None:
            self._timeline = timeline
            self._look()

    def end(self) -> None:
        """Send no more pulses."""
        self._timeline = None
        self._look()

    def tell(self, message: bytes, at: Seconds) -> None:
        """Send followers a transport message; nothing where no pulses are sent."""
        if self._timeline is not None:
            self._output.send(CLOCK_PORT, message, at)

    def hand_over(self) -> None:
        """Hand the pulse over that is due next."""
        self._output.send(CLOCK_PORT, CLOCK_PULSE, Seconds(self.due))
        self._handed.append((self.due, self._next))
        self._next += 1
        self._look()

    def take_back(self, horizon: float) -> None:
        """Take note that nothing from ``horizon`` on has left: it is to be handed over again."""
        while self._handed and self._handed[-1][0] >= horizon:
            self._next = min(self._next, self._handed.pop()[1])
        self._look()

    def forget_left(self, now: float) -> None:
        """Forget the pulses whose time has passed."""
        while self._handed and self._handed[0][0] <= now:
            self._handed.popleft()

    def _look(self) -> None:
        timeline = self._timeline
        self.due = math.inf if timeline is None else timeline.time_of(self._next * TICKS_PER_PULSE)
