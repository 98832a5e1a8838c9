"""``drumigen control``, ``status`` and ``export``: what speaks to the running daemon."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from drumigen.errors import ControlError, SettingsError
from drumigen.kit import Voice, load_kit
from drumigen.midi.notation import chart_of
from drumigen.midi.song import transcribed
from drumigen.text import counted
from drumigen_daemon.capture.capture import song_of
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_file_flags, add_socket, count
from drumigen_daemon.commands.output import (
    check_folder,
    say,
    sound_file,
    warn,
    write_song_to,
    wrote,
)
from drumigen_daemon.commands.render import write_sound
from drumigen_daemon.control_socket import ask
from drumigen_daemon.controls.about import ORDER, listing, standing
from drumigen_daemon.controls.table import VALUES, own_name
from drumigen_daemon.engine.messages import PlayedBar
from drumigen_daemon.histogram import Histogram
from drumigen_daemon.settings.paths import socket_paths
from drumigen_daemon.settings.sections import ControlSettings, Settings

EXPORTED: Final = "drumigen-export.mid"


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes, whichever of the three it is."""
    add_socket(to)
    {"control": _add_control, "status": _add_status, "export": _add_export}[
        to.get_default("command")
    ](to)


def _add_control(to: argparse.ArgumentParser) -> None:
    to.add_argument("--list", action="store_true", help="list what can be controlled")
    to.add_argument("--show", action="store_true", help="show what every control is set to")
    to.add_argument(
        "--learned", action="store_true", help="list what was learned; control forget removes it"
    )
    to.add_argument("name", nargs="?", help="what, as in: drumigen control tempo 128")
    to.add_argument("value", nargs="?", help="its new value; without one, what it is set to")


def _add_status(to: argparse.ArgumentParser) -> None:
    to.add_argument("--json", action="store_true", help="everything, for programs")


def _add_export(to: argparse.ArgumentParser) -> None:
    to.add_argument("--bars", type=count(1), default=64, metavar="N", help="the last N bars (64)")
    to.add_argument(
        "--notation",
        action="store_true",
        help="a chart for a notation program: on the grid, with lengths to read",
    )
    add_file_flags(to)


def main(options: argparse.Namespace) -> int:
    """Ask the daemon, and show what it answers."""
    if options.command == "control":
        return _control(options)
    if options.command == "status":
        return _status(options)
    return _export(options)


def _ask(options: argparse.Namespace, request: object) -> dict[str, Any]:
    try:
        settings = settings_of(options)
    except SettingsError as error:
        # a daemon that plays on with its old settings must be reached all the same
        sys.stderr.write(f"drumigen: {error}\n")
        settings = Settings(control=ControlSettings(socket=options.socket or ""))
    return ask(socket_paths(settings, os.environ), request)


def _control(options: argparse.Namespace) -> int:
    if options.list:
        sys.stdout.write("\n".join(listing()) + "\n")
        return 0
    if options.learned:
        return _learned(options)
    if options.name is None and not options.show:
        message = "say what to control, as in: drumigen control tempo 128; or see --list, --show"
        raise ControlError(message)
    name = own_name(options.name) if options.name is not None else ""
    if options.show or (options.value is None and VALUES[name] is not None):
        values = _ask(options, {"show": name})["values"]
        sys.stdout.write("".join(f"{line}\n" for line in value_lines(values)))
        return 0
    note = _ask(options, {"control": name, "value": options.value}).get("note")
    if note:
        warn(note)
    return 0


def value_lines(values: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that say what controls are set to; voices that are all alike in one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, value in sorted(values.items(), key=lambda item: ORDER.index(item[0])):
        kind, dot, voice = name.partition(".")
        alike.setdefault((kind + dot, value), []).append(voice)
    for (kind, value), voices in alike.items():
        names = [f"{kind}{voice}" for voice in voices]
        if len(voices) > len(Voice) // 2:
            names = [f"{kind}VOICE" if len(voices) == len(Voice) else f"{kind[:-1]}, the others"]
        for name in names:
            yield f"{name:<22}{standing(f'{kind}{voices[0]}', value)}"


def _learned(options: argparse.Namespace) -> int:
    rows = _ask(options, {"learned": True})["learned"]
    for row in rows:
        sys.stdout.write(f"{row['control']:<22}{row['source']}\n")
    if not rows:
        sys.stdout.write("nothing was learned yet: drumigen control learn NAME, then move a knob\n")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = _ask(options, {"status": True})["status"]
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(status)).decode() + "\n")
        return 0
    sys.stdout.write(summary(status))
    return 0


def summary(status: Mapping[str, Any]) -> str:
    """Return the reply to a status request: five lines, and one for each thing to do or to know."""
    counters = status["counters"]
    followed = f" to {status['master']}" if status["master"] else ""
    parts = {
        "song": (
            f"{status['transport']} at bar {status['bar']} beat {status['beat']}, "
            f"{status['meter']}, {status['tempo']:g} BPM, clock {status['lock']}{followed}"
        ),
        "style": (
            f"{status['style']}, kit {status['kit']}, seed {status['seed']}; "
            f"this bar {status['origin'] or 'not begun'}; generator {status['generator']}"
        ),
        "ports": f"{status['backend'] or 'none yet'}: {', '.join(status['ports'])}",
        "so far": (
            f"{counters['bars']} bars, {counters['fallback_bars']} fallback, "
            f"{counters['late_bars']} late; {counters['notes']} notes, "
            f"{counters['late_notes']} late, {counters['dropped_notes']} dropped"
        ),
        "timing": _timing(msgspec.convert(status["histograms"], dict[str, Histogram])),
        **({"sound": status["sound"]} if status["sound"] else {}),
    }
    if device := _device(status["device"]):
        parts["device"] = device
    if "workers" in status:
        parts["workers"] = _workers(status["workers"])
    lines = [f"{name:<8}{said}" for name, said in parts.items()]
    lines += [f"{'':<8}{said}" for said in status["advice"]]
    return "".join(f"{line}\n" for line in lines)


def _device(told: Mapping[str, Any]) -> str:
    """Return what the network runs on where that is not simply the CPU, and why."""
    if told["device"] == "none":
        return f"the bar bank writes: {told['said']}"
    here = "the CPU" if told["device"] == "cpu" else told["device"]
    why = {
        "trying": "; a GPU is being tried",
        "loading": "; a GPU gets ready",
        "waiting": "; a GPU is ready, and used from the next start of a song on",
        "slower": "; the GPU is no quicker",
    }.get(told["state"], f": {told['said']}" if told["said"] else "")
    if not why and here == "the CPU":
        return ""
    times = ""
    if told["device_seconds"]:
        cpu, device = (1000 * told[name] for name in ("cpu_seconds", "device_seconds"))
        times = f"; for all styles it takes {cpu:.0f} ms on the CPU, {device:.0f} on the GPU"
    return f"the network runs on {here}{why}{times}"


def _workers(told: Mapping[str, Any]) -> str:
    """Return how it goes with the workers."""
    rate = told["fresh_rate"]
    fresh = "" if rate is None else f"; {100 * rate:.1f} % of the bars were fresh from them"
    why = f"; {told['said']}" if told["said"] and told["state"] != "ready" else ""
    return (
        f"{told['state']}, {told['live']} there; {told['bars']} bars by them, "
        f"{told['local_bars']} here; of {told['asked']} requests {told['missed']} late, "
        f"{told['refused']} refused, {told['corrupt']} corrupt, {told['lost']} lost{fresh}{why}"
    )


def _timing(histograms: Mapping[str, Histogram]) -> str:
    """Return what 99 of 100 do not exceed, as far as the buckets tell, and the very largest."""
    told = {
        "notes late by": "output_lateness",
        "pulses off by": "clock_phase_error",
        "bars written in": "generation",
        "asked workers for": "worker_round_trip",
        "waited there": "worker_queue_wait",
    }
    return (
        "; ".join(
            f"{said} {_bounded(histograms[name])}"
            for said, name in told.items()
            if name in histograms and histograms[name].count
        )
        or "nothing to judge it by yet"
    )


def _bounded(histogram: Histogram) -> str:
    most = histogram.most
    bound = min(histogram.quantile(0.99), most)
    return f"{_ms(bound)} (99 of 100), {_ms(most)} at most"


def _ms(seconds: float) -> str:
    ms = 1000 * seconds
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms"


def _export(options: argparse.Namespace) -> int:
    reply = _ask(options, {"export": options.bars})
    bars = msgspec.convert(reply["bars"], tuple[PlayedBar, ...])
    if not bars:
        message = "nothing has been played yet: start the song, then export"
        raise ControlError(message)
    output = options.output or Path(EXPORTED)
    song = song_of(bars, "drumigen")
    kit = ""
    wav = sound_file(options.wav, output, Path(EXPORTED))
    for path in filter(None, (output, wav)):
        check_folder(path)
    if options.notation or wav:
        kit = _ask(options, {"status": True})["status"]["kit"]
        losses = transcribed(song, load_kit(kit)).losses()
        if losses:
            warn(f"{kit}: {losses}")
    write_song_to(output, chart_of(song, load_kit(kit)) if options.notation else song)
    count = counted(len(bars), "bar")
    all_of = f"all there are of the {options.bars} asked for"
    said = f"the last {count}" if len(bars) == options.bars else f"{count}, {all_of}"
    say(wrote(output, said), output)
    if wav:
        write_sound(song, kit, wav, output)
    return 0
