"""The broker: connections to Redis, the Celery application on it, and the names of its keys.

The password is put into a URL in memory only, and Celery masks it wherever it names the URL.
"""

import ssl
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import kombu.transport.redis  # noqa: F401 - else it is loaded while the first bars are waited for
import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from drumigen.errors import SettingsError
from drumigen_daemon.generator.messages import WorkersAddress
from drumigen_daemon.workers.messages import PRIORITIES
from drumigen_daemon.workers.settings import password_of

CONNECT_PATIENCE: Final = 2.0
"""Seconds in which a connection must be there."""
PROBE_LIFE: Final = 1000
"""Milliseconds for which a probe is kept."""
REQUESTS_LIFE: Final = 60
"""Seconds after the last request for bars at which those that no worker took are gone."""
SONG_PATIENCE: Final = 300
"""Seconds that a song may take before its worker gives it up."""
SONG_LEASE: Final = 60
"""Seconds after which a song whose worker fell silent is given to another; rendering a song twice
does no harm."""
BROKER_ERRORS: Final = (redis.RedisError, OperationalError, OSError)
"""What a broker that is away, or ill, raises."""


class Names:
    """The keys of one group of drummers and workers."""

    def __init__(self, queue: str) -> None:
        """Begin all names with ``queue``."""
        self.queue = queue
        self.workers = f"{queue}:workers"
        """A hash: what each worker says of itself."""

        self.probe = f"{queue}:probe"
        """What is written to see whether Redis takes anything."""

    def bars(self, identity: str) -> str:
        """Return the queue of requests for bars of that model: others never see them."""
        return f"{self.queue}.bars.{identity}"

    def songs(self, identity: str) -> str:
        """Return the queue of songs."""
        return f"{self.queue}.songs.{identity}"

    def reply(self, number: str) -> str:
        """Return the list on which one answer is waited for."""
        return f"{self.queue}:reply:{number}"

    def job(self, job_id: str) -> str:
        """Return where a song's request is kept while it is known."""
        return f"{self.queue}:job:{job_id}"


def url_of(address: WorkersAddress) -> str:
    """Return the URL of the broker, with the password.

    Raises:
        SettingsError: the file of the password cannot be read.
    """
    try:
        secret = password_of(address)
    except OSError as error:
        message = f"workers.password_file {address.password_file}: {error.strerror}"
        raise SettingsError(message) from error
    parts = urlsplit(address.broker)
    if secret is None:
        return address.broker
    user = quote(parts.username or "", safe="")
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(secret, safe='')}@{where}"))


def _tls(address: WorkersAddress) -> dict[str, Any]:
    """Return how a connection is secured.

    Raises:
        SettingsError: the file of authorities cannot be used.
    """
    told: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    if address.ca_file:
        try:
            ssl.create_default_context(cafile=address.ca_file)
        except OSError as error:  # also where what is in it is no certificate
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            message = f"workers.ca_file {address.ca_file}: {why}"
            raise SettingsError(message) from error
        told["ssl_ca_certs"] = address.ca_file
    return told


def said_of(error: BaseException) -> str:
    """Return in one line what Redis said, also where kombu says it in its place."""
    told = error.__cause__ if isinstance(error, OperationalError) and error.__cause__ else error
    if isinstance(told, redis.AuthenticationError):
        return "the password is wrong, or there is none (workers.password_file)"
    return " ".join(f"{type(told).__name__}: {told}".split()).rstrip(".")


def connected(address: WorkersAddress, patience: float) -> "redis.Redis":
    """Return a client of the broker that waits ``patience`` seconds for an answer; not connected.

    Raises:
        SettingsError: the file of the password, or of authorities, cannot be used.
    """
    more = _tls(address) if address.broker.startswith("rediss:") else {}
    if "ssl_cert_reqs" in more:
        more["ssl_cert_reqs"] = "required"
    return redis.Redis.from_url(
        url_of(address),
        socket_timeout=patience,
        socket_connect_timeout=CONNECT_PATIENCE,
        socket_keepalive=True,
        retry=None,
        **more,
    )


def said_by_workers(client: "redis.Redis", names: Names) -> dict[Any, Any]:
    """Return what workers say of themselves, from a Redis that takes what it is given.

    Raises:
        redis.RedisError: it cannot be reached, or it takes nothing, for it is full or a replica.
    """
    pipe = client.pipeline(transaction=False)
    pipe.hgetall(names.workers)
    pipe.set(names.probe, "", px=PROBE_LIFE)
    said: dict[Any, Any]
    said, taken = pipe.execute(raise_on_error=False)
    for answer in (said, taken):
        if isinstance(answer, redis.RedisError):
            raise answer
    return said


def celery_application(address: WorkersAddress, *, results: bool) -> Celery:
    """Return the Celery application of a worker, with the store of ``results``, or of a client.

    A client has no use for Celery's: it would subscribe to each result, and keep it.

    Raises:
        SettingsError: the file of the password, or of authorities, cannot be used.
    """
    url = url_of(address)
    app = Celery("drumigen", broker=url, backend=url if results else None, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        result_expires=address.result_ttl,
        task_default_queue=address.queue,
        task_create_missing_queues=False,
        task_send_sent_event=False,
        worker_send_task_events=False,  # until somebody wants to see them, as Flower does
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=60.0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_channel_error_retry=True,  # a Redis that becomes a replica may be another's again
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_PATIENCE,
        broker_transport_options={
            "priority_steps": list(PRIORITIES),
            "socket_connect_timeout": CONNECT_PATIENCE,
            "socket_timeout": max(2.0, 2 * address.deadline),
            "socket_keepalive": True,
            "visibility_timeout": SONG_LEASE,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "max_retries": 0,
            "global_keyprefix": "",
        },
        redis_socket_timeout=5.0,
        redis_socket_connect_timeout=CONNECT_PATIENCE,
        task_time_limit=SONG_PATIENCE,
    )
    if address.broker.startswith("rediss:"):
        app.conf.broker_use_ssl = _tls(address)
        app.conf.redis_backend_use_ssl = _tls(address)
    return app


def queue(name: str, *, kept: bool) -> Queue:
    """Return a queue; of one that is not ``kept``, a message is gone once a worker has it."""
    return Queue(name, routing_key=name, no_ack=not kept)
