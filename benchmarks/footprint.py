"""What drumigen costs while it plays: memory, processor, and the time from start to ready.

``python benchmarks/footprint.py [--seconds 30] [--mqtt]`` follows Debian's ``jack_midi_clock`` at
174 BPM through a JACK server with periods of 256 frames, and prints, for every process of the
daemon, proportional set size (PSS) and share of one core.  The generator is told apart: it is
what a model costs.  Beside them runs a JACK client in Python that does nothing at all in its
cycles: what JACK asks of any Python program, in the same minute.  Start to ready is timed to
READY=1 at a notify socket, with warm caches.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fixtures_broker import Broker
from fixtures_jack import JackServer
from stage_fixtures import Daemon, Stage, drumigen, program

BPM = 174.0
PERIOD = 256
FOLLOWING = ("--backend", "jack", "--set", "clock.source=midi")
STARTS = 4
"""The first warms the caches and is not counted."""
WARM_UP = 10.0
"""Seconds of playing before anything is read."""
MEMORY_GOAL, PROCESSOR_GOAL, START_GOAL = 80.0, 3.0, 3.0
"""MB, percent of a core, seconds."""
IDLE = "idle JACK client"
IDLE_CLIENT = """
import time, jack
client = jack.Client("idle", no_start_server=True)
client.set_process_callback(lambda frames: None)
client.activate()
time.sleep(1e6)
"""


def proportional(pid: int) -> float:
    """Return the MB of a process, what is shared divided by who shares it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def worked(pid: int) -> float:
    """Return the seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family(daemon: Daemon) -> dict[str, int]:
    """Return the process ids of a daemon by name."""
    ours = {
        "control plane": daemon.process.pid,
        "engine": daemon.child("engine"),
        "generator": daemon.child("generator"),
    }
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
    for pid in map(int, children.read_text().split()):
        if b"drumigen_daemon.mqtt.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
            ours["mqtt bridge"] = pid
    return ours


def seconds_to_ready(folder: Path) -> float:
    """Start a daemon, and return the seconds until it told READY=1."""
    address = folder / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(60.0)
        command = [sys.executable, "-m", "drumigen_daemon.cli", "run", *FOLLOWING]
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        begun = time.monotonic()
        process = subprocess.Popen(
            [*command, "--socket", str(folder / "start.sock")],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            return time.monotonic() - begun
        finally:
            process.terminate()
            process.wait(10)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--mqtt", action="store_true", help="with a broker")
    options = parser.parse_args()
    os.environ["JACK_DEFAULT_SERVER"] = name = f"footprint-{os.getpid()}"
    server = JackServer(name)
    server.start(PERIOD)
    with ExitStack() as stack:
        stack.callback(server.clean_up)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        starts = sorted([seconds_to_ready(folder) for _ in range(STARTS)][1:])
        arguments = list(FOLLOWING)
        if options.mqtt:
            broker = Broker(folder)
            broker.start()
            stack.callback(broker.stop)
            arguments += ["--set", "mqtt.host=127.0.0.1", "--set", f"mqtt.port={broker.port}"]
        stage = Stage()
        stack.callback(stage.close)
        stage.do("lead", BPM)
        stack.enter_context(program("jack_midi_clock", "-d", "0.2"))
        idle = stack.enter_context(program(sys.executable, "-c", IDLE_CLIENT))
        daemon = stack.enter_context(drumigen(folder, *arguments))
        stage.do("connect", "jack_midi_clock:mclk_out", "drumigen:in")
        stage.do("connect", "drumigen:out", "stage:notes")
        stage.do("start")
        time.sleep(WARM_UP)
        pids = {**family(daemon), IDLE: idle.pid}
        before = {part: worked(pid) for part, pid in pids.items()}
        begun = time.monotonic()
        time.sleep(options.seconds)
        passed = time.monotonic() - begun
        shares = {part: 100 * (worked(pid) - before[part]) / passed for part, pid in pids.items()}
        memory = {part: proportional(pid) for part, pid in pids.items()}
        status = daemon.status()
        with suppress(RuntimeError):
            stage.do("stop")
    print(
        f"{status['transport']}, {status['tempo']:.1f} BPM, clock {status['lock']}, {PERIOD} frames"
    )
    print(f"{'process':<16}{'PSS, MB':>10}{'% of a core':>14}")
    for part in pids:
        print(f"{part:<16}{memory[part]:>10.1f}{shares[part]:>14.2f}")
    playing = [part for part in pids if part not in ("generator", IDLE)]
    total, share = (sum(figures[part] for part in playing) for figures in (memory, shares))
    print(f"{'all but the generator':<22}{total:.1f} MB (goal {MEMORY_GOAL:g})", end="")
    print(f", {share:.2f} % (goal {PROCESSOR_GOAL:g})")
    print(f"start to ready, s: {', '.join(f'{s:.2f}' for s in starts)} (goal {START_GOAL:g})")


if __name__ == "__main__":
    main()
