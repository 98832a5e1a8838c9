"""Bars as a picture: a piano-roll with velocity, and below it how far off the grid each hit is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from drumigen.errors import PatternError
from drumigen.kit import FROM_TOP, VOICES, Voice
from drumigen.pattern import Bar, Hit
from drumigen.text import escaped_line
from drumigen.timeline import TempoMap, bar_lines, tempo_map_of
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Bpm

_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 92, 16, 40, 30, 24
_ROW, _TIMING = 22, 96
_BAR_WIDTH: Final = 300
_TIMING_MAX_MS: Final = 60.0


_COLOURS: Final = {
    Voice.KICK: "#b3382c",
    Voice.SNARE: "#d98a00",
    Voice.CLOSED_HAT: "#00798c",
    Voice.OPEN_HAT: "#2a9d63",
    Voice.RIDE: "#30638e",
    Voice.CRASH: "#5d4a9c",
    Voice.LOW_TOM: "#8c5a3c",
    Voice.MID_TOM: "#8c5a3c",
    Voice.HIGH_TOM: "#8c5a3c",
}
"""By class of nine."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What one picture shows: consecutive bars at a tempo, under a title.

    ``first`` is the number of the first bar, from 1.  With a tempo map ``lines`` are the ticks of
    the bar lines on it; by default bar follows bar.
    """

    title: str
    bars: tuple[Bar, ...]
    tempo: Bpm | TempoMap
    first: int = 1
    lines: tuple[int, ...] = ()


def piano_roll(panels: Sequence[Panel]) -> str:
    """Return an SVG picture of ``panels`` beside each other, on the same rows.

    A hit is a bar as tall as its velocity, where it sounds; grid lines are sixteenths, beats and
    bar lines.  Below, each hit is a dot at its milliseconds early (below the line) or late.

    Raises:
        PatternError: there is no bar to show.
    """
    if not panels or not all(panel.bars for panel in panels):
        message = "a picture needs a bar in each of its panels"
        raise PatternError(message)
    used = {hit.voice for panel in panels for bar in panel.bars for hit in bar.hits}
    rows = [voice for voice in FROM_TOP if voice in used]
    height = _TOP + len(rows) * _ROW + _GAP + _TIMING + _BOTTOM
    widths = [_LEFT + _RIGHT + round(_width(panel)) for panel in panels]
    size = f'width="{sum(widths)}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {sum(widths)} {height}" {size}>',
        f'<rect {size} fill="#ffffff"/>',
        '<g font-family="sans-serif">',
    ]
    x = 0
    for panel, width in zip(panels, widths, strict=True):
        parts.append(f'<g transform="translate({x} 0)">')
        parts += _panel(panel, rows)
        parts.append("</g>")
        x += width
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def _width(panel: Panel) -> float:
    return sum(bar.meter.ticks for bar in panel.bars) * _BAR_WIDTH / (4 * TICKS_PER_BEAT)


def _panel(panel: Panel, rows: Sequence[Voice]) -> Iterator[str]:
    yield _text(_LEFT, 24, escaped_line(panel.title), size=15, weight="bold")
    yield from _grid(panel, len(rows))
    for index, voice in enumerate(rows):
        y = _TOP + index * _ROW + _ROW / 2 + 4
        yield _text(_LEFT - 8, y, VOICES[voice].title, anchor="end")
    scale = _BAR_WIDTH / (4 * TICKS_PER_BEAT)
    tempos = tempo_map_of(panel.tempo)
    lines = panel.lines or bar_lines(bar.meter for bar in panel.bars)
    zero = _zero(len(rows))
    start = 0
    for line, bar in zip(lines, panel.bars, strict=True):
        for hit in bar.hits:
            written = _LEFT + (start + hit.tick) * scale
            sounding = _LEFT + (start + hit.sounding_tick) * scale
            yield _stroke(hit, sounding, rows.index(hit.voice))
            ms = tempos.milliseconds(line + hit.tick, line + hit.sounding_tick)
            off = max(-_TIMING_MAX_MS, min(_TIMING_MAX_MS, ms))
            y = zero - off / _TIMING_MAX_MS * _TIMING / 2
            yield (
                f'<circle cx="{written:.1f}" cy="{y:.1f}" r="{1.5 + hit.velocity / 64:.1f}" '
                f'fill="{_colour(hit.voice)}" fill-opacity="0.75"/>'
            )
        start += bar.meter.ticks


def _stroke(hit: Hit, x: float, row: int) -> str:
    tall = 4 + (_ROW - 6) * hit.velocity / 127
    y = _TOP + (row + 1) * _ROW - 1 - tall
    opacity = 0.35 + 0.65 * hit.velocity / 127
    return (
        f'<rect x="{x:.2f}" y="{y:.1f}" width="4" height="{tall:.1f}" rx="1" '
        f'fill="{_colour(hit.voice)}" fill-opacity="{opacity:.2f}"/>'
    )


def _grid(panel: Panel, rows: int) -> Iterator[str]:
    scale = _BAR_WIDTH / (4 * TICKS_PER_BEAT)
    bottom, zero = _TOP + rows * _ROW, _zero(rows)
    right = _LEFT + _width(panel)
    for index in range(rows + 1):
        yield _line(_LEFT, _TOP + index * _ROW, right, _TOP + index * _ROW, "#eeeeee")
    start = 0
    for number, bar in enumerate(panel.bars, panel.first):
        for tick in range(0, bar.meter.ticks, TICKS_PER_SIXTEENTH):
            x = _LEFT + (start + tick) * scale
            colour = "#e4e4e4" if tick % TICKS_PER_BEAT else "#b0b0b0"
            if tick == 0:
                colour = "#404040"
            for top, end in ((_TOP, bottom), (zero - _TIMING / 2, zero + _TIMING / 2)):
                yield _line(x, top, x, end, colour)
            if tick % TICKS_PER_BEAT == 0:
                beat = tick // TICKS_PER_BEAT + 1
                label = f"{number}.{beat}"
                yield _text(x + 2, zero + _TIMING / 2 + 14, label, size=10, colour="#707070")
        start += bar.meter.ticks
    for ms in (-40, -20, 0, 20, 40):
        y = zero - ms / _TIMING_MAX_MS * _TIMING / 2
        yield _line(_LEFT, y, right, y, "#404040" if ms == 0 else "#e4e4e4")
        label = f"{ms:+d} ms" if ms else "on the grid"
        yield _text(_LEFT - 8, y + 4, label, anchor="end", size=10, colour="#707070")


def _zero(rows: int) -> float:
    """Return how far down the line of no micro-timing is."""
    return _TOP + rows * _ROW + _GAP + _TIMING / 2


def _colour(voice: Voice) -> str:
    return _COLOURS[VOICES[voice].class_of_nine]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"/>'


def _text(  # noqa: PLR0913 - as many as SVG has
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    colour: str = "#202020",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
    )
