"""The command line: what can be asked for; each command lives in a module of its own."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from drumigen import __version__
from drumigen.errors import DrumigenError, PortError, SettingsError
from drumigen_daemon.controls.values import shown
from drumigen_daemon.process.channel import EXIT_UNAVAILABLE
from drumigen_daemon.settings.loading import Given, find_file, hint, load_settings
from drumigen_daemon.settings.sections import ALLOWED, Settings

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_CONFIG: Final = 78  # <sysexits.h>, which Windows lacks
EXIT_INTERRUPTED: Final = 130

SET_EXAMPLE: Final = "--set clock.tempo=100"

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

COMMANDS: Final = (
    ("play", "play", "play now, with a live view; needs no MIDI"),
    ("run", "run", "run the daemon: follow MIDI clock until stopped"),
    ("render", "render", "write bars to a MIDI file, offline"),
    ("styles", "styles", "list the styles, your own among them"),
    ("ports", "ports", "list MIDI ports, and which of ours connect to them"),
    ("doctor", "doctor", "check this machine, and say how to mend what is wrong"),
    ("control", "remote", "change something in the running daemon"),
    ("status", "remote", "say what the running daemon does"),
    ("watch", "watch", "show what the running daemon plays, and steer it by keys"),
    ("train", "train", "train a drummer on a folder of MIDI files"),
    ("eval", "evaluate", "hold a drummer against human takes"),
    ("plot", "plot", "draw bars: what sounds when, how loud, how far off the grid"),
    ("groove", "groove", "take the feel of a performance from a MIDI file"),
    ("export", "remote", "write the last bars the daemon played to a file"),
    ("service", "service", "install, look at or remove the systemd service"),
    ("worker", "worker", "write bars for drummers on other machines"),
    ("web", "web", "let phones of the network use the panel"),
)
"""Each command: its name, its module in ``commands``, and what it does, in a line."""
_OPTIONS: Final = {"train": "train_options", "evaluate": "evaluate_options"}
"""Modules that say what a command takes, where its own loads libraries that may be missing."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and leave."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


class _CommandParser(Parser):
    """The parser of one command, which asks the command's module what it takes."""

    _filled = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """Parse, once the arguments are known."""
        self._fill()
        return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        """Return the help, once the arguments are known."""
        self._fill()
        return super().format_help()

    def _fill(self) -> None:
        module = self.get_default("module")
        if module and not self._filled:
            self._filled = True
            name = f"drumigen_daemon.commands.{_OPTIONS.get(module, module)}"
            importlib.import_module(name).add_arguments(self)


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
    """Return the parser of the whole command line; what a command takes is loaded when needed."""
    top = Parser(
        prog="drumigen",
        description="A drummer for live performance: follows MIDI clock and plays in sync.",
        allow_abbrev=False,
    )
    common = _CommandParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings file")
    top.add_argument("--version", action="version", version=f"drumigen {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=_CommandParser)
    for name, module, summary in COMMANDS:
        added = commands.add_parser(
            name, help=summary, description=summary, parents=[common], allow_abbrev=False
        )
        added.set_defaults(module=module, command=name)
    return top


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
