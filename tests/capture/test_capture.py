import pytest
from msgspec import convert, to_builtins
from msgspec.structs import replace

from drumigen.midi.file import song_from_bytes, song_to_bytes
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.capture.capture import Capture, song_of
from drumigen_daemon.engine.messages import Origin, PlayedBar, PlayedNote

BAR = 7680
KICK, SNARE = 36, 38


def bar(
    number: int,
    *ticks: int,
    style: str = "funk",
    origin: Origin = Origin.GENERATED,
    tempo: float = 120,
    meter: str = "4/4",
    start: int | None = None,
) -> PlayedBar:
    first = number * BAR if start is None else start
    notes = tuple(PlayedNote(first + tick, 9, KICK, 100, 60) for tick in ticks or (0,))
    return PlayedBar(number, Tick(first), meter, style, origin, Bpm(tempo), notes)


def test_the_last_bars_are_kept_oldest_first() -> None:
    capture = Capture(3)
    for number in range(5):
        capture.add(bar(number))
    assert [kept.number for kept in capture.last(9)] == [2, 3, 4]
    assert [kept.number for kept in capture.last(2)] == [3, 4]
    assert list(capture.last(0)) == []


def test_bars_follow_one_another_whatever_their_place_in_the_song_was() -> None:
    song = song_of([bar(40, 0, 960), bar(7, 480)])
    assert [note.tick for note in song.notes] == [0, 960, BAR + 480]
    assert song.end == 2 * BAR


def test_tempo_changes_are_kept_and_jitter_is_not() -> None:
    tempos = (120, 120.02, 119.98, 140, 140)
    song = song_of([bar(n, tempo=tempo) for n, tempo in enumerate(tempos)])
    assert [(mark.tick, round(mark.tempo, 1)) for mark in song.tempos] == [
        (0, 120.0),
        (3 * BAR, 140.0),
    ]


def test_a_tempo_turned_within_a_bar_is_kept_where_it_was_turned() -> None:
    turned = replace(bar(1, tempo=105), tempos=((0, Bpm(120)), (3840, Bpm(90))))
    song = song_of([bar(0), turned, bar(2, tempo=90)])
    assert [(mark.tick, round(mark.tempo, 1)) for mark in song.tempos] == [
        (0, 120.0),
        (BAR + 3840, 90.0),
    ]


def test_bars_of_an_older_journal_have_no_tempi_within_them() -> None:
    old = {key: value for key, value in to_builtins(bar(3)).items() if key != "tempos"}
    assert convert(old, PlayedBar) == bar(3)


def test_metre_changes_are_kept() -> None:
    bars = [bar(0), bar(1, meter="7/8"), bar(2, meter="7/8", start=BAR + 6720)]
    song = song_of(bars)
    assert [(mark.tick, mark.meter) for mark in song.meters] == [(0, Meter()), (BAR, Meter(7, 8))]
    assert song.end == BAR + 2 * 6720


def test_markers_name_style_and_what_was_a_fallback() -> None:
    song = song_of(
        [
            bar(0),
            bar(1, origin=Origin.REMEMBERED),
            bar(2, origin=Origin.BANK),
            bar(3, origin=Origin.BANK),
            bar(4, style="jazz"),
        ]
    )
    assert [(marker.tick, marker.text) for marker in song.markers] == [
        (0, "funk"),
        (2 * BAR, "funk (bank)"),
        (4 * BAR, "jazz"),
    ]


def test_an_early_note_belongs_to_the_bar_before_and_none_is_before_the_song() -> None:
    song = song_of([bar(0, -100, 960), bar(1, -100)])
    assert [note.tick for note in song.notes] == [0, 960, BAR - 100]


def test_a_bar_that_was_stopped_and_continued_is_one_bar() -> None:
    song = song_of([bar(0, 0, 960), bar(0, 1920, 2880), bar(1)])
    assert [note.tick for note in song.notes] == [0, 960, 1920, 2880, BAR]
    assert song.end == 2 * BAR


def test_a_bar_played_again_is_another_bar() -> None:
    assert song_of([bar(0, 0, 960), bar(0, 0, 960)]).end == 2 * BAR


def test_nothing_makes_an_empty_song() -> None:
    assert song_of([]).end == 0


@pytest.mark.parametrize("tempo", [20.0, 133.37, 400.0])
def test_the_song_survives_a_file(tempo: float) -> None:
    song = song_of([bar(0, 0, 480, tempo=tempo), bar(1, 7, origin=Origin.REPEATED)], "take")
    assert song_from_bytes(song_to_bytes(song)) == song


def test_two_hours_take_little_memory_and_come_out_as_they_went_in() -> None:
    capture = Capture(4096)
    played = [bar(number, *range(0, BAR, 240)) for number in range(200)]
    capture.restore(played[:100])
    for each in played[100:]:
        capture.add(each)
    assert list(capture.last(4096)) == played
    assert capture.last(50)[:2] == tuple(played[150:152])
    assert sum(map(len, capture._bars)) < 200 * 1_000


def test_who_listens_hears_of_new_bars_and_not_of_restored_ones() -> None:
    capture = Capture(10)
    heard: list[PlayedBar] = []
    capture.listen(heard.append)
    capture.restore([bar(0)])
    capture.add(bar(1))
    assert heard == [bar(1)]
    assert [kept.number for kept in capture.last(9)] == [0, 1]
