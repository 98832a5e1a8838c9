"""The deterministic mock: the beat every drummer can play, for tests and for the worst case."""

from drumigen.fitting import felt_beat
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, Tick

_EIGHTH = TICKS_PER_BEAT // 2
_KICK, _SNARE, _HAT = 108, 104, 76


def mock_bar(meter: Meter) -> Bar:
    """Return kick on 1 and 3, snare on 2 and 4, closed hats in eighths, to the end of ``meter``.

    Counted in quarters; in 6/8, 9/8 and 12/8 the dotted quarters are counted instead.
    """
    beat = felt_beat(meter)
    hits = [
        Hit(Tick(tick), Voice.CLOSED_HAT, _HAT - 14 * (tick % beat != 0))
        for tick in range(0, meter.ticks, _EIGHTH)
    ]
    for number, tick in enumerate(range(0, meter.ticks, beat)):
        voice, velocity = (Voice.SNARE, _SNARE) if number % 2 else (Voice.KICK, _KICK)
        hits.append(Hit(Tick(tick), voice, velocity))
    return Bar(meter, tuple(hits))
