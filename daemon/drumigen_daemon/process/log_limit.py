"""What comes from outside never decides how much is logged: a few lines of a kind, then a count.

Sans I/O, but for the logger it is given.
"""

import logging
import re
from dataclasses import dataclass
from typing import Final

from drumigen.units import Seconds

LINES: Final = 5
"""Lines of one kind that are logged in a period."""
LINES_OF_ALL_KINDS: Final = 50
LIMIT_SECONDS: Final = 10.0
"""Seconds."""
KINDS_MAX: Final = 256
"""Kinds that are told apart in a period; all beyond are one."""
KIND_LENGTH: Final = 80
"""Characters that tell one kind from another."""


@dataclass(slots=True)
class _LineKind:
    """What was logged of one kind in this period."""

    level: int
    text: str
    logged: int = 0
    left_out: int = 0


class LimitedLog:
    """Logs lines that others cause, within bounds.

    Lines that differ in their numbers only are of one kind.  What is left out is counted, and told
    by the first line after the period, or by :meth:`tell`, which is to be called now and then.
    """

    def __init__(self, logger: logging.Logger) -> None:
        """Log by ``logger``."""
        self._logger = logger
        self._kinds: dict[str, _LineKind] = {}
        self._lines = 0
        self._until: float | None = None

    def log(self, level: int, text: str, now: Seconds) -> None:
        """Log ``text``, or count it."""
        self.tell(now)
        if self._until is None:
            self._until = now + LIMIT_SECONDS
        key = re.sub(r"[\d.]+", "0", text[: 4 * KIND_LENGTH])[:KIND_LENGTH]
        if key not in self._kinds and len(self._kinds) >= KINDS_MAX:
            key = ""
        kind = self._kinds.setdefault(key, _LineKind(level, text))
        if kind.logged < LINES and self._lines < LINES_OF_ALL_KINDS:
            kind.logged += 1
            self._lines += 1
            self._logger.log(level, "%s", text)
        else:
            kind.left_out += 1
            kind.level, kind.text = level, text

    def tell(self, now: Seconds) -> None:
        """Say how many lines were left out, if the period is over."""
        if self._until is None or now < self._until:
            return
        kinds, self._kinds = self._kinds, {}
        self._lines, self._until = 0, None
        left_out = [kind for kind in kinds.values() if kind.left_out]
        for kind in left_out[:LINES]:
            self._logger.log(kind.level, "%s (and %d more like this)", kind.text, kind.left_out)
        rest = sum(kind.left_out for kind in left_out[LINES:])
        if rest:
            self._logger.info("and %d lines more of other kinds", rest)
