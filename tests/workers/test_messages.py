"""What crosses the broker: it comes back as it went, and damage is told."""

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.kit import Voice
from drumigen.model.mock import mock_bar
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import Bpm, Tick
from drumigen_daemon.generator.messages import BarRequest, Batch, Item, WrittenBar, batch_of
from drumigen_daemon.workers.messages import (
    UNPACKED_MAX,
    BarsReply,
    BarsRequest,
    WireError,
    bars_request_of,
    compressed,
    compressed_text,
    decompressed,
    fitting,
    unpacked_text,
)

BAR = Bar(Meter(), (Hit(Tick(0), Voice.KICK, 100), Hit(Tick(960), Voice.SNARE, 90, -17)))


def batch(*styles: str) -> Batch:
    before = WrittenBar(BarRequest("funk", 0, Meter(), 1, blend="jazz", share=20), BAR)
    items = [Item(BarRequest(style, 1, Meter(), 1), (before,)) for style in styles]
    return batch_of(3, tuple(items), Bpm(174.0))


def test_a_request_comes_back_as_it_went_with_its_contexts() -> None:
    asked = bars_request_of(batch("rock", "funk"), "me", {"rock": "a", "funk": "b", "jazz": "c"})
    assert unpacked_text(compressed_text(asked), BarsRequest) == asked
    assert asked.styles == {"rock": "a", "funk": "b", "jazz": "c"}


def test_a_style_that_has_no_digest_is_named_all_the_same() -> None:
    assert bars_request_of(batch("/home/me/my.toml"), "me", {}).styles["/home/me/my.toml"] == ""


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_byte_that_is_changed_is_noticed(place: int, change: int) -> None:
    data = bytearray(compressed(BarsReply((BAR,), worker="w")))
    data[place % len(data)] ^= change
    try:
        assert decompressed(bytes(data), BarsReply) == BarsReply((BAR,), worker="w")
    except WireError:
        return


@given(st.binary(max_size=300))
def test_noise_is_no_message(data: bytes) -> None:
    with pytest.raises(WireError):
        decompressed(data, BarsReply)
    with pytest.raises(WireError):
        unpacked_text(data.decode("latin-1"), BarsRequest)


@pytest.mark.parametrize("text", [None, 5, "", "%%%", "AAAA", "é" * 40])
def test_a_body_of_another_kind_is_no_message(text: object) -> None:
    with pytest.raises(WireError):
        unpacked_text(text, BarsRequest)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(WireError, match="too large"):
        decompressed(zlib.compress(b" " * (UNPACKED_MAX + 10)), BarsReply)


def test_json_of_another_shape_is_no_message() -> None:
    shapes: list[object] = [{"bars": 5}, [], {"bars": [{"meter": "4/4"}]}, {"problem": 3}]
    for told in shapes:
        with pytest.raises(WireError):
            decompressed(zlib.compress(msgspec.json.encode(told)), BarsReply)


@pytest.mark.parametrize(
    "bars", [(), (BAR,), (BAR, BAR, BAR), (BAR, mock_bar(Meter(3, 4))), (BAR, Bar(Meter()))]
)
def test_bars_that_were_not_asked_for_are_no_answer(bars: tuple[Bar, ...]) -> None:
    with pytest.raises(WireError, match="not those asked for"):
        fitting(BarsReply(bars), batch("rock", "funk"))
    assert fitting(BarsReply((BAR, BAR)), batch("rock", "funk")) == (BAR, BAR)
