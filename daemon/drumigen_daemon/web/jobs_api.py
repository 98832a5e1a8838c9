"""The routes of ``/api/v1`` that render songs: generate, status, download."""

import asyncio
import io
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from drumigen.kit import HATS, load_kit
from drumigen.midi.file import bars_from_song, song_from_bytes, song_to_bytes
from drumigen.midi.song import Song
from drumigen.plot import Panel, piano_roll
from drumigen.units import Bpm
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.jobs.messages import JobError, JobRequest
from drumigen_daemon.jobs.queue import Job, JobQueue, JobState
from drumigen_daemon.web.api import answered, as_json, attachment, body_of, event
from drumigen_daemon.web.problems import ProblemError

KEYS_MAX: Final = 1024
"""Idempotency keys that are remembered."""
KEY_LENGTH_MAX: Final = 200


class JobsApi:
    """Routes about songs on request."""

    def __init__(self, jobs: JobQueue, body_max: int) -> None:
        """Ask ``jobs``."""
        self._jobs = jobs
        self._body_max = body_max
        self._keys: OrderedDict[str, tuple[JobRequest, str]] = OrderedDict()
        self._converting = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the routes, below ``/api/v1``."""
        return [
            Route("/generate", answered(self.generate), methods=["POST"]),
            Route("/status/{id}", answered(self.status), methods=["GET"]),
            Route("/status/{id}", answered(self.cancel), methods=["DELETE"]),
            Route("/download/{id}.{form}", answered(self.download), methods=["GET"]),
        ]

    async def generate(self, request: Request) -> Response:
        """Have a song rendered."""
        wanted: JobRequest = await body_of(request, JobRequest, self._body_max, JobRequest())
        for field in ("style", "blend", "kit"):
            if getattr(wanted, field).strip().lower().endswith(".toml"):
                raise ProblemError(422, f"{field}: a name; files are for the command line")
        key = request.headers.get("idempotency-key", "")
        if len(key) > KEY_LENGTH_MAX:
            raise ProblemError(422, f"idempotency-key: at most {KEY_LENGTH_MAX} characters")
        if key and key in self._keys:
            known, job_id = self._keys[key]
            if known != wanted:
                raise ProblemError(422, "idempotency-key: used before for another song")
            job = await self._jobs.find(job_id)
            if job is not None:
                return _accepted(job)
        try:
            job = await self._jobs.submit(wanted)
        except JobError as error:
            raise ProblemError(503, str(error), headers={"retry-after": "5"}) from error
        if key:
            self._keys[key] = (wanted, job.id)
            while len(self._keys) > KEYS_MAX:
                self._keys.popitem(last=False)
        return _accepted(job)

    async def status(self, request: Request) -> Response:
        """How a job stands; as server-sent events if they are accepted."""
        job = await self._job(request)
        if "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(self._events(job.id), media_type="text/event-stream")
        return as_json(described_job(job))

    async def _events(self, job_id: str) -> AsyncIterator[bytes]:
        async for job in self._jobs.watch(job_id):
            yield event("status", described_job(job))

    async def cancel(self, request: Request) -> Response:
        """End a job that is not over."""
        job = await self._job(request)
        await self._jobs.cancel(job.id)
        return Response(status_code=204)

    async def download(self, request: Request) -> Response:
        """A song that is done: .mid, .wav, .svg, or .zip with a file per voice."""
        job = await self._job(request)
        form = request.path_params["form"]
        if form not in FORMS:
            raise ProblemError(404, f"there is no .{form}: .mid, .wav, .svg and .zip")
        if job.state is not JobState.DONE:
            raise ProblemError(409, f"the song is {job.state}: ask when it is done")
        kind, convert = FORMS[form]
        async with self._converting:
            data = await asyncio.to_thread(convert, job)
        return attachment(data, f"drumigen-{job.style}-{job.tempo:g}.{form}", kind)

    async def _job(self, request: Request) -> Job:
        job = await self._jobs.find(request.path_params["id"])
        if job is None:
            raise ProblemError(404, "no such job, or not any more: results are kept for a while")
        return job


def _accepted(job: Job) -> Response:
    headers = {"location": f"/api/v1/status/{job.id}"}
    return as_json(described_job(job), 202, headers)


def described_job(job: Job) -> dict[str, Any]:
    """Return a job for programs."""
    told: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "bars_written": job.bars,
        "bars": job.request.bars,
    }
    if job.problem:
        told["problem"] = job.problem
    if job.state is JobState.DONE:
        told |= {
            "style": job.style,
            "tempo": job.tempo,
            "files": {form: f"/api/v1/download/{job.id}.{form}" for form in FORMS},
        }
    return told


def _as_midi(job: Job) -> bytes:
    return job.midi


def _as_wav(job: Job) -> bytes:
    # it brings numpy, which nothing else here needs
    from drumigen_daemon.capture.wav import write_wav  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="drumigen-") as folder:
        path = Path(folder) / "song.wav"
        write_wav(_song(job), load_kit(job.request.kit), path, styles=known_styles())
        return path.read_bytes()


def _as_svg(job: Job) -> bytes:
    bars = bars_from_song(_song(job), load_kit(job.request.kit))
    panel = Panel(f"{job.style}, {job.tempo:g} BPM", tuple(bars), Bpm(job.tempo))
    return piano_roll([panel]).encode()


def _as_zip(job: Job) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, song in by_voice(job).items():
            # a date of its own would make other bytes of the same song
            info = zipfile.ZipInfo(f"{name}.mid")
            archive.writestr(info, song_to_bytes(song))
    return held.getvalue()


def by_voice(job: Job) -> Mapping[str, Song]:
    """Return a song for each voice that plays; the hats, which choke one another, share one."""
    song, kit = _song(job), load_kit(job.request.kit)
    parts: dict[str, list[Any]] = {}
    for note in song.notes:
        voice = kit.voice_of(note.note, note.channel)
        name = "other" if voice is None else "hats" if voice in HATS else str(voice)
        parts.setdefault(name, []).append(note)
    return {name: replace(song, notes=tuple(notes)) for name, notes in sorted(parts.items())}


def _song(job: Job) -> Song:
    return song_from_bytes(job.midi)


FORMS: Final = {
    "mid": ("audio/midi", _as_midi),
    "wav": ("audio/wav", _as_wav),
    "svg": ("image/svg+xml", _as_svg),
    "zip": ("application/zip", _as_zip),
}
"""What a song can be had as: its media type, and what makes it."""
