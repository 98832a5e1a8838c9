"""Files that are whole, old or new, whenever the power goes."""

import contextlib
import os
import tempfile
from pathlib import Path

from drumigen.errors import SettingsError


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; whoever reads it, at any time, finds the old or the new file.

    A symbolic link stays one; a device or pipe is simply written to.  Permissions of a file that
    was there are kept, a new one has those that the umask gives.

    Raises:
        OSError: it cannot be written there; the old file is as it was.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".new", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    _sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # the new name is safe only once the folder is; Windows offers no such thing
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
