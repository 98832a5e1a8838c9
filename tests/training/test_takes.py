"""Laws of reading a corpus: styles and splits by folder and file, and nothing lost in silence."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumigen.errors import CorpusError
from drumigen.kit import Voice, load_kit
from drumigen.midi.file import Note, Song, TempoMark, song_from_bars, song_to_bytes, write_song
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.training.labels import conditions_of, lean_of
from drumigen.training.takes import plain_folder, read_takes, style_named
from drumigen.units import Bpm, Tick

FOUR = Meter()
GM = load_kit()
SONG = song_from_bars([mock_bar(FOUR)] * 4, GM, Bpm(100.0))
FILE = song_to_bytes(SONG)
HEADER = "style,bpm,beat_type,time_signature,midi_filename,split\n"


def put(path: Path, data: bytes = FILE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def struck(*notes: int) -> bytes:
    """Return a file of a note every quarter, on the drum channel."""
    return song_to_bytes(
        Song(tuple(Note(Tick(1920 * n), 9, note, 90, 60) for n, note in enumerate(notes)))
    )


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("Polka", "polka"),
        ("J Dilla", "j_dilla"),
        ("j-dilla", "j_dilla"),
        ("Hip-Hop", "hiphop"),
        ("HIP HOP", "hiphop"),
        ("Metro Boomin'", "metro_boomin"),
        ("New Orleans", "neworleans"),
        ("My Own Style", "my_own_style"),
        ("Ćoček 9/8", "ćoček_9_8"),
        ("!!!", "unnamed"),
    ],
)
def test_a_folder_is_the_style_that_its_name_means(name: str, style: str) -> None:
    assert style_named(name, load_styles()) == style


def test_a_plain_folder_is_a_style_by_its_name(tmp_path: Path) -> None:
    put(tmp_path / "J Dilla" / "one.mid")
    put(tmp_path / "J Dilla" / "two.mid", b"no midi")
    (take,) = read_takes(tmp_path)
    assert (take.style, take.split, take.name) == ("j_dilla", "train", "J Dilla/one.mid")


@pytest.mark.parametrize("name", ["a.mid", "a.MID", "a.midi", "a.Midi", "a.rmi", "a.KAR"])
def test_midi_files_are_found_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    put(tmp_path / "rock" / name)
    assert [take.name for take in read_takes(tmp_path)] == [f"rock/{name}"]


def test_a_plain_folder_is_split_by_file_and_says_so(tmp_path: Path) -> None:
    for style in ("rock", "Polka"):
        for number in range(40):
            put(tmp_path / style / f"{number}.mid")
    splits = {split: read_takes(tmp_path, (split,)) for split in ("train", "validation", "test")}
    names = [take.name for takes in splits.values() for take in takes]
    assert len(names) == len(set(names)) == 80
    assert len(splits["validation"]) == pytest.approx(16, abs=8)
    assert len(splits["train"]) == pytest.approx(56, abs=12)
    said = str(plain_folder(tmp_path))
    assert "80 files by folder in polka (new), rock; by file " in said
    assert f"{len(splits['validation'])} for validation" in said


@given(st.sets(st.integers(0, 999), min_size=1, max_size=12), st.integers(0, 999))
@settings(max_examples=30)
def test_no_file_moves_into_training_that_judged_before(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], more: int
) -> None:
    """Files that are added later take no other file's place but that of a style's only judge."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in numbers:
        put(folder / "rock" / f"{number}.mid", b"")
    before = plain_folder(folder)
    put(folder / "rock" / f"{more}.mid", b"")
    after = plain_folder(folder)
    assert before is not None
    assert after is not None
    learnt = [path for path, split in before.splits.items() if split == "train"]
    judges = [path for path in learnt if after.splits[path] == "validation"]
    assert "train" in before.splits.values()
    # two files are both learnt from until a third one comes, and an only teacher until another
    assert not judges or len(numbers) == 2 or len(learnt) == 1
    assert len(after.splits) < 3 or "validation" in after.splits.values()


def test_takes_of_another_split_are_not_read(tmp_path: Path) -> None:
    put(tmp_path / "rock" / "only.mid")
    with pytest.raises(CorpusError, match="no takes of validation"):
        read_takes(tmp_path, ("validation",))


def test_a_tempo_that_changes_makes_another_take(tmp_path: Path) -> None:
    tempos = TempoMark.of(Bpm(90.0)), TempoMark.of(Bpm(180.0), Tick(2 * FOUR.ticks))
    song = Song(SONG.notes, tempos)
    write_song(song, put(tmp_path / "rock" / "a.mid"))
    takes = read_takes(tmp_path)
    assert [(take.name, len(take.bars)) for take in takes] == [
        ("rock/a.mid (1)", 2),
        ("rock/a.mid (2)", 2),
    ]
    assert [take.tempo for take in takes] == pytest.approx([90.0, 180.0], abs=0.01)
    told = [under.tempo for take in takes for under in conditions_of(take)]
    assert told == pytest.approx([90.0, 90.0, 180.0, 180.0], abs=0.01)


def test_milliseconds_of_a_take_go_by_the_tempo_in_force(tmp_path: Path) -> None:
    """20 ms late throughout, at 90 and then at 180 BPM, is 20 ms in both takes."""
    bars = 4 * FOUR.ticks
    notes = []
    for start, tempo in ((0, 90.0), (bars, 180.0)):
        late = round(0.020 * tempo * 1920 / 60)
        beats = range(0, bars, 1920)
        notes += [Note(Tick(start + tick + late), 9, 38, 90, 60) for tick in beats]
    tempos = TempoMark.of(Bpm(90.0)), TempoMark.of(Bpm(180.0), Tick(bars))
    write_song(Song(tuple(notes), tempos), put(tmp_path / "rock" / "a.mid"))
    assert [lean_of(take) for take in read_takes(tmp_path)] == pytest.approx([20.0, 20.0], abs=0.2)


def test_a_tempo_that_wavers_is_one_take_at_its_mean(tmp_path: Path) -> None:
    marks = tuple(TempoMark.of(Bpm(100.0 + n % 2), Tick(n * FOUR.ticks // 2)) for n in range(8))
    write_song(Song(SONG.notes, marks), put(tmp_path / "rock" / "a.mid"))
    (take,) = read_takes(tmp_path)
    assert take.tempo == pytest.approx(100.5, abs=0.01)


def test_silence_at_the_end_is_no_performance(tmp_path: Path) -> None:
    put(tmp_path / "rock" / "a.mid", song_to_bytes(Song(SONG.notes, end=Tick(400 * FOUR.ticks))))
    (take,) = read_takes(tmp_path)
    assert len(take.bars) == 4
    assert all(bar.hits for bar in take.bars)


def test_an_e_kits_zones_are_read(tmp_path: Path) -> None:
    put(tmp_path / "rock" / "a.mid", struck(22, 26, 58, 38))
    (take,) = read_takes(tmp_path)
    voices = [hit.voice for bar in take.bars for hit in bar.hits]
    assert voices == [Voice.CLOSED_HAT, Voice.OPEN_HAT, Voice.LOW_TOM, Voice.SNARE]


def test_without_an_e_kits_hats_58_is_general_midis_vibraslap(tmp_path: Path) -> None:
    put(tmp_path / "rock" / "a.mid", struck(42, 58, 38))
    (take,) = read_takes(tmp_path)
    assert Voice.PERCUSSION in {hit.voice for bar in take.bars for hit in bar.hits}


def test_what_is_lost_and_odd_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = struck(36, 100, 38, 100)
    put(tmp_path / "rock" / "a.mid", data[:10] + b"\0\3" + data[12:])
    with caplog.at_level(logging.WARNING):
        (take,) = read_takes(tmp_path)
    assert sum(len(bar.hits) for bar in take.bars) == 2
    assert "a.mid: 3 tracks are promised, 1 are there" in caplog.text
    assert "a.mid: 2 of 4 notes left out, as the kit does not know: 100 (2 times)" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_no_text_are_read_and_named_on_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "rock" / "b\nad.mid", b"no midi")
    put(tmp_path / "rock" / os.fsdecode(b"caf\xe9.mid"))
    with caplog.at_level(logging.WARNING):
        (take,) = read_takes(tmp_path)
    assert take.name == r"rock/caf\xe9.mid"
    (line,) = [record.getMessage() for record in caplog.records]
    assert r"b\nad.mid: " in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("rock,fast,beat,4-4,a.mid,train", r"line 2: bpm = 'fast'"),
        ("rock,nan,beat,4-4,a.mid,train", r"line 2: bpm = 'nan'"),
        ("rock,0,beat,4-4,a.mid,train", r"line 2: bpm = '0'"),
        ("rock,120", "line 2 is cut short"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "info.csv").write_text(HEADER + row + "\n")
    put(tmp_path / "a.mid")
    with pytest.raises(CorpusError, match=said):
        read_takes(tmp_path)


def test_a_table_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "info.csv").write_bytes(HEADER.encode() + b"\xff\xfe")
    with pytest.raises(CorpusError, match="not a table in UTF-8"):
        read_takes(tmp_path)


def test_styles_of_a_table_are_those_of_the_catalogue(tmp_path: Path) -> None:
    rows = ("gospel,100,beat,4-4,a.mid,train", "Hip-Hop/one,100,beat,4-4,a.mid,train")
    (tmp_path / "info.csv").write_text(HEADER + "\n".join(rows) + "\n")
    put(tmp_path / "a.mid")
    assert [take.style for take in read_takes(tmp_path)] == ["soul", "hiphop"]


def test_rests_inside_a_take_are_kept(tmp_path: Path) -> None:
    song = song_from_bars([mock_bar(FOUR), Bar(FOUR), mock_bar(FOUR)], GM, Bpm(100.0))
    put(tmp_path / "rock" / "a.mid", song_to_bytes(song))
    (take,) = read_takes(tmp_path)
    assert [bool(bar.hits) for bar in take.bars] == [True, False, True]
