"""The application: which path is answered by what."""

import functools
import hashlib
import mimetypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp

from drumigen_daemon.jobs.queue import JobQueue
from drumigen_daemon.web.api import DaemonClient, LiveApi, as_json
from drumigen_daemon.web.doctor import Doctor
from drumigen_daemon.web.guard import Guard, Policy
from drumigen_daemon.web.hub import Hub
from drumigen_daemon.web.jobs_api import JobsApi
from drumigen_daemon.web.messages import WebHello
from drumigen_daemon.web.openapi import described_api
from drumigen_daemon.web.pairing import Pairing
from drumigen_daemon.web.problems import problem_response
from drumigen_daemon.web.socket import Panels

API_ROOT: Final = "/api/v1"
PANEL_FOLDER: Final = Path(__file__).parent / "panel"
mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("text/javascript", ".js")


def application(  # noqa: PLR0913, PLR0917 - it puts together what there is
    hub: Hub,
    daemon: DaemonClient,
    hello: WebHello,
    jobs: JobQueue,
    panels: Panels,
    policy: Policy,
    refused: Callable[[], None],
) -> ASGIApp:
    """Return the guarded application."""
    live = LiveApi(hub, daemon, hello, Doctor())
    body_max = hello.settings.body_kb * 1000
    document = described_api(hello.version)

    async def openapi(_: Request) -> Response:
        return as_json(document)

    pairing = Pairing(policy, time.monotonic)
    routes: list[BaseRoute] = [
        Mount(
            API_ROOT,
            routes=[
                *live.routes(),
                *JobsApi(jobs, body_max).routes(),
                *pairing.routes(),
                Route("/openapi.json", openapi, methods=["GET"]),
                WebSocketRoute("/live", panels.serve),
            ],
        ),
        *(
            Route(path, functools.partial(_file, PANEL_FOLDER / name), methods=["GET"])
            for path, name in panel_files().items()
        ),
    ]
    handlers = {HTTPException: _http_problem, Exception: _fault}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(app, policy, refused)


def panel_files() -> dict[str, str]:
    """Return the files of the panel by path: only those that are there can be asked for."""
    named = {
        f"/{path.name}": path.name for path in sorted(PANEL_FOLDER.iterdir()) if path.is_file()
    }
    return {**named, "/": "index.html", "/pair": "pair.html", "/api": "api.html"}


async def _file(path: Path, request: Request) -> Response:
    data, tag = _read(path)
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(data, media_type=kind, headers=headers)


@functools.cache
def _read(path: Path) -> tuple[bytes, str]:
    data = path.read_bytes()
    return data, f'"{hashlib.sha256(data).hexdigest()[:16]}"'


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: "there is nothing here: GET /api/v1/openapi.json lists what there is",
        405: "that path does not take this method",
    }.get(error.status_code, error.detail)
    return problem_response(error.status_code, detail, headers=error.headers)


async def _fault(_: Request, error: Exception) -> Response:
    return problem_response(500, f"a fault of ours ({type(error).__name__}): please report it")
