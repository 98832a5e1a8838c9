"""One realtime limit in everything that a user reads, and what we ask for lies below it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from drumigen_daemon.engine.messages import EngineSetup
from drumigen_daemon.process.realtime import PERMITTED_PRIORITY, _fifo
from drumigen_daemon.settings.sections import Settings

ROOT = Path(__file__).parents[2]
LIMITS = re.compile(r"rtprio[ =]+(\d+)", re.IGNORECASE)
PRIORITIES = re.compile(
    r"(?:realtime priority|realtime_priority\s*=|realtime fifo)\s*([1-9]\d*)", re.IGNORECASE
)


def read_by_users() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for folder, endings in (
        ("docs", ("*.md",)),
        ("systemd", ("*.service", "*.conf")),
        ("config", ("*.toml",)),
        ("daemon", ("*.py",)),
        ("tests/vm", ("*.py",)),
        (".ci", ("*",)),
    ):
        for ending in endings:
            yield from (path for path in (ROOT / folder).rglob(ending) if path.is_file())


def found(wanted: re.Pattern[str]) -> dict[str, set[int]]:
    """Return the numbers in each file that has some."""
    files = {
        str(path.relative_to(ROOT)): {
            int(number)
            for number in wanted.findall(path.read_text(encoding="utf-8", errors="replace"))
        }
        for path in read_by_users()
    }
    return {name: numbers for name, numbers in files.items() if numbers}


def test_the_limit_is_one_number_in_documents_and_units() -> None:
    limits = found(LIMITS)
    assert {"docs/INSTALL.md", "systemd/drumigen.service", "systemd/drumigen-user.service"} <= set(
        limits
    )
    assert all(numbers == {PERMITTED_PRIORITY} for numbers in limits.values()), limits


def test_the_priority_is_one_number_in_documents_settings_and_code() -> None:
    ours = Settings().engine.realtime_priority
    priorities = found(PRIORITIES)
    assert {"docs/INSTALL.md", "config/drumigen.toml"} <= set(priorities)
    assert all(numbers == {ours} for numbers in priorities.values()), priorities
    assert EngineSetup().priority == ours
    assert ours < PERMITTED_PRIORITY


@pytest.mark.parametrize(
    "said", [f"`LimitRTPRIO={PERMITTED_PRIORITY}`", "as Debian's JACK sets it"]
)
def test_it_is_said_what_the_limit_is_for(said: str) -> None:
    text = (ROOT / "docs" / "INSTALL.md").read_text(encoding="utf-8")
    (section,) = [part for part in text.split("\n## ") if part.startswith("4. Keeping time")]
    assert said in " ".join(section.split())
    assert "needs permission" in " ".join(section.split())


def test_who_lacks_permission_is_told_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.sched_setscheduler", refused, raising=False)
    assert f"rtprio {PERMITTED_PRIORITY}" in _fifo(70)
