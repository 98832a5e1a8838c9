"""What the daemon's log looks like: one line an event."""

import logging
import os

from drumigen.text import escaped_line


class _OneLine(logging.Formatter):
    """One line an event, whatever a port is called."""

    def format(self, record: logging.LogRecord) -> str:
        said = super().format(record)
        return said if record.exc_info else escaped_line(said)


def log_to_stderr(level: str) -> None:
    """Log one line an event; with the time where no journal adds it."""
    when = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"{when}%(levelname)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
