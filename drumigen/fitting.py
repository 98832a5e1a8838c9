"""A bar in another metre."""

from dataclasses import replace

from drumigen.kit import TIMEKEEPERS
from drumigen.pattern import Bar, Hit, repaired
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick

_EIGHTH = TICKS_PER_BEAT // 2
_TRIPLET = TICKS_PER_BEAT // 6


def fit(bar: Bar, meter: Meter, *, tail: bool = False) -> Bar:
    """Return ``bar`` in another metre, its kick on one, backbeat and timekeeping kept.

    Felt beats stay felt beats: quarters become dotted quarters in 6/8, 9/8 and 12/8, triplets
    their eighths.  A shorter metre takes the first beats, or with ``tail`` the last, as a fill
    needs; a longer one goes on with the second half again, so that 5/4 is 1 2 3 4 3.  What comes
    out is playable, and none of it is written at or beyond the end.
    """
    if bar.meter == meter:
        return bar
    old, new = felt_beat(bar.meter), felt_beat(meter)
    beats = [_restretched(beat, old, new) for beat in _beats(bar, old)]
    count = -(-meter.ticks // new)
    first = max(0, len(beats) - count) if tail else 0
    again = len(beats) // 2 if len(beats) > 2 else 0
    hits: list[Hit] = []
    for index in range(count):
        source = index + first
        if source >= len(beats):
            source = again + (source - len(beats)) % (len(beats) - again)
        moved = (replace(hit, tick=Tick(hit.tick + index * new)) for hit in beats[source])
        hits += [hit for hit in moved if hit.tick < meter.ticks]
    return repaired(Bar(meter, tuple(hits)))


def felt_beat(meter: Meter) -> int:
    """Return the ticks of the beat a drummer counts: dotted quarters in 6/8, 9/8 and 12/8."""
    compound = meter.denominator == 8 and meter.numerator > 3 and meter.numerator % 3 == 0
    return 3 * _EIGHTH if compound else TICKS_PER_BEAT


def _beats(bar: Bar, length: int) -> list[list[Hit]]:
    """Split into felt beats, ticks counted from each; a last part of one is completed.

    The completion is the same part of the beat two before, which is as strong or weak.
    """
    beats = [
        [
            replace(hit, tick=Tick(hit.tick - start))
            for hit in bar.hits
            if start <= hit.tick < start + length
        ]
        for start in range(0, bar.meter.ticks, length)
    ]
    rest = bar.meter.ticks % length
    if rest and len(beats) > 1:
        beats[-1] += [hit for hit in beats[max(0, len(beats) - 3)] if hit.tick >= rest]
    return beats


def _restretched(beat: list[Hit], old: int, new: int) -> list[Hit]:
    if old == new:
        return beat
    if new < old:
        return [replace(hit, tick=Tick(hit.tick * 2 // 3)) for hit in beat]
    if any(hit.tick % TICKS_PER_SIXTEENTH and not hit.tick % _TRIPLET for hit in beat):
        return [replace(hit, tick=Tick(hit.tick * 3 // 2)) for hit in beat]
    third = [
        replace(hit, tick=Tick(hit.tick + _EIGHTH))
        for hit in beat
        if hit.tick >= _EIGHTH and hit.voice in TIMEKEEPERS
    ]
    return beat + third
