"""What the keys of the screens do, one after another, as fingers do it."""

from typing import Any

import pytest

from drumigen.errors import DrumigenError
from drumigen.styles import load_styles
from drumigen_daemon.controls.table import VALUES
from drumigen_daemon.engine.messages import TransportState
from drumigen_daemon.status.keys import HINTS, MUTES, Keyboard, moved
from drumigen_daemon.status.view_state import ViewState

STYLES = load_styles()


def keyboard() -> Keyboard:
    return Keyboard(STYLES.names, lambda name: STYLES.find(name).name)


def pressed(keys: str, **shown: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - of a state
    board, state = keyboard(), ViewState(style="rock", **shown)
    return [move for key in keys for move in board.press(key, state)]


@pytest.mark.parametrize(
    ("keys", "moves"),
    [
        (" ", [("start", None)]),
        ("f", [("fill", None)]),
        ("r", [("re-roll", None)]),
        ("t", [("tap", None)]),
        ("h", [("hold", True)]),
        ("d", [("drop", True)]),
        ("+", [("tempo", 121)]),
        ("-", [("tempo", 119)]),
        ("2", [("section", "a")]),
        ("/dilla\r", [("style", "j_dilla")]),
        ("/dilz\x7fla\n", [("style", "j_dilla")]),
        ("/dilla\x1bf", [("fill", None)]),
        ("mk", [("mute.kick", True)]),
        ("mzf", [("fill", None)]),
        ("z", []),
        ("/q\x1b", []),
    ],
)
def test_keys_are_controls(keys: str, moves: list[tuple[str, Any]]) -> None:
    assert pressed(keys) == moves


def test_what_is_on_is_switched_off() -> None:
    assert pressed(" ", transport=TransportState.ROLLING) == [("stop", None)]
    assert pressed("h", flags=("hold",)) == [("hold", False)]
    assert pressed("2", section="a") == [("section", "none")]
    assert pressed("mk", muted=("kick",)) == [("mute.kick", False)]


def test_styles_are_stepped_through_both_ways_and_from_the_pending_one() -> None:
    names = STYLES.names
    after = names[(names.index("rock") + 1) % len(names)]
    assert pressed("s") == [("style", after)]
    assert pressed("S") == [("style", names[names.index("rock") - 1])]
    assert pressed("s", next_style="blues") == [("style", names[names.index("blues") + 1])]


@pytest.mark.parametrize(
    ("keys", "last"),
    [
        ("+++", ("tempo", 123)),
        ("+-", ("tempo", 120)),
        ("hh", ("hold", False)),
        ("22", ("section", "none")),
        ("mkmk", ("mute.kick", False)),
        ("sS", ("style", "rock")),
    ],
)
def test_keys_that_are_pressed_at_once_add_up(keys: str, last: tuple[str, Any]) -> None:
    board, state = keyboard(), ViewState(style="rock")
    moves: list[tuple[str, Any]] = []
    for key in keys:
        for move in board.press(key, state):
            moves.append(move)
            state = moved(state, move)
    assert moves[-1] == last


def test_a_name_that_no_style_has_says_which_was_meant_and_the_keys_go_on() -> None:
    board, state = keyboard(), ViewState()
    for key in "/dila":
        list(board.press(key, state))
    with pytest.raises(DrumigenError, match="did you mean"):
        list(board.press("\r", state))
    assert list(board.press("f", state)) == [("fill", None)]


def test_q_ends_but_not_within_a_name() -> None:
    board = keyboard()
    for key in "/q\x1b":
        list(board.press(key, ViewState()))
    assert not board.ended
    list(board.press("q", ViewState()))
    assert board.ended


def test_what_is_asked_is_shown() -> None:
    board = keyboard()
    list(board.press("/", ViewState()))
    list(board.press("f", ViewState()))
    assert "style: f_" in board.prompt
    list(board.press("\x1b", ViewState()))
    assert board.prompt == ()
    list(board.press("m", ViewState()))
    assert "k kick" in board.prompt


@pytest.mark.parametrize("away", ["?", "\x1b", "z"])
def test_all_keys_are_shown_until_the_next_key(away: str) -> None:
    board = keyboard()
    assert not list(board.press("?", ViewState()))
    assert all(f"{key} {does}" in board.prompt for key, does in HINTS)
    list(board.press(away, ViewState()))
    assert board.prompt == ()


def test_a_key_does_what_it_does_though_all_are_shown() -> None:
    assert pressed("?f") == [("fill", None)]
    assert pressed("?mk") == [("mute.kick", True)]


def test_every_control_that_a_key_moves_exists() -> None:
    for voices in MUTES.values():
        assert all(f"mute.{voice}" in VALUES for voice in voices)
    assert len({key for key, _ in HINTS}) == len(HINTS)
