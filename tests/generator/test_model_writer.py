"""What controls ask for is what the network is told, and a failing model does not stop the song."""

import dataclasses
import logging
from pathlib import Path

import msgspec
import numpy as np
import pytest

from brain import SMALL
from drumigen.kit import Voice
from drumigen.model.checkpoint import load_model
from drumigen.model.conditions import Conditions
from drumigen.model.generation import Row, generate_batch
from drumigen.model.mock import create_mock_checkpoint, mock_bar
from drumigen.model.sampling import Sampling
from drumigen.pattern import Bar
from drumigen.styles import StyleCatalogue, load_styles
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.generator import model_writer
from drumigen_daemon.generator.messages import BarRequest, GeneratorSetup, Item, WrittenBar
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.generator.writers import BankWriter, StandIn, make_writer

FOUR = Meter()
TEMPO = Bpm(104.0)
PROFILE = {
    style: {"personas": [[5.0, 80.0, -2.0, 0]], "spread": [-0.1, 0.0, 0.1], "fills": [0.0] * 8}
    for style in SMALL.styles
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return create_mock_checkpoint(tmp_path / "mock.safetensors", SMALL, {"profile": PROFILE})


@pytest.fixture
def writer(path: Path) -> ModelWriter:
    return ModelWriter(path)


def asked(style: str = "funk", number: int = 3, **fields: object) -> BarRequest:
    return BarRequest(style, number, FOUR, 1, **fields)  # type: ignore[arg-type]


def told(monkeypatch: pytest.MonkeyPatch, writer: ModelWriter, *items: Item) -> list[Conditions]:
    seen: list[Conditions] = []
    generate = generate_batch

    def listening(checkpoint: object, rows: list[object], kept: object) -> list[Bar]:
        seen.extend(row.conditions for row in rows)  # type: ignore[attr-defined]
        return generate(checkpoint, rows, kept)  # type: ignore[arg-type]

    for attempts in ("ATTEMPTS", "FIRST_ATTEMPTS", "FILL_ATTEMPTS"):
        monkeypatch.setattr(model_writer, attempts, 1)  # a mock's bars will not do
    monkeypatch.setattr(model_writer, "generate_batch", listening)
    writer.write(items, TEMPO)
    return seen


def test_every_request_gets_a_bar_in_its_metre(writer: ModelWriter) -> None:
    meters = [Meter.parse(text) for text in ("4/4", "7/8", "5/4", "15/16", "2/4")]
    items = [Item(BarRequest("rock", n, meter, 1)) for n, meter in enumerate(meters)]
    assert [bar.meter for bar in writer.write(items, TEMPO)] == meters


def test_a_bar_does_not_depend_on_what_is_asked_with_it_or_before(path: Path) -> None:
    context = tuple(WrittenBar(asked(number=number), mock_bar(FOUR)) for number in range(3))
    items = [Item(asked(), context), Item(asked("jazz")), Item(asked(fill=True), context)]
    together = ModelWriter(path).write(items, TEMPO)
    writer = ModelWriter(path)
    assert [writer.write([item], TEMPO)[0] for item in reversed(items)] == together[::-1]


def test_another_take_is_another_bar(writer: ModelWriter) -> None:
    bars = writer.write([Item(asked(take=take)) for take in range(4)], TEMPO)
    assert len(set(bars)) == 4


def test_knobs_become_conditions(writer: ModelWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, dense, soft, fill, mixed = told(
        monkeypatch,
        writer,
        Item(asked()),
        Item(asked(density=90)),
        Item(asked(intensity=10)),
        Item(asked(fill=True)),
        Item(asked(blend="jazz", share=30)),
    )
    assert plain.styles == (("funk", 1.0),)
    assert plain.density == pytest.approx(5.0, rel=0.15)
    assert plain.fill is False
    assert (plain.lean, plain.drummer, plain.phrase) == (-2.0, 0, 3)
    assert plain.density is not None
    assert dense.density is not None
    assert dense.density > 1.4 * plain.density
    assert soft.intensity is not None
    assert plain.intensity is not None
    assert soft.intensity < plain.intensity - 20
    assert fill.fill is True
    assert fill.density is None
    assert dict(mixed.styles) == pytest.approx({"funk": 0.7, "jazz": 0.3})


def test_a_song_that_has_become_softer_than_its_drummer_is_told_to_be_louder(
    writer: ModelWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, soft, loud = told(
        monkeypatch, writer, *(Item(asked(), struck_at(level)) for level in (72, 50, 110))
    )
    assert soft.intensity > plain.intensity + 15  # type: ignore[operator]
    assert loud.intensity < plain.intensity - 15  # type: ignore[operator]


def struck_at(velocity: int) -> tuple[WrittenBar, ...]:
    hits = tuple(dataclasses.replace(hit, velocity=velocity) for hit in mock_bar(FOUR).hits)
    bar = dataclasses.replace(mock_bar(FOUR), hits=hits)
    return tuple(WrittenBar(asked(number=number), bar) for number in range(3))


def test_a_wobbling_tempo_is_told_as_one(
    writer: ModelWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = told(monkeypatch, writer, Item(asked()))
    writer.write([Item(asked())], Bpm(TEMPO + 0.3))
    assert seen[0].tempo == seen[1].tempo


def test_after_a_fill_it_lands_on_the_one_with_a_crash(writer: ModelWriter) -> None:
    for number in range(8):
        (bar,) = writer.write([Item(asked(number=number, after_fill=True))], TEMPO)
        assert Voice.CRASH in {hit.voice for hit in bar.at(Tick(0))} or any(
            hit.voice in (Voice.SPLASH, Voice.CHINA) for hit in bar.at(Tick(0))
        )


def test_a_style_the_network_has_not_learnt_comes_from_the_bank(writer: ModelWriter) -> None:
    items = [Item(asked("reggae")), Item(asked())]
    bars = writer.write(items, TEMPO)
    assert bars[0] == BankWriter().write(items[:1], TEMPO)[0]
    assert bars[1] != BankWriter().write(items[1:], TEMPO)[0]


def test_a_network_whose_numbers_break_gives_way_to_the_bank_and_says_so_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = load_model(path, "cpu")
    bias = whole.weights["event_head.bias"]
    writer = ModelWriter(path)
    broken = {**whole.weights, "event_head.bias": np.full_like(bias, np.nan)}
    writer._common._checkpoint = dataclasses.replace(whole, weights=broken)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert writer.write([Item(asked())], TEMPO) == BankWriter().write(
                [Item(asked())], TEMPO
            )
    assert caplog.text.count("the bank goes on") == 1


def test_without_a_checkpoint_the_bank_plays_and_the_log_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        writer = make_writer(GeneratorSetup("model", str(tmp_path / "gone.safetensors")))
    assert isinstance(writer, StandIn)
    assert "drumigen train" in caplog.text


def test_a_style_may_have_a_checkpoint_of_its_own(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = msgspec.structs.replace(SMALL, width=32)
    own = create_mock_checkpoint(tmp_path / "own.safetensors", config, {"profile": PROFILE})
    styles = [
        dataclasses.replace(style, model=own if style.name == "jazz" else None)
        for style in load_styles()
    ]
    items = [Item(asked("jazz")), Item(asked("funk"))]
    plain = ModelWriter(path).write(items, TEMPO)
    monkeypatch.setattr(model_writer, "load_styles", lambda: StyleCatalogue(tuple(styles)))
    jazz, funk = ModelWriter(path).write(items, TEMPO)
    assert jazz != plain[0]
    assert jazz == ModelWriter(own).write(items[:1], TEMPO)[0]
    assert funk == plain[1]


def test_a_style_whose_checkpoint_is_wrong_is_played_by_the_common_one_and_harms_no_other(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = StyleCatalogue(
        tuple(
            dataclasses.replace(style, model=tmp_path / "gone" if style.name == "jazz" else None)
            for style in load_styles()
        )
    )
    items = [Item(asked("jazz")), Item(asked("funk"))]
    with caplog.at_level(logging.WARNING):
        bars = ModelWriter(path, styles=catalogue).write(items, TEMPO)
    assert bars == ModelWriter(path).write(items, TEMPO)
    assert caplog.text.count("jazz: ") == 1


def test_a_style_whose_bank_is_wrong_plays_a_plain_beat_and_harms_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = StyleCatalogue(
        tuple(
            dataclasses.replace(style, bank="nowhere" if style.name == "reggae" else style.bank)
            for style in load_styles()
        )
    )
    items = [Item(asked(style)) for style in ("reggae", "soul", "funk", "reggae")]
    writer = ModelWriter(path, styles=catalogue)
    with caplog.at_level(logging.WARNING):
        reggae, *others, again = writer.write(items, TEMPO)
    assert reggae == again == mock_bar(FOUR, "reggae")
    assert others == ModelWriter(path).write(items[1:3], TEMPO)
    assert caplog.text.count("a plain beat plays") == 1


def test_a_style_without_takes_comes_from_the_bank(tmp_path: Path) -> None:
    metadata = {"profile": PROFILE, "takes": {"funk": 2, "jazz": 0, "rock": 1}}
    path = create_mock_checkpoint(tmp_path / "some.safetensors", SMALL, metadata)
    items = [Item(asked("jazz")), Item(asked("funk", blend="jazz", share=50))]
    jazz, funk = ModelWriter(path).write(items, TEMPO)
    assert jazz == BankWriter().write(items[:1], TEMPO)[0]
    assert funk == ModelWriter(path).write([Item(asked("funk"))], TEMPO)[0]


def test_half_a_style_and_half_of_the_same_is_the_style(writer: ModelWriter) -> None:
    plain, doubled = writer.write(
        [Item(asked("rock")), Item(asked("rock", blend="rock", share=50))], TEMPO
    )
    assert plain == doubled


GOOD = 'title = "Mine"\ndescription = "d"\ntempo = [80, 120]\nbank = "rock"\n'


def test_a_style_of_ones_own_is_written_as_what_its_bank_is_of(path: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(GOOD, encoding="utf-8")
    setup = GeneratorSetup("model", str(path), styles=str(tmp_path))
    named, given = make_writer(setup).write([Item(asked("mine")), Item(asked(str(own)))], TEMPO)
    assert named == given
    assert named != BankWriter().write([Item(asked("rock"))], TEMPO)[0]


def test_a_style_that_only_a_checkpoint_knows_is_written_by_it(tmp_path: Path) -> None:
    config = msgspec.structs.replace(SMALL, styles=("mystyle",))
    profile = {"mystyle": PROFILE["funk"]}
    path = create_mock_checkpoint(tmp_path / "own.safetensors", config, {"profile": profile})
    setup = GeneratorSetup("model", str(path))
    (bar,) = make_writer(setup).write([Item(asked("mystyle"))], TEMPO)
    assert bar.hits
    assert bar == ModelWriter(path).write([Item(asked("mystyle"))], TEMPO)[0]


def test_a_bar_that_is_next_to_empty_is_written_again(
    writer: ModelWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[Bar(FOUR)], [Bar(FOUR)], [mock_bar(FOUR)]])
    monkeypatch.setattr(model_writer, "generate_batch", lambda *_: next(answers))
    (bar,) = writer.write([Item(asked())], TEMPO)
    assert struck_in(bar) == struck_in(mock_bar(FOUR))


def struck_in(bar: Bar) -> list[tuple[int, Voice, int]]:
    """Return what is struck when, and how hard; how near to the clock is its drummer's."""
    return [(hit.tick, hit.voice, hit.velocity) for hit in bar.hits]


def test_a_song_begins_with_what_tells_where_the_one_is(
    writer: ModelWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = mock_bar(FOUR)
    late = Bar(FOUR, tuple(hit for hit in beat.hits if hit.tick or hit.voice is not Voice.KICK))
    answers = iter([[late], [beat], [late]])
    monkeypatch.setattr(model_writer, "generate_batch", lambda *_: next(answers))
    for number, expected in ((0, beat), (3, late)):
        (bar,) = writer.write([Item(asked("rock", number=number))], TEMPO)
        assert struck_in(bar) == struck_in(expected)


def test_where_nothing_comes_the_bank_plays(
    writer: ModelWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_writer, "generate_batch", lambda *_: [Bar(FOUR)])
    assert writer.write([Item(asked())], TEMPO) == BankWriter().write([Item(asked())], TEMPO)


def test_a_tempo_that_a_style_was_not_learnt_at_is_told_as_the_nearest(
    writer: ModelWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = told(monkeypatch, writer, Item(asked("rock")))
    writer.write([Item(asked("rock"))], Bpm(300.0))
    writer.write([Item(asked("rock"))], Bpm(160.0))
    assert seen[1].tempo == seen[2].tempo


def test_top_k_and_top_p_are_how_every_stroke_is_drawn(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    drawn: list[Sampling] = []
    generate = generate_batch

    def listening(checkpoint: object, rows: list[Row], kept: object) -> list[Bar]:
        drawn.extend(row.sampling for row in rows)
        return generate(checkpoint, rows, kept)  # type: ignore[arg-type]

    monkeypatch.setattr(model_writer, "generate_batch", listening)
    make_writer(GeneratorSetup("model", str(path), top_k=5, top_p=0.8)).write(
        [Item(asked(fill=fill)) for fill in (False, True)], TEMPO
    )
    assert drawn
    assert {(each.top_k, each.top_p) for each in drawn} == {(5, 0.8)}
    writer = ModelWriter(path, top_k=1)
    plain, choosy = (each.write([Item(asked())], TEMPO) for each in (ModelWriter(path), writer))
    assert plain != choosy
