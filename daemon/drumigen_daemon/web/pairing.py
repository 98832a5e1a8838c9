"""Pairing: a phone shows the token once and gets it back as a cookie."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drumigen_daemon.web.api import answered, as_json, body_of
from drumigen_daemon.web.guard import COOKIE, Policy, Tries
from drumigen_daemon.web.problems import ProblemError
from drumigen_daemon.web.tokens import Role

BODY_MAX: Final = 1000
COOKIE_AGE: Final = 400 * 86_400
"""Seconds; browsers keep no cookie for longer."""
WRONG_PAUSE: Final = 0.3
"""Seconds that every wrong token takes, from wherever it comes."""


class PairRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a client shows to be let in."""

    token: str


class Pairing:
    """Lets in who knows a token."""

    def __init__(self, policy: Policy, clock: Callable[[], float]) -> None:
        """Let in as ``policy`` says."""
        self._policy = policy
        self._clock = clock
        self._tries = Tries()

    def routes(self) -> list[Route]:
        """Return the routes, below ``/api/v1``."""
        return [
            Route("/pair", answered(self.pair), methods=["POST"]),
            Route("/role", answered(self.role), methods=["GET"]),
        ]

    async def pair(self, request: Request) -> Response:
        """Exchange a token for a cookie."""
        address = request.client.host if request.client else ""
        wait = self._tries.wait(address, self._clock())
        if wait > 0.0:
            seconds = str(int(wait) + 1)
            raise ProblemError(
                429, f"too many wrong tokens: wait {seconds} s", headers={"retry-after": seconds}
            )
        given: PairRequest = await body_of(request, PairRequest, BODY_MAX)
        role = (
            Role.CONTROL if self._policy.tokens is None else self._policy.tokens.role(given.token)
        )
        if role is None:
            self._tries.failed(address, self._clock())
            await asyncio.sleep(WRONG_PAUSE)
            raise ProblemError(401, "not this token: run `drumigen web pair` for the right one")
        response = as_json({"role": role})
        if self._policy.tokens is not None:
            response.set_cookie(
                COOKIE, given.token, max_age=COOKIE_AGE, httponly=True, samesite="strict", path="/"
            )
        return response

    async def role(self, request: Request) -> Response:
        """What this client may do."""
        return as_json({"role": request.state.role})
