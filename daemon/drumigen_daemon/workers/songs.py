"""The worker's lane of songs: a Celery task that renders, tells how far it is, and can be ended."""

import base64
import math
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import redis
from celery import Celery
from celery.exceptions import Ignore

from drumigen.errors import DrumigenError
from drumigen_daemon.generator.messages import GeneratorSetup, WorkersAddress
from drumigen_daemon.jobs.messages import Assignment, JobError, JobRequest
from drumigen_daemon.jobs.rendering import Renderer
from drumigen_daemon.workers.broker import Names, connected
from drumigen_daemon.workers.messages import SONG_TASK

TELL_PERIOD: Final = 0.1
"""Seconds between two tellings of how far a song is."""
PROGRESS: Final = "PROGRESS"
CANCELLED: Final = "REVOKED"
RETRIES: Final = 2
RETRY_PAUSE: Final = 1.0


class JobRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A song's request, kept beside its result while either is known."""

    request: JobRequest
    cancelled: bool = False


class _CancelledError(DrumigenError):
    """Raised inside a song that nobody wants any more."""


def add_song_task(app: Celery, address: WorkersAddress, setup: GeneratorSetup) -> None:
    """Add the task that renders songs to ``app``; ``setup`` says by which network, on the CPU."""
    names = Names(address.queue)
    by = msgspec.structs.replace(setup.at_home, writer="model", device="cpu")
    kept: dict[str, Any] = {}  # what the pool's process makes once
    here: dict[str, Callable[[int], None]] = {}  # who is told how far the song is

    def tell(bars: int) -> None:
        here["progress"](bars)

    def renderer() -> Renderer:
        if "renderer" not in kept:
            kept["renderer"] = Renderer(tell)
        made: Renderer = kept["renderer"]
        return made

    def broker() -> "redis.Redis":
        if "broker" not in kept:
            kept["broker"] = connected(address, 5.0)
        made: redis.Redis = kept["broker"]
        return made

    def is_cancelled(job_id: str) -> bool:
        # from here on it is known as long as its result will be
        said = broker().getex(names.job(job_id), ex=address.result_ttl)
        return said is None or msgspec.json.decode(said, type=JobRecord).cancelled

    def render(self: Any, text: str) -> dict[str, Any]:  # noqa: ANN401 - Celery's task
        """Render a song; the result is its MIDI file."""
        job_id = self.request.id
        told_at = [-math.inf]

        def progress(bars: int) -> None:
            now = time.monotonic()
            if now - told_at[0] < TELL_PERIOD:
                return
            told_at[0] = now
            if is_cancelled(job_id):
                raise _CancelledError
            self.update_state(state=PROGRESS, meta={"bars": bars})

        try:
            request = msgspec.json.decode(text, type=JobRequest)
            progress(0)
            here["progress"] = progress
            done = renderer().rendered(Assignment(request, by))
        except _CancelledError:
            self.update_state(state=CANCELLED)
            raise Ignore from None
        except redis.RedisError as error:
            raise self.retry(exc=error, countdown=RETRY_PAUSE) from error
        except (DrumigenError, msgspec.MsgspecError) as error:
            # of a kind that Celery can name in JSON
            raise JobError(str(error)) from None
        midi = base64.b64encode(done.midi).decode("ascii")
        return {"midi": midi, "style": done.style, "tempo": done.tempo}

    app.task(
        name=SONG_TASK,
        bind=True,
        shared=False,  # not with every other application of this process
        acks_late=True,
        reject_on_worker_lost=True,
        track_started=True,
        max_retries=RETRIES,
    )(render)
