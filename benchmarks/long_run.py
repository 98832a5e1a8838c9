"""A long performance on real parts: jackd, Debian's jack_midi_clock, the daemon, a recorder.

``python benchmarks/long_run.py --minutes 10`` plays that long at 120 BPM and prints what came out:
bars, fallbacks, how far notes of the mock's grid were from the master's pulses, and the memory of
the daemon's processes at the beginning and at the end.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fixtures_jack import JackServer
from stage_fixtures import Daemon, Recording, Stage, drumigen, program

PLAIN = (
    "clock.source=midi",
    "generator.writer=mock",
    "song.fill_every=0",
    "feel.humanize=0",
    "feel.swing=50",
)
FOLLOWING = ("--backend", "jack", *(word for setting in PLAIN for word in ("--set", setting)))
BPM = 120.0
PIECE = 20.0
"""Seconds between two readings of the recorder."""


def resident(daemon: Daemon) -> int:
    """Return the kilobytes of memory that the daemon and its engine hold."""
    pids = (daemon.process.pid, daemon.child("engine"))
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts)


def offsets(recording: Recording) -> list[float]:
    """Return how many ms each undisturbed note is from the nearest pulse of the master."""
    pulses = [frame for frame, data in recording.clock() if data[0] == 0xF8]
    found = []
    for note, _ in recording.ons():
        if not recording.disturbed(note, 1.0) and pulses[0] <= note <= pulses[-1]:
            found.append(min(abs(note - pulse) for pulse in pulses) / recording.rate * 1000)
    return found


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    os.environ["JACK_DEFAULT_SERVER"] = name = f"long-run-{os.getpid()}"
    server = JackServer(name)
    server.start(128)
    stage = Stage()
    stage.do("lead", BPM)
    errors: list[float] = []
    xruns = notes = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        program("jack_midi_clock", "-d", "0.2"),
        drumigen(Path(folder), *FOLLOWING) as daemon,
    ):
        stage.do("connect", "jack_midi_clock:mclk_out", "drumigen:in")
        stage.do("connect", "jack_midi_clock:mclk_out", "stage:clock")
        stage.do("connect", "drumigen:out", "stage:notes")
        stage.do("start")
        time.sleep(PIECE)
        stage.dump()
        before = resident(daemon)
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            time.sleep(PIECE)
            piece = stage.dump()
            errors += offsets(piece)
            xruns += len(piece.xruns)
            notes += len(piece.ons())
        grown = resident(daemon) - before
        stage.do("stop")
        time.sleep(0.5)
        counters = daemon.counters()
    stage.close()
    server.clean_up()
    errors.sort()
    print(f"{options.minutes:g} minutes at {BPM:g} BPM, period 128; {xruns} xruns of JACK")
    print(f"bars {counters['bars']}, fallback {counters['fallback_bars']}, notes heard {notes}")
    print({key: value for key, value in counters.items() if value and key != "by_origin"})
    print(
        f"off the master's grid, ms, {len(errors)} notes: median {statistics.median(errors):.3f}, "
        f"p99 {errors[int(0.99 * (len(errors) - 1))]:.3f}, max {errors[-1]:.3f}"
    )
    print(f"memory of daemon and engine: {before} kB, grown by {grown} kB")


if __name__ == "__main__":
    main()
