"""The file of what was learned: bindings in TOML, whose comments stay."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Table

from drumigen.atomic_file import replace_file
from drumigen.errors import SettingsError
from drumigen.resources import toml_text
from drumigen_daemon.controls.binding import Binding, ControllerMap, load_controller
from drumigen_daemon.controls.table import ALIASES

HEADING: Final = "Learned by drumigen: edit it freely, comments stay."


def load_learned(path: Path) -> ControllerMap:
    """Return what was learned so far; nothing where there is no file yet.

    Raises:
        SettingsError: the file is wrong; one line that says where.
    """
    return load_controller(str(path)) if path.is_file() else ControllerMap()


def save_binding(path: Path, binding: Binding) -> None:
    """Add a binding to the file, in place of what its knob or its control did there.

    Raises:
        SettingsError: the file is not ours to understand, or cannot be written; one line.
    """
    document, rows = _opened(path)
    new = msgspec.to_builtins(binding)
    old = [row for row in rows if _gives_way(row.unwrap(), binding)]
    if old:
        # changed where it is: a row holds the comments that follow it
        for key in [key for key in old[0] if key not in new]:
            del old[0][key]
        old[0].update(new)
    else:
        rows.append(_row(new, inline=not isinstance(rows, AoT)))
    _delete(rows, old[1:])
    replace_file(path, tomlkit.dumps(document))


def remove_bindings(path: Path, control: str) -> None:
    """Take what moves ``control`` out of the file.

    Raises:
        SettingsError: the file is not ours to understand, or cannot be written; one line.
    """
    document, rows = _opened(path)
    _delete(rows, [row for row in rows if _control(row.unwrap()) == control])
    replace_file(path, tomlkit.dumps(document))


def _opened(path: Path) -> tuple[tomlkit.TOMLDocument, AoT | Array]:
    """Return the file, new if there is none, and its rows."""
    try:
        text = toml_text(path, SettingsError) if path.exists() else ""
        document = tomlkit.parse(text)
    except (ValueError, TOMLKitError) as error:
        message = f"{path}: not valid TOML ({error}); mend it, or choose another by control.learned"
        raise SettingsError(" ".join(message.split())) from error
    if not text:
        document.add(tomlkit.comment(HEADING))
        document.add("title", "Learned")
    rows = document.get("controls")
    if rows is None:
        rows = tomlkit.aot()
        document.add("controls", rows)
    if not isinstance(rows, AoT | Array):
        message = f"{path}: controls is no list of tables; mend it"
        raise SettingsError(message)
    return document, rows


def _delete(rows: AoT | Array, unwanted: Sequence[object]) -> None:
    for row in unwanted:
        index = next(index for index, other in enumerate(rows) if other is row)
        del rows[index]


def _control(row: dict[str, object]) -> str:
    name = str(row.get("control"))
    return ALIASES.get(name, name)


def _row(cells: dict[str, object], *, inline: bool) -> Table | InlineTable:
    row = tomlkit.inline_table() if inline else tomlkit.table()
    row.update(cells)
    return row


def _gives_way(row: dict[str, object], binding: Binding) -> bool:
    kind, number = binding.sign
    same_knob = row.get(kind) == number and row.get("channel") == binding.channel
    return same_knob or (_control(row) == binding.name and "value" not in row)
