"""drumigen's control plane for ``style_switch.py``: each style plays sixteenths on its own key.

Says ``ready`` on standard output; each line on standard input is a control: ``tempo 93.5``.
"""

import asyncio
import sys
from collections.abc import Iterable

from output_daemon import started

from drumigen.bank.bank import Bank
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.controls.controllers import ControllerSetup
from drumigen_daemon.daemon import Daemon
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, EngineSetup
from drumigen_daemon.generator.messages import WrittenBar
from drumigen_daemon.planner.planner import Planner
from drumigen_daemon.ports import PortPlan
from drumigen_daemon.process.realtime import go_before_others
from drumigen_daemon.session import Session

VOICES = {"rock": Voice.KICK, "funk": Voice.SNARE}
ON_THE_BEAT, BETWEEN = 127, 90
"""Velocities, by which the recorder knows the beat."""


def sixteenths(style: str) -> Bar:
    """Return the bar of a style: its voice on every sixteenth, louder on the beat."""
    voice = VOICES.get(style, Voice.CLOSED_HAT)
    ticks = range(0, Meter().ticks, TICKS_PER_SIXTEENTH)
    return Bar(
        Meter(),
        tuple(
            Hit(Tick(tick), voice, BETWEEN if tick % TICKS_PER_BEAT else ON_THE_BEAT)
            for tick in ticks
        ),
    )


class TellingPlanner(Planner):
    """Plans as ever, but a bar of a style is that style's one, wherever it comes from."""

    def __init__(self, session: Session) -> None:
        """Keep every style ready, as the daemon does."""
        names = load_styles().names
        super().__init__(session, lambda style: Bank(style, ((sixteenths(style),),), ()), names)

    def bars_written(self, bars: Iterable[WrittenBar]) -> None:
        """Take what the generator wrote, for what it was asked."""
        telling = (WrittenBar(each.request, sixteenths(each.request.style)) for each in bars)
        super().bars_written(telling)


async def main() -> None:
    """Run until standard input ends."""
    parameters = EngineParameters(source=ClockSource.INTERNAL, clock_out=False)
    session = Session(style="rock", variation=False, fill_every=0, parameters=parameters)
    setup = ControllerSetup((load_controller("default"),))
    daemon = Daemon(
        session, load_styles(), EngineSetup(PortPlan(split=True), "jack"), controllers=setup
    )
    daemon.plane.planner = TellingPlanner(session)
    go_before_others()
    running = await started(daemon)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, _, value = line.strip().partition(" ")
        daemon.control(name, value or None)
    daemon.end()
    await running


if __name__ == "__main__":
    asyncio.run(main())
