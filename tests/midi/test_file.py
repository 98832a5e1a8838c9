"""Laws of Standard MIDI Files: what is written reads back, and what is broken is said to be."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import accumulate, product
from pathlib import Path
from typing import Any

import mido
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drumigen.errors import MidiFileError
from drumigen.kit import KitNote, Voice, load_kit
from drumigen.midi.file import (
    Marker,
    MeterMark,
    Note,
    Song,
    TempoMark,
    bars_from_song,
    read_song,
    song_from_bars,
    song_from_bytes,
    song_to_bytes,
    write_song,
)
from drumigen.midi.song import BARS_MAX, TICK_MAX, transcribed
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from strategies import songs, straight_bars

GM = load_kit()
KEYS = {
    (channel, key): voice
    for voice, (channel, key) in zip(Voice, product(range(4), range(4)), strict=False)
}
FOUR_BY_FOUR = replace(GM, reads=KEYS, notes={v: KitNote(*key, 30) for key, v in KEYS.items()})
"""A kit that reads what the strategy for songs writes."""

SONG = song_from_bars([mock_bar(Meter()), mock_bar(Meter(7, 8))], GM, Bpm(97.3), "Verse")
FILE = song_to_bytes(SONG)


def file_of(*tracks: list[mido.Message], division: int = 480, kind: int = 1) -> bytes:
    file = mido.MidiFile(type=kind, ticks_per_beat=division)
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    buffer = BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def note_on(time: int, velocity: int = 100, note: int = 36, channel: int = 9) -> mido.Message:
    return mido.Message("note_on", time=time, note=note, velocity=velocity, channel=channel)


@given(songs())
def test_a_song_comes_back_from_its_file_unchanged(song: Song) -> None:
    assert song_from_bytes(song_to_bytes(song)) == song


@given(songs())
def test_no_key_sounds_twice_at_once(song: Song) -> None:
    sounding: dict[tuple[int, int], int] = {}
    for note in song.notes:
        key = note.channel, note.note
        assert note.tick >= sounding.get(key, 0)
        assert note.duration >= 1
        sounding[key] = note.tick + note.duration


@given(st.lists(straight_bars(), min_size=1, max_size=6))
def test_bars_come_back_from_a_song_with_their_micro_timing(bars: list[Bar]) -> None:
    # the empty bar in front leaves room for hits that sound before their bar line
    bars = [Bar(Meter()), *bars]
    song = song_from_bytes(song_to_bytes(song_from_bars(bars, GM, Bpm(120.0))))
    assert bars_from_song(song, GM) == bars


def complaint(data: bytes) -> str:
    """Return what reading ``data`` complains of; nothing where it holds a song."""
    try:
        song_from_bytes(data)
    except MidiFileError as refused:
        return str(refused)
    return ""


@given(st.binary(max_size=200))
@example(b"")
@example(b"MThd")
@example(b"MTrk\x00\x00\x00\x06\x00\xff\x59\x02\x08\xb8")  # a key of eight sharps
@example(b"MTrk\xff\xff\xff\xff")
@example(b"MTrk\x00\x00\x00\x0c" + b"\xff" * 12)
def test_junk_is_refused_in_one_line(data: bytes) -> None:
    assert complaint(data)
    assert [text for start in (0, 14, 22) if "\n" in (text := complaint(FILE[:start] + data))] == []


@given(st.integers(0, len(FILE) - 1), st.integers(0, 255))
def test_one_wrong_byte_gives_a_song_or_one_line(place: int, byte: int) -> None:
    assert "\n" not in complaint(FILE[:place] + bytes([byte]) + FILE[place + 1 :])


@pytest.mark.parametrize("length", range(0, len(FILE), 17))
def test_a_file_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MidiFileError):
        song_from_bytes(FILE[:length])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"RIFF" + bytes(40), "not a readable MIDI file"),
        (file_of([], [], kind=2), "type 2"),
        (FILE[:12] + b"\xe7\x28" + FILE[14:], "SMPTE"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, said: str) -> None:
    with pytest.raises(MidiFileError, match=said):
        song_from_bytes(data)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "loop.mid"
    path.write_bytes(b"no")
    with pytest.raises(MidiFileError, match=r"loop\.mid: "):
        read_song(path)
    with pytest.raises(MidiFileError, match=r"none\.mid: cannot be read"):
        read_song(tmp_path / "none.mid")
    with pytest.raises(MidiFileError, match="cannot be written"):
        write_song(SONG, tmp_path / "no folder" / "loop.mid")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_what_would_block_or_never_end_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mid")
    for path in (tmp_path / "pipe.mid", tmp_path, "/dev/zero", "a\0b.mid"):
        with pytest.raises(MidiFileError, match=r"not a (file|path)"):
            read_song(path)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge.mid").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte, of which nothing is stored
    with pytest.raises(MidiFileError, match="split the song"):
        read_song(tmp_path / "huge.mid")


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    write_song(SONG, tmp_path / "verse.mid")
    assert read_song(tmp_path / "verse.mid") == SONG


@pytest.mark.parametrize("division", [24, 96, 480, 960, 1920, 15360])
def test_other_divisions_are_rescaled(division: int) -> None:
    data = file_of([note_on(division), note_on(division // 2, 0)], division=division)
    assert song_from_bytes(data).notes == (Note(Tick(1920), 9, 36, 100, 960),)


def test_the_tracks_of_a_type_1_file_share_one_time() -> None:
    conductor = [
        mido.MetaMessage("track_name", name="Song"),
        mido.MetaMessage("set_tempo", tempo=400_000),
        mido.MetaMessage("time_signature", numerator=3, denominator=4, time=1440),
        mido.MetaMessage("marker", text="Chorus", time=0),
    ]
    song = song_from_bytes(file_of(conductor, [note_on(480), note_on(480, 0)]))
    assert song.name == "Song"
    assert song.tempo == Bpm(150)
    assert song.meters == (MeterMark(Tick(5760), Meter(3, 4)),)
    assert song.markers == (Marker(Tick(5760), "Chorus"),)
    assert song.notes == (Note(Tick(1920), 9, 36, 100, 1920),)


def test_a_note_that_is_never_released_lasts_to_the_end() -> None:
    song = song_from_bytes(file_of([note_on(0), note_on(960, 0, note=38)]))
    assert song.notes == (Note(Tick(0), 9, 36, 100, 3840),)


def test_texts_in_an_old_encoding_are_read() -> None:
    data = file_of([mido.MetaMessage("marker", text="Bräcke")])
    assert song_from_bytes(data).markers == (Marker(Tick(0), "Bräcke"),)


@pytest.mark.parametrize("tempo", [20.0, 93.7, 120.0, 174.0, 400.0])
def test_a_tempo_is_kept_to_a_microsecond_a_beat(tempo: float) -> None:
    song = song_from_bars([mock_bar(Meter())], GM, Bpm(tempo))
    assert 60e6 / song_from_bytes(song_to_bytes(song)).tempo == pytest.approx(60e6 / tempo, abs=1)


def test_without_a_stated_tempo_it_is_120() -> None:
    assert Song().tempo == Bpm(120)
    assert Song(tempos=(TempoMark(Tick(1920), 400_000),)).tempo == Bpm(120)


@pytest.mark.parametrize("tick", [0, 1, 4, 480])
def test_a_first_tempo_near_the_start_holds_from_the_start(tick: int) -> None:
    song = Song(tempos=(TempoMark(Tick(tick), 400_000), TempoMark(Tick(1920), 600_000)))
    assert song.tempo == Bpm(150)
    assert song.tempo_map.changes == ((0, 150.0), (1920, 100.0))


def test_a_change_of_metre_is_in_the_file_at_its_bar_line() -> None:
    assert SONG.meters == (MeterMark(Tick(0), Meter()), MeterMark(Tick(7680), Meter(7, 8)))
    assert bars_from_song(SONG, GM) == [mock_bar(Meter()), mock_bar(Meter(7, 8))]


@pytest.mark.parametrize(
    ("tick", "length", "cut"),
    [(1920, 1920, "1/4"), (1440, 1440, "3/16"), (2560, 2560, "6/16"), (7300, 7300, "4/4")],
)
def test_a_metre_stated_inside_a_bar_cuts_it_and_begins_one(
    tick: int, length: int, cut: str
) -> None:
    kicks = tuple(Note(Tick(tick + n * 7680), 9, 36, 100, 60) for n in range(4))
    marks = MeterMark(Tick(0), Meter()), MeterMark(Tick(tick), Meter())
    read = transcribed(Song(kicks, meters=marks), GM)
    assert read.lines == (0, *(length + n * 7680 for n in range(4)))
    assert [str(bar.meter) for bar in read.bars] == [cut, *["4/4"] * 4]
    assert [[hit.tick for hit in bar.hits] for bar in read.bars] == [[], *[[0]] * 4]


@pytest.mark.parametrize("off", [-240, -20, 0, 20, 240])
def test_a_metre_stated_within_a_32nd_of_a_bar_line_counts_from_there(off: int) -> None:
    marks = MeterMark(Tick(0), Meter()), MeterMark(Tick(7680 + off), Meter(3, 4))
    read = transcribed(Song(meters=marks, end=Tick(7680 + 2 * 5760)), GM)
    assert [str(bar.meter) for bar in read.bars] == ["4/4", "3/4", "3/4"]


def test_a_hit_just_before_a_cut_belongs_to_the_bar_it_opens() -> None:
    hits = tuple(Note(Tick(tick), 9, 36, 100, 60) for tick in (1900, 1920 + 7680))
    marks = MeterMark(Tick(0), Meter()), MeterMark(Tick(1920), Meter())
    bars = transcribed(Song(hits, meters=marks), GM).bars
    assert [[(hit.tick, hit.offset) for hit in bar.hits] for bar in bars] == [
        [],
        [(0, -20)],
        [(0, 0)],
    ]


def test_rests_at_the_end_are_bars_too() -> None:
    song = song_from_bars([mock_bar(Meter()), Bar(Meter())], GM, Bpm(120.0))
    assert len(bars_from_song(song_from_bytes(song_to_bytes(song)), GM)) == 2


@given(songs())
def test_reading_bars_moves_no_note(song: Song) -> None:
    read = transcribed(song, FOUR_BY_FOUR)
    lines = zip(read.lines, read.bars, strict=True)
    placed = {line + hit.sounding_tick for line, bar in lines for hit in bar.hits}
    assert placed <= {note.tick for note in song.notes}


def test_a_hit_just_before_the_end_is_kept_in_the_last_bar() -> None:
    song = replace(SONG, notes=(Note(Tick(SONG.end - 20), 9, 36, 100, 20),))
    *_, last = bars_from_song(song, GM)
    assert [hit.sounding_tick for hit in last.hits] == [last.meter.ticks - 20]


def test_a_hit_before_the_song_sounds_at_its_start() -> None:
    song = song_from_bars([Bar(Meter(), (Hit(Tick(0), Voice.KICK, 90, -40),))], GM, Bpm(120.0))
    assert song.notes[0].tick == 0


def test_a_note_lasts_its_gate_at_the_songs_tempo() -> None:
    (note,) = song_from_bars([Bar(Meter(), (Hit(Tick(0), Voice.KICK, 90),))], GM, Bpm(125.0)).notes
    assert note.duration == 120  # 30 ms of 480 ms


def test_a_closed_hat_cuts_the_open_one_short() -> None:
    notes = {**GM.notes, Voice.OPEN_HAT: replace(GM.note_of(Voice.OPEN_HAT), gate_ms=2000)}
    hats = Hit(Tick(0), Voice.OPEN_HAT, 90), Hit(Tick(480), Voice.CLOSED_HAT, 90)
    song = song_from_bars([Bar(Meter(), hats)], replace(GM, notes=notes), Bpm(120.0))
    assert (song.notes[0].tick, song.notes[0].duration) == (0, 480)


def test_a_clip_on_channel_1_is_read_as_drums() -> None:
    song = song_from_bytes(file_of([note_on(0, channel=0), note_on(60, 0, channel=0)]))
    assert [hit.voice for hit in bars_from_song(song, GM)[0].hits] == [Voice.KICK]


def test_notes_that_a_kit_does_not_know_are_left_out() -> None:
    song = song_from_bytes(file_of([note_on(0, note=36), note_on(0, note=100)]))
    assert [hit.voice for hit in bars_from_song(song, GM)[0].hits] == [Voice.KICK]


@pytest.mark.parametrize(
    "note",
    [Note(Tick(0), 16, 36, 100, 9), Note(Tick(0), 9, 128, 100, 9), Note(Tick(0), 9, 1, 0, 9)],
)
def test_what_no_file_can_hold_is_refused(note: Note) -> None:
    with pytest.raises(MidiFileError):
        Song(notes=(note,))


def test_twenty_thousand_metres_take_linear_time() -> None:
    """Twice as many metres are about twice as many lines of Python, not four times."""
    steps = []
    for count in (1_000, 2_000):
        bar = Meter(2, 4).ticks
        metres = [Meter(2 + n % 2, 4) for n in range(count)]
        ticks = [0, *accumulate(meter.ticks for meter in metres)]
        marks = tuple(MeterMark(Tick(tick), m) for tick, m in zip(ticks, metres, strict=False))
        song = Song((Note(Tick(ticks[-1] + bar), 9, 36, 100, 60),), meters=marks)
        steps.append(lines_run(partial(transcribed, song, GM)))
    assert steps[1] < 2.5 * steps[0]


def test_exclusive_data_that_overrun_take_linear_time() -> None:
    def read(data: bytes) -> None:
        with suppress(MidiFileError):
            song_from_bytes(data)

    steps = []
    header = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk"
    # a snare, and data that go beyond the track, with an end mark behind which nothing goes on
    snare, overrun = b"\0\x99\x26\x40\x10\x89\x26\0", b"\0\xf0\xff\xff\x7f\xf7" + b"\xff" * 4
    for count in (200, 400):
        track = (2 * snare + overrun) * count
        data = header + len(track).to_bytes(4) + track
        steps.append(lines_run(partial(read, data)))
    assert steps[1] < 2.5 * steps[0]


def lines_run(call: Callable[[], object]) -> int:
    """Return how many lines of Python ``call`` runs: work, counted without a clock."""
    count = 0

    def trace(*_: object) -> Any:  # noqa: ANN401 - as sys.settrace wants
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def test_a_song_of_too_many_bars_is_one_line() -> None:
    marks = (MeterMark(Tick(0), Meter(1, 16)),)
    late = Song((Note(Tick(TICK_MAX - 60), 9, 36, 100, 60),), meters=marks)
    with pytest.raises(MidiFileError, match=f"{BARS_MAX} at most"):
        transcribed(late, GM)
    silent = Song((Note(Tick(0), 9, 36, 100, 60),), meters=marks, end=Tick(TICK_MAX))
    assert len(transcribed(silent, GM).bars) == 1


def test_silence_at_the_end_is_no_performance() -> None:
    song = Song((Note(Tick(9000), 9, 36, 100, 60),), end=Tick(100 * 7680))
    read = transcribed(song, GM)
    assert (len(read.bars), len(read.played)) == (100, 2)


def test_what_a_kit_does_not_know_is_counted() -> None:
    notes = [(36, 9), (100, 9), (100, 9), (99, 9), (60, 0)]
    song = Song(tuple(Note(Tick(480 * n), c, k, 90, 60) for n, (k, c) in enumerate(notes)))
    read = transcribed(song, GM)
    assert (read.notes, read.left_out, read.elsewhere) == (4, {100: 2, 99: 1}, 1)
    assert read.losses() == (
        "3 of 4 notes left out, as the kit does not know: 100 (2 times), 99 (1 time); "
        "give the kit they are for, or one of your own"
    )
    assert transcribed(SONG, GM).losses() is None
    other = Song((Note(Tick(0), 3, 60, 90, 60), Note(Tick(0), 4, 60, 90, 60)))
    assert transcribed(other, GM).losses() == (
        "no notes on the channel of the kit, 2 notes on other channels"
    )


@given(songs())
def test_every_note_is_a_hit_or_counted(song: Song) -> None:
    read = transcribed(song, FOUR_BY_FOUR)
    assert read.notes + read.elsewhere == len(song.notes)
    hits = sum(len(bar.hits) for bar in read.bars)
    assert hits <= read.notes - sum(read.left_out.values())
