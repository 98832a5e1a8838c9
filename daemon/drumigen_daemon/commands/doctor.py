"""``drumigen doctor``: one line for each thing that playing stands on, and how to mend it."""

import argparse
import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from drumigen.bank.bank import load_bank
from drumigen.errors import DrumigenError, PortError
from drumigen.kit import kit_names, load_kit
from drumigen.model.devices import FAULTS, gpu_memory_line
from drumigen_daemon.capture.wav import synthesizer
from drumigen_daemon.cli import EXIT_FAILURE, settings_of
from drumigen_daemon.controls.values import known_styles, one_line
from drumigen_daemon.engine.loopback import measure
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.generator.writers import BarWriter, StandIn, make_writer
from drumigen_daemon.offline import planned_bars
from drumigen_daemon.ports.choose import choose, survey
from drumigen_daemon.session import Session
from drumigen_daemon.settings.loading import find_file
from drumigen_daemon.settings.paths import live_generator_setup
from drumigen_daemon.settings.sections import Settings
from drumigen_daemon.sound.fluidsynth import INSTALL_FLUIDSYNTH
from drumigen_daemon.sound.fonts import sound_font

SLEEP: Final = 0.005
SLEEPS: Final = 200
"""A second in all."""
SLEEP_P99_GOOD: Final = 1_000.0
"""Microseconds; the engine wakes 300 us early, and a queueing MIDI system hides the rest."""
BARS_TIMED: Final = 16
GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
JITTER_GOOD: Final = 1.0
"""Milliseconds."""
MEMORY_WANTED: Final = 256 * 2**20
CHILD_SECONDS_MAX: Final = 10.0
DEVICE_SECONDS_MAX: Final = 20.0
"""For a GPU to be loaded and to write some bars, after its trial in a process of its own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the network will run on."""

    device: str = "cpu"
    why: str = ""
    """What was measured, or what is missing."""
    fault: str = ""

    def __str__(self) -> str:
        """Return the device in words."""
        return "the CPU" if self.device == "cpu" else self.device


class Mark(StrEnum):
    """How a thing stands; only ``FAIL`` keeps drumigen from playing."""

    OK = "ok"
    ABSENT = "-"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    mark: Mark
    about: str
    said: str

    def __str__(self) -> str:
        """Return the line."""
        return one_line(f"{self.mark:<5} {self.about:<12} {self.said}")


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("--backend", help="MIDI system to look at: auto, jack, alsa or rtmidi")
    to.add_argument(
        "--loopback",
        nargs="*",
        metavar="PORT",
        help="time notes from an output to an input: two ports, or one by whose name both go; "
        "without any, the MIDI system alone",
    )


def main(options: argparse.Namespace) -> int:
    """Print what was found; return 1 if drumigen cannot play."""
    failed = False
    for finding in _loopback(options) if options.loopback is not None else examined(options):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        failed = failed or finding.mark is Mark.FAIL
    return EXIT_FAILURE if failed else 0


def examined(options: argparse.Namespace) -> Iterator[Finding]:
    """Yield findings as they are made."""
    settings = Settings()
    try:
        settings = settings_of(options)
        path = find_file(options.config, os.environ)
        yield Finding(Mark.OK, "settings", str(path) if path else "defaults; no file")
    except DrumigenError as error:
        yield Finding(Mark.FAIL, "settings", str(error))
    yield from _guarded("styles", _music)
    yield from _midi(settings)
    yield from _realtime(settings)
    yield _memory()
    yield _timer()
    yield _governor()
    choice = _choice(settings)
    yield from _guarded("generator", lambda: _generator(settings, choice))
    yield from _workers(settings)
    yield _gpu(settings, choice)
    yield _sound()


def _loopback(options: argparse.Namespace) -> Iterator[Finding]:
    """Time notes on their way out and back, and say what to do about it."""
    output, heard_on = [*options.loopback, *options.loopback[:1], "", ""][:2]
    if len(options.loopback) > 2:
        message = "--loopback takes at most two ports: an output, and the input it comes back on"
        raise PortError(message)
    settings = settings_of(options)
    setup = settings.engine_setup
    name = choose(setup.backend, setup.api).name
    about = f"loop {name}"
    if name == "null":
        yield Finding(Mark.FAIL, about, "no MIDI system to measure; drumigen doctor says why")
        return
    trip = measure(lambda: choose(name, setup.api), output, heard_on)
    lost = trip.sent - len(trip.delays)
    if not trip.delays:
        said = f"none of {trip.sent} notes came back: connect {output or 'the ports'} by a cable"
        yield Finding(Mark.FAIL, about, said)
        return
    mark = Mark.WARN if lost else Mark.OK
    yield Finding(mark, about, f"{len(trip.delays)} of {trip.sent} notes came back")
    p50, p99, most = (1000 * trip.quantile(share) for share in (0.5, 0.99, 1.0))
    said = f"round trip {p50:.2f} ms (p50), {p99:.2f} ms (p99), {most:.2f} ms (max)"
    yield Finding(Mark.OK, "latency", said)
    jitter = 1000 * trip.jitter
    good = jitter <= JITTER_GOOD
    mend = "" if good else ": end other programs, or use a smaller period or another interface"
    yield Finding(Mark.OK if good else Mark.WARN, "jitter", f"{jitter:.2f} ms{mend}")
    said = (
        f"output.offset_ms = {-p50:.1f} makes up for it where drumigen follows a clock through "
        f"these ports, and {-p50 / 2:.1f} where it leads"
    )
    yield Finding(Mark.OK, "offset", said)


def _guarded(about: str, examine: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield examine()
    except DrumigenError as error:
        yield Finding(Mark.FAIL, about, str(error))


def _music() -> Finding:
    styles = known_styles()
    for style in styles:
        load_bank(style.bank)
    if styles.complaints:
        return Finding(Mark.WARN, "styles", "; ".join(styles.complaints))
    kits = [load_kit(name).name for name in kit_names()]
    return Finding(Mark.OK, "styles", f"{len(styles)} styles and {len(kits)} kits load")


def _midi(settings: Settings) -> Iterator[Finding]:
    setup = settings.engine_setup
    reports = survey(setup.api)
    for report in reports:
        wanted = report.name == setup.backend
        mark = Mark.OK if report.usable else Mark.FAIL if wanted else Mark.ABSENT
        yield Finding(mark, f"midi {report.name}", report.reason)
    best = next(report for report in reports if report.usable)
    if setup.backend not in ("auto", best.name):
        yield Finding(Mark.OK, "midi", f"{setup.backend} is set; auto would take {best.name}")
    elif best.name == "null":
        yield Finding(
            Mark.WARN,
            "midi",
            "no MIDI system, so nothing would sound; mend one of the above, or use play --output",
        )
    else:
        yield Finding(Mark.OK, "midi", f"{best.name} is used: the most exact of those that work")


def _realtime(settings: Settings) -> Iterator[Finding]:
    priority = settings.engine.realtime_priority
    if not priority:
        yield Finding(Mark.WARN, "realtime", "switched off by engine.realtime_priority = 0")
        return
    # in a process of its own, for this one is to stay as it is
    code = (
        "import sys; from drumigen_daemon.process.realtime import become_realtime as become; "
        "print(become(int(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(priority)]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, text=True, check=False, timeout=CHILD_SECONDS_MAX
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding(Mark.WARN, "realtime", f"cannot be tried: {error}")
        return
    said = (done.stdout.strip() or done.stderr.strip() or "cannot be tried").splitlines()[-1]
    granted = "fifo" in said
    mend = "" if granted else "; timing suffers under load (see docs: limits for the group audio)"
    yield Finding(Mark.OK if granted else Mark.WARN, "realtime", said + mend)


def _memory() -> Finding:
    if sys.platform == "win32":
        return Finding(Mark.ABSENT, "memlock", "only done on Linux")
    import resource  # noqa: PLC0415 - Windows lacks it

    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() == 0 or soft == resource.RLIM_INFINITY or soft >= MEMORY_WANTED:
        return Finding(Mark.OK, "memlock", "enough memory may be locked")
    said = (
        f"only {soft // 1024} kB may be locked: the engine may wait for the disk; "
        "allow memlock unlimited in /etc/security/limits.d"
    )
    return Finding(Mark.WARN, "memlock", said)


def _timer() -> Finding:
    late = []
    due = time.monotonic()
    for _ in range(SLEEPS):
        due += SLEEP
        time.sleep(max(0.0, due - time.monotonic()))
        late.append(1e6 * (time.monotonic() - due))
    late.sort()
    p50, p99 = late[SLEEPS // 2], late[SLEEPS * 99 // 100]
    said = f"wakes late by {p50:.0f} us (p50), {p99:.0f} us (p99), without realtime"
    if p99 <= SLEEP_P99_GOOD:
        return Finding(Mark.OK, "timer", said)
    return Finding(Mark.WARN, "timer", f"{said}: end other programs, or use a power supply")


def _governor() -> Finding:
    try:
        governor = GOVERNOR.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return Finding(Mark.ABSENT, "cpu", "frequency is not ours to see")
    if governor == "powersave":
        said = "governor powersave: cpupower frequency-set -g performance keeps time better"
        return Finding(Mark.WARN, "cpu", said)
    return Finding(Mark.OK, "cpu", f"governor {governor}")


def _choice(settings: Settings) -> Choice:
    """Return what will play, by the verdict that is kept or by a trial now, as the daemon does."""
    if settings.generator.writer == "celery":
        return Choice(why="bars come from workers, and what they miss is written here")
    if settings.generator.writer != "model":
        return Choice()
    module = importlib.import_module("drumigen_daemon.generator.device_writer")
    try:
        device, why, fault = module.device_choice(live_generator_setup(settings, os.environ))
    except (DrumigenError, OSError) as error:
        return Choice(fault=str(error))
    return Choice(device, why, fault)


def _generator(settings: Settings, choice: Choice) -> Finding:
    """Time what will really play; where workers do, what does in their place."""
    setup = msgspec.structs.replace(settings.generator_setup.at_home, device=choice.device)
    name, session = setup.writer, settings.session
    timed = None if choice.device == "cpu" else _timed_on_device(setup, session)
    writer, seconds = timed or _timed(msgspec.structs.replace(setup, device="cpu"), session)
    each = 1000 * seconds
    if isinstance(writer, StandIn):
        said = f"{writer.why}; the bar bank would play in its place"
        return Finding(Mark.WARN, "generator", said)
    bar = 1000 * session.meter.ticks * 60 / (1920 * session.parameters.tempo)
    tempo = session.parameters.tempo
    where = ""
    if name == "model":
        where = f" on {'the CPU' if FAULTS.of(choice.device) else choice}"
    said = f"{name} writes a bar in {each:.1f} ms{where}; at {tempo:g} BPM it has {bar:.0f}"
    return Finding(Mark.OK if each < bar / 4 else Mark.WARN, "generator", said)


def _timed(setup: GeneratorSetup, session: Session) -> tuple[BarWriter, float]:
    """Return the writer of ``setup``, and the seconds that it takes for a bar."""
    writer = make_writer(setup)
    planned_bars(session, writer, 1)  # loads what it needs
    begun = time.monotonic()
    planned_bars(session, writer, BARS_TIMED)
    return writer, (time.monotonic() - begun) / BARS_TIMED


def _timed_on_device(setup: GeneratorSetup, session: Session) -> tuple[BarWriter, float] | None:
    """Return the same of a device; None if it fails or hangs, which is remembered."""
    found: Future[tuple[BarWriter, float]] = Future()

    def write() -> None:
        try:
            found.set_result(_timed(setup, session))
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            found.set_exception(error)

    # one that hangs is never joined
    threading.Thread(target=write, name="writes", daemon=True).start()
    try:
        return found.result(DEVICE_SECONDS_MAX)
    except TimeoutError:
        said = f"{setup.device} hangs: no answer in {DEVICE_SECONDS_MAX:g} s"
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        said = f"{setup.device} failed: {type(error).__name__}: {error}"
    FAULTS.add(setup.device, said)
    return None


def _workers(settings: Settings) -> Iterator[Finding]:
    """Say who else writes bars and songs, where somebody is to; without them the CPU here does."""
    setup = settings.generator_setup
    asked = setup.writer == "celery"
    if not asked and setup.workers is None:
        return
    try:
        module = importlib.import_module("drumigen_daemon.workers.survey")
    except ModuleNotFoundError as error:
        said = f"they need {error.name}: pip install 'drumigen[workers]'; all is written here"
        yield Finding(Mark.WARN, "workers", said)
        return
    try:
        found = module.surveyed(setup, known_styles(), settings.session.parameters.tempo)
    except DrumigenError as error:
        yield Finding(Mark.WARN, "workers", f"{error}; all is written here")
        return
    served = found.ours and found.asked > found.missed if asked else found.songs
    mend = "" if served else "; all is written here (docs/WORKERS.md)"
    good = served and not found.strangers and not found.missed
    yield Finding(Mark.OK if good else Mark.WARN, "workers", f"{found}{mend}")


def _gpu(settings: Settings, choice: Choice) -> Finding:
    """Say what a GPU is good for here; playing needs none."""
    asked = settings.generator.device
    fault = FAULTS.of(choice.device) or choice.fault
    if choice.device != "cpu" and not fault:
        memory = gpu_memory_line(choice.device) or "shares its memory with the processor"
        used = "used from the second start of a song on"
        why = f"{choice.why}; " if choice.why else ""
        return Finding(Mark.OK, "gpu", f"{choice.device}: {memory}; {why}{used}")
    if fault:
        return Finding(Mark.WARN, "gpu", f"{fault}; the network runs on the CPU")
    if choice.why:
        wanted = asked not in ("cpu", "auto")
        said = f"{choice.why}; the network runs on the CPU"
        return Finding(Mark.WARN if wanted else Mark.ABSENT, "gpu", said)
    why = "not asked for: generator.device = 'cpu'" if asked == "cpu" else "none"
    return Finding(Mark.ABSENT, "gpu", why)


def _sound() -> Finding:
    font = sound_font()
    if synthesizer() and font:
        return Finding(Mark.OK, "sound", f"FluidSynth with {font}, for live sound and --wav")
    missing = "no sound font" if synthesizer() else "no FluidSynth"
    said = f"{missing}, only needed for live sound and --wav: {INSTALL_FLUIDSYNTH}"
    return Finding(Mark.WARN, "sound", said)
