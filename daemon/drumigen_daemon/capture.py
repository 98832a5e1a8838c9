"""What was played: the last bars, kept for export."""

from collections import deque

from drumigen_daemon.messages import Sounded


class Capture:
    """The last bars that sounded, oldest first."""

    def __init__(self, limit: int) -> None:
        """Keep at most ``limit`` bars."""
        self._bars: deque[Sounded] = deque(maxlen=limit)

    def add(self, bar: Sounded) -> None:
        """Take a bar that is over."""
        if bar.notes:
            self._bars.append(bar)

    def last(self, bars: int) -> tuple[Sounded, ...]:
        """Return the last ``bars`` bars."""
        return tuple(self._bars)[-bars:] if bars > 0 else ()
