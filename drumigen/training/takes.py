"""Takes: performances of consecutive bars, as a corpus holds them, and where they are read from."""

import csv
import hashlib
import logging
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from drumigen.errors import CorpusError, DrumigenError, StyleNotFoundError
from drumigen.kit import EKIT_NOTES, KitMap, load_kit
from drumigen.midi.file import read_song
from drumigen.midi.song import Song, Transcription, transcribed
from drumigen.pattern import Bar
from drumigen.styles import StyleCatalogue, load_styles
from drumigen.text import counted, escaped_line
from drumigen.units import Bpm

log = logging.getLogger(__name__)

SPLITS: Final = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Take:
    """One performance at one tempo: consecutive bars as played, their micro-timing untouched.

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
MIDI_SUFFIXES: Final = frozenset((".mid", ".midi", ".smf", ".kar", ".rmi"))
"""What MIDI files are called, in any case of letters."""

VALIDATION_SHARE, TEST_SHARE = 0.2, 0.1
"""Of the files of a folder without a table."""
FILES_MIN: Final = 3
"""Files of a style below which all are for training."""

TEMPO_SPREAD: Final = 0.03
"""A bar whose tempo differs by more from those before it begins another take: what is said of a
take, and milliseconds above all, goes by its one tempo."""

_COLUMNS: Final = frozenset(
    ("style", "bpm", "beat_type", "time_signature", "midi_filename", "split")
)


def read_takes(folder: Path, splits: Sequence[str] = SPLITS) -> list[Take]:
    """Return the takes of ``folder``, in order of name.

    With an ``info.csv`` (the Groove MIDI Dataset's layout: ``style``, ``bpm``, ``beat_type``,
    ``time_signature``, ``midi_filename``, ``split``, and if given ``drummer`` and ``id``) it says
    what the files are, read by the map of a Roland TD kit.  Without, every MIDI file below the
    folder is a take in the style that its own folder is named after, and its name decides by
    chance whether it is for training (70 %), validation or test.  A name decides the same each
    time, whatever else is in the folder, but that each style of three files and more has one to
    learn from and one to be judged by, and all of a smaller one is for training.

    A file whose tempo changes is as many takes as it has tempi; silence at its end is left out.
    What is odd about a file, and notes that the kit lacks, are in the log.

    Raises:
        CorpusError: there is nothing to read, or the table is wrong.
    """
    table = folder / TABLE
    found = _listed(folder, table, splits) if table.is_file() else _plain(folder, splits)
    takes = sorted(found, key=lambda take: take.name)
    if not takes:
        message = f"{folder}: no takes of {', '.join(splits)}; it needs .mid files or an {TABLE}"
        raise CorpusError(message)
    return takes


def style_named(name: str, catalogue: StyleCatalogue) -> str:
    """Return the style that a folder or column called ``name`` means.

    A name or alias of the catalogue in any spelling ("J Dilla", "Hip-Hop") is that style; any
    other is a style of its own, in lower case and without spaces.
    """
    try:
        return catalogue.find(name).name
    except StyleNotFoundError:
        return re.sub(r"\W+", "_", escaped_line(name).casefold()).strip("_") or "unnamed"


def _listed(folder: Path, table: Path, splits: Sequence[str]) -> Iterator[Take]:
    kit = load_kit("roland_td")
    catalogue = load_styles()
    for number, row in enumerate(_rows(table), start=2):
        try:
            tempo = float(row["bpm"])
        except ValueError:
            tempo = math.nan
        if not 1 <= tempo <= 1000:
            message = f"{table}: line {number}: bpm = {row['bpm']!r}: give beats per minute"
            raise CorpusError(message)
        if row["split"] not in splits:
            continue
        genre = row["style"].partition("/")[0]
        take = Take(
            name=row.get("id") or row["midi_filename"],
            style=STYLE_OF.get(genre) or style_named(genre, catalogue),
            drummer=row.get("drummer") or "",
            tempo=Bpm(tempo),
            bars=(),
            split=row["split"],
            fill=row["beat_type"] == "fill",
        )
        yield from _read(take, folder / row["midi_filename"], kit)


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = sorted(_COLUMNS - set(rows.fieldnames or ()))
            if missing:
                message = f"{table}: columns are missing: {', '.join(missing)}"
                raise CorpusError(message)
            found = list(rows)
    except OSError as failure:
        message = f"{table}: cannot be read ({failure.strerror}); check the path"
        raise CorpusError(message) from failure
    except (UnicodeDecodeError, csv.Error) as failure:
        message = f"{table}: not a table in UTF-8 ({failure}); export it again as CSV"
        raise CorpusError(message) from failure
    for number, row in enumerate(found, start=2):
        if any(row[column] is None for column in _COLUMNS):
            message = f"{table}: line {number} is cut short; give a value for every column"
            raise CorpusError(message)
    return found


@dataclass(frozen=True)
class PlainFolder:
    """A folder without a table, as it is read: the style and the split of each MIDI file."""

    folder: Path
    styles: Mapping[Path, str]
    splits: Mapping[Path, str]
    new: tuple[str, ...]
    """Styles that the catalogue does not know."""

    @classmethod
    def of(cls, folder: Path) -> "PlainFolder":
        """Look at the names of files and folders; nothing is read."""
        catalogue = load_styles()
        own = folder.resolve().name
        styles = {
            path: style_named(own if path.parent == folder else path.parent.name, catalogue)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in MIDI_SUFFIXES and path.is_file()
        }
        new = tuple(sorted({*styles.values()} - {*catalogue.names}))
        return cls(folder, styles, _split_by_name(folder, styles), new)

    def __str__(self) -> str:
        """Return one line: how many files, in which styles and splits."""
        counts = Counter(self.splits.values())
        styles = ", ".join(
            f"{style} (new)" if style in self.new else style
            for style in sorted({*self.styles.values()})
        )
        return (
            f"{escaped_line(str(self.folder))} has no {TABLE}: {counted(len(self.styles), 'file')} "
            f"by folder in {styles}; by file {counts['train']} for training, "
            f"{counts['validation']} for validation, {counts['test']} for test"
        )


def plain_folder(folder: Path) -> PlainFolder | None:
    """Return how ``folder`` is read, or None if a table says it."""
    return None if (folder / TABLE).is_file() else PlainFolder.of(folder)


def _plain(folder: Path, splits: Sequence[str]) -> Iterator[Take]:
    plain = PlainFolder.of(folder)
    for path, style in plain.styles.items():
        split = plain.splits[path]
        if split in splits:
            name = escaped_line(path.relative_to(folder).as_posix())
            yield from _read(Take(name, style, "", Bpm(0.0), (), split), path, None)


def _split_by_name(folder: Path, styles: Mapping[Path, str]) -> dict[Path, str]:
    """Return the split of each file, by its name; at least one for validation of each style."""
    chance = {path: _chance(path.relative_to(folder)) for path in styles}
    split = {path: _split_of(one) for path, one in chance.items()}
    families: defaultdict[str, list[Path]] = defaultdict(list)
    for path, style in styles.items():
        families[style].append(path)
    for family in families.values():
        family.sort(key=chance.__getitem__)
        if len(family) < FILES_MIN:
            split |= dict.fromkeys(family, "train")
        else:
            split[family[0]] = "validation"
            if all(split[path] != "train" for path in family):
                split[family[-1]] = "train"
    return split


def _split_of(chance: float) -> str:
    if chance < VALIDATION_SHARE:
        return "validation"
    return "test" if chance < VALIDATION_SHARE + TEST_SHARE else "train"


def _chance(path: Path) -> float:
    """Return a number from 0 to 1 that is always the same for ``path``."""
    digest = hashlib.sha256(os.fsencode(path.as_posix())).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _read(take: Take, path: Path, kit: KitMap | None) -> Iterator[Take]:
    """Yield what ``path`` holds, a take for each tempo; what is none is left out, and named."""
    try:
        song = read_song(path)
        read = transcribed(song, kit or kit_of(song))
    except DrumigenError as error:
        log.warning("left out: %s", error)
        return
    name = escaped_line(str(path))
    for odd in (*song.odd, read.losses()):
        if odd:
            log.warning("%s: %s", name, odd)
    stretches = list(_stretches(read))
    for number, (bars, tempo) in enumerate(stretches, start=1):
        if not any(bar.hits for bar in bars):
            continue
        if len(stretches) > 1:
            yield replace(take, name=f"{take.name} ({number})", bars=bars, tempo=tempo)
        else:
            yield replace(take, bars=bars, tempo=take.tempo or tempo)


def _stretches(read: Transcription) -> Iterator[tuple[tuple[Bar, ...], Bpm]]:
    """Yield consecutive bars of about one tempo, and that tempo."""
    count = len(read.played)
    start = 0
    for bar in range(1, count + 1):
        tempo = read.mean_tempo(start, bar)
        if bar == count or abs(read.mean_tempo(bar, bar + 1) / tempo - 1) > TEMPO_SPREAD:
            yield read.played[start:bar], tempo
            start = bar


def kit_of(song: Song) -> KitMap:
    """Return the map to read ``song`` by: with the zones of an e-kit where its hat edges are."""
    general, electronic = load_kit("gm"), load_kit("roland_td")
    if EKIT_NOTES.isdisjoint(note.note for note in song.notes):
        return general
    return replace(general, reads={**general.reads, **electronic.reads})
