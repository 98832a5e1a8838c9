"""How fast a style switch is: from the CC byte in to the first event of the new style, on JACK.

    python benchmarks/style_switch.py [--switches 1000] [--period 128] [--idle]

A recorder process sends CC 28 (the default map's style) at random times and records what
drumigen plays; each style has a key of its own, on every sixteenth.  Half of the switches have
quantum "step", half "beat", at tempi from 70 to 180 BPM, under load: a torch loop on one thread
and 50 other control changes a second.  A switch counts only if JACK missed no cycle around it.

It must show: with "step" the 99th percentile is at most one step plus 5 ms; with "beat" the first
event is on the next beat; no event of the old style comes after the first of the new one; every
step is struck exactly once; nothing hangs.
"""

import argparse
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

from output_jitter import Program, program  # noqa: E402
from style_switch_daemon import ON_THE_BEAT, VOICES  # noqa: E402

from drumigen.kit import load_kit  # noqa: E402
from drumigen.styles import load_styles  # noqa: E402
from fixtures_jack import JackServer  # noqa: E402 - the tests' stage is no package
from stage_fixtures import Recording, Stage  # noqa: E402

STYLE_CC, NEUTRAL_CC = 28, 22
"""Of the default map: style, and temperature, which moves nothing that sounds here."""
GOAL_MS = 5.0
"""Beyond one step, for the 99th percentile with quantum "step"."""
PIECE = 25
"""Switches at one tempo."""
LATE_MS = 8.0
"""How far from the grid of the boundary an event still belongs to its step."""

KEYS = {load_kit().note_of(voice).note: style for style, voice in VOICES.items()}


@dataclass
class Outcome:
    """What came of the switches of one quantum."""

    steps: list[float] = field(default_factory=list)
    """Latency in steps."""
    beyond: list[float] = field(default_factory=list)
    """Milliseconds beyond one step; below zero is sooner."""
    off_beat: int = 0
    old_after_new: int = 0
    missing: int = 0
    doubled: int = 0
    hanging: int = 0
    disturbed: int = 0

    def row(self, name: str) -> str:
        """Return the line of the table."""
        p50, p99, most = (quantile(self.beyond, share) for share in (0.5, 0.99, 1.0))
        return (
            f"{name:8}{len(self.beyond):8}{p50:10.1f}{p99:10.1f}{most:10.1f}{self.off_beat:10}"
            f"{self.old_after_new:10}{self.missing:9}{self.doubled:9}{self.hanging:9}"
            f"{self.disturbed:11}"
        )


HEAD = (
    f"{'quantum':8}{'switches':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'off beat':>10}"
    f"{'old late':>10}{'missing':>9}{'doubled':>9}{'hanging':>9}{'disturbed':>11}"
)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def style_value(style: str) -> int:
    """Return the CC value that means a style."""
    names = load_styles().names
    return round((names.index(style) + 0.5) / len(names) * 127)


def schedule(luck: random.Random, bpm: float, first: int) -> list[tuple[float, str]]:
    """Return when which style is switched to: seconds from the beginning of a piece."""
    at, switches = 0.5, []
    for number in range(first, first + PIECE):
        at += luck.uniform(4.5, 9.5) * 15.0 / bpm
        switches.append((at, ("funk", "rock")[number % 2]))
    return switches


def messages(
    luck: random.Random, switches: Sequence[tuple[float, str]], *, busy: bool
) -> list[tuple[float, list[int]]]:
    """Return the CCs of the switches, and 50 others a second if ``busy``."""
    sent = [(at, [0xB0, STYLE_CC, style_value(style)]) for at, style in switches]
    if busy:
        count = int(switches[-1][0] * 50)
        times = (luck.uniform(0, switches[-1][0]) for _ in range(count))
        sent += [(at, [0xB0, NEUTRAL_CC, luck.randrange(128)]) for at in times]
    return sorted(sent)


def judge(  # noqa: PLR0913, PLR0917 - all of it belongs to one judgement
    outcome: Outcome,
    recording: Recording,
    begun: int,
    switches: Sequence[tuple[float, str]],
    bpm: float,
    quantum: str,
) -> None:
    """Add what came of the switches of one piece to ``outcome``."""
    rate, step = recording.rate, 15.0 / bpm
    ons = [
        (frame, KEYS[data[1]], data[2])
        for port, frame, _, data in recording.events
        if port == "notes" and data[0] & 0xF0 == 0x90 and data[1] in KEYS
    ]
    outcome.hanging += len(recording.hanging())
    for index, (at, style) in enumerate(switches):
        asked = begun + round(at * rate)
        until = switches[index + 1][0] if index + 1 < len(switches) else at + 4 * step
        end = begun + round(until * rate)
        if any(asked - rate // 4 <= xrun <= end + rate // 4 for xrun in recording.xruns):
            outcome.disturbed += 1
            continue
        new = [on for on in ons if on[1] == style and asked <= on[0] < end]
        if not new:
            outcome.missing += 1
            continue
        boundary, _, velocity = new[0]
        seconds = (boundary - asked) / rate
        outcome.steps.append(seconds / step)
        unit = step if quantum == "step" else 4 * step
        outcome.beyond.append(1000 * (seconds - unit))
        outcome.off_beat += quantum == "beat" and velocity != ON_THE_BEAT
        outcome.old_after_new += sum(on[1] != style and boundary < on[0] < end for on in ons)
        places = [round((f - boundary) / rate / step) for f, *_ in ons if asked <= f < end]
        outcome.doubled += len(places) - len(set(places))
        outcome.missing += max(places) - min(places) + 1 - len(set(places))


def perform(
    stage: Stage, daemon: Program, options: argparse.Namespace
) -> Iterator[tuple[str, float, Outcome]]:
    """Play all pieces; yield what came of each."""
    luck = random.Random(options.seed)
    pieces = max(2, round(options.switches / PIECE))
    for number in range(pieces):
        quantum = ("step", "beat")[number % 2]
        bpm = round(luck.uniform(70.0, 180.0), 1)
        for control in (f"quantum {quantum}", f"tempo {bpm}", "style rock", "start"):
            daemon.say(control)
        time.sleep(1.0)
        stage.dump()
        switches = schedule(luck, bpm, 0)
        begun = stage.do("play", messages(luck, switches, busy=not options.idle))
        time.sleep(switches[-1][0] + 1.5)
        daemon.say("stop")
        time.sleep(0.4)
        outcome = Outcome()
        judge(outcome, stage.dump(), begun, switches, bpm, quantum)
        yield quantum, bpm, outcome


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=1000)
    parser.add_argument("--period", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--idle", action="store_true", help="without load")
    options = parser.parse_args()
    os.environ["JACK_DEFAULT_SERVER"] = name = f"style-switch-{os.getpid()}"
    server = JackServer(name)
    server.start(options.period)
    totals = {"step": Outcome(), "beat": Outcome()}
    try:
        with ExitStack() as stack:
            if not options.idle:
                busy = stack.enter_context(program(str(HERE / "output_load.py"), "generator"))
                busy.hear()
            stage = Stage()
            stack.callback(stage.close)
            daemon = stack.enter_context(program(str(HERE / "style_switch_daemon.py")))
            if daemon.hear() != "ready":
                return 1
            stage.do("connect", "drumigen:out", f"{stage.name}:notes")
            stage.do("connect", f"{stage.name}:voice", "drumigen-in:in")
            for quantum, bpm, outcome in perform(stage, daemon, options):
                print(f"{bpm:5.1f} BPM  " + outcome.row(quantum), flush=True)
                for each in outcome.__dataclass_fields__:
                    total = getattr(totals[quantum], each) + getattr(outcome, each)
                    setattr(totals[quantum], each, total)
    finally:
        server.stop()
    print("\nMilliseconds beyond one step (or beat), negative is sooner:\n" + HEAD)
    for quantum, outcome in totals.items():
        print(outcome.row(quantum))
    return 0 if met(totals) else 1


def met(totals: dict[str, Outcome]) -> bool:
    """Tell, and print, whether the goals are met."""
    verdicts = {
        f"step: p99 at most one step plus {GOAL_MS:g} ms": quantile(totals["step"].beyond, 0.99)
        <= GOAL_MS,
        "beat: on the next beat": not totals["beat"].off_beat
        and quantile(totals["beat"].beyond, 1.0) <= GOAL_MS,
        "nothing old after the new, silent, doubled or hanging": not any(
            each.old_after_new + each.missing + each.doubled + each.hanging
            for each in totals.values()
        ),
    }
    for goal, reached in verdicts.items():
        print(f"{'pass' if reached else 'FAIL'}  {goal}")
    return all(verdicts.values())


if __name__ == "__main__":
    sys.exit(main())
