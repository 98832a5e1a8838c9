"""What is known of the song, and what of many wishes reaches the daemon."""

import asyncio

import pytest

from drumigen.errors import ControlError
from drumigen.units import Seconds
from drumigen_daemon.web.hub import CHANGES_MAX, BusyError, Hub
from drumigen_daemon.web.messages import WebState
from web_stage import SONG


def told(**changed: object) -> Hub:
    hub = Hub()
    hub.take_state(WebState(100.0, {"tempo": 120.0}, {**SONG, **changed}, {}))
    return hub


def test_where_the_song_is_follows_from_the_timeline_and_the_moment() -> None:
    hub = told(transport="rolling", meters=[[0, 0, "4/4"], [2, 15360, "7/8"]])
    now = hub.now(Seconds(100.0 + 2 * 2.0 + 0.30))  # two bars of 4/4 at 120, then 7/8
    assert (now["bar"], now["beat"], now["meter"]) == (3, 2, "7/8")


@pytest.mark.parametrize(
    ("quantum", "due"), [("step", 1920), ("beat", 1920), ("bar", None), ("phrase", None)]
)
def test_a_style_is_pending_until_its_quantum(quantum: str, due: int | None) -> None:
    hub = told(transport="rolling", bar_style="rock")
    switched = {**SONG, "transport": "rolling", "bar_style": "rock", "style": "funk"}
    # the song began at 100, and its beats are half a second: in the last step of the first one
    hub.take_state(WebState(100.45, {"quantum": quantum}, switched, {}))
    before, after = hub.now(Seconds(100.46)), hub.now(Seconds(100.6))
    assert (before["style_pending"], before["style_due"]) == ("funk", due)
    # within its bar: what that is called by is the style of before till the bar line
    assert after["style_pending"] == (None if due else "funk")


def test_at_rest_the_song_is_where_it_will_start() -> None:
    assert told(stored_tick=7680).now(Seconds(500.0))["bar"] == 2


def test_only_what_has_changed_gets_a_new_version() -> None:
    hub = told()
    before = dict(hub.versions)
    hub.take_state(WebState(101.0, {"tempo": 121.0}, SONG, {}))
    assert hub.versions == {**before, "values": before["values"] + 1}


async def test_of_a_setting_the_last_wish_counts_and_all_are_answered() -> None:
    hub = Hub()
    futures = [hub.want("tempo", value) for value in (100, 110, 120)]
    batch = hub.batch()
    assert batch is not None
    assert batch.controls == (("tempo", 120),)
    assert hub.answered(batch.id, {})
    assert [await future for future in futures] == ["", "", ""]
    assert hub.batch() is None


async def test_an_action_is_done_as_often_as_it_is_asked_for() -> None:
    hub = Hub()
    for _ in range(3):
        hub.want("tap")
    batch = hub.batch()
    assert batch is not None
    assert batch.controls == (("tap", None),) * 3


async def test_what_the_daemon_refuses_is_told_to_who_asked() -> None:
    hub = Hub()
    wrong, right = hub.want("style", "polka"), hub.want("tempo", 100)
    batch = hub.batch()
    assert batch is not None
    hub.answered(batch.id, {"style": "no style is called polka"})
    assert (await wrong, await right) == ("no style is called polka", "")


async def test_a_flood_of_actions_is_refused_beyond_a_batch() -> None:
    hub = Hub()
    for _ in range(CHANGES_MAX):
        hub.want("fill")
    with pytest.raises(BusyError):
        hub.want("fill")


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("tempoo", 1, "did you mean tempo"),
        ("tempo", None, "needs a value"),
        ("tempo", 1000, "20 to 400"),
        ("tempo", "fast", "20 to 400"),
        ("fill", 3, "takes no value"),
        ("style", 3, "style"),
        ("mute.snare", "perhaps", "on or off"),
    ],
)
async def test_a_wrong_wish_is_one_line_and_reaches_nobody(
    name: str, value: str | int | None, hint: str
) -> None:
    hub = Hub()
    with pytest.raises(ControlError, match=hint) as caught:
        hub.want(name, value)
    assert "\n" not in str(caught.value)
    assert hub.batch() is None


async def test_an_alias_is_the_control_that_it_stands_for() -> None:
    hub = Hub()
    hub.want("bpm", 100)
    hub.want("tempo", 90)
    batch = hub.batch()
    assert batch is not None
    assert batch.controls == (("tempo", 90),)


async def test_a_wish_of_one_who_left_waits_for_nobody() -> None:
    hub = Hub()
    future = hub.want("tempo", 100)
    future.cancel()
    batch = hub.batch()
    assert batch is not None
    hub.answered(batch.id, {})
    await asyncio.sleep(0)
