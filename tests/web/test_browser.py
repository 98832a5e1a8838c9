"""The panel in a real browser, and what a recorder hears of every finger on it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from browser import LANDSCAPE, LAPTOP, PHONE, Panel, panel
from drumigen.midi.file import song_from_bytes
from fixtures_jack import wait_for
from hearing import HAT, KICK, SNARE, Heard, bars_heard, clocked, listen, until
from stage_fixtures import Stage
from web_stage import Web, web

pytestmark = [pytest.mark.browser, pytest.mark.jack, pytest.mark.process]

RIDE, CRASH = 51, 49
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
OFFLINE_SOUND = Path(__file__).parents[1] / "support" / "offline_sound.js"
PICTURES = os.environ.get("DRUMIGEN_PICTURES", "")
"""A folder where pictures for the docs go."""


@pytest.fixture
def client(stage: Stage, tmp_path: Path) -> Iterator[Web]:
    kept = ("--set", f"control.scenes={tmp_path}/scenes.json")
    learned = ("--set", f"control.learned={tmp_path}/learned.toml")
    with web(tmp_path, "--backend", "jack", *MOCK, *kept, *learned) as made:
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
        if at.touch:  # on the laptop test_browser_song turns faders
            tempo(at, stage)
            feel(at, client, stage)
        calls(at, stage)
        sections(at, stage)
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


def feel(at: Panel, client: Web, stage: Stage) -> None:
    push(at, client, stage)
    at.press("style-jazz")  # swings in eighths, which the known bars have
    at.turn("fader-swing", 66, "feel")

    def swings(heard: Heard) -> bool:
        hats = [t for t, _ in heard.of(HAT)]
        gaps = [b - a for a, b in pairwise(hats)]
        return bool(gaps) and max(gaps) > 1.5 * min(gaps)

    at.wait("window.drumigen.link.values.swing === 66")
    until(stage, swings, "swing")
    at.turn("fader-swing", 50, "feel")
    for fader, value in (("humanize", 50), ("temperature", 1.2), ("share", 10)):
        at.turn(f"fader-{fader}", value, "feel")
    at.turn("fader-humanize", 0, "feel")
    until(stage, lambda h: h.notes and not swings(h), "straight")
    at.press("style-rock")


def push(at: Panel, client: Web, stage: Stage) -> None:
    told: list[float] = []

    def lateness() -> float:
        """The middle distance of hats from their eighths, in seconds."""
        stage.dump()
        time.sleep(1.2)
        hats, grid = stage.dump().times(HAT), clocked(client)
        apart = [(when - grid.begins + grid.step) % (2 * grid.step) - grid.step for when in hats]
        told.append(sorted(apart)[len(apart) // 2] if apart else 1.0)
        return told[-1]

    at.turn("fader-humanize", 100, "feel")  # at 0 there is no feel, push neither
    before = lateness()
    at.turn("fader-push", 30, "feel")
    wait_for(lambda: lateness() - before > 0.015, 20, f"push: {told}")
    at.turn("fader-push", 0, "feel")
    wait_for(lambda: lateness() - before < 0.015, 20, f"no push: {told}")
    at.turn("fader-humanize", 0, "feel")


def sections(at: Panel, stage: Stage) -> None:
    at.press("section-b")
    until(stage, lambda h: RIDE in h.kinds and HAT not in h.kinds, "B is on the ride")
    at.press("section-break")
    until(stage, lambda h: h.notes and SNARE not in h.kinds, "no snare in the break")
    at.press("section-none")
    until(stage, lambda h: {KICK, SNARE, HAT} <= h.kinds, "no section")


def test_what_is_under_more_is_heard(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        until(stage, lambda h: {KICK, SNARE, HAT} <= h.kinds, "start")
        of_the_song(at, client, stage)


def of_the_song(at: Panel, client: Web, stage: Stage) -> None:
    at.fill("field-meter", "3/4", "more")
    wait_for(lambda: clocked(client).steps == 12, 20, "three quarters")
    heard = bars_heard(client, stage, 2.4)
    assert {max(step for step, _ in notes) for notes in heard.values()} <= {8, 9, 10, 11}
    at.fill("field-meter", "4/4", "more")
    at.fill("field-kit", "digitakt", "more")
    until(stage, lambda h: h.kinds == {60}, "another kit")
    at.fill("field-kit", "gm", "more")
    until(stage, lambda h: {KICK, SNARE, HAT} <= h.kinds, "the kit of before")
    at.fill("field-kit", "no such kit", "more")
    at.wait("document.getElementById('problem').innerText.includes('no kit')")
    at.wait("document.getElementById('field-kit').value === 'gm'")  # what it stands at
    shown = at.page.evaluate(
        "scrollTo(0, 1e6), document.getElementById('problem').getBoundingClientRect().top"
    )
    assert 0 <= shown < PHONE["height"], "what went wrong is in sight wherever one has scrolled to"
    at.fill("field-kit", "gm", "more")
    at.turn("fader-offset_ms", 5, "tempo")
    wait_for(lambda: client.get("/controls/offset_ms")["value"] == 5.0, 10, "the offset")
    at.turn("fader-offset_ms", 0, "tempo")
    at.press("do-panic", "more")
    until(stage, lambda h: {KICK, SNARE, HAT} <= h.kinds, "panic ends what sounds, not the song")


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


def test_a_port_that_is_missing_is_told(chromium: Browser, stage: Stage, tmp_path: Path) -> None:
    wanted = f'midi.outputs=["{stage.name}:notes", "Nobody"]'
    with (
        web(tmp_path, "--backend", "jack", *MOCK, "--set", wanted) as client,
        panel(chromium, client.url, PHONE) as at,
    ):
        at.wait("document.querySelector('#port-list .missing')?.textContent.includes('Nobody')", 40)
        assert f"with {stage.name}:notes" in str(at.page.locator("#port-list").text_content())
        at.wait("document.getElementById('problem').textContent.includes('Nobody')")
        assert client.get("/now")["connections"]["missing"] == [["out", "Nobody"]]
        at.press("start")
        until(stage, lambda h: SNARE in h.kinds, "who is there is played")
        assert at.complaints == []


def test_scenes_are_stored_and_recalled(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        at.press("switch-solo.kick", "mix")
        until(stage, lambda h: h.kinds == {KICK}, "solo")
        at.press("store-scene", "scenes")
        at.press("scene-2", "scenes")
        at.wait("document.getElementById('store-scene').ariaPressed === 'false'")
        at.press("switch-solo.kick", "mix")
        until(stage, lambda h: SNARE in h.kinds, "end of solo")
        at.press("scene-2", "scenes")
        until(stage, lambda h: h.kinds == {KICK}, "the scene")
        assert at.complaints == []


def test_a_knob_is_learned(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, PHONE) as at:
        stage.do("connect", f"{stage.name}:voice", "drumigen:in")
        at.press("start")
        until(stage, lambda h: SNARE in h.kinds, "start")
        loud = max(velocity for _, velocity in listen(stage, 1.2).of(SNARE))
        at.tab("scenes")
        at.page.locator("#learn-what").select_option("level.snare")
        at.press("learn-go", "scenes")
        at.wait("document.querySelector('#learn [role=status]').textContent.includes('Turn')")

        def turned() -> bool:
            # down and up and down again: a knob has to pass where the control stands
            for value in (*range(127, 20, -6), *range(20, 127, 6), *range(127, 30, -3)):
                stage.do("say", [0xB0, 21, value])
                time.sleep(0.004)
            return float(client.get("/controls/level.snare")["value"]) < 60.0

        wait_for(turned, 30, "the knob was not learned")
        at.press("learn-off", "scenes")
        until(stage, lambda h: 0 < max((v for _, v in h.of(SNARE)), default=0) < 0.8 * loud, "knob")
        at.wait("document.getElementById('level-snare').valueAsNumber < 60")
        assert at.complaints == []


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
        at.page.evaluate("document.getElementById('do-fill').dataset.mark = 'the same button'")
        os.kill(client.pid(), signal.SIGKILL)
        at.wait("!window.drumigen.link.connected")
        at.wait("document.body.dataset.lost === 'true'")
        client.daemon.control("tempo", 200)
        wait_for(client.answers, 20, "no web process came back")
        tries = at.page.evaluate("window.drumigen.link.tries")
        at.wait("window.drumigen.link.connected && window.drumigen.link.values.tempo === 200", 30)
        # the page tries again within 0.8 s, so that a try or two is a second
        assert at.page.evaluate("window.drumigen.link.triedFor") <= tries + 2
        assert at.page.evaluate("Math.max(...window.drumigen.link.pauses)") <= 800
        at.wait("document.body.dataset.lost === 'false'")
        # with what has the focus, and no listener twice
        assert at.page.evaluate("document.getElementById('do-fill').dataset.mark")
        assert listen(stage, 1.2).notes, "the beat went on"


def test_the_page_sounds_when_it_is_asked_to(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as at:
        assert not at.page.evaluate("window.drumigen.sound.on")
        at.press("start")
        at.press("sound-here")
        at.wait("window.drumigen.sound.hits > 16")
        at.wait("document.getElementById('sound-on').ariaPressed === 'true'")
        at.press("sound-808", "more")
        at.wait("window.drumigen.sound.kit === '808'")
        at.press("sound-on", "more")
        at.wait("!window.drumigen.sound.on")
        assert at.complaints == []


@pytest.mark.parametrize("kit", ["acoustic", "808"])
def test_every_stroke_sounds_where_the_plan_has_it(
    chromium: Browser, client: Web, kit: str
) -> None:
    with panel(chromium, client.url, LAPTOP) as at:
        heard = at.page.evaluate(OFFLINE_SOUND.read_text(), kit)
        assert heard["struck"] == 4, "each once"
        assert heard["before"] == 0.0
        assert all(onset is not None and abs(onset) < 0.004 for onset in heard["onsets"]), heard
        assert heard["kick"] > 2 * heard["stick"] > 0.0, "velocities are heard"
        assert at.complaints == []


def test_played_bars_are_kept_and_saved(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as at:
        at.press("start")
        at.tab("bars")
        at.wait("document.querySelectorAll('#history .history:first-of-type li button').length > 1")
        at.page.locator("#history button", has_text="Keep").first.evaluate("b => b.click()")
        at.wait("JSON.parse(localStorage['drumigen.kept']).length === 1")
        with at.page.expect_download() as saved:
            at.page.locator("#last-4").evaluate("link => link.click()")
        song = song_from_bytes(Path(saved.value.path()).read_bytes())
        assert {KICK, SNARE, HAT} <= {note.note for note in song.notes}
        kept = at.page.evaluate("JSON.parse(localStorage['drumigen.kept'])[0]")
        files = at.page.locator("#history .history:last-of-type .file")
        with at.page.expect_download() as saved:
            files.first.evaluate("link => link.click()")
        bar = song_from_bytes(Path(saved.value.path()).read_bytes())
        told = sorted((tick - kept["start"], note) for tick, _, note, *_ in kept["notes"])
        assert sorted((note.tick, note.note) for note in bar.notes) == [
            (max(0, t), n) for t, n in told
        ]
        assert round(bar.tempo_map.changes[0][1]) == 240
        # dragged out, it tells where it goes what it is called and where it is
        dragged = files.first.evaluate(
            "link => { const data = new DataTransfer();"
            " link.dispatchEvent(new DragEvent('dragstart', { dataTransfer: data }));"
            " return data.getData('DownloadURL'); }"
        )
        assert dragged.startswith("audio/midi:drumigen-")
        assert ".mid:blob:http" in dragged
        at.page.reload()
        at.wait("window.drumigen?.link.connected")
        at.tab("bars")
        at.wait("document.querySelectorAll('#history .history:last-of-type canvas').length === 1")
        at.page.locator("#history button", has_text="Forget").first.evaluate("b => b.click()")
        at.wait("JSON.parse(localStorage['drumigen.kept']).length === 0")
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
        at.page.locator("#fader-tempo").focus()
        at.page.keyboard.press("Home")
        at.wait("window.drumigen.link.values.tempo === 20")
        at.page.keyboard.press("End")
        at.wait("window.drumigen.link.values.tempo === 400")
        # all that can be pressed is reached by Tab, in the order in which it is seen
        at.page.locator("#start").focus()
        reached = set()
        for _ in range(90):
            at.page.keyboard.press("Tab")
            reached.add(at.page.evaluate("document.activeElement.id"))
        assert {"do-fill", "style-funk", "section-b", "fader-density", "do-tap"} <= reached
        at.page.locator("[id='switch-mute.snare']").focus()
        at.page.keyboard.press("Enter")
        until(stage, lambda h: h.notes and SNARE not in h.kinds, "mute by Enter")
        at.page.locator("body").evaluate("body => document.activeElement.blur()")
        at.page.keyboard.press("Space")
        until(stage, lambda h: not h.notes, "space again")
        assert at.complaints == []


@pytest.mark.skipif(not PICTURES, reason="only when pictures for the docs are wanted")
def test_pictures_for_the_docs(
    chromium: Browser,
    stage: Stage,  # noqa: ARG001 - a MIDI system to play on
    tmp_path: Path,
) -> None:
    """Small files: a picture pixel for each of CSS, in colours that repeat."""
    drummer = ("--style", "funk", "--bpm", "100", "--set", "clock.source=internal")
    with web(tmp_path, "--backend", "jack", *drummer) as client:
        client.daemon.control("start")
        for name, viewport in (("phone", PHONE), ("landscape", LANDSCAPE), ("laptop", LAPTOP)):
            with panel(chromium, client.url, viewport) as at:
                wait_for(lambda: client.get("/now")["bar"] > 4, 60, "it does not play")
                wait_for(lambda: client.get("/now")["beat"] == 3, 10, "no third beat")
                at.page.screenshot(path=Path(PICTURES) / f"panel-{name}.png")
                assert at.complaints == []
