"""The daemon's side of the process that sounds: tells it what is planned, and where the song is.

Nothing here is waited for.  The engine and its MIDI ports know nothing of it.
"""

import asyncio
import logging
from typing import Final, Protocol

import msgspec

from drumigen.styles import StyleCatalogue
from drumigen.units import Tick
from drumigen_daemon.controls.table import Controls
from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.listen.drivers import TITLES
from drumigen_daemon.listen.messages import (
    AnyFromListener,
    DrumSet,
    ListenPlan,
    ListenSetup,
    ListenSign,
    ListenState,
    Sounding,
    Unheard,
)
from drumigen_daemon.listen.settings import SoundSettings
from drumigen_daemon.process.child import Child, Patience
from drumigen_daemon.status.status import Status

log = logging.getLogger(__name__)

BACKLOG_MAX: Final = 200_000
"""Bytes; a process that leaves more unread is told nothing until it has read them."""
SIGN_SECONDS_MAX: Final = 6.0
"""Seconds without a sign of life after which the process is replaced."""
RING_MAX: Final = 4.0
"""Seconds for which the last stroke may ring before the process is ended."""
NO_ANSWER: Final = "none live: the sound system does not answer; it is tried again and again"
BUFFERED: Final = 0.3
"""Seconds of sound that an audio system may still hold when the synthesizer is silent."""


class DaemonForListening(Protocol):
    """What is listened to: the daemon."""

    sound: str

    @property
    def controls(self) -> Controls:
        """What can be turned, and where it stands."""

    @property
    def styles(self) -> StyleCatalogue:
        """The styles that it plays."""

    @property
    def status(self) -> Status:
        """Where everything stands."""


class ListenLink:
    """Keeps a process that makes the daemon's song sound, if the settings want it."""

    def __init__(self, settings: SoundSettings, daemon: DaemonForListening) -> None:
        """Listen to ``daemon``; :meth:`run` does it."""
        self._settings = settings
        self._daemon = daemon
        self._child: Child[AnyFromListener] | None = None
        self._news = asyncio.Event()
        self._heard_of = asyncio.Event()
        self._told_state: ListenState | None = None
        self._told_plan: ListenPlan | None = None
        self._sounding: Sounding | None = None
        self._set = ""
        self._sign = ListenSign()
        self.decided = asyncio.Event()
        """Set once it is known whether there is sound."""
        if not settings.listen:
            self.decided.set()

    @property
    def sounds(self) -> bool:
        """Whether somebody may hear us."""
        return self._sounding is not None

    def take(self) -> None:
        """Hear that something may have changed."""
        self._news.set()

    async def run(self) -> None:
        """Keep a process that sounds; returns at once where the settings want none."""
        if not self._settings.listen:
            return
        while not self._daemon.status.backend:
            await self._news.wait()
            self._news.clear()
        setup = ListenSetup(
            self._settings.driver,
            self._settings.font,
            self._settings.level_db,
            self._settings.delay_ms,
            jack_first=self._daemon.status.backend == "jack",
        )
        child: Child[AnyFromListener] = Child(
            "drumigen_daemon.listen.process",
            msgspec.json.encode(setup).decode(),
            kind=AnyFromListener,
            on_message=self._heard,
            on_start=self._started,
            on_loss=self._lost,
            patience=Patience(silence=SIGN_SECONDS_MAX),
        )
        self._child = child
        telling = asyncio.create_task(self._tell(child), name="telling who sounds")
        try:
            await child.run()
        finally:
            telling.cancel()
            self._child = self._sounding = None
            self._daemon.sound = ""
            self._heard_of.set()

    async def rung_out(self) -> None:
        """Wait until the last stroke has died away, for so long as strokes ring."""
        if not self.sounds:
            return
        try:
            async with asyncio.timeout(RING_MAX):
                await asyncio.sleep(BUFFERED)  # what was struck last is there by then
                while self.sounds and self._sign.voices:
                    self._heard_of.clear()
                    await self._heard_of.wait()
                await asyncio.sleep(BUFFERED)
        except TimeoutError:
            return

    def _started(self) -> None:
        self._told_state = self._told_plan = None
        self._news.set()

    def _lost(self) -> None:
        self._unheard(NO_ANSWER)
        self._heard_of.set()

    def _unheard(self, why: str) -> None:
        """Say that nothing sounds; who heard something until now must not wonder."""
        level = logging.INFO if self._sounding is None else logging.WARNING
        self._sounding = None
        self._daemon.sound = why
        log.log(level, "sound: %s", why)

    async def _tell(self, child: Child[AnyFromListener]) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if child.running and child.backlog < BACKLOG_MAX:
                status = self._daemon.status
                # the bars first: what is to roll must be there
                plan = ListenPlan(status.ahead)
                if plan != self._told_plan:
                    self._told_plan = plan
                    child.send(plan)
                state = self._state(status)
                if state != self._told_state:
                    self._told_state = state
                    child.send(state)

    def _state(self, status: Status) -> ListenState:
        rolling = status.transport is TransportState.ROLLING
        style = status.ahead[0].style if status.ahead else status.style
        playing = self._daemon.styles.find(style or status.style)
        return ListenState(
            rolling,
            status.timeline,
            Tick(0) if rolling else status.stored_tick,
            playing.sound.program,
            self._daemon.controls.session.parameters.offset_ms,
            playing.sound_db,
        )

    def _heard(self, message: AnyFromListener) -> None:
        self._heard_of.set()
        match message:
            case Sounding():
                self._sounding = message
                self._show()
                log.info("sound: %s", self._daemon.sound)
                self.decided.set()
            case DrumSet():
                self._set = message.name
                self._show()
            case Unheard():
                self._unheard(f"none live: {message.reason}")
                self.decided.set()
            case ListenSign():
                self._sign = message

    def _show(self) -> None:
        """Say in the status what sounds."""
        if self._sounding is not None:
            through = TITLES.get(self._sounding.driver, self._sounding.driver)
            drums = f", {self._set}" if self._set else ""
            self._daemon.sound = f"FluidSynth through {through}: {self._sounding.font}{drums}"
