"""Laws of a groove that is taken from a performance."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drumigen.bank.bank import load_bank
from drumigen.bank.grammars import PERFORMERS
from drumigen.errors import PatternError
from drumigen.feel.feel import Dynamics, Feel, FeelModel, SwingUnit
from drumigen.feel.feel_file import read_feel
from drumigen.feel.groove import extract, groove_toml
from drumigen.feel.humanize import humanize
from drumigen.kit import Voice
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit
from drumigen.styles import Style, load_styles
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from strategies import straight_bars

FOUR = Meter()
TEMPO = Bpm(90.0)
STYLES = load_styles()


def grid() -> Bar:
    """Return sixteenths on the hat, kick and snare in their places."""
    hats = [Hit(Tick(tick), Voice.CLOSED_HAT, 80) for tick in range(0, 7680, 480)]
    kicks = [Hit(Tick(tick), Voice.KICK, 100) for tick in (0, 1440, 3840, 5280)]
    snares = [Hit(Tick(tick), Voice.SNARE, 110) for tick in (1920, 5760)]
    return Bar(FOUR, (*hats, *kicks, *snares))


def played(feel: Feel, bars: int = 16, tempo: Bpm = TEMPO) -> list[Bar]:
    return [humanize(grid(), feel, 3, number, tempo=tempo) for number in range(bars)]


def far(one: list[Bar], two: list[Bar]) -> int:
    """Return the largest distance in ticks between what is played in ``one`` and in ``two``."""
    pairs = [
        abs(a.offset - b.offset)
        for x, y in zip(one, two, strict=True)
        for a, b in zip(x.hits, y.hits, strict=True)
    ]
    return max(pairs)


@pytest.mark.parametrize("unit", SwingUnit)
@pytest.mark.parametrize("percent", [50, 54, 60, 66.7])
def test_swing_is_found_on_the_notes_that_swing(unit: SwingUnit, percent: float) -> None:
    bars = played(Feel(swing=percent, swing_unit=unit, amount=0))
    if unit is SwingUnit.EIGHTH:
        bars = [
            replace(bar, hits=tuple(hit for hit in bar.hits if hit.tick % 960 == 0)) for bar in bars
        ]
    groove = extract(bars, TEMPO)
    assert groove.swing == pytest.approx(percent, abs=0.3)
    if percent > 52:
        assert groove.swing_unit is unit


def test_the_push_of_each_voice_is_found() -> None:
    push = {Voice.SNARE: -18.0, Voice.KICK: 12.0, Voice.CLOSED_HAT: 0.0}
    groove = extract(played(Feel(push_ms=push, residual_ms=0, spread_ms=0)), TEMPO)
    assert groove.model is FeelModel.FROZEN
    assert groove.push_ms == pytest.approx(push, abs=0.3)


def test_a_sampled_groove_is_played_again_exactly() -> None:
    bars = played(replace(STYLES.find("dilla").feel, dynamics=Dynamics()))
    groove = extract(bars, TEMPO)
    assert groove.model is FeelModel.FROZEN
    assert groove.template_bars == 2
    assert groove.swing_shares[Voice.KICK] == pytest.approx(0, abs=0.1)
    assert far(played(groove), bars) <= 2


def test_a_human_groove_keeps_its_spread() -> None:
    feel = Feel(residual_ms=9, spread_ms=4, push_ms={Voice.SNARE: 15.0})
    groove = extract(played(feel, 200), TEMPO)
    assert groove.model is FeelModel.HUMAN
    assert groove.residual_ms == pytest.approx(9, rel=0.35)
    assert groove.spread_ms == pytest.approx(4, rel=0.3)
    against = groove.push_ms[Voice.SNARE] - groove.push_ms[Voice.CLOSED_HAT]
    assert against == pytest.approx(15, abs=1.5)


def test_dynamics_are_found_by_voice_and_place() -> None:
    levels = {Voice.CLOSED_HAT: (95.0, 40.0, 70.0, 45.0)}
    feel = Feel(dynamics=Dynamics(levels, pull=1, spread=0), residual_ms=0, spread_ms=0)
    found = extract(played(feel), TEMPO).dynamics
    row = found.levels[Voice.CLOSED_HAT]
    assert [row[n] - row[n + 1] for n in (0, 2)] == pytest.approx([55, 25], abs=1)
    assert found.spread == 0


def test_backbeats_are_where_the_snare_is_hardly_ever_soft() -> None:
    ghosts = (Hit(Tick(7 * 480), Voice.SNARE, 25), Hit(Tick(12 * 480), Voice.SNARE, 30))
    soft = Bar(FOUR, tuple(hit for hit in grid().hits if hit.tick != 12 * 480) + ghosts)
    assert extract([soft, *[grid()] * 4], TEMPO).dynamics.backbeats == (4,)
    assert extract([soft, *[grid()] * 11], TEMPO).dynamics.backbeats == (4, 12)


def test_a_groove_survives_its_file(tmp_path: Path) -> None:
    bars = [load_bank("funk").bar(number, 1, FOUR) for number in range(8)]
    groove = extract(bars, Bpm(100.0))
    path = tmp_path / "groove.toml"
    path.write_text(groove_toml(groove, "take.mid"), encoding="utf-8")
    assert read_feel(path) == groove


def test_a_style_takes_a_groove_as_its_feel(tmp_path: Path) -> None:
    groove = extract([mock_bar(FOUR)], TEMPO)
    (tmp_path / "grooves").mkdir()
    (tmp_path / "grooves" / "g.toml").write_text(groove_toml(groove, "m"), encoding="utf-8")
    text = 'title = "M"\ndescription = "d"\ntempo = [80, 90]\nbank = "rock"\n'
    (tmp_path / "mine.toml").write_text(text + 'groove = "grooves/g.toml"\n', encoding="utf-8")
    assert load_styles(tmp_path).find("mine").feel == groove


@pytest.mark.slow
@given(st.lists(straight_bars(), min_size=1, max_size=5), st.floats(40, 240))
@settings(max_examples=50)
def test_any_performance_is_a_groove_that_can_be_played(bars: list[Bar], tempo: float) -> None:
    assume(any(bar.hits for bar in bars))
    groove = extract(bars, Bpm(tempo))
    assert 50 <= groove.swing <= 75
    felt = humanize(bars[0], groove, 1, 0, tempo=tempo)
    assert felt.meter == bars[0].meter
    # ghosts and flams may come to it; what was written stays, on its voice and at its place
    assert {(hit.tick, hit.voice) for hit in bars[0].hits} <= {
        (hit.tick, hit.voice) for hit in felt.hits
    }


OF_TAKES = [style for style in STYLES if style.name not in PERFORMERS]


@pytest.mark.parametrize("style", OF_TAKES, ids=lambda style: style.name)
def test_who_learnt_from_people_has_as_many_ghosts_as_he_wrote(style: Style) -> None:
    """Some drummers play none, and a bar of theirs gets none by rule."""
    written = load_bank(style.bank).phrases[0]
    assert [len(bar.hits) for bar in written] == [
        len(humanize(bar, style.feel, 1, number).hits) for number, bar in enumerate(written)
    ]


def test_silence_is_no_groove() -> None:
    with pytest.raises(PatternError, match="no drum hits"):
        extract([Bar(FOUR)], TEMPO)
