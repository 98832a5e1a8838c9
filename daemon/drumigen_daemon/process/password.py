"""Where a password is kept that is no setting: a file, the service manager, the environment."""

import errno
import os
from pathlib import Path


def password(file: str, credential: str, variable: str) -> str | None:
    """Return the first line of ``file``, else of systemd's ``credential``, else ``variable``.

    None if there is none of them.

    Raises:
        OSError: the file cannot be read.
    """
    if file:
        return _first_line(Path(file))
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if credentials and (path := Path(credentials) / credential).is_file():
        return _first_line(path)
    return os.environ.get(variable)


def _first_line(path: Path) -> str:
    try:
        return (path.read_text(encoding="utf-8").splitlines() or [""])[0]
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, "it is no text in UTF-8", str(path)) from error
