"""Laws of reading the bytes of MIDI files: what no drummer needs costs nothing, and is said."""

import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drumigen.errors import MidiFileError
from drumigen.kit import load_kit
from drumigen.midi.file import Note, Song, song_from_bytes
from drumigen.midi.song import transcribed
from drumigen.timeline import Meter
from drumigen.units import Tick

GM = load_kit()

TEMPO = b"\x00\xff\x51\x03\x09\x27\xc0"  # 100 BPM
METRE = b"\x00\xff\x58\x04\x04\x02\x18\x08"
END = b"\x00\xff\x2f\x00"
KICK = b"\x00\x99\x24\x64\x3c\x89\x24\x40"
SNARE = b"\x83\x24\x99\x26\x64\x3c\x89\x26\x40"


def chunk(data: bytes, name: bytes = b"MTrk", length: int | None = None) -> bytes:
    return name + (len(data) if length is None else length).to_bytes(4) + data


def header(tracks: int = 1, kind: int = 1, division: int = 480, extra: bytes = b"") -> bytes:
    numbers = b"".join(number.to_bytes(2) for number in (kind, tracks, division))
    return chunk(numbers + extra, b"MThd")


def one_track(*events: bytes, end: bytes = END) -> bytes:
    return header() + chunk(b"".join(events) + end)


RUNNING = b"\x3c\x24\x00\x83\x24\x26\x64\x3c\x26\x00"
"""A kick's end and a snare, after a kick's beginning."""

PLAIN = one_track(TEMPO, METRE, KICK, SNARE)
SONG = song_from_bytes(PLAIN)


def riff(data: bytes, *before: bytes, padding: bytes = b"") -> bytes:
    chunks = b"".join((*before, b"data" + len(data).to_bytes(4, "little") + data + padding))
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"RMID" + chunks


INFO = b"LIST\x05\x00\x00\x00INFOx\x00"


def test_the_plain_file_says_what_all_the_odd_ones_say() -> None:
    assert SONG.notes == (Note(Tick(0), 9, 36, 100, 240), Note(Tick(1920), 9, 38, 100, 240))
    assert SONG.tempo == pytest.approx(100)
    assert SONG.odd == ()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (header() + chunk(b"1234", b"XFIH") + PLAIN[14:], "a chunk 'XFIH' was passed over"),
        (PLAIN + chunk(b"1234", b"XFIH"), "a chunk 'XFIH' was passed over"),
        (header(extra=b"more") + PLAIN[14:], None),
        (header(5) + PLAIN[14:], "5 tracks are promised, 1 are there"),
        (header(0) + PLAIN[14:], "0 tracks are promised, 1 are there"),
        (PLAIN + b"\x00\x01\x02junk at the end", "bytes that are no chunk"),
        (bytes(128) + PLAIN, "128 bytes stand before the header"),
        (b"\xef\xbb\xbf" + PLAIN, "3 bytes stand before the header"),
        (riff(PLAIN), None),
        (riff(PLAIN, INFO), None),
        (riff(PLAIN, INFO, padding=b"\x00") + b"junk", None),
        (riff(PLAIN)[:4] + bytes(4) + riff(PLAIN)[8:], None),  # a size that is wrong
        (one_track(TEMPO, METRE, b"\x00\xb9\x07\xff", KICK, SNARE), "a byte above 127"),
        (one_track(TEMPO, METRE, b"\x00\xe9\xff\xff", KICK, SNARE), "a byte above 127"),
        (one_track(TEMPO, METRE, b"\x00\xc9\x80", KICK, SNARE), "a byte above 127"),
        (one_track(TEMPO, METRE, b"\x00\x99\xa4\x64", KICK, SNARE), "a note above 127"),
        (one_track(b"\x00\xff\x59\x02\x08\xb8", TEMPO, METRE, KICK, SNARE), None),  # eight sharps
        (one_track(b"\x00\xff\x59\x00", TEMPO, METRE, KICK, SNARE), None),
        (one_track(b"\x00\xff\x7f\x03abc", TEMPO, METRE, KICK, SNARE), None),
        (one_track(b"\x00\xff\x51\x01\x09", TEMPO, METRE, KICK, SNARE), "of 1 bytes"),
        (one_track(b"\x00\xff\x58\x01\x04", TEMPO, METRE, KICK, SNARE), "of 1 bytes"),
        (one_track(TEMPO, b"\x00\xff\x58\x02\x04\x02", KICK, SNARE), None),
        (one_track(b"\x00\xf8", TEMPO, METRE, KICK, b"\x00\xf1\x10", SNARE), "no place in a file"),
        (one_track(TEMPO, METRE, b"\x00\xf5\x01", KICK, SNARE), "no place in a file"),
        (one_track(TEMPO, METRE, b"\x00\xf5\x01\x02\x03", KICK, SNARE), "no place in a file"),
        (one_track(TEMPO, METRE, b"\x00\xf4", KICK, SNARE), "no place in a file"),
        (one_track(TEMPO, METRE, b"\x00\xf5\x01", KICK[:4] + RUNNING), "no place in a file"),
        (one_track(b"\x00\xff\x03\x7fDrums", TEMPO, METRE, KICK, SNARE), "9 bytes of a track"),
        (one_track(b"\x00\xf7\x7f", TEMPO, METRE, KICK, SNARE), "3 bytes of a track"),
        (one_track(b"\x00\x24\x64", TEMPO, METRE, KICK, SNARE), "3 bytes of a track"),
        (one_track(b"\x00", TEMPO, METRE, KICK, SNARE), "1 bytes of a track"),
        (one_track(TEMPO, METRE, b"\x00\xf0\x7e\x7f\x09\x01\xf7", KICK, SNARE), "exclusive data"),
        (one_track(b"\x00\xf0\xff\x7f\x43\xf7", TEMPO, METRE, KICK, SNARE), "exclusive data"),
        (one_track(TEMPO, METRE, KICK, SNARE, end=b""), "does not state its end"),
        (header() + chunk(PLAIN[22:] + b"\0\0\0"), "shorter than it states"),
        (header() + chunk(PLAIN[22:], length=9999), "shorter than it states"),
        (header() + chunk(PLAIN[22:], length=9), "longer than it states"),
        (header(2) + chunk(PLAIN[22:]) + b"\0" + chunk(END), None),  # padded to an even length
        (header(2) + chunk(PLAIN[22:], length=9999) + chunk(END), "shorter than it states"),
        (header(kind=2) + PLAIN[14:], "a file of type 2"),
        (header(kind=7) + PLAIN[14:], "a file of type 7"),
        (PLAIN[:7] + b"\x00" + PLAIN[8:], "a length of 0 bytes"),
        (PLAIN[:4] + b"\xff" + PLAIN[5:], "bytes, and has 6"),
        (riff(PLAIN).replace(bytes([len(PLAIN), 0]), b"\0\0"), "states a wrong length"),
        (riff(PLAIN).replace(bytes([len(PLAIN), 0]), b"\x20\0"), "states a wrong length"),
        (riff(PLAIN) + b"\0", None),
        (one_track(TEMPO, b"\x00\xff\x51\x03\0\0\0" * 2, KICK, SNARE), "(2 times)"),
        (one_track(TEMPO, METRE, b"\x00\xff\x58\x02\0\x02", KICK, SNARE), "the metre 0/4"),
        (one_track(TEMPO, METRE, b"\x00\xff\x58\x02\3\x05", KICK, SNARE), "the metre 3/32"),
        (one_track(TEMPO, METRE, b"\x00\xff\x58\x02\4\xff", KICK, SNARE), "4/2^255"),
    ],
)
def test_what_no_drummer_needs_costs_nothing_and_is_said(data: bytes, said: str | None) -> None:
    song = song_from_bytes(data)
    assert (song.notes, song.tempo) == (SONG.notes, SONG.tempo)
    assert bool(song.odd) == (said is not None)
    assert said is None or any(said in odd for odd in song.odd)


@pytest.mark.parametrize(
    ("stated", "metre"),
    [
        ((4, 6), Meter(1, 16)),
        ((24, 5), Meter(12, 16)),
        ((64, 6), Meter(16, 16)),
        ((1, 0), Meter(2, 2)),
        ((2, 0), Meter(4, 2)),
    ],
)
def test_a_metre_in_other_beats_is_read_in_beats_that_bars_have(
    stated: tuple[int, int], metre: Meter
) -> None:
    song = song_from_bytes(one_track(b"\x00\xff\x58\x02" + bytes(stated), KICK))
    assert [mark.meter for mark in song.meters] == [metre]
    assert song.odd == ()


@pytest.mark.parametrize("between", [b"\x00\xf0\x03\x7e\x7f\xf7", b"\x00\xf7\x01\x00", METRE])
def test_running_status_goes_on_after_what_should_end_it(between: bytes) -> None:
    running = KICK[:4] + b"\x3c\x24\x00" + between + b"\x83\x24\x26\x64\x3c\x26\x00"
    assert song_from_bytes(one_track(TEMPO, running)).notes == SONG.notes


def test_a_track_that_turns_to_junk_is_read_up_to_there() -> None:
    junk = header(2) + chunk(TEMPO + KICK + b"\x00\xff\x01\xff\xff\xff\xff\x00" + END)
    song = song_from_bytes(junk + chunk(SNARE + END))
    assert [note.note for note in song.notes] == [36, 38]
    assert any("are no event were passed over" in odd for odd in song.odd)
    for_good = header(2) + chunk(TEMPO + KICK + b"\x00\xff\x01" + b"\xff" * 8)
    song = song_from_bytes(for_good + chunk(SNARE + END))
    assert [note.note for note in song.notes] == [36, 38]
    assert any("no MIDI from byte" in odd for odd in song.odd)
    with pytest.raises(MidiFileError, match="no MIDI from byte"):
        song_from_bytes(header() + chunk(b"\x00\x24\x64"))


def test_how_often_something_is_odd_is_counted() -> None:
    song = song_from_bytes(one_track(*[b"\x00\xb9\x07\xff"] * 3, KICK))
    assert song.odd == ("a byte above 127 in a message that is no note was passed over (3 times)",)


@pytest.mark.parametrize("length", range(14, len(PLAIN) - 4, 3))
def test_a_track_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MidiFileError, match=r"cut short|no track"):
        song_from_bytes(PLAIN[:length])


@pytest.mark.parametrize("division", [0x0000, 0xE728])
def test_a_division_that_is_no_ticks_is_refused(division: int) -> None:
    with pytest.raises(MidiFileError, match=r"0 ticks|SMPTE"):
        song_from_bytes(header(division=division) + PLAIN[14:])


def read(data: bytes) -> Song | str:
    """Return what ``data`` holds, as bars too, or the complaint."""
    try:
        song = song_from_bytes(data)
        transcribed(song, GM)
    except MidiFileError as refused:
        return str(refused)
    return song


EVENTS = st.one_of(
    st.sampled_from([TEMPO, METRE, KICK, SNARE, END]),
    st.binary(min_size=1, max_size=6),
    st.builds(
        lambda delta, status, data: bytes([*delta, status, *data]),
        st.lists(st.integers(128, 255), max_size=3).map(lambda d: [*d, 0]),
        st.integers(128, 255),
        st.lists(st.integers(0, 255), max_size=5),
    ),
)
FILES = st.builds(
    lambda head, tracks, tail: head + b"".join(tracks) + tail,
    st.builds(header, st.integers(0, 9), st.integers(0, 3), st.integers(0, 0xFFFF)),
    st.lists(
        st.builds(
            chunk,
            st.lists(EVENTS, max_size=8).map(b"".join),
            st.sampled_from([b"MTrk", b"MTrk", b"XFIH", b"\0\0\0\0"]),
            st.none() | st.integers(0, 60) | st.just(0xFFFFFFFF),
        ),
        max_size=4,
    ),
    st.binary(max_size=12),
)


@pytest.mark.slow
@given(FILES)
@settings(max_examples=300, deadline=None)
@example(header() + chunk(b"\xff\xff\xff\x7f\x99\x24\x64" * 2 + END))
@example(header(division=1) + chunk(KICK + b"\xff\xff\xff\x7f\xff\x2f\x00"))
def test_any_bytes_are_a_song_or_one_line(data: bytes) -> None:
    found = read(data)
    assert isinstance(found, Song) or (found and "\n" not in found)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_with_wrong_bytes_is_a_song_or_one_line(data: st.DataObject) -> None:
    wrong = bytearray(riff(PLAIN, INFO) if data.draw(st.booleans()) else PLAIN)
    for _ in range(data.draw(st.integers(1, 4))):
        wrong[data.draw(st.integers(0, len(wrong) - 1))] = data.draw(st.integers(0, 255))
    found = read(bytes(wrong))
    assert isinstance(found, Song) or (found and "\n" not in found)


@pytest.mark.slow
def test_silence_for_hours_after_the_music_is_no_error() -> None:
    """The end of the track is beyond what a song can hold; the music is not."""
    song = song_from_bytes(header(division=24) + chunk(KICK + b"\xff\xff\xff\x7f\xff\x2f\x00"))
    assert len(transcribed(song, GM).played) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        header() + chunk(b"", length=0) * 8_000,
        header() + chunk(b"\0\0\0\0\0", length=2) * 6_000,
        header() + (b"XFIH" + (0).to_bytes(4)) * 8_000 + PLAIN[14:],
        header() + chunk(b"\x00\x99\x24\x64" * 16_000 + END),
        header() + b"MTrk" * 16_000,
        riff(b"", *[INFO] * 4_000),
    ],
)
def test_memory_is_in_proportion_to_the_file(data: bytes) -> None:
    tracemalloc.start()
    try:
        read(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 400 * len(data)
