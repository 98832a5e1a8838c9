"""Where the daemon keeps what is its own: socket, what was learned, scenes, tokens, played bars."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.settings.sections import Settings

SOCKET_NAME: Final = "drumigen.sock"
TOKEN_NAME: Final = "web-token"  # noqa: S105 - the name of a file


def socket_paths(settings: Settings, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where the control socket may be, best first; the daemon takes the first."""
    if settings.control.socket:
        return (Path(settings.control.socket).expanduser(),)
    folders = [
        environment.get("RUNTIME_DIRECTORY", "").partition(":")[0],  # given by systemd
        environment.get("XDG_RUNTIME_DIR", ""),
        "/run/drumigen",
    ]
    user = os.getuid() if hasattr(os, "getuid") else environment.get("USERNAME", "user")
    own = Path(tempfile.gettempdir()) / f"drumigen-{user}"
    usable = [Path(folder) for folder in folders if folder and os.access(folder, os.W_OK)]
    return tuple(folder / SOCKET_NAME for folder in (*usable, own))


def learned_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where learned bindings are kept; None where there is no home for them."""
    given = settings.control.learned
    return _kept_at(given, "learned.toml", environment, ("XDG_CONFIG_HOME", ".config"))


def scenes_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where scenes are kept; None where there is no home for them."""
    given = settings.control.scenes
    return _kept_at(given, "scenes.json", environment, ("XDG_STATE_HOME", ".local/state"))


def _kept_at(
    given: str, name: str, environment: Mapping[str, str], home: tuple[str, str]
) -> Path | None:
    """Return the path ``given``, else ``name`` in systemd's state folder or the user's own.

    ``home`` is the variable that names the user's folder, and where it is below the home.
    """
    if given:
        return Path(given).expanduser()
    state = _state_directory(environment)
    if state:
        return Path(state) / name
    variable, below = home
    folder = environment.get(variable) or below_home(environment, below)
    return Path(folder) / "drumigen" / name if folder else None


def _state_directory(environment: Mapping[str, str]) -> str:
    """Return the folder that systemd gives a service for what it keeps; empty if none."""
    return environment.get("STATE_DIRECTORY", "").partition(":")[0]


def below_home(environment: Mapping[str, str], folder: str) -> str:
    """Return ``folder`` below the user's home; empty if there is none."""
    home = environment.get("HOME", "")
    return home and f"{home}/{folder}"


def token_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where the panel's pairing tokens are kept; None where there is no home for them."""
    given = settings.web.token_file
    return _kept_at(given, TOKEN_NAME, environment, ("XDG_STATE_HOME", ".local/state"))


def live_generator_setup(settings: Settings, environment: Mapping[str, str]) -> GeneratorSetup:
    """Return what the generator of a daemon is told: as others are, and where verdicts are kept."""
    kept = _kept_at("", "devices.json", environment, ("XDG_STATE_HOME", ".local/state"))
    return msgspec.structs.replace(
        settings.generator_setup, verdicts="" if kept is None else str(kept)
    )


def journal_folder(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where played bars are kept: the folder set, or the one that systemd gives, or None."""
    folder = settings.capture.folder or _state_directory(environment)
    return Path(folder) if folder else None
