"""Every code block of the documentation is run here, or says beside it why it is not."""

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from drumigen.catalogue import load_catalogue
from drumigen.feel.feel import Feel
from drumigen.feel.groove import groove_toml
from drumigen.kit import load_kit
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.settings.loading import load_settings
from fixtures_jack import wait_for
from pages import BLOCKS, PAGES, ROOT, Block, name_of
from stage_fixtures import Daemon
from stage_fixtures import drumigen as daemon
from web_stage import free_port

TAKE = next((ROOT / "tests" / "groove").glob("drummer1/**/*.mid"))
RUN = {"python", "toml", "sh"}
DIRECTIVES = {"toctree", "eval-rst", "literalinclude", "drumigen-commands"}
"""Of the site; they show no code that somebody would type in."""
OF_A_DAEMON = {"control", "status", "export"}


def to_run(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and not block.left_alone]


def pages_with(language: str) -> list[str]:
    return list(dict.fromkeys(name_of(block.page) for block in to_run(language)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of its own, with a take in it; no MIDI."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "DRUMIGEN_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DRUMIGEN_MIDI_BACKEND", "null")
    monkeypatch.setenv("DRUMIGEN_CONTROL_SOCKET", str(tmp_path / "drumigen.sock"))
    (tmp_path / "take.mid").write_bytes(TAKE.read_bytes())
    return tmp_path


def test_every_block_is_run_or_says_why_it_is_not() -> None:
    silent = [
        f"{block} ({block.language or 'no language'})"
        for block in BLOCKS
        if not block.left_alone and block.language not in RUN
    ]
    assert silent == []


def test_no_block_hides_from_the_rule() -> None:
    other = re.compile(r"^ *(?:```+|~~~+)\{([\w-]+)\}|<pre|\.\. code|::$", re.MULTILINE)
    hidden = [
        f"{name_of(page)}: {found[0]}"
        for page in PAGES
        for found in other.finditer(page.read_text(encoding="utf-8"))
        if found[1] not in DIRECTIVES
    ]
    assert hidden == []


def test_who_is_said_to_run_a_block_reads_that_page() -> None:
    for block in BLOCKS:
        if block.test:
            assert block.page.name in (ROOT / block.test).read_text(encoding="utf-8"), str(block)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(home: Path, page: str) -> None:  # noqa: ARG001 - the working folder
    names: dict[str, object] = {}
    for block in to_run("python"):
        if name_of(block.page) == page:
            exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - ours


@pytest.mark.parametrize("block", to_run("toml"), ids=str)
def test_toml_is_taken_by_what_reads_it(home: Path, block: Block) -> None:
    path = home / "styles" / "mine.toml"
    path.parent.mkdir()
    path.write_text(block.text, encoding="utf-8")
    keys = {line.partition("=")[0].strip() for line in block.text.splitlines()}
    if "controls" in keys:
        assert load_controller(str(path)).controls
    elif "[voices]" in keys:
        assert load_kit(str(path)).notes
    elif "bank" in keys:
        (path.parent / "take.groove.toml").write_text(groove_toml(Feel(swing=57), "take"), "utf-8")
        catalogue = load_catalogue(path.parent)
        assert catalogue.complaints == ()
        assert catalogue.find("mine").feel.swing == 57
    else:
        assert load_settings(path, {}, [], keep_styles=True) != load_settings(
            None, {}, [], keep_styles=True
        )


class Terminal:
    """Carries out the commands of a page, one after another; a daemon plays meanwhile if need be.

    The daemon has no MIDI, and ``play`` is cut to one quick bar.
    """

    def __init__(self, home: Path, port: int, stack: ExitStack) -> None:
        self._home, self._port, self._stack = home, port, stack
        self._daemon: Daemon | None = None

    def type(self, line: str) -> None:
        """Carry out one line; it has to succeed."""
        program, *words = shlex.split(line, comments=True)
        arguments = [str(Path(word).expanduser()) if word[:2] == "~/" else word for word in words]
        if program == "drumigen" and arguments[0] == "run":
            self._start(arguments[1:])
        elif program == "drumigen":
            self._drumigen(arguments)
        elif program == "mkdir":
            Path(arguments[-1]).mkdir(parents=True, exist_ok="-p" in arguments)
        elif program == "make":
            self._succeeds(["make", "--dry-run", "--directory", str(ROOT), *arguments])
        elif program == "curl":
            self._curl([part.replace(":8808/", f":{self._port}/") for part in arguments])
        else:
            pytest.fail(f"no test can run {program!r}: say why, in a comment before the block")

    def _start(self, arguments: list[str]) -> None:
        if self._daemon is None:
            self._daemon = self._stack.enter_context(daemon(self._home, *arguments))

    def _drumigen(self, arguments: list[str]) -> None:
        command = arguments[0]
        if command in OF_A_DAEMON:
            self._start([])
        if command == "export":
            self._play_a_bar()
        if command == "play":
            arguments += ["--bars", "1", "--bpm", "400"]
        self._succeeds([sys.executable, "-m", "drumigen_daemon.cli", *arguments])
        for before, name in itertools.pairwise(arguments):
            if before in ("--output", "--wav") and "." in name:
                assert Path(name).stat().st_size

    def _play_a_bar(self) -> None:
        assert self._daemon is not None
        self._daemon.control("tempo", 400)
        self._daemon.control("start")
        playing = self._daemon
        wait_for(lambda: playing.status()["bar"] > 2, 20, "no bar was played")

    def _curl(self, arguments: list[str]) -> None:
        self._start([])
        if any("/history/" in part for part in arguments):
            self._play_a_bar()
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60"]
        if "-N" in arguments:  # an endless stream: its first line will do
            with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE) as stream:
                assert stream.stdout is not None
                assert stream.stdout.readline()
                stream.kill()
            return
        ran = subprocess.run([*command, *arguments], capture_output=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        if "--output" in arguments:
            assert Path(arguments[-1]).stat().st_size
        elif "-X" not in arguments:
            assert ran.stdout

    @staticmethod
    def _succeeds(command: list[str]) -> None:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"


@pytest.fixture
def terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    port = free_port()
    monkeypatch.setenv("DRUMIGEN_WEB_PORT", str(port))
    with ExitStack() as stack:
        yield Terminal(home, port, stack)


@pytest.mark.process
@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_do_what_they_say(home: Path, terminal: Terminal, page: str) -> None:
    for block in BLOCKS:
        if name_of(block.page) != page or block.left_alone:
            continue
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.strip():
                    terminal.type(line)
        elif block.file:
            path = home / block.file.removeprefix("~").lstrip("/")  # never into /etc
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
