"""Who asks workers: never waits beyond the deadline, and believes only what is new."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import redis
from kombu.exceptions import OperationalError

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.generator.messages import (
    BarRequest,
    Item,
    WorkersAddress,
    WorkersReport,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.workers import broker as brokers
from drumigen_daemon.workers.client import BarsClient
from drumigen_daemon.workers.identity import Identity
from drumigen_daemon.workers.messages import (
    DEADLINE_HEADER,
    SONG_PRIORITY,
    SPARE_PRIORITY,
    Advert,
    BarsReply,
    BarsRequest,
    compressed,
    unpacked_text,
)
from drumigen_daemon.workers.writer import CeleryWriter

ME = Identity("me", "drummer 1", "v1")
STYLES = {"rock": "a", "funk": "b"}
TEMPO = Bpm(120.0)
BAR = Bar(Meter(), (Hit(Tick(0), Voice.KICK, 100),))


class Broker:
    """Redis and Celery in one: says what a test wants said.  Its clock is 1000 s ahead."""

    def __init__(self) -> None:
        self.now = 100.0
        self.adverts: dict[bytes, bytes] = {}
        self.down = False
        self.full = False
        self.waiting = 0
        self.told: list[object] = []
        self.trips = 0
        self.lives: dict[str, int] = {}
        self.sent: list[dict[str, Any]] = []
        self.replies: deque[bytes | None] = deque()

    # what the client asks of Redis
    def time(self) -> tuple[int, int]:
        if self.down:
            message = "refused"
            raise redis.ConnectionError(message)
        now = self.now + 1000
        return int(now), int(1e6 * (now % 1))

    def hgetall(self, _key: str) -> None:
        self.told.append(dict(self.adverts))

    def expire(self, key: str, life: int) -> None:
        self.lives[key] = life
        self.told.append(0)

    def set(self, _key: str, _value: str, *, px: int) -> None:
        assert px > 0, "a probe that stays"
        self.told.append(redis.OutOfMemoryError("no\nroom.") if self.full else True)

    def pipeline(self, **_: object) -> "Broker":
        return self

    def llen(self, _key: str) -> None:
        self.time()
        self.trips += not self.told
        self.told.append(self.waiting if not self.told else 0)

    def execute(self, **_: object) -> list[object]:
        told, self.told = self.told, []
        return told

    def blpop(self, keys: Sequence[str], timeout: float) -> None:
        assert timeout > 0, "it would wait for ever"
        reply = self.replies.popleft() if self.replies else None
        if reply is None:
            self.now += timeout
        self.told.append(None if reply is None else (keys[0].encode(), reply))

    # and of Celery
    @property
    def conf(self) -> "Broker":
        return self

    def send_task(self, _name: str, **told: Any) -> None:  # noqa: ANN401
        self.time()
        if self.full:
            message = "no\nroom."
            raise OperationalError(message) from redis.OutOfMemoryError(message)
        self.sent.append(told)

    def advertise(self, name: str = "w", identity: str = "me", ago: float = 0.0) -> None:
        seen = 1000 * (self.now + 1000 - ago)
        said = Advert(identity, f"model of {identity}", "v9", lane="bars", seen=seen)
        self.adverts[name.encode()] = msgspec.json.encode(said)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(brokers, "connected", lambda *_: made)
    monkeypatch.setattr(brokers, "celery_application", lambda *_, **__: made)
    return made


@pytest.fixture
def client(broker: Broker) -> BarsClient:
    address = WorkersAddress("redis://nowhere", max_queue=10)
    return BarsClient(address, ME, STYLES, clock=lambda: broker.now)


def item(style: str = "rock", number: int = 0, context: tuple[WrittenBar, ...] = ()) -> Item:
    return Item(BarRequest(style, number, Meter(), 1), context)


def outcome(client: BarsClient, *items: Item, wait: float = 0.5) -> tuple[Bar, ...] | None:
    exchange = client.ask(batch_of(0, items or (item(),), TEMPO), wait)
    client._exchange(exchange)
    exchange.done.set()
    return client.answer(exchange)


def told(report: WorkersReport) -> dict[str, int]:
    return {
        name: getattr(report, name)
        for name in ("answered", "missed", "refused", "corrupt", "lost")
        if getattr(report, name)
    }


def test_nobody_is_asked_before_a_worker_was_seen(client: BarsClient, broker: Broker) -> None:
    assert client.report.state == "connecting"
    client._look()
    assert (client.usable, client.report.state) == (False, "none")
    broker.advertise()
    client._look()
    assert (client.usable, client.report.live) == (True, 1)


def test_an_answer_in_time_is_taken_and_measured(client: BarsClient, broker: Broker) -> None:
    broker.advertise()
    client._look()
    broker.replies.append(
        compressed(BarsReply((BAR, BAR), waited=0.01, batch_bars=20, bar_time=0.002))
    )
    assert outcome(client, item("rock"), item("funk")) == (BAR, BAR)
    (sent,) = broker.sent
    assert sent["headers"][DEADLINE_HEADER] == 1000 * (100.0 + 1000 + 0.5), "the broker's time"
    assert sent["priority"] == SPARE_PRIORITY
    asked = unpacked_text(sent["args"][0], BarsRequest)
    assert (asked.identity, asked.styles) == ("me", STYLES)
    report = client.report
    assert (report.bars, told(report), report.asked) == (2, {"answered": 1}, 1)
    assert report.batch_bars.sum == 20
    assert report.queue_wait.sum == pytest.approx(0.01)


def test_the_songs_own_bars_go_before_those_that_are_only_kept_ready(
    client: BarsClient, broker: Broker
) -> None:
    outcome(client, item("rock", 1), item("rock", 2))
    assert broker.sent[0]["priority"] == SONG_PRIORITY


def test_after_a_missed_deadline_a_worker_must_say_first_that_it_is_there(
    client: BarsClient, broker: Broker
) -> None:
    broker.advertise()
    client._look()
    assert outcome(client) is None
    assert client.report.state == "late"
    client._look()
    assert client.report.state == "late", "it has said nothing since"
    broker.now += 0.3
    broker.advertise()
    client._look()
    assert (client.usable, client.report.state) == (True, "ready")
    assert told(client.report) == {"missed": 1}


def test_a_worker_that_was_heard_of_since_it_was_asked_is_only_busy(
    client: BarsClient, broker: Broker
) -> None:
    broker.advertise()
    client._look()
    broker.now += 1.0
    exchange = client.ask(batch_of(0, (item(),), TEMPO), 0.5)
    broker.now += 0.3
    broker.advertise()  # while the answer is waited for
    client._exchange(exchange)
    exchange.done.set()
    assert client.answer(exchange) is None
    assert client.report.state == "late"
    client._look()
    assert client.usable


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense",
        compressed(BarsReply((BAR, BAR))),
        compressed(BarsReply((Bar(Meter(3, 4)),))),
    ],
)
def test_what_is_no_answer_is_written_here_and_said_once(
    reply: bytes, client: BarsClient, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        broker.replies.append(reply)
        assert outcome(client) is None
    assert told(client.report) == {"corrupt": 3}
    assert len([line for line in caplog.messages if "corrupt" in line]) == 1


def test_who_is_too_busy_may_be_asked_again_at_once(client: BarsClient, broker: Broker) -> None:
    broker.advertise()
    client._look()
    broker.replies.append(compressed(BarsReply(problem="busy", busy=True)))
    assert outcome(client) is None
    assert client.usable
    assert told(client.report) == {"refused": 1}


def test_a_style_that_workers_do_not_have_is_not_asked_for_until_there_are_others(
    client: BarsClient, broker: Broker
) -> None:
    broker.advertise()
    client._look()
    broker.replies.append(compressed(BarsReply(problem="another style", style="rock")))
    assert outcome(client) is None
    assert client.usable
    assert not client.knows("rock", "")
    assert not client.knows("funk", "rock")
    assert client.knows("funk", "")
    broker.advertise("x")
    client._look()
    assert client.knows("rock", "")


def test_a_style_of_a_path_is_never_asked_for(client: BarsClient) -> None:
    assert not client.knows("/home/me/my.toml", "")


def test_a_full_queue_gets_nothing_more(client: BarsClient, broker: Broker) -> None:
    broker.waiting = 10
    assert outcome(client) is None
    assert not broker.sent
    assert told(client.report) == {"lost": 1}
    broker.waiting = 9
    assert outcome(client) is None
    assert len(broker.sent) == 1, "there is room again"
    broker.waiting = 10
    outcome(client)  # as far as it knew there was
    outcome(client)
    assert len(broker.sent) == 2


def test_how_many_wait_is_read_on_the_way(client: BarsClient, broker: Broker) -> None:
    outcome(client)
    broker.trips = 0
    for _ in range(5):
        broker.replies.append(compressed(BarsReply((BAR,))))
        assert outcome(client) == (BAR,)
    assert broker.trips == 5, "once for each answer"


def test_what_no_worker_takes_is_gone_from_the_broker_after_a_while(
    client: BarsClient, broker: Broker
) -> None:
    assert outcome(client) is None
    (sent,) = broker.sent
    assert broker.lives[sent["queue"]] == brokers.REQUESTS_LIFE
    assert len(broker.lives) == 2, "of either priority"


def test_a_broker_that_is_gone_is_said_once_and_found_again(
    client: BarsClient, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.advertise()
    client._look()
    broker.down = True
    assert outcome(client) is None
    for _ in range(5):
        client._look()
    assert (client.usable, client.report.state) == (False, "unreachable")
    assert len([line for line in caplog.messages if "redis://nowhere" in line]) == 1
    broker.down = False
    broker.advertise()
    client._look()
    assert client.usable
    assert told(client.report) == {"lost": 1}


def test_whatever_goes_wrong_while_it_looks_it_looks_again(
    client: BarsClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.advertise()
    with monkeypatch.context() as patched:
        patched.delattr(Broker, "pipeline")
        client._look()
    assert client.report.state == "unreachable"
    assert "AttributeError" in client.report.said
    client._look()
    assert client.usable


def test_a_broker_that_takes_nothing_is_asked_nothing_and_that_is_said_once(
    client: BarsClient, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.advertise()
    client._look()
    broker.full = True  # what was written before can still be read
    assert outcome(client) is None
    for _ in range(5):
        client._look()
        assert (client.usable, client.report.state) == (False, "unreachable")
    (line,) = [line for line in caplog.messages if "redis://nowhere" in line]
    assert "OutOfMemoryError: no room; the CPU here writes" in line
    broker.full = False
    client._look()
    assert client.usable
    assert told(client.report) == {"lost": 1}


def test_workers_with_another_model_are_no_use_and_one_line_says_why(
    client: BarsClient, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        broker.advertise(identity="you")
        client._look()
        broker.now += 1
    assert (client.usable, client.report.state) == (False, "mismatch")
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    said = line.getMessage()
    assert "model of you, vocabulary v9" in said
    assert "drummer 1, vocabulary v1" in said


def test_what_workers_said_long_ago_does_not_count(client: BarsClient, broker: Broker) -> None:
    broker.advertise(ago=3.5)
    broker.adverts[b"odd"] = b"nonsense"
    client._look()
    assert client.report.state == "none"
    broker.advertise()
    client._look()
    assert client.report.state == "ready"
    broker.now += 3.5
    assert client.report.state == "unreachable", "nobody has looked since"


# --- the writer that asks ----------------------------------------------------------------------


class Local:
    """The network of this machine."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        del tempo
        self.asked.append([each.request.number for each in items])
        return [here(each.request.number) for each in items]


def here(number: int) -> Bar:
    return Bar(Meter(), (Hit(Tick(0), Voice.SNARE, 1 + number),))


def far(number: int) -> Bar:
    return Bar(Meter(), (Hit(Tick(0), Voice.KICK, 1 + number),))


class Instant(BarsClient):
    """Has its exchange over before anybody waits."""

    def ask(self, batch: Any, wait: float) -> Any:  # noqa: ANN401
        exchange = super().ask(batch, wait)
        numbers = [each.request.number for each in batch.items]
        broker: Any = self._client()
        if broker.replies and broker.replies[0] == b"far":
            broker.replies[0] = compressed(BarsReply(tuple(map(far, numbers))))
        self._exchange(exchange)
        exchange.done.set()
        return exchange


@pytest.fixture
def writer(broker: Broker) -> CeleryWriter:
    address = WorkersAddress("redis://nowhere")
    client = Instant(address, ME, STYLES, clock=lambda: broker.now)
    broker.advertise()
    client._look()
    return CeleryWriter(client, Local(), 0.5)


def test_every_bar_is_where_it_was_asked_for(writer: CeleryWriter, broker: Broker) -> None:
    context = (WrittenBar(BarRequest("rock", 0, Meter(), 1), BAR),)
    items = [
        item("rock", 1, context),
        item("mine.toml", 2),
        item("funk", 3),
        item("rock", 4, context),
    ]
    broker.replies.append(b"far")
    assert writer.write(items, TEMPO) == [far(1), here(2), far(3), far(4)]
    assert list(writer.by_worker) == [True, False, True, True]
    assert (writer.report.bars, writer.report.local_bars) == (3, 1)


def test_what_workers_have_not_written_in_time_the_network_here_writes(
    writer: CeleryWriter,
) -> None:
    items = [item("rock", 1), item("funk", 2)]
    assert writer.write(items, TEMPO) == [here(1), here(2)]
    assert list(writer.by_worker) == [False, False]
    assert writer.report.local_bars == 2


def test_without_workers_nobody_waits(writer: CeleryWriter, broker: Broker) -> None:
    broker.now += 100
    before = broker.now
    assert writer.write([item("rock", 1)], TEMPO) == [here(1)]
    assert broker.now == before
    assert not broker.sent
    assert writer.report.asked == 0


def test_no_answer_is_waited_for_longer_than_half_a_bar(
    writer: CeleryWriter, broker: Broker
) -> None:
    before = broker.now
    writer.write([Item(BarRequest("rock", 1, Meter(2, 4), 1))], Bpm(240.0))
    assert broker.now - before == pytest.approx(0.25)
