"""Training: what is learnt from, that it learns, and that it goes on where it stopped."""

import csv
import logging
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from drumigen.errors import CorpusError
from drumigen.kit import Voice
from drumigen.model.checkpoint import load_model
from drumigen.model.mock import mock_bar
from drumigen.model.network import ModelConfig
from drumigen.model.persona import profiles_of
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, VELOCITIES
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.training.dataset import (
    FIELDS,
    ODD_METERS,
    Line,
    batches,
    collated,
    in_odd_meters,
    sequence_of,
    windows,
)
from drumigen.training.free_running import perform
from drumigen.training.labels import conditions_of, fills_of, lean_of, sections_of
from drumigen.training.takes import Take, read_takes
from drumigen.training.teacher_forcing import teacher_forced
from drumigen.training.train import TrainingRecipe, train
from drumigen.units import Bpm, Tick

pytestmark = pytest.mark.slow

GROOVE = Path(__file__).parents[1] / "groove"
STYLES = ("funk", "hiphop", "jazz", "latin", "rock")
SMALL = ModelConfig(STYLES, ("drummer1", "drummer3"), 24, 2, 2, 1, 16, dropout=0.0)
QUICK = TrainingRecipe(
    epochs=2, steps=1024, context=128, warm_up=5, rate=5e-3, average=0.9, odd=0.3
)


@pytest.fixture(scope="module")
def takes() -> list[Take]:
    return read_takes(GROOVE)


def take_of(bars: list[Bar], name: str = "take", style: str = "rock") -> Take:
    return Take(name, style, "drummer1", Bpm(120.0), tuple(bars))


def test_takes_are_read_with_what_the_table_says(takes: list[Take]) -> None:
    assert len(takes) == 12
    assert {take.split for take in takes} == {"train", "validation"}
    assert {take.style for take in takes} == set(STYLES)
    assert sum(take.fill for take in takes) == 2
    assert {str(take.bars[0].meter) for take in takes} == {"4/4", "6/8"}
    assert read_takes(GROOVE, ("validation",)) == [t for t in takes if t.split == "validation"]


def test_what_cannot_be_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CorpusError, match="no takes of train"):
        read_takes(tmp_path, ("train",))
    (tmp_path / "info.csv").write_text("style,bpm\nrock,120\n")
    with pytest.raises(CorpusError, match=r"columns are missing: beat_type, midi_filename"):
        read_takes(tmp_path)
    header = "style,bpm,beat_type,time_signature,midi_filename,split\n"
    (tmp_path / "info.csv").write_text(header + "rock,120,beat,4-4,gone.mid,train\n")
    with caplog.at_level(logging.WARNING), pytest.raises(CorpusError, match="no takes"):
        read_takes(tmp_path)
    assert "left out" in caplog.text
    assert "gone.mid" in caplog.text


def test_a_fill_is_a_bar_with_more_toms_than_usual() -> None:
    groove = mock_bar(Meter())
    toms = tuple(Hit(Tick(t), Voice.LOW_TOM, 90) for t in range(3840, 7680, 480))
    fill = Bar(Meter(), (*groove.hits[:8], *toms))
    assert fills_of(take_of([groove] * 7 + [fill])) == (False,) * 7 + (True,)


def test_sections_are_told_by_place_timekeeper_and_density() -> None:
    groove = mock_bar(Meter())
    ridden = Bar(
        Meter(),
        tuple(
            replace(hit, voice=Voice.RIDE) if hit.voice is Voice.CLOSED_HAT else hit
            for hit in groove.hits
        ),
    )
    thin = Bar(Meter(), groove.hits[:3])
    bars = [groove] * 6 + [ridden] * 3 + [thin] + [groove] * 4
    said = sections_of(take_of(bars))
    assert said[:2] == ("intro",) * 2
    assert said[-2:] == ("ending",) * 2
    assert said[3] == "a"
    assert said[7] == "b"
    assert said[9] == "break"
    assert sections_of(take_of([groove] * 4)) == (None,) * 4


def test_the_lean_is_the_mean_offset_of_the_quarters() -> None:
    late = Bar(Meter(), tuple(replace(hit, offset=48) for hit in mock_bar(Meter()).hits))
    assert lean_of(take_of([late] * 4)) == pytest.approx(12.5)  # 48 ticks at 120 BPM
    assert lean_of(take_of([Bar(Meter(), late.hits[:2])])) is None


def test_every_bar_has_its_conditions(takes: list[Take]) -> None:
    for take in takes:
        told = conditions_of(take, SMALL.drummers)
        assert len(told) == len(take.bars)
        assert {under.styles for under in told} == {((take.style, 1.0),)}
        known = take.drummer in SMALL.drummers
        assert all((under.drummer is not None) == known for under in told)


def lines(takes: list[Take]) -> list[Line]:
    return [sequence_of(take, SMALL) for take in takes]


def test_windows_cover_every_bar_once_and_are_no_longer_than_allowed(takes: list[Take]) -> None:
    whole = lines(takes)
    for seed in range(5):
        found = windows(whole, 150, random.Random(seed))
        assert all(0 < window.steps <= 150 for window in found)
        for line in whole:
            covered = [n for w in found if w.sequence is line for n in range(w.first, w.last)]
            longest = np.diff(line.firsts).max()
            assert covered == sorted(set(covered))
            assert len(covered) >= line.bars - (longest > 150) * line.bars


def test_batches_hold_every_window_once(takes: list[Take]) -> None:
    found = windows(lines(takes), 150, random.Random(1))
    made = batches(found, 1000, random.Random(1))
    assert sorted(map(id, (w for batch in made for w in batch))) == sorted(map(id, found))
    assert all(len(b) * max(w.steps for w in b) <= 1000 for b in made if len(b) > 1)


def test_what_comes_next_is_what_was_played_next(takes: list[Take]) -> None:
    (window,) = windows(lines(takes[:1]), 10_000, random.Random(1))
    example = collated([window], SMALL)
    played = [n for bar in takes[0].bars for n in ("|", *bar.hits)]
    assert example.event.shape[1] == window.steps
    assert int(example.note.sum()) == sum(thing != "|" for thing in played)
    assert int((example.event == BAR_LINE).sum()) == len(takes[0].bars)
    assert torch.equal(example.steps.event[0, 1:], example.event[0, :-1])
    assert (example.steps.time[0].diff() >= 0).all()


def test_untold_conditions_are_withheld(takes: list[Take]) -> None:
    (window,) = windows(lines(takes[:1]), 10_000, random.Random(1))
    told = collated([window], SMALL, told=("tempo",)).steps.conditions[0]
    assert (told[:, FIELDS.index("tempo")] > 0).all()
    rest = [place for place, name in enumerate(FIELDS) if name != "tempo"]
    assert (told[:, rest] == 0).all()


def test_augmentation_keeps_the_grammar(takes: list[Take]) -> None:
    found = windows(lines(takes), 200, random.Random(1))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        example = collated(found, SMALL, rng, augmented=True)
        event, offset = example.event[example.real], example.offset[example.real]
        assert ((event >= 0) & (event <= BAR_LINE)).all()
        hit = event != BAR_LINE
        assert (offset[hit] < OFFSETS).all()
        assert (example.velocity[example.note] < VELOCITIES).all()
        for row in range(len(found)):
            here = example.event[row][example.real[row]].tolist()
            assert all(b >= a or BAR_LINE in (a, b) for a, b in pairwise(here))


def test_odd_metres_are_added_in_their_own_bars(takes: list[Take]) -> None:
    added = list(in_odd_meters(takes, random.Random(2), 1.0))
    assert added
    for take in added:
        meters = {bar.meter for bar in take.bars}
        assert len(meters) == 1
        assert meters <= set(ODD_METERS)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_learns_keeps_the_best_and_goes_on_where_it_stopped(
    takes: list[Take], tmp_path: Path
) -> None:
    path = train(takes, SMALL, QUICK, tmp_path, device="cpu", notes={"why": "a test"})
    first = rows(tmp_path / "log.csv")
    assert [row["epoch"] for row in first] == ["1", "2"]
    assert float(first[1]["train_nll"]) < float(first[0]["train_nll"])
    kept = load_model(path, "cpu")
    assert kept.config == SMALL
    assert kept.metadata["why"] == "a test"
    assert kept.metadata["recipe"]["seed"] == QUICK.seed
    profile = profiles_of(kept.metadata)["rock"]
    assert profile.personas

    train(takes, SMALL, replace(QUICK, epochs=3), tmp_path, device="cpu")
    again = rows(tmp_path / "log.csv")
    assert again[:2] == first
    assert [row["epoch"] for row in again] == ["1", "2", "3"]
    with pytest.raises(CorpusError, match="other sizes or styles"):
        train(takes, msgspec.structs.replace(SMALL, width=32), QUICK, tmp_path, device="cpu")

    teacher = teacher_forced(kept, [take for take in takes if take.split == "validation"])
    assert teacher.strokes == sum(len(b.hits) for t in takes for b in t.bars if t.split != "train")
    assert teacher.nll == pytest.approx(sum(teacher.nll_parts.values()))
    assert 0 < teacher.timing_mae_ms < 60

    performed = perform(kept, takes[:3], seed=1, bars=3)
    assert [(take.style, take.tempo) for take in performed] == [
        (take.style, take.tempo) for take in takes[:3]
    ]
    assert all(len(take.bars) == 3 for take in performed)
    assert performed == perform(kept, takes[:3], seed=1, bars=3)


def test_the_same_seed_trains_the_same_network(takes: list[Take], tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=1)
    paths = [train(takes, SMALL, recipe, tmp_path / name, device="cpu") for name in ("a", "b")]
    one, other = (load_model(path, "cpu").weights for path in paths)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_training_stops_when_it_gets_no_better(takes: list[Take], tmp_path: Path) -> None:
    still = replace(QUICK, epochs=50, rate=0.0, patience=2, average=1.0)
    train(takes, SMALL, still, tmp_path, device="cpu")
    assert len(rows(tmp_path / "log.csv")) == 3  # the first, and two that were no better


def test_nothing_to_train_on_is_said(takes: list[Take], tmp_path: Path) -> None:
    odd = msgspec.structs.replace(SMALL, styles=("polka",))
    with pytest.raises(CorpusError, match="no take to train on"):
        train(takes, odd, QUICK, tmp_path, device="cpu")
