"""Laws of charts: on the grid, lengths that a reader expects, nothing lost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.kit import VOICES, Limb, Voice, load_kit
from drumigen.midi.file import Song, TempoMark, song_from_bars
from drumigen.midi.notation import chart_of
from drumigen.midi.song import transcribed
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from strategies import straight_bars

FOUR = Meter()
GM = load_kit()
EIGHTH = 960


def bar(*strokes: tuple[int, Voice, int], meter: Meter = FOUR) -> Bar:
    return Bar(meter, tuple(Hit(Tick(t), voice, 90, off) for t, voice, off in strokes))


def charted(*bars: Bar) -> Song:
    return chart_of(song_from_bars([Bar(FOUR), *bars], GM, Bpm(120.0)), GM)


def lengths(song: Song, voice: Voice) -> list[tuple[int, int]]:
    key = GM.note_of(voice).note
    return [(note.tick - 7680, note.duration) for note in song.notes if note.note == key]


def test_a_stroke_lasts_to_the_next_of_hands_or_feet_and_at_most_its_beat() -> None:
    hats = [(n * EIGHTH, Voice.CLOSED_HAT, 25) for n in range(8) if n != 5]
    song = charted(bar(*hats, (0, Voice.KICK, -20), (2400, Voice.KICK, 0), (1920, Voice.SNARE, 30)))
    assert lengths(song, Voice.CLOSED_HAT) == [
        (n * EIGHTH, EIGHTH if n != 4 else 1920) for n in range(8) if n != 5
    ]
    assert lengths(song, Voice.KICK) == [(0, 1920), (2400, 1440)]
    assert lengths(song, Voice.SNARE) == [(1920, EIGHTH)]


def test_a_beat_of_six_eight_is_a_dotted_quarter() -> None:
    meter = Meter(6, 8)
    song = charted(bar((0, Voice.KICK, 0), (2880, Voice.SNARE, 0), meter=meter))
    assert lengths(song, Voice.KICK) == [(0, 2880)]
    assert lengths(song, Voice.SNARE) == [(2880, 2880)]


@given(st.lists(straight_bars(), min_size=1, max_size=4))
def test_every_stroke_is_on_the_chart_where_it_is_written(bars: list[Bar]) -> None:
    song = charted(*bars)
    places = set()
    start = FOUR.ticks
    for one in bars:
        places |= {(start + hit.tick, GM.note_of(hit.voice).note) for hit in one.hits}
        start += one.meter.ticks
    assert {(note.tick, note.note) for note in song.notes} == places
    assert transcribed(song, GM).bars[1:] == tuple(
        Bar(one.meter, tuple(Hit(h.tick, h.voice, h.velocity) for h in one.hits)) for one in bars
    )


@given(st.lists(straight_bars(), min_size=1, max_size=4))
def test_within_a_beat_a_line_has_no_rest_after_its_first_stroke(bars: list[Bar]) -> None:
    song = charted(*bars)
    for limb in Limb:
        keys = {GM.note_of(voice).note for voice in Voice if VOICES[voice].limb is limb}
        line = sorted((n.tick, n.tick + n.duration) for n in song.notes if n.note in keys)
        assert all(
            end <= start or (a, end) == (start, b) for (a, end), (start, b) in pairwise(line)
        )


def test_a_tempo_that_wavers_is_written_once_and_a_turn_at_its_bar() -> None:
    song = song_from_bars([bar((0, Voice.KICK, 0))] * 6, GM, Bpm(100.0))
    wavering = [TempoMark.of(Bpm(100.0 + n % 2 / 4), Tick(n * 3840)) for n in range(8)]
    turned = TempoMark.of(Bpm(140.0), Tick(4 * 7680))
    chart = chart_of(Song(song.notes, (*wavering, turned), song.meters), GM)
    assert [(mark.tick, round(mark.tempo)) for mark in chart.tempos] == [(0, 100), (4 * 7680, 140)]


@pytest.mark.parametrize("kit", ["digitakt", "hydrogen", "drumgizmo", "roland_td"])
def test_charts_are_written_for_general_midi_whatever_kit_played(kit: str) -> None:
    played = load_kit(kit)
    song = song_from_bars(
        [Bar(FOUR), bar((0, Voice.KICK, 0), (1920, Voice.SNARE, 0))], played, Bpm(99.0)
    )
    assert [(note.channel, note.note) for note in chart_of(song, played).notes] == [
        (9, 36),
        (9, 38),
    ]
