"""The drummer in the wheel: that it is there, and plays what it is asked for."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from drumigen.kit import VOICES, Voice
from drumigen.model.checkpoint import Checkpoint, load_model
from drumigen.model.conditions import Conditions
from drumigen.model.generation import Row, generate_batch
from drumigen.model.persona import profiles_of
from drumigen.pattern import Bar, Rule, problems
from drumigen.resources import checkpoint_path
from drumigen.styles import load_styles
from drumigen.timekeeping import Keeper
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, Bpm

pytestmark = pytest.mark.slow

SEEDS = range(12)
FOUR = Meter()
CATALOGUE = load_styles()


@pytest.fixture(scope="module")
def drummer() -> Checkpoint:
    return load_model(device="cpu")


def played(drummer: Checkpoint, style: str, *, meter: Meter = FOUR, **told: object) -> list[Bar]:
    """Return the third bar of a song for each seed; what is ``told`` holds in that bar only."""
    low, high = CATALOGUE.find(style).tempo
    tempo = Bpm((low + high) / 2)
    profile = profiles_of(drummer.metadata)[style]
    rows = []
    for seed in SEEDS:
        persona = profile.persona(seed)
        under = Conditions(
            ((style, 1.0),),
            tempo,
            meter,
            persona.density,
            persona.intensity,
            fill=False,
            lean=persona.lean,
            drummer=persona.drummer,
        )
        rows.append(Row(replace(under, phrase=0), seed))
    for number in (1, 2):
        bars = generate_batch(drummer, rows)
        asked = told if number == 2 else {}
        rows = [
            replace(
                row,
                number=number,
                context=(*row.context, (bar, row.conditions)),
                conditions=replace(row.conditions, phrase=number, **asked),  # type: ignore[arg-type]
            )
            for row, bar in zip(rows, bars, strict=True)
        ]
    return generate_batch(drummer, rows)


def count(bars: Sequence[Bar], *voices: Voice, since: int = 0) -> float:
    wanted = {voice for voice in Voice if VOICES[voice].class_of_nine in voices}
    hits = [h for bar in bars for h in bar.hits if h.voice in wanted and h.tick >= since]
    return len(hits) / len(bars)


def hits(bars: Sequence[Bar]) -> float:
    return sum(len(bar.hits) for bar in bars) / len(bars)


def test_it_is_small_and_knows_every_shipped_style(drummer: Checkpoint) -> None:
    assert checkpoint_path().stat().st_size < 12_000_000
    assert set(CATALOGUE.names) <= set(drummer.config.styles)
    assert set(CATALOGUE.names) <= set(profiles_of(drummer.metadata))


@pytest.mark.parametrize("style", CATALOGUE.names)
def test_every_style_is_music_that_can_be_played(drummer: Checkpoint, style: str) -> None:
    bars = played(drummer, style)
    assert 5 < hits(bars) < 40
    assert len(set(bars)) == len(bars)
    assert all({p.rule for p in problems(bar)} <= {Rule.SPARSE} for bar in bars)


@pytest.mark.parametrize("style", ["rock", "funk", "hiphop", "questlove"])
def test_it_obeys_density(drummer: Checkpoint, style: str) -> None:
    sparse, dense = (hits(played(drummer, style, density=density)) for density in (1.8, 7.0))
    assert dense > (1.4 if style != "questlove" else 1.3) * sparse  # a loop gives less


@pytest.mark.parametrize("style", ["rock", "funk", "hiphop"])
def test_it_obeys_intensity(drummer: Checkpoint, style: str) -> None:
    soft, loud = (
        sum(hit.velocity for bar in bars for hit in bar.hits) / sum(len(b.hits) for b in bars)
        for bars in (played(drummer, style, intensity=level) for level in (45.0, 100.0))
    )
    assert loud > soft + 12


@pytest.mark.parametrize("style", ["rock", "funk", "soul"])
def test_a_fill_ends_on_the_drums(drummer: Checkpoint, style: str) -> None:
    drums = (Voice.SNARE, Voice.LOW_TOM, Voice.MID_TOM, Voice.HIGH_TOM)
    groove, fill = (
        count(
            played(drummer, style, fill=wanted, density=None, part="fill" if wanted else "groove"),
            *drums,
            since=2 * TICKS_PER_BEAT,
        )
        for wanted in (False, True)
    )
    assert fill > 1.2 * groove


def test_the_b_section_opens_the_cymbals(drummer: Checkpoint) -> None:
    opened = (Voice.RIDE, Voice.CRASH, Voice.OPEN_HAT)
    a, b = (
        count(played(drummer, "rock", section=section, keeper=keeper), *opened)
        for section, keeper in (("a", Keeper.HAT), ("b", Keeper.RIDE))
    )
    assert b > a + 0.3


@pytest.mark.parametrize("text", ["3/4", "5/4", "6/8", "7/8", "15/16"])
def test_other_metres_are_filled_to_their_end(drummer: Checkpoint, text: str) -> None:
    meter = Meter.parse(text)
    bars = played(drummer, "rock", meter=meter)
    assert all(bar.meter == meter for bar in bars)
    last = sum(any(hit.tick >= meter.ticks - 960 for hit in bar.hits) for bar in bars)
    assert last >= len(bars) / 2
    assert hits(bars) > 1.5 * meter.ticks / TICKS_PER_BEAT


def test_the_producers_have_their_backbeats(drummer: Checkpoint) -> None:
    def accents(style: str, beat: int) -> float:
        bars = played(drummer, style)
        struck = [
            any(
                VOICES[h.voice].class_of_nine is Voice.SNARE
                and h.velocity > 70
                and h.tick == beat * TICKS_PER_BEAT
                for h in bar.hits
            )
            for bar in bars
        ]
        return sum(struck) / len(struck)

    for style in ("j_dilla", "questlove"):
        assert min(accents(style, 1), accents(style, 3)) > 0.7
        assert accents(style, 2) < 0.2
    assert accents("metro_boomin", 2) > 0.7
    assert max(accents("metro_boomin", 1), accents("metro_boomin", 3)) < 0.2


def test_only_metro_rolls_and_only_questlove_has_ghosts(drummer: Checkpoint) -> None:
    def rolls(bars: Sequence[Bar]) -> float:
        hats = [h.tick for bar in bars for h in bar.hits if h.voice is Voice.CLOSED_HAT]
        return sum(tick % 480 != 0 for tick in hats) / len(bars)

    def ghosts(bars: Sequence[Bar]) -> float:
        soft = [h for bar in bars for h in bar.hits if h.voice is Voice.SNARE and h.velocity < 46]
        return len(soft) / len(bars)

    dilla, metro, quest = (played(drummer, s) for s in ("j_dilla", "metro_boomin", "questlove"))
    assert rolls(metro) > 1.5
    assert max(rolls(dilla), rolls(quest)) < 0.5
    assert ghosts(quest) > 0.8
    assert max(ghosts(dilla), ghosts(metro)) < 0.4
