"""Whose clock it is, when things come and where the song is: the panel, and what is heard of it."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser import PHONE, Panel, panel
from fixtures_jack import wait_for
from hearing import (
    HAT,
    KICK,
    SNARE,
    Heard,
    Stroke,
    bars_heard,
    clocked,
    listen,
    strokes_heard,
    until,
)
from stage_fixtures import Stage
from web_stage import Web, web

pytestmark = [pytest.mark.browser, pytest.mark.jack, pytest.mark.process]

BEAT = tuple(
    word
    for setting in (
        *("generator.writer=mock", "song.variation=off", "song.fill_every=0", "song.phrase=2"),
        *("feel.humanize=0", "feel.swing=50", "clock.source=internal", "clock.tempo=240"),
    )
    for word in ("--set", setting)
)
"""A bar a second; hats in eighths, kick on 1 and 3, snare on 2 and 4, louder or softer by style."""
EIGHTH, BEATS = 0.125, 0.25


@pytest.fixture
def client(stage: Stage, tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, "--backend", "jack", *BEAT) as made:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        yield made


def is_every(seconds: float, note: int = HAT) -> Callable[[Heard], bool]:
    """Tell whether a note comes every so many seconds."""
    return lambda heard: abs(heard.gap(note) - seconds) < 0.08 * seconds


def phase(stage: Stage, note: int, period: float) -> float:
    """Return how long after each multiple of ``period``, in seconds, a note comes on average."""
    stage.dump()
    time.sleep(max(0.7, 1.3 * period))
    turns = [2 * math.pi * at / period for at in stage.dump().times(note)]
    angle = math.atan2(sum(map(math.sin, turns)), sum(map(math.cos, turns)))
    return angle / (2 * math.pi) * period


def later(now: float, before: float, period: float) -> float:
    """Return by how much a phase is later, at most half a period."""
    return (now - before + period / 2) % period - period / 2


def test_the_clock_and_the_place_are_heard(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, PHONE) as at:
        followed(at, stage)
        by_hand(at, client, stage)
        at.turn("fader-tempo", 240, "tempo")
        early_and_late(at, stage)
        switched(at, client, stage)
        placed(at, client, stage)
        repeated(at, client, stage)
        assert at.complaints == []
        assert stage.dump().hanging() <= {KICK, SNARE, HAT}


def followed(at: Panel, stage: Stage) -> None:
    """Another machine's clock, as it is read, and what happens when it falls silent."""
    stage.do("connect", f"{stage.name}:voice", "drumigen:in")
    at.press("source-midi", "tempo")
    stage.do("clock", 120.0)
    assert listen(stage, 0.5).notes == [], "nobody has said start"
    stage.do("say", [0xFA])
    until(stage, is_every(2 * EIGHTH), "its tempo")
    for reading, times in (("double", 1), ("half", 4), ("normal", 2)):
        at.press(f"reading-{reading}", "tempo")
        until(stage, is_every(times * EIGHTH), reading, 2.4 if times == 4 else 1.2)
    stage.do("silence")
    assert listen(stage, 1.2).notes, "it plays on"
    at.press("drop_out-stop", "tempo")
    until(stage, lambda h: not h.notes, "stops as well")
    at.press("switch-start_on_clock", "tempo")
    stage.do("clock", 120.0)
    until(stage, is_every(2 * EIGHTH), "a clock that never says start")
    at.press("switch-start_on_clock", "tempo")
    at.press("drop_out-free-run", "tempo")
    stage.do("silence")
    at.press("source-internal", "tempo")
    assert listen(stage, 1.0).gap(HAT) > 1.5 * EIGHTH, "from the next start on"
    stop(at, stage)
    stage.do("connect", "drumigen:clock", f"{stage.name}:clock")
    wait_for(lambda: stage.dump().clock(), 10, "no clock goes out")
    at.press("switch-clock_out", "tempo")

    def silent() -> bool:
        stage.dump()
        time.sleep(0.3)
        return not stage.dump().clock()

    wait_for(silent, 10, "clock goes out")
    at.press("start")
    until(stage, is_every(EIGHTH), "our own tempo")


def stop(at: Panel, stage: Stage) -> None:
    at.press("start")
    until(stage, lambda h: not h.notes, "stop", 0.6)


def by_hand(at: Panel, client: Web, stage: Stage) -> None:
    """Nudge, tap and "the one is now"."""
    before = phase(stage, HAT, EIGHTH)
    for button, times, shift in (("late", 3, 0.03), ("early", 3, 0.0)):
        for _ in range(times):
            at.press(f"nudge-{button}", "tempo")
        wait_for(
            lambda to=shift: abs(later(phase(stage, HAT, EIGHTH), before, EIGHTH) - to) < 0.01,  # type: ignore[misc]
            20,
            f"not nudged {button}",
        )

    def tapped() -> bool:
        for _ in range(2):
            at.press("do-tap", "tempo")
            time.sleep(0.45)
        return float(client.get("/controls/tempo")["value"]) != 240

    wait_for(tapped, 20, "nobody felt the taps")
    tempo = client.get("/controls/tempo")["value"]
    assert tempo < 60 / 0.45
    until(stage, is_every(30 / tempo), "as tapped", 1.8)
    at.turn("fader-tempo", 120, "tempo")
    until(stage, is_every(2 * EIGHTH), "twice as slow")
    kick = phase(stage, KICK, 1.0)

    def turned_round() -> bool:
        wait_for(lambda: client.get("/now")["beat"] in (2, 4), 10, "no backbeat")
        at.press("do-re-one", "tempo")
        return abs(later(phase(stage, KICK, 1.0), kick, 1.0)) > 0.4

    wait_for(turned_round, 30, "the backbeat does not become the one")


def early_and_late(at: Panel, stage: Stage) -> None:
    """Offsets of all, and offset and push of one voice."""
    until(stage, is_every(EIGHTH), "as fast as before", 0.8)
    before = phase(stage, HAT, EIGHTH)
    for offset in (40, 0):
        at.turn("fader-offset_ms", offset, "tempo")
        wait_for(
            lambda to=offset / 1000: (
                abs(later(phase(stage, HAT, EIGHTH), before, EIGHTH) - to) < 0.01
            ),  # type: ignore[misc]
            20,
            f"not {offset} ms later",
        )

    def behind() -> float:
        """By how much the snare is behind the hats, in seconds."""
        stage.dump()
        time.sleep(1.2)
        heard = stage.dump()
        hats = heard.times(HAT)
        late = sorted(min((s - h for h in hats), key=abs) for s in heard.times(SNARE))
        return late[len(late) // 2]

    at.tab("feel")
    at.page.locator("#one-voice").select_option("snare")
    at.turn("one-offset_ms", 30, "feel")
    wait_for(lambda: abs(behind() - 0.03) < 0.01, 20, "the snare is not late")
    at.turn("one-offset_ms", 0, "feel")
    wait_for(lambda: abs(behind()) < 0.01, 20, "the snare is late")
    at.turn("fader-humanize", 100, "feel")  # at 0 there is no feel, push neither
    at.turn("one-push", 40, "feel")
    wait_for(lambda: behind() > 0.02, 20, "the snare does not lie back")
    at.turn("one-push", 0, "feel")
    at.turn("fader-humanize", 0, "feel")


def switched(at: Panel, client: Web, stage: Stage) -> None:
    """The quantum: where another style, whose hats are louder or softer, begins."""
    for quantum, bars in (("bar", 1), ("phrase", 2)):
        at.press(f"quantum-{quantum}", "tempo")
        at.tab("play")
        places: list[tuple[int, int]] = []
        for style in ("jazz", "rock") * 3:
            # heard from the bar before on, and pressed where the next bar line ends no phrase
            wait_for(lambda: clocked(client).number % 2 == 0, 10, "no last bar of a phrase")

            def press(style: str = style) -> None:
                wait_for(lambda: clocked(client).number % 2 == 1, 10, "no first bar of a phrase")
                wait_for(lambda: client.get("/now")["beat"] == 2, 10, "no second beat")
                at.press(f"style-{style}")

            places = louder_or_softer(strokes_heard(client, stage, 1.2 + bars, press))
            if places:  # else it took its time
                break
        assert [step for _, step in places] == [0], quantum
        assert (places[0][0] - 1) % bars == 0, quantum


def louder_or_softer(bars: dict[int, list[Stroke]]) -> list[tuple[int, int]]:
    """Return the places, bar and sixteenth, from which on hats on the beat are louder or softer."""
    hats = [
        (number, step, velocity)
        for number, strokes in sorted(bars.items())
        for step, note, velocity in sorted(strokes)
        if note == HAT and step % 4 == 0
    ]
    return [after[:2] for before, after in pairwise(hats) if before[2] != after[2]]


def placed(at: Panel, client: Web, stage: Stage) -> None:
    """Going on, and going to a bar."""
    stop(at, stage)
    at.fill("go-bar", "40", "more")
    at.press("do-bar", "more")
    at.press("do-continue", "more")
    wait_for(lambda: client.get("/now")["transport"] == "rolling", 10, "it does not go on")
    assert min(bars_heard(client, stage, 2.6)) >= 40
    at.fill("go-bar", "0", "more")
    at.press("do-bar", "more")
    at.wait("document.getElementById('problem').innerText.includes('whole number from 1')")


def repeated(at: Panel, client: Web, stage: Stage) -> None:
    """What is varied, what is built, what stutters."""
    same = bars_heard(client, stage, 2.4).values()
    assert all(bar == max(same, key=len) for bar in same)
    at.press("switch-variation", "more")
    wait_for(lambda: len({*map(str, bars_heard(client, stage, 4.2).values())}) > 1, 30, "as ever")
    at.press("switch-variation", "more")
    at.turn("fader-build_bars", 2, "more")
    at.press("do-build")
    rolls = [
        number
        for number, strokes in strokes_heard(client, stage, 4.4).items()
        if sum(note == SNARE for _, note, _ in strokes) > 4
    ]
    assert len(rolls) == 2, rolls
    at.press("stutter-quarter")
    until(stage, lambda h: h.notes and not {KICK, SNARE} <= h.kinds, "one beat over and over")
    at.press("stutter-eighth")
    until(stage, lambda h: len({v for _, v in h.of(HAT)}) == 1, "one eighth over and over")
    at.press("stutter-off")
    until(stage, lambda h: SNARE in h.kinds, "the whole bar")


def test_every_control_of_the_table_is_on_the_panel(chromium: Browser, client: Web) -> None:
    with panel(chromium, client.url, PHONE) as at:
        there = set(
            at.page.evaluate(
                "[...document.querySelectorAll('[data-control]')]"
                ".flatMap(each => each.dataset.control.split(' '))"
            )
        )
        table = at.page.evaluate("[...window.drumigen.link.table.keys()]")
        of_one_voice = {"push.VOICE", "offset_ms.VOICE"} & there
        missing = {
            name
            for name in table
            if name not in there and f"{name.partition('.')[0]}.VOICE" not in of_one_voice
        }
        assert missing == set()
