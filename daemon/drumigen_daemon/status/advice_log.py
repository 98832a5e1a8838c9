"""What the song waits for, in the log: a line whenever that changes, however often it does."""

import logging
import re
from collections.abc import Mapping
from typing import Final

from drumigen.units import Seconds
from drumigen_daemon.process.log_limit import LimitedLog
from drumigen_daemon.status.advice import advice
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

_FIGURES: Final = re.compile(r"[0-9.]+")
"""What may change in a line that says the same."""


class AdviceLog:
    """Says the advice that was not there a moment ago."""

    def __init__(self) -> None:
        """Have said nothing."""
        self._told: Mapping[str, str] = {}
        # a pedal that bounces, or a flood of stops, changes it many times a second
        self._log = LimitedLog(log)

    def look(self, status: Status, now: Seconds) -> None:
        """Look at ``status``; it counts once the daemon is ready."""
        self._log.tell(now)
        if not status.ready:
            return
        lines = {_FIGURES.sub("", line): line for line in advice(status)}
        for kind, line in lines.items():
            if kind not in self._told:
                self._log.log(logging.INFO, line, now)
        self._told = lines
