"""The control surface: all controllers at once, and what is being learned.  Sans I/O."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from drumigen_daemon.controls.binding import CHANNEL_MODE, Binding, ControllerMap
from drumigen_daemon.controls.control_map import CC, NOTE_ON, PROGRAM, ControlMap, Move
from drumigen_daemon.engine.messages import Heard

_LEARNED: Final = {CC: "cc", NOTE_ON: "note", PROGRAM: "program"}


class Surface:
    """Turns MIDI into moves of controls; a move that is being learned moves nothing."""

    def __init__(
        self,
        maps: Iterable[ControllerMap],
        value_of: Callable[[str], object],
        names_of: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """Use ``maps``; see :class:`~drumigen_daemon.controls.control_map.ControlMap`."""
        self._map = ControlMap(maps, value_of, names_of)
        self.learning = ""
        """The control that the next knob is bound to; empty for none."""

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The rows in use."""
        return self._map.bindings

    def heard(self, heard: Heard) -> Iterator[Move]:
        """Yield what a message moves; carry out each move before the next is asked for."""
        if not self.learning:
            yield from self._map.heard(heard)

    def learn(self, heard: Heard) -> Binding | None:
        """Return the binding that a message teaches, now in use; None if it teaches nothing."""
        kind = _LEARNED.get(heard.data[0] & 0xF0)
        released = kind == "note" and heard.data[2] == 0
        if not self.learning or kind is None or released:
            return None
        number = heard.data[1]
        if kind == "cc" and number in CHANNEL_MODE:
            return None
        channel = (heard.data[0] & 0x0F) + 1
        binding = Binding(
            self.learning,
            cc=number if kind == "cc" else None,
            note=number if kind == "note" else None,
            program=number + 1 if kind == "program" else None,
            channel=channel,
        )
        self.learning = ""
        self._map.bind(binding)
        return binding

    def shows(self) -> list[bytes]:
        """Return the messages that bring lamps and rings up to date."""
        return self._map.shows()

    def forget_shown(self) -> None:
        """Show everything again."""
        self._map.forget_shown()
