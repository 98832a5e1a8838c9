"""The performer's controllers, what they learn and show, and scenes to recall.  Sans I/O."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drumigen.errors import ControlError
from drumigen.units import Seconds
from drumigen_daemon.controls.binding import Binding, ControllerMap
from drumigen_daemon.controls.control_map import ControlMap, ControlMove
from drumigen_daemon.controls.learned_file import load_learned, remove_bindings, save_binding
from drumigen_daemon.controls.learning import Learner
from drumigen_daemon.controls.scenes import Scene, SceneBook, scene_of
from drumigen_daemon.engine.messages import ControlInput, SendFeedback
from drumigen_daemon.process.log_limit import LimitedLog
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
        names_of: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """Read what was stored; ``value_of`` and ``names_of`` are those of :class:`ControlMap`.

        Raises:
            SettingsError: the file of scenes, or of what was learned, is wrong.
        """
        self._setup = setup
        learned = ControllerMap() if setup.learned is None else load_learned(setup.learned)
        self._map = ControlMap((*setup.maps, learned), value_of, names_of)
        self._learner = Learner()
        self._learned = dict.fromkeys(learned.controls)  # a set that keeps its order
        self._scenes = SceneBook(setup.scenes)
        self._files: list[FileJob] = []
        self._log = LimitedLog(log)

    @property
    def learned(self) -> tuple[Binding, ...]:
        """What was learned, now or before, in this order."""
        return tuple(self._learned)

    def heard(self, heard: ControlInput) -> Iterator[ControlMove]:
        """Yield what a message moves; carry out each move before the next is asked for.

        A message that teaches a binding moves nothing, nor does the echo of what we have shown.
        """
        news, entry = self._map.news(heard)
        if news is None:
            return
        if self._learner.expired(heard.at):
            self._log.log(logging.WARNING, "learn: nothing was moved; say learn again", heard.at)
        waiting = self._learner.control
        taught = self._learner.heard(news, entry)
        if taught is not None:
            self._take(*taught)
            what = f"learned: {taught[1].source} moves {taught[1].name}"
            self._log.log(logging.INFO, what, heard.at)
        if not waiting:
            yield from self._map.moves(news, entry)

    def _take(self, before: Binding | None, binding: Binding) -> None:
        """Use a binding that was learned, in place of what was known of it ``before``."""
        self._map.bind(binding, before)
        for old in list(self._learned):
            same = old.name == binding.name or _same_knob(old, binding)
            if old != binding and (old == before or same):
                self._drop(old)
        self._learned[binding] = None
        path = self._setup.learned
        if path is not None:
            self._files.append(lambda: save_binding(path, binding))

    def _drop(self, binding: Binding) -> None:
        del self._learned[binding]
        self._map.unbind(binding)

    def learn(self, control: str, now: Seconds) -> None:
        """Bind the next knob or button that is moved to ``control``; to none if it is empty."""
        self._learner.learn(control, now)

    def forget(self, control: str) -> None:
        """Take away what was learned for ``control``; what its knob did before counts again.

        Raises:
            ControlError: nothing was learned for it.
        """
        gone = [binding for binding in self._learned if binding.name == control]
        if not gone:
            message = f"forget: nothing was learned for {control}: drumigen control --learned lists"
            raise ControlError(message)
        for binding in gone:
            self._drop(binding)
            self._learner.forget(binding)
        path = self._setup.learned
        if path is not None:
            self._files.append(lambda: remove_bindings(path, control))

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
            wire = f"program change {number}, {number - 1} on the wire"
            message = f"scene: there is no scene {number} ({wire}): store one with store_scene"
            raise ControlError(message)
        return scene

    def forget_shown(self) -> None:
        """Show everything again: a controller is back, or a scene was put on."""
        self._map.forget_shown()

    def shown(self, now: Seconds) -> SendFeedback | None:
        """Return what brings LEDs and LED rings up to date ``now``; None if they are."""
        messages = self._map.shows(now) if self._setup.feedback else []
        return SendFeedback(tuple(tuple(message) for message in messages)) if messages else None

    def take_files(self) -> list[FileJob]:
        """Return what is to be written, in this order, wherever nobody waits for it."""
        files, self._files = self._files, []
        return files


def _same_knob(one: Binding, other: Binding) -> bool:
    return (one.sign, one.channel) == (other.sign, other.channel)
