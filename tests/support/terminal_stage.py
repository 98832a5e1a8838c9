"""A terminal for a program under test: a pseudo-terminal, and what has been written on it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Final, Self

PATIENCE: Final = 30.0
"""Seconds; a machine of two busy cores is slow."""

_LEAD: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
"""Takes the terminal, and becomes the program."""


class Terminal:
    """Runs a program that leads a session of its own on a terminal."""

    def __init__(
        self, program: Sequence[str], environment: Mapping[str, str], columns: int = 80
    ) -> None:
        """Start ``program`` with ``environment`` beside this one's."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LEAD, *program],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self._open = True
        self.written = ""
        """What was written since :meth:`press`."""

    def __enter__(self) -> Self:
        """Use it until the end of the test."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close it; whoever still runs ends."""
        self.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def press(self, keys: str) -> None:
        """Press ``keys``."""
        self.written = ""
        os.write(self._ours, keys.encode())

    def until(self, said: str) -> None:
        """Read until ``said`` has been written since the last key.

        Raises:
            AssertionError: it is not, in :data:`PATIENCE` seconds.
        """
        end = time.monotonic() + PATIENCE
        while said not in self.written:
            readable, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert readable, f"{said!r} was not written, but {self.written[-2000:]!r}"
            self.written += os.read(self._ours, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        """Close the window."""
        if self._open:
            self._open = False
            os.close(self._ours)
