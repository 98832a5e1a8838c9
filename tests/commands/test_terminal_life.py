"""What happens to the terminal, and to us when it goes: Ctrl-Z, and a window that is closed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from terminal_stage import PATIENCE, Terminal

pytestmark = pytest.mark.process

ON, OFF = "\x1b[?1049h", "\x1b[?1049l"  # the alternate screen
ALONE = ("--set", "web.port=0", "--set", "midi.backend=null")
QUIET = (*ALONE, "--set", "sound.listen=off")


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """Return what lets no settings or socket of this machine into a test."""
    (tmp_path / "run").mkdir()
    return {
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def process_of(*parts: str) -> Path:
    """Return the folder in /proc of the one process whose command line has all of ``parts``."""
    (found,) = [
        each.parent
        for each in Path("/proc").glob("[0-9]*/cmdline")
        if set(parts) <= set(arguments_in(each))
    ]
    return found


def arguments_in(cmdline: Path) -> list[str]:
    try:
        return cmdline.read_bytes().decode().split("\0")
    except OSError:
        return []  # it has ended meanwhile


def is_stopped(process: Path) -> bool:
    return (process / "stat").read_text().rpartition(")")[2].split()[0] == "T"


def transport(own: dict[str, str]) -> str:
    """Return what ``drumigen status`` says the daemon does."""
    status = [sys.executable, "-m", "drumigen_daemon", "status", "--json"]
    environment = {**os.environ, **own}
    done = subprocess.run(status, env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["transport"])


def transport_or_nothing(own: dict[str, str]) -> str:
    try:
        return transport(own)
    except subprocess.CalledProcessError:
        return ""  # it is not up yet


def test_a_song_that_make_started_is_suspended_and_goes_on(
    tmp_path: Path, own: dict[str, str]
) -> None:
    song = str(tmp_path / "song.mid")
    program = " ".join([sys.executable, "-m drumigen_daemon play --bars 0 --output", song, *QUIET])
    (tmp_path / "Makefile").write_text(f"play:\n\t@set -e; exec {program}\n")
    with Terminal(["bash", "--norc", "-i"], own) as terminal:
        terminal.press(f"make -C {tmp_path} play\n")
        terminal.until("rolling")
        # Ctrl-Z stops both; make may be first, so that the shell has the terminal before we do
        make, play = process_of("make", str(tmp_path)), process_of("drumigen_daemon", "play", song)
        for process in (make, play):
            os.kill(int(process.name), signal.SIGTSTP)
            wait_until(partial(is_stopped, process))
        terminal.until(OFF)
        terminal.press("fg\n")
        terminal.until(ON)
        terminal.until("rolling")
        terminal.press("q")
        terminal.until("wrote")
        terminal.press("exit\n")
        assert terminal.process.wait(PATIENCE) == 0


def test_the_screen_says_what_to_do_where_nothing_sounds(
    tmp_path: Path, own: dict[str, str]
) -> None:
    song = str(tmp_path / "song.mid")
    driver = ("--set", "sound.driver=jack")
    program = [sys.executable, "-m", "drumigen_daemon", "play", "--output", song, *ALONE, *driver]
    with Terminal(program, {**own, "JACK_DEFAULT_SERVER": "nobody"}) as terminal:
        terminal.until("sound: none live")
        terminal.until("by --wav")
        terminal.until("rolling")
        terminal.press("q")
        terminal.until("wrote")
        assert terminal.process.wait(PATIENCE) == 0


def test_where_nothing_can_be_drawn_the_keys_are_told_and_work(
    tmp_path: Path, own: dict[str, str]
) -> None:
    song = str(tmp_path / "song.mid")
    program = [sys.executable, "-m", "drumigen_daemon", "play", "--bars", "0", "--output", song]
    with Terminal([*program, *QUIET], {**own, "TERM": "dumb"}, columns=200) as terminal:
        terminal.until("? shows all keys, q ends")
        terminal.until("bar 1")
        terminal.press("?")
        terminal.until("1-6 section")
        terminal.press("m")
        terminal.until("k kick")
        terminal.press("k/bl")
        terminal.until("style: _")
        terminal.press("ues\r")
        terminal.until("blues")
        assert "style:" not in terminal.written
        terminal.press("q")
        terminal.until("wrote")
        assert terminal.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("closed", ["", "0<&-", "0<&- 1>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"])
def test_a_song_is_played_and_written_whatever_is_closed(
    closed: str, tmp_path: Path, own: dict[str, str]
) -> None:
    """As from cron, or from a launcher: no terminal, and perhaps not even a closed one."""
    song = tmp_path / "song.mid"
    program = [sys.executable, "-m", "drumigen_daemon", "play", "--bars", "1", "--bpm", "240"]
    done = subprocess.run(
        ["sh", "-c", f'exec nohup "$@" {closed}', "sh", *program, "--output", str(song), *QUIET],
        env={**os.environ, **own},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert song.stat().st_size > 100
    assert "Traceback" not in done.stderr
    if "1>" not in closed:
        assert f"wrote {song}" in done.stdout


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_a_daemon_runs_whatever_is_closed(closed: str, own: dict[str, str]) -> None:
    program = [sys.executable, "-m", "drumigen_daemon", "run", *QUIET]
    with subprocess.Popen(
        ["sh", "-c", f'exec nohup "$@" {closed}', "sh", *program],
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as daemon:
        wait_until(lambda: transport_or_nothing(own) == "stopped")
        daemon.terminate()
        assert daemon.wait(PATIENCE) == 0


def test_a_daemon_ends_with_the_terminal_that_it_was_started_in(
    tmp_path: Path, own: dict[str, str]
) -> None:
    program = [sys.executable, "-m", "drumigen_daemon", "run", *QUIET]
    with Terminal(program, own, columns=400) as terminal:
        terminal.until("drumigen control start")  # what it waits for, when all else is up
        terminal.close()
        assert terminal.process.wait(PATIENCE) == 0
    assert not list((tmp_path / "run").iterdir())


def test_a_daemon_without_a_terminal_takes_a_hangup_for_a_reload(own: dict[str, str]) -> None:
    environment = {**os.environ, **own}
    with subprocess.Popen(
        [sys.executable, "-m", "drumigen_daemon", "run", *QUIET],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        next(line for line in daemon.stderr if "drumigen control start" in line)
        daemon.send_signal(signal.SIGHUP)
        daemon.send_signal(signal.SIGHUP)
        assert transport(own) == "stopped"
        daemon.terminate()
        _, log = daemon.communicate(timeout=PATIENCE)
    assert daemon.returncode == 0
    assert "settings" in log


def test_a_daemon_that_starts_at_once_plays_unasked_and_says_so(own: dict[str, str]) -> None:
    options = (*QUIET, "--set", "clock.start=at once", "--set", "clock.source=internal")
    with subprocess.Popen(
        [sys.executable, "-m", "drumigen_daemon", "run", *options],
        env={**os.environ, **own},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        next(line for line in daemon.stderr if "begins by itself" in line)
        wait_until(lambda: transport(own) == "rolling")
        daemon.terminate()
        daemon.communicate(timeout=PATIENCE)
