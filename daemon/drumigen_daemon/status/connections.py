"""Who is connected with our ports, who should be and is not, and who could be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from drumigen_daemon.engine.messages import PortMoved, Ready

NOTES_PORT: Final = "out"
CLOCK_PORT: Final = "clock"
TELLING: Final = ("jack", "alsa")
"""MIDI systems that tell whoever is connected with us, not only whom we connected."""


@dataclass(frozen=True, slots=True)
class PortsStanding:
    """How the ports stand at one moment."""

    connected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the name of each port of ours: the full names of those connected with it."""
    missing: tuple[tuple[str, str], ...] = ()
    """Ports of ours, each with a pattern of names of which nobody is there."""
    receivers: tuple[str, ...] = ()
    """Who could play our notes, while nobody does."""
    unheard: bool = False
    """Whether nobody plays our notes; False where that cannot be known."""
    lost: bool = False
    """Whether the MIDI system has gone."""


class Connections:
    """Keeps count of what the engine tells."""

    def __init__(self) -> None:
        """Know nothing."""
        self._backend = ""
        self._wanted: tuple[tuple[str, str], ...] = ()
        self._connected: dict[str, dict[str, tuple[str, ...]]] = {}
        self._lost = False
        self.receivers: tuple[str, ...] | None = None
        """Who could play our notes; None until that was looked at, when all are connected."""

    def begin(self, ready: Ready) -> None:
        """Begin anew, with an engine that has just opened its ports."""
        self._backend, self._wanted = ready.backend, ready.wanted
        self._connected, self._lost, self.receivers = {}, False, None

    def moved(self, report: PortMoved) -> None:
        """Take note of who came or went."""
        if not report.port:
            self._lost = not report.up
            self._connected.clear()
        elif report.up:
            self._connected.setdefault(report.port, {})[report.peer] = report.patterns
        else:
            self._connected.get(report.port, {}).pop(report.peer, None)

    @property
    def standing(self) -> PortsStanding:
        """How they stand now."""
        if self.receivers is None and not self._connected and not self._lost:
            return PortsStanding()  # not looked at yet
        found = {
            (port, pattern)
            for port, peers in self._connected.items()
            for patterns in peers.values()
            for pattern in patterns
        }
        connected = {port: tuple(sorted(peers)) for port, peers in self._connected.items() if peers}
        unheard = self._backend in TELLING and NOTES_PORT not in connected and not self._lost
        return PortsStanding(
            connected,
            tuple(wanted for wanted in self._wanted if wanted not in found),
            (self.receivers or ()) if unheard else (),
            unheard,
            self._lost,
        )
