"""The description of the API (OpenAPI 3.1), with the schemas of the types that are read."""

from typing import Any, Final

import msgspec

from drumigen_daemon.jobs.messages import JobRequest
from drumigen_daemon.web.api import ControlValue
from drumigen_daemon.web.jobs_api import FORMS, KEY_LENGTH_MAX
from drumigen_daemon.web.messages import HISTORY_MAX, ControlInfo
from drumigen_daemon.web.pairing import PairRequest
from drumigen_daemon.web.problems import PROBLEM_JSON, Problem

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_COMMON: Final = {
    "400": "The request is not well formed.",
    "401": "Not paired: `drumigen web pair` shows how.",
    "403": "A page of another origin asked, or a token that only watches.",
    "408": "The body came too slowly.",
    "421": "Not a host name of this machine.",
    "429": "Too much at once.",
    "503": "The daemon or the queue is busy.",
}
_BODY: Final = {
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "A value is not allowed; the detail says what is.",
}


def described_api(version: str) -> Json:
    """Return the document."""
    _, schemas = msgspec.json.schema_components(
        (JobRequest, ControlValue, ControlInfo, PairRequest, Problem), ref_template=_REF
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "drumigen",
            "version": version,
            "description": "See, control and ask songs of a drummer that plays live.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api/v1"}],
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "drumigen"},
            },
        },
        "security": [{}, {"token": []}, {"cookie": []}],
    }


def _paths() -> Json:
    value = {"type": ["string", "number", "boolean"]}
    return {
        "/generate": {
            "post": _operation(
                "generate",
                "Have a song rendered",
                {"202": _job_answer("The job; Location says where it stands.", location=True)},
                body=_ref("JobRequest"),
                body_needed=False,
                parameters=[
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "description": "Asked for again with the same key, it is the same job.",
                        "schema": {"type": "string", "maxLength": KEY_LENGTH_MAX},
                    }
                ],
            )
        },
        "/status/{id}": {
            "get": _operation(
                "status",
                "How a job stands; as server-sent events if `text/event-stream` is accepted",
                {"200": _job_answer("The job.")},
                parameters=[_JOB_ID],
                missing=True,
            ),
            "delete": _operation(
                "cancel",
                "End a job that is not over",
                {"204": {"description": "It is over."}},
                parameters=[_JOB_ID],
                missing=True,
            ),
        },
        "/download/{id}.{form}": {
            "get": _operation(
                "download",
                "A song that is done",
                {
                    "200": {
                        "description": "The file.",
                        "content": {kind: {"schema": _BINARY} for kind, _ in FORMS.values()},
                    },
                    "409": _problem("The song is not done."),
                    "422": _problem("It cannot be made here, as a .wav without FluidSynth."),
                },
                parameters=[
                    _JOB_ID,
                    {
                        "name": "form",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "enum": list(FORMS)},
                    },
                ],
                missing=True,
            )
        },
        "/styles": {
            "get": _operation(
                "styles",
                "The catalogue of styles",
                {
                    "200": _json("The styles.", {"type": "object", "required": ["styles"]}),
                    "304": {"description": "As it was (ETag)."},
                },
            )
        },
        "/now": {
            "get": _operation(
                "now",
                "Where the song is: transport, bar, beat, tempo, lock, style",
                {"200": _json("The song now.", {"type": "object", "required": ["now"]})},
            )
        },
        "/plan": {
            "get": _operation(
                "plan",
                "The bars that sound and come, and the tick up to which they are committed",
                {"200": _json("The plan.", {"type": "object", "required": ["bars", "committed"]})},
            )
        },
        "/history": {
            "get": _operation(
                "history",
                f"Played bars, {HISTORY_MAX} at most; the last 16 without a range",
                {"200": _json("The bars.", {"type": "object", "required": ["bars"]})},
                parameters=[_query("from", 10**9), _query("to", 10**9)],
                checked=True,
            )
        },
        "/history/last.mid": {
            "get": _operation(
                "last_midi",
                "The last bars as a Standard MIDI File",
                {
                    "200": {
                        "description": "The file.",
                        "content": {"audio/midi": {"schema": _BINARY}},
                    }
                },
                parameters=[_query("bars", HISTORY_MAX)],
                checked=True,
                missing=True,
            )
        },
        "/controls": {
            "get": _operation(
                "controls",
                "Every control: what it takes and what it stands at",
                {"200": _json("The table.", {"type": "object", "required": ["controls"]})},
            ),
            "patch": _operation(
                "patch_controls",
                "Set any number of settings, all or none",
                {"200": _json("What they stand at now.", {"type": "object"})},
                body={"type": "object", "minProperties": 1, "additionalProperties": value},
            ),
        },
        "/controls/{name}": {
            "get": _operation(
                "control",
                "One control",
                {"200": _json("The control.", _ref("ControlInfo"))},
                parameters=[_NAME],
                missing=True,
            ),
            "post": _operation(
                "post_control",
                "Do an action such as `start`, `stop` or `fill`, or set one setting",
                {"204": {"description": "Done."}},
                parameters=[_NAME],
                body=_ref("ControlValue"),
                body_needed=False,
                missing=True,
            ),
        },
        "/scenes/{number}/{what}": {
            "post": _operation(
                "scene",
                "Recall a scene at the next bar line, or store one",
                {"204": {"description": "Done."}},
                parameters=[
                    {
                        "name": "number",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "integer", "minimum": 1, "maximum": 128},
                    },
                    {
                        "name": "what",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "enum": ["recall", "store"]},
                    },
                ],
                checked=True,
                missing=True,
            )
        },
        "/doctor": {
            "get": _operation(
                "doctor",
                "What `drumigen doctor` says; it looks at most once a minute",
                {"200": _json("The lines.", {"type": "object", "required": ["ok", "lines"]})},
            )
        },
        "/events": {
            "get": _operation(
                "events",
                "The state as server-sent events: `now`, `plan`, `controls`",
                {
                    "200": {
                        "description": "A stream that does not end.",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    }
                },
            )
        },
        "/role": {
            "get": _operation(
                "role",
                "What this client may do",
                {"200": _json("`control` or `watch`.", {"type": "object", "required": ["role"]})},
            )
        },
        "/pair": {
            "post": _operation(
                "pair",
                "Exchange a pairing token for a cookie",
                {"200": _json("The role.", {"type": "object", "required": ["role"]})},
                body=_ref("PairRequest"),
            )
        },
        "/openapi.json": {
            "get": _operation(
                "openapi", "This document", {"200": _json("The document.", {"type": "object"})}
            )
        },
    }


_BINARY: Final[Json] = {"type": "string", "contentMediaType": "application/octet-stream"}
_JOB_ID: Final[Json] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$"},
}
_NAME: Final[Json] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "As `GET /controls` lists them.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[a-z0-9_.-]+$"},
}


def _operation(  # noqa: PLR0913 - the parts of an operation
    name: str,
    summary: str,
    responses: Json,
    *,
    parameters: list[Json] | None = None,
    body: Json | None = None,
    body_needed: bool = True,
    missing: bool = False,
    checked: bool = False,
) -> Json:
    problems = dict(_COMMON)
    if missing:
        problems["404"] = "There is none of that name."
    if body is not None:
        problems |= _BODY
    elif checked:
        problems["422"] = _BODY["422"]
    told: Json = {
        "operationId": name,
        "summary": summary,
        "responses": {**{code: _problem(text) for code, text in problems.items()}, **responses},
    }
    if parameters:
        told["parameters"] = parameters
    if body is not None:
        content = {"application/json": {"schema": body}}
        told["requestBody"] = {"required": body_needed, "content": content}
    return told


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}


def _query(name: str, most: int) -> Json:
    schema = {"type": "integer", "minimum": 1, "maximum": most}
    return {"name": name, "in": "query", "schema": schema}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str) -> Json:
    return {"description": description, "content": {PROBLEM_JSON: {"schema": _ref("Problem")}}}


def _job_answer(description: str, *, location: bool = False) -> Json:
    answer = _json(
        description,
        {
            "type": "object",
            "required": ["id", "state", "bars_written", "bars"],
            "properties": {
                "id": {"type": "string"},
                "state": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
                "bars_written": {"type": "integer", "minimum": 0},
                "bars": {"type": "integer", "minimum": 1},
                "problem": {"type": "string"},
                "style": {"type": "string"},
                "tempo": {"type": "number"},
                "files": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    )
    if location:
        answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    return answer
