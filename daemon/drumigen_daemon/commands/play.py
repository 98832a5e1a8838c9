"""``drumigen play``: the first minute.  Plays, shows it, and writes it down.

By its own clock, unless a master leads.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from drumigen.errors import SettingsError
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
from drumigen_daemon.commands.screen import is_screen, open_lines, open_screen
from drumigen_daemon.control_socket import ControlSocket
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.daemon import Daemon
from drumigen_daemon.engine.messages import Origin, TransportState
from drumigen_daemon.process.log_format import log_to_stderr
from drumigen_daemon.process.realtime import go_before_others
from drumigen_daemon.settings.paths import socket_paths
from drumigen_daemon.settings.sections import Settings
from drumigen_daemon.status.advice import note_on
from drumigen_daemon.status.keys import Keyboard, Move
from drumigen_daemon.status.status import Status
from drumigen_daemon.status.view_state import ViewState, view_state

log = logging.getLogger(__name__)

READY_SECONDS_MAX: Final = 3.0
"""Seconds to wait for the generator; after them the song starts on the bank."""
SOUND_SECONDS_MAX: Final = 10.0
"""Seconds to wait until it is known whether there is sound, lest the first bars go unheard; who
starts the song meanwhile does not wait."""
SOUND_SECONDS_SILENT: Final = 2.0
"""Seconds of them after which it is said what is waited for."""
STOP_SECONDS_MAX: Final = 1.0
STOP_MARGIN: Final = 0.015
"""Seconds before the last bar line: what is queued by then has not left, and is taken back."""
FRAME: Final = 0.05


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_song_flags(to)
    to.add_argument(
        "--bars", type=count(0), default=16, metavar="N", help="how many; 0 plays on (16)"
    )
    to.add_argument(
        "--backend",
        help="MIDI system: auto, jack, alsa, rtmidi, null, or one that a package brings",
    )
    add_file_flags(to)


def main(options: argparse.Namespace) -> int:
    """Play, then write what was played."""
    preset = {
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
        self.bars = bars
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._keyboard = Keyboard((), str)
        self._draw: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Play to the end, or until interrupted.

        Raises:
            PortError: the MIDI system that was asked for cannot be used.
        """
        go_before_others()
        end_on_signals(self._ending.set)
        self.daemon.adopt(replace(self._settings.session, bars=self.bars))
        self.daemon.listen(self._changed.set)
        web = make_web(self._settings, self.daemon)
        running = asyncio.create_task(
            run_daemon(self.daemon, {"web": web.run, "sound": self._listening.run}), name="daemon"
        )
        playing = asyncio.create_task(self._play(), name="play")
        async with _control_socket(self._settings, self.daemon):
            await asyncio.wait((running, playing), return_when=asyncio.FIRST_COMPLETED)
        playing.cancel()
        self.daemon.end()
        results = await asyncio.gather(running, playing, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _play(self) -> None:
        styles = known_styles()
        keyboard = Keyboard(styles.names, lambda name: styles.find(name).name)
        opened = (
            open_screen(keyboard, self._move)
            if is_screen()
            else open_lines(keyboard, self._move, self.bars)
        )
        with opened as draw:
            self._draw = lambda: draw(self._shown())
            self._keyboard = keyboard
            self.daemon.begins_by_itself = True
            await self._until(self._is_ready, READY_SECONDS_MAX)
            await self._until_sound_is_decided()
            if not is_screen():
                for line in self._about_sound():
                    say(line, self._output)
            self.daemon.begins_by_itself = False
            if not self._is_ended and self.daemon.status.transport is TransportState.STOPPED:
                self.daemon.control("start")
            while not (self._is_ended or self._is_over()):
                self._draw()
                await self._pause()
            self.daemon.control("stop")
            await self._until(
                lambda s: s.transport is TransportState.STOPPED, STOP_SECONDS_MAX, even_so=True
            )
            await self._listening.rung_out()

    async def _until_sound_is_decided(self) -> None:
        def decided(status: Status) -> bool:
            begun = status.transport is not TransportState.STOPPED
            return begun or self._listening.decided.is_set()

        await self._until(decided, SOUND_SECONDS_SILENT)
        if not (decided(self.daemon.status) or self._is_ended):
            log.warning("the sound system does not answer yet: the song begins in a few seconds")
            await self._until(decided, SOUND_SECONDS_MAX - SOUND_SECONDS_SILENT)

    def _shown(self) -> ViewState:
        """Return what the screen shows: the daemon's state, and what to do where nothing sounds."""
        state = view_state(self.daemon, Seconds(time.monotonic()))
        if self._listening.sounds or not self._listening.decided.is_set():
            return state
        return msgspec.structs.replace(
            state, sound="", advice=(*state.advice, *self._about_sound())
        )

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
            instead.append(f"hear it in the browser at {web.url} (Sound here)")
        if not instead:
            instead.append("write a sound file by --wav")
        yield f"sound: {self.daemon.sound or 'none live yet'}; {', or '.join(instead)}"

    async def _until(
        self, reached: Callable[[Status], bool], seconds: float, *, even_so: bool = False
    ) -> None:
        """Draw until ``reached``, for so long at most, and no longer than it is to be played.

        With ``even_so`` it makes no difference that it has ended.
        """
        end = time.monotonic() + seconds
        while not reached(self.daemon.status) and time.monotonic() < end:
            if self._is_ended and not even_so:
                return
            self._draw()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FRAME):
                    self._changed.clear()
                    await self._changed.wait()

    @property
    def _is_ended(self) -> bool:
        return self._ending.is_set() or self._keyboard.ended

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
        if not self.bars or status.transport is not TransportState.ROLLING:
            return FRAME
        last = status.meters.start_of(self.bars) + status.meters.meter_of(self.bars).beat_ticks
        end = status.timeline.time_of(last)
        return end - STOP_MARGIN - time.monotonic()

    def _move(self, move: Move) -> None:
        control, value = move
        self.daemon.control(control, value)
        note = note_on(control, self.daemon.status)
        if note:
            log.warning("%s", note)


@contextlib.asynccontextmanager
async def _control_socket(settings: Settings, daemon: Daemon) -> AsyncIterator[None]:
    """Let ``drumigen control`` and ``watch`` speak to this song, unless to another already."""
    try:
        async with ControlSocket(socket_paths(settings, os.environ)[0], daemon):
            yield
    except SettingsError as error:
        log.info("%s", error)
        yield


def _write(performance: SongPlay, settings: Settings, path: Path, wav: Path | None) -> int:
    daemon = performance.daemon
    bars = daemon.capture.last(settings.capture.bars)
    if not bars:
        sys.stderr.write("drumigen: nothing was played, so no file was written\n")
        return EXIT_FAILURE
    session = daemon.controls.session
    song = song_of(bars, f"drumigen {settings.session.style}")
    write_song_to(path, song)
    # the last stroke is in a bar of its own, which nobody asked for
    asked = len(bars) == performance.bars + 1
    what = f"{counted(performance.bars, 'bar')} and a last stroke" if asked else ""
    say(wrote(path, what or counted(len(bars), "bar")), path)
    if wav is not None:
        write_sound(song, session.parameters.kit, wav, path, settings.sound.font)
    return 0
