"""``re-one``: somebody says that this beat is the one, where the song has it elsewhere."""

from drumigen.units import TICKS_PER_BEAT
from drumigen_daemon.engine.messages import PlannedBar


def ticks_to_the_one(tick: float, bar: PlannedBar) -> int:
    """Return by how many ticks the song must move for the one to be on the beat nearest ``tick``.

    ``bar`` is the bar that ``tick`` is in: the nearer of its lines becomes that beat.  Negative is
    back, 0 is where the one is there already; before the song there is nothing to move to.
    """
    beat = round(tick / TICKS_PER_BEAT) * TICKS_PER_BEAT
    bar_line = bar.end if bar.end - tick < tick - bar.start else bar.start
    if tick + bar_line - beat < 0:
        bar_line = bar.end
    return bar_line - beat
