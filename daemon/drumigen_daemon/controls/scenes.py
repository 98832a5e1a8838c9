"""Scenes: all live parameters under a number, recalled at the bar line."""

import logging
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from drumigen.atomic_file import replace_file
from drumigen.errors import DrumigenError, SettingsError
from drumigen.timeline import Meter
from drumigen.units import Tick
from drumigen_daemon.controls.table import VALUES, Controls, value_of
from drumigen_daemon.session import Session

log = logging.getLogger(__name__)

Scene = Mapping[str, Any]
"""Controls by name, with the plain value of each."""

SCENES_MAX: Final = 2**21
"""Bytes of the file: 128 scenes of 150 controls have a quarter of it."""
_Value = str | int | float | bool | None
_Stored = dict[Annotated[int, msgspec.Meta(ge=1, le=128)], dict[str, _Value]]

_NOT_IN_SCENES: Final = frozenset(
    (
        *("bar", "nudge", "scene", "store_scene", "learn", "forget"),
        *("source", "drop_out", "start_on_clock", "clock_out", "reading"),
    )
)
"""What belongs to the place in the song, or to the stage rather than the song."""
IN_SCENES: Final = tuple(
    str(name)
    for name, allowed in VALUES.items()
    if allowed is not None and name not in _NOT_IN_SCENES
)


def scene_of(session: Session) -> Scene:
    """Return where every live parameter stands."""
    return {name: _plain(value_of(session, name)) for name in IN_SCENES}


def put_on(controls: Controls, scene: Scene) -> None:
    """Turn every control to where ``scene`` has it; what it cannot take stays, and is logged."""
    for name, value in scene.items():
        if name not in IN_SCENES:
            log.warning("a scene has %s, which is no live parameter: left out", name)
            continue
        try:
            controls.apply(name, value, bar_tick=lambda _: Tick(0))
        except DrumigenError as error:
            log.warning("a scene has %s: left as it is", error)


def _plain(value: object) -> object:
    if value is None:
        return "style"
    if value == "":
        return "none"
    return str(value) if isinstance(value, Enum | Meter) else value


class SceneBook:
    """Scenes by number, and the JSON file that they outlive the daemon in, if any."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the scenes at ``path``.

        Raises:
            SettingsError: the file is wrong; one line.
        """
        self._path = path
        self._scenes: dict[int, dict[str, Any]] = {}
        if path is None or not path.is_file():
            return
        data = b""
        try:
            with path.open("rb") as file:
                data = file.read(SCENES_MAX + 1)
            self._scenes = msgspec.json.decode(data, type=_Stored)
        except (OSError, ValueError) as error:
            large = len(data) > SCENES_MAX
            why = f"larger than {SCENES_MAX // 2**20} MB" if large else error
            message = f"{path}: no scenes of ours ({why}); move it away, or mend it"
            raise SettingsError(" ".join(message.split())) from error

    def __contains__(self, number: int) -> bool:
        """Whether a scene of that number was stored."""
        return number in self._scenes

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers in use, in order."""
        return tuple(sorted(self._scenes))

    def scene(self, number: int) -> Scene | None:
        """Return a scene; None if none was stored."""
        return self._scenes.get(number)

    def store(self, number: int, scene: Scene) -> None:
        """Keep ``scene`` under ``number``, in place of what was there."""
        self._scenes[number] = dict(scene)

    def save(self) -> None:
        """Write the file, if there is to be one.

        Raises:
            SettingsError: it cannot be written; one line.
        """
        if self._path is not None:
            text = msgspec.json.format(msgspec.json.encode(self._scenes)).decode()
            replace_file(self._path, text + "\n")
