"""The command line: what can be asked for; each command lives in a module of its own."""

import argparse
import importlib
import io
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn

from drumigen import __version__
from drumigen.errors import DrumigenError, PortError, SettingsError
from drumigen_daemon.controls.values import shown
from drumigen_daemon.process.channel import EXIT_UNAVAILABLE
from drumigen_daemon.settings import ALLOWED, Given, Settings, find_file, hint, load_settings

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_CONFIG: Final = 78  # <sysexits.h>, which Windows lacks
EXIT_INTERRUPTED: Final = 130

BARS_MAX: Final = 100_000
SET_EXAMPLE: Final = "--set clock.tempo=100"
SOUND_SUFFIXES: Final = frozenset((".wav", ".mp3", ".ogg", ".flac", ".aif", ".aiff", ".m4a"))
LIKE_MIDI: Final = Path()
"""Stands for the name of a sound file that was not given."""
SEED_MAX: Final = 2**32 - 1
MINUTES_MAX: Final = 60.0 * 24 * 30

FLAGS: Final[Mapping[str, tuple[str, str]]] = {
    "style": ("song.style", "--style"),
    "bpm": ("clock.tempo", "--bpm"),
    "metre": ("song.meter", "--metre"),
    "seed": ("song.seed", "--seed"),
    "kit": ("output.kit", "--kit"),
    "backend": ("midi.backend", "--backend"),
    "socket": ("control.socket", "--socket"),
    "model": ("generator.model", "--model"),
    "top_k": ("generator.top_k", "--top-k"),
    "top_p": ("generator.top_p", "--top-p"),
}
"""Flags that are settings: option, key, and how errors name it."""


EXTRAS: Final[Mapping[str, str]] = {
    "torch": "train",
    "sklearn": "train",
    "rtmidi": "rtmidi",
    "celery": "workers",
    "redis": "workers",
    "kombu": "workers",
}
"""Libraries that playing does not need, and the extra of ours that brings each."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and leave."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # names of files may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    top = parser()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        top.print_help()
        return 0
    options = top.parse_args(given)
    try:
        command: Callable[[argparse.Namespace], int] = importlib.import_module(
            f"drumigen_daemon.commands.{options.module}"
        ).main
        return command(options)
    except DrumigenError as error:
        sys.stderr.write(f"drumigen: {error}\n")
        return _status(error)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        needed = f"pip install 'drumigen[{extra}]'"
        sys.stderr.write(f"drumigen: {options.command} needs {error.name}: {needed}\n")
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has left: nothing more can be said, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE


def settings_of(
    options: argparse.Namespace,
    preset: Mapping[str, object] = MappingProxyType({}),
    *,
    keep_styles: bool = False,
) -> Settings:
    """Return the settings of this call: file, environment, ``preset`` by ``section.key``, flags.

    ``keep_styles`` leaves the styles that are known as they are: for a daemon that plays them.

    Raises:
        SettingsError: one of them is wrong.
    """
    given = [Given(key, value, key) for key, value in preset.items()]
    for option, (key, flag) in FLAGS.items():
        value = getattr(options, option, None)
        if value is not None:
            text = str(value) if isinstance(value, Path) else value
            given.append(Given(key, text, flag))
    for assignment in getattr(options, "set", ()):
        key, equals, value = assignment.partition("=")
        section, _, name = key.strip().partition(".")
        if not equals:
            message = f"--set {shown(assignment)}: write SECTION.KEY=VALUE, as in {SET_EXAMPLE}"
            raise SettingsError(message)
        if name not in ALLOWED.get(section, ()):
            message = f"--set: no setting {shown(key.strip())}: {hint(key)}"
            raise SettingsError(message)
        given.append(Given(f"{section}.{name}", value.strip(), f"--set {section}.{name}"))
    path = find_file(options.config, os.environ)
    return load_settings(path, os.environ, given, keep_styles=keep_styles)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="drumigen",
        description="A drummer for live performance: follows MIDI clock and plays in sync.",
        allow_abbrev=False,
    )
    common = Parser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings file")
    top.add_argument("--version", action="version", version=f"drumigen {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, module: str, summary: str) -> Parser:
        added: Parser = commands.add_parser(
            name, help=summary, description=summary, parents=[common], allow_abbrev=False
        )
        added.set_defaults(module=module, command=name)
        return added

    _add_play(command("play", "play", "play now, with a live view; needs no MIDI"))
    _add_run(command("run", "run", "run the daemon: follow MIDI clock until stopped"))
    _add_render(command("render", "render", "write bars to a MIDI file, offline"))
    _add_styles(command("styles", "styles", "list the styles, your own among them"))
    _add_ports(command("ports", "ports", "list MIDI ports, and which of ours connect to them"))
    _add_doctor(
        command("doctor", "doctor", "check this machine, and say how to mend what is wrong")
    )
    _add_control(command("control", "remote", "change something in the running daemon"))
    _add_status(command("status", "remote", "say what the running daemon does"))
    _add_train(command("train", "train", "train a drummer on a folder of MIDI files"))
    _add_eval(command("eval", "evaluate", "hold a drummer against human takes"))
    _add_plot(
        command("plot", "plot", "draw bars: what sounds when, how loud, how far off the grid")
    )
    _add_groove(command("groove", "groove", "take the feel of a performance from a MIDI file"))
    _add_export(command("export", "remote", "write the last bars the daemon played to a file"))
    _add_service(command("service", "service", "install, look at or remove the systemd service"))
    _add_worker(command("worker", "worker", "write bars for drummers on other machines"))
    _add_web(command("web", "web", "let phones of the network use the panel"))
    return top


def _add_worker(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--lane",
        choices=("both", "bars", "songs"),
        default="both",
        help="bars for those who play, songs on request, or both",
    )
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint that writes the bars")
    _add_set(to)


def _add_web(to: argparse.ArgumentParser) -> None:
    to.add_argument("action", choices=("pair",))
    to.add_argument("--watch", action="store_true", help="for a bandmate who only watches")
    to.add_argument("--new", action="store_true", help="make new tokens: all have to pair again")
    _add_set(to)


def _add_train(to: argparse.ArgumentParser) -> None:
    to.add_argument("folder", type=Path, help="takes: the Groove MIDI Dataset, or a folder a style")
    to.add_argument("--output", type=Path, default=Path("training"), metavar="FOLDER")
    to.add_argument(
        "--producers",
        action="store_true",
        help="add the corpora in the style of J Dilla, Metro Boomin and Questlove",
    )
    to.add_argument(
        "--start", type=Path, metavar="FILE", help="a checkpoint whose weights to begin with"
    )
    to.add_argument(
        "--minutes",
        type=_number(0.01, MINUTES_MAX),
        metavar="N",
        help="the rate falls to its end by then",
    )
    to.add_argument("--device", metavar="NAME", help="cpu, cuda, mps; by default the best")
    to.add_argument("--seed", type=_count(0, SEED_MAX), default=1, metavar="N")
    for name, kind in (
        ("epochs", _count(1)),
        ("steps", _count(1, 1_000_000)),
        ("context", _count(16)),
        ("rate", _number(1e-9, 1.0)),
        ("patience", _count(1)),
        ("width", _count(2, 4096)),
        ("layers", _count(1, 64)),
        ("heads", _count(1, 64)),
        ("hidden", _count(1, 16_384)),
        ("dropout", _number(0.0, 0.9)),
    ):
        to.add_argument(f"--{name}", type=kind, metavar="N", help=argparse.SUPPRESS)


def _add_eval(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "folder", nargs="?", type=Path, help="the Groove MIDI Dataset, or takes laid out like it"
    )
    to.add_argument(
        "--feel",
        action="store_const",
        const="feel",
        dest="module",
        help="measure the feel of every style instead; needs no folder",
    )
    to.add_argument("--bank", action="store_true", help="with --feel: the bar bank, no model")
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint; by default the shipped")
    to.add_argument("--split", default="validation", choices=("validation", "test"))
    to.add_argument(
        "--seed", type=_count(0, SEED_MAX), default=1, metavar="N", help="the first seed"
    )
    to.add_argument(
        "--seeds", type=_count(1, 100), default=3, metavar="N", help="how many are averaged"
    )
    to.add_argument("--strict", action="store_true", help="exit with 1 if a goal is missed")


def _add_plot(to: argparse.ArgumentParser) -> None:
    to.add_argument("files", nargs="*", type=Path, metavar="FILE.mid", help="MIDI file to draw")
    to.add_argument(
        "--style",
        action="append",
        default=[],
        dest="styles",
        metavar="NAME",
        help="style to draw; again for another beside it",
    )
    to.add_argument("--bars", type=_count(1), default=2, metavar="N", help="how many (2)")
    to.add_argument("--from", type=_count(1), default=1, dest="first", metavar="N", help="bar (1)")
    to.add_argument("--bpm", "--tempo", metavar="BPM", help="tempo of styles, 20 to 400")
    to.add_argument("--metre", "--meter", metavar="N/D", help="metre of styles, such as 7/8")
    to.add_argument("--seed", metavar="N", help="the same seed plays the same song")
    to.add_argument("--kit", metavar="KIT", help="kit that files are read by")
    to.add_argument("--output", type=Path, metavar="FILE.svg", help="picture to write, or -")
    _add_set(to)


def _add_groove(to: argparse.ArgumentParser) -> None:
    to.add_argument("action", choices=("extract",))
    to.add_argument("file", type=Path, metavar="FILE.mid", help="performance, in one metre")
    to.add_argument("--kit", default="gm", metavar="KIT", help="kit that it is read by")
    to.add_argument("--output", type=Path, metavar="FILE.toml", help="groove to write, or -")


def _add_song_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--style", metavar="NAME", help="style, by name, alias or path")
    to.add_argument("--bpm", "--tempo", metavar="BPM", help="tempo, 20 to 400")
    to.add_argument("--metre", "--meter", metavar="N/D", help="metre, such as 7/8")
    to.add_argument("--seed", metavar="N", help="the same seed plays the same song")
    to.add_argument("--kit", metavar="KIT", help="kit, by name or path of a .toml file")
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint that writes the bars")
    _add_set(to)


def _add_set(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="any other setting"
    )


def _add_file_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--output",
        type=_midi_file,
        metavar="FILE.mid",
        help="MIDI file to write; - for standard output",
    )
    to.add_argument(
        "--wav",
        type=_wav_file,
        nargs="?",
        const=LIKE_MIDI,
        metavar="FILE.wav",
        help="also render it by FluidSynth; without a name it is called like the MIDI file",
    )


def _add_play(to: argparse.ArgumentParser) -> None:
    _add_song_flags(to)
    to.add_argument(
        "--bars", type=_count(0), default=16, metavar="N", help="how many; 0 plays on (16)"
    )
    to.add_argument("--backend", help="MIDI system: auto, jack, alsa, rtmidi or null")
    _add_file_flags(to)


def _add_run(to: argparse.ArgumentParser) -> None:
    _add_song_flags(to)
    to.add_argument("--backend", help="MIDI system: auto, jack, alsa, rtmidi or null")
    to.add_argument("--socket", metavar="PATH", help="local socket to be controlled through")
    to.add_argument("--listen", action="store_true", help="sound live, through FluidSynth")


def _add_render(to: argparse.ArgumentParser) -> None:
    _add_song_flags(to)
    to.add_argument("--bars", type=_count(1), default=16, metavar="N", help="how many (16)")
    to.add_argument("--top-k", metavar="N", help="draw among the N likeliest events; 0 is all")
    to.add_argument("--top-p", metavar="P", help="draw among the likeliest of this chance together")
    to.add_argument(
        "--remote", action="store_true", help="have a worker render it (docs/WORKERS.md)"
    )
    _add_file_flags(to)


def _add_styles(to: argparse.ArgumentParser) -> None:
    to.add_argument("name", nargs="?", metavar="NAME", help="only this style, and all about it")
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint whose styles are listed")
    to.add_argument("--json", action="store_true", help="everything, for programs")
    _add_set(to)


def _add_ports(to: argparse.ArgumentParser) -> None:
    to.add_argument("--backend", help="only this MIDI system")
    _add_set(to)


def _add_doctor(to: argparse.ArgumentParser) -> None:
    to.add_argument("--backend", help="MIDI system to look at: auto, jack, alsa or rtmidi")
    to.add_argument(
        "--loopback",
        nargs="*",
        metavar="PORT",
        help="time notes from an output to an input: two ports, or one by whose name both go; "
        "without any, the MIDI system alone",
    )


def _add_socket(to: argparse.ArgumentParser) -> None:
    to.add_argument("--socket", metavar="PATH", help="local socket of the daemon")


def _add_control(to: argparse.ArgumentParser) -> None:
    _add_socket(to)
    to.add_argument("--list", action="store_true", help="list what can be controlled")
    to.add_argument("--show", action="store_true", help="show what every control is set to")
    to.add_argument(
        "--learned", action="store_true", help="list what was learned; control forget removes it"
    )
    to.add_argument("name", nargs="?", help="what, as in: drumigen control tempo 128")
    to.add_argument("value", nargs="?", help="its new value; without one, what it is set to")


def _add_status(to: argparse.ArgumentParser) -> None:
    _add_socket(to)
    to.add_argument("--json", action="store_true", help="everything, for programs")


def _add_export(to: argparse.ArgumentParser) -> None:
    _add_socket(to)
    to.add_argument("--bars", type=_count(1), default=64, metavar="N", help="the last N bars (64)")
    to.add_argument(
        "--notation",
        action="store_true",
        help="a chart for a notation program: on the grid, with lengths to read",
    )
    _add_file_flags(to)


def _add_service(to: argparse.ArgumentParser) -> None:
    to.add_argument("action", choices=("install", "status", "uninstall"))
    to.add_argument("--user", action="store_true", help="this user's, for JACK and PipeWire")
    to.add_argument("--program", type=Path, metavar="PATH", help="the drumigen to run (this one)")
    to.add_argument("--print", action="store_true", help="only show the unit that install writes")
    to.add_argument("--worker", action="store_true", help="the worker's service, not the drummer's")


def _midi_file(value: str) -> Path:
    path = Path(value)
    if path.suffix.lower() in SOUND_SUFFIXES:
        message = f"{value!r} would be a MIDI file: name it .mid, and give sound to --wav"
        raise argparse.ArgumentTypeError(message)
    return path


def _wav_file(value: str) -> Path:
    path = Path(value)
    if path.suffix.lower() != ".wav":
        message = f"{value!r} is not allowed: sound is written as .wav; ffmpeg makes MP3 of it"
        raise argparse.ArgumentTypeError(message)
    return path


def _count(low: int, high: int = BARS_MAX) -> Callable[[str], int]:
    def whole(value: str) -> int:
        try:
            count = int(value)
        except ValueError:
            count = low - 1
        if not low <= count <= high:
            message = f"{value[:40]!r} is not allowed: use a whole number from {low} to {high}"
            raise argparse.ArgumentTypeError(message)
        return count

    return whole


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(value: str) -> float:
        try:
            given = float(value)
        except ValueError:
            given = math.nan
        if not low <= given <= high:
            message = f"{value[:40]!r} is not allowed: use a number from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(message)
        return given

    return number


def _status(error: DrumigenError) -> int:
    match error:
        case SettingsError():
            return EXIT_CONFIG
        case PortError():
            return EXIT_UNAVAILABLE
        case _:
            return EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
