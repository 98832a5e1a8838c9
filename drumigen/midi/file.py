"""Standard MIDI Files in and out; the only module that imports mido."""

import struct
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import mido

from drumigen.atomic_file import write_atomically
from drumigen.errors import MidiFileError, PatternError
from drumigen.midi.song import (
    Marker,
    MeterMark,
    Note,
    Song,
    TempoMark,
    bars_from_song,
    song_from_bars,
)
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

_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    struct.error,
    mido.KeySignatureError,
)
"""What mido raises on bytes that are no MIDI file."""

FILE_MAX = 16 * 1024 * 1024
"""Bytes; three hundred times a song of drums."""


def read_song(path: Path) -> Song:
    """Read a Standard MIDI File of type 0 or 1.

    Raises:
        MidiFileError: it cannot be read, or is none; one line that names the file.
    """
    try:
        data = path.read_bytes()
    except OSError as failure:
        message = f"{path}: cannot be read ({failure.strerror}); check the path"
        raise MidiFileError(message) from failure
    try:
        return song_from_bytes(data)
    except MidiFileError as failure:
        message = f"{path}: {failure}"
        raise MidiFileError(message) from failure


def write_song(song: Song, path: Path) -> None:
    """Write ``song`` as a Standard MIDI File of type 0; a file that was there is lost last.

    Raises:
        MidiFileError: the file cannot be written.
    """
    try:
        write_atomically(path, song_to_bytes(song))
    except OSError as failure:
        message = f"{path}: cannot be written ({failure.strerror}); check folder and permissions"
        raise MidiFileError(message) from failure


def song_from_bytes(data: bytes) -> Song:
    """Read the bytes of a Standard MIDI File; other divisions are rescaled to 1920.

    Raises:
        MidiFileError: the bytes are no such file, or state what no bar can hold.
    """
    file = _parsed(data)
    if file.type not in (0, 1):
        message = f"MIDI file type {file.type} is not supported; export it as type 0 or 1"
        raise MidiFileError(message)
    if file.ticks_per_beat <= 0:
        message = "the MIDI file counts SMPTE frames; export it with ticks per quarter note"
        raise MidiFileError(message)
    reader = _Reader(file.ticks_per_beat)
    for track in file.tracks:
        reader.read(track)
    return reader.song()


def song_to_bytes(song: Song) -> bytes:
    """Return ``song`` as a Standard MIDI File of type 0, 1920 ticks per quarter note."""
    # At one tick: what names the place, then note-offs, then note-ons.  An off as a note-on of
    # velocity 0 lets running status halve the file.
    events = [
        *((tempo.tick, 0, _meta("set_tempo", tempo=tempo.microseconds)) for tempo in song.tempos),
        *((mark.tick, 0, _time_signature(mark.meter)) for mark in song.meters),
        *((marker.tick, 0, _meta("marker", text=marker.text)) for marker in song.markers),
        *((note.tick + note.duration, 1, _note_on(note, 0)) for note in song.notes),
        *((note.tick, 2, _note_on(note, note.velocity)) for note in song.notes),
    ]
    events.sort(key=lambda event: event[:2])
    events.append((song.end, 3, _meta("end_of_track")))
    now = 0
    track = mido.MidiTrack([_meta("track_name", name=song.name)] if song.name else [])
    for tick, _, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    file = mido.MidiFile(type=0, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8", tracks=[track])
    buffer = BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _meta(kind: str, **values: Any) -> Any:  # noqa: ANN401 - mido is untyped
    return mido.MetaMessage(kind, **values)


def _time_signature(meter: Meter) -> Any:  # noqa: ANN401 - mido is untyped
    return _meta("time_signature", numerator=meter.numerator, denominator=meter.denominator)


def _note_on(note: Note, velocity: int) -> Any:  # noqa: ANN401 - mido is untyped
    return mido.Message("note_on", channel=note.channel, note=note.note, velocity=velocity)


def _parsed(data: bytes) -> mido.MidiFile:
    if len(data) > FILE_MAX:
        message = f"{len(data)} bytes are too many for a MIDI file of drums; split the song"
        raise MidiFileError(message)
    for charset in ("utf-8", "latin-1"):
        try:
            return mido.MidiFile(file=BytesIO(data), charset=charset)
        except UnicodeDecodeError:
            continue
        except EOFError as failure:
            message = "the MIDI file is cut short; export or download it again"
            raise MidiFileError(message) from failure
        except _UNREADABLE as failure:
            why = " ".join(str(failure).split()) or "unknown content"
            message = f"not a readable MIDI file ({why}); export it again"
            raise MidiFileError(message) from failure
    message = "the MIDI file's texts cannot be read; export it again"
    raise MidiFileError(message)


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

    def read(self, track: Iterable[Any]) -> None:
        """Add one track; a note that is never released lasts to the end of its track."""
        now, tick = 0, Tick(0)
        held: dict[tuple[int, int], tuple[Tick, int]] = {}
        for message in track:
            now += message.time
            tick = Tick((2 * now * TICKS_PER_BEAT + self._division) // (2 * self._division))
            if message.type in ("note_on", "note_off"):
                key = message.channel, message.note
                self._release(held, key, tick)
                if message.type == "note_on" and message.velocity:
                    held[key] = tick, message.velocity
            else:
                self._mark(message, tick)
        for key in tuple(held):
            self._release(held, key, tick)
        self._end = max(self._end, tick)

    def song(self) -> Song:
        """Return what has been gathered."""
        return Song(
            tuple(self._notes),
            tuple(self._tempos),
            tuple(self._meters),
            tuple(self._markers),
            self._name,
            self._end,
        )

    def _release(
        self, held: dict[tuple[int, int], tuple[Tick, int]], key: tuple[int, int], tick: Tick
    ) -> None:
        if key in held:
            start, velocity = held.pop(key)
            self._notes.append(Note(start, *key, velocity, max(1, tick - start)))

    def _mark(self, message: Any, tick: Tick) -> None:  # noqa: ANN401 - mido is untyped
        if message.type == "set_tempo":
            self._tempos.append(TempoMark(tick, message.tempo))
        elif message.type == "time_signature":
            try:
                meter = Meter(message.numerator, message.denominator)
            except PatternError as failure:
                raise MidiFileError(str(failure)) from failure
            self._meters.append(MeterMark(tick, meter))
        elif message.type == "marker":
            self._markers.append(Marker(tick, message.text))
        elif message.type == "track_name" and not self._name:
            self._name = message.name
