"""``drumigen play``: the first minute. Plays by its own clock, shows it, and writes it down."""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from drumigen.kit import Voice
from drumigen.text import counted
from drumigen.units import Seconds
from drumigen_daemon.app import (
    end_on_signals,
    make_daemon,
    make_listening,
    make_web,
    run_daemon,
)
from drumigen_daemon.capture.capture import song_of
from drumigen_daemon.cli import EXIT_FAILURE, settings_of
from drumigen_daemon.commands.arguments import add_file_flags, add_song_flags, count
from drumigen_daemon.commands.output import (
    check_folder,
    say,
    sound_file,
    writable,
    write_song_to,
    wrote,
)
from drumigen_daemon.commands.render import at_home, default_file, write_sound
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.daemon import Daemon
from drumigen_daemon.engine.messages import ClockSource, Origin, TransportState
from drumigen_daemon.process.log_format import log_to_stderr
from drumigen_daemon.process.realtime import go_before_others
from drumigen_daemon.settings.sections import Settings
from drumigen_daemon.status.status import Status

READY_SECONDS_MAX: Final = 3.0
"""Seconds to wait for the generator; after them the song starts on the bank."""
SOUND_SECONDS_MAX: Final = 10.0
"""Seconds to wait until it is known whether there is sound, lest the first bars go unheard."""
STOP_SECONDS_MAX: Final = 1.0
STOP_MARGIN: Final = 0.015
"""Seconds before the last bar line: what is queued by then has not left, and is taken back."""
FRAME: Final = 0.05
KEYS: Final = "space start, stop  s style  f fill  r re-roll  h hold  d drop  t tap  q end"
ACTION_KEYS: Final = {"f": "fill", "r": "re-roll", "t": "tap"}
SWITCH_KEYS: Final = {"h": "hold", "d": "drop"}


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_song_flags(to)
    to.add_argument(
        "--bars", type=count(0), default=16, metavar="N", help="how many; 0 plays on (16)"
    )
    to.add_argument("--backend", help="MIDI system: auto, jack, alsa, rtmidi or null")
    add_file_flags(to)


def main(options: argparse.Namespace) -> int:
    """Play, then write what was played."""
    preset = {
        "clock.source": ClockSource.INTERNAL.value,
        "sound.listen": "on",
        "sound.delay_ms": 150,
    }
    settings = at_home(settings_of(options, preset), options)
    log_to_stderr("warning")
    if settings.web.port:
        sys.stdout.write(f"the panel, with sound in the browser: {settings.web.url}\n")
    default = writable(default_file(settings.session))
    output = options.output or default
    wav = sound_file(options.wav, output, default)
    for path in filter(None, (output, wav)):
        check_folder(path)
    if default.parent != Path() and not options.output:
        say(f"no permission to write here: the song will be written to {output}", output)
    performance = SongPlay(settings, options.bars, output, wav)
    asyncio.run(performance.run())
    return _write(performance, settings, output, wav)


class SongPlay:
    """One song from its start to its end, seen in the terminal."""

    def __init__(self, settings: Settings, bars: int, output: Path, wav: Path | None) -> None:
        """Play ``bars`` bars and a last stroke, or with 0 until told to end.

        It will be written to ``output``, and what it sounds like to ``wav``.
        """
        self._output = output
        self._wav = wav
        self._settings = settings
        self.daemon: Daemon = make_daemon(settings)
        self._listening = make_listening(settings, self.daemon)
        self._bars = bars
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._shown = -1
        self._voices: set[Voice] = set()

    async def run(self) -> None:
        """Play to the end, or until interrupted.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        go_before_others()
        end_on_signals(self._ending.set)
        self.daemon.adopt(replace(self._settings.session, bars=self._bars))
        self.daemon.listen(self._changed.set)
        web = make_web(self._settings, self.daemon)
        running = asyncio.create_task(
            run_daemon(self.daemon, {"web": web.run, "sound": self._listening.run}), name="daemon"
        )
        playing = asyncio.create_task(self._play(), name="play")
        await asyncio.wait((running, playing), return_when=asyncio.FIRST_COMPLETED)
        playing.cancel()
        self.daemon.end()
        results = await asyncio.gather(running, playing, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _play(self) -> None:
        await self._until(self._is_ready, READY_SECONDS_MAX)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOUND_SECONDS_MAX):
                await self._listening.decided.wait()
        for line in self._about_sound():
            say(line, self._output)
        self.daemon.control("start")
        with contextlib.ExitStack() as stack:
            if sys.stdout.isatty():
                draw = stack.enter_context(_screen(self))
                if sys.stdin.isatty():
                    stack.enter_context(_keys(self._key))
            else:
                draw = self._print_bar
            while not self._ending.is_set() and not self._is_over():
                draw()
                await self._pause()
            self.daemon.control("stop")
            await self._until(lambda s: s.transport is TransportState.STOPPED, STOP_SECONDS_MAX)
            await self._listening.rung_out()

    def _about_sound(self) -> Iterator[str]:
        """Yield what the song can be heard by."""
        if not self._settings.sound.listen:
            return
        if self._listening.sounds:
            yield f"sound: {self.daemon.sound}"
            return
        web = self._settings.web
        instead = [f"listen to {self._wav} after the song"] if self._wav is not None else []
        if web.port:
            instead.append(f"hear it in the browser at {web.url} (More, Sound)")
        if not instead:
            instead.append("write a sound file by --wav")
        yield f"sound: {self.daemon.sound or 'none live yet'}; {', or '.join(instead)}"

    async def _until(self, reached: Callable[[Status], bool], patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not reached(self.daemon.status) and not self._ending.is_set():
                    self._changed.clear()
                    await self._changed.wait()

    async def _pause(self) -> None:
        """Wait a frame, or less if the end is nearer."""
        seconds = max(0.0, min(FRAME, self._left()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def _is_ready(self, status: Status) -> bool:
        first = self.daemon.planner.sent_bar(0)
        written = first is not None and first.origin is Origin.GENERATED
        return status.ready and status.generator == "ready" and written

    def _is_over(self) -> bool:
        return self._left() <= 0.0

    def _left(self) -> float:
        """Return the seconds until the stop must be asked for."""
        status = self.daemon.status
        if not self._bars or status.transport is not TransportState.ROLLING:
            return FRAME
        last = status.meters.start_of(self._bars) + status.meters.meter_of(self._bars).beat_ticks
        end = status.timeline.time_of(last)
        return end - STOP_MARGIN - time.monotonic()

    def _key(self, key: str) -> None:
        daemon = self.daemon
        if key in ("q", "\x03"):
            self._ending.set()
        elif key == " ":
            stopped = daemon.status.transport is TransportState.STOPPED
            daemon.control("start" if stopped else "stop")
        elif key == "s":
            names = known_styles().names
            daemon.control("style", names[(names.index(daemon.status.style) + 1) % len(names)])
        elif key in ACTION_KEYS:
            daemon.control(ACTION_KEYS[key])
        elif key in SWITCH_KEYS:
            name = SWITCH_KEYS[key]
            daemon.control(name, not daemon.controls.value_of(name))

    def _print_bar(self) -> None:
        from drumigen_daemon.status.terminal import bar_line  # noqa: PLC0415 - rich is slow to load

        status = self.daemon.status
        number = status.place_at(Seconds(time.monotonic()))[0] - 1
        if self._bars and number >= self._bars:
            return  # the last stroke
        if status.transport is TransportState.ROLLING and number != self._shown:
            self._shown = number
            bar = self.daemon.planner.sent_bar(number)
            sys.stdout.write(bar_line(status, bar, number, self._bars) + "\n")
            sys.stdout.flush()


@contextlib.contextmanager
def _screen(performance: SongPlay) -> Iterator[Callable[[], None]]:
    """Draw on the terminal while open."""
    from rich.console import Console  # noqa: PLC0415 - slow to load, and not needed in a pipe
    from rich.live import Live  # noqa: PLC0415

    from drumigen_daemon.status.terminal import view, voices_of  # noqa: PLC0415

    daemon = performance.daemon
    voices: set[Voice] = set()
    hint = KEYS if sys.stdin.isatty() else "Ctrl-C ends"
    with Live(console=Console(), auto_refresh=False, transient=False) as live:

        def draw() -> None:
            now = Seconds(time.monotonic())
            status = daemon.status
            bar = daemon.planner.sent_bar(status.place_at(now)[0] - 1)
            if bar is not None:
                voices.update(voices_of(bar.bar))
            live.update(view(status, bar, now, tuple(voices), hint), refresh=True)

        yield draw


@contextlib.contextmanager
def _keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Call ``pressed`` with each key, without waiting for Enter; on Windows never."""
    if sys.platform == "win32":
        yield
        return
    import termios  # noqa: PLC0415 - Windows lacks them
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        for key in os.read(descriptor, 64).decode("ascii", "ignore"):
            pressed(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _write(performance: SongPlay, settings: Settings, path: Path, wav: Path | None) -> int:
    daemon = performance.daemon
    bars = daemon.capture.last(settings.capture.bars)
    if not bars:
        sys.stderr.write("drumigen: nothing was played, so no file was written\n")
        return EXIT_FAILURE
    session = daemon.controls.session
    song = song_of(bars, f"drumigen {settings.session.style}")
    write_song_to(path, song)
    say(wrote(path, counted(len(bars), "bar")), path)
    if wav is not None:
        write_sound(song, session.parameters.kit, wav, path, settings.sound.font)
    return 0
