"""What commands write: files that are whole or not there, or ``-`` for standard output."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from drumigen.atomic_file import write_atomically
from drumigen.errors import OutputError
from drumigen.midi.file import song_to_bytes
from drumigen.midi.song import Song
from drumigen.text import escaped_line
from drumigen_daemon.commands.arguments import LIKE_MIDI

STDOUT: Final = Path("-")
CLEAR: Final = "\033[K"
"""To a terminal: clear the line from here on."""
PROGRESS_AFTER: Final = 2.0
"""Seconds of work after which a terminal shows how far it is."""
PROGRESS_EVERY: Final = 30.0
"""Seconds between two lines where there is no terminal to draw on."""


def check_folder(path: Path) -> None:
    """Find out before long work whether there is a folder to write ``path`` to.

    Raises:
        OutputError: there is none, or it may not be written to; one line.
    """
    if path == STDOUT:
        return
    if not path.parent.is_dir():
        message = f"{path}: cannot be written (there is no folder {path.parent}); make it first"
        raise OutputError(message)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        folder = path.parent.absolute()
        message = f"{path}: cannot be written (no permission for {folder}); choose another folder"
        raise OutputError(message)


def writable(path: Path) -> Path:
    """Return ``path``, or that name where one may write: at home, or where temporary files are."""
    folders = (path.parent, Path.home(), Path(tempfile.gettempdir()))
    good = (each for each in folders if os.access(each, os.W_OK | os.X_OK))
    return next(good, path.parent) / path.name


def sound_file(wav: Path | None, output: Path, default: Path) -> Path | None:
    """Return what a sound file is called: like ``output`` unless it was given a name.

    Beside standard output it is called like ``default``.
    """
    if wav != LIKE_MIDI:
        return wav
    return (default if output == STDOUT else output).with_suffix(".wav")


def write_output(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all; ``-`` is standard output.

    Raises:
        OutputError: it cannot be written; one line.
    """
    try:
        if path == STDOUT:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            write_atomically(path, data)
    except BrokenPipeError:
        raise
    except OSError as failure:
        message = f"{path}: cannot be written ({failure.strerror}); check folder and permissions"
        raise OutputError(message) from failure


def write_song_to(path: Path, song: Song) -> None:
    """Write ``song`` as a MIDI file to ``path``, or to standard output.

    Raises:
        OutputError: it cannot be written; one line.
    """
    write_output(path, song_to_bytes(song))


def say(text: str, output: Path) -> None:
    """Tell the user what was written to ``output``; on stderr if that is standard output."""
    stream = sys.stderr if output == STDOUT else sys.stdout
    stream.write(f"{text}\n")


def wrote(output: Path, what: str = "") -> str:
    """Return the line that names ``output``, and ``what`` is in it."""
    name = "standard output" if output == STDOUT else escaped_line(str(output))
    return f"wrote {name}: {what}" if what else f"wrote {name}"


def warn(text: str) -> None:
    """Say on stderr, on one line, what the user should know about what was read or done."""
    sys.stderr.write(f"drumigen: {escaped_line(text)}\n")


class Progress:
    """How far a long work is: redrawn on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int, unit: str, now: Callable[[], float] = time.monotonic) -> None:
        """Show nothing yet; ``unit`` is what is counted, as in ``bars``."""
        self._total = total
        self._unit = unit
        self._now = now
        self._terminal = sys.stderr.isatty()
        self._next = now() + (PROGRESS_AFTER if self._terminal else PROGRESS_EVERY)
        self._shown = False

    def show(self, done: int) -> None:
        """Say that ``done`` are done, if it is time to."""
        now = self._now()
        if now < self._next or done >= self._total:
            return
        self._shown = True
        text = f"{100 * done // self._total} % of {self._total} {self._unit}"
        if self._terminal:
            self._next = now + 0.2
            sys.stderr.write(f"\r{CLEAR}{text}")
        else:
            self._next = now + PROGRESS_EVERY
            sys.stderr.write(f"drumigen: {text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the terminal's line empty again."""
        if self._shown and self._terminal:
            sys.stderr.write(f"\r{CLEAR}")
            sys.stderr.flush()
