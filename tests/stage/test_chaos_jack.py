"""A minute of bad luck on real parts: JACK, Debian's clock, mosquitto, the daemon between them."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drumigen_daemon.control_socket import ask
from fixtures_broker import Broker, flood
from fixtures_jack import wait_for
from stage_fixtures import Daemon, Stage, drumigen, program

pytestmark = [pytest.mark.jack, pytest.mark.broker, pytest.mark.process]

MINUTE = 60.0
WARM_UP = 10.0
GROWTH_MAX = 5_000
"""Kilobytes, of control plane and engine together."""
CLOCK = "jack_midi_clock:mclk_out"
JUNK = [("drumigen/drumigen/tempo/set", b"junk"), ("drumigen/x/tempo/set", b"\xff" * 900)]


class Trouble:
    """What may happen to a daemon on stage, one thing after another."""

    def __init__(self, daemon: Daemon, stage: Stage, broker: Broker) -> None:
        self.daemon = daemon
        self.stage = stage
        self.broker = broker
        self.random = random.Random(7)
        self.ended: set[int] = set()
        """Generators that were killed or hung."""
        self.unplugged = 0

    def kinds(self) -> list[Callable[[], None]]:
        return [
            self.kill_generator,
            self.hang_generator,
            self.restart_broker,
            self.flood_broker,
            self.flood_knobs,
            self.unplug_clock,
            self.switch_style,
        ]

    def kill_generator(self) -> None:
        pid = self.daemon.status()["processes"]["generator"]
        if pid is not None:  # else it is just being replaced
            os.kill(pid, signal.SIGKILL)
            self.ended.add(pid)

    def hang_generator(self) -> None:
        pid = self.daemon.status()["processes"]["generator"]
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)  # it is replaced after some seconds
            self.ended.add(pid)

    def restart_broker(self) -> None:
        self.broker.stop()
        time.sleep(self.random.uniform(0.0, 1.0))
        self.broker.start()

    def flood_broker(self) -> None:
        flooder = threading.Thread(target=flood, args=(self.broker.port, JUNK, 5_000, 1.5))
        flooder.start()
        flooder.join()

    def flood_knobs(self) -> None:
        knobs = [(0.0005 * n, [0xB0, n % 100, n % 128]) for n in range(1_000)]
        self.stage.do("play", knobs)

    def unplug_clock(self) -> None:
        self.stage.do("disconnect", CLOCK, "drumigen:in")
        time.sleep(self.random.choice([0.3, 0.8, 2.5]))
        self.stage.do("connect", CLOCK, "drumigen:in")
        self.unplugged += 1

    def switch_style(self) -> None:
        self.daemon.control("style", self.random.choice(["rock", "funk", "jazz", "dilla"]))


def resident(daemon: Daemon) -> int:
    pids = (daemon.process.pid, daemon.child("engine"))
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts)


def played(daemon: Daemon) -> list[dict[str, Any]]:
    bars: list[dict[str, Any]] = ask([daemon.socket], {"export": 1_000})["bars"]
    return bars


def test_a_minute_of_bad_luck_costs_no_bar_and_leaves_no_note(
    stage: Stage, broker: Broker, tmp_path: Path
) -> None:
    broker.start()
    stage.do("lead", 150.0)
    arguments = ["--backend", "jack", "--set", "clock.source=midi"]
    arguments += ["--set", "mqtt.host=127.0.0.1", "--set", f"mqtt.port={broker.port}"]
    with program("jack_midi_clock", "-d", "0.2"), drumigen(tmp_path, *arguments) as daemon:
        stage.do("connect", CLOCK, "drumigen:in")
        stage.do("connect", f"{stage.name}:voice", "drumigen:in")
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        stage.do("start")
        trouble = Trouble(daemon, stage, broker)
        wait_for(lambda: daemon.status()["transport"] == "rolling", 10, "it did not start")
        time.sleep(WARM_UP)
        memory = resident(daemon)
        engine = daemon.child("engine")
        end = time.monotonic() + MINUTE
        while time.monotonic() < end:
            trouble.random.choice(trouble.kinds())()
            time.sleep(trouble.random.uniform(0.5, 2.0))
        wait_for(lambda: daemon.status()["generator"] == "ready", 20, "no generator came back")
        assert resident(daemon) - memory < GROWTH_MAX
        stage.do("stop")
        wait_for(lambda: daemon.status()["transport"] != "rolling", 10, "it did not stop")
        time.sleep(0.5)
        recording = stage.dump()
        counters = daemon.counters()
        bars = played(daemon)

    # every bar sounded, each after the one before it, by one and the same engine
    numbers = sorted({bar["number"] for bar in bars})
    assert numbers == list(range(numbers[-1] + 1))
    assert numbers[-1] >= 0.6 * (MINUTE + WARM_UP) * 150 / 60 / 4
    assert counters["engine_restarts"] == 0
    assert engine > 0
    assert recording.hanging() == set()
    assert recording.ons()
    # what was done was counted
    assert counters["generator_restarts"] == len(trouble.ended)
    assert counters["drop_outs"] >= trouble.unplugged
