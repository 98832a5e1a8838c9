"""What the pages name is there: files of the repository, commands, settings and controls."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator

import pytest

from drumigen import __version__
from drumigen_daemon import cli
from drumigen_daemon.controls.table import ALIASES, CONTROLS
from drumigen_daemon.settings.sections import ALLOWED
from pages import PAGES, ROOT, inline_code, name_of

FOLDERS = (ROOT, ROOT / "daemon" / "drumigen_daemon", ROOT / "drumigen", ROOT / "docs")
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for package in ("daemon", "drumigen")
    for path in sorted((ROOT / package).rglob("*.py"))
)
PAST = ("CHANGELOG.md",)
"""Pages that tell what was."""
OF_HANDS = {"learn", "forget", "NAME"}
"""What ``drumigen control`` takes beside the controls of the table."""


def said_in_pages(pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    for page in PAGES:
        if page.name not in PAST:
            for code in inline_code(page):
                if found := re.fullmatch(pattern, code):
                    yield name_of(page), found


def test_files_that_pages_name_are_there() -> None:
    named = list(said_in_pages(r"(?![/~.])[\w*/.-]*/[\w.*-]+\.(py|toml|md|csv|svg|service)"))
    missing = {
        f"{page}: {found[0]}"
        for page, found in named
        if not any(any(folder.glob(found[0])) for folder in (*FOLDERS, (ROOT / page).parent))
    }
    assert len(named) > 50
    assert missing == set()


@pytest.mark.slow
def test_commands_that_pages_name_are_understood() -> None:
    named = list(said_in_pages(r"(?:sudo |pw-jack )?drumigen ([a-z]+ .*)"))
    assert len(named) > 30
    refused = []
    for page, found in named:
        words = [re.sub(r"^N$", "1", word) for word in shlex.split(found[1])]
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            try:
                options = cli.parser().parse_args(words)
            except SystemExit:
                # what takes an argument may be named without it
                if "required" not in said.getvalue() and "expected" not in said.getvalue():
                    refused.append(f"{page}: {found[0]}: {said.getvalue()}")
                continue
        name = getattr(options, "name", None)
        if options.command == "control" and name:
            assert name in {*CONTROLS, *ALIASES, *OF_HANDS}, f"{page}: {found[0]}"
    assert refused == []


def test_settings_that_pages_name_are_there() -> None:
    named = list(said_in_pages(r"([a-z]+)\.([a-z_]+)( = .*)?"))
    # there, styles.names and the like are Python
    ours = [(page, found) for page, found in named if found[1] in ALLOWED and page != "docs/API.md"]
    assert len(ours) > 20
    for page, found in ours:
        assert found[2] in ALLOWED[found[1]] or found[2] == "py", f"{page}: {found[0]}"


def test_controls_of_the_table_are_those_that_are_there() -> None:
    rows = re.findall(
        r"^\| (`.+?) \| .+ \| .+ \|$", (ROOT / "docs" / "HANDS.md").read_text("utf-8"), re.MULTILINE
    )
    named = {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {name.replace(".VOICE", "") for name in named} - OF_HANDS == {
        name.partition(".")[0] for name in CONTROLS
    } - OF_HANDS


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in re.findall(
            r"^\| `(.+?)` \| .+ \| .+ \|$",
            (ROOT / "docs" / "INSTALL.md").read_text("utf-8"),
            re.MULTILINE,
        )
        if not row.startswith(("sudo ", "drumigen"))
    ],
)
def test_what_drumigen_is_said_to_say_it_says(row: str) -> None:
    joined = re.sub(r'"\s*\n\s*f?"', "", SOURCES)
    # the mark and the name of what was looked at stand in columns of their own
    words = re.sub(r"^(FAIL|warn|-) (midi (jack|alsa)|\w+) ?", "", row)
    for part in re.split(r"…|\?|\(|\b200\b", words):
        assert part.strip(" :;,.)") in joined, part


def test_the_version_that_pages_name_is_ours() -> None:
    for page in PAGES:
        for version in re.findall(r"drumigen-(\d+\.\d+\.\d+)-", page.read_text(encoding="utf-8")):
            assert version == __version__, name_of(page)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130


def test_architecture_is_one_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").split()) <= 900


def test_every_module_of_more_than_400_lines_has_a_reason() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("## Larger than we like")[2]
    rows = re.findall(r"^\| (`.+?`) \| .{10,} \|$", text, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    large = [
        path.relative_to(package).as_posix()
        for package in (ROOT / "daemon" / "drumigen_daemon", ROOT / "drumigen")
        for path in package.rglob("*.py")
        if len(path.read_text("utf-8").splitlines()) > 400
    ]
    assert sorted(named) == sorted(large)


def test_every_page_is_on_the_site() -> None:
    elsewhere = {
        path
        for path in ROOT.rglob("*.md")
        if not any(part.startswith(".") or part == "build" for part in path.relative_to(ROOT).parts)
    }
    assert elsewhere - set(PAGES) == set()
