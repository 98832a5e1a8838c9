"""What installed packages bring: entry points, looked for only when a name is none of ours."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def installed(group: str, name: str | None = None) -> "tuple[EntryPoint, ...]":
    """Return the entry points of ``group``, or those of them that are called ``name``."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to load, seldom needed

    found = entry_points(group=group)
    return tuple(point for point in found if name is None or point.name == name)
