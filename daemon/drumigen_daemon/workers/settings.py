"""Settings of ``[workers]``: where the broker is, and how long its answers are waited for.

Imports neither Celery nor Redis: every daemon reads its settings.
"""

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from drumigen_daemon.controls.values import Allowed, absolute_path, whole, word
from drumigen_daemon.generator.messages import WorkersAddress
from drumigen_daemon.process.password import password

WORKERS_PASSWORD_VARIABLE: Final = "DRUMIGEN_WORKERS_PASSWORD"  # noqa: S105 - its name
"""Where the password may be given; it is in no settings file, no log and no list of processes."""
SCHEMES: Final = ("redis", "rediss")


def _broker(value: str) -> str:
    if not value:
        return ""
    parts = urlsplit(value)
    _ = parts.port  # ValueError if it is no number
    number = parts.path.removeprefix("/") or "0"
    numbered = number.isascii() and number.isdecimal()
    whole_url = parts.scheme in SCHEMES and parts.hostname and numbered and value.isprintable()
    if not whole_url or parts.password is not None or parts.query or parts.fragment:
        raise ValueError
    return value


BROKER: Final = Allowed(
    "redis://HOST:PORT/NUMBER, or rediss:// for TLS, with no password in it (that belongs in "
    f"workers.password_file or {WORKERS_PASSWORD_VARIABLE})",
    (str,),
    _broker,
)


@dataclass(frozen=True, slots=True)
class WorkersSettings:
    """The Redis through which workers are asked."""

    broker: Annotated[str, BROKER] = ""
    """Empty for none: bars and songs are written on this machine."""
    password_file: Annotated[str, absolute_path()] = ""
    ca_file: Annotated[str, absolute_path()] = ""
    """Empty for the authorities that the system trusts."""
    queue: Annotated[str, word(1, 64, "1 to 64 letters, digits, - or _")] = "drumigen"
    """One for each group of drummers and workers on a broker."""
    deadline_ms: Annotated[int, whole(10, 10_000)] = 500
    """Milliseconds that an answer is waited for, then the CPU here writes the bars."""
    max_queue: Annotated[int, whole(1, 100_000)] = 256
    """Requests for bars that may wait in Redis; beyond it the CPU here writes at once."""
    result_ttl_s: Annotated[int, whole(60, 604_800)] = 3600
    """Seconds for which a song that a worker rendered is kept."""

    @property
    def address(self) -> WorkersAddress | None:
        """What processes are told of it; None without a broker."""
        if not self.broker:
            return None
        return WorkersAddress(
            self.broker,
            self.password_file,
            self.ca_file,
            self.queue,
            self.deadline_ms / 1000,
            self.max_queue,
            self.result_ttl_s,
        )


def password_of(address: WorkersAddress) -> str | None:
    """Return the password of the broker, if it wants one.

    Raises:
        OSError: its file cannot be read.
    """
    found = password(address.password_file, "workers_password", WORKERS_PASSWORD_VARIABLE)
    return found or None
