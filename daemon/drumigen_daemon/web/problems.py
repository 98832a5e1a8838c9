"""Errors of the API as problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from drumigen_daemon.controls.values import one_line

PROBLEM_JSON = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong: ``detail`` is one line that says what to do."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    errors: Mapping[str, str] | None = None
    """By control, where several were asked for."""


class ProblemError(Exception):
    """A request that is answered by a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer by ``status`` and one line."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem_response(
    status: int,
    detail: str,
    errors: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that tells of a problem."""
    problem = Problem(HTTPStatus(status).phrase, status, one_line(detail), errors=errors)
    content = msgspec.json.encode(problem)
    return Response(content, status, headers=headers, media_type=PROBLEM_JSON)
