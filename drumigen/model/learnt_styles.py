"""Styles that a checkpoint has learnt, as they stand in a catalogue; numpy is not needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from drumigen.errors import SettingsError
from drumigen.feel.feel import Feel
from drumigen.feel.feel_file import FeelTable
from drumigen.model.network import ModelConfig
from drumigen.model.tensor_header import damaged, decoded_text, located, opened_file, read_header
from drumigen.styles import Style
from drumigen.units import TEMPO_MAX, TEMPO_MIN, Bpm

WORST_CASE_BANK: Final = "rock"
"""What plays a learnt style for the worst case: it has no bank of its own."""
AS_LEARNT: Final = Feel(residual_ms=0.0, spread_ms=0.0)
"""The feel of a style of which nothing but bars was learnt: no more than these have."""


def names_learnt(config: ModelConfig, metadata: Mapping[str, Any]) -> frozenset[str]:
    """Return the styles that a network was trained on: one that had no takes is noise to it.

    All that it has a place for, where ``metadata`` does not say how it was trained.
    """
    takes = metadata.get("takes")
    if isinstance(takes, Mapping):
        return frozenset(style for style in config.styles if takes.get(style))
    profiles = metadata.get("profile") or config.styles
    return frozenset(style for style in config.styles if style in profiles)


def learnt_styles(path: str | Path) -> tuple[Style, ...]:
    """Return the styles of a checkpoint, in its order, as far as its file describes them.

    ``metadata["styles"]`` says of each ``tempo``, a range in BPM, and ``feel``, as in a style's
    file; what is not said is any tempo, and no feel but that of the bars.

    Raises:
        ModelLoadError: it cannot be used.
    """
    file = located(path)
    try:
        with opened_file(file) as contents:
            texts = read_header(contents).texts
        config: ModelConfig = decoded_text(texts.get("config", ""), ModelConfig)
        metadata: dict[str, Any] = decoded_text(texts.get("metadata", "{}"), dict[str, Any])
        described = metadata.get("styles", {})
        learnt = names_learnt(config, metadata)
        return tuple(
            _style(name, file, described.get(name, {})) for name in config.styles if name in learnt
        )
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, SettingsError) as error:
        raise damaged(file, error) from error


def _style(name: str, file: Path, described: Mapping[str, Any]) -> Style:
    low, high = described.get("tempo", (TEMPO_MIN, TEMPO_MAX))
    if not TEMPO_MIN <= low <= high <= TEMPO_MAX or not name.isprintable() or not name.strip():
        message = f"style {name!r:.60} with a tempo from {low!r:.20} to {high!r:.20}"
        raise ValueError(message)
    table = described.get("feel")
    feel = AS_LEARNT if table is None else msgspec.convert(table, FeelTable).feel(file)
    return Style(
        name=name,
        title=name,
        aliases=(),
        description=f"Learnt by {file.name}.",
        tempo=(Bpm(float(low)), Bpm(float(high))),
        bank=WORST_CASE_BANK,
        feel=feel,
    )
