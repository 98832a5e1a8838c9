"""Every style, played at default settings: time, backbeat, first bar, returns, level and fills.

``python benchmarks/groove_by_style.py [--meter 5/4] [--humanize 0] [--human PATH]`` plays 20 songs
of 32 bars of each style, at tempi spread over its range, as the daemon plays them, and prints a
line a style in Markdown.  Bars that eval's own detector finds to be fills are left out of time
keeping; in other metres than 4/4, where it finds fewer, also bars that the song has a fill in.
``--meter`` may be given again: a table each.  *Velocity R2* is the share of its variance that voice
and place explain in the first 32 bars; *off the clock* are milliseconds, of a tenth of the takes,
half and nine tenths.
``--human`` gives a folder of takes, such as the Groove MIDI Dataset: what people do follows then,
by the same measures, of the takes of training and validation that keep time.
``--dynamics --human PATH`` plays 60 songs in styles and tempi of the validation takes instead, as
``drumigen eval`` does, and prints its figures of velocity: with ``--humanize 0`` too.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from drumigen.styles import Style, load_styles
from drumigen.timekeeping import keeps_time
from drumigen.timeline import Meter
from drumigen.training.declipping import declipped
from drumigen.training.groove_measures import (
    Spread,
    alike_at,
    backbeat,
    best_of_last,
    fill_lengths,
    fill_share,
    fills_at_ends,
    groove_takes,
    heard_before,
    time_kept,
    velocities_of,
)
from drumigen.training.labels import fills_of, lean_of
from drumigen.training.played_evaluation import judge_dynamics
from drumigen.training.rhythm import explained
from drumigen.training.strokes import in_four, strokes_of
from drumigen.training.takes import Take, read_takes
from drumigen.units import Bpm
from drumigen_daemon.commands.evaluate import played_takes
from drumigen_daemon.engine.messages import EngineParameters
from drumigen_daemon.generator.model_writer import ModelWriter
from drumigen_daemon.offline import planned_songs
from drumigen_daemon.planner.arrangement import Arrangement
from drumigen_daemon.session import FeelKnobs, Session

TOGETHER = 20
"""Songs that are written together: more would not be remembered as they are read."""
COMPARED_BARS = 32
"""Fewer strokes a place explain more: takes are compared at equal lengths."""
HEAD = (
    "| style | time: median, tenth, worst | left out | bar 1 | backbeat | alike 1, best of 8 "
    "| heard before | at 127 | fills: of bars, in 4th, beats | velocity R2 | off the clock |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--bars", type=int, default=32)
    options.add_argument("--meter", type=Meter.parse, action="append")
    options.add_argument("--humanize", type=int, default=100, help="percent")
    options.add_argument("--style", action="append", help="only this one; may be given again")
    options.add_argument("--human", type=Path, help="folder of takes")
    options.add_argument("--dynamics", action="store_true", help="velocities alone")
    asked = options.parse_args()
    if asked.dynamics:
        dynamics(asked)
        return
    styles = [style for style in load_styles() if not asked.style or style.name in asked.style]
    for meter in asked.meter or [Meter()]:
        print(f"\n{meter}:\n\n{HEAD}")
        for style, takes in played(styles, meter, asked):
            print(line(style, takes), flush=True)
    if asked.human:
        read = [take for take in read_takes(asked.human) if take.split in ("train", "validation")]
        print("\nPeople:\n\n" + HEAD)
        for style in styles:
            takes = groove_takes([take for take in read if take.style == style.name])
            if takes:
                print(line(style, takes))


def dynamics(asked: argparse.Namespace) -> None:
    """Print what eval says of velocities, for one seed."""
    read = [take for take in read_takes(asked.human) if take.split in ("train", "validation")]
    own = groove_takes([take for take in read if take.split == "validation"])
    names = {take.name for take in own}
    level = [take for take in declipped(read, 1) if take.name in names]
    made = list(played_takes(None, own, 1, feel=FeelKnobs(humanize=asked.humanize)))
    for figure in judge_dynamics(made, own, level):
        print(f"{figure.name}: {figure.value:.3f}, people {figure.human:.3f}, goal {figure.goal}")


def played(
    styles: Sequence[Style], meter: Meter, asked: argparse.Namespace
) -> Iterator[tuple[Style, list[Take]]]:
    """Yield each style with its songs."""
    writer = ModelWriter()
    for style in styles:
        low, high = style.tempo
        takes = []
        for first in range(0, asked.seeds, TOGETHER):
            seeds = range(first + 1, min(asked.seeds, first + TOGETHER) + 1)
            sessions = [
                Session(
                    style=style.name,
                    seed=seed,
                    meter=meter,
                    feel=FeelKnobs(humanize=asked.humanize),
                    parameters=EngineParameters(
                        tempo=Bpm(low + (high - low) * (seed - 0.5) / asked.seeds)
                    ),
                )
                for seed in seeds
            ]
            for session, song in zip(
                sessions, planned_songs(sessions, writer.write_at, asked.bars), strict=True
            ):
                bars = tuple(planned.bar for planned in song)
                tempo = session.parameters.tempo
                takes.append(Take(f"{style.name}/{session.seed}", style.name, "", tempo, bars))
        yield style, takes


def line(style: Style, takes: Sequence[Take]) -> str:
    """Return a style's line of the table."""
    keepers = style.form.keepers
    kept = (
        time_kept(takes, fills=False, keepers=keepers) if in_four(takes) else between(takes, style)
    )
    first = sum(keeps_time(take.bars[0], keepers) for take in takes)
    levels = velocities_of(takes)
    lengths = fill_lengths(takes)
    return (
        f"| {style.name} | {kept.median:.2f} {kept.at(0.1):.2f} {kept.at(0):.2f} "
        f"| {mean(fill_share(takes)):.2f} | {first} of {len(takes)} | {backbeat(takes).median:.2f} "
        f"| {alike_at(takes, 1).median:.2f} {best_of_last(takes).median:.2f} "
        f"| {heard_before(takes).median:.2f} | {100 * (levels == 127).mean():.1f} % "
        f"| {quartiles(fill_share(takes))}, {quartiles(fills_at_ends(takes))}, "
        f"{quartiles(lengths, 1)} | {quartiles(structure(takes))} "
        f"| {', '.join(f'{off_clock(takes).at(share):.0f}' for share in (0.1, 0.5, 0.9))} |"
    )


def structure(takes: Sequence[Take]) -> Spread:
    """Return how much of its velocity voice and place explain in each take that is long enough."""
    played = [strokes_of(take, COMPARED_BARS) for take in takes if len(take.bars) >= COMPARED_BARS]
    return Spread(tuple(explained(strokes, strokes.velocities) for strokes in played))


def off_clock(takes: Sequence[Take]) -> Spread:
    """Return how many milliseconds late each take is on its quarters."""
    leans = (lean_of(take) for take in takes)
    return Spread(tuple(lean for lean in leans if lean is not None))


def between(takes: Sequence[Take], style: Style) -> Spread:
    """Return how much of each song keeps time between its fills, found and planned."""
    shares = []
    for take in takes:
        session = Session(
            style=style.name, seed=int(take.name.split("/")[1]), meter=take.bars[0].meter
        )
        arrangement = Arrangement(session, lambda _: style.form)
        bars = [
            bar
            for number, (bar, fill) in enumerate(zip(take.bars, fills_of(take), strict=True))
            if not fill and arrangement.fill_from(number) is None
        ]
        shares.append(sum(keeps_time(bar, style.form.keepers) for bar in bars) / len(bars))
    return Spread(tuple(shares))


def mean(spread: Spread) -> float:
    """Return the mean."""
    return sum(spread.values) / max(1, len(spread.values))


def quartiles(spread: Spread, places: int = 2) -> str:
    """Return the median with the quartiles around it."""
    low, middle, high = (f"{spread.at(share):.{places}f}" for share in (0.25, 0.5, 0.75))
    return f"{middle} ({low}-{high})"


if __name__ == "__main__":
    main()
