"""Pairing tokens: who holds one may use the panel from another machine."""

import hmac
import os
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from drumigen.errors import SettingsError

TOKEN_BYTES: Final = 16


class Role(StrEnum):
    """What a client may do."""

    CONTROL = "control"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The keys of the stage door: one to control, one for bandmates who only watch."""

    control: str
    watch: str

    def role(self, token: str) -> Role | None:
        """Return what ``token`` opens, in a time that tells nothing about the right ones."""
        given = token.encode()
        control = hmac.compare_digest(given, self.control.encode())
        watch = hmac.compare_digest(given, self.watch.encode())
        return Role.CONTROL if control else Role.WATCH if watch else None


def load_tokens(path: Path, *, anew: bool = False) -> Tokens:
    """Return the tokens kept at ``path``, readable by this user only; make them if need be.

    Raises:
        SettingsError: the file cannot be made or read, or others may read it; one line.
    """
    try:
        if anew:
            path.unlink(missing_ok=True)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read_tokens(path)
        tokens = Tokens(secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES))
        with os.fdopen(handle, "w", encoding="ascii") as file:
            _give(file.fileno(), path.parent)
            file.write(f"control {tokens.control}\nwatch {tokens.watch}\n")
    except OSError as error:
        message = f"web.token_file {path}: {error.strerror}; choose another place"
        raise SettingsError(message) from error
    return tokens


def tokens_at(path: Path) -> Tokens | None:
    """Return the tokens that are kept at ``path`` now; None if there are none that may be used."""
    try:
        return _read_tokens(path)
    except (OSError, SettingsError):
        return None


def _give(handle: int, folder: Path) -> None:
    """Let a file belong to whom its folder belongs to: root pairs for a service."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _read_tokens(path: Path) -> Tokens:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        message = f"web.token_file {path}: others may read it; chmod 600 {path}"
        raise SettingsError(message)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = dict(line.split(None, 1) for line in lines if len(line.split(None, 1)) == 2)
    try:
        tokens = Tokens(found["control"].strip(), found["watch"].strip())
    except KeyError:
        tokens = Tokens("", "")
    if min(len(tokens.control), len(tokens.watch)) < TOKEN_BYTES:
        message = f"web.token_file {path}: not a token file; remove it, and a new one is made"
        raise SettingsError(message)
    return tokens
