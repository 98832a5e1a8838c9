"""``drumigen service``: put drumigen under systemd, see how it goes, take it away again."""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drumigen.atomic_file import write_atomically
from drumigen.errors import ServiceError

UNIT_NAME: Final = "drumigen.service"
WORKER_NAME: Final = "drumigen-worker.service"
GPU_NAME: Final = "drumigen-gpu.conf"
UNITS_FOLDER: Final = Path("/etc/systemd/system")
PLACEHOLDER: Final = re.compile(
    r"^ExecStart=/opt/drumigen/bin/drumigen (run|worker)$", re.MULTILINE
)
"""The line of the shipped units that is written anew for the drumigen at hand."""
HIDDEN: Final = (Path("/home"), Path("/root"), Path("/tmp"), Path("/run/user"))  # noqa: S108
"""What the system unit's sandbox does not see."""
NOT_RUNNING: Final = 3
"""Exit status of ``status``, as ``systemctl status`` has it."""
KEPT: Final = (
    "LD_LIBRARY_PATH",
    "JACK_DEFAULT_SERVER",
    "PIPEWIRE_REMOTE",
    "PIPEWIRE_QUANTUM",
    "PIPEWIRE_LATENCY",
)
"""What tells which JACK is meant, as under ``pw-jack``: a user's service is to find the same."""
SHOWN: Final = ("LoadState", "UnitFileState", "ActiveState", "SubState", "StatusText", "NRestarts")

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Manager:
    """The service manager of the machine, or of this user; and which of our services is meant."""

    user: bool
    worker: bool = False

    @property
    def name(self) -> str:
        """The name of our unit."""
        return WORKER_NAME if self.worker else UNIT_NAME

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        return "the drumigen worker" if self.worker else "drumigen"

    @property
    def unit_file(self) -> Path:
        """Where our unit belongs."""
        if not self.user:
            return UNITS_FOLDER / self.name
        folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return Path(folder) / "systemd/user" / self.name

    @property
    def gpu_file(self) -> Path:
        """Where the drop-in belongs that lets the service at a GPU."""
        return self.unit_file.with_name(f"{self.name}.d") / "gpu.conf"

    @property
    def command(self) -> tuple[str, ...]:
        """How it is spoken to.

        Raises:
            ServiceError: there is no systemd here.
        """
        systemctl = shutil.which("systemctl")
        if systemctl is None:
            message = "this system has no systemd: start drumigen run by what it has instead"
            raise ServiceError(message)
        return (systemctl, "--user") if self.user else (systemctl,)

    def do(self, *arguments: str) -> str:
        """Carry out ``systemctl``, and return what it says.

        Raises:
            ServiceError: it failed; one line.
        """
        done = subprocess.run(  # noqa: S603 - systemctl, and words of ours
            [*self.command, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split()) or f"status {done.returncode}"
            message = f"systemctl {' '.join(arguments)}: {said}"
            raise ServiceError(message)
        return done.stdout


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("action", choices=("install", "status", "uninstall"))
    to.add_argument("--user", action="store_true", help="this user's, for JACK and PipeWire")
    to.add_argument("--program", type=Path, metavar="PATH", help="the drumigen to run (this one)")
    to.add_argument("--print", action="store_true", help="only show the unit that install writes")
    to.add_argument("--worker", action="store_true", help="the worker's service, not the drummer's")
    to.add_argument("--gpu", action="store_true", help="let the system's service at NVIDIA's GPUs")


def main(options: argparse.Namespace) -> int:
    """Carry out one of the three."""
    manager = Manager(options.user, options.worker)
    if options.action == "status":
        return _status(manager)
    if options.action == "uninstall":
        return _uninstall(manager)
    job = "worker" if options.worker else "run"
    unit = unit_text(manager, program_line(options.program, options.config, job))
    if options.user:
        unit = with_environment(unit, os.environ)
    gpu = "" if not options.gpu or options.user or options.worker else shipped(GPU_NAME)
    if options.print:
        sys.stdout.write(unit + (gpu and f"\n# --- {manager.gpu_file} ---\n{gpu}"))
        return 0
    return _install(manager, unit, options.program, gpu)


def unit_text(manager: Manager, command: str) -> str:
    """Return the unit for ``manager``, starting ``command``.

    Raises:
        ServiceError: ours is damaged.
    """
    name = manager.name.replace(".", "-user.") if manager.user else manager.name
    text = shipped(name)
    line = PLACEHOLDER.search(text)
    if line is None:
        message = f"{name}: it has no line ExecStart= of ours; install drumigen again"
        raise ServiceError(message)
    return f"{text[: line.start()]}ExecStart={command}{text[line.end() :]}"


def shipped(name: str) -> str:
    """Return the text of a file for systemd that we ship.

    Raises:
        ServiceError: it is missing.
    """
    installed = _PACKAGE / "systemd" / name
    path = installed if installed.is_file() else _PACKAGE.parent.parent / "systemd" / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror}; install drumigen again"
        raise ServiceError(message) from error


def with_environment(unit: str, environment: Mapping[str, str]) -> str:
    """Return ``unit`` with what of ``environment`` chose the JACK that is used here."""
    kept = "".join(
        f"Environment={_quoted(f'{name}={environment[name]}', dollar='$')}\n"
        for name in KEPT
        if environment.get(name)
    )
    return unit.replace("ExecStart=", f"{kept}ExecStart=", 1)


def program_line(program: Path | None, config: Path | None, job: str = "run") -> str:
    """Return the command that runs the daemon, or the worker, for ``ExecStart=``."""
    words = [str(program)] if program else _ourselves()
    words.append(job)
    if config:
        words += ["--config", str(config.resolve())]
    return " ".join(map(_quoted, words))


def _ourselves() -> list[str]:
    called = Path(sys.argv[0]).absolute()
    if called.name == "drumigen" and os.access(called, os.X_OK):
        return [str(called)]
    return [sys.executable, "-m", "drumigen_daemon.cli"]


def _quoted(word: str, dollar: str = "$$") -> str:
    # % means something to systemd, and $ in a command; spaces and quotes too
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    word = word.replace("$", dollar)
    return f'"{word}"' if not word or set(word) & set(" \t'\"\\;") else word


def _install(manager: Manager, unit: str, program: Path | None, gpu: str = "") -> int:
    _check_place(manager, program)
    manager.command  # noqa: B018 - refuses before anything is written
    path = manager.unit_file
    try:
        before = path.read_bytes() if path.is_file() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, unit.encode())
        path.chmod(0o644)
        if gpu:
            manager.gpu_file.parent.mkdir(exist_ok=True)
            write_atomically(manager.gpu_file, gpu.encode())
            manager.gpu_file.chmod(0o644)
    except OSError as error:
        raise ServiceError(_refusal(path, error)) from error
    try:
        manager.do("daemon-reload")
        manager.do("enable", manager.name)
    except ServiceError:
        # nobody answers, or refuses: nothing is installed, so nothing is left behind
        with contextlib.suppress(OSError):
            path.unlink() if before is None else write_atomically(path, before)
        if gpu:
            _take_away(manager.gpu_file)
        raise
    sys.stdout.write(f"wrote {path}\n" + (gpu and f"wrote {manager.gpu_file}\n"))
    manager.do("restart", manager.name)
    sys.stdout.write(f"{manager.title} runs now, and from the next start of the machine on\n")
    if manager.worker:
        mine = "--user -u" if manager.user else "-u"
        sys.stdout.write(
            "it needs workers.broker in its settings; what it found is told by "
            f"journalctl {mine} {manager.name.removesuffix('.service')}\n"
        )
    if manager.user and not _lingers():
        sys.stdout.write(
            "it starts when you log in; to start with the machine: loginctl enable-linger\n"
        )
    return 0


def _check_place(manager: Manager, program: Path | None) -> None:
    if manager.user:
        return
    place = Path(program or _ourselves()[0])
    hidden = next((folder for folder in HIDDEN if place.is_relative_to(folder)), None)
    if hidden:
        message = (
            f"the service does not see {hidden}, and drumigen is in {place.parent}: install it "
            "into /opt/drumigen first (docs/INSTALL.md), or use --user"
        )
        raise ServiceError(message)


def _status(manager: Manager) -> int:
    wanted = ",".join(SHOWN)
    shown = _properties(manager.do("show", manager.name, f"--property={wanted}"))
    if shown.get("LoadState") != "loaded":
        install = f"drumigen service install{' --worker' * manager.worker}"
        sys.stdout.write(f"{manager.title} is not installed as a service: {install}\n")
        return NOT_RUNNING
    active = shown.get("ActiveState") == "active"
    parts = {
        "unit": f"{manager.unit_file}, {shown.get('UnitFileState') or 'not enabled'}",
        "state": f"{shown.get('ActiveState')} ({shown.get('SubState')})",
        "says": shown.get("StatusText") or "nothing",
        "so far": f"restarted {shown.get('NRestarts') or 0} times",
    }
    sys.stdout.write("".join(f"{name:<8}{said}\n" for name, said in parts.items()))
    return 0 if active else NOT_RUNNING


def _properties(text: str) -> Mapping[str, str]:
    return dict(line.partition("=")[::2] for line in text.splitlines())


def _uninstall(manager: Manager) -> int:
    path = manager.unit_file
    if not path.is_file():
        message = f"there is no {path}: nothing to take away"
        raise ServiceError(message)
    refused = ""
    try:
        manager.do("disable", "--now", manager.name)
    except ServiceError as error:
        # without a bus nothing of ours runs either: what it would find later is taken away
        refused = str(error)
    try:
        for link in [*path.parent.glob(f"*.wants/{manager.name}"), path]:
            link.unlink()
        _take_away(manager.gpu_file)
    except OSError as error:
        raise ServiceError(refused or _refusal(path, error)) from error
    if not refused:
        manager.do("daemon-reload")
    sys.stdout.write(f"removed {path}; settings and recordings are where they were\n")
    if refused:
        sys.stdout.write(f"whether it still runs is unknown: {refused}\n")
    return 0


def _take_away(file: Path) -> None:
    """Remove a drop-in of ours, and its folder if that held nothing else."""
    file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        file.parent.rmdir()


def _refusal(path: Path, error: OSError) -> str:
    advice = "" if os.access(path.parent, os.W_OK) else "; run it with sudo, or use --user"
    return f"{path}: {error.strerror}{advice}"


def _lingers() -> bool:
    user = os.environ.get("USER", "")
    return bool(user) and Path("/var/lib/systemd/linger", user).exists()
