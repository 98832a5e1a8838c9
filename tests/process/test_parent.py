"""No process of ours outlives its daemon, however both of them fare."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drumigen_daemon.process.parent import GRACE, PARENT, end_orphans, orphans
from fixtures_jack import wait_for
from stage_fixtures import Daemon, drumigen

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux"),
]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with drumigen(tmp_path, "--backend", "null", "--set", "generator.writer=bank") as daemon:
        yield daemon


@pytest.mark.parametrize("stopped", [(), ("engine",), ("generator",), ("engine", "generator")])
def test_children_end_with_a_killed_daemon_even_if_they_are_stopped(
    daemon: Daemon, stopped: tuple[str, ...]
) -> None:
    children = {part: daemon.child(part) for part in ("engine", "generator")}
    for part in stopped:
        os.kill(children[part], signal.SIGSTOP)
    daemon.process.kill()
    daemon.process.wait(10)
    wait_for(
        lambda: not any(map(is_alive, children.values())), GRACE + 10, "a child outlives its daemon"
    )


ORPHAN = f"""
import os, subprocess, sys
environment = {{**os.environ, {PARENT!r}: str(os.getpid())}}
hangs = "import time, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
quiet = {{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
child = subprocess.Popen([sys.executable, "-c", hangs, "drumigen_daemon"], env=environment, **quiet)
print(child.pid)
"""


def test_what_a_dead_daemon_left_hanging_is_ended_by_the_next() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=True, timeout=30
    )
    orphan = int(done.stdout)
    assert orphan in orphans()
    assert end_orphans(patience=0.1) >= 1
    wait_for(lambda: not is_alive(orphan), 10, "the orphan lives")


def test_children_of_a_living_daemon_are_left_in_peace(daemon: Daemon) -> None:
    children = {daemon.child("engine"), daemon.child("generator")}
    assert not children & set(orphans())


DRUMIGEN = """
import signal, sys
from drumigen_daemon.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
print("begun", flush=True)
sys.exit(main())
"""


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
def test_an_interrupt_while_it_starts_is_no_traceback(tmp_path: Path, wait: float) -> None:
    command = [sys.executable, "-c", DRUMIGEN, "run", "--backend", "null"]
    command += ["--socket", str(tmp_path / "s"), "--set", "generator.writer=bank"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert b"Traceback" not in said
    assert process.returncode in (0, 130)
