"""The pages of the documentation, and the code blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "drumigen" / "model" / "checkpoints" / "MODEL_CARD.md",
    ROOT / "drumigen" / "bank" / "bars" / "README.md",
    ROOT / "tests" / "dialects" / "README.md",
    ROOT / "tests" / "groove" / "README.md",
)
"""All that the site shows; the pages lie where a checkout has them."""

_MARK: Final = re.compile(r"<!-- (?:not run: (?P<reason>.+?)|run by (?P<test>\S+)) -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page, and what the comment before it says of it."""

    page: Path
    line: int
    """From 1."""
    language: str
    text: str
    reason: str = ""
    """Why it is not run."""
    test: str = ""
    """Path of the test that runs it."""

    @property
    def left_alone(self) -> bool:
        """Whether a comment says why it is not run here."""
        return bool(self.reason or self.test)

    @property
    def file(self) -> str:
        """The path in a comment on its first line: the block is that file."""
        named = re.match(r"# (\S+\.\w+)\n", self.text)
        return named[1] if named else ""

    def __str__(self) -> str:
        """Say where it is."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """Return the path of ``page`` in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the code blocks of ``page`` in order; directives of the site are none."""
    comment = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            comment = _MARK.match(token.content.strip())
            continue
        if token.type in ("fence", "code_block") and not token.info.startswith("{"):
            line = (token.map or [0])[0] + 1
            reason, test = (comment["reason"] or "", comment["test"] or "") if comment else ("", "")
            yield Block(page, line, token.info.strip(), token.content, reason, test)
        comment = None


def inline_code(page: Path) -> Iterator[str]:
    """Yield what stands in backticks in the sentences and tables of ``page``."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


BLOCKS: Final = tuple(block for page in PAGES for block in blocks_of(page))
