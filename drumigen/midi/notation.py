"""A song as a chart: every stroke on the grid, as long as a reader expects to see it.

What was played is micro-timed, and a note lasts the 30 ms that a drum machine wants.  A notation
program makes tied 64ths and rests of that.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from drumigen.kit import VOICES, KitMap, Limb, load_kit
from drumigen.midi.song import MeterMark, Note, Song, TempoMark, Transcription, transcribed
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, Bpm, Tick

WRITTEN_TEMPO_STEP: Final = 1.0
"""BPM by which the tempo of a bar must differ from the last that is written."""


def chart_of(song: Song, kit: KitMap) -> Song:
    """Return ``song``, which plays ``kit``, as it is for a notation program.

    Strokes lie on the grid that explains them best (16ths, triplets, 32nds), on the keys of
    General MIDI.  Each lasts until the next of hands or of feet, at most to the end of its beat,
    so that there are rests only where a beat begins with one.  A tempo is written where it
    differs by 1 BPM and more.
    """
    read = transcribed(song, kit)
    notes = tuple(note for line, bar in _bars(read) for note in _notes(line, bar))
    return Song(
        notes,
        tuple(_tempos(read)),
        tuple(_meters(read)),
        song.markers,
        song.name,
        read.line(len(read.bars)),
        song.odd,
    )


def _bars(read: Transcription) -> Iterator[tuple[Tick, Bar]]:
    return zip(read.lines, read.bars, strict=True)


def _notes(line: Tick, bar: Bar) -> Iterator[Note]:
    general = load_kit()
    beat = _beat(bar.meter)
    for limb in Limb:
        hits = [hit for hit in bar.hits if VOICES[hit.voice].limb is limb]
        onsets = sorted({hit.tick for hit in hits})
        after = dict(pairwise([*onsets, Tick(bar.meter.ticks)]))
        for hit in hits:
            end = min(after[hit.tick], (hit.tick // beat + 1) * beat)
            key = general.note_of(hit.voice)
            start = Tick(line + hit.tick)
            yield Note(start, key.channel, key.note, hit.velocity, end - hit.tick)


def _beat(meter: Meter) -> int:
    """Return the ticks of a beat as it is counted: a dotted quarter in 6/8, 9/8 and 12/8."""
    compound = meter.denominator >= 8 and meter.numerator > 3 and meter.numerator % 3 == 0
    return 3 * meter.beat_ticks if compound else min(TICKS_PER_BEAT, meter.ticks)


def _tempos(read: Transcription) -> Iterator[TempoMark]:
    last = -WRITTEN_TEMPO_STEP
    for number, line in enumerate(read.lines):
        tempo = round(read.mean_tempo(number, number + 1), 1)
        if abs(tempo - last) >= WRITTEN_TEMPO_STEP:
            last = tempo
            yield TempoMark.of(Bpm(tempo), line)


def _meters(read: Transcription) -> Iterator[MeterMark]:
    last: Meter | None = None
    for line, bar in _bars(read):
        if bar.meter != last:
            last = bar.meter
            yield MeterMark(line, bar.meter)
