"""What people read about controls holds every one of them."""

import re
from pathlib import Path

from drumigen_daemon.controls.about import GROUPS
from drumigen_daemon.controls.table import ALIASES, CONTROLS

HANDS = Path(__file__).parents[2] / "docs" / "HANDS.md"


def kinds() -> set[str]:
    return {re.sub(r"\.\w+$", ".VOICE", name) for name in CONTROLS}


def test_every_control_has_a_line_of_meaning_and_no_other_has() -> None:
    rows = [about for _, group in GROUPS for about in group]
    assert {about.name for about in rows} == kinds()
    assert len({about.name for about in rows}) == len(rows)
    assert all(3 < len(about.meaning) < 80 and about.meaning[-1] != "." for about in rows)


def test_the_documentation_says_what_every_control_does_and_when_it_acts() -> None:
    named: set[str] = set()
    for line in HANDS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 3:
            named |= {name.split()[0] for name in re.findall(r"`([^`]+)`", cells[0])}
            assert all(cells), line
    assert named == kinds()
    assert not named & set(ALIASES)
