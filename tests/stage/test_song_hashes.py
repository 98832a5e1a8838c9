"""The same song, byte for byte: planner, feel and export, without the arithmetic of a network."""

import json
from pathlib import Path

import pytest

from drumigen.styles import load_styles
from drumigen_daemon.session import Session
from song_hashes import hash_of, songs

KEPT = json.loads((Path(__file__).parent / "song_hashes.json").read_text(encoding="ascii"))


def test_every_style_is_kept_in_two_metres_by_two_seeds_at_two_tempi() -> None:
    assert KEPT.keys() == {name for name, _ in songs()}
    assert len(KEPT) == 8 * len(load_styles())


@pytest.mark.parametrize(("name", "session"), list(songs()), ids=KEPT)
def test_a_song_is_the_one_that_it_was(name: str, session: Session) -> None:
    assert hash_of(session) == KEPT[name]
