"""Standard MIDI Files in and out."""

from collections.abc import Iterable
from pathlib import Path

from drumigen.atomic_file import write_atomically
from drumigen.errors import MidiFileError, PatternError
from drumigen.midi import smf
from drumigen.midi.smf import META, Event, parsed
from drumigen.midi.song import (
    TICK_MAX,
    Marker,
    MeterMark,
    Note,
    Song,
    TempoMark,
    bars_from_song,
    song_from_bars,
)
from drumigen.midi.status import NOTE_ON
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, Tick

__all__ = [
    "Marker",
    "MeterMark",
    "Note",
    "Song",
    "TempoMark",
    "bars_from_song",
    "read_song",
    "song_from_bars",
    "song_from_bytes",
    "song_to_bytes",
    "write_song",
]

FILE_MAX = 16 * 1024 * 1024
"""Bytes; three hundred times a song of drums."""

_SMPTE = 0x8000
"""Divisions from here on count frames a second."""

_POWER_MAX = 8
"""Of two, below the line of a metre; what is allowed there ends at 16."""


def read_song(path: str | Path) -> Song:
    """Read a Standard MIDI File of type 0 or 1; ``Song.odd`` says what was passed over in it.

    Raises:
        MidiFileError: it cannot be read, or is none; one line that names the file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as failure:
        message = f"{path}: cannot be read ({failure.strerror}); check the path"
        raise MidiFileError(message) from failure
    try:
        return song_from_bytes(data)
    except MidiFileError as failure:
        message = f"{path}: {failure}"
        raise MidiFileError(message) from failure


def write_song(song: Song, path: str | Path) -> None:
    """Write ``song`` as a Standard MIDI File of type 0; a file that was there is lost last.

    Raises:
        MidiFileError: the file cannot be written.
    """
    try:
        write_atomically(Path(path), song_to_bytes(song))
    except OSError as failure:
        message = f"{path}: cannot be written ({failure.strerror}); check folder and permissions"
        raise MidiFileError(message) from failure


def song_from_bytes(data: bytes) -> Song:
    """Read the bytes of a Standard MIDI File; other divisions are rescaled to 1920.

    What no drummer needs is passed over; ``Song.odd`` says what was odd about it.

    Raises:
        MidiFileError: the bytes are no such file, or state what no bar can hold.
    """
    if len(data) > FILE_MAX:
        message = f"{len(data)} bytes are too many for a MIDI file of drums; split the song"
        raise MidiFileError(message)
    file = parsed(data)
    if file.kind not in (0, 1):
        message = f"MIDI file type {file.kind} is not supported; export it as type 0 or 1"
        raise MidiFileError(message)
    if not 0 < file.division < _SMPTE:
        message = "the MIDI file counts SMPTE frames; export it with ticks per quarter note"
        if not file.division:
            message = "the MIDI file has 0 ticks to a quarter note; export it again"
        raise MidiFileError(message)
    reader = _Reader(file.division)
    for track in file.tracks:
        reader.read(track)
    if file.broken and not reader.has_notes:
        message = f"not a readable MIDI file ({file.odd[-1]}); export it again"
        raise MidiFileError(message)
    return reader.song(file.odd)


def song_to_bytes(song: Song) -> bytes:
    """Return ``song`` as a Standard MIDI File of type 0, 1920 ticks per quarter note."""
    # most processes only read, and mido takes longer to load than all of ours
    from drumigen.midi.smf_writer import bytes_of  # noqa: PLC0415

    return bytes_of(song)


class _Reader:
    """Gathers a song from tracks that share one time."""

    def __init__(self, division: int) -> None:
        self._division = division
        self._notes: list[Note] = []
        self._tempos: list[TempoMark] = []
        self._meters: list[MeterMark] = []
        self._markers: list[Marker] = []
        self._name = ""
        self._end = Tick(0)
        self._odd: list[str] = []

    @property
    def has_notes(self) -> bool:
        """Whether a note was read."""
        return bool(self._notes)

    def read(self, track: Iterable[Event]) -> None:
        """Add one track; a note that is never released lasts to the end of its track."""
        division = self._division
        tick = Tick(0)
        held: dict[tuple[int, int], tuple[Tick, int]] = {}
        for now, status, first, second, text in track:
            tick = Tick((2 * now * TICKS_PER_BEAT + division) // (2 * division))
            if status == META:
                self._mark(tick, first, text)
                continue
            key = status & 0x0F, first
            self._release(held, key, tick)
            if status & 0xF0 == NOTE_ON and second:
                held[key] = tick, second
        for key in tuple(held):
            self._release(held, key, tick)
        # what lies beyond the longest song is silence: notes there are refused
        self._end = max(self._end, Tick(min(tick, TICK_MAX)))

    def song(self, odd: Iterable[str]) -> Song:
        """Return what has been gathered; ``odd`` is what was odd about the bytes."""
        return Song(
            tuple(self._notes),
            tuple(self._tempos),
            tuple(self._meters),
            tuple(self._markers),
            self._name,
            self._end,
            (*odd, *self._odd),
        )

    def _release(
        self, held: dict[tuple[int, int], tuple[Tick, int]], key: tuple[int, int], tick: Tick
    ) -> None:
        if key in held:
            start, velocity = held.pop(key)
            length = max(1, min(tick, TICK_MAX) - start)
            self._notes.append(Note(start, *key, velocity, length))

    def _mark(self, tick: Tick, kind: int, text: bytes) -> None:
        if tick > TICK_MAX:
            return
        match kind:
            case smf.SET_TEMPO if len(text) >= 3:
                self._tempos.append(TempoMark(tick, int.from_bytes(text[:3])))
            case smf.TIME_SIGNATURE if len(text) >= 2:
                self._meters.append(MeterMark(tick, _meter(*text[:2])))
            case smf.SET_TEMPO | smf.TIME_SIGNATURE:
                self._odd.append(f"a tempo or metre of {len(text)} bytes was passed over")
            case smf.MARKER:
                self._markers.append(Marker(tick, _decoded(text)))
            case smf.TRACK_NAME if not self._name:
                self._name = _decoded(text)
            case _:
                pass


def _meter(numerator: int, power: int) -> Meter:
    if power > _POWER_MAX:
        message = f"metre {numerator}/2^{power} is out of range: use 2, 4, 8 or 16 below the line"
        raise MidiFileError(message)
    try:
        return Meter(numerator, 2**power)
    except PatternError as failure:
        raise MidiFileError(str(failure)) from failure


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
