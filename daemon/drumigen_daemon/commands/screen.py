"""A terminal that is drawn upon: the alternate screen, keys, Ctrl-Z, and the log meanwhile.

Where there is no such terminal, a bar is a line.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Self

from drumigen.errors import DrumigenError
from drumigen.kit import Voice
from drumigen.text import escaped_line
from drumigen_daemon.status.keys import HELP, Keyboard, Move, moved
from drumigen_daemon.status.view_state import ViewState

if TYPE_CHECKING:
    from rich.live import Live

LINES_KEPT: Final = 100
"""Lines of the log that are printed when the screen is closed."""

Draw = Callable[[ViewState], None]


def is_screen() -> bool:
    """Tell whether standard output is a terminal that can be drawn upon."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


@contextlib.contextmanager
def open_screen(keyboard: Keyboard, move: Callable[[Move], None]) -> Iterator[Draw]:
    """Draw on the terminal while open; each key is a ``move`` of what is shown."""
    from rich.console import Console  # noqa: PLC0415 - slow to load, and not needed in a pipe
    from rich.live import Live  # noqa: PLC0415

    from drumigen_daemon.status.terminal import (  # noqa: PLC0415
        Look,
        shows_unicode,
        view,
        voices_of,
    )

    unicode = shows_unicode(os.environ, sys.stdout.encoding or "")
    console = Console()
    voices: set[Voice] = set()
    shown = ViewState()
    kept = _KeptLog()

    def press(key: str) -> None:
        nonlocal shown
        try:
            for each in keyboard.press(key, shown):
                move(each)
                shown = moved(shown, each)
        except DrumigenError as error:
            kept.last = str(error)
        else:
            kept.last = ""

    with kept, Live(console=console, auto_refresh=False, screen=True) as live, _Keys(press) as keys:
        keys.around(live)

        def draw(state: ViewState) -> None:
            nonlocal shown
            shown = state
            if state.sounding is not None:
                voices.update(voices_of(state.sounding.bar))
            width, height = console.size
            look = Look(width, height, unicode)
            live.update(view(state, look, voices, keyboard.prompt, kept.last), refresh=True)

        yield draw


@contextlib.contextmanager
def open_lines(keyboard: Keyboard, move: Callable[[Move], None], bars: int = 0) -> Iterator[Draw]:
    """Print a line for each bar while open; keys work where there is a keyboard."""
    from drumigen_daemon.status.terminal import bar_line  # noqa: PLC0415 - rich is slow to load

    last = 0
    shown = ViewState()

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def press(key: str) -> None:
        nonlocal shown
        before = keyboard.prompt
        try:
            for each in keyboard.press(key, shown):
                move(each)
                shown = moved(shown, each)
        except DrumigenError as error:
            sys.stderr.write(f"drumigen: {error}\n")
        # its first part is what has been typed so far
        if keyboard.prompt[1:] not in ((), before[1:]):
            say("  ".join(keyboard.prompt))

    def draw(state: ViewState) -> None:
        nonlocal last, shown
        shown = state
        if bars and state.bar > bars:
            return  # the last stroke
        if state.transport == "rolling" and state.bar != last:
            last = state.bar
            say(bar_line(state, bars))

    with _Keys(press):
        if sys.stdin.isatty():
            say(f"{HELP[0]} shows {HELP[1]}, q ends")
        yield draw


class _KeptLog(logging.Handler):
    """Keeps what is logged while the screen is open, and prints it when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._before: list[logging.Handler] = []
        self.last = ""
        """What was said last."""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = escaped_line(record.getMessage())
        self._lines = [*self._lines, self.format(record)][-LINES_KEPT:]

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = root.handlers
        if self._before:
            self.setFormatter(self._before[0].formatter)
        root.handlers = [self]
        return self

    def __exit__(self, *_exception: object) -> None:
        logging.getLogger().handlers = self._before
        sys.stderr.writelines(f"{line}\n" for line in self._lines)


class _Keys:
    """Calls with each key, without waiting for Enter; on Windows never.

    Ctrl-Z gives the terminal back as it was, and takes it again when the program goes on.
    """

    def __init__(self, pressed: Callable[[str], None]) -> None:
        self._pressed = pressed
        self._live: Live | None = None
        self._before: list[object] | None = None

    def around(self, live: "Live") -> None:
        """Close ``live`` while the program is suspended."""
        self._live = live

    def __enter__(self) -> Self:
        if sys.platform == "win32" or not sys.stdin.isatty():
            return self
        import termios  # noqa: PLC0415 - Windows lacks it

        self._before = termios.tcgetattr(sys.stdin.fileno())
        self._take_keys()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._read)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._before is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(sys.stdin.fileno())
        loop.remove_signal_handler(signal.SIGTSTP)
        self._give_back()

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 64)
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            return
        text = data.decode("utf-8", "ignore")
        if len(text) > 1 and text.startswith("\x1b"):
            return  # an arrow or the like: none of ours
        for key in text:
            self._pressed(key)

    def _suspend(self) -> None:
        live = self._live
        if live is not None:
            live.stop()
        # where we were started by `make`, it has stopped before us, and the shell has the terminal
        # again: it is no more ours to set, and who tries is stopped once more, and never goes on
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        if os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
            self._give_back()
        signal.signal(signal.SIGTTOU, before)
        os.kill(os.getpid(), signal.SIGSTOP)
        # here again by SIGCONT
        self._take_keys()
        if live is not None:
            live.start(refresh=True)

    def _take_keys(self) -> None:
        import tty  # noqa: PLC0415 - Windows lacks it

        tty.setcbreak(sys.stdin.fileno())

    def _give_back(self) -> None:
        import termios  # noqa: PLC0415 - Windows lacks it

        if self._before is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)  # type: ignore[arg-type]
