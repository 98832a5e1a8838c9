"""drumigen's control plane for ``output_jitter.py``: it plays sixteenths, and may be kept busy.

Says ``ready`` on standard output, and begins at the first line on standard input.  With
``--controls N`` the performer turns N knobs a second, none of which moves a note that is due.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from itertools import count

from drumigen.bank.bank import Bank
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_SIXTEENTH, Bpm, Tick
from drumigen_daemon.app import run_daemon
from drumigen_daemon.daemon import Daemon
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, EngineSetup
from drumigen_daemon.generator.messages import WrittenBar
from drumigen_daemon.mqtt.link import MqttLink
from drumigen_daemon.mqtt.messages import MqttSettings
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.process.supervision import beside
from drumigen_daemon.session import Session

TEMPO = Bpm(174.0)
START_PATIENCE = 20.0
"""Seconds."""
CHORD = (Voice.CLOSED_HAT, Voice.KICK, Voice.SNARE)


def sixteenths(voices: Sequence[Voice]) -> Bar:
    """Return a bar of 4/4 with all ``voices`` on every sixteenth."""
    ticks = range(0, Meter().ticks, TICKS_PER_SIXTEENTH)
    return Bar(Meter(), tuple(Hit(Tick(tick), voice, 100) for tick in ticks for voice in voices))


class SixteenthPlanner(Planner):
    """Plans as ever, but every bar that comes from anywhere is the same one."""

    def __init__(self, session: Session, bar: Bar) -> None:
        """Plan ``bar`` again and again."""
        super().__init__(session, lambda style: Bank(style, ((bar,),), ()))
        self._every_bar = bar

    def bars_written(self, bars: Sequence[WrittenBar]) -> None:  # type: ignore[override]
        """Take what the generator wrote, for what it was asked."""
        super().bars_written([WrittenBar(written.request, self._every_bar) for written in bars])


async def turn_knobs(daemon: Daemon, per_second: float) -> None:
    """Change styles, tempo, seed and the offset of a voice that is silent, until cancelled."""
    if not per_second:
        return
    for number in count():
        match number % 4:
            case 0:
                daemon.control("style", ("rock", "jazz", "funk")[number // 4 % 3])
            case 1:
                daemon.control("offset_ms.crash", float(number % 20))
            case 2:
                daemon.control("tempo", TEMPO + 0.01 * (number // 4 % 2))
            case 3:
                daemon.control("seed", number % 1000)
        await asyncio.sleep(1.0 / per_second)


async def started(daemon: Daemon) -> asyncio.Task[None]:
    """Run ``daemon``; return its task, and say so, once ports are open and bars are written."""
    running = asyncio.create_task(run_daemon(daemon))
    async with asyncio.timeout(START_PATIENCE):
        while not (daemon.status.ready and daemon.status.generator == "ready"):
            await asyncio.wait((running,), timeout=0.05)
            if running.done():
                running.result()
    print("ready", flush=True)
    return running


async def play(daemon: Daemon, options: argparse.Namespace) -> None:
    """Play for the given time from the word on."""
    running = await started(daemon)
    await asyncio.to_thread(sys.stdin.readline)
    if not options.follow:
        daemon.control("start")
    knobs = asyncio.create_task(turn_knobs(daemon, options.controls))
    mqtt = MqttLink(
        MqttSettings(host="127.0.0.1" if options.mqtt else "", port=options.mqtt), daemon
    )
    daemon.listen(mqtt.take)
    async with beside({"MQTT": mqtt.run}):
        await asyncio.wait((running,), timeout=options.seconds)
    knobs.cancel()
    daemon.end()
    await running
    detail = daemon.status.detail
    print(detail.partition(",")[0], flush=True)


def main() -> None:
    """Run one daemon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--priority", type=int, default=70)
    parser.add_argument("--controls", type=float, default=0.0)
    parser.add_argument("--mqtt", type=int, default=0, metavar="PORT")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--chords", action="store_true")
    options = parser.parse_args()
    source = ClockSource.MIDI if options.follow else ClockSource.INTERNAL
    session = Session(variation=False, parameters=EngineParameters(tempo=TEMPO, source=source))
    setup = EngineSetup(priority=options.priority)

    async def run() -> None:
        daemon = Daemon(session, load_styles(), setup, engine_module=options.engine)
        bar = sixteenths(CHORD if options.chords else CHORD[:1])
        daemon.plane.planner = SixteenthPlanner(session, bar)
        await play(daemon, options)

    asyncio.run(run())


if __name__ == "__main__":
    main()
