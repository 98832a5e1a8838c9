"""Numbers for machines: as a third party reads them, and whatever its clients do."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from drumigen_daemon.engine.messages import EngineCounters, Origin
from drumigen_daemon.histogram import LATENESS_BOUNDS, Histogram, Tally
from drumigen_daemon.status import prometheus as metrics_server
from drumigen_daemon.status.prometheus import MetricsServer, exposition
from drumigen_daemon.status.status import PlanCounters, Status


def tallied(*values: float) -> Histogram:
    tally = Tally((0.001, 0.01, 0.1))
    for value in values:
        tally.add(value)
    return tally.histogram


STATUS = Status(
    ready=True,
    plan=PlanCounters(bars=12, fallback_bars=2, by_origin={Origin.BANK: 2}, generator_restarts=1),
    engine=EngineCounters(notes=99, late_notes=3, lateness=tallied(0.0001, 0.002, 7.0)),
    writing=tallied(0.02),
)


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_value_on_a_bound_is_in_its_bucket_and_one_beyond_is_in_the_last() -> None:
    assert tallied(0.001, 0.0011, 0.1, 0.2).counts == (1, 1, 1, 1)


@given(st.lists(st.floats(0.0, 0.2), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_a_bound_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    tally = Tally(LATENESS_BOUNDS)
    for value in values:
        tally.add(value)
    bound = tally.histogram.quantile(share)
    assert sum(value <= bound for value in values) >= share * len(values) - 1e-9


def test_prometheus_understands_every_line() -> None:
    told = samples(exposition(STATUS, {"mqtt_connected": 1.0}))
    assert told["drumigen_bars_total", ""] == 12
    assert told["drumigen_fallback_bars_total", ""] == 2
    assert told["drumigen_bars_by_origin_total", "bank"] == 2
    assert told["drumigen_generator_restarts_total", ""] == 1
    assert told["drumigen_late_notes_total", ""] == 3
    assert told["drumigen_ready", ""] == 1
    assert told["drumigen_mqtt_connected", ""] == 1
    buckets = [
        told["drumigen_output_lateness_seconds_bucket", le] for le in ("0.001", "0.01", "0.1")
    ]
    assert buckets == [1, 2, 2]
    assert told["drumigen_output_lateness_seconds_bucket", "+Inf"] == 3
    assert told["drumigen_output_lateness_seconds_count", ""] == 3
    assert told["drumigen_output_lateness_seconds_sum", ""] == pytest.approx(7.0021)


MQTT = {
    "mqtt_connected": True,
    "mqtt_connections": 3,
    "mqtt_messages_ignored": 2,
    "mqtt_bridge_restarts": 0,
}


def test_what_only_grows_is_a_counter_and_what_is_off_is_not_told() -> None:
    kinds = {
        family.name: family.type
        for family in text_string_to_metric_families(exposition(STATUS, MQTT))
    }
    assert kinds["drumigen_mqtt_connected"] == "gauge"
    for name in ("mqtt_connections", "mqtt_messages_ignored", "mqtt_bridge_restarts"):
        assert kinds[f"drumigen_{name}"] == "counter"
    assert "mqtt" not in exposition(STATUS, {})


def test_every_metric_is_explained_once() -> None:
    lines = exposition(STATUS, MQTT).splitlines()
    explained = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(set(explained)) == len(explained)
    assert all(len(line.split(maxsplit=3)[3]) > 5 for line in lines if line.startswith("# HELP"))


# --- over HTTP -----------------------------------------------------------------------------


@asynccontextmanager
async def running(server: MetricsServer) -> AsyncIterator[MetricsServer]:
    task = asyncio.create_task(server.run())
    async with asyncio.timeout(10):
        while not server.port:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def serving(status: Status = STATUS) -> AbstractAsyncContextManager[MetricsServer]:
    return running(MetricsServer("127.0.0.1", 0, lambda: status, dict))


async def asked(server: MetricsServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_metrics_are_read_over_http() -> None:
    async with serving() as server:
        head, _, body = (
            await asked(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        ).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"version=0.0.4" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert samples(body.decode())["drumigen_bars_total", ""] == 12


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\r\n\r\n", b"405"),
        (b"x" * 100_000, b"400"),
    ],
)
async def test_every_request_has_its_answer(request_: bytes, status: bytes) -> None:
    async with serving() as server:
        answer = await asked(server, request_)
        assert answer.split()[1:2] == [status]
        # and it goes on answering
        assert b" 200 " in await asked(server, b"GET /metrics HTTP/1.1\r\n\r\n")


async def test_health_is_no_while_the_daemon_is_not_ready() -> None:
    async with serving(Status()) as server:
        assert b" 503 " in await asked(server, b"GET /health HTTP/1.1\r\n\r\n")


async def test_silent_clients_do_not_keep_others_out_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_server, "CLIENT_SECONDS_MAX", 0.2)
    async with serving() as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        answer = b""
        async with asyncio.timeout(20):
            while b" 200 " not in answer:
                with contextlib.suppress(ConnectionError):  # turned away
                    answer = await asked(server, b"GET /metrics HTTP/1.1\r\n\r\n")
        for sock in silent:
            sock.close()


async def test_an_answer_is_given_again_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def status() -> Status:
        made.append(True)
        return STATUS

    monkeypatch.setattr(metrics_server, "ANSWER_SECONDS", 3600.0)
    server = MetricsServer("127.0.0.1", 0, status, dict)
    server._made_at = -7200.0
    async with running(server):
        for _ in range(20):
            await asked(server, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert len(made) == 1
