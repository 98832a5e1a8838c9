"""``drumigen web pair``: let a phone of the local network in, by a code that it scans."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from drumigen.errors import SettingsError
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_set
from drumigen_daemon.settings.paths import TOKEN_NAME, token_path
from drumigen_daemon.settings.sections import Settings
from drumigen_daemon.web.addresses import own_addresses
from drumigen_daemon.web.tokens import load_tokens

SERVICE_STATE: Final = Path("/var/lib/drumigen")
"""What systemd gives the system's service to keep things in."""


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("action", choices=("pair",))
    to.add_argument("--watch", action="store_true", help="for a bandmate who only watches")
    to.add_argument(
        "--new", action="store_true", help="make new tokens: all who are paired are put out"
    )
    add_set(to)


def main(options: argparse.Namespace) -> int:
    """Show the code, and the address that it stands for."""
    settings = settings_of(options)
    if not settings.web.port:
        message = "web.port is 0, so that there is no panel: choose a port, such as 8808"
        raise SettingsError(message)
    path = tokens_of_the_service(settings) or token_path(settings, os.environ)
    if path is None:
        message = "web.token_file: there is no home folder for it; name a file"
        raise SettingsError(message)
    tokens = load_tokens(path, anew=options.new)
    token = tokens.watch if options.watch else tokens.control
    host = next(iter(own_addresses()), "drumigen.local")
    # behind the #: a browser sends that to nobody, so that it is in no log
    url = f"http://{host}:{settings.web.port}/pair#{token}"
    import segno  # noqa: PLC0415 - only here

    segno.make(url, error="m").terminal(sys.stdout, compact=True)
    may = "watches" if options.watch else "controls"
    sys.stdout.write(f"scan it with a phone of the same network: it then {may} drumigen\n{url}\n")
    if not settings.web.lan:
        sys.stdout.write("the network is not let in yet: set web.lan = true and reload drumigen\n")
    if options.new:
        sys.stdout.write(
            "who was paired before is put out within seconds, and has to scan the new code\n"
        )
    return 0


def tokens_of_the_service(settings: Settings) -> Path | None:
    """Return where the system's service keeps its tokens, if that is who root pairs with."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and not settings.web.token_file and SERVICE_STATE.is_dir():
        return SERVICE_STATE / TOKEN_NAME
    return None
