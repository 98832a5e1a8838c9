"""The performer's hands: controllers, what they learn and show, and scenes that are recalled."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from drumigen.errors import ControlError, SettingsError
from drumigen.styles import StyleCatalogue
from drumigen.units import Seconds
from drumigen_daemon.controls.binding import ControllerMap
from drumigen_daemon.controls.learning import save_binding
from drumigen_daemon.controls.scenes import Scene, SceneBook, put_on, scene_of
from drumigen_daemon.controls.surface import Surface
from drumigen_daemon.controls.table import Controls, Learn, Recall, Store
from drumigen_daemon.engine.messages import Heard, Show
from drumigen_daemon.session import Quantum, Session

log = logging.getLogger(__name__)

RECALL_LEAD: Final = 0.03
"""Seconds before the bar line at which a scene is put on, to sound from the bar line on."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the performer's hands are on: controller maps, and the files of what they store."""

    maps: Sequence[ControllerMap] = ()
    learned: Path | None = None
    scenes: Path | None = None
    feedback: bool = False
    """Whether there is a port to show on where controls stand."""


class Handled(Protocol):
    """What hands act on: the daemon."""

    controls: Controls

    def control(self, name: str, value: object = None, at: Seconds | None = None) -> None:
        """Carry out a control, moved at ``at``.

        Raises:
            ControlError: it is unknown or its value is wrong.
        """

    def until_bar_line(self) -> float:
        """Return the seconds until the next bar line; 0 at rest."""

    def session_changed(self, before: Session, quantum: Quantum | None = None) -> None:
        """Act on a session that was ``before``; all of it at ``quantum`` if that is given."""


class Hands:
    """Turns what is heard into controls, and keeps what is learned and stored."""

    def __init__(self, desk: Desk, daemon: Handled, styles: StyleCatalogue) -> None:
        """Act on ``daemon``.

        Raises:
            SettingsError: the file of scenes is wrong.
        """
        self._desk = desk
        self._daemon = daemon
        self._styles = styles
        self._surface = Surface(desk.maps, daemon.controls.value_of, self._names_of)
        self._scenes = SceneBook(desk.scenes)
        self._recalling: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def heard(self, heard: Heard) -> None:
        """Carry out, or learn, what a controller said."""
        binding = self._surface.learn(heard)
        if binding is not None:
            log.info("learned: %s %s moves %s", *binding.sign, binding.control)
            path = self._desk.learned
            if path is not None:
                self._write(lambda: save_binding(path, binding))
            return
        for move in self._surface.heard(heard):
            try:
                self._daemon.control(move.control, move.value, heard.at)
            except ControlError as error:
                log.info("%s", error)

    def act(self, told: Recall | Store | Learn) -> None:
        """Carry out what is asked of scenes and learning.

        Raises:
            ControlError: there is no such scene.
        """
        match told:
            case Recall():
                self._recall(told.scene)
            case Store():
                self._scenes.store(told.scene, scene_of(self._daemon.controls.session))
                self._write(self._scenes.save)
            case Learn():
                self._surface.learning = told.control

    def replugged(self) -> None:
        """Show everything again: a controller is back."""
        self._surface.forget_shown()

    def shown(self) -> Show | None:
        """Return what brings lamps and rings up to date; None if they are."""
        messages = self._surface.shows() if self._desk.feedback else []
        return Show(tuple(tuple(message) for message in messages)) if messages else None

    async def finish(self) -> None:
        """Wait until everything is written."""
        await asyncio.gather(*self._writing)

    def _names_of(self, control: str) -> Sequence[str]:
        return self._styles.names if control in ("style", "blend") else ()

    def _recall(self, number: int) -> None:
        """Put a scene on at the next bar line; the last one that was called for counts."""
        scene = self._scenes.scene(number)
        if scene is None:
            message = f"scene: there is no scene {number}: store one with store_scene"
            raise ControlError(message)
        if self._recalling is not None:
            self._recalling.cancel()
        self._recall_when_due(scene)

    def _recall_when_due(self, scene: Scene) -> None:
        wait = self._daemon.until_bar_line() - RECALL_LEAD
        if wait > 0:
            # the tempo may change meanwhile: look again when half of it is over
            pause = wait / 2 if wait > RECALL_LEAD else wait
            loop = asyncio.get_running_loop()
            self._recalling = loop.call_later(pause, self._recall_when_due, scene)
            return
        self._recalling = None
        before = self._daemon.controls.session
        put_on(self._daemon.controls, scene)
        self._surface.forget_shown()
        self._daemon.session_changed(before, Quantum.BAR)

    def _write(self, write: Callable[[], None]) -> None:
        """Write a file without keeping anybody waiting; what goes wrong is for the log."""

        async def written() -> None:
            try:
                await asyncio.to_thread(write)
            except SettingsError as error:
                log.error("%s", error)  # noqa: TRY400 - one line

        task = asyncio.create_task(written(), name="write")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
