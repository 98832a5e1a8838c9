"""Hypothesis strategies for metres, bars and songs, shared by the tests."""

from hypothesis import strategies as st

from drumigen.kit import Voice
from drumigen.midi.file import Marker, MeterMark, Note, Song, TempoMark
from drumigen.pattern import OFFSET_MAX, Bar, Hit, repaired
from drumigen.timeline import Meter, MeterMap
from drumigen.units import TICKS_PER_SIXTEENTH, Tick

METERS = [
    Meter.parse(text)
    for text in ("2/4", "3/4", "4/4", "5/4", "6/4", "5/8", "6/8", "7/8", "9/8", "12/8", "15/16")
]

voices = st.sampled_from(Voice)
velocities = st.integers(1, 127)


def meters() -> st.SearchStrategy[Meter]:
    return st.sampled_from(METERS)


@st.composite
def hits(draw: st.DrawFn, meter: Meter) -> Hit:
    """Draw any hit that a bar of ``meter`` can hold, most of them on sixteenths or triplets."""
    step = draw(st.sampled_from([TICKS_PER_SIXTEENTH, TICKS_PER_SIXTEENTH, 240, 320, 640, 1]))
    tick = step * draw(st.integers(0, (meter.ticks - 1) // step))
    offset = draw(st.integers(-OFFSET_MAX, OFFSET_MAX))
    return Hit(Tick(tick), draw(voices), draw(velocities), offset)


@st.composite
def bars(draw: st.DrawFn, in_meters: st.SearchStrategy[Meter] | None = None) -> Bar:
    """Draw any bar, playable or not."""
    meter = draw(in_meters or meters())
    return Bar(meter, tuple(draw(st.lists(hits(meter), max_size=40))))


def playable_bars(in_meters: st.SearchStrategy[Meter] | None = None) -> st.SearchStrategy[Bar]:
    return bars(in_meters).map(repaired)


@st.composite
def straight_bars(draw: st.DrawFn) -> Bar:
    """Draw a bar written on sixteenths, played within 60 ticks of them, a voice once a place."""
    meter = draw(meters())
    places = st.tuples(st.integers(0, meter.sixteenths - 1), voices)
    written = draw(st.lists(places, unique=True, max_size=24))
    return Bar(
        meter,
        tuple(
            Hit(
                Tick(step * TICKS_PER_SIXTEENTH),
                voice,
                draw(velocities),
                draw(st.integers(-60, 60)),
            )
            for step, voice in written
        ),
    )


@st.composite
def meter_maps(draw: st.DrawFn) -> MeterMap:
    """Draw the metres of a song with up to six changes."""
    meter_map = MeterMap.constant(draw(meters()))
    bar = 0
    for gap, meter in draw(st.lists(st.tuples(st.integers(1, 9), meters()), max_size=6)):
        bar += gap
        meter_map = meter_map.changed(bar, meter)
    return meter_map


_ticks = st.integers(0, 100_000).map(Tick)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def songs() -> st.SearchStrategy[Song]:
    """Draw any song, in no order, with notes that overlap and marks that coincide."""
    keys = st.integers(0, 3)
    return st.builds(
        Song,
        st.lists(
            st.builds(Note, _ticks, keys, keys, velocities, st.integers(1, 5000)), max_size=30
        ).map(tuple),
        st.lists(st.builds(TempoMark, _ticks, st.integers(1, 0xFF_FF_FF)), max_size=4).map(tuple),
        st.lists(st.builds(MeterMark, _ticks, meters()), max_size=4).map(tuple),
        st.lists(st.builds(Marker, _ticks, _texts), max_size=4).map(tuple),
        _texts,
        _ticks,
    )
