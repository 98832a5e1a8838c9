"""The task that renders songs: a broker that stumbles costs no song, one that is gone does."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from celery import Celery

from brain import SMALL
from drumigen.model.mock import create_mock_checkpoint
from drumigen_daemon.generator.messages import GeneratorSetup, WorkersAddress
from drumigen_daemon.jobs.messages import JobError, JobRequest
from drumigen_daemon.workers import songs
from drumigen_daemon.workers.messages import SONG_TASK
from drumigen_daemon.workers.songs import RETRIES, JobRecord, add_song_task

REQUEST = JobRequest("funk", 1)
ADDRESS = WorkersAddress("redis://nowhere")


class Broker:
    """A Redis that cannot be reached so many times."""

    def __init__(self) -> None:
        self.stumbles = 0
        self.asked = 0

    def getex(self, _key: str, *, ex: int) -> bytes:
        assert ex == ADDRESS.result_ttl, "known for another time than its result"
        self.asked += 1
        if self.asked <= self.stumbles:
            message = "gone"
            raise redis.ConnectionError(message)
        return msgspec.json.encode(JobRecord(REQUEST))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(songs, "connected", lambda *_: made)
    monkeypatch.setattr(songs, "TELL_PERIOD", math.inf)  # asked once a try, however long that takes
    return made


def rendered(tmp_path: Path, text: str = "") -> Any:  # noqa: ANN401 - Celery's
    model = create_mock_checkpoint(tmp_path / "small.safetensors", SMALL)
    app = Celery("test", broker="memory://", backend="cache+memory://", set_as_current=False)
    add_song_task(app, ADDRESS, GeneratorSetup("model", str(model)))
    return app.tasks[SONG_TASK].apply(args=[text or msgspec.json.encode(REQUEST).decode()])


def test_a_song_is_rendered_again_when_the_broker_was_away_for_a_moment(
    broker: Broker, tmp_path: Path
) -> None:
    broker.stumbles = RETRIES
    result = rendered(tmp_path)
    assert result.state == "SUCCESS"
    assert broker.asked > RETRIES  # and once more wherever it is looked whether it is still wanted
    assert result.result["style"] == "funk"


def test_what_is_no_request_for_a_song_fails_in_one_line(broker: Broker, tmp_path: Path) -> None:
    result = rendered(tmp_path, '{"bars": 9000}')
    assert result.state == "FAILURE"
    assert isinstance(result.result, JobError)
    assert "bars" in str(result.result)
    assert broker.asked == 0


def test_a_song_is_given_up_after_so_many_tries(broker: Broker, tmp_path: Path) -> None:
    broker.stumbles = 1000
    result = rendered(tmp_path)
    assert result.state == "FAILURE"
    assert isinstance(result.result, redis.ConnectionError)
    assert broker.asked == RETRIES + 1
