"""Who may write for whom: the same network, vocabulary, code and style."""

from dataclasses import replace
from pathlib import Path

import pytest

from drumigen.form import Form
from drumigen.resources import checkpoint_path
from drumigen.styles import load_styles
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.workers import identity
from drumigen_daemon.workers.identity import identity_of, style_digest, style_digests

SHIPPED = GeneratorSetup("model")


def test_two_of_the_same_kind_know_each_other(tmp_path: Path) -> None:
    copy = tmp_path / "another-name.safetensors"
    copy.write_bytes(checkpoint_path().read_bytes())
    assert identity_of(SHIPPED).key == identity_of(GeneratorSetup("model", str(copy))).key


def test_another_network_is_another(tmp_path: Path) -> None:
    other = tmp_path / "drummer.safetensors"
    data = bytearray(checkpoint_path().read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    assert identity_of(SHIPPED).key != identity_of(GeneratorSetup("model", str(other))).key


@pytest.mark.parametrize("what", ["vocabulary_hash", "__version__"])
def test_another_vocabulary_or_version_is_another(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity_of(SHIPPED).key
    value = "0.0.1" if what == "__version__" else lambda: "feed"
    monkeypatch.setattr(identity, what, value)
    assert identity_of(SHIPPED).key != before


def test_a_style_is_the_same_under_all_its_names_and_another_when_it_is_played_otherwise() -> None:
    styles = load_styles()
    digests = style_digests(styles)
    for style in styles:
        assert {digests[name] for name in (style.name, *style.aliases)} == {digests[style.name]}
    rock = styles.find("rock")
    assert style_digest(replace(rock, title="Loud", aliases=("r",))) == digests["rock"]
    assert style_digest(replace(rock, form=Form())) != digests["rock"]
    assert len({digests[style.name] for style in styles}) == len(styles)


def test_a_style_whose_checkpoint_cannot_be_read_is_nobodys(tmp_path: Path) -> None:
    rock = replace(load_styles().find("rock"), model=tmp_path / "gone.safetensors")
    assert not style_digest(rock)


def test_who_draws_otherwise_writes_other_bars_but_renders_the_same_songs() -> None:
    few = GeneratorSetup("celery", top_k=3)
    assert identity_of(few).key != identity_of(SHIPPED).key
    assert "top_k 3" in identity_of(few).model
    assert identity_of(few, drawn=False) == identity_of(SHIPPED, drawn=False)
