"""A song: notes, tempi, metres and markers by tick; and its bars."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drumigen.errors import MidiFileError
from drumigen.kit import KitMap, Voice
from drumigen.midi.notation import written
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter, MeterMap
from drumigen.units import TEMPO_DEFAULT, TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm, Tick

MICROSECONDS_PER_MINUTE = 60_000_000
TEMPO_MICROSECONDS_MAX = 0xFF_FF_FF
"""Longest quarter note that a file can state: 16.8 s."""

TICK_MAX = 0x0F_FF_FF_FF
"""Longest wait, hence longest song, that a file can state: 19 hours at 120 BPM."""


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note: start and length in ticks, channel 0-15, note 0-127, velocity 1-127."""

    tick: Tick
    channel: int
    note: int
    velocity: int
    duration: int


@dataclass(frozen=True, slots=True, order=True)
class TempoMark:
    """From ``tick`` on a quarter note lasts ``microseconds``, as the file states it."""

    tick: Tick
    microseconds: int

    @classmethod
    def of(cls, tempo: Bpm, tick: Tick = Tick(0)) -> "TempoMark":  # noqa: B008 - an int
        """Return the mark for ``tempo``, rounded to a microsecond a quarter note."""
        return cls(tick, min(TEMPO_MICROSECONDS_MAX, round(MICROSECONDS_PER_MINUTE / tempo)))

    @property
    def tempo(self) -> Bpm:
        """The tempo in quarter notes per minute."""
        return Bpm(MICROSECONDS_PER_MINUTE / self.microseconds)


@dataclass(frozen=True, slots=True)
class MeterMark:
    """From ``tick`` on the metre is ``meter``."""

    tick: Tick
    meter: Meter


@dataclass(frozen=True, slots=True, order=True)
class Marker:
    """A named place."""

    tick: Tick
    text: str


@dataclass(frozen=True)
class Song:
    """What a file holds, in 1/1920 of a quarter note; equal songs make equal files and back.

    Kept in order of time.  A note is cut where its key sounds again, and lasts at least a tick;
    of two on one key at once the louder stays; of two tempi or metres at one tick the later
    given.  ``end`` is never before the last of anything.
    """

    notes: tuple[Note, ...] = ()
    tempos: tuple[TempoMark, ...] = ()
    meters: tuple[MeterMark, ...] = ()
    markers: tuple[Marker, ...] = ()
    name: str = ""
    end: Tick = Tick(0)

    def __post_init__(self) -> None:
        """Bring everything into the one order that a file can tell.

        Raises:
            MidiFileError: a value that no file can hold.
        """
        tempos = tuple(sorted({mark.tick: mark for mark in self.tempos}.values()))
        meters = {mark.tick: mark for mark in self.meters}
        notes = tuple(_one_at_a_time(self.notes))
        markers = tuple(sorted(self.markers, key=lambda marker: marker.tick))
        ends = [self.end, *(note.tick + note.duration for note in notes)]
        ends += [mark.tick for marks in (tempos, meters.values(), markers) for mark in marks]
        object.__setattr__(self, "notes", notes)
        object.__setattr__(self, "tempos", tempos)
        object.__setattr__(self, "meters", tuple(meters[tick] for tick in sorted(meters)))
        object.__setattr__(self, "markers", markers)
        object.__setattr__(self, "end", max(ends))
        _checked(self)

    @property
    def tempo(self) -> Bpm:
        """The tempo at the start; 120 where the file states none, as the standard has it."""
        started = [mark for mark in self.tempos if mark.tick == 0]
        return started[0].tempo if started else TEMPO_DEFAULT

    @property
    def meter_map(self) -> MeterMap:
        """The metre of every bar; a change inside a bar counts from the next bar line."""
        meters = MeterMap()
        for mark in self.meters:
            bar = meters.bar_at(mark.tick)
            late = mark.tick > meters.start_of(bar)
            meters = meters.changed(bar + late, mark.meter)
        return meters


def song_from_bars(
    bars: Iterable[Bar],
    kit: KitMap,
    tempo: Bpm,
    name: str = "",
    markers: Iterable[Marker] = (),
) -> Song:
    """Return the song of ``bars`` one after another, each hit at its sounding tick.

    A hit that sounds before tick 0 is moved there; a choked voice ends where the choking one
    starts.
    """
    ticks_per_ms = tempo * TICKS_PER_BEAT / 60_000
    start, meter = 0, None
    meters: list[MeterMark] = []
    strokes: list[tuple[int, Hit]] = []
    for bar in bars:
        if bar.meter != meter:
            meter = bar.meter
            meters.append(MeterMark(Tick(start), meter))
        strokes += [(max(0, start + hit.sounding_tick), hit) for hit in bar.hits]
        start += bar.meter.ticks
    sounding: dict[Voice, Note] = {}
    notes: list[Note] = []
    for tick, hit in sorted(strokes, key=lambda stroke: stroke[0], reverse=True):
        target = kit.note_of(hit.voice)
        chokers = [sounding[by].tick for by in sounding if hit.voice in kit.chokes(by)]
        until = min((by for by in chokers if by > tick), default=TICK_MAX)
        gate = max(1, round(target.gate_ms * ticks_per_ms))
        note = Note(Tick(tick), target.channel, target.note, hit.velocity, min(gate, until - tick))
        sounding[hit.voice] = note
        notes.append(note)
    tempos = (TempoMark.of(tempo),)
    return Song(tuple(notes), tempos, tuple(meters), tuple(markers), name, Tick(start))


def bars_from_song(song: Song, kit: KitMap) -> list[Bar]:
    """Return the song's bars by its metres, micro-timing as offsets from written positions.

    Notes that the kit does not know are left out, and so is the quieter of two hits on one voice
    at one place.  Where nothing lies on the kit's only channel but all notes share another, that
    one is read: clips exported from a DAW are on channel 1.
    """
    channels = {note.channel for note in song.notes}
    moved = len(channels) == 1 and len(kit.channels) == 1 and channels != set(kit.channels)
    meters = song.meter_map
    strokes: defaultdict[int, list[tuple[int, Voice, int]]] = defaultdict(list)
    for note in song.notes:
        voice = kit.voice_of(note.note, kit.channels[0] if moved else note.channel)
        if voice is not None:
            bar = meters.bar_at(note.tick)
            strokes[bar].append((note.tick - meters.start_of(bar), voice, note.velocity))
    count = meters.bar_at(max(0, song.end - 1)) + 1 if song.end else 0
    bars = []
    early: list[Hit] = []
    for number in range(count):
        meter = meters.meter_of(number)
        hits, early = early, []
        here = strokes[number]
        places = written([(tick, voice) for tick, voice, _ in here], meter)
        for (_, voice, velocity), (tick, offset) in zip(here, places, strict=True):
            if tick < meter.ticks:
                hits.append(Hit(tick, voice, velocity, offset))
            elif number + 1 < count:
                early.append(Hit(Tick(0), voice, velocity, offset))
            else:
                last = Tick(tick - TICKS_PER_SIXTEENTH)
                hits.append(Hit(last, voice, velocity, offset + TICKS_PER_SIXTEENTH))
        bars.append(Bar(meter, tuple(_loudest(hits))))
    return bars


def _one_at_a_time(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield notes in order, each cut where the next on its channel and key starts."""
    keys: defaultdict[tuple[int, int], dict[int, Note]] = defaultdict(dict)
    for note in sorted(notes):  # the louder comes later
        keys[note.channel, note.note][note.tick] = note
    cut = []
    for chain in keys.values():
        starts = [*chain, TICK_MAX]
        for note, following in zip(chain.values(), starts[1:], strict=True):
            length = max(1, min(note.duration, following - note.tick))
            cut.append(Note(note.tick, note.channel, note.note, note.velocity, length))
    yield from sorted(cut)


def _checked(song: Song) -> None:
    for note in song.notes:
        if not (
            note.tick >= 0
            and 0 <= note.channel <= 15
            and 0 <= note.note <= 127
            and 1 <= note.velocity <= 127
        ):
            message = f"{note} is out of range: channel 0-15, note 0-127, velocity 1-127"
            raise MidiFileError(message)
    for mark in song.tempos:
        if not 1 <= mark.microseconds <= TEMPO_MICROSECONDS_MAX:
            message = f"{mark} is out of range: 1 to {TEMPO_MICROSECONDS_MAX} microseconds"
            raise MidiFileError(message)
    marks = (song.tempos, song.meters, song.markers)
    if song.end > TICK_MAX or any(mark.tick < 0 for several in marks for mark in several):
        message = f"a song lies between ticks 0 and {TICK_MAX}; this one does not"
        raise MidiFileError(message)


def _loudest(hits: Iterable[Hit]) -> Iterable[Hit]:
    chosen: dict[tuple[Tick, Voice], Hit] = {}
    for hit in sorted(hits, key=lambda hit: hit.velocity):
        chosen[hit.tick, hit.voice] = hit
    return chosen.values()
