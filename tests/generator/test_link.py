"""The generator's link: who is slow is no hung one, and who cannot write a bar is not dead."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon.generator import link
from drumigen_daemon.generator.link import GeneratorLink
from drumigen_daemon.generator.messages import (
    BarRequest,
    GeneratorSetup,
    Item,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.generator.process import batch_reply
from drumigen_daemon.generator.writers import BankWriter

TEMPO = Bpm(120.0)


def item(number: int = 0, style: str = "rock") -> Item:
    return Item(BarRequest(style, number, Meter(), 1))


class Asked:
    """A link, and what came of it."""

    def __init__(self, seconds: float) -> None:
        self.bars: list[WrittenBar] = []
        self.refused: list[BarRequest] = []
        self.link = GeneratorLink(
            GeneratorSetup("", str(seconds)),
            on_bars=self._written,
            on_change=lambda: None,
            on_loss=lambda: None,
            module="slow_generator",
        )

    def _written(self, bars: Sequence[WrittenBar], refused: Sequence[BarRequest]) -> None:
        self.bars += bars
        self.refused += refused

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(0.01)

    async def ask(self, number: int, bar_seconds: float) -> None:
        await self.until(lambda: self.link.room(bar_seconds) > 0)
        before = len(self.bars)
        self.link.ask([item(number)], TEMPO, bar_seconds)
        await self.until(lambda: len(self.bars) > before)


@pytest.fixture
def _our_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{Path(__file__).parents[1] / 'support'}"
    monkeypatch.setenv("PYTHONPATH", path, prepend=":")


@pytest.mark.process
@pytest.mark.usefixtures("_our_modules")
async def test_one_that_takes_longer_than_its_patience_but_lives_is_not_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "REPLY_SECONDS_MAX", 2.0)
    asked = Asked(5.0)
    running = asyncio.create_task(asked.link.run())
    await asked.ask(0, bar_seconds=2.0)
    assert asked.link.child.restarts == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.process
@pytest.mark.usefixtures("_our_modules")
async def test_one_too_slow_for_the_song_is_said_to_be_and_left_in_peace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = Asked(0.2)
    running = asyncio.create_task(asked.link.run())
    await asked.ask(0, bar_seconds=0.1)
    await asked.ask(1, bar_seconds=0.1)
    assert asked.link.state == "too slow"
    assert asked.link.room(0.1) == 0
    assert "longer than a bar lasts" in caplog.text
    assert asked.link.child.restarts == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Picky(BankWriter):
    """Cannot write bar 3, however it is asked."""

    def write(self, items: Sequence[Item], tempo: Bpm) -> list[Bar]:
        if any(each.request.number == 3 for each in items):
            message = "not\nthat one"
            raise RuntimeError(message)
        return super().write(items, tempo)


@pytest.mark.parametrize("bad", [3, -1, -(2**40)])
def test_what_a_writer_cannot_serve_is_refused_and_the_others_are_written(bad: int) -> None:
    items = (item(1), item(bad), item(2))
    reply = batch_reply(Picky(), batch_of(7, items, TEMPO))
    assert [written.request.number for written in reply.bars] == [1, 2]
    assert [request.number for request in reply.refused] == [bad]
    assert reply.number == 7
    assert reply.why
    assert "\n" not in reply.why
    assert msgspec.json.decode(msgspec.json.encode(reply), type=type(reply)) == reply


def test_a_style_that_the_bank_does_not_know_is_a_plain_beat() -> None:
    reply = batch_reply(BankWriter(), batch_of(1, (item(0, "nonsense"),), TEMPO))
    assert not reply.refused
    assert {Voice.KICK, Voice.SNARE} <= {hit.voice for hit in reply.bars[0].bar.hits}


@pytest.mark.process
@pytest.mark.parametrize(("level", "says"), [("error", False), ("warning", True)])
def test_the_generator_says_as_much_as_log_level_asks(level: str, says: bool) -> None:  # noqa: FBT001
    ours, theirs = socket.socketpair()
    setup = GeneratorSetup("model", "/there/is/none.safetensors", log_level=level)
    with ours, theirs:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "drumigen_daemon.generator.process"),
                *(str(theirs.fileno()), msgspec.json.encode(setup).decode()),
            ],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        ours.settimeout(60)
        assert ours.recv(1)  # it is loaded
    assert ("the bar bank plays" in process.communicate(timeout=30)[1]) is says
