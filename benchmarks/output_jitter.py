"""How late notes leave: drumigen beside mido, isobar and plain asyncio, in one run.  Linux.

Everyone plays sixteenths at 174 BPM, each in a process of its own.  *At the sink*: drumigen's
real engine process, with its real control plane around it, plays into a backend that reads the
clock; a peer's note counts as sent when its send callback is called.  *Through JACK* (``--jack``):
a recorder in another process says on which frame each note was heard.

    python benchmarks/output_jitter.py [--seconds 20] [--only WORDS] [--jack]

Loads: *idle*; *load*, a torch loop on one thread, 10,000 control changes a second at drumigen's
MIDI input (1,000 through JACK, as many as a cable carries) and 50 turned knobs a second on its
control plane; *all cores busy*, a torch loop per core instead; *MQTT flood*, 10,000 messages a
second at drumigen's topics on a real mosquitto.  *One core free* keeps torch loop
and flood on one core.  Peers have no input and no knobs: they bear the rest.  *Realtime* is
SCHED_FIFO for drumigen, which asks for it itself; with ``--peers-realtime`` the peers are measured
with it as well, set from outside.

*A bare sleep and spin* has drumigen's scheduling and shows what the machine permits at best.

Lateness is in microseconds.  At the sink a negative value is a note that left too early.  Through
JACK it is absolute: of drumigen against the frame that was intended at the hand-over, or against
the pulses, as the recorder heard them, of a master that it follows; of the peers, whose notes
leave through RtMidi, against their own grid, with the median removed.  Notes within two periods
of an xrun are left out.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fixtures_broker import Broker
from stage_fixtures import STAGE

HERE: Final = Path(__file__).parent

SIXTEENTH: Final = 60.0 / 174.0 / 4
"""Seconds."""
PULSES: Final = 6
"""MIDI clock pulses in a sixteenth."""
WARM_UP: Final = 8
"""Notes at the beginning that are not counted."""
KNOBS: Final = 50.0
"""Controls a second under load."""
PEERS: Final = ("mido", "isobar", "asyncio")
PEER_PERIOD: Final = {"mido": 344_828e-6 / 4}
"""Seconds of a sixteenth where it differs: a MIDI file's tempo is in whole microseconds."""
PRIORITY: Final = 70
RATE: Final = 48_000
PERIODS: Final = (64, 256)

SINK_GOAL: Final = 20.0
ORDINARY_GOAL: Final = 400.0
JACK_GOAL: Final = 100.0
"""Microseconds at the 99th percentile."""
RATIO_GOAL: Final = 50.0
"""How many times lower than the best peer's."""


@dataclass(frozen=True)
class Condition:
    """What else the machine does, and whether drumigen may be realtime."""

    name: str
    realtime: bool
    generators: int = 0
    traffic: bool = False
    pinned: bool = False
    mqtt: bool = False
    """With a broker, on which somebody publishes 10,000 messages a second at us."""
    goal: float = math.inf
    """Of drumigen's p99 at the sink, in microseconds."""


CORES: Final = os.cpu_count() or 1
IDLE: Final = Condition("idle, realtime", realtime=True, goal=SINK_GOAL)
BUSY: Final = Condition(
    "all cores busy, realtime", realtime=True, generators=CORES, traffic=True, goal=SINK_GOAL
)
CONDITIONS: Final = (
    IDLE,
    Condition("idle, ordinary", realtime=False, goal=ORDINARY_GOAL),
    Condition("MQTT flood, realtime", realtime=True, mqtt=True, goal=SINK_GOAL),
    Condition("load, realtime", realtime=True, generators=1, traffic=True, goal=SINK_GOAL),
    Condition(
        "load, ordinary, one core free",
        realtime=False,
        generators=1,
        traffic=True,
        pinned=True,
        goal=ORDINARY_GOAL,
    ),
    BUSY,
    Condition("all cores busy, ordinary", realtime=False, generators=CORES, traffic=True),
)
JACK_CONDITIONS: Final = (IDLE, BUSY)


@dataclass(frozen=True)
class Row:
    """One sender under one condition."""

    condition: str
    sender: str
    lateness: Sequence[float]
    """Microseconds."""
    remark: str = ""

    def quantile(self, share: float) -> float:
        """Return the lateness that so large a share of the notes does not exceed."""
        ordered = sorted(self.lateness)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan

    def __str__(self) -> str:
        """Return a line of the table."""
        figures = [self.quantile(0.5), self.quantile(0.99), self.quantile(1.0)]
        cells = "".join(f"{figure:10.1f}" for figure in figures)
        return (
            f"{self.condition:31}{self.sender:26}{len(self.lateness):6}{cells}  {self.remark}"
        ).rstrip()


HEAD: Final = f"{'':31}{'':26}{'notes':>6}{'p50':>10}{'p99':>10}{'max':>10}"


class Program:
    """A child that speaks and hears lines."""

    def __init__(self, *command: str, folder: Path | None = None) -> None:
        """Start ``python COMMAND``; its engine works in ``folder``."""
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path}
        if folder is not None:
            environment["OUTPUT_JITTER"] = str(folder)
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pid = self._process.pid

    def say(self, line: str = "") -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Wait for a line; an empty one means that the program has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """Close its input, which ends each of our programs, and wait."""
        self._process.communicate(timeout=30)


@contextmanager
def program(*command: str, folder: Path | None = None) -> Iterator[Program]:
    """Run a program for the length of a block."""
    child = Program(*command, folder=folder)
    try:
        yield child
    finally:
        child.end()


@contextmanager
def load(condition: Condition, *flood: str) -> Iterator[None]:
    """Keep the machine as busy as ``condition`` says; ``flood`` is where the controls go."""
    with ExitStack() as stack:
        kinds = [["generator"]] * condition.generators
        kinds += [["controller", *flood]] if condition.traffic and flood else []
        children = [stack.enter_context(program(str(HERE / "output_load.py"), *k)) for k in kinds]
        if condition.pinned:
            for child in children:
                os.sched_setaffinity(child.pid, {CORES - 1})
        for child in children:
            child.hear()
        yield


@contextmanager
def broker(condition: Condition, folder: Path) -> Iterator[list[str]]:
    """Run a flooded mosquitto where ``condition`` asks for it; yields how to tell drumigen."""
    if not condition.mqtt:
        yield []
        return
    mosquitto = Broker(folder)
    mosquitto.start()
    try:
        with program(str(HERE / "output_load.py"), "mqtt", str(mosquitto.port)) as flood:
            flood.hear()
            yield ["--mqtt", str(mosquitto.port)]
    finally:
        mosquitto.stop()


class Sink:
    """Measurements without a MIDI system."""

    def __init__(self, seconds: float, *, peers_realtime: bool) -> None:
        """Count notes for so many seconds per row."""
        self._seconds = seconds
        self._peers_realtime = peers_realtime

    def rows(self, condition: Condition) -> Iterator[Row]:
        """Measure everyone under ``condition``."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.mkfifo(folder / "midi-in")
            with broker(condition, folder) as mqtt, load(condition, str(folder / "midi-in")):
                own = self._drumigen(condition, folder, *mqtt)
                chords = self._drumigen(condition, folder, "--chords", *mqtt)
                own_sent, chords_sent = own["notes"], chords["notes"]
            with broker(condition, folder), load(condition):
                floor = self._peer("floor", PRIORITY if condition.realtime else 0)
                peers = [Row(condition.name, peer, self._peer(peer, 0)) for peer in PEERS]
                if condition.realtime and self._peers_realtime:
                    favoured = [
                        Row(condition.name, f"{peer}, given fifo", self._peer(peer, PRIORITY))
                        for peer in PEERS
                    ]
                else:
                    favoured = []
        row = Row(condition.name, "drumigen", own_sent)
        yield Row(row.condition, row.sender, row.lateness, verdict(row, condition, peers, own))
        yield Row(condition.name, "drumigen, 3 at a time", chords_sent)
        yield Row(condition.name, "drumigen, its clock pulses", own["pulses"])
        yield Row(condition.name, "a bare sleep and spin", floor)
        yield from peers
        yield from favoured

    def _drumigen(self, condition: Condition, folder: Path, *more: str) -> dict[str, Any]:
        seconds = self._seconds + WARM_UP * SIXTEENTH
        arguments = ["--seconds", str(seconds), *more]
        arguments += ["--priority", str(PRIORITY if condition.realtime else 0)]
        arguments += ["--controls", str(KNOBS)] if condition.traffic else []
        with program(
            str(HERE / "output_daemon.py"), "sink_engine", *arguments, folder=folder
        ) as daemon:
            assert daemon.hear() == "ready"
            daemon.say()
            scheduling = daemon.hear()
        sent = json.loads((folder / "sent.json").read_text())
        voices = 3 if "--chords" in more else 1
        return {
            "notes": [1e6 * late for late in sent["notes"][WARM_UP * voices :]],
            "pulses": [1e6 * late for late in sent["pulses"][WARM_UP * PULSES :]],
            "scheduling": scheduling.removeprefix("scheduling "),
            "controls": sent["controls"],
        }

    def _peer(self, peer: str, priority: int) -> list[float]:
        notes = WARM_UP + max(1, round(self._seconds / SIXTEENTH))
        arguments = [peer, str(notes), "--priority", str(priority)]
        with program(str(HERE / "output_peers.py"), *arguments) as child:
            late = json.loads(child.hear())
        return [1e6 * each for each in late[WARM_UP:]]


def verdict(row: Row, condition: Condition, peers: Sequence[Row], sent: dict[str, Any]) -> str:
    """Say how ``row`` stands to its goals."""
    said = [sent["scheduling"]]
    if condition.traffic:
        said.append(f"{sent['controls']:.0f} CC/s heard")
    p99 = row.quantile(0.99)
    if condition.goal < math.inf:
        said.append(f"p99 <= {condition.goal:.0f}: {passed(p99 <= condition.goal)}")
    best = min(peers, key=lambda peer: peer.quantile(0.99))
    ratio = best.quantile(0.99) / max(p99, 0.1)
    words = f"{ratio:.0f} times better than {best.sender}"
    if condition.realtime and condition.traffic:
        words = f"{words} >= {RATIO_GOAL:.0f}: {passed(ratio >= RATIO_GOAL)}"
    return "; ".join([*said, words])


def passed(met: bool) -> str:  # noqa: FBT001 - it is the statement itself
    """Return the mark of a goal."""
    return "pass" if met else "FAIL"


class Recorder:
    """The recorder process on JACK."""

    def __init__(self, process: Program, period: int) -> None:
        """Speak to ``process``, a ``jack_stage.py``."""
        self._process = process
        self.period = period

    def do(self, command: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever it answers
        """Carry out a command of the stage's."""
        self._process.say(json.dumps({"do": command, "args": arguments}))
        return json.loads(self._process.hear())

    def take(self) -> tuple[list[int], list[int], list[int]]:
        """Return the frames of note-ons, of xruns and of clock pulses since the last time."""
        heard = self.do("dump")
        events = [(frame, data[0]) for _, frame, *_, data in heard["events"]]
        ons = [frame for frame, status in events if status & 0xF0 == 0x90]
        pulses = [frame for frame, status in events if status == 0xF8]
        return ons, heard["xruns"], pulses


class Jack:
    """Measurements through a JACK server of our own, one period after the other."""

    def __init__(self, seconds: float) -> None:
        """Count notes for so many seconds per row."""
        self._seconds = seconds
        self._name = f"output-jitter-{os.getpid()}"

    def rows(self, period: int) -> Iterator[Row]:
        """Measure everyone at ``period`` frames, idle and loaded."""
        os.environ["JACK_DEFAULT_SERVER"] = self._name
        for condition in JACK_CONDITIONS:
            with tempfile.TemporaryDirectory() as name, self._server(period) as scheduling:
                where = f"jack {period}, {condition.name.removesuffix(', realtime')}"
                with program(str(STAGE), "recorder") as stage:
                    recorder = Recorder(stage, period)
                    yield self._leading(condition, Path(name), recorder, where, scheduling)
                    yield self._following(condition, Path(name), recorder, where)
                    with load(condition):
                        for peer in ("mido", "asyncio"):
                            yield self._peer(peer, recorder, where)

    @contextmanager
    def _server(self, period: int) -> Iterator[str]:
        script = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))"
        asked = subprocess.run(
            [sys.executable, "-c", script], check=False, stderr=subprocess.DEVNULL
        )
        options = ["-R", "-P", "60"] if asked.returncode == 0 else ["-r"]
        driver = ["-d", "dummy", "-r", str(RATE), "-p", str(period)]
        server = subprocess.Popen(
            ["jackd", *options, "-n", self._name, *driver],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            lsp = ["jack_lsp", "-s", self._name]
            deadline = time.monotonic() + 10.0
            while subprocess.run(lsp, check=False, capture_output=True).returncode:
                if time.monotonic() > deadline:
                    message = "jackd did not come up: try it by hand, and look at /dev/shm"
                    raise TimeoutError(message)
                time.sleep(0.1)
            yield f"jackd {' '.join(options)}"
        finally:
            server.terminate()
            server.wait(10)

    @contextmanager
    def _drumigen(
        self, condition: Condition, folder: Path, recorder: Recorder, *more: str
    ) -> Iterator[Program]:
        seconds = self._seconds + WARM_UP * SIXTEENTH
        arguments = ["--seconds", str(seconds), "--priority", str(PRIORITY), *more]
        arguments += ["--controls", str(KNOBS)] if condition.traffic else []
        daemon_at = str(HERE / "output_daemon.py")
        with (
            program(daemon_at, "output_jack_engine", *arguments, folder=folder) as daemon,
            load(condition, "--jack", "flood"),
        ):
            assert daemon.hear() == "ready"
            if condition.traffic:
                recorder.do("connect", "flood:out", "drumigen:in")
            recorder.do("connect", "drumigen:out", "recorder:notes")
            time.sleep(3.0)  # the map between frames and seconds settles
            recorder.take()
            yield daemon
            daemon.hear()

    def _leading(
        self, condition: Condition, folder: Path, recorder: Recorder, where: str, scheduling: str
    ) -> Row:
        with self._drumigen(condition, folder, recorder) as daemon:
            daemon.say()
        heard, xruns, _ = recorder.take()
        intended = json.loads((folder / "handed.json").read_text())
        errors = {frame: frame - nearest(intended, frame) for frame in heard[WARM_UP:]}
        return judged_on_jack(where, "drumigen, leading", errors, xruns, recorder, scheduling)

    def _following(self, condition: Condition, folder: Path, recorder: Recorder, where: str) -> Row:
        with (
            program(str(STAGE), "master") as process,
            self._drumigen(condition, folder, recorder, "--follow") as daemon,
        ):
            master = Recorder(process, recorder.period)
            master.do("connect", "master:voice", "drumigen:in")
            master.do("connect", "master:voice", "recorder:clock")
            daemon.say()
            count = round((self._seconds / SIXTEENTH + WARM_UP) * PULSES)
            times = [0.1 + number * SIXTEENTH / PULSES for number in range(count)]
            start: list[tuple[float, list[int]]] = [(0.09, [0xFA])]
            master.do("play", start + [(at, [0xF8]) for at in times])
        heard, xruns, pulses = recorder.take()
        grid = sixteenths_of(pulses)
        heard = [frame for frame in heard if frame < grid[-1] + SIXTEENTH / 2 * RATE]
        errors = {frame: frame - nearest(grid, frame) for frame in heard[WARM_UP:]}
        return judged_on_jack(where, "drumigen, following", errors, xruns, recorder)

    def _peer(self, peer: str, recorder: Recorder, where: str) -> Row:
        notes = WARM_UP + max(1, round(self._seconds / SIXTEENTH))
        with program(str(HERE / "output_peers.py"), peer, str(notes), "--jack", "peer") as child:
            assert child.hear() == "ready"
            recorder.do("connect", "peer:out", "recorder:notes")
            time.sleep(0.5)
            recorder.take()
            child.say()
            child.hear()
            time.sleep(0.1)
            heard, xruns, _ = recorder.take()
        heard = heard[WARM_UP:]
        sixteenth = RATE * PEER_PERIOD.get(peer, SIXTEENTH)
        offsets = {f: f - heard[0] - round((f - heard[0]) / sixteenth) * sixteenth for f in heard}
        middle = statistics.median(offsets.values()) if offsets else 0.0
        errors = {frame: offset - middle for frame, offset in offsets.items()}
        return judged_on_jack(where, f"{peer} on rtmidi", errors, xruns, recorder)


def sixteenths_of(pulses: Sequence[int]) -> list[int]:
    """Return the frames of every sixth pulse, from the first; one not heard still counts."""
    grid: list[int] = []
    number = 0
    for index, frame in enumerate(pulses):
        gap = frame - pulses[index - 1] if index else 0
        number += round(gap * PULSES / (SIXTEENTH * RATE))
        if number % PULSES == 0:
            grid.append(frame)
    return grid


def nearest(frames: Sequence[int], frame: int) -> int:
    """Return the one of ``frames`` that is nearest to ``frame``."""
    return min(frames, key=lambda each: abs(each - frame))


def judged_on_jack(  # noqa: PLR0913, PLR0917 - a row has as many sides
    where: str,
    sender: str,
    errors: Mapping[int, float],
    xruns: Sequence[int],
    recorder: Recorder,
    remark: str = "",
) -> Row:
    """Return the row of notes by frame heard and error in frames, those at an xrun left out."""
    reach = 2 * recorder.period
    kept = [
        abs(error) * 1e6 / RATE
        for frame, error in errors.items()
        if not any(abs(frame - xrun) <= reach for xrun in xruns)
    ]
    said = [remark] if remark else []
    if xruns:
        said.append(f"{len(xruns)} xruns, {len(errors) - len(kept)} notes left out")
    row = Row(where, sender, kept)
    if sender.startswith("drumigen"):
        met = bool(kept) and row.quantile(0.99) <= JACK_GOAL
        said.append(f"p99 <= {JACK_GOAL:.0f}: {passed(met)}")
    return Row(where, sender, kept, "; ".join(said))


def main() -> None:
    """Measure, and print a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="per row")
    parser.add_argument("--only", default="", help="conditions whose name contains this")
    parser.add_argument("--jack", action="store_true", help="through JACK instead of the sink")
    parser.add_argument("--peers-realtime", action="store_true", help="also with SCHED_FIFO")
    options = parser.parse_args()
    names = ("mido", "isobar", "python-rtmidi", "JACK-Client", "torch")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"drumigen {version('drumigen')}, Python {platform.python_version()}, {versions}")
    print(f"Linux {platform.release()}, {CORES} cores, load average {os.getloadavg()[0]:.2f}")
    print(f"sixteenths at 174 BPM, {options.seconds:g} s a row; lateness in microseconds")
    print(HEAD)
    if options.jack:
        jack = Jack(options.seconds)
        for period in PERIODS:
            if options.only in f"jack {period}":
                for row in jack.rows(period):
                    print(row, flush=True)
        return
    sink = Sink(options.seconds, peers_realtime=options.peers_realtime)
    for condition in CONDITIONS:
        if options.only in condition.name:
            for row in sink.rows(condition):
                print(row, flush=True)


if __name__ == "__main__":
    main()
