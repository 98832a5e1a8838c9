"""The WebSocket of the panels, over a fake daemon and a client that reads when it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Message
from starlette.websockets import WebSocket

from drumigen_daemon.web.messages import WebState
from drumigen_daemon.web.tokens import Role
from web_stage import SONG, Application


class Client:
    """Takes what it is sent while it reads, and says what it is told to say."""

    def __init__(self, stage: Application, role: Role = Role.CONTROL) -> None:
        self.stage = stage
        self.reads = asyncio.Event()
        self.reads.set()
        self.got: list[dict[str, Any]] = []
        self.closed: Message | None = None
        self.says: asyncio.Queue[Message] = asyncio.Queue()
        self.says.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": "/live", "headers": [], "state": {"role": role}}
        self.socket = WebSocket(scope, self.says.get, self._take)

    async def _take(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self.closed = message
        if message["type"] == "websocket.send":
            await self.reads.wait()
            self.got.append(json.loads(message["text"]))

    def say(self, text: str) -> None:
        self.says.put_nowait({"type": "websocket.receive", "text": text})

    def all(self, name: str) -> list[Any]:
        return [message[name] for message in self.got if name in message]


@asynccontextmanager
async def open_panel(stage: Application, role: Role = Role.CONTROL) -> AsyncIterator[Client]:
    client = Client(stage, role)
    serving = asyncio.create_task(stage.panels.serve(client.socket))
    await until(lambda: client.got)
    yield client
    client.says.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait((serving,), timeout=20)
    assert serving.done()


async def until(holds: Any) -> None:  # noqa: ANN401 - a condition
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for is what was sent
            await asyncio.sleep(0.005)


def told(stage: Application, density: int) -> None:
    stage.hub.take_state(WebState(100.0, {"tempo": 120.0, "density": density}, SONG, {}))


async def test_who_does_not_read_finds_only_the_newest() -> None:
    stage = Application()
    async with open_panel(stage) as slow, open_panel(stage) as quick:
        slow.reads.clear()
        for density in range(40):
            told(stage, density)
            await until(lambda: quick.all("values")[-1].get("density") == density)  # noqa: B023
        slow.reads.set()
        await until(lambda: slow.all("values")[-1].get("density") == 39)
        seen = [values["density"] for values in slow.all("values") if "density" in values]
        # one was on its way when it stopped reading
        assert seen in ([39], [0, 39])


async def test_a_state_is_told_by_what_has_changed() -> None:
    stage = Application()
    async with open_panel(stage) as client:
        first = client.got[0]
        assert {"hello", "values", "song", "plan", "counters", "versions"} <= set(first)
        told(stage, 60)
        await until(lambda: len(client.all("values")) == 2)
        assert client.all("values")[1] == {"density": 60}
        assert client.got[-1]["versions"]["values"] == first["versions"]["values"] + 1


async def test_a_panel_that_only_watches_carries_nothing_out() -> None:
    stage = Application()
    async with open_panel(stage, Role.WATCH) as client:
        client.say(json.dumps({"control": "start", "n": 1}))
        await until(lambda: client.all("answers"))
        assert "only watches" in client.all("answers")[0][0]["error"]
    assert stage.daemon.carried == []


async def test_what_a_panel_asks_for_is_carried_out_and_answered() -> None:
    stage = Application()
    async with open_panel(stage) as client:
        client.say(json.dumps({"control": "tempo", "value": 99, "n": 4}))
        client.say(json.dumps({"control": "tempo", "value": 9999, "n": 5}))
        await until(lambda: sum(map(len, client.all("answers"))) == 2)
        answers = {each["n"]: each for told in client.all("answers") for each in told}
        assert answers[4] == {"n": 4}
        assert "20 to 400" in answers[5]["error"]
    assert stage.daemon.carried == [("tempo", 99)]


async def test_open_panels_are_counted() -> None:
    stage = Application()
    async with open_panel(stage), open_panel(stage):
        assert stage.panels.open == 2
    assert stage.panels.open == 0
