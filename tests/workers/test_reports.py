"""How it goes with workers is told alike by the status, in words and in JSON, and by Prometheus."""

import json
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from drumigen.units import Seconds
from drumigen_daemon.commands.remote import summary
from drumigen_daemon.generator.messages import WorkersReport
from drumigen_daemon.histogram import (
    BAR_TIME_BOUNDS,
    COUNT_BOUNDS,
    WRITING_BOUNDS,
    Histogram,
    Tally,
)
from drumigen_daemon.mqtt.link import MqttLink
from drumigen_daemon.mqtt.messages import MqttSettings
from drumigen_daemon.status.prometheus import exposition
from drumigen_daemon.status.status import PlanCounters, Status, described


def tallied(bounds: tuple[float, ...], *values: float) -> Histogram:
    tally = Tally(bounds)
    for value in values:
        tally.add(value)
    return tally.histogram


REPORT = WorkersReport(
    state="late",
    live=2,
    said="it is late",
    asked=16,
    answered=3,
    missed=5,
    refused=4,
    corrupt=1,
    lost=3,
    bars=60,
    local_bars=21,
    queue_wait=tallied(WRITING_BOUNDS, 0.01, 0.02, 0.03),
    batch_bars=tallied(COUNT_BOUNDS, 18, 20, 22),
    bar_time=tallied(BAR_TIME_BOUNDS, 0.004, 0.005, 0.006),
    round_trip=tallied(WRITING_BOUNDS, 0.1, 0.2, 0.3),
)
STATUS = Status(workers=REPORT, plan=PlanCounters(bars=10, worker_bars=8))


def told() -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(exposition(STATUS, {}))
        for sample in family.samples
        if not sample.labels
    }


def test_prometheus_is_told_every_outcome_wait_batch_and_time() -> None:
    metrics = told()
    outcomes = ("answered", "missed", "refused", "corrupt", "lost")
    counted = {name: metrics[f"drumigen_workers_{name}_total"] for name in ("asked", *outcomes)}
    assert counted == {name: getattr(REPORT, name) for name in counted}
    assert sum(counted[name] for name in outcomes) == counted["asked"]
    assert metrics["drumigen_workers_live"] == 2
    assert metrics["drumigen_fresh_bar_rate"] == 0.8
    assert metrics["drumigen_worker_bars_total"] == 8
    for name, total in {
        "worker_queue_wait_seconds": 0.06,
        "worker_batch_bars": 60,
        "worker_bar_time_seconds": 0.015,
        "worker_round_trip_seconds": 0.6,
    }.items():
        assert metrics[f"drumigen_{name}_count"] == 3
        assert round(metrics[f"drumigen_{name}_sum"], 6) == total


def test_the_status_has_a_line_of_workers_with_why_they_are_not_used() -> None:
    status = json.loads(json.dumps(described(STATUS, Seconds(0.0))))
    (line,) = [line for line in summary(status).splitlines() if line.startswith("workers ")]
    assert "late, 2 there; 60 bars by them, 21 here; of 16 requests 5 late, 4 refused" in line
    assert line.endswith("80.0 % of the bars were fresh from them; it is late")
    histograms = {"queue_wait", "batch_bars", "bar_time", "round_trip"}
    whole = msgspec.structs.asdict(REPORT)
    assert (
        status["workers"].items()
        >= {name: value for name, value in whole.items() if name not in histograms}.items()
    )


def test_mqtt_is_told_outcomes_waits_batches_and_times() -> None:
    daemon = cast(Any, SimpleNamespace(controls=SimpleNamespace(session=None)))
    link = MqttLink(MqttSettings(host="nowhere"), daemon)
    workers = link._shown(STATUS, Seconds(1.0)).telemetry["workers"]
    assert workers["missed"] == 5
    assert workers["fresh_rate"] == 0.8
    assert workers["batch_bars_mean"] == 20
    for name, most in {"queue_wait": 30, "bar_time": 6, "round_trip": 300}.items():
        middle, high = workers[f"{name}_ms_p50"], workers[f"{name}_ms_p99"]
        assert most / 2 <= middle <= high
        assert most <= high < 3 * most


def test_who_asks_no_workers_is_told_nothing_of_them() -> None:
    assert "drumigen_workers_" not in exposition(Status(), {})
    assert "workers" not in summary(json.loads(json.dumps(described(Status(), Seconds(0.0)))))
