"""The bytes of a Standard MIDI File, read for the few events that a drummer needs.

A reader of our own: mido refuses a whole file for what no drummer needs (a chunk it does not know,
a key of eight sharps, running status after system exclusive data, a track that is promised and
not there), and cannot be told to go on.  This one passes over what it does not know, as the
standard says, and keeps a list of what was odd.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from drumigen.errors import MidiFileError
from drumigen.midi.status import NOTE_OFF, NOTE_ON

META: Final = 0xFF
MARKER, TRACK_NAME, END_OF_TRACK, SET_TEMPO, TIME_SIGNATURE = 0x06, 0x03, 0x2F, 0x51, 0x58
_WANTED: Final = frozenset((MARKER, TRACK_NAME, END_OF_TRACK, SET_TEMPO, TIME_SIGNATURE))

LEAD_MAX: Final = 4096
"""Bytes that may stand before the header: a wrapper of 128 (MacBinary), a mark of byte order."""

_HEADER: Final = 14
"""Bytes of a header chunk."""

_SYSTEM_LENGTHS: Final = {0xF1: 1, 0xF2: 2, 0xF3: 1}
"""Data bytes of system messages that have no place in a file, and are passed over."""
_STRAY_MAX: Final = 8
"""Data bytes that may follow one of which the standard does not say how many."""
_SURE: Final = 4
"""Events in a row that are no coincidence."""


class Event(NamedTuple):
    """A note or meta event at ``tick`` of its track.

    ``status`` is that of the message, or :data:`META`.  Of a note ``first`` is the key and
    ``second`` the velocity; of a meta event ``first`` is its type, and ``text`` what it holds.
    """

    tick: int
    status: int
    first: int
    second: int
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class RawFile:
    """What a file holds: its type, ticks to a quarter note, and tracks.

    ``odd`` says what was passed over, a line each; ``broken`` tells that a track could not be
    read to its end.
    """

    kind: int
    division: int
    tracks: tuple[tuple[Event, ...], ...]
    odd: tuple[str, ...]
    broken: bool


def parsed(data: bytes) -> RawFile:
    """Return what the bytes of a MIDI file hold, which may be wrapped in RIFF.

    Time and memory are in proportion to ``data``.

    Raises:
        MidiFileError: there is no header, no track, or the last track is cut short.
    """
    return _Parser(data).file()


def each_once(odd: Counter[str]) -> tuple[str, ...]:
    """Return what was odd, a line each, and how often."""
    return tuple(text if count == 1 else f"{text} ({count} times)" for text, count in odd.items())


class _End(Enum):
    """How a track ended."""

    STATED = auto()
    """With the event that says so."""
    RAN_OUT = auto()
    """With its bytes."""
    BROKEN = auto()
    """With bytes that are no event."""


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._odd: Counter[str] = Counter()
        self._broken = False
        self._data = self._unwrapped(data)

    def file(self) -> RawFile:
        data = self._data
        length = int.from_bytes(data[4:8])
        if data[14:18] == b"MTrk" and length != 6:
            self._note(f"the header states a length of {length} bytes, and has 6")
            length = 6
        if len(data) < _HEADER or length < 6:
            message = "the MIDI file is cut short; export or download it again"
            raise MidiFileError(message)
        kind, promised, division = (int.from_bytes(data[n : n + 2]) for n in (8, 10, 12))
        tracks = tuple(self._tracks(8 + length))
        if not tracks:
            message = "not a readable MIDI file (it has no track); export it again"
            raise MidiFileError(message)
        if promised != len(tracks):
            self._note(f"{promised} tracks are promised, {len(tracks)} are there")
        return RawFile(kind, division, tracks, each_once(self._odd), self._broken)

    def _note(self, text: str) -> None:
        self._odd[text] += 1

    def _unwrapped(self, data: bytes) -> bytes:
        """Return the bytes from the header on, out of a RIFF container if they are in one."""
        place = 12 if data[:4] == b"RIFF" and data[8:12] == b"RMID" else len(data)
        while place + 8 <= len(data):
            name, size = (
                data[place : place + 4],
                int.from_bytes(data[place + 4 : place + 8], "little"),
            )
            following = place + 8 + size + size % 2
            if name == b"data" and data[place + 8 : place + 12] == b"MThd":
                right = following + 8 > len(data) or _is_name(data[following : following + 4])
                if size < _HEADER or not right:
                    self._note("the RIFF container states a wrong length")
                    following = len(data)
                return data[place + 8 : following]
            place = following
        start = data.find(b"MThd", 0, LEAD_MAX + 4)
        if start < 0:
            message = "not a readable MIDI file (it does not begin with MThd); export it again"
            raise MidiFileError(message)
        if start:
            self._note(f"{start} bytes stand before the header")
        return data[start:]

    def _tracks(self, place: int) -> Iterator[tuple[Event, ...]]:
        data = self._data
        while place + 8 <= len(data):
            name = data[place : place + 4]
            start = place + 8
            end = start + int.from_bytes(data[place + 4 : start])
            if name == b"MTrk":
                events, place = self._track(start, end)
                yield events
            elif _is_name(name) and end <= len(data):
                self._note(f"a chunk {name.decode('ascii')!r} was passed over")
                place = end
            else:
                track = data.find(b"MTrk", place)
                missing = (len(data) if track < 0 else track) - place
                self._note(f"{missing} bytes that are no chunk were passed over")
                place += missing

    def _track(self, start: int, stated: int) -> tuple[tuple[Event, ...], int]:
        """Return the events from ``start`` on, and where the next chunk begins.

        A track ends with the event that says so; its length, which some programs count wrongly,
        is where that is missing.
        """
        data = self._data
        events, end, place = _events(data, start, min(stated, len(data)), self._odd)
        if end is not _End.STATED and stated < len(data) and not self._is_chunk(stated):
            # more of the track lies beyond the length that it states
            following = data.find(b"MTrk", stated)
            limit = len(data) if following < 0 else following
            longer = _events(data, start, limit, Counter())
            if longer[1] is _End.STATED:
                self._note("a track is longer than it states")
                return longer[0], longer[2]
        if end is not _End.STATED and stated > len(data):
            message = "the MIDI file is cut short; export or download it again"
            raise MidiFileError(message)
        if end is _End.BROKEN:
            self._broken = True
            self._note(f"track data are no MIDI from byte {place} on, and were read up to there")
        elif end is _End.RAN_OUT:
            self._note("a track does not state its end")
        elif place != stated:
            self._note("a track is shorter than it states")
            inside = data.find(b"MTrk", place, min(stated, len(data)))
            return events, inside if inside >= 0 else self._after(min(stated, len(data)))
        return events, self._after(stated)

    def _after(self, place: int) -> int:
        """Return where the chunk after ``place`` begins: some programs pad to an even length."""
        return place + (self._data[place : place + 5] == b"\0MTrk")

    def _is_chunk(self, place: int) -> bool:
        start = self._after(place)
        return _is_name(self._data[start : start + 4])


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _events(
    data: bytes, place: int, end: int, odd: Counter[str]
) -> tuple[tuple[Event, ...], _End, int]:
    """Return the events from ``place`` up to ``end``, how they ended, and where.

    Bytes that are no event are passed over, if events go on behind them.
    """
    events: list[Event] = []
    now = 0
    marks = _EndMarks(data, end)
    while True:
        ended, place, now = _run(data, place, end, now, events, odd, marks)
        going_on = None if ended is _End.STATED else _place_to_go_on(data, place + 1, end)
        if going_on is None:
            return tuple(events), ended, place
        odd[f"{going_on - place} bytes of a track that are no event were passed over"] += 1
        place = going_on


def _run(  # noqa: PLR0911, PLR0912, PLR0913, PLR0917 - a case for each kind of event
    data: bytes,
    place: int,
    end: int,
    now: int,
    events: list[Event],
    odd: Counter[str],
    marks: "_EndMarks",
) -> tuple[_End, int, int]:
    """Add events from ``place``, at tick ``now``, on; return how they ended, where and when."""
    running = 0
    while place < end:
        before = place
        delta, place = _number(data, place, end)
        if delta < 0 or place >= end:
            return _End.RAN_OUT if place >= end else _End.BROKEN, before, now
        now += delta
        status = data[place]
        if status >= 0x80:
            place += 1
        elif running:
            status = running
        else:
            return _End.BROKEN, before, now
        if status < 0xF0:
            # kept over what lies between: some programs go on with it after SysEx and meta events
            running = status
            length = 1 if 0xC0 <= status < 0xE0 else 2
            message = data[place : place + length]
            place += length
            if place > end:
                return _End.RAN_OUT, before, now
            note = _note(now, status, message, odd)
            if note:
                events.append(note)
        elif status in (META, 0xF0, 0xF7):
            kind = data[place] if status == META and place < end else -1
            size, place = _number(data, place + (status == META), end)
            if size < 0:
                return _End.BROKEN, before, now
            if place + size > end:
                going_on = marks.after(place) if status == 0xF0 else None
                if going_on is None:
                    return _End.RAN_OUT, before, now
                odd["exclusive data are shorter than they state"] += 1
                place, size = going_on, 0
            if kind in _WANTED:
                events.append(Event(now, META, kind, 0, data[place : place + size]))
            place += size
            if kind == END_OF_TRACK:
                return _End.STATED, place, now
        else:
            odd[f"a message 0x{status:02X} that has no place in a file was passed over"] += 1
            place += _SYSTEM_LENGTHS.get(status, 0)
            if not _reads_on(data, place, end, running):
                place = _place_to_go_on(data, place, min(place + _STRAY_MAX, end), end) or place
    return _End.RAN_OUT, place, now


class _EndMarks:
    """The end marks of exclusive data in a track: each is looked at once, however many ask."""

    def __init__(self, data: bytes, end: int) -> None:
        self._data, self._end = data, end
        self._mark = -1  # the last one that was found; the end if there are no more
        self._going_on: int | None = None

    def after(self, place: int) -> int | None:
        """Return where events go on behind the first mark from ``place`` on; None for nowhere.

        Places only grow.
        """
        while self._mark < place:
            mark = self._data.find(b"\xf7", place, self._end)
            if mark < 0:
                self._mark, self._going_on = self._end, None
            elif mark + 1 == self._end or _reads_on(self._data, mark + 1, self._end, 0):
                self._mark, self._going_on = mark, mark + 1
            else:
                place = mark + 1
        return self._going_on


def _place_to_go_on(data: bytes, place: int, last: int, end: int | None = None) -> int | None:
    """Return the first place from ``place`` to ``last`` where events go on; None for none."""
    end = last if end is None else end
    return next((at for at in range(place, last) if _reads_on(data, at, end, 0)), None)


def _reads_on(data: bytes, place: int, end: int, running: int) -> bool:
    """Tell whether some events in a row can be read from ``place`` on, or all up to the end."""
    for _ in range(_SURE):
        delta, place = _number(data, place, end)
        if delta < 0 or place >= end:
            return False
        status = data[place]
        place += status >= 0x80
        status = status if status >= 0x80 else running
        if 0x80 <= status < 0xF0:
            running = status
            length = 1 if 0xC0 <= status < 0xE0 else 2
            fine = place + length <= end and max(data[place : place + length]) <= 127
        elif status in (META, 0xF0, 0xF7):
            kind = data[place] if status == META and place < end else -1
            length, place = _number(data, place + (status == META), end)
            if kind == END_OF_TRACK:
                return length == 0
            fine = length >= 0 and place + length <= end and kind <= 127
        else:
            fine, length = False, 0
        if not fine:
            return False
        place += length
        if place == end:
            return True
    return True


def _note(now: int, status: int, message: bytes, odd: Counter[str]) -> Event | None:
    """Return a message as a note; None if it is of another kind, or beyond repair."""
    kind = status & 0xF0
    if kind not in (NOTE_ON, NOTE_OFF):
        if max(message) > 127:
            odd["a byte above 127 in a message that is no note was passed over"] += 1
        return None
    key, velocity = message
    if key > 127:
        odd["a note above 127 was left out"] += 1
        return None
    if velocity > 127:
        odd["a velocity above 127 was taken as 127"] += 1
        velocity = 127
    return Event(now, status, key, velocity)


def _number(data: bytes, place: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and the place after it; -1 if it has no end."""
    value = 0
    for index in range(place, min(place + 4, end)):
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    return -1, min(place + 4, end)
