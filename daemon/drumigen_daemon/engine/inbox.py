"""MIDI on its way from a driver's thread to the engine's."""

from collections import deque
from collections.abc import Callable
from typing import Final

from drumigen.units import Seconds
from drumigen_daemon.clock.midi_clock import ExpectedPulses
from drumigen_daemon.ports.midi import CLOCK_PULSE

HeardMessage = tuple[str, bytes, Seconds]
"""Source, bytes, and when they came."""

HEARD_TOGETHER: Final = 0.12
"""Seconds of clock pulses that are heard at once while they come as expected: as long as the engine
may sleep, for it then does whatever else is due so soon."""


class MidiInbox:
    """MIDI from any thread; calls the engine, once or more often until its next :meth:`take`."""

    def __init__(self, call: Callable[[], None]) -> None:
        """Use ``call``, from the thread that puts, when the engine should take."""
        self._messages: deque[HeardMessage] = deque()
        self._call = call
        self._expected: ExpectedPulses | None = None

    def expect(self, expected: ExpectedPulses | None) -> None:
        """Let clock pulses wait for one another as long as they come as ``expected``.

        They have their stamps, and being woken for one costs more than hearing it.  Anything else,
        and a pulse that tells of another tempo, calls at once; so does everything, if ``expected``
        is None.
        """
        self._expected = expected
        if expected is None and self._messages:
            self._call()

    def put(self, source: str, data: bytes, at: Seconds) -> None:
        """Take a message; called from a driver's thread."""
        self._messages.append((source, data, at))
        if data != CLOCK_PULSE or not self._may_wait(at):
            self._call()

    def _may_wait(self, at: Seconds) -> bool:
        expected, nth = self._expected, len(self._messages)
        return (
            expected is not None
            and (nth + 1) * expected.period < HEARD_TOGETHER
            and expected.has(nth, at)
        )

    def take(self, most: int) -> list[HeardMessage]:
        """Return what has come first; calls again for the rest."""
        messages: list[HeardMessage] = []
        while self._messages and len(messages) < most:
            messages.append(self._messages.popleft())
        if self._messages:
            self._call()
        return messages
