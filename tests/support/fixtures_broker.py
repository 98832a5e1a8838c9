"""A real mosquitto, private to one test, and a client to listen and speak there with."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fixtures_jack import wait_for


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass
class Certificates:
    """An authority, a server certificate for localhost, and one for a client; and a stranger."""

    folder: Path

    def __post_init__(self) -> None:
        self._authority("ca")
        self._signed("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self._signed("client", "ca", "extendedKeyUsage=clientAuth")
        self._authority("stranger")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)

    def _authority(self, name: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
        extension = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        subject = ["-days", "2", "-subj", f"/CN=drumigen test {name}"]
        self._openssl("req", "-x509", *key, *files, *extension, *subject)

    def _signed(self, name: str, authority: str, extension: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
        self._openssl("req", *key, *files)
        (self.folder / "extension").write_text(extension)
        signed = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial"]
        rest = ["-out", f"{name}.crt", "-days", "2", "-extfile", "extension"]
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signed, *rest)


class Broker:
    """mosquitto on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self._lines = [f"listener {self.port} 127.0.0.1", "max_queued_messages 1000"]
        self._access = ["allow_anonymous true"]
        self._process: subprocess.Popen[bytes] | None = None

    def demand_password(self, username: str, password: str) -> None:
        passwords = self.folder / "passwords"
        program = _installed("mosquitto_passwd")
        command = [program, "-c", "-b", str(passwords), username, password]
        subprocess.run(command, check=True, capture_output=True)
        passwords.chmod(0o644)
        self._access = ["allow_anonymous false", f"password_file {passwords}"]

    def speak_tls(self, certificates: Certificates, *, demand_client: bool = False) -> None:
        for key, name in (("cafile", "ca.crt"), ("certfile", "server.crt")):
            self._lines.append(f"{key} {certificates.path(name)}")
        self._lines.append(f"keyfile {certificates.path('server.key')}")
        if demand_client:
            self._lines.append("require_certificate true")

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        user = ["user root"] if Path("/root").is_dir() else []
        config.write_text("\n".join([*user, *self._access, *self._lines, ""]))
        command = [_installed("mosquitto"), "-c", str(config)]
        with (self.folder / "mosquitto.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._listens, 10, "mosquitto does not listen")

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


def _installed(program: str) -> str:
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is None:
        pytest.fail("mosquitto is missing: apt-get install --no-install-recommends mosquitto")
    return found


@dataclass
class Client:
    """Another program on the broker."""

    port: int
    prepare: Callable[[paho.Client], object] | None = None
    heard: list[tuple[str, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paho = paho.Client(CallbackAPIVersion.VERSION2)
        self.paho.on_message = self._take
        self.paho.on_connect = lambda client, *_: client.subscribe("#", 1)
        if self.prepare is not None:
            self.prepare(self.paho)
        self.paho.connect("localhost" if self.prepare else "127.0.0.1", self.port)
        self.paho.loop_start()

    def _take(self, _client: object, _data: object, message: Any) -> None:  # noqa: ANN401
        self.heard.append((message.topic, message.payload.decode(errors="replace"), message.retain))

    def last(self, topic: str) -> str | None:
        return next((payload for name, payload, _ in reversed(self.heard) if name == topic), None)

    def all(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in self.heard if name == topic]

    def say(
        self, topic: str, payload: str | bytes = "", *, qos: int = 1, keep: bool = False
    ) -> None:
        self.paho.publish(topic, payload, qos, keep)

    def expect(self, topic: str, payload: str, seconds: float = 15.0) -> None:
        try:
            wait_for(lambda: self.last(topic) == payload, seconds, "")
        except pytest.fail.Exception:
            pytest.fail(f"{topic} never said {payload}, but {self.all(topic)[-3:]}")

    def forget(self) -> None:
        self.heard.clear()

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker not yet started."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def client(broker: Broker) -> Iterator[Client]:
    """A client on the started broker, without password or TLS."""
    broker.start()
    client = Client(broker.port)
    yield client
    client.close()


def flood(port: int, messages: list[tuple[str, bytes]], rate: int, seconds: float) -> int:
    """Publish ``messages`` over and over at ``rate`` a second; return how many."""
    flooder = paho.Client(CallbackAPIVersion.VERSION2)
    flooder.connect("127.0.0.1", port)
    flooder.loop_start()
    sent = 0
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        while sent < passed * rate:
            topic, payload = messages[sent % len(messages)]
            flooder.publish(topic, payload, 0)
            sent += 1
        time.sleep(0.002)
    flooder.disconnect()
    flooder.loop_stop()
    return sent
