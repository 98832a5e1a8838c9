"""What `drumigen play` shows: the playhead over the bar that sounds, and where everything stands.

With ``drumigen play``, which draws it, the only user of rich.
"""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from drumigen.kit import FROM_TOP, VOICES, Voice
from drumigen.pattern import Bar
from drumigen.units import TICKS_PER_SIXTEENTH, Seconds
from drumigen_daemon.engine.messages import Origin, PlannedBar
from drumigen_daemon.status.status import Status

GHOST_BELOW: Final = 46
ACCENT_FROM: Final = 100
_NAME_WIDTH: Final = 11

_ALWAYS: Final = (Voice.CLOSED_HAT, Voice.SNARE, Voice.KICK)


def view(
    status: Status, bar: PlannedBar | None, now: Seconds, seen: Sequence[Voice] = (), hint: str = ""
) -> RenderableType:
    """Return the whole view at ``now``; ``seen`` are voices to keep a line for."""
    tick = status.tick_at(now)
    grid: list[Text] = []
    if bar is not None:
        playhead = int((tick - bar.start) // TICKS_PER_SIXTEENTH)
        grid = _grid(bar.bar, playhead, seen)
    lines = [_place(status, now), *grid, _story(status, bar), Text(hint, style="dim")]
    return Panel(Group(*lines), title="drumigen", title_align="left", expand=False, width=78)


def bar_line(status: Status, bar: PlannedBar | None, number: int, bars: int) -> str:
    """Return the line that stands for a bar where there is no terminal to draw on."""
    total = f"/{bars}" if bars else ""
    where = f"bar {number + 1}{total}"
    if bar is None:
        return f"{where}  {status.bar_style}"
    hits = len(bar.bar.hits)
    return (
        f"{where:<10} {bar.style:<13} {bar.bar.meter}  {status.timeline.tempo:g} BPM  "
        f"{hits:>3} hits  {bar.origin}"
    )


def voices_of(bar: Bar) -> set[Voice]:
    """Return the voices that ``bar`` uses."""
    return {hit.voice for hit in bar.hits}


def _place(status: Status, now: Seconds) -> Text:
    bar, beat, meter = status.place_at(now)
    text = Text()
    text.append(f"{bar:>4}.{beat}", style="bold")
    text.append(f"   {meter}   ")
    text.append(f"{status.timeline.tempo:.1f} BPM", style="bold")
    text.append(f"   {status.bar_style or status.style}   ")
    text.append(status.transport.value)
    text.append(f"   clock {status.lock}", style="green" if status.lock == "locked" else "")
    return text


def _grid(bar: Bar, playhead: int, seen: Sequence[Voice]) -> list[Text]:
    used = {*voices_of(bar), *seen, *_ALWAYS}
    return [_row(voice, bar, playhead) for voice in FROM_TOP if voice in used]


def _row(voice: Voice, bar: Bar, playhead: int) -> Text:
    loudest: dict[int, int] = {}
    for hit in bar.hits:
        if hit.voice is voice:
            step = hit.tick // TICKS_PER_SIXTEENTH
            loudest[step] = max(loudest.get(step, 0), hit.velocity)
    row = Text(f"{VOICES[voice].title:<{_NAME_WIDTH}} ")
    per_beat = max(1, bar.meter.beat_ticks // TICKS_PER_SIXTEENTH)
    for step in range(bar.meter.sixteenths):
        if step and step % per_beat == 0:
            row.append(" ")
        velocity = loudest.get(step, 0)
        style = "bold" if velocity >= ACCENT_FROM else "" if velocity else "dim"
        row.append(_cell(velocity), style=f"{style} reverse" if step == playhead else style)
    return row


def _cell(velocity: int) -> str:
    if velocity <= 0:
        return "·"
    if velocity < GHOST_BELOW:
        return "○"
    return "◉" if velocity >= ACCENT_FROM else "●"


def _story(status: Status, bar: PlannedBar | None) -> Text:
    text = Text()
    origin = status.origin or (bar.origin if bar is not None else None)
    if origin is not None:
        text.append("this bar ", style="dim")
        text.append(origin.value, style="yellow" if Origin(origin).fallback else "")
    text.append(f"   kit {status.kit}   seed {status.seed}", style="dim")
    text.append(f"   through {status.backend or 'nothing yet'}", style="dim")
    if status.engine.late_notes:
        text.append(f"   {status.engine.late_notes} late notes", style="yellow")
    return text
