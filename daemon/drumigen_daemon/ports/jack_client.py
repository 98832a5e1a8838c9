"""Clients of a JACK server: how they join and leave it, and the library that does it.

The only module that imports JACK-Client.  Everything here is about servers that hang, die or are
not there: libjack waits for ever, prints, or crashes the process, and must not be seen doing it.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from drumigen.errors import PortError

if TYPE_CHECKING:
    import jack

OPEN_TIMEOUT: Final = 3.0
"""Seconds within which a healthy server admits a client; it takes 20 ms."""


class Sentinel:
    """Watches one JACK server for those who cannot: a client that does nothing else."""

    def __init__(self, name: str) -> None:
        """Join the server as ``name``; raises :class:`PortError` if there is none."""
        (self._client,) = ClientOpening(name, exact=False).wait(OPEN_TIMEOUT)
        self.down = threading.Event()
        """Set at once, from a thread of JACK, when the server dies or turns us out."""
        self.period = self._client.blocksize / self._client.samplerate
        """Seconds, as it was when we joined."""
        self._client.set_shutdown_callback(lambda *_: self.down.set())
        self._client.activate()

    def ports(self) -> frozenset[str]:
        """Return the names of all ports on the server; none if one went while they were read."""
        try:
            return frozenset(port.name for port in self._client.get_ports())
        except jack_library().JackError:
            return frozenset()

    def close(self) -> None:
        """Leave the server.  Idempotent."""
        leave(self._client)


class ClientOpening:
    """Joins a server in a thread of its own, for a hung server never answers."""

    def __init__(self, *names: str, exact: bool = True) -> None:
        """Begin to open a client for each of ``names``; ``exact`` refuses one that is taken."""
        self._names = names
        self._exact = exact
        self._jack = jack_library()
        # one item at most, a list of clients: whoever pops it owns them
        self._opened: deque[list[jack.Client]] = deque()
        self._error: jack.JackOpenError | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="jack-open", daemon=True)
        self._thread.start()

    def wait(self, timeout: float) -> "list[jack.Client]":
        """Return a client for each name, or raise :class:`PortError`."""
        if not self.done(timeout):
            self.abandon()
            message = f"the JACK server {server_name()!r} does not answer: restart it"
            raise PortError(message)
        return self.result()

    def done(self, timeout: float) -> bool:
        """Wait for the server's answer, ``timeout`` seconds at most; tell if there is one."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> "list[jack.Client]":
        """Return the clients once it is :meth:`done`, or raise :class:`PortError`."""
        if self._opened:
            return self._opened.pop()
        if self._error is None or self._error.status.server_failed:
            message = _no_server(made_by(self._jack))
        else:  # jackd calls a taken name a server error
            message = (
                f"the JACK server {server_name()!r} refuses a client {self._error.name!r}: "
                "stop the other drumigen, or choose another client name"
            )
        raise PortError(message) from self._error

    def abandon(self) -> None:
        """Let the clients go, now or when the server lets us in at last."""
        self._abandoned = True
        self._close_abandoned()

    def _run(self) -> None:
        clients: list[jack.Client] = []
        try:
            for name in self._names:
                clients.append(  # noqa: PERF401 - those before a failure must be closed
                    self._jack.Client(name, use_exact_name=self._exact, no_start_server=True)
                )
        except self._jack.JackOpenError as error:
            self._error = error
            for client in clients:
                client.close()
            return
        self._opened.append(clients)
        if self._abandoned:
            self._close_abandoned()

    def _close_abandoned(self) -> None:
        with contextlib.suppress(IndexError):  # not open, or the other thread has them
            leave(*self._opened.pop())


def server_name() -> str:
    """Return the name of the JACK server that libjack would choose."""
    return os.environ.get("JACK_DEFAULT_SERVER", "default")


def unwrap(last: int | None, frame: int) -> int:
    """Continue ``last`` by JACK's 32-bit frame counter, which wraps once a day at 48 kHz."""
    if last is None:
        return frame
    return last + (frame - last + 2**31) % 2**32 - 2**31


def leave(*clients: "jack.Client", patience: float = 1.0) -> threading.Thread:
    """Close ``clients``, which takes 20 ms; behind our back if it takes more than ``patience``.

    While the server hangs it takes forever.
    """

    def close() -> None:
        for client in clients:
            client.close()

    thread = threading.Thread(target=close, name="jack-close", daemon=True)
    thread.start()
    thread.join(patience)
    return thread


def made_by(library: ModuleType) -> str:
    """Return who made the libjack that ``library`` loaded: ``JACK``, or ``PipeWire 1.2.3``."""
    version: str = library.version_string()
    return version.partition("using ")[2].rstrip(")") or "JACK"


def _import_library() -> ModuleType:
    loaded = sys.modules.get("jack")
    if loaded is not None:
        return loaded
    import ctypes.util as loader  # noqa: PLC0415 - it loads much, and is needed here only

    of_list = loader.find_library
    loader.find_library = partial(_find_library, of_list)
    try:
        import jack as library  # noqa: PLC0415 - absent on some machines, and it loads libjack
    finally:
        loader.find_library = of_list
    module: ModuleType = library
    return module


def _find_library(of_list: Callable[[str], str | None], name: str) -> str | None:
    """Find libjack for JACK-Client, which only asks the loader's list of installed libraries.

    PipeWire's is in no such list: ``pw-jack`` names its folder in LD_LIBRARY_PATH, and without
    that it is looked for where the distributions put it.
    """
    found = of_list(name)
    if found is not None or name != "jack":
        return found
    for path in ("libjack.so.0", *_pipewire_libraries()):
        with contextlib.suppress(OSError):
            ctypes.CDLL(path)
            return path
    return None


def _pipewire_libraries() -> list[str]:
    found = (
        path
        for lib in ("lib/*", "lib64", "lib")
        for path in Path("/usr").glob(f"{lib}/pipewire-0.3/jack/libjack.so.0")
    )
    return sorted(map(str, found))


def pipewire_runs() -> bool:
    """Tell whether this user has a PipeWire that programs can connect with."""
    runtime = os.environ.get("PIPEWIRE_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR", "")
    socket = Path(runtime, os.environ.get("PIPEWIRE_REMOTE") or "pipewire-0")
    return bool(runtime) and socket.exists()


def _no_server(maker: str) -> str:
    """Say that there is no server, and what to do for one, to a user of ``maker``'s libjack."""
    if maker != "JACK":
        return "no PipeWire runs for this user: systemctl --user start pipewire wireplumber"
    if pipewire_runs():
        return (
            "PipeWire runs, but this libjack is not PipeWire's: start it as pw-jack drumigen "
            "(Debian: pipewire-jack), or start jackd"
        )
    return (
        f"no JACK server {server_name()!r} runs: start jackd or PipeWire's JACK, "
        "or set JACK_DEFAULT_SERVER to the name of the one that does"
    )


def jack_library() -> ModuleType:
    """Return JACK-Client, which loads libjack.

    Raises:
        PortError: one of the two is not there; the message says what to install.
    """
    try:
        library = _import_library()
    except (ImportError, OSError) as error:
        message = (
            f"JACK cannot be used ({error}): install libjack (Debian: libjack-jackd2-0, or "
            "pipewire-jack where PipeWire runs) and pip install JACK-Client"
        )
        raise PortError(message) from error
    # libjack prints to stderr whenever a server is absent; what matters comes as exceptions
    library.set_error_function(_ignore)
    library.set_info_function(_ignore)
    return library


def _ignore(_message: str) -> None:
    pass
