"""What is set for a whole song on the panel, and what a recorder hears of it: the network plays.

All is set while nothing sounds: the panel then shows other bars, and those are what is heard.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser import LAPTOP, Panel, panel
from drumigen.kit import Voice, load_kit
from fixtures_jack import wait_for
from hearing import bars_heard
from stage_fixtures import Stage
from web_stage import Web, web

pytestmark = [pytest.mark.browser, pytest.mark.jack, pytest.mark.process]

TEMPO = 300
NETWORK = tuple(
    word
    for setting in (
        *("song.style=rock", "song.seed=7", "song.variation=off", "song.fill_every=0"),
        *("feel.humanize=0", "feel.swing=50", "clock.source=internal", f"clock.tempo={TEMPO}"),
    )
    for word in ("--set", setting)
)
"""A bar in 0.8 seconds, on the grid."""
WRITTEN = {"generated", "remembered"}

Bars = dict[int, set[tuple[int, int]]]
"""By bar, (sixteenth, note)."""


def note_of(voice: str) -> int:
    """Return the note that a voice has by default."""
    return load_kit("gm").note_of(Voice(voice)).note


@pytest.fixture
def client(stage: Stage, tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, "--backend", "jack", *NETWORK) as made:
        stage.do("connect", "drumigen:out", f"{stage.name}:notes")
        yield made


@dataclass
class Song:
    """The first two bars of the song: as the panel shows them, and as they are heard."""

    at: Panel
    client: Web
    stage: Stage
    plain: Bars = field(default_factory=dict)
    """As they are before anything is turned."""

    def shown(self) -> Bars:
        """Return the bars as the panel shows them; none while they are not all written."""
        bars = self.at.page.evaluate(
            "window.drumigen.link.plan.map(bar => [bar.bar, bar.origin, bar.hits])"
        )
        first = [
            (number, hits) for number, origin, hits in bars if number < 3 and origin in WRITTEN
        ]
        if [number for number, _ in first] != [1, 2]:
            return {}
        return {
            number: {(round((tick + off) / 480), note_of(v)) for tick, off, v, _ in hits}
            for number, hits in first
        }

    def other(self, what: str, than: Bars) -> Bars:
        """Return the bars that come after something was turned."""
        found: Bars = {}

        def stays() -> bool:
            """Bars are written one by one: the first look may see only the first of them."""
            nonlocal found
            before, found = found, self.shown()
            time.sleep(0.3)
            return found == before and found not in ({}, than)

        wait_for(stays, 30, f"{what}: the same bars")
        return found

    def heard(self, what: str, bars: Bars, count: int = 1) -> None:
        """Play the song's first ``count`` bars: those are what is heard."""
        heard: list[object] = []
        # where JACK misses a cycle a stroke is elsewhere: it is played again
        for _ in range(6):
            seconds = count * 240 / TEMPO + 0.4
            sounded = bars_heard(self.client, self.stage, seconds, lambda: self.at.press("start"))
            self.at.press("start")
            self.at.wait("window.drumigen.link.song.transport === 'stopped'")
            self.at.fill("go-bar", "1", "more")
            self.at.press("do-bar", "more")
            heard.append(sounded)
            if all(sounded.get(number) == bars[number] for number in range(1, count + 1)):
                return
        pytest.fail(f"{what}: {bars} was shown, heard {heard}")

    def back(self, what: str) -> None:
        """Wait for the bars of before."""
        wait_for(lambda: self.shown() == self.plain, 30, f"{what}: not the bars of before")


def test_what_is_set_for_the_song_is_heard(chromium: Browser, client: Web, stage: Stage) -> None:
    with panel(chromium, client.url, LAPTOP) as at:
        song = Song(at, client, stage)
        song.plain = song.other("at first", {})
        song.heard("at first", song.plain)
        for name, tab, value, before in (
            ("field-seed", "more", "8", "7"),
            ("fader-temperature", "feel", 0.3, 1.0),
            ("fader-busy", "feel", 95, 50),
        ):
            put = at.fill if isinstance(value, str) else at.turn
            put(name, value, tab)  # type: ignore[arg-type]
            song.heard(name, song.other(name, song.plain))
            put(name, before, tab)  # type: ignore[arg-type]
            if name == "fader-busy":
                at.press("style-busy", "feel")
            song.back(name)
        blended(song)
        formed(song)
        filled(song)
        assert at.complaints == []


def blended(song: Song) -> None:
    song.at.tab("feel")
    song.at.page.locator("#list-blend").select_option("jazz")
    song.at.turn("fader-share", 50, "feel")
    song.heard("half jazz", song.other("half jazz", song.plain))
    song.at.turn("fader-share", 0, "feel")
    song.back("no jazz")
    song.at.page.locator("#list-blend").select_option("none")
    wait_for(lambda: song.client.get("/controls/blend")["value"] == "", 10, "still blended")


def formed(song: Song) -> None:
    song.at.press("form-song", "more")
    intro = song.other("form", song.plain)
    song.heard("an intro by itself", intro)
    song.at.press("form-off", "more")
    song.back("form")
    song.at.press("section-intro")
    wait_for(lambda: song.shown() == intro, 30, "by itself or called for, it is one")
    song.at.press("section-none")
    song.back("no section")
    song.at.turn("fader-count_in", 1, "more")
    clicks = song.other("count-in", song.plain)
    assert {note for _, note in clicks[1]} == {note_of(Voice.SIDE_STICK)}
    assert {step for step, _ in clicks[1]} == {0, 4, 8, 12}
    song.heard("a count-in", clicks)
    song.at.turn("fader-count_in", 0, "more")
    song.back("no count-in")


def filled(song: Song) -> None:
    def begins(bars: Bars) -> int:
        """The first sixteenth of the second bar that is another."""
        return min(step for step, _ in bars[2] ^ song.plain[2])

    song.at.turn("fader-fill_amount", 100, "more")
    song.at.turn("fader-fill_every", 2, "more")
    whole = song.other("a fill every two bars", song.plain)
    assert whole[1] == song.plain[1]
    song.heard("a fill of a bar", whole, 2)
    song.at.turn("fader-fill_amount", 25, "more")
    short = song.other("a short fill", whole)
    assert begins(whole) < 12 <= begins(short)
    song.heard("a fill of a beat", short, 2)
    song.at.turn("fader-fill_every", 0, "more")
    song.back("no fills")
