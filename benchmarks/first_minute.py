"""How long a new user waits: `make play` in a fresh clone, to its first line, picture and sound.

``python benchmarks/first_minute.py [--busy N] [--style NAME]`` clones this checkout into a folder
with a space in its name, and runs ``make play`` in a terminal and a home of its own, beside a
private PipeWire (and its PulseAudio door) whose one sink nobody hears and we record.  First with
an empty cache of pip, then in another clone with that cache filled: the difference is what
downloading takes.  System packages must be there.  ``--busy`` runs so many loops beside it.
"""

import argparse
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fixtures_pipewire import PipeWire

ROOT = Path(__file__).parent.parent
SINK = "first-minute"
PICTURE_GOAL, SOUND_GOAL = 25.0, 27.0
"""Seconds, with what is downloaded there already."""
SECONDS_MAX = 600.0
PICTURE = "─ drumigen ─"
INSTALLED = "installed in"
LOUD = 0.001
"""Of full scale: what counts as sound."""
FRAME = 8
"""Bytes of a recorded frame: stereo floats."""


@dataclass
class Times:
    """Seconds from the command to each of what a user notices."""

    line: float | None = None
    installed: float | None = None
    picture: float | None = None
    sound: float | None = None
    text: bytearray = field(default_factory=bytearray)

    @property
    def complete(self) -> bool:
        """Whether it was seen and heard."""
        return self.picture is not None and self.sound is not None


class Recording:
    """Finds the first sound in a file that still grows."""

    def __init__(self, path: Path) -> None:
        """Look at what is recorded from now on."""
        self._path = path
        self._read = path.stat().st_size // FRAME * FRAME

    def sounds(self) -> bool:
        """Tell whether anything was heard since the last look."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = len(data) // 4 * 4
        self._read += whole
        return any(abs(sample) > LOUD for (sample,) in struct.iter_unpack("<f", data[:whole]))


def watch(folder: Path, environment: dict[str, str], style: str, recording: Recording) -> Times:
    """Run ``make play`` in a terminal until it is seen and heard."""
    times = Times()
    begun = time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe("make", ["make", "play", f"STYLE={style}"], environment)  # noqa: S606 - ours
    try:
        while not times.complete and time.monotonic() - begun < SECONDS_MAX:
            readable, _, _ = select.select([terminal], [], [], 0.05)
            now = time.monotonic() - begun
            if readable:
                try:
                    times.text += os.read(terminal, 65536)
                except OSError:  # it has ended
                    break
                text = times.text.decode(errors="replace")
                times.line = times.line or now
                if INSTALLED in text:
                    times.installed = times.installed or now
                if PICTURE in text:
                    times.picture = times.picture or now
            if times.picture is not None and recording.sounds():
                times.sound = now
    finally:
        with suppress(OSError):
            os.write(terminal, b"q")
        time.sleep(3.0)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
    return times


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep so many cores busy."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for each in children:
            each.kill()
            each.wait()


def shown(seconds: float | None) -> str:
    """Return seconds for the table."""
    return "-" if seconds is None else f"{seconds:.1f}"


def main() -> int:
    """Print the table; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=0, metavar="N")
    parser.add_argument("--style", default="funk")
    options = parser.parse_args()
    good = True
    print("seconds to        line  installed  picture  sound")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="first minute ")))
        server_folder = folder / "server"
        server_folder.mkdir()
        server = PipeWire(server_folder)
        stack.callback(server.clean_up)
        server.start()
        server.start_pulse()
        stack.enter_context(server.driver(SINK))
        stack.enter_context(server.recording(SINK, folder / "heard.wav"))
        stack.enter_context(busy(options.busy))
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            **server.environment,
            "PATH": os.defpath + ":/usr/local/bin:/usr/sbin:/sbin",
            "HOME": str(folder),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PIP_CACHE_DIR": str(folder / "pip"),
        }
        del environment["LD_LIBRARY_PATH"]
        for name in ("empty cache", "full cache"):
            clone = folder / f"drum machine, {name}"
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
            times = watch(clone, environment, options.style, Recording(folder / "heard.wav"))
            print(
                f"{name:<16} {shown(times.line):>5}  {shown(times.installed):>9}  "
                f"{shown(times.picture):>7}  {shown(times.sound):>5}",
                flush=True,
            )
            if not times.complete:
                print(times.text.decode(errors="replace")[-2000:], file=sys.stderr)
            good = times.complete
            if name == "full cache" and times.picture is not None and times.sound is not None:
                good = times.picture <= PICTURE_GOAL and times.sound <= SOUND_GOAL
            shutil.rmtree(clone)
    judged = "met" if good else "missed"
    print(f"goals with a full cache, {PICTURE_GOAL:g} and {SOUND_GOAL:g}: {judged}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
