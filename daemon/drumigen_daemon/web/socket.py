"""The WebSocket of the panels: controls up, state down.

Down goes what has changed since this client was last told, 20 times a second at most; a client that
does not read finds only the newest.  Each message says what it is part of and its version, so that
one who comes back after a break is told everything once and is right again.

Up come ``{"control": NAME, "value": VALUE, "n": NUMBER}``; the answer is ``{"n": NUMBER}``, with an
``error`` if it was not carried out.
"""

import asyncio
import contextlib
import time
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from drumigen.errors import ControlError
from drumigen.units import Seconds
from drumigen_daemon.controls.values import one_line
from drumigen_daemon.web.api import DaemonClient
from drumigen_daemon.web.hub import AnyValue, Hub
from drumigen_daemon.web.messages import WebHello
from drumigen_daemon.web.tokens import Role

SHOWN_PERIOD: Final = 0.05
"""Seconds between two states: 20 a second."""
UNTOLD_SECONDS_MAX: Final = 2.0
"""Seconds after which the time is told though nothing changed: a panel sees a dead line."""
SEND_SECONDS_MAX: Final = 5.0
"""Seconds in which a client must have taken a state."""
MESSAGE_MAX: Final = 4096
MESSAGES_A_SECOND: Final = 200.0
"""Messages a second that a client may send for long: a finger on an XY pad sends 120."""
BURST_MESSAGES: Final = 400.0
JUNK_MAX: Final = 10
"""Messages without sense after which a client is cut off."""
VERSION: Final = 1
"""Of this protocol: a panel of another one loads itself anew."""
POLICY, TOO_MUCH, GOING_AWAY = 1008, 1009, 1001


class PanelMessage(msgspec.Struct, forbid_unknown_fields=True):
    """What a panel sends."""

    control: str
    value: str | int | float | bool | None = None
    n: int = 0


_DECODER: Final = msgspec.json.Decoder(PanelMessage)


class Panels:
    """All panels that are open."""

    def __init__(self, hub: Hub, daemon: DaemonClient, hello: WebHello) -> None:
        """Show ``hub``, control ``daemon``."""
        self._hub = hub
        self._daemon = daemon
        self._hello = {
            "protocol": VERSION,
            "version": hello.version,
            "controls": msgspec.to_builtins(hello.controls),
            "styles": hello.styles,
        }
        self.open = 0
        self.changed = asyncio.Event()
        """Set when a panel opens or closes."""

    async def serve(self, socket: WebSocket) -> None:
        """Serve one panel until it leaves."""
        await socket.accept()
        self.open += 1
        self.changed.set()
        panel = _Panel(socket, self._hub, self._daemon)
        try:
            await panel.run(self._hello)
        finally:
            self.open -= 1
            self.changed.set()


class _Panel:
    """One panel."""

    def __init__(self, socket: WebSocket, hub: Hub, daemon: DaemonClient) -> None:
        self._socket = socket
        self._hub = hub
        self._daemon = daemon
        self._may_control = socket.state.role is Role.CONTROL
        self._news = asyncio.Event()
        self._answers: dict[int, str] = {}
        self._carrying: set[asyncio.Task[None]] = set()

    async def run(self, hello: dict[str, Any]) -> None:
        stop = self._hub.listen(self._news.set)
        telling = asyncio.create_task(self._tell(hello), name="panel")
        hearing = asyncio.create_task(self._hear(), name="panel")
        try:
            await asyncio.wait((telling, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop()
            for task in (telling, hearing, *self._carrying):
                task.cancel()
            await asyncio.gather(telling, hearing, *self._carrying, return_exceptions=True)
            if self._socket.application_state is not WebSocketState.DISCONNECTED:
                with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
                    await self._socket.close(GOING_AWAY)

    # --- down -------------------------------------------------------------------------------

    async def _tell(self, hello: dict[str, Any]) -> None:
        hub = self._hub
        seen = dict.fromkeys(hub.versions, -1)
        told: dict[str, Any] = {}
        first: dict[str, Any] = {"hello": {**hello, "control": self._may_control}}
        while True:
            message: dict[str, Any] = {**first, "now": time.monotonic()}
            first = {}
            now = Seconds(message["now"])
            if seen["values"] != hub.versions["values"]:
                values = hub.sections["values"]
                message["values"] = {k: v for k, v in values.items() if told.get(k, ...) != v}
                told = values
            if seen["song"] != hub.versions["song"]:
                message["song"] = hub.now(now)
            if seen["plan"] != hub.versions["plan"]:
                message["plan"] = hub.plan(now)["bars"]
            if seen["counters"] != hub.versions["counters"]:
                message["counters"] = hub.sections["counters"]
            if self._answers:
                answers, self._answers = self._answers, {}
                message["answers"] = [
                    {"n": n, **({"error": error} if error else {})} for n, error in answers.items()
                ]
            message["versions"] = seen = dict(hub.versions)
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await self._socket.send_text(msgspec.json.encode(message).decode())
            await asyncio.sleep(SHOWN_PERIOD)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNTOLD_SECONDS_MAX):
                    await self._news.wait()
            self._news.clear()

    # --- up ---------------------------------------------------------------------------------

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        allowance, before, junk = BURST_MESSAGES, loop.time(), 0
        while True:
            received = await self._socket.receive()
            if received["type"] != "websocket.receive":
                return
            now = loop.time()
            allowance = min(BURST_MESSAGES, allowance + (now - before) * MESSAGES_A_SECOND) - 1.0
            before = now
            if allowance < 0.0:
                await self._socket.close(POLICY, "too many messages")
                return
            data = received.get("text") or received.get("bytes") or ""
            if len(data) > MESSAGE_MAX:
                await self._socket.close(TOO_MUCH, f"a message has at most {MESSAGE_MAX} bytes")
                return
            try:
                message = _DECODER.decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                junk += 1
                if junk > JUNK_MAX:
                    await self._socket.close(POLICY, "these are no messages of a panel")
                    return
                continue
            self._want(message)

    def _want(self, message: PanelMessage) -> None:
        if not self._may_control:
            self._answer(message.n, "this panel only watches")
            return
        task = asyncio.create_task(self._carry_out(message.n, message.control, message.value))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry_out(self, number: int, control: str, value: AnyValue) -> None:
        try:
            problems = await self._daemon.controls({control: value})
        except ControlError as error:
            self._answer(number, str(error))
        except TimeoutError:
            self._answer(number, "the daemon is busy: try again")
        else:
            self._answer(number, "; ".join(problems.values()))

    def _answer(self, number: int, problem: str) -> None:
        self._answers[number] = one_line(problem)
        self._news.set()
