"""The performer's controllers, what they learn and show, and scenes to recall.  Sans I/O."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drumigen.errors import ControlError
from drumigen_daemon.controls.binding import ControllerMap
from drumigen_daemon.controls.control_map import Move
from drumigen_daemon.controls.learning import save_binding
from drumigen_daemon.controls.scenes import Scene, SceneBook, scene_of
from drumigen_daemon.controls.surface import Surface
from drumigen_daemon.engine.messages import Heard, Show
from drumigen_daemon.session import Session

log = logging.getLogger(__name__)

FileJob = Callable[[], None]
"""Writes a file; raises a ``SettingsError`` where it cannot."""


@dataclass(frozen=True, slots=True)
class ControllerSetup:
    """Controller maps, and the files of what the performer stores."""

    maps: Sequence[ControllerMap] = ()
    learned: Path | None = None
    scenes: Path | None = None
    feedback: bool = False
    """Whether there is a port to show on where controls stand."""


class Controllers:
    """Turns what is heard into moves of controls, and keeps what is learned and stored."""

    def __init__(
        self,
        setup: ControllerSetup,
        value_of: Callable[[str], object],
        names_of: Callable[[str], Sequence[str]],
    ) -> None:
        """Read what was stored; ``value_of`` and ``names_of`` are those of :class:`Surface`.

        Raises:
            SettingsError: the file of scenes is wrong.
        """
        self._setup = setup
        self._surface = Surface(setup.maps, value_of, names_of)
        self._scenes = SceneBook(setup.scenes)
        self._files: list[FileJob] = []

    def heard(self, heard: Heard) -> Iterator[Move]:
        """Yield what a message moves; carry out each move before the next is asked for.

        A message that teaches a binding moves nothing.
        """
        binding = self._surface.learn(heard)
        if binding is None:
            yield from self._surface.heard(heard)
            return
        log.info("learned: %s %s moves %s", *binding.sign, binding.control)
        path = self._setup.learned
        if path is not None:
            self._files.append(lambda: save_binding(path, binding))

    def learn(self, control: str) -> None:
        """Bind the next knob that is moved to ``control``; to none if it is empty."""
        self._surface.learning = control

    def store(self, number: int, session: Session) -> None:
        """Keep where every live parameter stands as scene ``number``."""
        self._scenes.store(number, scene_of(session))
        self._files.append(self._scenes.save)

    def scene(self, number: int) -> Scene:
        """Return a scene.

        Raises:
            ControlError: none of that number was stored.
        """
        scene = self._scenes.scene(number)
        if scene is None:
            message = f"scene: there is no scene {number}: store one with store_scene"
            raise ControlError(message)
        return scene

    def forget_shown(self) -> None:
        """Show everything again: a controller is back, or was moved by more than hands."""
        self._surface.forget_shown()

    def shown(self) -> Show | None:
        """Return what brings lamps and rings up to date; None if they are."""
        messages = self._surface.shows() if self._setup.feedback else []
        return Show(tuple(tuple(message) for message in messages)) if messages else None

    def take_files(self) -> list[FileJob]:
        """Return what is to be written, in this order, wherever nobody waits for it."""
        files, self._files = self._files, []
        return files
