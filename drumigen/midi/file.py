"""Standard MIDI Files in and out."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from drumigen.atomic_file import write_atomically
from drumigen.errors import MidiFileError, PatternError
from drumigen.midi import smf
from drumigen.midi.smf import META, Event, each_once, parsed
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

_ONE_SONG, _PATTERNS = (0, 1), 2
"""Types of file whose tracks are one song, and one whose tracks are one each."""

_SMPTE = 0x8000
"""Divisions from here on count frames a second."""

_HALF, _SIXTEENTH, _NAMEABLE = 1, 4, 8
"""Powers of two below the line of a metre: ours are from and to; beyond the last it is no number
to read."""


def read_song(path: str | Path) -> Song:
    """Read a Standard MIDI File of type 0 or 1; ``Song.odd`` says what was passed over in it.

    Raises:
        MidiFileError: it cannot be read, or is none; one line that names the file.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():
            # a pipe would block, and a device never end
            message = f"{path}: not a file; check the path"
            raise MidiFileError(message)
        with file.open("rb") as opened:
            data = opened.read(FILE_MAX + 1)
    except OSError as failure:
        message = f"{path}: cannot be read ({failure.strerror}); check the path"
        raise MidiFileError(message) from failure
    except ValueError as failure:
        message = f"{str(path)!r}: not a path; check it"
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
        message = f"more than {FILE_MAX >> 20} MiB are no MIDI file of drums; split the song"
        raise MidiFileError(message)
    file = parsed(data)
    if file.kind == _PATTERNS and len(file.tracks) > 1:
        message = "MIDI file type 2 holds several songs; export the one you want as type 0 or 1"
        raise MidiFileError(message)
    if not 0 < file.division < _SMPTE:
        message = "the MIDI file counts SMPTE frames; export it with ticks per quarter note"
        if not file.division:
            message = "the MIDI file has 0 ticks to a quarter note; export it again"
        raise MidiFileError(message)
    reader = _Reader(file.division)
    if file.kind not in _ONE_SONG:
        reader.odd[f"a file of type {file.kind} was read as one of type 1"] += 1
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
        self.odd: Counter[str] = Counter()
        """What was odd about the events, and how often."""

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
            (*odd, *each_once(self.odd)),
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
                self._mark_tempo(tick, int.from_bytes(text[:3]))
            case smf.TIME_SIGNATURE if len(text) >= 2:
                self._mark_meter(tick, *text[:2])
            case smf.SET_TEMPO | smf.TIME_SIGNATURE:
                self.odd[f"a tempo or metre of {len(text)} bytes was passed over"] += 1
            case smf.MARKER:
                self._markers.append(Marker(tick, _decoded(text)))
            case smf.TRACK_NAME if not self._name:
                self._name = _decoded(text)
            case _:
                pass

    def _mark_tempo(self, tick: Tick, microseconds: int) -> None:
        if microseconds:
            self._tempos.append(TempoMark(tick, microseconds))
        else:
            self.odd["a tempo of 0 microseconds to a beat was passed over"] += 1

    def _mark_meter(self, tick: Tick, numerator: int, power: int) -> None:
        """Take a metre in the coarsest beats that bars of ours have and that fit it."""
        top, below = numerator, power
        while below > _SIXTEENTH and top % 2 == 0:
            top, below = top // 2, below - 1
        if below < _HALF:
            top, below = 2 * top, _HALF
        try:
            self._meters.append(MeterMark(tick, Meter(top, 2 ** min(below, _SIXTEENTH + 1))))
        except PatternError:
            said = f"{numerator}/{2**power}" if power <= _NAMEABLE else f"{numerator}/2^{power}"
            self.odd[f"the metre {said}, which no bar of ours can have, was passed over"] += 1


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
