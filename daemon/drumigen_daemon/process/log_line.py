"""A line for the daemon's log, as every process of ours sends it."""

from typing import Literal

import msgspec

LogLevel = Literal["info", "warning", "error"]


class LogLine(msgspec.Struct, frozen=True, tag=True):
    """One line for the log."""

    level: LogLevel
    text: str
