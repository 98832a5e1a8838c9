"""The process that speaks to the MQTT broker; the only module that imports aiomqtt.

``python -m drumigen_daemon.mqtt.process HANDLE``, a child of the daemon.  It is a process of its
own, so that whatever a broker does, dead, slow or hostile, happens to this process and not to
the music: the daemon sees a few small messages a second, and replaces the process if it hangs or
dies.  (aiomqtt is the present name of asyncio-mqtt.)
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Iterable
from typing import Any, Final

import aiomqtt
import msgspec

from drumigen.errors import ChannelClosedError
from drumigen_daemon.controls.values import one_line
from drumigen_daemon.mqtt.homeassistant import BIRTH, discovery
from drumigen_daemon.mqtt.messages import (
    PASSWORD_VARIABLE,
    Ahead,
    AnyToBridge,
    ControlRequest,
    FromBridge,
    Hello,
    Link,
    MqttSettings,
    Refused,
    StateUpdate,
)
from drumigen_daemon.mqtt.outbox import Outbox
from drumigen_daemon.mqtt.topics import OFFLINE, ONLINE, PLAYING, Message, Topics
from drumigen_daemon.process.channel import EXIT_UNAVAILABLE, Unpacker, packed
from drumigen_daemon.process.log_line import LogLevel, LogLine
from drumigen_daemon.process.parent import end_with_parent
from drumigen_daemon.process.password import password
from drumigen_daemon.process.realtime import limit_memory
from drumigen_daemon.process.supervision import TASK_HEALTHY_SECONDS, full_jitter

KEEP_ALIVE: Final = 15
"""Seconds; a broker notices a lost machine after one and a half of them."""
BROKER_SECONDS_MAX: Final = 5.0
"""Seconds in which a broker must answer."""
SIGN_PERIOD: Final = 2.0
DELIVERY_PERIOD: Final = 0.02
"""Seconds between two deliveries of commands to the daemon; of a control the last one counts."""
BROKER_COMMANDS_MAX: Final = 64
RENEWAL_PERIOD: Final = 1.0
"""Seconds between two renewals of everything, however often Home Assistant is born."""
INCOMING_MAX: Final = 1000
MEMORY_MAX: Final = 512 * 2**20
"""Bytes; a broker that sends more is served by the next process."""
NICENESS: Final = 10
CAUSES_MAX: Final = 5
OTHERS_MAX: Final = 8
"""Others of the same id that are warned of in one connection."""
INSTANCE_MAX: Final = 64
FAREWELL_SECONDS_MAX: Final = 2.0
"""Seconds; a daemon that ends in order waits less, and then the broker says it."""


class Bridge:
    """Joins a daemon and a broker."""

    def __init__(self, to_daemon: asyncio.StreamWriter, hello: Hello) -> None:
        """Speak as ``hello`` says."""
        self._to_daemon = to_daemon
        self._settings = hello.settings
        self._topics = Topics(hello.settings.id, hello.settings.group)
        self._outbox = Outbox()
        self._news = asyncio.Event()
        self._wanted: dict[str, ControlRequest] = {}
        self._asked = asyncio.Event()
        self._connected = False
        self._connections = self._received = self._ignored = 0
        self._renewal: asyncio.TimerHandle | None = None
        self._complained = False
        self._instance = secrets.token_hex(8)
        self._others: set[str] = set()
        self._put(Message(self._topics.availability, ONLINE, qos=1, retain=True))
        if hello.settings.discovery:
            for message in discovery(
                self._topics, hello.settings.discovery_prefix, hello.version, hello.options
            ):
                self._put(message)

    # --- from the daemon --------------------------------------------------------------------

    def told(self, message: AnyToBridge) -> None:
        """Publish what the daemon tells."""
        topics = self._topics
        match message:
            case StateUpdate():
                for control, value in message.values.items():
                    self._put(Message(topics.state(control), value, qos=1, retain=True))
                rolling = "on" if message.song.get("transport") == "rolling" else "off"
                self._put(Message(topics.state(PLAYING), rolling, qos=1, retain=True))
                self._put(Message(topics.told("song"), _json(message.song), retain=True))
                if message.telemetry:
                    told = {**message.telemetry, "mqtt": msgspec.to_builtins(self._link())}
                    self._put(Message(topics.told("telemetry"), _json(told), retain=True))
            case Ahead():
                for bar in message.bars:
                    self._put(Message(topics.told("bars"), _json(bar)))
            case Refused():
                self._put(Message(topics.told("error"), _json(msgspec.to_builtins(message))))
            case Hello():
                pass

    def _put(self, message: Message) -> None:
        self._outbox.put(message)
        self._news.set()

    # --- to the daemon ----------------------------------------------------------------------

    async def deliver(self) -> None:
        """Hand the daemon what was asked for, and signs of life."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_PERIOD):
                    await self._asked.wait()
            self._asked.clear()
            wanted, self._wanted = list(self._wanted.values()), {}
            await self._tell(*wanted, *([] if wanted else [self._link()]))
            await asyncio.sleep(DELIVERY_PERIOD)

    def _link(self) -> Link:
        return Link(
            self._connected,
            self._connections,
            self._received,
            self._ignored,
            self._outbox.dropped,
        )

    async def _tell(self, *messages: FromBridge) -> None:
        for message in messages:
            self._to_daemon.write(packed(message))
        await self._to_daemon.drain()

    def _say(self, level: LogLevel, text: str) -> None:
        self._to_daemon.write(packed(LogLine(level, one_line(text))))

    # --- the broker -------------------------------------------------------------------------

    async def serve(self) -> None:
        """Be connected, for ever: what fails is tried again, ever more rarely."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._take_fault)
        failures = 0
        while True:
            begun = loop.time()
            try:
                await self._converse()
            except Exception as error:  # noqa: BLE001 - a hostile broker breaks anything
                reason = _reason(error)
            else:
                reason = "it closed the connection"
            self._connected = False
            failures = 1 if loop.time() - begun > TASK_HEALTHY_SECONDS else failures + 1
            pause = full_jitter(failures)
            self._complain(f"{reason}; trying again, the music plays on", again=failures % 10 == 0)
            await asyncio.sleep(pause)

    def _take_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say what broke in a callback, as of a socket that a hostile broker closed, in one line.

        The conversation that it was of ends by itself, and is begun again.
        """
        error = context.get("exception")
        reason = _reason(error) if error is not None else context["message"]
        self._complain(f"{reason}; the music plays on")

    def _complain(self, of: str, *, again: bool = False) -> None:
        """Say what is wrong with the broker: once until it is well, and ``again`` when told to."""
        level: LogLevel = "info" if self._complained else "warning"
        if not self._complained or again:
            self._say(level, f"MQTT broker {self._where}: {of}")
        self._complained = True

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._port}"

    @property
    def _port(self) -> int:
        return self._settings.port or (8883 if self._settings.tls else 1883)

    def client(self) -> aiomqtt.Client:
        """Return a client for the broker, not yet connected.

        Raises:
            OSError: a file of keys or the password cannot be read.
        """
        settings = self._settings
        silent = logging.getLogger("drumigen.mqtt")  # it would log a line a message in a flood
        silent.setLevel(logging.CRITICAL)
        return aiomqtt.Client(
            settings.host,
            self._port,
            username=settings.username or None,
            password=password_of(settings) if settings.username else None,
            logger=silent,
            will=aiomqtt.Will(self._topics.availability, OFFLINE, qos=1, retain=True),
            timeout=BROKER_SECONDS_MAX,
            keepalive=KEEP_ALIVE,
            max_queued_incoming_messages=INCOMING_MAX,
            max_queued_outgoing_messages=INCOMING_MAX,
            tls_context=tls_context(settings),
        )

    async def _converse(self) -> None:
        async with self.client() as client:
            await client.subscribe([(topic, 1) for topic in self._topics.commands])
            births = f"{self._settings.discovery_prefix}/status"
            await client.subscribe([(self._topics.availability, 1), (self._topics.presence, 1)])
            if self._settings.discovery:
                await client.subscribe(births)
            self._connected, self._complained = True, False
            self._connections += 1
            self._say("info", f"MQTT broker {self._where}: connected as {self._topics.base}")
            self._outbox.renew()
            self._others.clear()
            self._say_who_we_are()
            self._asked.set()  # the daemon hears at once that someone listens
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._publish(client))
                    tasks.create_task(self._hear(client, births))
            except asyncio.CancelledError:
                await self._farewell(client)
                raise
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _farewell(self, client: aiomqtt.Client) -> None:
        """Say that we are gone: a clean goodbye takes back the will, and leaves it to us.

        Where that fails there is no goodbye at all, and the broker says it.
        """
        try:
            async with asyncio.timeout(FAREWELL_SECONDS_MAX):
                await client.publish(self._topics.availability, OFFLINE, qos=1, retain=True)
        except (aiomqtt.MqttError, TimeoutError):
            os._exit(EXIT_UNAVAILABLE)

    async def _publish(self, client: aiomqtt.Client) -> None:
        task = asyncio.current_task()
        while True:
            await self._news.wait()
            self._news.clear()
            while (message := self._outbox.take()) is not None:
                # one at a time: what a slow broker has not taken waits where newer replaces older
                await client.publish(
                    message.topic, message.payload, qos=message.qos, retain=message.retain
                )
                if task is not None and task.cancelling():
                    # asyncio.wait_for of Python 3.11, within publish, may lose a cancellation
                    raise asyncio.CancelledError

    async def _hear(self, client: aiomqtt.Client, births: str) -> None:
        async for message in client.messages:
            self._received += 1
            topic, payload = str(message.topic), message.payload
            if topic == births:
                if payload == BIRTH.encode():
                    self._renew_soon()
                continue
            if topic == self._topics.availability:
                self._stay_online(payload)
                continue
            if topic == self._topics.presence:
                if not message.retain:  # else whoever said so may be long gone
                    self._meet(payload)
                continue
            wanted = None
            if isinstance(payload, bytes):
                wanted = self._topics.wanted(topic, payload, retained=message.retain)
            if wanted is None:
                self._ignored += 1
            elif wanted.control in self._wanted or len(self._wanted) < BROKER_COMMANDS_MAX:
                self._wanted.pop(wanted.control, None)
                self._wanted[wanted.control] = wanted
                self._asked.set()
            else:
                self._ignored += 1

    # --- others of the same id --------------------------------------------------------------

    def _say_who_we_are(self) -> None:
        self._put(Message(self._topics.presence, self._instance, qos=1))

    def _stay_online(self, payload: object) -> None:
        """Take back what is said of one that died, or left, and had the same id."""
        if payload != ONLINE.encode():
            self._outbox.again(self._topics.availability)
            self._news.set()

    def _meet(self, payload: object) -> None:
        """Warn once of each other that has our id, and let it know of us."""
        other = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
        if other in (self._instance, "") or len(other) > INSTANCE_MAX or other in self._others:
            return
        if len(self._others) < OTHERS_MAX:
            self._others.add(other)
            self._say_who_we_are()
            self._say(
                "warning",
                f"MQTT: another drumigen has the id {self._settings.id} at {self._where}, and both "
                "are controlled together: give each its own by mqtt.id",
            )

    def _renew_soon(self) -> None:
        if self._renewal is None:
            loop = asyncio.get_running_loop()
            self._renewal = loop.call_later(RENEWAL_PERIOD, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        self._outbox.renew()
        self._news.set()


def password_of(settings: MqttSettings) -> str | None:
    """Return the password of the user.

    Raises:
        OSError: its file cannot be read.
    """
    return password(settings.password_file, "mqtt_password", PASSWORD_VARIABLE)


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return how the broker proves who it is, and we who we are; None without TLS.

    Raises:
        OSError: a certificate or key cannot be read, or is none.
    """
    if not settings.tls:
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context


def _reason(error: BaseException) -> str:
    causes = [error]
    while (cause := _behind(causes[-1])) is not None and len(causes) < CAUSES_MAX:
        causes.append(cause)
    # the deepest says most: "Connection refused" rather than "Disconnected"
    return str(causes[-1]) or type(causes[-1]).__name__


def _behind(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def run(sock: socket.socket) -> None:
    """Serve until the daemon closes the channel; says goodbye to the broker then."""
    reader, writer = await asyncio.open_connection(sock=sock)
    unpacker: Unpacker[AnyToBridge] = Unpacker(AnyToBridge)
    bridge: Bridge | None = None
    tasks: list[asyncio.Task[None]] = []
    try:
        while data := await reader.read(65536):
            for message in _unpacked(unpacker, data):
                if isinstance(message, Hello) and bridge is None:
                    bridge = Bridge(writer, message)
                    tasks = [
                        asyncio.create_task(bridge.serve()),
                        asyncio.create_task(bridge.deliver()),
                    ]
                elif bridge is not None:
                    bridge.told(message)
    except (ConnectionError, ChannelClosedError):
        pass
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            _, unwilling = await asyncio.wait(tasks, timeout=2 * FAREWELL_SECONDS_MAX)
            if unwilling:
                os._exit(EXIT_UNAVAILABLE)
        writer.transport.abort()
        # an attempt to reach a dead broker is still under way in a thread: nobody waits for it
        os._exit(0)


def _unpacked(unpacker: Unpacker[AnyToBridge], data: bytes) -> Iterable[AnyToBridge]:
    return unpacker.feed(data)


def main() -> int:
    """Run the bridge of the daemon that started this process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    limit_memory(MEMORY_MAX)
    asyncio.run(run(socket.socket(fileno=int(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
