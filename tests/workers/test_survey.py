"""What the doctor says of workers: how many, whether they are of use, how soon they are."""

from dataclasses import replace

import msgspec
import pytest
import redis

from drumigen.styles import load_styles
from drumigen.units import Bpm
from drumigen_daemon.commands import doctor
from drumigen_daemon.commands.doctor import Finding, Mark
from drumigen_daemon.generator.messages import GeneratorSetup, WorkersAddress
from drumigen_daemon.settings.sections import Settings
from drumigen_daemon.workers import broker as brokers
from drumigen_daemon.workers import survey
from drumigen_daemon.workers.identity import identity_of
from drumigen_daemon.workers.messages import Advert
from drumigen_daemon.workers.settings import WorkersSettings

ADDRESS = WorkersAddress("redis://nowhere:6379/0")


class Broker:
    """A Redis that tells of workers."""

    def __init__(self) -> None:
        self.adverts: dict[bytes, bytes] = {}
        self.down = False
        self.is_replica = False

    def time(self) -> tuple[int, int]:
        if self.down:
            message = "nobody there"
            raise redis.ConnectionError(message)
        return 1000, 0

    def pipeline(self, **_: object) -> "Broker":
        return self

    def hgetall(self, _key: str) -> None:
        pass

    def set(self, _key: str, _value: str, *, px: int) -> None:
        pass

    def execute(self, **_: object) -> list[object]:
        return [self.adverts, redis.ReadOnlyError("a replica") if self.is_replica else True]

    def advertise(
        self, lane: str, *, other: bool = False, ago: float = 0.0, device: str = "cpu"
    ) -> None:
        mine = identity_of(GeneratorSetup("model"), drawn=lane == "bars")
        said = Advert(
            "another" if other else mine.key,
            "old.safetensors" if other else mine.model,
            "v0" if other else mine.vocabulary,
            lane,
            device,
            seen=1000 * (1000 - ago),
            dropped=7,
        )
        self.adverts[b"w%d" % len(self.adverts)] = msgspec.json.encode(said)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(brokers, "connected", lambda *_: made)
    # who asks for bars is tested with a real Redis
    monkeypatch.setattr(survey, "_tried", lambda found, *_: replace(found, asked=8, missed=1))
    return made


def found(writer: str = "celery") -> survey.Survey:
    setup = GeneratorSetup(writer, workers=ADDRESS)
    return survey.surveyed(setup, load_styles(), Bpm(120.0))


def examined(writer: str, broker: str = ADDRESS.broker) -> list[Finding]:
    settings = Settings()
    settings = replace(
        settings,
        generator=replace(settings.generator, writer=writer),
        workers=WorkersSettings(broker=broker),
    )
    return list(doctor._workers(settings))


def test_workers_are_counted_and_those_of_another_model_named(broker: Broker) -> None:
    broker.advertise("bars")
    broker.advertise("bars", device="cuda:1")
    broker.advertise("songs")
    broker.advertise("bars", other=True)
    broker.advertise("bars", ago=60.0)  # it is gone
    broker.adverts[b"noise"] = b"{"
    seen = found()
    assert (seen.ours, seen.songs, len(seen.strangers), seen.dropped) == (2, 1, 1, 14)
    said = str(seen)
    assert said.startswith("2 for bars (cpu, cuda:1), 1 for songs; 1 are no use")
    assert "old.safetensors, vocabulary v0" in said
    assert identity_of(GeneratorSetup("model")).vocabulary in said
    assert "of 8 asked for 1 were late or refused" in said
    assert "14 bars that nobody waited for" in said


def test_nobody_is_asked_for_bars_that_are_written_at_home(broker: Broker) -> None:
    broker.advertise("bars")
    assert found("model").asked == 0


@pytest.mark.parametrize(
    ("writer", "there", "mark", "said"),
    [
        ("celery", [], Mark.WARN, "0 for bars, 0 for songs; all is written here"),
        ("celery", ["songs"], Mark.WARN, "all is written here"),
        ("celery", ["bars"], Mark.WARN, "of 8 asked for 1 were late"),
        ("celery", ["other"], Mark.WARN, "another model"),
        ("model", ["bars"], Mark.WARN, "all is written here"),
        ("model", ["songs"], Mark.OK, "0 for bars, 1 for songs"),
    ],
)
def test_the_doctor_has_one_line_of_workers(
    broker: Broker, writer: str, there: list[str], mark: Mark, said: str
) -> None:
    for lane in there:
        broker.advertise(lane if lane != "other" else "bars", other=lane == "other")
    (finding,) = examined(writer)
    assert (finding.mark, finding.about) == (mark, "workers")
    assert said in finding.said
    assert "\n" not in str(finding)


def test_the_doctor_says_what_is_wrong_with_the_broker(broker: Broker) -> None:
    assert examined("model", "") == []
    (unset,) = examined("celery", "")
    assert "set workers.broker" in unset.said
    broker.down = True
    (down,) = examined("celery")
    assert down.mark is Mark.WARN
    assert "redis://nowhere:6379/0" in down.said
    assert "nobody there" in down.said
    broker.down, broker.is_replica = False, True
    broker.advertise("bars")
    (useless,) = examined("celery")
    assert useless.mark is Mark.WARN
    assert "ReadOnlyError: a replica" in useless.said
