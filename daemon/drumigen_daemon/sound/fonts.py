"""Which sound fonts are installed, and which of them is the best."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

FOLDERS: Final = (
    "~/.local/share/sounds/sf2",
    "~/.local/share/sounds/sf3",
    "~/.local/share/soundfonts",
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/usr/local/share/fluidsynth/sf2",
    "/opt/homebrew/share/fluidsynth/sf2",
    "/opt/homebrew/share/soundfonts",
)
"""Where Debian, Arch, Fedora, Homebrew and users put them."""
BEST_FIRST: Final = (
    "MuseScore_General",
    "FluidR3_GM",
    "FluidR3",
    "GeneralUser",
    "TimGM6mb",
    "default",
    "VintageDreamsWaves",
)
"""Names, or their beginnings, of those that hold a General MIDI drum kit; in any case."""
FONT_SUFFIXES: Final = (".sf2", ".sf3")


def sound_font(chosen: str = "", folders: Sequence[str] = FOLDERS) -> Path | None:
    """Return ``chosen`` if it is a file, else the best one of ``folders``; None if there is none.

    A font of a name that is not known may hold no drums: it is taken last, the largest first.
    """
    if chosen:
        path = Path(chosen).expanduser()
        return path if path.is_file() else None
    return min(_installed(folders), key=_rank, default=None)


def _installed(folders: Iterable[str]) -> list[Path]:
    found = []
    for folder in folders:
        try:
            paths = sorted(Path(folder).expanduser().iterdir())
        except (OSError, RuntimeError):
            continue  # not there, not ours to read, or no home
        found += [path for path in paths if path.suffix.lower() in FONT_SUFFIXES and path.is_file()]
    return found


def _rank(path: Path) -> tuple[int, int]:
    # "default" is a link: what it leads to counts
    names = (path.resolve().stem.lower(), path.stem.lower())
    known = (
        place
        for place, name in enumerate(BEST_FIRST)
        if any(each.startswith(name.lower()) for each in names)
    )
    return next(known, len(BEST_FIRST)), -path.stat().st_size
