"""Which MIDI system to use: the one that was named, or the best that works here."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from drumigen.errors import PortError
from drumigen_daemon.ports import Backend, Peer, alsa, jack, rtmidi
from drumigen_daemon.ports.null import NullBackend
from drumigen_daemon.process.plugins import installed

PORTS_GROUP: Final = "drumigen.ports"
"""Entry points of this group, called without arguments, return a :class:`Backend`."""

LOOK_EVERY: Final = 3.0
"""Seconds between two looks for a better backend."""


@dataclass(frozen=True, slots=True)
class BackendReport:
    """Whether a backend can be used here."""

    name: str
    usable: bool
    reason: str
    """One line: what would be used, or how to make it usable."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    probe: Callable[[], str]
    make: Callable[[], Backend]
    peers: Callable[[], list[Peer]]


def _candidates(api: str | None) -> tuple[_Candidate, ...]:
    """Return the backends, best first: exact frames, exact kernel time, at once, never."""
    return (
        _Candidate("jack", jack.probe, jack.JackBackend, jack.peers),
        _Candidate("alsa", alsa.probe, alsa.AlsaBackend, alsa.peers),
        _Candidate(
            "rtmidi",
            partial(rtmidi.probe, api),
            partial(rtmidi.RtMidiBackend, api),
            partial(rtmidi.peers, api),
        ),
        _Candidate("null", lambda: "always works, and nothing sounds", NullBackend, list),
    )


def survey(api: str | None = None) -> list[BackendReport]:
    """Look at every backend, best first; leaves nothing open and takes at most some seconds."""
    return [_report(candidate) for candidate in _candidates(api)]


def choose(name: str, api: str | None = None) -> Backend:
    """Return the backend ``name``: auto, jack, alsa, rtmidi, null or an installed package's.

    It is not yet opened.

    ``auto`` is the first usable one of :func:`survey`, so in the worst case ``null``.  ``api`` is
    the system below rtmidi: alsa, jack, coremidi or winmm; None for the best that works.

    Raises:
        PortError: there is no backend of that name, or it cannot be used here.

    """
    candidates = _candidates(api)
    if name == "auto":
        return next(each for each in candidates if _report(each).usable).make()
    for candidate in candidates:
        if candidate.name == name:
            candidate.probe()
            return candidate.make()
    for point in installed(PORTS_GROUP, name):
        try:
            brought: Backend = point.load()()
        except Exception as error:  # a package that is not ours may fail as it likes
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            message = f"the MIDI backend {name!r} of an installed package fails: {why}"
            raise PortError(message) from error
        return brought
    known = ", ".join(["auto", *(each.name for each in candidates)])
    message = f"no MIDI backend {name!r}: choose one of {known}"
    raise PortError(message)


def better_than(name: str, api: str | None = None) -> str:
    """Return the best backend that can be used now and comes before ``name``; empty if none."""
    candidates = itertools.takewhile(lambda each: each.name != name, _candidates(api))
    return next((each.name for each in candidates if _report(each).usable), "")


class Search:
    """Looks for a better backend than the one in use, for as long as we live.

    Drumigen may have been started before JACK, or before the sound card was there.
    """

    def __init__(
        self, name: str, api: str | None, wanted: Callable[[], bool], call: Callable[[], None]
    ) -> None:
        """Look for something better than ``name`` whenever it is ``wanted``, and ``call``.

        Both are called from another thread.
        """
        self._name, self._api, self._wanted, self._call = name, api, wanted, call
        self._ended = threading.Event()
        self.found = ""
        """The name of a better backend, once there is one."""
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.found and not self._ended.wait(LOOK_EVERY):
            if self._wanted():
                self.found = better_than(self._name, self._api)
        if self.found:
            self._call()

    def end(self) -> None:
        """Look no further."""
        self._ended.set()


def peers(name: str, api: str | None = None) -> list[Peer]:
    """Return the ports that are there for the backend ``name``.

    Raises:
        PortError: it cannot be used here.

    """
    found = [each for each in _candidates(api) if each.name == name]
    return found[0].peers() if found else []


def _report(candidate: _Candidate) -> BackendReport:
    try:
        return BackendReport(candidate.name, usable=True, reason=candidate.probe())
    except PortError as error:
        return BackendReport(candidate.name, usable=False, reason=str(error))
