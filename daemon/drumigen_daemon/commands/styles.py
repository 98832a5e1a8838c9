"""``drumigen styles``: which styles there are, and what each is."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from drumigen.styles import Style
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_set
from drumigen_daemon.controls.values import known_styles, one_line


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    to.add_argument("name", nargs="?", metavar="NAME", help="only this style, and all about it")
    to.add_argument("--model", type=Path, metavar="FILE", help="checkpoint whose styles are listed")
    to.add_argument("--json", action="store_true", help="everything, for programs")
    add_set(to)


def main(options: argparse.Namespace) -> int:
    """List all, or the one that is named."""
    settings_of(options)  # which says where one's own are
    catalogue = known_styles()
    styles = list(catalogue) if options.name is None else [catalogue.find(options.name)]
    if options.json:
        sys.stdout.write(json.dumps([_described(style) for style in styles], indent=2) + "\n")
        return 0
    lines = _table(styles) if options.name is None else _about(styles[0])
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))
    return 0


def _table(styles: Sequence[Style]) -> list[str]:
    wide = max(len(style.name) for style in styles)
    return [
        f"{style.name:<{wide}}  {style.tempo[0]:>3g}-{style.tempo[1]:<3g}  {style.description}"
        for style in styles
    ]


def _about(style: Style) -> list[str]:
    feel = style.feel
    return [
        f"{style.title}: {style.description}",
        f"name     {', '.join((style.name, *style.aliases))}",
        f"tempo    {style.tempo[0]:g} to {style.tempo[1]:g} BPM",
        f"feel     {feel.model}, {feel.swing_unit} swing {feel.swing:g} %",
        f"bank     {style.bank}",
        f"sound    {style.sound}",
        f"network  {style.model or 'the common one'}",
    ]


def _described(style: Style) -> dict[str, object]:
    return {
        "name": style.name,
        "title": style.title,
        "aliases": list(style.aliases),
        "description": style.description,
        "tempo": list(style.tempo),
        "swing": style.feel.swing,
        "swing_unit": str(style.feel.swing_unit),
        "feel": str(style.feel.model),
        "bank": style.bank,
        "sound": str(style.sound),
        "model": str(style.model) if style.model else None,
    }
