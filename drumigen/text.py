"""Text for people: names from outside on one printable line, and numbers with their noun."""

import unicodedata
from typing import Final

_UNPRINTABLE: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories: control characters, what is no UTF-8, and separators of lines."""


def escaped_line(text: str) -> str:
    r"""Return ``text`` with line breaks and control characters escaped, as in ``\n``.

    Bytes of a file name that are no UTF-8 (Python's surrogate escapes) become ``\xff``.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable, text))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 bar``, ``2 bars``; ``plural`` where an s will not do."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def _printable(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
