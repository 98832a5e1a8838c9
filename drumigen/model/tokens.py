"""Tokens: what a performance is to the network, and how bars become tokens and back.

A hit is four tokens: POSITION (the sixteenth it sounds nearest to), NOTE_ON (its voice, as its
General MIDI key), VELOCITY and OFFSET (how far from that sixteenth it sounds).  The offset spans
half a sixteenth either way in steps of 10 ticks, so that 32nds (-240), sixteenth triplets (160),
32nd triplets (80), rolls and micro-timing are all the same thing: a time.  Several hits of one
voice may share a sixteenth.

Quantisation: a hit sounds at most 5 ticks (1.3 ms at 120 BPM) from where it was, and at most 2
velocities from what it was; 127 stays 127.  Two hits of one voice within one step of 10 ticks are
merged, the louder stays; a hit that sounds outside the performance is moved to its edge.  Both
are counted in :class:`Losses`.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, NamedTuple

from drumigen.errors import ModelError
from drumigen.kit import VOICES, Voice
from drumigen.midi.written_positions import written
from drumigen.model.conditions import CONDITION_SIZES, Conditions, condition_bins
from drumigen.model.vocabulary import (
    BOS,
    EOS,
    OFFSET_STEP,
    OFFSET_ZERO,
    OFFSETS,
    POSITIONS,
    VELOCITIES,
    VELOCITY_STEP,
    VOCABULARY,
    VOICE_ORDER,
)
from drumigen.pattern import OFFSET_MAX, Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick


def vocabulary_hash(lacking: Collection[str] = ()) -> str:
    """Return a digest of everything that gives tokens and network outputs their meaning.

    With conditions ``lacking`` it is that of a vocabulary from before there were any of those.
    """
    table = {
        "ranges": {kind: tuple(r) for kind, r in VOCABULARY.items() if kind.lower() not in lacking},
        "voices": [(voice.value, VOICES[voice].note) for voice in VOICE_ORDER],
        "steps": [OFFSET_STEP, VELOCITY_STEP, TICKS_PER_BEAT],
        "conditions": [
            (f.name, *condition_bins(f.name))
            for f in fields(Conditions)
            if f.name not in ("styles", *lacking)
        ],
    }
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()[:16]


class BinnedNote(NamedTuple):
    """One hit in bins: ``event`` below :data:`BAR_LINE`, ``velocity``, ``offset``."""

    event: int
    velocity: int
    offset: int


@dataclass(frozen=True, slots=True)
class Losses:
    """What encoding could not keep: hits merged, and hits moved to an edge."""

    merged: int = 0
    moved: int = 0


def velocity_bin(velocity: int) -> int:
    """Return the bin of a velocity of 1 to 127."""
    return VELOCITIES - 1 if velocity == 127 else velocity // VELOCITY_STEP


def velocity_span(place: int) -> tuple[int, int]:
    """Return the least and greatest velocity of a bin."""
    if place == VELOCITIES - 1:
        return 127, 127
    first = place * VELOCITY_STEP
    return max(1, first), min(126, first + VELOCITY_STEP - 1)


def notes_of(bars: Sequence[Bar]) -> tuple[list[list[BinnedNote]], Losses]:
    """Return the notes of consecutive bars, each bar's in the order of the grammar.

    A hit belongs to the bar of the sixteenth that it sounds nearest to.
    """
    starts = [0]
    for bar in bars:
        starts.append(starts[-1] + bar.meter.sixteenths)
    found: list[dict[tuple[int, int], int]] = [{} for _ in bars]
    merged = moved = 0
    for number, bar in enumerate(bars):
        for hit in bar.hits:
            step = round((starts[number] * TICKS_PER_SIXTEENTH + hit.sounding_tick) / OFFSET_STEP)
            cell, offset = divmod(step + OFFSET_ZERO, OFFSETS)
            if not 0 <= cell < starts[-1]:
                cell, offset = (0, 0) if cell < 0 else (starts[-1] - 1, OFFSETS - 1)
                moved += 1
            home = number
            while cell < starts[home]:
                home -= 1
            while cell >= starts[home + 1]:
                home += 1
            key = _event(cell - starts[home], hit.voice), offset
            merged += key in found[home]
            found[home][key] = max(found[home].get(key, 0), hit.velocity)
    rows = [
        [
            BinnedNote(event, velocity_bin(velocity), offset)
            for (event, offset), velocity in sorted(bar.items())
        ]
        for bar in found
    ]
    return rows, Losses(merged, moved)


def bar_of(notes: Iterable[BinnedNote], meter: Meter, dither: Iterator[float] | None = None) -> Bar:
    """Return the bar of ``notes``, written where a musician would write them.

    Without ``dither`` a hit takes the middle of its bins; with it, two numbers of 0-1 for each
    hit spread velocity and offset over theirs, as a human's are.
    """
    strokes = []
    for event, velocity, offset in notes:
        position, voice = divmod(event, len(VOICE_ORDER))
        low, high = velocity_span(velocity)
        tick = position * TICKS_PER_SIXTEENTH + (offset - OFFSET_ZERO) * OFFSET_STEP
        if dither is None:
            level = (low + high + 1) // 2
        else:
            level = low + int(next(dither) * (high - low + 1))
            tick += int(next(dither) * (OFFSET_STEP - 1)) - OFFSET_STEP // 2 + 1
        strokes.append((tick, VOICE_ORDER[voice], level))
    return bar_of_strokes(strokes, meter)


def bar_of_strokes(strokes: Sequence[tuple[int, Voice, int]], meter: Meter) -> Bar:
    """Return the bar of (sounding tick, voice, velocity); none of it leaves the bar."""
    places = written([(tick, voice) for tick, voice, _ in strokes], meter)
    hits = []
    for (sounding, voice, velocity), (tick, _) in zip(strokes, places, strict=True):
        home = tick
        while home >= meter.ticks:
            home = Tick(home - TICKS_PER_SIXTEENTH)
        offset = max(-OFFSET_MAX, min(OFFSET_MAX, sounding - home))
        hits.append(Hit(home, voice, velocity, offset))
    return Bar(meter, tuple(hits))


def _event(position: int, voice: Voice) -> int:
    return position * len(VOICE_ORDER) + VOICE_ORDER.index(voice)


@dataclass(frozen=True)
class DecodedBars:
    """What a stream of tokens says: bars, and for each the conditions that were given."""

    bars: tuple[Bar, ...] = ()
    conditions: tuple[Mapping[str, int], ...] = field(default=(), hash=False)


_KEYS: Final = {VOICES[voice].note: voice for voice in VOICE_ORDER}
_READS: Final = {note: voice for voice in VOICE_ORDER for note in VOICES[voice].reads}


def encode(
    bars: Sequence[Bar], conditions: Sequence[Conditions] = (), styles: Sequence[str] = ()
) -> tuple[list[int], Losses]:
    """Return the tokens of ``bars``, each opened by its conditions, and what was lost.

    ``conditions`` is empty or as long as ``bars``; ``styles`` lists the names that STYLE tokens
    stand for.  Of a mixture only the greatest share has a token: mixing is the network's affair.

    Raises:
        ModelError: a bar is longer than 32 sixteenths, or a style is not listed.
    """
    rows, losses = notes_of(bars)
    tokens = [BOS]
    given = conditions or [Conditions(meter=bar.meter) for bar in bars]
    for number, (bar, row, told) in enumerate(zip(bars, rows, given, strict=True)):
        tokens.append(VOCABULARY["BAR"].first + number % VOCABULARY["BAR"].size)
        under = replace(told, meter=bar.meter)
        if under.styles:
            name = max(under.styles, key=lambda style: style[1])[0]
            if name not in styles:
                message = f"style {name!r} is not among {', '.join(styles) or 'no styles'}"
                raise ModelError(message)
            tokens.append(VOCABULARY["STYLE"].first + styles.index(name))
        known = zip(CONDITION_SIZES, under.ids(), strict=True)
        tokens += [VOCABULARY[name.upper()].first + place - 1 for name, place in known if place]
        for note in row:
            tokens += note_tokens(note)
    return [*tokens, EOS], losses


def note_tokens(note: BinnedNote) -> tuple[int, int, int, int]:
    """Return the four tokens of a note."""
    position, voice = divmod(note.event, len(VOICE_ORDER))
    low, high = velocity_span(note.velocity)
    return (
        VOCABULARY["POSITION"].first + position,
        VOCABULARY["NOTE_ON"].first + VOICES[VOICE_ORDER[voice]].note,
        VOCABULARY["VELOCITY"].first + (low + high + 1) // 2,
        VOCABULARY["OFFSET"].first + note.offset,
    )


def decode(tokens: Iterable[int]) -> DecodedBars:
    """Return what ``tokens`` say; the batch prototype's streams are read too.

    Anything decodes: tokens out of place and keys that no voice has are passed over, hits beyond
    the end of their bar are left out, bars without a METER are in 4/4.
    """
    reading = _Reading()
    for token in tokens:
        if token == EOS:
            break
        reading.take(token)
    return reading.performance()


class _Reading:
    """Reads tokens one by one; a hit is complete when another, or its bar's end, comes."""

    def __init__(self) -> None:
        self._bars: list[Bar] = []
        self._conditions: list[Mapping[str, int]] = []
        self._open = False
        self._begin()

    def _begin(self) -> None:
        self._given: dict[str, int] = {}
        self._strokes: list[list[int]] = []
        self._voices: list[Voice] = []
        self._position = 0
        self._voice: Voice | None = None

    def take(self, token: int) -> None:
        kind = next((name for name, tokens in VOCABULARY.items() if token in tokens), "PAD")
        value = token - VOCABULARY[kind].first
        match kind:
            case "BAR":
                self._finish()
                self._open = True
            case "POSITION":
                self._position, self._voice = value, None
            case "NOTE_ON":
                self._voice = _KEYS.get(value) or _READS.get(value)
            case "VELOCITY":
                if self._voice is not None and value:
                    self._strokes.append([self._position * TICKS_PER_SIXTEENTH, value, 0])
                    self._voices.append(self._voice)
                    self._voice = None
            case "OFFSET":
                if self._strokes and not self._strokes[-1][2]:
                    self._strokes[-1][0] += (value - OFFSET_ZERO) * OFFSET_STEP
                    self._strokes[-1][2] = 1
            case "PAD" | "BOS" | "EOS":
                pass
            case _:
                self._given[kind.lower()] = value

    def _finish(self) -> None:
        if self._open:
            meter = _meter(self._given.get("meter"))
            inside = [
                (tick, voice, velocity)
                for (tick, velocity, _), voice in zip(self._strokes, self._voices, strict=True)
                if tick < meter.ticks + TICKS_PER_SIXTEENTH // 2
            ]
            self._bars.append(bar_of_strokes(inside, meter))
            self._conditions.append(self._given)
        self._begin()

    def performance(self) -> DecodedBars:
        self._finish()
        return DecodedBars(tuple(self._bars), tuple(self._conditions))


def _meter(place: int | None) -> Meter:
    """Return the plainest metre of a METER bin: so many sixteenths, in quarters or compound."""
    sixteenths, compound = divmod(place, 2) if place is not None else (16, 0)
    if not 1 <= sixteenths <= POSITIONS:
        return Meter()
    if sixteenths % 4 == 0 and not compound:
        return Meter(sixteenths // 4, 4)
    if sixteenths % 2 == 0:
        return Meter(sixteenths // 2, 8)
    return Meter(sixteenths, 16)
