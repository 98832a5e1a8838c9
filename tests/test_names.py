"""One name for one thing: what a module offers to others has its name to itself."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SAME: Final = {
    # doors that rooms of one kind share
    "main",
    "run",
    "serve",
    "add_arguments",
    "probe",
    "peers",
    "password_of",
    # the grammars of the bank
    "feel",
    "fill",
    "idiom",
    "phrase",
    # one thing in two ways: numpy and torch; bars and arrays
    "draw",
    "jittered",
    "Floats",
    "Ints",
    "Weights",
    # the same limit or period, of one process each
    "ANSWER_SECONDS_MAX",
    "BACKLOG_MAX",
    "CLIENTS_MAX",
    "FRAME",
    "KEEP_ALIVE",
    "MEMORY_MAX",
    "NICENESS",
    "RETRY",
    "SIGN_PERIOD",
    "SLEW",
    # the same value, where an import would load too much or go through a wall
    "CLOCK_PORT",
    "EXIT_INTERRUPTED",
    "NOTES_PORT",
    "RATE",
    # usage
    "T",
    "log",
}
"""Names that stand in several modules, for the same in each."""


def public_names(module: Path) -> Iterator[str]:
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_is_of_one_module() -> None:
    homes = defaultdict(set)
    for package in (ROOT / "drumigen", ROOT / "daemon" / "drumigen_daemon"):
        for module in package.rglob("*.py"):
            for name in public_names(module):
                homes[name].add(module.relative_to(ROOT).as_posix())
    doubled = {name: sorted(where) for name, where in homes.items() if len(where) > 1}
    assert {name: where for name, where in doubled.items() if name not in SAME} == {}
    assert sorted(SAME - doubled.keys()) == []
