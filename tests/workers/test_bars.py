"""The worker's lane of bars: what comes together is written together, what is over is dropped."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.generator.messages import BarRequest, Item, batch_of
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.workers.bars import BarsLane
from drumigen_daemon.workers.messages import (
    ASKED_HEADER,
    DEADLINE_HEADER,
    REPLY_HEADER,
    ROWS_HEADER,
    BarsReply,
    bars_request_of,
    compressed_text,
    decompressed,
)
from drumigen_daemon.workers.timing import BrokerClock

STYLES = {"rock": "a", "funk": "b", "jazz": "c"}
TEMPO = Bpm(120.0)


def bar_of(number: int) -> Bar:
    return Bar(Meter(), (Hit(Tick(0), Voice.KICK, 1 + number % 127),))


class Writer:
    """Writes bars by which it is seen what was asked; cannot write bar 66."""

    def __init__(self, channel: "Channel", seconds: float = 0.0, each: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.by_bank: list[bool] = []
        self._channel = channel
        self._seconds = seconds
        self._each = each

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        return self.write_at(items, [tempo] * len(items))

    def write_at(self, items: Sequence[Item], tempi: Sequence[Bpm]) -> list[Bar]:
        assert len(items) == len(tempi)
        taken = self._channel.taken
        numbers = [item.request.number for item in items]
        if 66 in numbers:
            message = "not\nthat one"
            raise RuntimeError(message)
        self.batches.append(numbers)
        time.sleep(self._seconds + self._each * len(items))
        assert self._channel.taken == taken, "taken from the broker while it writes"
        self.by_bank = [number == 77 for number in numbers]
        return [bar_of(number) for number in numbers]


class Message:
    """As kombu hands it over."""

    def __init__(
        self, name: str, rows: int, left: float, body: object = None, *, waited: float = 0.0
    ) -> None:
        now = time.monotonic()
        self.headers = {
            "id": name,
            ASKED_HEADER: 1000 * (now - waited),
            DEADLINE_HEADER: 1000 * (now + left),
            REPLY_HEADER: name,
            ROWS_HEADER: rows,
        }
        self._body = body

    def decode(self) -> object:
        if self._body is None:
            pytest.fail("unpacked, though nobody waits for it")
        return (self._body,), {}, {}


class Channel:
    """What waits at the broker."""

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()
        self.taken = 0

    def basic_get(self, _queue: str, *, no_ack: bool) -> Message | None:
        assert no_ack
        self.taken += 1
        return self.waiting.popleft() if self.waiting else None


class Answers:
    """Takes the place of Redis: keeps what is answered."""

    def __init__(self) -> None:
        self.told: dict[str, BarsReply] = {}
        self.lives: dict[str, int] = {}

    def pipeline(self, **_: object) -> "Answers":
        return self

    def rpush(self, key: str, data: bytes) -> None:
        assert key not in self.told, "answered twice"
        self.told[key] = decompressed(data, BarsReply)

    def pexpire(self, key: str, life: int) -> None:
        self.lives[key] = life

    def execute(self) -> None:
        assert self.lives.keys() == self.told.keys(), "an answer that never goes away"


class Stage:
    """A lane with everything around it."""

    def __init__(self, seconds: float = 0.0, each: float = 0.0) -> None:
        self.channel = Channel()
        self.writer = Writer(self.channel, seconds, each)
        self.answers = Answers()
        self.lane = BarsLane(
            cast(ModelWriter, self.writer),
            "me",
            STYLES,
            cast(Any, self.answers),
            BrokerClock(),
            name="w",
            queue="q",
        )
        consumer: Any = self
        self.task_consumer = self
        self.event_dispatcher = None
        self._handle = self.lane.handler(consumer)

    def hear(self, *messages: Message) -> None:
        self.channel.waiting.extend(messages[1:])
        self._handle(messages[0])


def asked(
    name: str,
    *numbers: int,
    style: str = "rock",
    identity: str = "me",
    digest: str | None = None,
    left: float = 60.0,
) -> Message:
    items = tuple(Item(BarRequest(style, number, Meter(), 1)) for number in numbers)
    styles = STYLES if digest is None else {style: digest}
    body = compressed_text(bars_request_of(batch_of(1, items, TEMPO), identity, styles))
    return Message(name, len(numbers), left, body)


def test_what_comes_together_is_written_at_once_and_everybody_gets_his_own() -> None:
    stage = Stage()
    stage.hear(asked("a", 1, 2), asked("b", 3, style="funk"), asked("c", 4, 5, 6))
    assert stage.writer.batches == [[1, 2, 3, 4, 5, 6]]
    told = stage.answers.told
    assert [bar for name in "abc" for bar in told[name].bars] == [bar_of(n) for n in range(1, 7)]
    assert {told[name].batch_bars for name in "abc"} == {6}
    assert stage.lane.bars == 6


def test_what_nobody_waits_for_any_more_is_dropped_unread() -> None:
    stage = Stage()
    stage.hear(Message("late", 18, left=-0.001), asked("a", 1), Message("later", 2, left=-9.0))
    assert stage.writer.batches == [[1]]
    assert stage.answers.told.keys() == {"a"}
    assert stage.lane.dropped == 20


def test_what_cannot_be_done_in_time_is_refused_at_once() -> None:
    stage = Stage(seconds=0.05)
    stage.hear(asked("a", *range(10)))
    stage.hear(asked("b", *range(10), left=0.02), asked("c", 1))
    assert stage.answers.told["b"].busy
    assert stage.writer.batches == [list(range(10)), [1]]
    assert stage.lane.refused == 10


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (lambda: asked("bad", 1, identity="you"), "model you is asked for"),
        (lambda: asked("bad", 1, digest="x"), "style 'rock'"),
        (lambda: asked("bad", 1, style="/etc/passwd.toml"), "style '/etc/passwd.toml'"),
        (lambda: asked("bad", -1), "before the first"),
        (lambda: Message("bad", 1, 60.0, "nonsense"), "no message"),
        (lambda: Message("bad", 1, 60.0, 5), "no text"),
    ],
)
def test_what_would_be_another_bar_here_is_refused_and_the_others_are_written(
    message: Callable[[], Message], why: str
) -> None:
    stage = Stage()
    stage.hear(message(), asked("good", 7))
    assert why in stage.answers.told["bad"].problem
    assert not stage.answers.told["bad"].busy
    assert stage.answers.told["good"].bars == (bar_of(7),)


def test_a_request_that_cannot_be_written_takes_nobody_with_it() -> None:
    stage = Stage()
    stage.hear(asked("a", 1), asked("bad", 66), asked("c", 2))
    assert stage.writer.batches == [[1], [2]]
    assert "not that one" in " ".join(stage.answers.told["bad"].problem.split())
    assert stage.answers.told["c"].bars == (bar_of(2),)


def test_what_only_the_bank_could_write_is_left_to_the_drummer() -> None:
    stage = Stage()
    stage.hear(asked("a", 1), asked("b", 77, 2), asked("c", 3))
    assert stage.answers.told["a"].bars == (bar_of(1),)
    assert "network" in stage.answers.told["b"].problem
    assert stage.answers.told["c"].bars == (bar_of(3),)
    assert (stage.lane.bars, stage.lane.refused) == (2, 2)


def test_a_message_of_another_program_is_passed_over() -> None:
    stage = Stage()
    foreign = asked("x", 1)
    del foreign.headers[DEADLINE_HEADER]
    stage.hear(foreign, asked("a", 1))
    assert stage.answers.told.keys() == {"a"}


def test_a_flood_leaves_the_queue_quickly_and_what_is_new_is_written() -> None:
    stage = Stage(seconds=0.02)
    flood = [Message(f"old{n}", 18, left=-1.0) for n in range(500)]
    stage.hear(*flood, asked("new", 1))
    while stage.channel.waiting:
        stage.hear(stage.channel.waiting.popleft())
    assert stage.answers.told.keys() == {"new"}
    assert stage.lane.dropped == 500 * 18


def test_a_worker_that_has_just_begun_does_not_take_a_whole_flood_at_once() -> None:
    stage = Stage(each=0.002)
    stage.lane.warm_up([Item(BarRequest("rock", number, Meter(), 1)) for number in range(36)])
    stage.writer.batches.clear()
    stage.hear(*[asked(f"{n}", *range(18), left=600.0) for n in range(20)])
    while stage.channel.waiting:
        stage.hear(stage.channel.waiting.popleft())
    # a tenth of a second's bars, and whole requests
    assert max(map(len, stage.writer.batches)) <= 0.1 / 0.002 + 18
    assert stage.answers.told.keys() == {f"{n}" for n in range(20)}


def test_what_is_written_to_warm_up_is_nobodys() -> None:
    stage = Stage()
    stage.lane.warm_up([Item(BarRequest("rock", number, Meter(), 1)) for number in range(36)])
    assert {len(batch) for batch in stage.writer.batches} == {2, 18, 36}
    assert (stage.lane.bars, stage.lane.refused, stage.answers.told) == (0, 0, {})


def test_a_flood_does_not_make_it_promise_what_it_cannot_do() -> None:
    stage = Stage(each=0.002)
    stage.lane.warm_up([Item(BarRequest("rock", number, Meter(), 1)) for number in range(36)])
    stage.writer.batches.clear()
    # they have waited long, and what is left is too little; asked at once it would have been enough
    late = [Message(f"late{n}", 18, left=0.02, waited=10.0) for n in range(100)]
    stage.hear(*late, *[asked(f"{n}", *range(18), left=600.0) for n in range(10)])
    while stage.channel.waiting:
        stage.hear(stage.channel.waiting.popleft())
    assert max(map(len, stage.writer.batches)) <= 0.1 / 0.002 + 18
    assert {f"{n}" for n in range(10)} <= stage.answers.told.keys()
