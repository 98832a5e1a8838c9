"""What crosses the seam between the daemon and its web process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from drumigen_daemon.controls.values import SWITCH, absolute_path, text, whole
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.process.log_line import LogLine

LOOPBACK = "127.0.0.1"
HISTORY_MAX = 64
"""Played bars in one answer."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the panel and the API listen, and what they allow."""

    host: Annotated[str, text(1, 253, "a name or address of this machine", " /")] = LOOPBACK
    port: Annotated[int, whole(0, 65_535)] = 8808
    """0 is off."""
    lan: Annotated[bool, SWITCH] = False
    """Listen to the local network too; who is not paired may do nothing."""
    token_file: Annotated[str, absolute_path()] = ""
    """Where the pairing tokens are; empty for the state folder."""
    body_kb: Annotated[int, whole(1, 1024)] = 64
    """Largest body of a request, in kilobytes."""
    connections: Annotated[int, whole(1, 1000)] = 64
    queued_jobs: Annotated[int, whole(1, 1000)] = 16
    """Songs that may wait to be rendered."""
    results_s: Annotated[int, whole(60, 86_400)] = 3600
    """Seconds for which a rendered song is kept."""

    @property
    def address(self) -> str:
        """Where to listen: everywhere if the local network is asked for and no host is given."""
        return "0.0.0.0" if self.lan and self.host == LOOPBACK else self.host  # noqa: S104 - asked for

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the panel."""
        host = LOOPBACK if self.lan and self.host == LOOPBACK else self.host
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"


class ControlInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the table of controls, for programs."""

    name: str
    takes: str = ""
    """What it takes, in words; empty for an action, which takes nothing."""
    kind: str = "action"
    """``action``, ``switch``, ``number``, ``choice`` or ``text``."""
    low: float | None = None
    high: float | None = None
    whole: bool = False
    names: tuple[str, ...] = ()
    style: bool = False
    """Whether it can be left to the style, by the value ``style``."""


class ToWeb(msgspec.Struct, frozen=True, tag=True):
    """Root of what the daemon tells."""


class WebHello(ToWeb, frozen=True):
    """The first message: how to serve, and what does not change while the process lives."""

    settings: WebSettings
    version: str
    token_path: str
    controls: tuple[ControlInfo, ...]
    styles: tuple[Mapping[str, Any], ...]
    generator: GeneratorSetup
    """Who writes the bars of songs on request: whoever writes those that are played."""


class WebState(ToWeb, frozen=True):
    """How everything stands; sent when it changes, 20 times a second at most."""

    at: float
    """The moment, in seconds of the monotonic clock that all our processes share."""
    values: Mapping[str, Any] | None
    """What every setting stands at, with None for the style's; or None if all is as before."""
    song: Mapping[str, Any]
    """Transport, timeline, metre, lock, style and so on."""
    counters: Mapping[str, Any]


class WebPlan(ToWeb, frozen=True):
    """The bar that sounds, and those planned after it."""

    bars: tuple[Mapping[str, Any], ...]


class Answer(ToWeb, frozen=True):
    """What came of a request: ``body``, or why not in one line."""

    id: int
    body: Any = None
    problem: str = ""


class FromWeb(msgspec.Struct, frozen=True, tag=True):
    """Root of what the web process tells."""


class ControlBatch(FromWeb, frozen=True):
    """Controls to be carried out in this order; of a setting that was asked twice, the last."""

    id: int
    controls: tuple[tuple[str, str | int | float | bool | None], ...]


class HistoryRequest(FromWeb, frozen=True):
    """Played bars wanted: from ``first`` to ``last``, counted from 1 = the oldest that is kept.

    With ``last`` 0, the last ``first`` bars.
    """

    id: int
    first: int
    last: int = 0


class WebSign(FromWeb, frozen=True):
    """A sign of life, every few seconds and when the first panel opens or the last one closes."""

    clients: int = 0
    refused: int = 0
    """Requests that were refused: wrong host, origin or token, too many, too large."""
    port: int = 0
    """Where it listens; 0 while it does not."""


class TokensChanged(FromWeb, frozen=True):
    """The pairing tokens are others than when the process began: it wants to be replaced.

    Whoever is connected by the old ones is put out with it.
    """


AnyToWeb = WebHello | WebState | WebPlan | Answer
AnyFromWeb = ControlBatch | HistoryRequest | WebSign | TokensChanged | LogLine
