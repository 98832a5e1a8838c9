"""A gig of five minutes on virtual time: a clock that wobbles, and two hundred turns of knobs.

The performer has a nanoKONTROL2 and the default map.  After each scene of the script its effect
is asserted on what sounded; in between, knobs are turned at random.
"""

import math
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from band import Band
from drumigen.kit import TIMEKEEPERS, Voice
from drumigen.midi.file import read_song, write_song
from drumigen.midi.status import CONTROL_CHANGE, NOTE_ON, PROGRAM_CHANGE
from drumigen.pattern import Bar
from drumigen_daemon.capture.capture import Capture, song_of
from drumigen_daemon.controls.binding import load_controller
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, Origin, PlayedBar
from drumigen_daemon.planner.bar_choice import BarChoice
from drumigen_daemon.ports import PortChange
from drumigen_daemon.session import Session
from rig import BEGIN, CONTINUE, START, Master, note_of, song_position

BAR = 7680
STYLES = ("rock", "funk", "jazz", "j_dilla", "metro_boomin", "questlove")


def knobs(name: str, source: str) -> dict[str, tuple[str, int]]:
    rows = load_controller(name).controls
    return {row.name: (source, row.cc) for row in rows if row.cc is not None}


KNOB = knobs("default", "pedals and knobs")
FADER = knobs("nanokontrol2", "nanoKONTROL2")
IDLE = ("intensity", "temperature", "push", "humanize", "swing", "share")
"""Knobs that may be anywhere without spoiling an assertion."""


class Gig:
    def __init__(self, seed: int) -> None:
        session = Session(
            style="rock",
            parameters=EngineParameters(source=ClockSource.MIDI),
            fill_every=8,
            fill_amount=100,
        )
        maps = [load_controller("default"), load_controller("nanokontrol2")]
        self.band = Band(session, styles=STYLES, maps=maps)
        self.rig = self.band.rig
        self.luck = random.Random(seed)
        self.master = Master(self.rig, 104.0, lambda: self.luck.gauss(0.0, 0.0008))
        self.capture = Capture(10_000)
        self.plugged = True
        self.turns = 0
        self.relocated = 0
        self.fallbacks_allowed: set[int] = set()
        inner = self.rig.on_report
        assert inner is not None

        def reported(report: object) -> None:
            if isinstance(report, PlayedBar):
                self.capture.add(report)
            inner(report)  # type: ignore[arg-type]

        self.rig.on_report = reported

    # --- what the stage does ---------------------------------------------------------------

    def turn(self, knob: tuple[str, int], value: int) -> None:
        self.turns += 1
        source, cc = knob
        if self.plugged:
            self.rig.hear(bytes([CONTROL_CHANGE, cc, value]), source=source)

    def press(self, name: str) -> None:
        knob = KNOB.get(name) or FADER[name]
        self.turn(knob, 127)
        self.turn(knob, 0)

    def play(self, beats: int, *, fiddling: bool = False) -> None:
        for _ in range(beats):
            self.master.bpm = 104.0 + 1.2 * math.sin(self.rig.now / 7) + self.luck.gauss(0, 0.15)
            self.master.clock(24)
            if fiddling:
                at = self.rig.now + self.luck.uniform(0.0, 0.5)
                name, value = self.luck.choice(IDLE), self.luck.randrange(128)
                self.rig.at(at, lambda name=name, value=value: self.turn(KNOB[name], value))  # type: ignore[misc]
            self.master.finish()

    def say(self, message: bytes) -> None:
        """Let the master send a message just before the pulse that ends this beat."""
        self.master.clock(24)
        self.master.say(message)
        self.master.finish()

    def to_bar_line(self, before: float = 0.0) -> None:
        """Play to just after the next bar line, or a number of beats before the one after."""
        while True:
            self.play(1)
            beat = self.tick() % BAR / 1920
            if beat < 0.7:
                break
        if before:
            self.play(round(4 - before))

    def away_from_fills(self) -> None:
        """Play until neither this bar nor the next two are a fill or follow one."""
        while self.now % 8 not in (1, 2, 3, 4):
            self.to_bar_line()

    def to_a_groove(self) -> None:
        """Play to a bar that is no fill, and not after one either."""
        self.to_bar_line()
        while self.now % 8 in (7, 0):
            self.to_bar_line()

    # --- what is heard ---------------------------------------------------------------------

    def tick(self) -> float:
        """Where the song is; a pulse that is a hair late does not count as one missing."""
        return self.rig.state.timeline.tick_at(self.rig.now) + 200

    @property
    def now(self) -> int:
        """The bar of the song."""
        return int(self.tick() // BAR)

    def bar(self) -> Bar:
        """The bar that sounds, as the engine has it."""
        planned = self.rig.held(self.tick())
        assert planned is not None
        return planned.bar

    def choice(self, later: int = 0) -> BarChoice:
        """Return what the bar that sounds, or a later one, was put together from."""
        choice = self.band.planner.choice_of(self.now + later)
        assert choice is not None
        return choice

    def notes(self, seconds: float) -> set[int]:
        return {sent.data[1] for sent in self.rig.output.notes(since=self.rig.now - seconds)}


def voices(bar: Bar) -> set[Voice]:
    return {hit.voice for hit in bar.hits}


def ticks(bar: Bar, voice: Voice) -> list[int]:
    return [hit.tick for hit in bar.hits if hit.voice is voice]


# --- the script: each scene plays, and says what must have come of it -------------------------


def fill(gig: Gig) -> None:
    gig.to_bar_line(before=3)
    number = gig.now
    gig.press("fill")
    gig.to_bar_line()
    assert gig.now == number + 1
    assert Voice.CRASH in {hit.voice for hit in gig.bar().at(0)}


def fill_next(gig: Gig) -> None:
    gig.to_bar_line(before=2)
    gig.press("fill_next")
    gig.to_bar_line()
    assert gig.choice().parts[-1].request.fill
    gig.to_bar_line()
    assert Voice.CRASH in {hit.voice for hit in gig.bar().at(0)}


def mute_and_solo(gig: Gig) -> None:
    gig.press("mute.snare")
    gig.play(5)
    assert note_of(Voice.SNARE) not in gig.notes(2.0)
    gig.press("mute.snare")
    gig.press("solo.kick")
    gig.play(5)
    assert gig.notes(2.0) <= {note_of(Voice.KICK)}
    gig.press("solo.kick")
    gig.play(8)
    assert len(gig.notes(4.0)) >= 3


def level(gig: Gig) -> None:
    gig.turn(FADER["level.kick"], 80)  # passes where it stands: taken over
    gig.turn(FADER["level.kick"], 85)
    gig.turn(FADER["level.kick"], 0)
    gig.play(5)
    assert gig.band.session.mix.levels[Voice.KICK] == 0
    assert note_of(Voice.KICK) not in gig.notes(2.0)
    gig.turn(FADER["level.kick"], 85)
    gig.play(4)
    assert gig.band.session.mix.levels[Voice.KICK] == 100


def drop(gig: Gig) -> None:
    gig.press("drop")
    gig.play(5)
    heard = {note_of(voice) for voice in TIMEKEEPERS}
    assert gig.notes(2.0) <= heard
    gig.press("drop")
    gig.play(4)


def half_time(gig: Gig) -> None:
    gig.press("half_time")
    gig.to_bar_line()
    gig.to_bar_line()
    written = gig.choice().written
    pattern = [h for h in written.hits if h.voice not in TIMEKEEPERS]
    slow = [h for h in gig.bar().hits if h.voice not in TIMEKEEPERS]
    # to the nearest step: the feel writes triplets of a swung bar as pairs
    halves = [
        {
            round(2 * (hit.tick - begin) / 480)
            for hit in pattern
            if begin <= hit.tick < begin + BAR // 2
        }
        for begin in (0, BAR // 2)
    ]
    assert {round(hit.tick / 480) for hit in slow} in halves
    gig.press("half_time")
    gig.to_bar_line()


def stutter(gig: Gig) -> None:
    gig.turn(KNOB["stutter"], 127)  # pressed
    gig.play(4)
    assert gig.band.session.stutter == "sixteenth"
    steps = [
        tuple(sorted(hit.voice for hit in gig.bar().hits if hit.tick // 480 == step))
        for step in range(16)
    ]
    assert len(set(steps)) == 1
    gig.turn(KNOB["stutter"], 0)  # let go
    gig.play(4)
    assert gig.band.session.stutter == "off"


def hold(gig: Gig) -> None:
    gig.to_bar_line(before=2)
    held = gig.choice().written
    gig.press("hold")
    for _ in range(3):
        gig.to_bar_line()
        assert gig.choice().written == held
    gig.press("hold")
    gig.to_bar_line()
    assert gig.choice().written != held


def again(gig: Gig) -> None:
    gig.to_bar_line(before=2)
    once = gig.choice().written
    gig.press("again")
    gig.to_bar_line()
    assert gig.choice().written == once


def re_roll_and_back(gig: Gig) -> None:
    gig.to_bar_line(before=2)
    planned = gig.choice(1).written
    gig.press("re-roll")
    gig.to_bar_line()
    assert gig.choice().parts[0].request.take == 1
    assert gig.choice().written != planned
    gig.press("back")
    gig.to_bar_line()
    assert gig.choice().parts[0].request.take == 0


def build(gig: Gig) -> None:
    gig.to_bar_line(before=2)
    gig.press("build")
    rolls = []
    for _ in range(4):
        gig.to_bar_line()
        rolls.append(len(ticks(gig.bar(), Voice.SNARE)))
    assert rolls == sorted(rolls)
    assert rolls[-1] > 12
    gig.to_bar_line()
    assert Voice.CRASH in {hit.voice for hit in gig.bar().at(0)}


def sections(gig: Gig) -> None:
    # none, intro, a, b, break, ending, solo on one knob
    gig.away_from_fills()
    gig.turn(KNOB["section"], 50)
    gig.to_bar_line()
    first = gig.choice().written
    assert gig.band.session.section == "a"
    gig.turn(KNOB["section"], 64)
    gig.to_bar_line()
    gig.to_bar_line()
    assert Voice.CLOSED_HAT not in voices(gig.bar())
    gig.away_from_fills()
    gig.turn(KNOB["section"], 50)
    gig.to_bar_line()
    returned = gig.choice().written
    common = set(first.hits) & set(returned.hits)
    assert len(common) > 0.6 * len(first.hits)
    gig.turn(KNOB["section"], 82)
    gig.to_bar_line()
    assert Voice.SNARE not in voices(gig.bar())
    gig.turn(KNOB["section"], 0)
    gig.to_bar_line()


def density(gig: Gig) -> None:
    gig.turn(KNOB["density"], 127)
    gig.to_a_groove()
    busy = len(gig.bar().hits)
    gig.turn(KNOB["density"], 0)
    gig.to_a_groove()
    assert len(gig.bar().hits) < busy / 2
    gig.turn(KNOB["density"], 64)
    gig.to_bar_line()


def feel(gig: Gig) -> None:
    gig.turn(KNOB["humanize"], 0)
    gig.turn(KNOB["swing"], 0)
    gig.turn(KNOB["push"], 64)
    gig.to_bar_line()
    assert all(hit.offset == 0 for hit in gig.bar().hits)
    gig.turn(KNOB["swing"], 127)
    gig.to_bar_line()
    swung = [h.offset for h in gig.bar().hits if h.tick % 960 == 480]
    assert all(offset == pytest.approx(240, abs=5) for offset in swung)
    gig.turn(KNOB["humanize"], 127)
    gig.turn(KNOB["swing"], 0)
    gig.play(2)


def switch_styles(gig: Gig) -> None:
    for index in (1, 3, 5, 2, 0):
        gig.turn(KNOB["style"], round((index + 0.5) / len(STYLES) * 127))
        gig.play(2)
        sounding = gig.band.planner.sent_bar(gig.band.planner.bar)
        assert sounding is not None
        assert sounding.style == STYLES[index]
        assert not sounding.origin.fallback


def scene(gig: Gig) -> None:
    gig.turn(KNOB["density"], 127)
    gig.press("mute.crash")
    gig.play(1)
    gig.band.control("store_scene", 4)
    gig.press("mute.crash")
    gig.turn(KNOB["density"], 20)
    gig.to_bar_line(before=2)
    gig.rig.hear(bytes([PROGRAM_CHANGE, 3]))
    gig.play(1)
    assert not gig.band.session.mix.muted
    gig.to_bar_line()
    assert gig.band.session.mix.muted == {Voice.CRASH}
    assert gig.band.session.density == 100
    gig.press("mute.crash")
    gig.turn(KNOB["density"], 64)


def relocate(gig: Gig) -> None:
    gig.play(16)
    gig.to_bar_line()
    written = {e.number: bar for e, bar in zip(gig.band.entered, gig.band.written, strict=True)}
    back = gig.now - 3
    gig.say(song_position(back * 16))
    gig.relocated += 1
    gig.play(9)
    entered, again = gig.band.entered[-3:], gig.band.written[-3:]
    assert [each.number for each in entered] == [back, back + 1, back + 2]
    assert entered[0].origin is Origin.REMEMBERED
    assert again[:2] == [written[back], written[back + 1]]


def unplug(gig: Gig) -> None:
    was = gig.band.session
    gig.rig.engine.ports_changed([PortChange("in", "nanoKONTROL2", up=False)], gig.rig.now)  # type: ignore[arg-type]
    gig.plugged = False
    gig.turn(KNOB["density"], 127)
    gig.play(4)
    assert gig.band.session == was
    assert gig.notes(1.5)
    gig.rig.engine.ports_changed([PortChange("in", "nanoKONTROL2", up=True)], gig.rig.now)  # type: ignore[arg-type]
    gig.plugged = True
    controllers = gig.band.plane._controllers._map  # what a real controller would show
    controllers.shows(gig.rig.now)  # type: ignore[arg-type]
    controllers.forget_shown()
    shown = {message[:2]: message[2] for message in controllers.shows(gig.rig.now)}  # type: ignore[arg-type]
    assert shown[bytes([CONTROL_CHANGE, KNOB["drop"][1]])] == 0
    assert all(message[0] in (CONTROL_CHANGE, NOTE_ON) for message in shown)
    gig.press("drop")
    assert controllers.shows(gig.rig.now)  # type: ignore[arg-type]
    gig.play(1)  # no echo of what was just shown
    gig.press("drop")
    gig.play(2)


def stop_and_go_on(gig: Gig) -> None:
    gig.say(b"\xfc")
    gig.play(2)
    assert gig.rig.output.hanging() == []
    gig.say(CONTINUE)
    gig.play(6)
    assert gig.rig.rolling


SCRIPT: tuple[Callable[[Gig], None], ...] = (
    fill,
    mute_and_solo,
    density,
    switch_styles,
    hold,
    sections,
    relocate,
    feel,
    fill_next,
    level,
    stutter,
    scene,
    drop,
    unplug,
    build,
    re_roll_and_back,
    half_time,
    stop_and_go_on,
    again,
)


def scenes(luck: random.Random) -> Iterator[Callable[[Gig], None]]:
    yield from SCRIPT
    while True:
        yield luck.choice((fill, switch_styles, mute_and_solo, drop, hold, again))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_gig_of_five_minutes(seed: int, tmp_path: Path) -> None:
    gig = Gig(seed)
    gig.rig.run(1.0)
    gig.master.next_at = gig.rig.now
    gig.master.say(START)
    gig.play(8)
    done = 0
    for number, each in enumerate(scenes(random.Random(seed))):
        if number >= len(SCRIPT) and gig.rig.now - BEGIN > 300 and gig.turns >= 200:
            break
        each(gig)
        gig.play(4, fiddling=True)
        gig.turn(KNOB["share"], 0)
        done += 1
    assert done >= len(SCRIPT)
    gig.master.say(b"\xfc")
    gig.play(2)

    assert gig.rig.output.hanging() == []
    assert gig.rig.dropped_notes == 0
    numbers = [entered.number for entered in gig.band.entered]
    jumps = [b - a for a, b in pairwise(numbers) if b != a + 1]
    assert len(jumps) <= gig.relocated + 1  # and the bar that was stopped in
    origins = {entered.origin for entered in gig.band.entered}
    assert origins <= {Origin.GENERATED, Origin.REMEMBERED}

    bars = gig.capture.last(10_000)
    path = tmp_path / "gig.mid"
    write_song(song_of(bars, "gig"), path)
    captured = read_song(path)
    assert len(captured.notes) == sum(len(bar.notes) for bar in bars)
    assert len(captured.notes) > 1000
