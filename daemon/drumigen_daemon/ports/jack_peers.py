"""Who is connected with our ports on a JACK server, and who should be."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drumigen_daemon.ports import PortChange, VirtualPort
from drumigen_daemon.ports.jack_client import jack_library

if TYPE_CHECKING:
    import jack


@dataclass(slots=True)
class End:
    """One of our ports, and the full names of the peers seen connected with it."""

    ours: VirtualPort
    port: "jack.OwnMidiPort"
    peers: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    """Peers that were connected, by whomever, when they went: connected again when they return."""
    own: bool = False
    """Whether it is there for one controller, which is then left to it by the other inputs."""


class PeerConnections:
    """The connections of one life of our clients."""

    def __init__(self, clients: "Sequence[jack.Client]", ends: Sequence[End]) -> None:
        """Look after ``ends``, which are ports of ``clients``."""
        self._clients = clients
        self._client = clients[0]
        self._ends = ends
        self._jack_error = jack_library().JackError

    @property
    def names(self) -> tuple[str, ...]:
        """The names of our ports, as others see them."""
        return tuple(self._visible(end) for end in self._ends)

    def _visible(self, end: End) -> str:
        """Return the name of a port of ours: that by which it is asked for, if it is found so."""
        alias = f"{self._client.name}:{end.ours.name}"
        try:
            self._client.get_port_by_name(alias)
        except self._jack_error:
            return str(end.port.name)
        return alias

    def check(self) -> Sequence[PortChange]:
        """Connect who is there and should be; return who came and went since the last time."""
        changes: list[PortChange] = []
        for end in self._ends:
            try:
                connected = self._peers_of(end)
                gone, end.peers = end.peers - connected, end.peers & connected
                end.lost = (end.lost | self._vanished(gone)) - connected
                changes += [PortChange(end.ours.name, peer, up=False) for peer in sorted(gone)]
                if self._connect_matching(end, connected):
                    connected = self._peers_of(end)
            except self._jack_error:
                continue  # a peer went while it was looked at: the next check sees it gone
            come, end.peers = connected - end.peers, connected
            changes += [
                PortChange(
                    end.ours.name,
                    peer,
                    up=True,
                    note=self._loop_with(end, peer),
                    patterns=self._patterns_of(end, peer),
                )
                for peer in sorted(come)
            ]
        return changes

    def receivers(self) -> list[str]:
        """Return the ports of others that could play our notes."""
        own = tuple(client.name + ":" for client in self._clients)
        found = self._client.get_ports(is_midi=True, is_input=True)
        return [port.name for port in found if not port.name.startswith(own)]

    def _patterns_of(self, end: End, peer: str) -> tuple[str, ...]:
        """Return the patterns of ``end`` that ask for ``peer``, by its name or an alias."""
        if not end.ours.connect:
            return ()
        try:
            aliases = self._client.get_port_by_name(peer).aliases
        except self._jack_error:  # gone again
            aliases = []
        return end.ours.patterns_of(peer, *aliases)

    def _loop_with(self, end: End, peer: str) -> str:
        """Return a warning if ``peer``'s client is now connected with us in both directions."""
        program = peer.partition(":")[0]
        others = [e.peers for e in self._ends if e.port.is_input is not end.port.is_input]
        if len(self._clients) > 1 or not any(
            name.partition(":")[0] == program for peers in others for name in peers
        ):
            return ""
        return f"both ways, so JACK delays one way by a period: set midi.split_inputs for {program}"

    def _vanished(self, gone: set[str]) -> set[str]:
        """Return those of ``gone`` whose ports are no more; the others were disconnected."""
        if not gone:
            return gone
        return gone - {port.name for port in self._client.get_ports(is_midi=True)}

    def seen(self) -> dict[str, set[str]]:
        """Return by the name of each of our ports who is, or was last, connected with it."""
        return {end.ours.name: end.peers | end.lost for end in self._ends}

    def remember(self, peers: dict[str, set[str]]) -> None:
        """Connect again whoever was connected in an earlier life."""
        for end in self._ends:
            end.lost |= peers.get(end.ours.name, set())

    def _peers_of(self, end: End) -> set[str]:
        return {peer.name for peer in self._client.get_all_connections(end.port)}

    def _connect_matching(self, end: End, connected: set[str]) -> bool:
        """Connect the peers that ``end`` lost or its patterns name; tell if there were any."""
        if not end.ours.connect and not end.lost:
            return False
        own = tuple(client.name + ":" for client in self._clients)
        hears = end.port.is_input
        found = False
        for peer in self._client.get_ports(is_midi=True, is_output=hears, is_input=not hears):
            if peer.name.startswith(own) or peer.name in connected:
                continue
            if peer.name in end.lost or self._wants(end, peer):
                self._client.connect(*((peer, end.port) if hears else (end.port, peer)))
                found = True
        return found

    def _wants(self, end: End, peer: "jack.MidiPort") -> bool:
        # hardware is system:midi_capture_1, and bears its maker's name only as an alias
        names = (peer.name, *peer.aliases)
        if not any(map(end.ours.wants, names)):
            return False
        if end.own or not end.port.is_input:
            return True
        return not any(any(map(each.ours.wants, names)) for each in self._ends if each.own)
