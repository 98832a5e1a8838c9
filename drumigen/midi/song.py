"""A song: notes, tempi, metres and markers by tick; and its bars."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from drumigen.errors import MidiFileError
from drumigen.kit import KitMap, Voice
from drumigen.midi.written_positions import written
from drumigen.pattern import Bar, Hit
from drumigen.text import counted
from drumigen.timeline import Meter, MeterChange, MeterMap, TempoMap
from drumigen.units import TEMPO_DEFAULT, TICKS_PER_SIXTEENTH, Bpm, Tick, ticks_per_ms

MICROSECONDS_PER_MINUTE = 60_000_000
TEMPO_MICROSECONDS_MAX = 0xFF_FF_FF
"""Longest quarter note that a file can state: 16.8 s."""

NEAR: Final = TICKS_PER_SIXTEENTH // 2
"""Ticks from a bar line within which a metre counts from that line: files are rounded."""

BARS_MAX: Final = 100_000
"""Bars of the longest song that is read; two days of them at 120 BPM."""

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
    given.  ``end`` is never before the last of anything.  ``odd`` says, a line each, what was odd
    about the file that it was read from; it is no part of the song.
    """

    notes: tuple[Note, ...] = ()
    tempos: tuple[TempoMark, ...] = ()
    meters: tuple[MeterMark, ...] = ()
    markers: tuple[Marker, ...] = ()
    name: str = ""
    end: Tick = Tick(0)
    odd: tuple[str, ...] = field(default=(), compare=False)

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
        """The tempo at the start."""
        return self.tempo_map.changes[0][1]

    @cached_property
    def tempo_map(self) -> TempoMap:
        """The tempo at every tick; 120 before the file states one, as the standard has it.

        One that is stated within the first sixteenth holds from the start: programs that begin
        with an empty tick, or write the tempo behind the name, mean no other.
        """
        changes = {mark.tick: mark.tempo for mark in self.tempos}
        first = next(iter(changes), Tick(0))
        if first > TICKS_PER_SIXTEENTH:
            changes = {Tick(0): TEMPO_DEFAULT, **changes}
        elif first:
            changes = {Tick(0): changes.pop(first), **changes}
        return TempoMap(tuple(changes.items()) or ((Tick(0), TEMPO_DEFAULT),))

    @cached_property
    def meter_map(self) -> MeterMap:
        """The metre of every bar; one that is stated inside a bar cuts that bar, and begins one.

        So pick-ups and cut bars come out as what they are.  A bar that is cut has a smaller
        distance to the next than its metre says.
        """
        changes = [MeterChange(0, Tick(0), Meter())]
        for mark in self.meters:
            last = changes[-1]
            length = last.meter.ticks
            bars, rest = divmod(max(0, mark.tick - last.tick), length)
            if rest >= length - NEAR:
                bars, rest = bars + 1, 0
            bar = last.bar + bars
            if rest > NEAR:
                change = MeterChange(bar + 1, mark.tick, mark.meter)
            else:
                change = MeterChange(bar, Tick(last.tick + bars * length), mark.meter)
            if change.bar == last.bar:
                changes[-1] = change
            elif rest > NEAR or change.meter != last.meter:
                changes.append(change)
        return MeterMap(tuple(changes))


@dataclass(frozen=True)
class Transcription:
    """A song as bars for a drummer, read by the map of one kit.

    ``lines`` are the ticks of their bar lines, ``notes`` how many notes there are on the channels
    of the kit.  ``left_out`` counts those among them that the kit does not know, by note;
    ``elsewhere`` are those on other channels.
    """

    bars: tuple[Bar, ...]
    lines: tuple[Tick, ...]
    tempo_map: TempoMap
    notes: int
    left_out: Mapping[int, int] = field(hash=False)
    elsewhere: int = 0

    @cached_property
    def played(self) -> tuple[Bar, ...]:
        """The bars up to the last with a hit: silence after it is no performance."""
        last = max((number for number, bar in enumerate(self.bars) if bar.hits), default=-1)
        return self.bars[: last + 1]

    def line(self, bar: int) -> Tick:
        """Return the bar line that opens bar number ``bar``, or closes the last."""
        if bar < len(self.lines):
            return self.lines[bar]
        return Tick(self.lines[-1] + self.bars[-1].meter.ticks) if self.lines else Tick(0)

    def mean_tempo(self, first: int, last: int) -> Bpm:
        """Return the mean tempo of the bars from ``first`` to before ``last``."""
        return self.tempo_map.mean(self.line(first), self.line(last))

    @property
    def tempo_range(self) -> tuple[Bpm, Bpm]:
        """The lowest and the highest tempo of the bars that are played."""
        return self.tempo_map.range(0, self.line(len(self.played)))

    def losses(self) -> str | None:
        """Return one line on the notes that were left out; None where none was."""
        lost = sum(self.left_out.values())
        if not lost:
            if self.elsewhere and not self.notes:
                there = counted(self.elsewhere, "note")
                return f"no notes on the channel of the kit, {there} on other channels"
            return None
        each = [
            f"{note} ({counted(count, 'time')})"
            for note, count in Counter(self.left_out).most_common(5)
        ]
        others = len(self.left_out) - len(each)
        more = f" and {counted(others, 'other')}" if others else ""
        return (
            f"{lost} of {counted(self.notes, 'note')} left out, as the kit does not know: "
            f"{', '.join(each)}{more}; give the kit they are for, or one of your own"
        )


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
        gate = max(1, round(target.gate_ms * ticks_per_ms(tempo)))
        note = Note(Tick(tick), target.channel, target.note, hit.velocity, min(gate, until - tick))
        sounding[hit.voice] = note
        notes.append(note)
    tempos = (TempoMark.of(tempo),)
    return Song(tuple(notes), tempos, tuple(meters), tuple(markers), name, Tick(start))


def bars_from_song(song: Song, kit: KitMap) -> list[Bar]:
    """Return the bars of :func:`transcribed`, rests at the end among them."""
    return list(transcribed(song, kit).bars)


def transcribed(song: Song, kit: KitMap) -> Transcription:
    """Return the song's bars by its metres, micro-timing as offsets from written positions.

    Notes that the kit does not know are left out and counted; of two hits on one voice at one
    place the louder stays.  Where nothing lies on the kit's only channel but all notes share
    another, that one is read: clips exported from a DAW are on channel 1.

    Raises:
        MidiFileError: the notes take more than 100,000 bars.
    """
    channels = {note.channel for note in song.notes}
    moved = len(channels) == 1 and len(kit.channels) == 1 and channels != set(kit.channels)
    meters = song.meter_map
    strokes: defaultdict[int, list[tuple[int, Voice, int]]] = defaultdict(list)
    left_out: Counter[int] = Counter()
    elsewhere = 0
    for note in song.notes:
        channel = kit.channels[0] if moved else note.channel
        voice = kit.voice_of(note.note, channel)
        if voice is not None:
            bar = meters.bar_at(note.tick)
            strokes[bar].append((note.tick - meters.start_of(bar), voice, note.velocity))
        elif channel in kit.channels:
            left_out[note.note] += 1
        else:
            elsewhere += 1
    count = meters.bar_at(max(0, song.end - 1)) + 1 if song.end else 0
    if count > BARS_MAX:
        count = max(strokes, default=0) + 1  # the silence after it is no performance
    if count > BARS_MAX:
        message = f"{count} bars are too many: {BARS_MAX} at most; check the metre, or split it"
        raise MidiFileError(message)
    lines = tuple(meters.start_of(bar) for bar in range(count))
    bars = tuple(_barred(strokes, meters, count))
    notes = len(song.notes) - elsewhere
    return Transcription(bars, lines, song.tempo_map, notes, left_out, elsewhere)


def _barred(
    strokes: Mapping[int, list[tuple[int, Voice, int]]], meters: MeterMap, count: int
) -> Iterator[Bar]:
    early: list[Hit] = []
    for number in range(count):
        length = meters.start_of(number + 1) - meters.start_of(number)
        meter = _cut(meters.meter_of(number), length)
        hits, early = early, []
        here = strokes.get(number, [])
        places = written([(tick, voice) for tick, voice, _ in here], meter, length)
        for (sounding, voice, velocity), (tick, offset) in zip(here, places, strict=True):
            if tick < length:
                hits.append(Hit(tick, voice, velocity, offset))
            elif number + 1 < count:
                early.append(Hit(Tick(0), voice, velocity, offset))
            else:
                last = Tick(max(0, tick - TICKS_PER_SIXTEENTH))
                hits.append(Hit(last, voice, velocity, sounding - last))
        yield Bar(meter, tuple(_loudest(hits)))


def _cut(meter: Meter, length: int) -> Meter:
    """Return the metre of a bar of ``length`` ticks that was begun in ``meter``.

    In the same beats if they fit, else in sixteenths, the last of which may be cut too.
    """
    sixteenths = -(-length // TICKS_PER_SIXTEENTH)
    if sixteenths == meter.sixteenths:
        return meter
    if length % meter.beat_ticks == 0:
        return Meter(length // meter.beat_ticks, meter.denominator)
    return Meter(sixteenths, 16)


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
