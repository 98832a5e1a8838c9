"""Writing a file so that it is either the old one or the new one, whatever happens."""

import contextlib
import os
import tempfile
from pathlib import Path

from drumigen.errors import SettingsError


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, making its folder if need be.

    Raises:
        SettingsError: it cannot be written; one line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); check the folder"
        raise SettingsError(message) from error
