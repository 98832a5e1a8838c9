"""What the performer has set: one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from drumigen.arrange import Section
from drumigen.feel.feel import PUSH_MAX_MS, Feel
from drumigen.kit import Voice
from drumigen.timeline import Meter
from drumigen.voice_mixer import Mix
from drumigen_daemon.engine.messages import EngineParameters


class Quantum(StrEnum):
    """The boundary at which a style switch takes effect."""

    STEP = "step"
    BEAT = "beat"
    BAR = "bar"
    PHRASE = "phrase"


class Call(StrEnum):
    """What a performer can call for, once, without a value."""

    FILL = "fill"
    """A fill for the rest of this bar; in its last beat, for the next one."""
    FILL_NEXT = "fill_next"
    """The next bar is a fill."""
    AGAIN = "again"
    """The next bar is this one again."""
    REROLL = "re-roll"
    """Other bars from the quantum on."""
    BACK = "back"
    """The bars from before the last re-roll."""
    BUILD = "build"
    """A build over the next bars, which lands with a crash."""


class SongForm(StrEnum):
    """Whether the song has a form of its own."""

    OFF = "off"
    """A live drummer waits for the band: sections are the performer's."""
    SONG = "song"
    """Intro, A, B, break and so on come and come back by themselves, until one is called for."""


class Stutter(StrEnum):
    """How much of the bar is repeated."""

    OFF = "off"
    QUARTER = "quarter"
    EIGHTH = "eighth"
    SIXTEENTH = "sixteenth"

    @property
    def ticks(self) -> int:
        """Length of what is repeated; 0 for off."""
        return {"off": 0, "quarter": 1920, "eighth": 960, "sixteenth": 480}[self.value]


@dataclass(frozen=True, slots=True)
class FeelKnobs:
    """How the performer turns a style's feel: None, 0 and 100 leave it as it is."""

    swing: float | None = None
    """MPC percent, 50 to 75, in place of the style's."""
    push_ms: float = 0.0
    """Added to every voice; negative is early."""
    voice_push_ms: Mapping[Voice, float] = field(default_factory=dict, hash=False)
    humanize: int = 100
    """Percent of the style's micro-timing and dynamics."""

    def turned(self, feel: Feel) -> Feel:
        """Return ``feel`` with the knobs turned, within what a feel can be."""
        if self == FeelKnobs():
            return feel
        push = {}
        for voice in Voice:
            ms = feel.push_ms.get(voice, 0.0) + self.push_ms + self.voice_push_ms.get(voice, 0.0)
            if ms:
                push[voice] = max(-PUSH_MAX_MS, min(PUSH_MAX_MS, ms))
        return replace(
            feel,
            amount=feel.amount * self.humanize / 100,
            swing=feel.swing if self.swing is None else self.swing,
            swing_spread=feel.swing_spread if self.swing is None else 0.0,
            push_ms=push,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """Everything live that decides what is played and how."""

    style: str = "rock"
    seed: int = 1
    meter: Meter = Meter()
    quantum: Quantum = Quantum.BEAT
    variation: bool = True
    """Vary a bar that would sound verbatim a third time running, and a section that returns."""
    density: int | None = None
    """What it means for a bar: :class:`~drumigen_daemon.generator.messages.BarRequest`."""
    intensity: int | None = None
    busy: int | None = None
    temperature: float = 1.0
    blend: str = ""
    share: int = 0
    section: Section = Section.NONE
    phrase: int = 8
    """Bars in a phrase: what the quantum of that name, and the memory of a section, go by."""
    form: SongForm = SongForm.OFF
    bars: int = 0
    """After so many bars the song lands on a last stroke; 0 for never."""
    fill_every: int | None = None
    """The last of so many bars is a fill; 0 for none, None as drummers of the style play them."""
    fill_amount: int | None = None
    """Percent of the bar that such a fill takes; None as long as drummers of the style play it."""
    build_bars: int = 4
    count_in: int = 0
    """Bars at the beginning of the song that only count."""
    half_time: bool = False
    drop: bool = False
    """Nothing but the voices that keep time."""
    stutter: Stutter = Stutter.OFF
    hold: bool = False
    """Play the bar that sounds again and again."""
    feel: FeelKnobs = FeelKnobs()
    mix: Mix = Mix()
    parameters: EngineParameters = EngineParameters()
