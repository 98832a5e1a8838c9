"""Everything goes wrong at once, for 200 bars on virtual time: the beat goes on, and is counted."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from band import Band
from drumigen.errors import ControlError
from drumigen.units import Seconds, Tick
from drumigen_daemon.controls.binding import ADDRESSES
from drumigen_daemon.controls.table import Controls
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import AnyReport, ControlInput, EngineCounters, PlayedBar
from drumigen_daemon.mqtt.outbox import EVENTS_MAX, Outbox
from drumigen_daemon.mqtt.topics import Message, Topics
from drumigen_daemon.ports import PortChange
from drumigen_daemon.session import Session
from rig import START, Master, gaussian

pytestmark = pytest.mark.slow

BARS = 200
WARM_UP = 40
GROWTH_MAX = 5_000
"""Kilobytes."""
HUNG_FOR = 4.0
"""Seconds after which a hung generator is replaced."""
JUNK = (b"", b"junk", b"\xff\xfe", b"9" * 2_000, b'{"value": {}}', b"nan", b"-1e999")


class Storm:
    """A band, a master clock, a broker and a controller, all of them up to no good."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.band = Band(Session())
        self.rig = self.band.rig
        self.master = Master(self.rig, 120.0, gaussian(0.0005, seed))
        self.topics = Topics("storm", "all")
        self.outbox = Outbox()
        self.broker_reads = True
        self.cable = True
        self.port_losses = self.knobs = self.heard = self.commands = 0
        self.notes = self.empty_bars = 0
        self.ringing: set[bytes] = set()
        self.counters = EngineCounters()
        self.last = ""
        inner = self.rig.on_report

        def reported(report: AnyReport) -> None:
            match report:
                case ControlInput():
                    # addresses of parameters go with the values that they are for
                    self.heard += report.data[1] not in ADDRESSES
                case EngineCounters():
                    self.counters = report
                    self.outbox.put(Message("telemetry", str(report.pulses), retain=True))
                case PlayedBar():
                    self.empty_bars += not report.notes
                    self.outbox.put(Message("bars", str(report.number)))
            if inner is not None:
                inner(report)

        self.rig.on_report = reported

    def misdeeds(self) -> list[Callable[[], None]]:
        return [
            self.kill_generator,
            self.hang_generator,
            self.slow_generator,
            self.pull_cable,
            self.flood_knobs,
            self.flood_broker,
            self.turn_broker,
            self.switch_style,
            self.lose_clocks,
            self.silence_clock,
            self.shift_clock,
            self.change_tempo,
        ]

    # --- what may happen ---

    def kill_generator(self) -> None:
        self.band.kill_generator()
        self.rig.at(self.rig.now + self.random.uniform(0.1, 5.0), self.band.revive_generator)

    def hang_generator(self) -> None:
        self.band.source.delay = 1e6

        def replaced() -> None:
            self.band.source.delay = 0.02
            self.band.kill_generator()
            self.band.revive_generator()

        self.rig.at(self.rig.now + HUNG_FOR, replaced)

    def slow_generator(self) -> None:
        self.band.source.delay = self.random.uniform(0.5, 3.0)

    def pull_cable(self) -> None:
        self.cable = not self.cable
        self.port_losses += not self.cable
        change = PortChange("out", "synth:in", up=self.cable)
        self.rig.engine.ports_changed([change], Seconds(self.rig.now))

    def flood_knobs(self) -> None:
        for number in range(2_000):
            self.knobs += number % 120 not in ADDRESSES
            knob = bytes([0xB0 | number // 120 % 16, number % 120, self.random.randrange(128)])
            self.rig.engine.hear("knobs", knob, Seconds(self.rig.now))

    def flood_broker(self) -> None:
        controls = Controls(known_styles(), self.band.session)
        for _ in range(500):
            control = self.random.choice(["tempo", "meter", "seed", "kit", "nothing", "style"])
            topic = f"drumigen/{self.random.choice(['storm', 'group/all', 'x'])}/{control}/set"
            wanted = self.topics.wanted(topic, self.random.choice(JUNK))
            if wanted is not None:
                self.commands += 1
                with pytest.raises(ControlError):
                    controls.apply(wanted.control, wanted.value, bar_tick=lambda _: Tick(0))
        assert controls.session == self.band.session

    def turn_broker(self) -> None:
        self.broker_reads = not self.broker_reads
        if self.broker_reads:
            self.outbox.renew()

    def switch_style(self) -> None:
        self.band.change(style=self.random.choice(["rock", "funk", "jazz", "j_dilla"]))

    def lose_clocks(self) -> None:
        self.master.clock(48, lost=lambda _: self.random.random() < 0.2)

    def silence_clock(self) -> None:
        silent = self.random.choice([30, 47, 60, 150, 400])
        self.master.clock(silent, lost=lambda _: True)

    def shift_clock(self) -> None:
        self.master.next_at += self.random.uniform(0.0, 0.2)

    def change_tempo(self) -> None:
        self.master.bpm = self.random.uniform(90.0, 170.0)

    # --- how it goes on ---

    def pass_time(self) -> None:
        """A bar or so of clock; then what the recorder keeps is judged and forgotten."""
        self.master.clock(self.random.randrange(48, 144))
        self.master.finish()
        while self.broker_reads and self.outbox.take() is not None:
            pass
        assert len(self.outbox) <= EVENTS_MAX + 1
        self.listen()
        self.rig.reports.clear()

    def listen(self) -> None:
        """Take note of what has left, and forget it."""
        for sent in self.rig.output.sent:
            if sent.is_on:
                self.notes += 1
                self.ringing.add(sent.data[1:2])
            elif sent.is_off:
                self.ringing.discard(sent.data[1:2])
        self.rig.output.sent.clear()


def resident() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_bar_is_missing_and_no_note_hangs_whatever_fails(seed: int) -> None:
    storm = Storm(seed)
    band, rig = storm.band, storm.rig
    storm.master.clock(24)
    storm.master.finish()
    storm.master.say(START)
    storm.master.clock(96)
    storm.master.finish()
    memory = 0
    while len(band.entered) < BARS:
        storm.random.choice(storm.misdeeds())()
        storm.pass_time()
        if not memory and len(band.entered) >= WARM_UP and Path("/proc/self/status").exists():
            memory = resident()
    if memory:
        assert resident() - memory < GROWTH_MAX

    # every bar sounded, each after the one before it
    numbers = [entered.number for entered in band.entered]
    assert numbers == list(range(len(numbers)))
    assert storm.empty_bars == 0

    # all counts agree with what was done
    counters = band.planner.counters
    assert counters.bars == len(band.entered)
    fallbacks = [entered for entered in band.entered if entered.origin.fallback]
    assert counters.fallback_bars == len(fallbacks) > 0
    assert sum(counters.by_origin.values()) == len(band.entered)

    # calm again: the song is back to bars of its own within 4 bars
    band.source.delay = 0.02
    band.revive_generator()
    storm.master.clock(24 * 32)
    storm.master.finish()
    assert not any(entered.origin.fallback for entered in band.entered[-3:])

    rig.engine.shut_down(Seconds(rig.now))
    rig.run(1.0)
    storm.listen()
    assert not storm.ringing
    engine = storm.counters
    assert engine.port_losses == storm.port_losses
    assert storm.heard + engine.controls_coalesced == storm.knobs
    assert engine.notes == storm.notes
    assert engine.drop_outs > 0
    assert engine.repeated_bars == counters.by_origin.get("repeated", 0)  # type: ignore[call-overload]
