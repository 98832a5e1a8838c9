"""The panel in a real browser, and what a recorder hears of every finger on it."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from browser import LAPTOP, PHONE, Panel, panel
from fixtures_jack import wait_for
from stage_fixtures import Stage
from web_stage import Web, web

pytestmark = [pytest.mark.browser, pytest.mark.jack, pytest.mark.process]

KICK, SNARE, HAT = 36, 38, 42
MOCK = tuple(
    word
    for setting in (
        "generator.writer=mock",
        "song.variation=off",
        "song.fill_every=0",
        "feel.humanize=0",
        "feel.swing=50",
        "clock.source=internal",
        "clock.tempo=240",
        "song.quantum=beat",
    )
    for word in ("--set", setting)
)
"""A bar a second, whose notes are known."""
PICTURES = os.environ.get("DRUMIGEN_PICTURES", "")
"""A folder where pictures for the docs go."""


@dataclass
class Heard:
    """Notes that left, as (second, note, velocity)."""

    notes: list[tuple[float, int, int]]

    def of(self, note: int) -> list[tuple[float, int]]:
        return [(at, velocity) for at, struck, velocity in self.notes if struck == note]

    @property
    def kinds(self) -> set[int]:
        return {note for _, note, _ in self.notes}

    def gap(self, note: int) -> float:
        """The middle distance of two strokes of ``note`` in seconds."""
        gaps = sorted(b[0] - a[0] for a, b in pairwise(self.of(note)))
        return gaps[len(gaps) // 2] if gaps else 0.0


def listen(stage: Stage, seconds: float) -> Heard:
    stage.dump()
    time.sleep(seconds)
    recording = stage.dump()
    return Heard(
        [
            (frame / recording.rate, data[1], data[2])
            for port, frame, _, data in recording.events
            if port == "notes" and data[0] & 0xF0 == 0x90
        ]
    )


def until(stage: Stage, holds: Callable[[Heard], object], what: str, seconds: float = 1.2) -> None:
    """Wait until what is heard is as it should be."""
    for _ in range(12):
        heard = listen(stage, seconds)
        if holds(heard):
            return
    pytest.fail(f"{what}: heard {heard.notes}")


@pytest.fixture
def client(stage: Stage, tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, "--backend", "jack", *MOCK) as made:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        yield made


@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_every_finger_is_heard(
    chromium: Browser, client: Web, stage: Stage, viewport: dict[str, int]
) -> None:
    with panel(chromium, client.url, viewport) as at:
        assert at.page.locator("#start .word").inner_text() == "Start"
        assert listen(stage, 0.5).notes == []
        at.press("start")
        until(stage, lambda h: {KICK, SNARE, HAT} <= h.kinds, "start")
        at.wait("document.querySelector('#start .word').textContent === 'Stop'")
        mix(at, stage)
        tempo(at, stage)
        feel(at, stage)
        calls(at, stage)
        at.press("scene-1", "scenes")
        at.press("start")
        until(stage, lambda h: not h.notes, "stop")
        assert at.complaints == []
        assert stage.dump().hanging() == set()


def mix(at: Panel, stage: Stage) -> None:
    at.press("switch-mute.snare", "mix")
    until(stage, lambda h: h.notes and SNARE not in h.kinds, "mute")
    at.press("switch-mute.snare", "mix")
    until(stage, lambda h: SNARE in h.kinds, "unmute")
    at.press("switch-solo.kick", "mix")
    until(stage, lambda h: h.kinds == {KICK}, "solo")
    at.press("switch-solo.kick", "mix")
    until(stage, lambda h: SNARE in h.kinds, "end of solo")
    loud = max(velocity for _, velocity in listen(stage, 1.2).of(SNARE))
    at.turn("level-snare", 50, "mix")
    until(stage, lambda h: 0 < max((v for _, v in h.of(SNARE)), default=0) < 0.7 * loud, "level")
    at.turn("level-snare", 100, "mix")


def tempo(at: Panel, stage: Stage) -> None:
    at.turn("fader-tempo", 120, "tempo")
    until(stage, lambda h: abs(h.gap(HAT) - 0.25) < 0.01, "tempo", 1.5)
    at.turn("fader-tempo", 240, "tempo")
    until(stage, lambda h: abs(h.gap(HAT) - 0.125) < 0.01, "tempo back")
    for name in ("nudge-early", "do-tap", "do-re-one"):
        at.press(name, "tempo")
    until(stage, lambda h: {KICK, SNARE, HAT} <= h.kinds, "it goes on after nudge, tap and re-one")
    at.turn("fader-tempo", 240, "tempo")
    for name in ("reading-half", "reading-normal", "source-internal", "quantum-bar"):
        at.press(name, "tempo")


def feel(at: Panel, stage: Stage) -> None:
    at.press("style-jazz")  # swings in eighths, which the known bars have
    at.turn("fader-swing", 66, "feel")

    def swings(heard: Heard) -> bool:
        hats = [t for t, _ in heard.of(HAT)]
        gaps = [b - a for a, b in pairwise(hats)]
        return bool(gaps) and max(gaps) > 1.5 * min(gaps)

    at.wait("window.drumigen.link.values.swing === 66")
    until(stage, swings, "swing")
    at.turn("fader-swing", 50, "feel")
    at.turn("fader-push", 20, "feel")
    at.turn("fader-push", 0, "feel")
    for fader, value in (("humanize", 50), ("temperature", 1.2), ("share", 10)):
        at.turn(f"fader-{fader}", value, "feel")
    at.turn("fader-humanize", 0, "feel")
    until(stage, lambda h: h.notes and not swings(h), "straight")
    at.press("style-rock")


def calls(at: Panel, stage: Stage) -> None:
    at.press("switch-drop")
    until(stage, lambda h: h.notes and SNARE not in h.kinds, "drop")
    at.press("switch-drop")
    until(stage, lambda h: SNARE in h.kinds, "end of drop")
    at.press("stutter-sixteenth")
    until(stage, lambda h: len(h.notes) > 0 and h.gap(max(h.kinds)) < 0.1, "stutter")
    at.press("stutter-off")
    at.press("switch-half_time")
    until(stage, lambda h: abs(h.gap(SNARE) - 1.0) < 0.05, "half time", 2.5)
    at.press("switch-half_time")
    until(stage, lambda h: abs(h.gap(SNARE) - 0.5) < 0.05, "end of half time", 1.8)
    at.press("switch-hold")
    at.press("switch-hold")
    for name in ("do-fill", "do-fill_next", "do-build", "do-again", "do-re-roll", "do-back"):
        at.press(name)
    at.press("store-scene", "scenes")
    at.press("scene-1", "scenes")
    at.tab("play")
    box = at.page.locator("#xy-pad").bounding_box()
    assert box is not None
    at.page.locator("#xy-pad").click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.1})
    at.wait("window.drumigen.link.values.density >= 85")
    until(stage, lambda h: len(h.notes) > 0, "it goes on")
    at.press("style-density")
    at.press("style-intensity")


def test_a_fill_on_one_phone_shows_on_the_other(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as one, panel(chromium, client.url, LAPTOP) as other:
        one.press("start")
        other.wait("document.querySelector('#start .word').textContent === 'Stop'")
        before = other.page.evaluate("JSON.stringify(window.drumigen.link.plan)")
        one.press("do-fill_next")
        other.wait(f"JSON.stringify(window.drumigen.link.plan) !== {json.dumps(before)}")
        one.press("style-funk")
        other.wait("window.drumigen.link.values.style === 'funk'")
        other.wait("document.getElementById('style-funk').ariaPressed === 'true'")
        assert one.complaints == other.complaints == []


def test_a_panel_whose_server_died_is_back_with_the_true_state(
    chromium: Browser, client: Web, stage: Stage
) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        at.wait("document.querySelector('#start .word').textContent === 'Stop'")
        os.kill(client.pid(), signal.SIGKILL)
        at.wait("!window.drumigen.link.connected")
        client.daemon.control("tempo", 200)
        wait_for(client.answers, 20, "no web process came back")
        back = time.monotonic()
        at.wait("window.drumigen.link.connected && window.drumigen.link.values.tempo === 200", 15)
        # a second at most once somebody listens again; the page looks at it from outside
        assert time.monotonic() - back < 3.0
        assert listen(stage, 1.2).notes, "the beat went on"


def test_the_page_sounds_in_time_with_the_plan(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        at.press("sound-on", "more")
        at.wait("window.drumigen.sound.hits > 16")
        at.press("sound-808", "more")
        at.press("sound-on", "more")
        at.wait("!window.drumigen.sound.on")
        assert at.complaints == []


def test_played_bars_are_kept_and_saved(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        at.tab("bars")
        at.wait("document.querySelectorAll('#history .history:first-of-type li button').length > 1")
        at.page.locator("#history button", has_text="Keep").first.click()
        at.wait("JSON.parse(localStorage['drumigen.kept']).length === 1")
        with at.page.expect_download() as saved:
            at.page.locator("#last-4").click()
        assert Path(saved.value.path()).read_bytes()[:4] == b"MThd"
        assert at.complaints == []


@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_it_can_be_used_by_all(chromium: Browser, client: Web, viewport: dict[str, int]) -> None:
    with panel(chromium, client.url, viewport) as at:
        for tab in ("play", "tempo", "feel", "mix", "scenes", "bars", "more"):
            at.tab(tab)
            found = Axe().run(at.page)
            assert found.violations_count == 0, found.generate_report()
        for page in ("/pair", "/api"):
            at.page.goto(client.url + page)
            at.page.wait_for_load_state()
            found = Axe().run(at.page)
            assert found.violations_count == 0, found.generate_report()


def test_a_phone_has_targets_for_a_thumb(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as at:
        sizes: list[dict[str, Any]] = at.page.evaluate(
            "[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect())"
            ".filter(r => r.width).map(r => ({w: r.width, h: r.height}))"
        )
        # 12 mm on a phone of 412 CSS pixels that is 68 mm wide; the seven tabs share its width
        assert sizes
        assert all(size["h"] >= 72 and size["w"] >= 54 for size in sizes), sizes
        overflow = at.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0


def test_keys_do_what_fingers_do(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, LAPTOP) as at:
        at.page.keyboard.press("Space")
        until(stage, lambda h: KICK in h.kinds, "space")
        at.page.keyboard.press("f")
        at.page.keyboard.press("Space")
        until(stage, lambda h: not h.notes, "space again")
        assert at.complaints == []


@pytest.mark.skipif(not PICTURES, reason="only when pictures for the docs are wanted")
def test_pictures_for_the_docs(chromium: Browser, client: Web) -> None:
    for name, viewport in (("phone", PHONE), ("laptop", LAPTOP)):
        with panel(chromium, client.url, viewport) as at:
            if client.daemon.status()["transport"] == "stopped":
                at.press("start")
            time.sleep(4.0)
            at.page.screenshot(path=Path(PICTURES) / f"panel-{name}.png")
