"""Who may do what: hosts, origins, pairing tokens, and the headers of every answer.

The panel is plain HTTP on a private network, so that a token is no more than a key to the stage
door: it keeps out who happens to be on the same network.  What a browser of ours could be tricked
into is refused: a name that is not ours (DNS rebinding), a page of another origin (cross-site).
"""

import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drumigen_daemon.web.problems import problem_response
from drumigen_daemon.web.tokens import Role, Tokens

COOKIE: Final = "drumigen"
PAIRING: Final = ("/pair", "/pair.js", "/panel.css", "/api/v1/pair")
"""What one who is not paired may ask for."""
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
TRIES: Final = 5
"""Wrong tokens in a row from one address, after which it waits..."""
TRY_PERIOD: Final = 12.0
"""...so many seconds for each further one."""
ADDRESSES_MAX: Final = 256


class Tries:
    """Counts wrong tokens by address; the time is told."""

    def __init__(self) -> None:
        """Know nobody."""
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Return for how many seconds ``address`` must not try."""
        spent, since = self._spent.get(address, (0.0, now))
        left = max(0.0, spent - (now - since) / TRY_PERIOD)
        return max(0.0, (left - (TRIES - 1)) * TRY_PERIOD) if left > TRIES - 1 else 0.0

    def failed(self, address: str, now: float) -> None:
        """Count a wrong token."""
        spent, since = self._spent.pop(address, (0.0, now))
        self._spent[address] = (max(0.0, spent - (now - since) / TRY_PERIOD) + 1.0, now)
        while len(self._spent) > ADDRESSES_MAX:
            self._spent.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed to whom."""

    names: frozenset[str]
    lan: bool
    tokens: Tokens | None
    """Needed by whoever is not on this machine; None where nobody else gets in."""

    def host_allowed(self, host: str) -> bool:
        """Tell whether ``host``, as a browser sent it, is a name or an address of ours."""
        name = _without_port(host).lower()
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # a browser that was given an address was not given a name that could be bent to it
        return address.is_loopback or self.lan

    def role(self, client: str, token: str) -> Role | None:
        """Return what a client may do; None for one who is not paired."""
        if not self.lan or self.tokens is None or _is_loopback(client):
            return Role.CONTROL
        return self.tokens.role(token) if token else None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_loopback(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def token_in(headers: dict[str, str]) -> str:
    """Return the token that a request carries: as a bearer, or in our cookie; or an empty text."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie is not None else ""


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request by name in lower case; of two of one name the last."""
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


class Guard:
    """ASGI middleware: refuses what the policy does, and gives every answer its headers."""

    def __init__(
        self,
        app: ASGIApp,
        policy: Policy,
        refused: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Guard ``app``; call ``refused`` for each request that is."""
        self._app = app
        self._policy = policy
        self._refused = refused
        self._clock = clock
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                raw = message.setdefault("headers", [])
                raw.extend(security_headers(headers.get("host", ""), scope["path"]))
            await send(message)

        refusal = self._refusal(scope, headers) or self._stranger(scope, headers)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        self._refused()
        if refusal[0] == 401 and scope["type"] == "http" and scope["path"] == "/":
            # a person who has typed the address
            await RedirectResponse("/pair", 303)(scope, receive, send_guarded)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await problem_response(*refusal)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._policy.host_allowed(host):
            return 421, "this is not the host you asked for: use its address, or turn web.lan on"
        origin = headers.get("origin")
        method = scope.get("method", "GET")
        changes = scope["type"] == "websocket" or method not in SAFE_METHODS
        if origin is not None and _host_in(origin) != host.lower():
            return 403, "pages of other origins may not ask"
        if changes and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "pages of other sites may not ask"
        return None

    def _stranger(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return why a client may not do this; note in the scope what it may."""
        client, token, path = (scope.get("client") or ("", 0))[0], token_in(headers), scope["path"]
        changes = scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        role: Role | None = None
        if path not in PAIRING:
            if token and self._tries.wait(client, self._clock()) > 0.0:
                return 429, "too many wrong tokens: wait a minute, or pair again"
            role = self._policy.role(client, token)
            if role is None:
                if token:
                    self._tries.failed(client, self._clock())
                return 401, "not paired: run `drumigen web pair` on the machine that plays"
            if role is Role.WATCH and changes:
                return 403, "this token only watches"
        scope.setdefault("state", {})["role"] = role
        return None


def _host_in(origin: str) -> str:
    """Return the host, with its port, of an ``Origin`` header; empty for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def security_headers(host: str, path: str) -> list[tuple[bytes, bytes]]:
    """Return what every answer carries; the panel may only use what it came with."""
    # older browsers do not count a WebSocket as 'self'; a host is from outside, and is checked
    sockets = f" ws://{host} wss://{host}" if re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host) else ""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"font-src 'self'; manifest-src 'self'; connect-src 'self'{sockets}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    named: dict[str, str] = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }
    if path.startswith("/api/"):
        named["cache-control"] = "no-store" if not path.endswith("/styles") else "no-cache"
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
