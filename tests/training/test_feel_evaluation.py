"""The feel of every style as measured: wide bounds, fixed seeds."""

from dataclasses import replace
from math import isnan

import pytest

from drumigen.bank.bank import load_bank
from drumigen.feel.feel import Feel, FeelModel
from drumigen.styles import Style, load_styles
from drumigen.training.feel_evaluation import (
    PLAYERS,
    FeelFigures,
    FeelReport,
    bank_walk,
    feel_report,
    jittered,
    on_grid,
)
from drumigen.units import Bpm
from drumigen_daemon.cli import main

pytestmark = pytest.mark.slow

STYLES = load_styles()
HUMAN, PLAIN, JITTER, QUANTISED = PLAYERS
PHRASES_APART = ("blues", "country", "jazz", "neworleans")
"""Styles whose bank has ghosts in one phrase where another has accents."""

every_style = pytest.mark.parametrize("name", STYLES.names)
with_feel = pytest.mark.parametrize("player", [HUMAN, PLAIN])


@pytest.fixture(scope="module")
def report() -> FeelReport:
    return feel_report(STYLES, seeds=(1, 2), bars=48)


def of(report: FeelReport, name: str, player: str) -> FeelFigures:
    return next(f for f in report.figures if (f.style, f.player) == (name, player))


def style(name: str) -> Style:
    return STYLES.find(name)


@every_style
@with_feel
def test_a_style_swings_as_it_is_set(report: FeelReport, name: str, player: str) -> None:
    """Two takes, timed as widely as people's, tell it to two percent."""
    figures = of(report, name, player)
    assert isnan(figures.swing) or abs(figures.swing - figures.swing_set) <= 2


@every_style
@with_feel
def test_voices_stand_to_one_another_as_the_template_has_it(
    report: FeelReport, name: str, player: str
) -> None:
    error = of(report, name, player).offset_error_ms
    assert isnan(error) or error <= 2


@every_style
@with_feel
def test_a_human_pulse_drifts_and_a_frozen_one_repeats(
    report: FeelReport, name: str, player: str
) -> None:
    figures = of(report, name, player)
    match style(name).feel.model:
        case FeelModel.HUMAN:
            assert 0.05 <= figures.lag_one <= 0.65
            assert 0.5 <= figures.dfa <= 0.95
            assert 3 <= figures.snare_hat_ms <= 14
        case FeelModel.FROZEN:
            assert figures.repeat_sd_ms == 0
        case FeelModel.TIGHT:
            assert figures.sd_ms <= 2


@every_style
@with_feel
def test_velocity_is_a_structure_of_voice_and_place(
    report: FeelReport, name: str, player: str
) -> None:
    figures = of(report, name, player)
    assert figures.explained_apart >= 0.55
    assert figures.explained >= (0.35 if name in PHRASES_APART else 0.55)


@every_style
def test_jitter_has_neither_memory_nor_structure(report: FeelReport, name: str) -> None:
    figures = of(report, name, JITTER)
    assert figures.lag_one < 0.3
    assert figures.explained < 0.3


@every_style
def test_a_machine_has_no_swing_to_speak_of(report: FeelReport, name: str) -> None:
    figures = of(report, name, QUANTISED)
    assert figures.repeat_sd_ms == 0
    if style(name).feel.swing_unit == "sixteenth":
        assert isnan(figures.swing) or abs(figures.swing - 50) < 1


def test_what_misses_its_mark_is_named() -> None:
    dilla = style("dilla")
    loose = replace(dilla, feel=Feel(FeelModel.TIGHT, residual_ms=10, dynamics=dilla.feel.dynamics))
    misses = feel_report([loose], seeds=(1,), bars=8).misses
    assert any("off the grid" in miss for miss in misses)


def test_the_table_has_a_row_for_every_player() -> None:
    table = feel_report([style("funk")], seeds=(1,), bars=8).table().splitlines()
    assert len(table) == 2 + len(PLAYERS)
    assert len({row.count("|") for row in table}) == 1


def test_bars_come_from_where_they_are_taken() -> None:
    bars = bank_walk(style("rock"), 3, 5)
    assert bars == [load_bank("rock").bar(n, 3, bars[0].meter) for n in range(5)]
    assert {hit.offset for bar in bars for hit in on_grid(bar).hits} == {0}


def test_jitter_is_uniform_in_milliseconds_and_never_before_the_bar_line() -> None:
    bars = bank_walk(style("dilla"), 3, 30)
    for tempo in (60.0, 120.0):
        moved = [jittered(on_grid(bar), "j_dilla", Bpm(tempo), 1, n) for n, bar in enumerate(bars)]
        ms = [hit.offset * 60_000 / (tempo * 1920) for bar in moved for hit in bar.hits]
        assert 18 < max(map(abs, ms)) <= 20.3
        assert min(hit.sounding_tick for bar in moved for hit in bar.hits) >= 0


def test_eval_feel_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--feel", "--bank", "--seeds", "1"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in STYLES.names if f"| {name} | drumigen |" not in printed] == []


def test_eval_without_human_takes_says_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval"]) == 1
    assert "folder of human takes" in capsys.readouterr().err
