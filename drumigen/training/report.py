"""A report: the figures of a judged model beside their goals, as a table to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isnan, nan
from typing import Final

from drumigen.training.baselines import Fit
from drumigen.training.feel_statistics import FeelStatistics


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, the human one, the goal in words, and whether it is met (None: no goal)."""

    name: str
    value: float = nan
    human: float | None = None
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class TeacherForced:
    """How well a model foresees each stroke of human takes, given all before it.

    ``nll`` is nats a stroke and ``nll_parts`` what it is made of.  Errors are of the medians of
    the model's distributions, in ms and in MIDI velocity; divergences (as in
    :func:`~drumigen.training.rhythm.divergence`, human first) are of one sample a stroke.
    """

    nll: float
    nll_parts: Mapping[str, float] = field(hash=False)
    timing_mae_ms: float
    timing_kl: float
    velocity_mae: float
    velocity_kl: float
    strokes: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured; :meth:`text` is for reading."""

    figures: tuple[Figure, ...]
    feel_statistics: Mapping[str, FeelStatistics] = field(hash=False)
    fits: Mapping[str, Fit] = field(hash=False)
    teacher: TeacherForced | None

    @property
    def missed(self) -> tuple[Figure, ...]:
        """The figures that do not meet their goals."""
        return tuple(figure for figure in self.figures if figure.met is False)

    def text(self) -> str:
        """Return three tables: goals, feel, and stroke by stroke."""
        goals = [
            [
                one.name,
                _number(one.value),
                _number(one.human),
                one.goal,
                _VERDICTS[one.met],
            ]
            for one in self.figures
        ]
        feel = [
            [_PORTRAIT_NAMES[name], *(_number(getattr(one, name)) for one in columns)]
            for columns in [list(self.feel_statistics.values())]
            for name in _PORTRAIT_NAMES
        ]
        strokes = [
            [name, *(_number(getattr(one, part.name)) for part in fields(Fit))]
            for name, one in self._fits()
        ]
        parts = [
            _table(["", "value", "human", "goal", ""], goals),
            _table(["feel", *self.feel_statistics], feel),
            _table(["stroke by stroke", *(_FIT_NAMES[part.name] for part in fields(Fit))], strokes),
        ]
        if self.teacher:
            made = " + ".join(f"{name} {nats:.2f}" for name, nats in self.teacher.nll_parts.items())
            parts.append(
                f"NLL a stroke, teacher-forced: {self.teacher.nll:.2f} nats = {made} "
                f"({self.teacher.strokes} strokes)"
            )
        return "\n\n".join(parts)

    def _fits(self) -> list[tuple[str, Fit | TeacherForced]]:
        rows: list[tuple[str, Fit | TeacherForced]] = [*self.fits.items()]
        return [*rows, ("model, teacher-forced", self.teacher)] if self.teacher else rows


_VERDICTS: Final[Mapping[bool | None, str]] = {True: "met", False: "MISSED", None: ""}

_PORTRAIT_NAMES: Final = {
    "strokes_a_bar": "strokes a bar",
    "timing_kl": "timing KL from human, nats",
    "velocity_kl": "velocity KL from human, nats",
    "timing_explained": "timing explained by voice x 16th",
    "velocity_explained": "velocity explained by voice x 16th",
    "kick_gap_ms": "kick to hat, robust SD, ms",
    "snare_gap_ms": "snare to hat, robust SD, ms",
    "lag_one": "lag-1 autocorrelation of beats",
    "timing_dfa": "DFA exponent of beats",
    "velocity_dfa": "DFA exponent of their velocity",
    "swing_sixteenths": "swing of 16ths, %",
    "swing_eighths": "swing of 8ths, %",
    "long_takes": "takes of 60 s with a timekeeper",
}

_FIT_NAMES: Final = {
    "timing_mae_ms": "timing MAE, ms",
    "timing_kl": "timing KL",
    "velocity_mae": "velocity MAE",
    "velocity_kl": "velocity KL",
}


def _number(value: float | None) -> str:
    if value is None or isnan(value):
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with the first column to the left and the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    made = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([made[0], "-" * (sum(widths) + 2 * len(head) - 2), *made[1:]])
