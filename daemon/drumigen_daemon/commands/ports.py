"""``drumigen ports``: the MIDI ports that are there, and which of ours would connect to them."""

import argparse
import sys
from collections.abc import Iterator

from drumigen.errors import PortError
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_set
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.ports import Peer, PortPlan
from drumigen_daemon.ports.choose import peers, survey
from drumigen_daemon.settings.sections import Settings


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("--backend", help="only this MIDI system")
    add_set(to)


def main(options: argparse.Namespace) -> int:
    """List the ports of every backend that can be used, or of the one asked for."""
    settings = settings_of(options)
    wanted = settings.midi.backend
    for line in port_listing(settings, () if wanted == "auto" else (wanted,)):
        sys.stdout.write(line + "\n")
    return 0


def port_listing(settings: Settings, only: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a paragraph of lines for each backend, or for ``only`` some."""
    setup = settings.engine_setup_for(map(load_controller, settings.control.maps))
    for report in survey(setup.api):
        if only and report.name not in only:
            continue
        if not report.usable:
            yield f"{report.name}: not usable: {report.reason}"
            continue
        yield f"{report.name}: {report.reason}"
        try:
            found = peers(report.name, setup.api)
        except PortError as error:
            yield f"  cannot be listed: {error}"
            continue
        mixed = report.name == "jack"
        yield from (f"  {row}" for row in rows(found, setup.plan, mixed=mixed))
        yield from (f"  {row}" for row in missing(found, setup.plan))


def missing(found: list[Peer], plan: PortPlan) -> Iterator[str]:
    """Yield a line for each pattern in the settings that names nobody who is there."""
    for ports, sends in ((plan.inputs, True), (plan.outputs, False)):
        names = [name for peer in found if peer.sends is sends for name in _names(peer)]
        for port in ports:
            for pattern in port.connect:
                if pattern not in port.patterns_of(*names):
                    yield f"missing   {pattern!r}, wanted by {plan.client}:{port.name}"


def _names(peer: Peer) -> tuple[str, ...]:
    return peer.name, *peer.aliases


def rows(found: list[Peer], plan: PortPlan, *, mixed: bool = False) -> Iterator[str]:
    """Yield a line for each port: what it does, its name, and what of ours connects to it.

    Where inputs mix what is connected with them, controllers with a map have their own.
    """
    width = max((len(peer.name) for peer in found), default=0)
    for peer in found:
        ours = plan.inputs if peer.sends else plan.outputs
        if mixed and peer.sends:
            ours = (
                tuple(port for port in plan.controllers if port.patterns_of(*_names(peer))) or ours
            )
        joined = [f"{plan.client}:{port.name}" for port in ours if port.patterns_of(*_names(peer))]
        arrow = "->" if peer.sends else "<-"
        kind = "sends" if peer.sends else "receives"
        connected = f"  {arrow} {', '.join(joined)}" if joined else ""
        yield f"{kind:<8}  {peer.name:<{width}}{connected}".rstrip()
