"""Takes: performances of consecutive bars, as a corpus holds them, and where they are read from."""

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from drumigen.errors import CorpusError, DrumigenError
from drumigen.kit import KitMap, load_kit
from drumigen.midi.file import read_song
from drumigen.midi.song import bars_from_song
from drumigen.pattern import Bar
from drumigen.units import Bpm

log = logging.getLogger(__name__)

SPLITS: Final = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Take:
    """One performance: consecutive bars, as played, with its micro-timing untouched.

    ``style`` is a name of the style catalogue, ``drummer`` is empty where nobody knows, and
    ``fill`` says that the take is nothing but a fill.
    """

    name: str
    style: str
    drummer: str
    tempo: Bpm
    bars: tuple[Bar, ...]
    split: str = "train"
    fill: bool = False


STYLE_OF: Final[Mapping[str, str]] = {
    "gospel": "soul",
    "highlife": "afrobeat",
    "middleeastern": "latin",
}
"""The few genres of the Groove MIDI Dataset that have too little to stand for themselves, and the
style that they are counted as.  Every other is a style of its own, by the first part of its
name."""

TABLE: Final = "info.csv"


def read_takes(folder: Path, splits: Sequence[str] = SPLITS) -> list[Take]:
    """Return the takes of ``folder``, in order of name.

    With an ``info.csv`` (the Groove MIDI Dataset's layout: ``style``, ``bpm``, ``beat_type``,
    ``time_signature``, ``midi_filename``, ``split``, and if given ``drummer`` and ``id``) it says
    what the files are, read by the map of a Roland TD kit.  Without, every ``.mid`` below the
    folder is a take in the style that its own folder is named after, all of them for training.

    Raises:
        CorpusError: there is nothing to read, or the table lacks a column.
    """
    table = folder / TABLE
    found = _listed(folder, table, splits) if table.is_file() else _plain(folder, splits)
    takes = sorted(found, key=lambda take: take.name)
    if not takes:
        message = f"{folder}: no takes of {', '.join(splits)}; it needs .mid files or an {TABLE}"
        raise CorpusError(message)
    return takes


def _listed(folder: Path, table: Path, splits: Sequence[str]) -> Iterator[Take]:
    kit = load_kit("roland_td")
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        wanted = {"style", "bpm", "beat_type", "time_signature", "midi_filename", "split"}
        missing = sorted(wanted - set(rows.fieldnames or ()))
        if missing:
            message = f"{table}: columns are missing: {', '.join(missing)}"
            raise CorpusError(message)
        for row in rows:
            if row["split"] not in splits:
                continue
            genre = row["style"].partition("/")[0]
            take = Take(
                name=row.get("id") or row["midi_filename"],
                style=STYLE_OF.get(genre, genre),
                drummer=row.get("drummer") or "",
                tempo=Bpm(float(row["bpm"])),
                bars=(),
                split=row["split"],
                fill=row["beat_type"] == "fill",
            )
            yield from _read(take, folder / row["midi_filename"], kit)


def _plain(folder: Path, splits: Sequence[str]) -> Iterator[Take]:
    kit = load_kit("gm")
    for path in sorted(folder.rglob("*.mid")) if "train" in splits else ():
        style = path.parent.name if path.parent != folder else folder.name
        take = Take(str(path.relative_to(folder)), style.lower(), "", Bpm(0.0), ())
        yield from _read(take, path, kit)


def _read(take: Take, path: Path, kit: KitMap) -> Iterator[Take]:
    """Yield the take with its bars; a file that is none is named in the log and left out."""
    try:
        song = read_song(path)
        bars = tuple(bars_from_song(song, kit))
    except DrumigenError as error:
        log.warning("left out: %s", error)
        return
    if any(bar.hits for bar in bars):
        yield replace(take, bars=bars, tempo=take.tempo or song.tempo)
