"""A word to the user where a style is played at a tempo that is not one of its own."""

import logging

from drumigen.styles import StyleCatalogue
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)


class TempoAdvice:
    """Says it once of each style."""

    def __init__(self, styles: StyleCatalogue) -> None:
        """Know ``styles``, and have said nothing."""
        self._styles = styles
        self._told: set[str] = set()

    def look(self, status: Status) -> None:
        """Look at the style and the tempo of ``status``; a tempo counts once it is known."""
        if status.style in self._told or status.lock not in ("internal", "locked"):
            return
        advice = self._styles.find(status.style).tempo_advice(round(status.timeline.tempo, 1))
        if advice:
            self._told.add(status.style)
            log.warning("%s", advice)
