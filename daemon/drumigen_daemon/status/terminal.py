"""What the screens show: the playhead over the bar that sounds, and where everything stands.

The only module, beside the one that opens the screen, that imports rich.
"""

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from drumigen.kit import FROM_TOP, VOICES, Voice
from drumigen.pattern import Bar
from drumigen.styles import shown_style
from drumigen.text import counted
from drumigen.units import TICKS_PER_SIXTEENTH
from drumigen_daemon.engine.messages import PlannedBar, TransportState
from drumigen_daemon.status.keys import HELP, HINTS
from drumigen_daemon.status.view_state import ViewState

SHOWN_SOFT_BELOW: Final = 46
ACCENT_FROM: Final = 100
WIDTH_MOST: Final = 120
"""Columns; on a wider screen the eye would have to travel."""
NOTICE_LINES_MAX: Final = 2
_BORDER: Final = 4
_GAP: Final = 3
_NAME_WIDTH: Final = 11
_ALWAYS: Final = (Voice.CLOSED_HAT, Voice.SNARE, Voice.KICK)


@dataclass(frozen=True, slots=True)
class Look:
    """What a terminal can show."""

    width: int = 80
    height: int = 24
    unicode: bool = True

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Nothing, a ghost, a stroke and an accent."""
        return ("·", "○", "●", "◉") if self.unicode else (".", "o", "x", "X")


def shows_unicode(environment: Mapping[str, str], encoding: str) -> bool:
    """Tell whether a terminal shows more than ASCII: by its locale, and by what can be written.

    Python writes UTF-8 in the C locale as well, but the terminal may not know it.
    """
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "")
    known = "utf" in locale.lower() if locale or os.name == "posix" else True
    return known and "utf" in encoding.lower()


def view(
    state: ViewState,
    look: Look = Look(),
    seen: Iterable[Voice] = (),
    prompt: Sequence[str] = (),
    notice: str = "",
) -> RenderableType:
    """Return the whole screen; ``seen`` are voices to keep a line for.

    ``prompt`` is asked in place of the keys, ``notice`` is what was said last.  What does not fit
    is left out, the least needed first; nothing is wrapped within a word or a key, and where keys
    are left out, one is named that shows them all.
    """
    lines = _fitted(state, look, seen, prompt, notice)
    border = box.ROUNDED if look.unicode else box.ASCII
    width = min(look.width, WIDTH_MOST)
    return Panel(
        Group(*lines), title="drumigen", title_align="left", width=width, box=border, padding=(0, 1)
    )


def _fitted(
    state: ViewState, look: Look, seen: Iterable[Voice], prompt: Sequence[str], notice: str
) -> list[Text]:
    room, inner = look.height - 2, min(look.width, WIDTH_MOST) - _BORDER
    place = _flowed(_place(state, look), inner)
    keys = _flowed((Text(part, style="bold") for part in prompt) if prompt else _keys(), inner)
    most, needed = len(keys), len(keys) if prompt else 1
    told = [line for each in state.advice for line in textwrap.wrap(each, inner)]
    advice = [Text(line, style="yellow") for line in told]
    if notice:
        said = textwrap.wrap(notice, inner)[:NOTICE_LINES_MAX]
        advice = [*(Text(line, style="bold yellow") for line in said), *advice]
    marks = _flowed(_marks(state), inner)
    story = _flowed(_story(state), inner)
    voices = _voices(state, seen)
    # the least needed goes first, until the rest fits
    while len(place) + len(voices) + len(marks) + len(story) + len(advice) + most > room:
        if len(story) > 1:
            story.pop()
        elif len(advice) > 2:
            advice.pop()
        elif most > max(needed, 2):
            most -= 1
        elif story:
            story.pop()
        elif len(voices) > len(_ALWAYS):
            voices.remove(next(voice for voice in voices if voice not in _ALWAYS))
        elif most > needed:
            most -= 1
        elif advice:
            advice.pop()
        elif len(place) > 1:
            place.pop()
        else:
            break
    if len(keys) > most:
        keys = _some_keys(inner, most)
    return [*place, *_grid(state, look, voices, inner), *marks, *story, *advice, *keys]


def bar_line(state: ViewState, bars: int) -> str:
    """Return the line that stands for the bar where there is no terminal to draw on."""
    total = f"/{bars}" if bars else ""
    where = f"bar {state.bar}{total}"
    bar = state.sounding
    if bar is None:
        return f"{where}  {shown_style(state.style)}"
    return (
        f"{where:<10} {shown_style(bar.style):<13} {bar.bar.meter}  {state.tempo:g} BPM  "
        f"{len(bar.bar.hits):>3} hits  {bar.origin}"
    )


def voices_of(bar: Bar) -> set[Voice]:
    """Return the voices that ``bar`` uses."""
    return {hit.voice for hit in bar.hits}


def _flowed(parts: Iterable[Text], width: int) -> list[Text]:
    """Return ``parts`` on as many lines as they need, none of them broken."""
    lines: list[Text] = []
    for part in parts:
        if not part.plain:
            continue
        part.truncate(width, overflow="ellipsis")
        if lines and lines[-1].cell_len + _GAP + part.cell_len <= width:
            lines[-1].append(" " * _GAP).append_text(part)
        else:
            lines.append(part)
    return lines


def _place(state: ViewState, look: Look) -> Iterator[Text]:
    yield Text(f"{state.bar:>3}.{state.beat}", style="bold")
    yield Text(state.meter)
    yield Text(f"{state.tempo:.1f} BPM", style="bold")
    arrow = "→" if look.unicode else "->"
    pending = f" {arrow} {shown_style(state.next_style)}" if state.next_style else ""
    yield Text(f"{shown_style(state.style)}{pending}", style="bold" if pending else "")
    rolling = state.transport is TransportState.ROLLING
    yield Text(state.transport.value, style="green" if rolling else "yellow")
    good = state.lock in ("locked", "internal")
    who = f" to {state.master}" if state.master else ""
    yield Text(f"clock {state.lock}{who}", style="" if good else "yellow")


def _marks(state: ViewState) -> Iterator[Text]:
    if state.section != "none":
        yield Text(f"section {state.section}", style="bold")
    if state.bars_to_fill == 0:
        yield Text("fill", style="magenta")
    elif state.bars_to_fill is not None:
        yield Text(f"fill in {counted(state.bars_to_fill, 'bar')}", style="dim")
    for flag in state.flags:
        yield Text(flag.upper(), style="bold cyan")
    if state.muted:
        yield Text(f"muted: {', '.join(state.muted)}", style="cyan")


def _story(state: ViewState) -> Iterator[Text]:
    if state.origin:
        yield Text.assemble(
            ("this bar ", "dim"), (state.origin, "yellow" if state.fallback else "")
        )
    yield Text(f"kit {state.kit}", style="dim")
    yield Text(f"seed {state.seed}", style="dim")
    yield Text(f"through {state.backend or 'nothing yet'}", style="dim")
    if state.late_notes:
        yield Text(counted(state.late_notes, "late note"), style="yellow")
    if state.sound:
        yield Text(state.sound, style="dim")


def _keys(hints: Iterable[tuple[str, str]] = HINTS) -> Iterator[Text]:
    for key, does in hints:
        yield Text.assemble((key, "bold"), " ", (does, "dim"))


def _some_keys(width: int, most: int) -> list[Text]:
    """Return the keys that ``most`` lines have room for, and the one that shows them all."""
    hints = [*HINTS, HELP]
    while len(lines := _flowed(_keys(hints), width)) > most and len(hints) > 1:
        del hints[-2]
    return lines


def _voices(state: ViewState, seen: Iterable[Voice]) -> list[Voice]:
    if state.sounding is None:
        return []
    used = {*voices_of(state.sounding.bar), *seen, *_ALWAYS}
    return [voice for voice in FROM_TOP if voice in used]


def _grid(state: ViewState, look: Look, voices: Sequence[Voice], inner: int) -> Iterator[Text]:
    bar, following = state.sounding, state.following
    if bar is None:
        return
    playhead = state.playhead // TICKS_PER_SIXTEENTH
    for voice in voices:
        row = Text(f"{VOICES[voice].title:<{_NAME_WIDTH}} ")
        row.append_text(_row(voice, bar, playhead, look))
        if following is not None:
            coming = _row(voice, following, -1, look)
            if row.cell_len + _GAP + 2 + coming.cell_len <= inner:
                coming.stylize("dim")
                row.append(" │ " if look.unicode else " | ", style="dim").append_text(coming)
        row.truncate(inner)
        yield row


def _row(voice: Voice, bar: PlannedBar, playhead: int, look: Look) -> Text:
    loudest: dict[int, int] = {}
    for hit in bar.bar.hits:
        if hit.voice is voice:
            step = hit.tick // TICKS_PER_SIXTEENTH
            loudest[step] = max(loudest.get(step, 0), hit.velocity)
    row = Text()
    meter = bar.bar.meter
    per_beat = max(1, meter.beat_ticks // TICKS_PER_SIXTEENTH)
    for step in range(meter.sixteenths):
        if step and step % per_beat == 0:
            row.append(" ")
        velocity = loudest.get(step, 0)
        style = "bold" if velocity >= ACCENT_FROM else "" if velocity else "dim"
        cell = _cell(velocity, look)
        row.append(cell, style=f"{style} reverse" if step == playhead else style)
    return row


def _cell(velocity: int, look: Look) -> str:
    none, ghost, stroke, accent = look.cells
    if velocity <= 0:
        return none
    if velocity < SHOWN_SOFT_BELOW:
        return ghost
    return accent if velocity >= ACCENT_FROM else stroke
