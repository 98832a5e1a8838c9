"""Live, every song is as loud as the others, and what is to be loud within it stays so."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from drumigen.kit import Voice
from drumigen.midi.song import Song
from drumigen.pattern import Bar, Hit
from drumigen.styles import Style, load_styles
from drumigen.timeline import Meter, Timeline
from drumigen.units import Bpm, Seconds, Tick
from drumigen_daemon.capture.wav import _rendered, sounds_of
from drumigen_daemon.engine.messages import EngineParameters, PlannedBar
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.listen.messages import ListenState
from drumigen_daemon.listen.process import SYNTH_GAIN
from drumigen_daemon.listen.song_level import (
    HEADROOM,
    LEVEL_STEP_MAX,
    LEVELED_BARS,
    LIVE_LOUDNESS,
    SongLevel,
)
from drumigen_daemon.listen.stroke_energies import TYPICAL_STROKES, StrokeEnergies
from drumigen_daemon.offline import planned_songs, rendered
from drumigen_daemon.session import Session
from drumigen_daemon.sound.fluidsynth import INSTALL_FLUIDSYNTH, Synth
from drumigen_daemon.sound.fonts import sound_font
from drumigen_daemon.sound.loudness import RATE, Loudness

STYLES = load_styles()
AHEAD = 2


def groove(velocity: int) -> Bar:
    places = ((0, Voice.KICK), (4, Voice.SNARE), (8, Voice.KICK), (12, Voice.SNARE))
    return Bar(Meter(), tuple(Hit(Tick(480 * at), voice, velocity) for at, voice in places))


def song(*velocities: int, style: str = "rock") -> list[PlannedBar]:
    return [
        PlannedBar(number, Tick(7680 * number), groove(velocity), style)
        for number, velocity in enumerate(velocities)
    ]


def state(*, rolling: bool = True, tempo: float = 120.0, style: Style | None = None) -> ListenState:
    return ListenState(
        rolling,
        Timeline(Bpm(tempo), 0.0, Seconds(0.0)),
        Tick(0),
        style.sound.program if style else 0,
        level_db=style.sound_db if style else 0.0,
    )


def gains(bars: Sequence[PlannedBar], told: ListenState, level: SongLevel) -> list[float]:
    """Return the gain at which each bar sounds."""
    return [level.gain(bars[at : at + 1 + AHEAD], told) for at in range(len(bars))]


@pytest.fixture
def level() -> SongLevel:
    made = SongLevel(lambda _: TYPICAL_STROKES)
    made.gain((), state(rolling=False))
    return made


def test_a_soft_drummer_is_turned_up_and_a_hard_one_down(level: SongLevel) -> None:
    soft = gains(song(*[40] * 20), state(), level)
    level.gain((), state(rolling=False))
    hard = gains(song(*[120] * 20), state(), level)
    assert soft[0] > 5.0
    assert hard[0] < soft[0] - 10.0
    # 40 dB for ten times the velocity
    assert soft[-1] - hard[-1] == pytest.approx(19.1, abs=2.0)


def test_bars_that_are_as_loud_as_another_leave_the_level_where_it_is(level: SongLevel) -> None:
    found = gains(song(*[70] * 40), state(), level)
    assert max(found) - min(found) < 3.0
    assert found[LEVELED_BARS:] == [found[LEVELED_BARS]] * (40 - LEVELED_BARS)


def test_what_gets_louder_later_is_louder(level: SongLevel) -> None:
    found = gains(song(*[50] * LEVELED_BARS, *[75] * LEVELED_BARS), state(), level)
    assert found[-1] == pytest.approx(found[LEVELED_BARS - AHEAD - 1], abs=0.5)


def test_what_is_far_louder_than_a_soft_intro_is_known_before_it_sounds(level: SongLevel) -> None:
    found = gains(song(*[25] * 8, *[127] * 8), state(), level)
    (loud,) = gains(song(127), state(), SongLevel(lambda _: TYPICAL_STROKES))
    assert found[8 - AHEAD] < found[8 - AHEAD - 1] - LEVEL_STEP_MAX
    assert found[8] <= loud + HEADROOM


def test_it_moves_little_at_a_time_and_at_bar_lines_only(level: SongLevel) -> None:
    bars = song(*[30] * 3, *[45] * 10)
    found = gains(bars, state(), level)
    steps = np.abs(np.diff(found))
    assert 0.0 < steps.max() <= LEVEL_STEP_MAX
    before = level.gain(bars[-1:], state())
    assert level.gain(song(*[127] * 13)[-1:], state()) <= before
    assert level.gain(bars[-1:], state(tempo=180)) <= before


def test_what_rings_after_a_stop_is_not_turned_up_or_down(level: SongLevel) -> None:
    (*_, before) = gains(song(*[40] * 4), state(), level)
    assert level.gain(song(127, 127, 127), state(rolling=False)) == before


def test_the_next_song_begins_at_its_own_level(level: SongLevel) -> None:
    gains(song(*[40] * 20), state(), level)
    level.gain((), state(rolling=False))
    first = level.gain(song(110, 110, 110), state())
    assert first == pytest.approx(
        SongLevel(lambda _: TYPICAL_STROKES).gain(song(110, 110, 110), state())
    )


def test_silent_bars_and_an_empty_plan_are_no_news(level: SongLevel) -> None:
    empty = [PlannedBar(0, Tick(0), Bar(Meter(), ()), "rock")]
    assert level.gain(empty, state(style=STYLES.find("reggae"))) == STYLES.find("reggae").sound_db
    assert level.gain((), state()) == STYLES.find("reggae").sound_db


# --- as it sounds --------------------------------------------------------------------------

SEEDS = (1, 2, 3)
SONG_BARS = 16


@pytest.fixture(scope="module")
def font() -> Path:
    found = sound_font()
    assert found is not None, INSTALL_FLUIDSYNTH
    return found


@pytest.fixture(scope="module")
def energies(font: Path) -> StrokeEnergies:
    measured = StrokeEnergies(font, RATE, SYNTH_GAIN)
    measured.measure()
    return measured


class LeveledSynth(Synth):
    """A synthesizer whose gain is set where bars begin."""

    def __init__(self, font: Path, levels: Sequence[tuple[float, float]]) -> None:
        """Set each gain, in decibels, at its second."""
        super().__init__(font, rate=RATE, gain=SYNTH_GAIN)
        self._levels = list(levels)
        self._frames = 0

    def render(self, frames: int) -> bytes:
        """Render as any does."""
        while self._levels and self._levels[0][0] * RATE <= self._frames + 1:
            self.set_gain(SYNTH_GAIN * 10 ** (self._levels.pop(0)[1] / 20))
        self._frames += frames
        return super().render(frames)


def heard(made: Song, bars: Sequence[PlannedBar], found: Sequence[float], font: Path) -> Loudness:
    """Return how loud ``made`` is live: each of ``bars`` at its gain."""
    begins = [made.tempo_map.seconds_at(bar.start) for bar in bars]
    synth = LeveledSynth(font, list(zip(begins, found, strict=True)))
    loudness = Loudness()
    for sound in _rendered(synth, made, sounds_of(made, STYLES), None):
        loudness.hear(sound)
    synth.close()
    return loudness


@pytest.mark.slow
def test_live_every_song_of_every_style_is_as_loud_as_the_others(
    font: Path, energies: StrokeEnergies
) -> None:
    writer = ModelWriter()
    measured: dict[str, list[float]] = {}
    for style in STYLES:
        tempo = Bpm(float(round(sum(style.tempo) / 2)))
        sessions = [
            Session(style=style.name, seed=seed, parameters=EngineParameters(tempo=tempo))
            for seed in SEEDS
        ]
        for session, bars in zip(
            sessions, planned_songs(sessions, writer.write_at, SONG_BARS), strict=True
        ):
            level = SongLevel(energies.of)
            found = gains(bars, state(tempo=tempo, style=style), level)
            loudness = heard(rendered(bars, session), bars, found, font)
            assert loudness.peak < 1.0
            measured.setdefault(style.name, []).append(loudness.integrated())
    medians = {name: median(levels) for name, levels in measured.items()}
    assert max(medians.values()) - min(medians.values()) <= 3.0, medians
    for name, levels in measured.items():
        assert levels == pytest.approx([LIVE_LOUDNESS] * len(SEEDS), abs=4.0), name


def test_the_energies_of_a_font_are_those_that_are_heard(
    font: Path, energies: StrokeEnergies
) -> None:
    """Before it is measured those of the usual one stand in, and are not far off."""
    known, usual = energies.of(0), StrokeEnergies(font, RATE, SYNTH_GAIN).of(0)
    for voice in (Voice.KICK, Voice.SNARE, Voice.CRASH):
        assert 10 * np.log10(known[voice] / usual[voice]) == pytest.approx(0.0, abs=6.0)
    bars = song(*[100] * 8)
    level = SongLevel(energies.of)
    found = gains(bars, state(style=STYLES.find("rock")), level)
    sounds = heard(rendered(bars, Session(style="rock")), bars, [found[-1]] * 8, font)
    assert sounds.integrated() == pytest.approx(LIVE_LOUDNESS, abs=2.0)
