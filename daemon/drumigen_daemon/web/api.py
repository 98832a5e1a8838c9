"""The routes of ``/api/v1`` that show and control what plays."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from drumigen.errors import ControlError, DrumigenError, MidiFileError
from drumigen.midi.file import song_to_bytes
from drumigen.units import Seconds
from drumigen_daemon.capture.capture import song_of
from drumigen_daemon.controls.table import ALIASES, VALUES
from drumigen_daemon.engine.messages import PlayedBar
from drumigen_daemon.web.doctor import Doctor
from drumigen_daemon.web.hub import AnyValue, BusyError, Hub
from drumigen_daemon.web.messages import HISTORY_MAX, WebHello
from drumigen_daemon.web.problems import ProblemError, problem_response

T = TypeVar("T")

BODY_SECONDS_MAX: Final = 10.0
"""Seconds in which a client must have sent its body."""
EVENT_PERIOD: Final = 0.05
EVENT_SILENCE: Final = 15.0
"""Seconds after which a comment is sent on a silent stream, so that a dead client is noticed."""
HISTORY_BARS: Final = 16
JSON: Final = "application/json"


class DaemonClient(Protocol):
    """The daemon, as far as the API needs it."""

    async def controls(self, wanted: Mapping[str, AnyValue]) -> Mapping[str, str]:
        """Have controls carried out; return what did not work, by control.

        Raises:
            ControlError: one is unknown or its value is wrong; none was carried out.
            TimeoutError: the daemon did not answer.
        """

    async def history(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return played bars, as :class:`~drumigen_daemon.web.messages.HistoryRequest` asks.

        Raises:
            TimeoutError: the daemon did not answer.
        """


class ControlValue(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /controls/{action}``; an action takes none."""

    value: str | int | float | bool | None = None


ControlValues = dict[str, str | int | float | bool]


class LiveApi:
    """Routes about what plays now."""

    def __init__(self, hub: Hub, daemon: DaemonClient, hello: WebHello, doctor: Doctor) -> None:
        """Show ``hub``, control ``daemon``."""
        self._hub = hub
        self._daemon = daemon
        self._doctor = doctor
        self._body_max = hello.settings.body_kb * 1000
        self._styles = msgspec.json.encode({"styles": hello.styles})
        self._etag = f'"{hashlib.sha256(self._styles).hexdigest()[:16]}"'
        self._table = {info.name: info for info in hello.controls}

    def routes(self) -> list[Route]:
        """Return the routes, below ``/api/v1``."""
        return [
            Route("/now", answered(self.now), methods=["GET"]),
            Route("/plan", answered(self.plan), methods=["GET"]),
            Route("/history", answered(self.history), methods=["GET"]),
            Route("/history/last.mid", answered(self.last_midi), methods=["GET"]),
            Route("/controls", answered(self.controls), methods=["GET"]),
            Route("/controls", answered(self.patch_controls), methods=["PATCH"]),
            Route("/controls/{name}", answered(self.control), methods=["GET"]),
            Route("/controls/{name}", answered(self.post_control), methods=["POST"]),
            Route("/styles", answered(self.styles), methods=["GET"]),
            Route("/scenes/{number:int}/{what}", answered(self.scene), methods=["POST"]),
            Route("/doctor", answered(self.doctor), methods=["GET"]),
            Route("/events", answered(self.events), methods=["GET"]),
        ]

    async def now(self, _: Request) -> Response:
        """Where the song is."""
        return as_json(self._hub.now(_now()))

    async def plan(self, _: Request) -> Response:
        """The bar that sounds and the next ones."""
        return as_json(self._hub.plan(_now()))

    async def history(self, request: Request) -> Response:
        """Played bars, by their place among those that are kept; the last 16 without a range."""
        first = number_in(request, "from", 1, 10**9)
        last = number_in(request, "to", 1, 10**9)
        if first is None and last is None:
            bars = await self._daemon.history(HISTORY_BARS, 0)
        else:
            begin = 1 if first is None else first
            end = begin + HISTORY_MAX - 1 if last is None else last
            if end < begin:
                raise ProblemError(422, "to: it comes before from; swap them")
            bars = await self._daemon.history(begin, end)
        return as_json({"bars": bars})

    async def last_midi(self, request: Request) -> Response:
        """The last bars as a Standard MIDI File."""
        count = number_in(request, "bars", 1, HISTORY_MAX) or 8
        bars = await self._daemon.history(count, 0)
        if not bars:
            raise ProblemError(404, "nothing has been played yet: press start")
        song = song_of(map(_sounded, bars), "drumigen")
        return attachment(song_to_bytes(song), "drumigen-last.mid", "audio/midi")

    async def controls(self, _: Request) -> Response:
        """Every control: what it takes, and what it stands at."""
        values = self._hub.sections["values"]
        table = [
            {**msgspec.to_builtins(info), **({"value": values[name]} if name in values else {})}
            for name, info in self._table.items()
        ]
        return as_json({"controls": table})

    async def control(self, request: Request) -> Response:
        """One control: what it takes, and what it stands at."""
        name = ALIASES.get(request.path_params["name"], request.path_params["name"])
        if name not in self._table:
            raise ProblemError(404, f"no control {name!r}: GET /api/v1/controls lists them")
        values = self._hub.sections["values"]
        value = {"value": values[name]} if name in values else {}
        return as_json({**msgspec.to_builtins(self._table[name]), **value})

    async def patch_controls(self, request: Request) -> Response:
        """Set any number of settings; all of them or none."""
        wanted = await body_of(request, ControlValues, self._body_max)
        if not wanted:
            raise ProblemError(422, 'name a control and its value, as in {"tempo": 120}')
        for name in wanted:
            known = VALUES.get(ALIASES.get(name, name), ...)
            if known is None:
                raise ProblemError(422, f"{name} is an action: POST /api/v1/controls/{name}")
        await self._carry_out(wanted)
        values = self._hub.sections["values"]
        names = [ALIASES.get(name, name) for name in wanted]
        return as_json({name: values.get(name) for name in names})

    async def post_control(self, request: Request) -> Response:
        """Do an action, or set one setting."""
        name = request.path_params["name"]
        body = await body_of(request, ControlValue, self._body_max, ControlValue())
        if ALIASES.get(name, name) not in VALUES:
            raise ProblemError(404, f"no control {name!r}: GET /api/v1/controls lists them")
        await self._carry_out({name: body.value})
        return Response(status_code=204)

    async def scene(self, request: Request) -> Response:
        """Recall or store a scene."""
        what = {"recall": "scene", "store": "store_scene"}.get(request.path_params["what"])
        if what is None:
            raise ProblemError(404, "a scene can be recalled or stored: POST .../recall")
        await self._carry_out({what: request.path_params["number"]})
        return Response(status_code=204)

    async def _carry_out(self, wanted: Mapping[str, AnyValue]) -> None:
        problems = await self._daemon.controls(wanted)
        if problems:
            raise ProblemError(422, "; ".join(problems.values()), errors=dict(problems))

    async def styles(self, request: Request) -> Response:
        """The catalogue of styles."""
        headers = {"etag": self._etag}
        known = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
        if self._etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(self._styles, media_type=JSON, headers=headers)

    async def doctor(self, _: Request) -> Response:
        """What ``drumigen doctor`` found last; it looks again at most once a minute."""
        return as_json(await self._doctor.result())

    async def events(self, _: Request) -> Response:
        """The state as server-sent events: for displays and curl."""
        return StreamingResponse(
            self._events(), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    async def _events(self) -> AsyncIterator[bytes]:
        hub = self._hub
        changed = asyncio.Event()
        changed.set()
        seen = dict.fromkeys(hub.versions, -1)
        stop = hub.listen(changed.set)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVENT_SILENCE):
                        await changed.wait()
                silent = not changed.is_set()
                changed.clear()
                if silent:
                    yield b": nothing new\n\n"
                    continue
                if seen["song"] != hub.versions["song"]:
                    yield event("now", hub.now(_now()))
                if seen["plan"] != hub.versions["plan"]:
                    yield event("plan", hub.plan(_now()))
                if seen["values"] != hub.versions["values"]:
                    yield event("controls", hub.sections["values"])
                seen = dict(hub.versions)
                await asyncio.sleep(EVENT_PERIOD)
        finally:
            stop()


def event(name: str, value: object) -> bytes:
    """Return a server-sent event."""
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(value) + b"\n\n"


def answered(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return ``handler`` with what goes wrong in it told as a problem."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ProblemError as error:
            return problem_response(error.status, error.detail, error.errors, error.headers)
        except BusyError as error:
            return problem_response(429, str(error), headers={"retry-after": "1"})
        except (ControlError, MidiFileError) as error:
            return problem_response(422, str(error))
        except DrumigenError as error:
            return problem_response(422, str(error))
        except TimeoutError:
            return problem_response(
                503, "the daemon is busy: ask again", headers={"retry-after": "1"}
            )

    answer.__doc__ = handler.__doc__
    return answer


async def body_of(request: Request, kind: Any, most: int, default: T | None = None) -> Any:  # noqa: ANN401 - what ``kind`` is
    """Return the body of a request as a value of ``kind``, or ``default`` where it is empty.

    Raises:
        ProblemError: it is too large, too slow, not JSON, or not what is wanted.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise ProblemError(413, f"a body has at most {most} bytes")
    except TimeoutError:
        raise ProblemError(408, f"a body is sent within {BODY_SECONDS_MAX:g} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "the body ended early") from None
    if not data.strip() and default is not None:
        return default
    kind_of_body = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind_of_body != JSON:
        raise ProblemError(415, f"send JSON: content-type {JSON}")
    try:
        return msgspec.json.decode(bytes(data), type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(422, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, f"not JSON: {error}") from error


def number_in(request: Request, name: str, low: int, high: int) -> int | None:
    """Return a whole number of the query; None if it is not given.

    Raises:
        ProblemError: it is none, or out of range.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise ProblemError(422, f"{name}: a whole number from {low} to {high}")
    return int(text)


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``value`` as an answer."""
    return Response(msgspec.json.encode(value), status, headers=headers, media_type=JSON)


def attachment(data: bytes, name: str, kind: str) -> Response:
    """Return a file to be kept as ``name``."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=kind, headers=headers)


def _sounded(bar: dict[str, Any]) -> PlayedBar:
    fields = {**bar, "number": bar["bar"] - 1}
    notes = [
        {"tick": t, "channel": c, "note": n, "velocity": v, "duration": d}
        for t, c, n, v, d in bar["notes"]
    ]
    return msgspec.convert({**fields, "notes": notes, "type": "Sounded"}, PlayedBar)


def _now() -> Seconds:
    return Seconds(time.monotonic())
