"""What messages mean, what Home Assistant is told, and what waits for a slow broker."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen_daemon.controls.table import STANDING, VALUES, Controls
from drumigen_daemon.controls.values import known_styles, leaves_to_style, plain
from drumigen_daemon.mqtt.homeassistant import discovery
from drumigen_daemon.mqtt.messages import ControlRequest
from drumigen_daemon.mqtt.outbox import EVENTS_MAX, Outbox
from drumigen_daemon.mqtt.topics import CONTROLLED, Message, Topics
from drumigen_daemon.session import Session

TOPICS = Topics("left", "stage")


@pytest.mark.parametrize("control", CONTROLLED)
@pytest.mark.parametrize("base", ["drumigen/left", "drumigen/group/stage"])
def test_every_control_is_understood_on_our_topics_and_on_our_groups(
    control: str, base: str
) -> None:
    wanted = TOPICS.wanted(f"{base}/{control}/set", b"on")
    assert wanted == ControlRequest(control, None if CONTROLLED[control] is None else "on")


@pytest.mark.parametrize(
    "topic",
    [
        "drumigen/right/tempo/set",
        "drumigen/left/tempo/state",
        "drumigen/left/tempo",
        "drumigen/left//set",
        "drumigen/left/set",
        "drumigen/left/tempo/set/",
        "drumigen/left/tempo/set/set",
        "drumigen/left/x/tempo/set",
        "drumigen/group/other/tempo/set",
        "drumigen/group//tempo/set",
        "drumigen/left/tempo.extra/set",
        "/set",
        "",
    ],
)
def test_other_topics_mean_nothing(topic: str) -> None:
    assert TOPICS.wanted(topic, b"120") is None
    assert Topics("left").wanted(topic, b"120") is None


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"120", "120"),
        (b" funk \n", "funk"),
        (b'{"value": 120}', 120),
        (b'{"value": "funk"}', "funk"),
        (b'{"value": true}', True),
    ],
)
def test_a_value_is_plain_or_in_json(payload: bytes, value: object) -> None:
    assert TOPICS.wanted("drumigen/left/style/set", payload) == ControlRequest("style", value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"a\nb",
        b"{",
        b'{"value": []}',
        b'{"x": 1}',
        b'{"value":' + b"[" * 900,
        b"1" * 1001,
        b"\x00",
    ],
)
def test_a_payload_that_makes_no_sense_is_no_command(payload: bytes) -> None:
    assert TOPICS.wanted("drumigen/left/style/set", payload) is None


@given(st.text(), st.binary(), st.booleans())
def test_nothing_that_anybody_sends_is_an_error(topic: str, payload: bytes, kept: bool) -> None:  # noqa: FBT001
    wanted = TOPICS.wanted(topic, payload, retained=kept)
    assert wanted is None or (wanted.control in CONTROLLED and not kept)


@given(st.sampled_from(sorted(CONTROLLED)), st.binary(max_size=2000))
def test_a_command_holds_what_the_daemon_can_read(control: str, payload: bytes) -> None:
    wanted = TOPICS.wanted(TOPICS.command(control), payload)
    if wanted is not None:
        assert isinstance(wanted.value, str | int | float | bool | None)


def test_a_kept_command_is_none() -> None:
    assert TOPICS.wanted("drumigen/left/start/set", b"", retained=True) is None


SETTINGS = [name for name, allowed in VALUES.items() if allowed and name in STANDING]


@pytest.mark.parametrize("control", SETTINGS)
def test_what_is_told_of_a_control_is_what_it_takes(control: str) -> None:
    value = Controls(known_styles(), Session()).value_of(control)
    allowed = VALUES[control]
    assert allowed is not None
    assert value is not None or leaves_to_style(allowed)
    assert plain(allowed.take(plain(value))) == plain(value)


def entities() -> dict[str, dict[str, object]]:
    messages = list(discovery(TOPICS, "homeassistant", "1.2", {"style": ("rock", "funk")}))
    assert all(message.retain for message in messages)
    return {message.topic: json.loads(message.payload) for message in messages}


def test_every_control_is_an_entity_of_the_kind_that_fits() -> None:
    told = entities()
    assert len(told) > len(CONTROLLED)
    kinds = {
        config["command_topic"]: topic.split("/")[1]
        for topic, config in told.items()
        if "command_topic" in config and not topic.endswith("_by_style/config")
    }
    assert set(kinds) == {TOPICS.command(control) for control in CONTROLLED}
    fitting = {
        "style": "select",
        "quantum": "select",
        "tempo": "number",
        "offset_ms.snare": "number",
        "variation": "switch",
        "playing": "switch",
        "panic": "button",
        "meter": "text",
    }
    assert {name: kinds[TOPICS.command(name)] for name in fitting} == fitting


def test_a_number_has_its_range_and_a_choice_its_names() -> None:
    told = {config["unique_id"]: config for config in entities().values()}
    tempo = told["drumigen_left_tempo"]
    assert (tempo["min"], tempo["max"]) == (20, 400)
    assert told["drumigen_left_seed"]["step"] == 1
    assert told["drumigen_left_style"]["options"] == ["rock", "funk"]
    assert told["drumigen_left_reading"]["options"] == ["half", "normal", "double"]


def test_what_every_voice_has_does_not_fill_the_screen() -> None:
    told = {config["unique_id"]: config for config in entities().values()}
    assert told["drumigen_left_offset_ms_snare"]["enabled_by_default"] is False
    assert "enabled_by_default" not in told["drumigen_left_tempo"]


def test_entities_are_told_apart_and_belong_to_one_device() -> None:
    told = entities()
    assert len({config["unique_id"] for config in told.values()}) == len(told)
    for config in told.values():
        assert config["availability_topic"] == "drumigen/left/status"
        assert config["device"]["identifiers"] == ["drumigen_left"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("drumigen", "drumigen"), ("left", "drumigen_left"), ("Drumigen-2", "drumigen_2")],
)
def test_an_entity_bears_the_name_of_its_drumigen_once(name: str, prefix: str) -> None:
    for message in discovery(Topics(name), "homeassistant", "1.2", {}):
        component = message.topic.split("/")[1]
        config = json.loads(message.payload)
        entity = config["default_entity_id"]
        assert entity.startswith(f"{component}.{prefix}_")
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", entity)
        assert "drumigen_drumigen" not in entity
        assert "object_id" not in config  # refused from 2026.4 on
    names = [
        json.loads(m.payload)["default_entity_id"] for m in discovery(Topics(name), "h", "1", {})
    ]
    assert len(set(names)) == len(names)


def test_what_can_be_left_to_the_style_can_be_given_back_and_shows_that_it_is() -> None:
    told = {config["unique_id"]: config for config in entities().values()}
    left = [
        control
        for control, allowed in CONTROLLED.items()
        if allowed is not None and leaves_to_style(allowed)
    ]
    assert {"swing", "density", "intensity"} <= set(left)
    for control in left:
        switch = told[f"drumigen_left_{control}_by_style"]
        assert switch["command_topic"] == TOPICS.command(control)
        assert switch["state_topic"] == TOPICS.state(control)
        allowed = VALUES[control]
        assert allowed is not None
        assert allowed.take(switch["payload_on"]) is None
        assert allowed.take(switch["payload_off"]) is not None
        assert switch["value_template"] == "{{ 'on' if value == 'style' else 'off' }}"


def state(topic: str, payload: str) -> Message:
    return Message(topic, payload, retain=True)


def test_of_a_state_only_the_newest_is_published_and_only_if_it_changed() -> None:
    outbox = Outbox()
    for value in ("1", "2", "3"):
        outbox.put(state("a", value))
    outbox.put(state("b", "1"))
    assert [outbox.take(), outbox.take(), outbox.take()] == [state("a", "3"), state("b", "1"), None]
    outbox.put(state("a", "3"))
    assert outbox.take() is None


def test_a_new_connection_is_told_every_state_in_its_order_and_no_old_event() -> None:
    outbox = Outbox()
    outbox.put(state("status", "online"))
    outbox.put(state("a", "1"))
    outbox.put(Message("bars", "old"))
    while outbox.take():
        pass
    outbox.put(Message("bars", "old too"))
    outbox.renew()
    assert [outbox.take(), outbox.take(), outbox.take()] == [
        state("status", "online"),
        state("a", "1"),
        None,
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=400))
def test_what_waits_is_bounded_whatever_comes(puts: list[tuple[int, int, bool]]) -> None:
    outbox = Outbox()
    for topic, value, kept in puts:
        outbox.put(Message(str(topic), str(value), retain=kept))
    assert len(outbox) <= 10 + EVENTS_MAX
    events = sum(not kept for _, _, kept in puts)
    assert outbox.dropped == max(0, events - EVENTS_MAX)
