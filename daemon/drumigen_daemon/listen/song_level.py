"""Keeps songs as loud as each other, though one drummer strikes softly and another hard.  Sans I/O.

Drummers differ by some fifteen decibels, and what leaves as MIDI keeps that.  Who listens wants to
turn up no knob from song to song.  So a song's own level is found from its bars, those that are
planned among them, while it begins, and is then left alone: what gets louder later is to be louder.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from drumigen.kit import Voice
from drumigen.pattern import Bar
from drumigen.units import TICKS_PER_BEAT
from drumigen_daemon.engine.messages import PlannedBar
from drumigen_daemon.listen.messages import ListenState

LIVE_LOUDNESS: Final = -28.0
"""About the LUFS of every song: no peak of a sparse one is clipped."""
LEVELED_BARS: Final = 16
"""Of each style, from which its level is found."""
LEVEL_STEP_MAX: Final = 2.0
"""Decibels by which the level moves at a bar line: less than is noticed in a groove."""
HEADROOM: Final = 8.0
"""Decibels by which a bar may be louder than its song: a fill, or what comes after a soft intro."""
USUAL_BARS: Final = 1.0
"""So many bars of one's own say as much as what is usual in the style."""
GATE: Final = 0.1
"""Bars of less than this share of the mean power are pauses, as in ITU-R BS.1770."""

StrokeSums = Mapping[Voice, float]
"""Energies of strokes at velocity 127: seconds of full scale, as BS.1770 weights it."""


@dataclass(slots=True)
class _Song:
    """What is known of the bars of one style, on one set of drums, since the song began."""

    bars: dict[int, StrokeSums] = field(default_factory=dict)
    """By number: of each voice the sum of its strokes, one at velocity 127 being 1, a beat."""
    loudest: float = 0.0
    gain: float | None = None
    bar: int = -1
    """The bar at whose line the gain has moved last."""


class SongLevel:
    """The level at which a song has to sound."""

    def __init__(self, strokes_of: Callable[[int], StrokeSums]) -> None:
        """Know no song; ``strokes_of`` returns the energies of a set, by its program."""
        self._strokes_of = strokes_of
        self._songs: dict[tuple[str, int], _Song] = {}
        self._rolls = False
        self._gain = 0.0

    def gain(self, bars: Sequence[PlannedBar], state: ListenState) -> float:
        """Return by how many decibels the sound is to be louder than at our gain.

        ``bars`` are the one that sounds and those that follow.  A song that stands still may ring,
        and stays as it is.
        """
        begins, self._rolls = state.rolling and not self._rolls, state.rolling
        if begins:
            self._songs.clear()
        if state.rolling and bars:
            self._gain = self._moved(bars, state)
        return self._gain

    def _moved(self, bars: Sequence[PlannedBar], state: ListenState) -> float:
        first = bars[0]
        song = self._songs.setdefault((first.style, state.program), _Song())
        strokes = self._strokes_of(state.program)
        for planned in bars:
            if planned.style == first.style:
                struck = _struck(planned.bar)
                if planned.number in song.bars or len(song.bars) < LEVELED_BARS:
                    song.bars[planned.number] = struck
                song.loudest = max(song.loudest, _power(struck, strokes))
        wanted, most = state.level_db, math.inf
        if song.loudest > 0.0:
            pace = _decibels(state.line.tempo / 60.0)
            powers = [_power(struck, strokes) for struck in song.bars.values()]
            own = LIVE_LOUDNESS - _decibels(_gated(powers)) - pace
            wanted = (len(powers) * own + USUAL_BARS * state.level_db) / (len(powers) + USUAL_BARS)
            most = LIVE_LOUDNESS + HEADROOM - _decibels(song.loudest) - pace
        if song.gain is None:
            song.gain = wanted
        elif first.number != song.bar:
            song.gain += max(-LEVEL_STEP_MAX, min(LEVEL_STEP_MAX, wanted - song.gain))
        song.gain = min(song.gain, most)
        song.bar = first.number
        return song.gain


def _struck(bar: Bar) -> StrokeSums:
    """Return what is struck in ``bar``, by voice, in a beat."""
    beats = bar.meter.ticks / TICKS_PER_BEAT
    struck: dict[Voice, float] = {}
    for hit in bar.hits:
        # what a synthesizer makes of velocity by default: its square is the amplitude
        struck[hit.voice] = struck.get(hit.voice, 0.0) + (hit.velocity / 127) ** 4 / beats
    return struck


def _power(struck: StrokeSums, strokes: StrokeSums) -> float:
    """Return the mean power of a bar at a beat a second."""
    return sum(count * strokes[voice] for voice, count in struck.items())


def _gated(powers: Sequence[float]) -> float:
    least = GATE * fmean(powers)
    return fmean(power for power in powers if power >= least)


def _decibels(power: float) -> float:
    return 10 * math.log10(power)
