"""Every style that can be played here: the shipped ones, one's own, and those a network learnt."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from drumigen.errors import ModelLoadError
from drumigen.model.learnt_styles import learnt_styles
from drumigen.styles import StyleCatalogue, load_styles, own_styles

SYSTEM_STYLES: Final = Path("/etc/drumigen/styles")


def load_catalogue(folder: Path | None = None, checkpoint: Path | None = None) -> StyleCatalogue:
    """Return the shipped styles, then those in ``folder``, then those ``checkpoint`` learnt.

    What is wrong with a style of one's own, or with the checkpoint, is told in the catalogue's
    ``complaints`` and harms no other style.
    """
    catalogue = load_styles()
    if folder is not None:
        own = own_styles(folder)
        catalogue = StyleCatalogue(catalogue.styles, own.complaints).joined(own)
    return catalogue if checkpoint is None else _with_learnt(catalogue, checkpoint)


def _with_learnt(catalogue: StyleCatalogue, checkpoint: Path) -> StyleCatalogue:
    try:
        learnt = learnt_styles(checkpoint)
    except ModelLoadError as error:
        return StyleCatalogue(catalogue.styles, (*catalogue.complaints, str(error)))
    return catalogue.joined(style for style in learnt if not catalogue.knows(style.name))


def styles_folder(given: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of one's own styles: the one ``given``, else the user's or the system's."""
    if given:
        return Path(given).expanduser()
    home = environment.get("HOME", "")
    config = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    candidates = [Path(config) / "drumigen" / "styles"] if config else []
    candidates.append(SYSTEM_STYLES)
    return next((folder for folder in candidates if folder.is_dir()), None)
