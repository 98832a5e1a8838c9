"""Writes Standard MIDI Files; the only module that imports mido."""

from io import BytesIO
from typing import Any

import mido

from drumigen.midi.song import Note, Song
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT


def bytes_of(song: Song) -> bytes:
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
