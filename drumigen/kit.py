"""Voices, what they are on a General MIDI kit, and how other kits are mapped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from drumigen.errors import KitError
from drumigen.resources import config_path, read_toml

DRUM_CHANNEL = 9
"""MIDI channel 10, counted from 0 as on the wire."""

GM_NOTES = range(35, 82)
"""The keys of the General MIDI percussion map."""


EKIT_NOTES = frozenset((22, 26))
"""Edges of the closed and the open hat on e-kits; General MIDI has nothing there."""


class Voice(StrEnum):
    """One instrument of the drummer; a superset of the nine classes of the Groove MIDI Dataset."""

    KICK = "kick"
    SNARE = "snare"
    SIDE_STICK = "side_stick"
    CLAP = "clap"
    CLOSED_HAT = "closed_hat"
    PEDAL_HAT = "pedal_hat"
    OPEN_HAT = "open_hat"
    LOW_TOM = "low_tom"
    MID_TOM = "mid_tom"
    HIGH_TOM = "high_tom"
    CRASH = "crash"
    SPLASH = "splash"
    CHINA = "china"
    RIDE = "ride"
    RIDE_BELL = "ride_bell"
    COWBELL = "cowbell"
    TAMBOURINE = "tambourine"
    SHAKER = "shaker"
    PERCUSSION = "percussion"


class Limb(StrEnum):
    """What strikes a voice; a drummer has two of each."""

    HAND = "hand"
    FOOT = "foot"


LIMBS_OF_A_KIND = 2


@dataclass(frozen=True, slots=True)
class VoiceRow:
    """What holds for a voice on every kit.

    ``note`` is the General MIDI key it is written to, ``reads`` are all the keys it is read
    from.  ``class_of_nine`` is its class in the Groove MIDI Dataset's reduced map (Gillick et
    al. 2019), named by that class's own voice.  ``importance`` is added to a hit's velocity when
    one of several has to go.  ``stand_in`` plays it on a kit without it; only kick, snare and
    closed hat have none, so every kit has those three.
    """

    title: str
    note: int
    reads: tuple[int, ...]
    class_of_nine: Voice
    limb: Limb
    importance: int
    stand_in: Voice | None


_V, _HAND, _FOOT = Voice, Limb.HAND, Limb.FOOT
_HAND_PERCUSSION = (58, *range(60, 70), *range(71, 82))

VOICES: Mapping[Voice, VoiceRow] = {
    _V.KICK: VoiceRow("Kick", 36, (35, 36), _V.KICK, _FOOT, 80, None),
    _V.SNARE: VoiceRow("Snare", 38, (38, 40), _V.SNARE, _HAND, 60, None),
    _V.SIDE_STICK: VoiceRow("Side stick", 37, (37,), _V.SNARE, _HAND, 50, _V.SNARE),
    _V.CLAP: VoiceRow("Clap", 39, (39,), _V.SNARE, _HAND, 50, _V.SNARE),
    _V.CLOSED_HAT: VoiceRow("Closed hat", 42, (42,), _V.CLOSED_HAT, _HAND, 20, None),
    _V.PEDAL_HAT: VoiceRow("Pedal hat", 44, (44,), _V.CLOSED_HAT, _FOOT, 0, _V.CLOSED_HAT),
    _V.OPEN_HAT: VoiceRow("Open hat", 46, (46,), _V.OPEN_HAT, _HAND, 25, _V.CLOSED_HAT),
    _V.LOW_TOM: VoiceRow("Low tom", 43, (41, 43), _V.LOW_TOM, _HAND, 30, _V.SNARE),
    _V.MID_TOM: VoiceRow("Mid tom", 47, (45, 47), _V.MID_TOM, _HAND, 30, _V.LOW_TOM),
    _V.HIGH_TOM: VoiceRow("High tom", 50, (48, 50), _V.HIGH_TOM, _HAND, 30, _V.MID_TOM),
    _V.CRASH: VoiceRow("Crash", 49, (49, 57), _V.CRASH, _HAND, 45, _V.OPEN_HAT),
    _V.SPLASH: VoiceRow("Splash", 55, (55,), _V.CRASH, _HAND, 35, _V.CRASH),
    _V.CHINA: VoiceRow("China", 52, (52,), _V.CRASH, _HAND, 35, _V.CRASH),
    _V.RIDE: VoiceRow("Ride", 51, (51, 59), _V.RIDE, _HAND, 20, _V.CLOSED_HAT),
    _V.RIDE_BELL: VoiceRow("Ride bell", 53, (53,), _V.RIDE, _HAND, 20, _V.RIDE),
    _V.COWBELL: VoiceRow("Cowbell", 56, (56,), _V.RIDE, _HAND, 10, _V.SIDE_STICK),
    _V.TAMBOURINE: VoiceRow("Tambourine", 54, (54,), _V.CLOSED_HAT, _HAND, 5, _V.CLOSED_HAT),
    _V.SHAKER: VoiceRow("Shaker", 70, (70,), _V.CLOSED_HAT, _HAND, 5, _V.CLOSED_HAT),
    _V.PERCUSSION: VoiceRow("Percussion", 63, _HAND_PERCUSSION, _V.MID_TOM, _HAND, 5, _V.HIGH_TOM),
}

FROM_TOP: Sequence[Voice] = (
    Voice.CRASH,
    Voice.SPLASH,
    Voice.CHINA,
    Voice.RIDE_BELL,
    Voice.RIDE,
    Voice.OPEN_HAT,
    Voice.CLOSED_HAT,
    Voice.PEDAL_HAT,
    Voice.TAMBOURINE,
    Voice.SHAKER,
    Voice.COWBELL,
    Voice.PERCUSSION,
    Voice.HIGH_TOM,
    Voice.MID_TOM,
    Voice.LOW_TOM,
    Voice.CLAP,
    Voice.SIDE_STICK,
    Voice.SNARE,
    Voice.KICK,
)
"""From the top of a picture to its bottom: cymbals over drums, as in drum notation."""

SNARES = frozenset((Voice.SNARE, Voice.SIDE_STICK, Voice.CLAP))
"""What plays the backbeat."""

TOMS = frozenset((Voice.LOW_TOM, Voice.MID_TOM, Voice.HIGH_TOM))

HATS = (Voice.OPEN_HAT, Voice.CLOSED_HAT, Voice.PEDAL_HAT)
"""The three sounds of the one hi-hat: no two of them at the same moment."""

TIMEKEEPERS = frozenset(
    (*HATS, Voice.RIDE, Voice.RIDE_BELL, Voice.COWBELL, Voice.TAMBOURINE, Voice.SHAKER)
)
"""Voices that keep the pulse, as opposed to those that make the pattern."""

CHOKES: Mapping[Voice, tuple[Voice, ...]] = {
    Voice.CLOSED_HAT: (Voice.OPEN_HAT,),
    Voice.PEDAL_HAT: (Voice.OPEN_HAT,),
}
"""What a voice silences when it sounds, on every kit; a kit file may add to it."""


@dataclass(frozen=True, slots=True, order=True)
class KitNote:
    """Where a voice is sent: channel 0-15, note 0-127, and the milliseconds until its note-off."""

    channel: int
    note: int
    gate_ms: float


@dataclass(frozen=True)
class KitMap:
    """How one instrument is addressed; every voice has a note, if only its stand-in's."""

    name: str
    title: str
    notes: Mapping[Voice, KitNote] = field(hash=False)
    reads: Mapping[tuple[int, int], Voice] = field(hash=False)
    choked: Mapping[Voice, tuple[Voice, ...]] = field(hash=False)

    def note_of(self, voice: Voice) -> KitNote:
        """Return what ``voice`` is written to."""
        return self.notes[voice]

    def voice_of(self, note: int, channel: int = DRUM_CHANNEL) -> Voice | None:
        """Return the voice that is read from ``note``, or None where the kit has nothing."""
        return self.reads.get((channel, note))

    def chokes(self, voice: Voice) -> tuple[Voice, ...]:
        """Return the voices that fall silent when ``voice`` sounds."""
        return self.choked.get(voice, ())

    @property
    def channels(self) -> tuple[int, ...]:
        """The MIDI channels in use, in order, counted from 0."""
        return tuple(sorted({note.channel for note in self.notes.values()}))


_Note = Annotated[int, msgspec.Meta(ge=0, le=127)]
_Channel = Annotated[int, msgspec.Meta(ge=1, le=16)]
_Gate = Annotated[float, msgspec.Meta(ge=1, le=10_000)]


class _KitEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a kit file: the note written, the other notes read, and what differs."""

    note: _Note
    also: tuple[_Note, ...] = ()
    channel: _Channel | None = None
    gate_ms: _Gate | None = None


# A field per voice, so that the checker's complaint names the voice.
_Entries: Any = msgspec.defstruct(
    "_Entries",
    [(voice.value, _KitEntry | None, None) for voice in Voice],
    forbid_unknown_fields=True,
)


class _KitFile(msgspec.Struct, forbid_unknown_fields=True):
    """A kit file; channels count from 1 there, as on the instruments."""

    title: str
    voices: _Entries
    channel: _Channel = 10
    gate_ms: _Gate = 30.0
    chokes: dict[Voice, tuple[Voice, ...]] = {}


def kit_names() -> tuple[str, ...]:
    """Return the names of the shipped kits, in order."""
    return tuple(sorted(path.stem for path in config_path("kits").glob("*.toml")))


def load_kit(name: str | Path = "gm") -> KitMap:
    """Return a shipped kit by name, or the kit in a user's own TOML file by path.

    ``~`` is the user's home.

    Raises:
        KitError: no such kit or file, or the file breaks a rule; one line that says which.
    """
    try:
        path = Path(name).expanduser()
    except RuntimeError as failure:
        message = f"no kit {str(name)!r}: there is no such home; give the whole path"
        raise KitError(message) from failure
    if path.suffix.lower() != ".toml":
        names = kit_names()
        if str(name) not in names:
            near = get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "or give the path of a .toml file"
            message = f"no kit {str(name)!r}: use one of {', '.join(names)}; {hint}"
            raise KitError(message)
        path = config_path("kits", f"{name}.toml")
    return _kit(path, read_toml(path, _KitFile, KitError))


def _kit(path: Path, kit_file: _KitFile) -> KitMap:
    entries: dict[Voice, _KitEntry] = {
        voice: entry for voice in Voice if (entry := getattr(kit_file.voices, voice.value))
    }
    notes: dict[Voice, KitNote] = {}
    reads: dict[tuple[int, int], Voice] = {}
    for voice, entry in entries.items():
        channel = (entry.channel or kit_file.channel) - 1
        notes[voice] = KitNote(channel, entry.note, entry.gate_ms or kit_file.gate_ms)
        for note in (entry.note, *entry.also):
            other = reads.setdefault((channel, note), voice)
            if other != voice:
                message = (
                    f"{path}: voices.{voice} = {note}: {other} is already read from note {note} "
                    f"on channel {channel + 1}; give each voice a note of its own"
                )
                raise KitError(message)
    for voice in Voice:
        notes[voice] = notes[_stand_in(path, voice, entries)]
    choked = {
        voice: tuple(dict.fromkeys(CHOKES.get(voice, ()) + kit_file.chokes.get(voice, ())))
        for voice in Voice
    }
    return KitMap(path.stem, kit_file.title, notes, reads, choked)


def _stand_in(path: Path, voice: Voice, entries: Mapping[Voice, _KitEntry]) -> Voice:
    while voice not in entries:
        stand_in = VOICES[voice].stand_in
        if stand_in is None:
            message = (
                f"{path}: voices.{voice} is missing: every kit needs kick, snare and closed_hat, "
                "each with a note from 0 to 127"
            )
            raise KitError(message)
        voice = stand_in
    return voice
