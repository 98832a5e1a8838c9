"""Files of ours that the user may read and edit."""

from pathlib import Path

from drumigen.atomic_file import write_atomically
from drumigen.errors import SettingsError


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all, making its folder if need be.

    Raises:
        SettingsError: it cannot be written; one line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); check the folder"
        raise SettingsError(message) from error
