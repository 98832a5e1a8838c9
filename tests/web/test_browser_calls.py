"""Calls of the panel, and what a recorder hears of them: bars that differ, from the bank."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from browser import LAPTOP, PHONE, Panel, panel
from fixtures_jack import wait_for
from hearing import CRASHES, SNARE, Heard, bars_heard, until
from stage_fixtures import Stage
from web_stage import Web, web

pytestmark = [pytest.mark.browser, pytest.mark.jack, pytest.mark.process]

BANK = tuple(
    word
    for setting in (
        *("generator.writer=bank", "song.style=funk", "song.variation=off", "song.fill_every=0"),
        *("feel.humanize=0", "feel.swing=50", "clock.source=internal", "clock.tempo=300"),
        *("song.quantum=bar", "song.build_bars=1"),
    )
    for word in ("--set", setting)
)

KINDS_PLANNED = "new Set(window.drumigen.link.plan.map(bar => JSON.stringify(bar.hits))).size"


@pytest.fixture
def client(stage: Stage, tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, "--backend", "jack", *BANK) as made:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        yield made


def planned(at: Panel) -> dict[int, Any]:
    """Return what the panel shows of each bar."""
    bars = at.page.evaluate("window.drumigen.link.plan.map(bar => [bar.bar, bar.hits])")
    return {number: sorted(map(tuple, hits)) for number, hits in bars}


def differ_at_first(client: Web, stage: Stage) -> None:
    """Bars of the bank are a phrase: where all are one, holding or repeating one proves nothing."""
    heard = list(bars_heard(client, stage, 4.2).values())
    assert len(heard) >= 3
    assert any(bar != heard[0] for bar in heard)


def test_fill_build_and_ending_are_heard(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        until(stage, lambda h: SNARE in h.kinds and not CRASHES & h.kinds, "a groove", 1.8)
        for call in ("fill_next", "fill"):
            at.press(f"do-{call}")
            until(stage, lambda h: CRASHES & h.kinds, f"{call} lands with a crash", 2.0)
            until(stage, lambda h: h.notes and not CRASHES & h.kinds, "the groove again", 1.8)
        few = most_snares(client, stage)
        at.press("do-build")
        until(stage, lambda _: most_snares(client, stage) > few, "a build is a roll", 0.0)
        at.press("section-ending")
        until(stage, lambda h: not h.notes, "a last stroke, and silence", 1.8)
        at.press("start")  # it stops what rolls
        at.wait("window.drumigen.link.song.transport === 'stopped'")
        at.press("section-none")
        at.press("start")
        until(stage, lambda h: SNARE in h.kinds, "from the beginning")
        assert at.complaints == []


def mean(heard: Heard) -> float:
    """Return how loud strokes were; 64 where there was none."""
    velocities = [velocity for _, _, velocity in heard.notes]
    return sum(velocities) / len(velocities) if velocities else 64.0


def test_density_and_intensity_are_heard(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        until(stage, lambda h: SNARE in h.kinds, "start", 1.8)
        at.turn("fader-intensity", 0, "play")
        at.turn("fader-density", 0, "play")
        seen: list[Heard] = []
        until(stage, lambda h: seen.append(h) or mean(h) < 62, "soft", 1.8)  # type: ignore[func-returns-value]
        few, soft = len(seen[-1].notes), mean(seen[-1])
        # a finger at the top on the right is dense and loud
        at.page.locator("#xy-pad").evaluate(
            "pad => { const box = pad.getBoundingClientRect(); const at = { bubbles: true,"
            " pointerId: 1, clientX: box.right - 2, clientY: box.top + 2 };"
            " pad.setPointerCapture = () => {};"
            " pad.dispatchEvent(new PointerEvent('pointerdown', at)); }"
        )
        at.wait("window.drumigen.link.values.density >= 95")
        until(stage, lambda h: mean(h) > soft + 10 and len(h.notes) > few, "dense and loud", 1.8)
        at.press("style-density")
        at.press("style-intensity")
        at.wait("window.drumigen.link.values.intensity === null")
        assert at.complaints == []


def test_hold_and_again_repeat_what_sounds(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, LAPTOP) as at:
        at.press("start")
        until(stage, lambda h: h.notes, "start")
        differ_at_first(client, stage)
        at.press("switch-hold")
        at.wait(f"{KINDS_PLANNED} === 1")

        def held(_: object) -> bool:
            bars = list(bars_heard(client, stage, 3.4).values())
            return len(bars) > 2 and all(bar == bars[0] for bar in bars)

        until(stage, held, "hold", 0.0)
        at.press("switch-hold")
        at.wait(f"{KINDS_PLANNED} > 1")

        def repeated(_: object) -> bool:
            at.press("do-again")
            bars = bars_heard(client, stage, 2.8)
            return any(bars[n] == bars[n + 1] for n in bars if n + 1 in bars)

        until(stage, repeated, "again", 0.0)
        assert at.complaints == []


def test_a_re_roll_is_other_bars_and_back_are_those_of_before(
    chromium: Browser, client: Web, stage: Stage
) -> None:
    with panel(chromium, client.url, LAPTOP) as at:
        at.wait("window.drumigen.link.plan.length > 1")
        before = planned(at)
        at.press("do-re-roll")
        wait_for(lambda: planned(at)[2] != before[2], 20, "the same bars")
        other = planned(at)
        at.press("do-back")
        wait_for(lambda: planned(at)[2] == before[2], 20, "not those of before")
        at.press("do-re-roll")
        wait_for(lambda: planned(at)[2] not in (before[2], None), 20, "the same bars")
        rolled = planned(at)
        assert rolled[2] != before[2]
        assert other[2] != before[2]
        at.press("start")
        heard = bars_heard(client, stage, 3.4)
        assert steps(heard[2]) == {round((tick + offset) / 480) for tick, offset, *_ in rolled[2]}
        assert at.complaints == []


def steps(bar: set[tuple[int, int]]) -> set[int]:
    return {step for step, _ in bar}


def most_snares(client: Web, stage: Stage) -> int:
    """Return the most strokes of the snare that any of the next bars has."""
    bars = bars_heard(client, stage, 2.6).values()
    return max((sum(note == SNARE for _, note in bar) for bar in bars), default=0)
